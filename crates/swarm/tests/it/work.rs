//! Bounds on the work of single events, counted in entries examined, not in time.

use std::collections::VecDeque;

use peerage_swarm::{Config, Input, Layout, Limits, Output, PeerKey, PeerKind, Swarm};
use peerage_types::Time;
use peerage_wire::{Bitfield, BlockRef};

const PIECES: u32 = 20_000;
const BLOCKS: u32 = 4;
const PEERS: u32 = 20;

/// More than the picker's budget and one pass over the pieces, 64 at a time.
const EXAMINED_PER_PIECE: u64 = 4_096 + 512 + PIECES as u64 / 64;

/// Every request is answered in order, at 80,000 blocks per second. `has`: whether a peer has a piece.
#[track_caller]
fn check(has: impl Fn(u32, u32) -> bool, examined_per_block_max: u64) {
    let layout = Layout::new(BLOCKS * 16_384, vec![BLOCKS * 16_384; PIECES as usize]);
    let have = Bitfield::new(PIECES);
    let config =
        Config { layout, have, priorities: Vec::new(), rank: None, seed: 3, limits: Limits::default() };
    let mut swarm = Swarm::new(config, Time(0));
    for peer in 0..PEERS {
        let mut bits = Bitfield::new(PIECES);
        (0..PIECES).filter(|piece| has(peer, *piece)).for_each(|piece| _ = bits.set(piece));
        let peer = PeerKey(peer);
        swarm.handle(Time(0), Input::Connected { peer, kind: PeerKind::Member, request_queue: 500 }).unwrap();
        swarm.handle(Time(0), Input::Bitfield(peer, bits)).unwrap();
        swarm.handle(Time(0), Input::Unchoked(peer)).unwrap();
    }
    let mut flying: VecDeque<(PeerKey, BlockRef)> = VecDeque::new();
    let (mut blocks, mut started) = (0_u64, 0);
    drain(&mut swarm, &mut flying);
    while let Some((peer, block)) = flying.pop_front() {
        let now = Time(blocks / 80);
        let before = swarm.entries_examined();
        swarm.handle(now, Input::BlockArrived(peer, block)).unwrap();
        if swarm.piece_progress(block.piece) == Some((BLOCKS, BLOCKS)) {
            swarm.handle(now, Input::PieceDone(block.piece)).unwrap();
        }
        drain(&mut swarm, &mut flying);
        let started_now = u64::from(swarm.have().count()) + swarm.pieces_in_progress().count() as u64;
        let examined = swarm.entries_examined() - before;
        assert!(examined <= (started_now - started + 1) * EXAMINED_PER_PIECE, "{examined} entries at once");
        started = started_now;
        blocks += 1;
    }
    assert!(swarm.is_complete());
    let duplicates = blocks - u64::from(PIECES * BLOCKS);
    assert!(duplicates < 200, "{duplicates} blocks came twice");
    let mean = swarm.entries_examined() / blocks;
    assert!(mean <= examined_per_block_max, "{mean} entries per block");
}

#[test]
fn a_block_costs_constant_work() {
    // Half of the peers are seeders, the others have a third of the pieces at random.
    check(|peer, piece| peer % 2 == 0 || mix(peer, piece).is_multiple_of(3), 8);
}

#[test]
fn the_worst_order_of_pieces_costs_bounded_work() {
    // What half of the peers have is what most have: each search begins with pieces that they lack.
    check(|peer, piece| peer % 2 == 0 || piece % 3 == peer % 3, 600);
}

fn mix(peer: u32, piece: u32) -> u32 {
    let mixed = (peer * PIECES + piece).wrapping_mul(0x9e37_79b1);
    (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca77) >> 7
}

/// How much the engine had to say.
fn drain(swarm: &mut Swarm, flying: &mut VecDeque<(PeerKey, BlockRef)>) -> u64 {
    let mut outputs = 0;
    loop {
        outputs += 1;
        match swarm.poll() {
            Output::Request(peer, block) => flying.push_back((peer, block)),
            Output::Cancel(peer, block) => flying.retain(|entry| *entry != (peer, block)),
            Output::WakeAt(_) => return outputs,
            _ => {}
        }
    }
}

/// Uploads with a thousand peers that all want something: what one event costs must not depend on how many wait.
#[test]
fn giving_slots_away_does_not_look_at_everybody() {
    let mut swarm = crowd(1_000);
    let mut flying = VecDeque::new();
    let mut most = 0;
    for round in 0..2_000_u32 {
        let (peer, piece) = (PeerKey(round * 7 % 1_000), round % 600);
        for input in [
            Input::RemoteInterested(peer, round % 3 == 0),
            Input::RemoteInterested(peer, true),
            Input::Asked(peer, piece),
            Input::Uploaded(peer, 300_000),
            Input::Have(peer, piece),
            Input::Timeout,
        ] {
            let (before, round_of_choker) = (swarm.entries_examined(), input == Input::Timeout);
            swarm.handle(Time(1_000 + u64::from(round)), input).unwrap();
            drain(&mut swarm, &mut flying);
            let examined = swarm.entries_examined() - before;
            // Standard clients are compared with each other at most once a second.
            most = most.max(examined.saturating_sub(if round_of_choker { 1_000 } else { 0 }));
        }
    }
    swarm.assert_consistent();
    // A handful of slots change hands, and so many deadlines come, at the same time.
    assert!(most <= 64, "{most} entries for one event");
}

/// Peers that flood: their messages cost little each, and nothing of them is kept.
#[test]
fn floods_of_messages_cost_little_and_leave_nothing() {
    let mut swarm = crowd(100);
    let mut flying = VecDeque::new();
    let (before, mut outputs) = (swarm.entries_examined(), 0);
    for round in 0..20_000_u32 {
        let peer = PeerKey(round % 10);
        for input in [
            Input::Have(peer, round % 50),
            Input::Asked(peer, round % 600),
            Input::Suggest(peer, round % 600),
            Input::AllowedFast(peer, round % 600),
            Input::RemoteInterested(peer, round % 2 == 0),
        ] {
            swarm.handle(Time(1_000 + u64::from(round / 20)), input).unwrap();
            outputs += drain(&mut swarm, &mut flying);
        }
    }
    swarm.assert_consistent();
    let messages = 100_000;
    let examined = swarm.entries_examined() - before;
    assert!(examined <= 4 * messages, "{examined} entries for {messages} messages");
    assert!(outputs <= 4 * messages, "{outputs} answers for {messages} messages");
}

/// We have everything, and all of `peers` are connected and want it.
fn crowd(peers: u32) -> Swarm {
    let layout = Layout::new(4 * 16_384, vec![4 * 16_384; 600]);
    let have = Bitfield::full(600);
    let config =
        Config { layout, have, priorities: Vec::new(), rank: None, seed: 3, limits: Limits::default() };
    let mut swarm = Swarm::new(config, Time(0));
    for peer in (0..peers).map(PeerKey) {
        let kind = if peer.0 % 10 == 9 { PeerKind::Standard } else { PeerKind::Member };
        swarm.handle(Time(0), Input::Connected { peer, kind, request_queue: 500 }).unwrap();
        swarm.handle(Time(0), Input::HaveNone(peer)).unwrap();
        swarm.handle(Time(0), Input::RemoteInterested(peer, true)).unwrap();
    }
    drain(&mut swarm, &mut VecDeque::new());
    swarm
}
