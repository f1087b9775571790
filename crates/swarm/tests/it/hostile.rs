//! Peers that say anything at any time: faults, never panics, and the state stays consistent.

use peerage_swarm::{Config, Input, Layout, Limits, Output, PeerKey, PeerKind, Priority, Rank, Swarm};
use peerage_types::Time;
use peerage_wire::{Bitfield, BlockRef};
use proptest::prelude::*;

const PIECES: u32 = 9;
const PIECE_BYTES: u32 = 40_000;

/// Mostly possible pieces, so that faults do not end everything early.
fn piece() -> impl Strategy<Value = u32> {
    prop_oneof![30 => 0..PIECES, 1 => Just(PIECES), 1 => any::<u32>()]
}

fn block() -> impl Strategy<Value = BlockRef> {
    let real = (0..PIECES, 0_u32..3).prop_map(|(piece, index)| {
        let begin = index * 16_384;
        BlockRef { piece, begin, len: (PIECE_BYTES - begin).min(16_384) }
    });
    let any = any::<[u32; 3]>().prop_map(|[piece, begin, len]| BlockRef { piece, begin, len });
    prop_oneof![40 => real, 1 => any]
}

fn bitfield() -> impl Strategy<Value = Bitfield> {
    (prop_oneof![20 => Just(PIECES), 1 => 0_u32..20], any::<u16>()).prop_map(|(len, set)| {
        let mut bits = Bitfield::new(len);
        (0..16).filter(|piece| set >> piece & 1 == 1).for_each(|piece| _ = bits.set(piece));
        bits
    })
}

fn kind() -> impl Strategy<Value = PeerKind> {
    prop::sample::select(vec![PeerKind::Member, PeerKind::Member, PeerKind::Standard])
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

fn input() -> impl Strategy<Value = Input> {
    let peer = || (0_u32..5).prop_map(PeerKey);
    prop_oneof![
        2 => (peer(), 0_u32..20, kind()).prop_map(|(peer, request_queue, kind)| Input::Connected {
            peer, kind, request_queue
        }),
        1 => peer().prop_map(Input::Gone),
        2 => (peer(), bitfield()).prop_map(|(peer, bits)| Input::Bitfield(peer, bits)),
        1 => peer().prop_map(Input::HaveAll),
        1 => peer().prop_map(Input::HaveNone),
        4 => (peer(), piece()).prop_map(|(peer, piece)| Input::Have(peer, piece)),
        1 => peer().prop_map(Input::Choked),
        4 => peer().prop_map(Input::Unchoked),
        1 => (peer(), piece()).prop_map(|(peer, piece)| Input::Suggest(peer, piece)),
        1 => (peer(), piece()).prop_map(|(peer, piece)| Input::AllowedFast(peer, piece)),
        3 => (peer(), block()).prop_map(|(peer, block)| Input::Rejected(peer, block)),
        1 => (peer(), any::<bool>()).prop_map(|(peer, interested)| Input::RemoteInterested(peer, interested)),
        2 => (peer(), piece()).prop_map(|(peer, piece)| Input::Asked(peer, piece)),
        1 => (peer(), any::<u64>()).prop_map(|(peer, bytes)| Input::Uploaded(peer, bytes)),
        1 => any::<Option<u64>>().prop_map(Input::SendLimit),
        16 => (peer(), block()).prop_map(|(peer, block)| Input::BlockArrived(peer, block)),
        1 => (peer(), block()).prop_map(|(peer, block)| Input::BlockBad(peer, block)),
        1 => (0..PIECES).prop_map(Input::PieceDone),
        1 => (0..PIECES).prop_map(Input::PieceFailed),
        1 => prop::collection::vec(priority(), PIECES as usize).prop_map(Input::SetPriorities),
        1 => Just(Input::Timeout),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_a_peer_says_breaks_the_engine(
        events in prop::collection::vec((input(), 0_u64..3_000), 1..300),
        ranked in any::<bool>(),
        endgame_copies in 1_u8..3,
        upload_slots in 1_u32..4,
        standard_slots in 0_u32..4,
        seed in any::<u64>(),
    ) {
        let limits = Limits { endgame_copies, partial_bytes_max: 100_000, upload_slots, standard_slots, ..Limits::default() };
        let mut swarm = Swarm::new(Config {
            layout: Layout::new(PIECE_BYTES, vec![PIECE_BYTES; PIECES as usize]),
            have: Bitfield::new(PIECES),
            priorities: Vec::new(),
            rank: ranked.then_some(Rank { rank: 1, of: 3 }),
            seed,
            limits,
        }, Time(0));
        let mut now = Time(0);
        for (input, pause) in events {
            now = Time(now.0 + pause);
            let timeout = input == Input::Timeout;
            // A fault is an answer; what the engine does is checked below.
            _ = swarm.handle(now, input);
            let mut outputs = 0;
            let wake_at = loop {
                outputs += 1;
                prop_assert!(outputs < 10_000, "the engine talks without end");
                if let Output::WakeAt(at) = swarm.poll() {
                    break at;
                }
            };
            prop_assert!(!timeout || wake_at.is_none_or(|at| at > now), "a timeout that does not end");
            swarm.assert_consistent();
        }
    }
}
