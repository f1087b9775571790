//! The partition against a reference that looks at everything each time.

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

/// One change, or one choice that is compared.
#[derive(Debug, Clone)]
enum Step {
    Join(Vec<u32>),
    JoinSeeder,
    Part(usize),
    Have(usize, u32),
    Take(u32),
    GiveBack(u32),
    Prioritise(u32, Priority),
    Pick(usize, Order, Vec<u32>),
}

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(vec![
        Priority::Skip,
        Priority::Low,
        Priority::Normal,
        Priority::Normal,
        Priority::First,
    ])
}

fn step(pieces: u32) -> impl Strategy<Value = Step> {
    let piece = move || 0..pieces;
    let orders = prop::sample::select(vec![Order::Rarest, Order::Rarest, Order::Common, Order::Random]);
    prop_oneof![
        1 => prop::collection::vec(piece(), 0..pieces as usize).prop_map(Step::Join),
        1 => Just(Step::JoinSeeder),
        1 => any::<usize>().prop_map(Step::Part),
        8 => (any::<usize>(), piece()).prop_map(|(peer, piece)| Step::Have(peer, piece)),
        3 => piece().prop_map(Step::Take),
        2 => piece().prop_map(Step::GiveBack),
        1 => (piece(), priority()).prop_map(|(piece, priority)| Step::Prioritise(piece, priority)),
        6 => (any::<usize>(), orders, prop::collection::vec(piece(), 0..3))
            .prop_map(|(peer, order, refused)| Step::Pick(peer, order, refused)),
    ]
}

/// Everything with plain sets; `None` is a seeder.
struct Reference {
    fresh: Vec<bool>,
    priorities: Vec<Priority>,
    peers: Vec<Option<Bitfield>>,
    shard: Option<u32>,
}

impl Reference {
    fn availability(&self, piece: u32) -> u32 {
        self.peers.iter().filter(|p| p.as_ref().is_none_or(|bits| bits.get(piece))).count() as u32
    }

    fn eligible(&self, peer: usize, refused: &[u32]) -> Vec<u32> {
        let pieces = 0..self.fresh.len() as u32;
        let has = |piece: u32| self.peers[peer].as_ref().is_none_or(|bits| bits.get(piece));
        pieces.filter(|p| self.fresh[*p as usize] && has(*p) && !refused.contains(p)).collect()
    }

    fn check_pick(&self, order: Order, eligible: &[u32], picked: Option<u32>) {
        let worth = |piece: &u32| self.priorities[*piece as usize];
        let highest = eligible.iter().map(worth).max();
        let eligible: Vec<u32> =
            eligible.iter().copied().filter(|piece| Some(worth(piece)) == highest).collect();
        let availabilities = eligible.iter().map(|piece| self.availability(*piece));
        let Some(picked) = picked else {
            assert!(eligible.is_empty(), "nothing picked out of {eligible:?}");
            return;
        };
        assert!(eligible.contains(&picked), "{picked} is none of {eligible:?}");
        match order {
            Order::Random => {}
            Order::Common => assert_eq!(Some(self.availability(picked)), availabilities.max()),
            Order::Rarest => {
                let lowest = availabilities.min();
                assert_eq!(Some(self.availability(picked)), lowest);
                if let Some(shard) = self.shard {
                    let pieces = self.fresh.len() as u32;
                    let distance = |piece: u32| (piece + pieces - shard) % pieces;
                    let rarest = eligible.iter().filter(|p| Some(self.availability(**p)) == lowest);
                    assert_eq!(Some(distance(picked)), rarest.map(|p| distance(*p)).min());
                }
            }
        }
    }
}

/// What is fresh when nothing is there and nothing has begun.
fn wanted(priorities: &[Priority]) -> Bitfield {
    let mut fresh = Bitfield::new(priorities.len() as u32);
    let wanted = (0..).zip(priorities).filter(|(_, priority)| **priority != Priority::Skip);
    wanted.for_each(|(piece, _)| _ = fresh.set(piece));
    fresh
}

