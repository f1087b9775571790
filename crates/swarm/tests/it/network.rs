//! A network of engines in memory: members of any topology, some of which leave, choke, reject, stay silent or
//! send rubbish for a while. When that is over, everybody must finish.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerage_swarm::{Config, Input, Layout, Limits, Output, PeerKey, PeerKind, Rank, Swarm};
use peerage_types::Time;
use peerage_wire::{Bitfield, BlockRef};
use proptest::prelude::*;

use crate::model::Model;

mod messages;

/// Faults stop here; from then on the network heals.
const HEALED: Time = Time(20_000);
/// Everybody is connected again: long enough after the last fault for it to have its effect.
const RELINKED: Time = Time(25_000);
/// Everything must be done by then.
const END: Time = Time(400_000);

/// What the world is made of; everything else follows from `seed`.
#[derive(Debug, Clone)]
struct World {
    nodes: u32,
    pieces: u32,
    piece_blocks: u32,
    extra_edges: u32,
    ranked: bool,
    standard: u32,
    faults: bool,
    small_cap: bool,
    seed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// For `node`, over its connection to `other`.
    Message {
        node: u32,
        other: u32,
        connection: u32,
        message: Message,
    },
    /// `node` has read this piece back, or found it wrong.
    Verified {
        node: u32,
        piece: u32,
        good: bool,
    },
    /// What arrived does not match its leaf.
    Bad {
        node: u32,
        other: u32,
        connection: u32,
        block: BlockRef,
    },
    Wake {
        node: u32,
    },
    Link {
        a: u32,
        b: u32,
    },
    Unlink {
        a: u32,
        b: u32,
    },
    SetChoke {
        node: u32,
        other: u32,
        choke: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Bitfield(Vec<u8>),
    Have(u32),
    Choke,
    Unchoke,
    Interested(bool),
    Suggest(u32),
    AllowedFast(u32),
    Request(BlockRef),
    Cancel(BlockRef),
    Reject(BlockRef),
    Block { block: BlockRef, good: bool },
}

struct Node {
    swarm: Swarm,
    model: Model,
    /// Neighbour to the connection's number, which is also its `PeerKey`.
    links: BTreeMap<u32, u32>,
    /// Neighbours that this node chokes against its engine's will.
    chokes: BTreeSet<u32>,
    /// Neighbours that its engine serves, and pieces that it sends to others all the same.
    serves: BTreeSet<u32>,
    allows: BTreeSet<(u32, u32)>,
    /// The piece of each neighbour's last request.
    asked: BTreeMap<u32, u32>,
    upload_free: Time,
    completions: u32,
}

struct Network {
    world: World,
    layout: Layout,
    nodes: Vec<Node>,
    edges: BTreeSet<(u32, u32)>,
    queue: BTreeSet<(Time, u64, Event)>,
    now: Time,
    count: u64,
    connections: u32,
    dice: u64,
}

impl Network {
    fn new(world: World) -> Self {
        let last = 1 + (world.seed % 16_384) as u32;
        let mut sizes = vec![world.piece_blocks * 16_384; world.pieces as usize];
        *sizes.last_mut().unwrap() = (world.piece_blocks - 1) * 16_384 + last;
        let layout = Layout::new(world.piece_blocks * 16_384, sizes);
        let mut network = Self {
            layout: layout.clone(),
            nodes: Vec::new(),
            edges: BTreeSet::new(),
            queue: BTreeSet::new(),
            now: Time(0),
            count: 0,
            connections: 0,
            dice: world.seed,
            world: world.clone(),
        };
        for node in 0..world.nodes {
            let have = if node == 0 { Bitfield::full(world.pieces) } else { Bitfield::new(world.pieces) };
            let mut limits = Limits { depth_max: 64, ..Limits::default() };
            if world.small_cap {
                limits.partial_bytes_target = 1;
                limits.partial_bytes_max = 1;
            }
            limits.upload_slots = 1 + (world.seed >> 32) as u32 % 4;
            limits.upload_turn_bytes = (world.seed >> 34) % 3 * u64::from(layout.piece_length());
            let rank = world.ranked.then_some(Rank { rank: node, of: world.nodes });
            let config = Config {
                layout: layout.clone(),
                have: have.clone(),
                priorities: Vec::new(),
                rank,
                seed: world.seed + u64::from(node),
                limits,
            };
            network.nodes.push(Node {
                swarm: Swarm::new(config, Time(0)),
                model: Model::new(layout.clone(), have),
                links: BTreeMap::new(),
                chokes: BTreeSet::new(),
                serves: BTreeSet::new(),
                allows: BTreeSet::new(),
                asked: BTreeMap::new(),
                upload_free: Time(0),
                completions: 0,
            });
        }
        network.draw_topology();
        network
    }