fn run(priorities: Vec<Priority>, rank: Option<Rank>, seed: u64, steps: Vec<Step>) {
    let (pieces, fresh) = (priorities.len() as u32, wanted(&priorities));
    let mut picker = Picker::new(fresh.clone(), priorities.clone(), rank, Rng::new(seed));
    let mut reference = Reference {
        fresh: (0..pieces).map(|piece| fresh.get(piece)).collect(),
        priorities,
        peers: Vec::new(),
        shard: picker.shard,
    };
    for step in steps {
        let count = reference.peers.len();
        match step {
            Step::Join(set) => {
                let mut bits = Bitfield::new(pieces);
                set.into_iter().for_each(|piece| _ = bits.set(piece));
                picker.add(&bits);
                reference.peers.push(Some(bits));
            }
            Step::JoinSeeder => {
                picker.add_seeder();
                reference.peers.push(None);
            }
            Step::Part(peer) if count > 0 => match reference.peers.swap_remove(peer % count) {
                Some(bits) => picker.remove(&bits),
                None => picker.remove_seeder(),
            },
            Step::Have(peer, piece) if count > 0 => {
                if reference.peers[peer % count].as_mut().is_some_and(|bits| bits.set(piece)) {
                    picker.have(piece);
                }
            }
            Step::Take(piece) => {
                picker.take(piece);
                reference.fresh[piece as usize] = false;
            }
            // What is not wanted never becomes fresh.
            Step::GiveBack(piece) if reference.priorities[piece as usize] == Priority::Skip => {}
            Step::Prioritise(piece, priority) => {
                reference.priorities[piece as usize] = priority;
                reference.fresh[piece as usize] = priority != Priority::Skip;
                let mut fresh = Bitfield::new(pieces);
                let of = |piece: &u32| reference.fresh[*piece as usize];
                (0..pieces).filter(of).for_each(|piece| _ = fresh.set(piece));
                picker.set_priorities(reference.priorities.clone(), fresh);
            }
            Step::GiveBack(piece) => {
                picker.give_back(piece);
                reference.fresh[piece as usize] = true;
            }
            Step::Pick(peer, order, refused) if count > 0 => {
                let peer = peer % count;
                let eligible = reference.eligible(peer, &refused);
                if !reference.eligible(peer, &[]).is_empty() {
                    let holder = Holder { bits: reference.peers[peer].as_ref(), refused: &refused };
                    reference.check_pick(order, &eligible, picker.pick(order, holder));
                }
            }
            Step::Part(_) | Step::Have(..) | Step::Pick(..) => {}
        }
        picker.assert_consistent(reference.peers.iter().flatten());
        let available =
            (0..pieces).filter(|p| reference.fresh[*p as usize] && reference.availability(*p) > 0);
        if count.is_multiple_of(2) {
            assert_eq!(picker.fresh_available() as usize, available.count());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn agrees_with_the_reference(
        (priorities, steps) in (1_usize..90).prop_flat_map(|n| {
            let priorities = prop_oneof![
                Just(vec![Priority::Normal; n]),
                prop::collection::vec(priority(), n),
            ];
            (priorities, prop::collection::vec(step(n as u32), 1..120))
        }),
        rank in prop::option::of((0_u32..9, 1_u32..9)),
        seed in any::<u64>(),
    ) {
        run(priorities, rank.map(|(rank, of)| Rank { rank, of }), seed, steps);
    }
}

#[test]
fn members_start_on_their_own_shards() {
    let first = |rank| {
        let mut picker = Picker::new(
            Bitfield::full(1000),
            vec![Priority::Normal; 1000],
            Some(Rank { rank, of: 4 }),
            Rng::new(rank.into()),
        );
        picker.add_seeder();
        let mut next = || {
            let piece = picker.pick(Order::Rarest, Holder { bits: None, refused: &[] }).unwrap();
            picker.take(piece);
            piece
        };
        [next(), next(), next()]
    };
    assert_eq!([0, 1, 3].map(first), [[0, 1, 2], [250, 251, 252], [750, 751, 752]]);
}

#[test]
fn ties_are_broken_differently_by_each_seed() {
    let first = |seed| {
        let mut picker =
            Picker::new(Bitfield::full(1000), vec![Priority::Normal; 1000], None, Rng::new(seed));
        picker.add_seeder();
        picker.pick(Order::Rarest, Holder { bits: None, refused: &[] })
    };
    let mut picks: Vec<_> = (0..50).map(first).collect();
    picks.sort_unstable();
    picks.dedup();
    assert!(picks.len() > 40, "{picks:?}");
}

/// A peer with three pieces of a million, all of them common, costs a bounded search and still gets something.
#[test]
fn huge_torrents_are_searched_within_bounds() {
    for rank in [None, Some(Rank { rank: 1, of: 3 })] {
        let pieces = 1_000_000;
        let mut picker =
            Picker::new(Bitfield::full(pieces), vec![Priority::Normal; pieces as usize], rank, Rng::new(1));
        let (mut few, mut most) = (Bitfield::new(pieces), Bitfield::full(pieces));
        for piece in [5, 77_777, 999_999] {
            few.set(piece);
            most.clear(piece);
        }
        picker.add(&few);
        picker.add(&few);
        picker.add(&few);
        picker.add(&most);
        for order in [Order::Rarest, Order::Common, Order::Random] {
            let before = picker.examined();
            let picked = picker.pick(order, Holder { bits: Some(&few), refused: &[5] }).unwrap();
            assert!(picked == 77_777 || picked == 999_999);
            let examined = picker.examined() - before;
            let bound = u64::from(2 * EXAMINED_MAX + RING_WALK_MAX + pieces / 64 + 1);
            assert!(examined <= bound, "{order:?} examined {examined}");
        }
    }
}