    /// A random tree, and some more edges.
    fn draw_topology(&mut self) {
        for node in 1..self.world.nodes {
            let other = self.roll(node);
            self.edges.insert((other, node));
        }
        for _ in 0..self.world.extra_edges {
            let (a, b) = (self.roll(self.world.nodes), self.roll(self.world.nodes));
            if a != b {
                self.edges.insert((a.min(b), a.max(b)));
            }
        }
        for (a, b) in self.edges.clone() {
            let delay = self.roll(50);
            self.after(delay, Event::Link { a, b });
            // Whoever was cut off or banned is back when the faults are over and what was on its way has come.
            self.queue.insert((RELINKED, u64::MAX - u64::from(a * 64 + b), Event::Link { a, b }));
            if self.world.faults {
                self.draw_faults(a, b);
            }
        }
    }

    fn draw_faults(&mut self, a: u32, b: u32) {
        for (one, two) in [(a, b), (b, a)] {
            for _ in 0..self.roll(4) {
                let (from, length) = (self.roll(HEALED.0 as u32), self.roll(3_000));
                self.after(from, Event::SetChoke { node: one, other: two, choke: true });
                self.after(from + length, Event::SetChoke { node: one, other: two, choke: false });
            }
        }
        for _ in 0..self.roll(3) {
            let (from, length) = (self.roll(HEALED.0 as u32), self.roll(5_000));
            self.after(from, Event::Unlink { a, b });
            self.after(from + length, Event::Link { a, b });
        }
    }

    fn run(&mut self) {
        while let Some((at, _, event)) = self.queue.pop_first() {
            self.now = at;
            assert!(at < END, "unfinished: {:?}", self.unfinished());
            self.apply(event);
            if at >= HEALED && self.nodes.iter().all(|node| node.swarm.is_complete()) {
                break;
            }
        }
        assert!(self.unfinished().is_empty(), "nothing happens any more: {:?}", self.unfinished());
        let late = self.nodes.iter().skip(1).filter(|node| node.completions != 1).count();
        assert_eq!(late, 0, "`Complete` comes exactly once");
    }

    fn unfinished(&self) -> Vec<(usize, u32)> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .map(|(n, node)| (n, node.swarm.have().count()))
            .filter(|(_, c)| *c < self.world.pieces)
            .collect()
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Message { node, other, connection, message } => {
                if self.nodes[node as usize].links.get(&other) == Some(&connection) {
                    self.message(node, other, PeerKey(connection), message);
                }
            }
            Event::Verified { node, piece, good } => {
                if good {
                    self.nodes[node as usize].model.have.set(piece);
                    self.input(node, Input::PieceDone(piece));
                } else {
                    self.nodes[node as usize].model.forget(piece);
                    self.input(node, Input::PieceFailed(piece));
                }
            }
            Event::Bad { node, other, connection, block } => self.bad(node, other, connection, block),
            Event::Wake { node } => self.input(node, Input::Timeout),
            Event::Link { a, b } => self.link(a, b),
            Event::Unlink { a, b } => self.unlink(a, b),
            Event::SetChoke { node, other, choke } => self.set_choke(node, other, choke),
        }
    }

    fn link(&mut self, a: u32, b: u32) {
        if self.nodes[a as usize].links.contains_key(&b) {
            return;
        }
        let connection = self.connections;
        self.connections += 1;
        for (node, other) in [(a, b), (b, a)] {
            let state = &mut self.nodes[node as usize];
            state.links.insert(other, connection);
            state.serves.remove(&other);
            state.asked.remove(&other);
            state.allows.retain(|(allowed, _)| *allowed != other);
            state.model.connect(PeerKey(connection));
            let message = Message::Bitfield(state.model.have.to_wire().to_vec());
            self.after(1, Event::Message { node: other, other: node, connection, message });
        }
        // Standard clients among themselves, or one and a member.
        let standard = |node: u32| node >= self.world.nodes - self.world.standard;
        let kind = if standard(a) || standard(b) { PeerKind::Standard } else { PeerKind::Member };
        for node in [a, b] {
            self.input(node, Input::Connected { peer: PeerKey(connection), kind, request_queue: 250 });
        }
    }

    fn unlink(&mut self, a: u32, b: u32) {
        for (node, other) in [(a, b), (b, a)] {
            let state = &mut self.nodes[node as usize];
            if let Some(connection) = state.links.remove(&other) {
                state.model.gone(PeerKey(connection));
                self.input(node, Input::Gone(PeerKey(connection)));
            }
        }
    }

    fn input(&mut self, node: u32, input: Input) {
        let text = format!("{input:?}");
        let result = self.nodes[node as usize].swarm.handle(self.now, input);
        assert_eq!(result, Ok(()), "node {node} at {text}");
        self.pump(node);
    }

    fn pump(&mut self, node: u32) {
        loop {
            let output = self.nodes[node as usize].swarm.poll();
            if let Output::WakeAt(at) = output {
                if let Some(at) = at {
                    assert!(at > self.now, "a timer that has come already");
                    self.queue.insert((at, 0, Event::Wake { node }));
                }
                break;
            }
            self.output(node, output);
        }
        self.nodes[node as usize].swarm.assert_consistent();
    }

    fn output(&mut self, node: u32, output: Output) {
        let state = &mut self.nodes[node as usize];
        let (peer, message) = match output {
            Output::Request(peer, block) => {
                state.model.request(peer, block);
                (peer, Message::Request(block))
            }
            Output::Cancel(peer, block) => {
                state.model.cancel(peer, block);
                (peer, Message::Cancel(block))
            }
            Output::Interested(peer) | Output::NotInterested(peer) => {
                let interested = matches!(output, Output::Interested(_));
                let known = &mut state.model.peers.get_mut(&peer).unwrap().interested;
                assert_ne!(std::mem::replace(known, interested), interested);
                (peer, Message::Interested(interested))
            }
            Output::Have(peer, piece) => {
                assert!(state.model.peers.get_mut(&peer).unwrap().told.set(piece), "told {piece} twice");
                (peer, Message::Have(piece))
            }
            Output::Unchoke(peer) => (peer, Message::Unchoke),
            Output::Choke(peer) => (peer, Message::Choke),
            Output::Suggest(peer, piece) => (peer, Message::Suggest(piece)),
            Output::AllowFast(peer, piece) => (peer, Message::AllowedFast(piece)),
            Output::Complete => {
                state.completions += 1;
                return;
            }
            Output::MayLeave => {
                assert!(state.swarm.is_complete());
                return;
            }
            Output::WakeAt(_) => return,
        };
        let other = state.links.iter().find(|(_, key)| **key == peer.0).map(|(other, _)| *other).unwrap();
        match message {
            Message::Unchoke => assert!(state.serves.insert(other), "{other} is unchoked twice"),
            Message::Choke => assert!(state.serves.remove(&other), "{other} is choked twice"),
            Message::AllowedFast(piece) => _ = state.allows.insert((other, piece)),
            _ => {}
        }
        let unchanged = matches!(message, Message::Unchoke | Message::Choke) && state.chokes.contains(&other);
        if unchanged {
            return;
        }
        let event = Event::Message { node: other, other: node, connection: peer.0, message };
        self.after(1 + (node + other) % 7, event);
    }

    fn faulty(&self) -> bool {
        self.world.faults && self.now < HEALED
    }

    fn after(&mut self, delay_ms: u32, event: Event) {
        self.count += 1;
        self.queue.insert((self.now.after(Duration::from_millis(delay_ms.into())), self.count, event));
    }

    /// Any generator will do.
    fn roll(&mut self, sides: u32) -> u32 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as u32 % sides.max(1)
    }
}

fn worlds(faults: bool) -> impl Strategy<Value = World> {
    let swarm = (2_u32..9, 1_u32..30, 1_u32..6, 0_u32..12, any::<bool>(), 0_u32..3);
    (swarm, any::<bool>(), any::<u64>()).prop_map(
        move |((nodes, pieces, piece_blocks, extra_edges, ranked, standard), small_cap, seed)| World {
            nodes,
            pieces,
            piece_blocks,
            extra_edges,
            ranked,
            standard: standard.min(nodes),
            faults,
            small_cap,
            seed: seed >> 1,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn honest_members_finish(world in worlds(false)) {
        Network::new(world).run();
    }

    #[test]
    fn everybody_finishes_after_the_faults(world in worlds(true)) {
        Network::new(world).run();
    }
}
