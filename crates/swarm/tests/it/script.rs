//! Small scenes: what each event makes the engine do.

use std::fmt::Write;
use std::time::Duration;

use expect_test::{Expect, expect};
use peerage_swarm::{Config, Input, Layout, Limits, Output, PeerKey, Rank, Swarm};
use peerage_types::Time;
use peerage_wire::{Bitfield, BlockRef};

const PIECES: u32 = 6;

/// Six pieces of two blocks, and our shard starts at piece 0: ties go to the lowest piece.
fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config {
        layout: Layout::new(32_768, vec![32_768; PIECES as usize]),
        have: Bitfield::new(PIECES),
        rank: Some(Rank { rank: 0, of: 1 }),
        seed: 1,
        limits: Limits { depth_max: 4, ..Limits::default() },
    };
    change(&mut config);
    config
}

/// Runs `steps` (separated by `;`) and prints what each one led to.
#[track_caller]
fn check(config: Config, steps: &str, expected: Expect) {
    let (mut now, mut wake_at) = (Time(1000), None);
    let mut swarm = Swarm::new(config, now);
    let mut log = String::new();
    for step in steps.split(';').map(str::trim) {
        let words: Vec<&str> = step.split_whitespace().collect();
        let inputs = match words[..] {
            ["wait", seconds] => {
                now = now.after(Duration::from_secs(seconds.parse().unwrap()));
                if wake_at.is_some_and(|at| at <= now) { vec![Input::Timeout] } else { Vec::new() }
            }
            [who, verb, ref rest @ ..] => inputs(who, verb, rest),
            _ => panic!("`{step}`"),
        };
        write!(log, "{step}:").unwrap();
        for input in inputs {
            if let Err(fault) = swarm.handle(now, input) {
                write!(log, " fault: {fault}").unwrap();
            }
        }
        wake_at = drain(&mut swarm, &mut log);
        swarm.assert_consistent();
        log.push('\n');
    }
    expected.assert_eq(&log);
}

fn inputs(who: &str, verb: &str, rest: &[&str]) -> Vec<Input> {
    let peer = PeerKey(u32::from(who.as_bytes()[0]));
    let pieces = || rest.iter().map(|text| text.parse::<u32>().unwrap());
    let blocks = || rest.iter().map(|text| block(text));
    match verb {
        "joins" => vec![Input::Connected { peer, request_queue: pieces().next().unwrap_or(250) }],
        "leaves" => vec![Input::Gone(peer)],
        "seeds" => {
            vec![Input::Connected { peer, request_queue: 250 }, Input::HaveAll(peer), Input::Unchoked(peer)]
        }
        "all" => vec![Input::HaveAll(peer)],
        "none" => vec![Input::HaveNone(peer)],
        "bitfield" => {
            let mut bits = Bitfield::new(PIECES);
            pieces().for_each(|piece| _ = bits.set(piece));
            vec![Input::Bitfield(peer, bits)]
        }
        "gets" => pieces().map(|piece| Input::Have(peer, piece)).collect(),
        "chokes" => vec![Input::Choked(peer)],
        "unchokes" => vec![Input::Unchoked(peer)],
        "suggests" => pieces().map(|piece| Input::Suggest(peer, piece)).collect(),
        "allows" => pieces().map(|piece| Input::AllowedFast(peer, piece)).collect(),
        "sends" => blocks().map(|block| Input::BlockArrived(peer, block)).collect(),
        "rejects" => blocks().map(|block| Input::Rejected(peer, block)).collect(),
        "spoils" => blocks().map(|block| Input::BlockBad(peer, block)).collect(),
        "done" => pieces().map(Input::PieceDone).collect(),
        "failed" => pieces().map(Input::PieceFailed).collect(),
        _ => panic!("`{verb}`"),
    }
}

/// `2.1` is the second block of piece 2.
fn block(text: &str) -> BlockRef {
    let (piece, index) = text.split_once('.').unwrap();
    BlockRef { piece: piece.parse().unwrap(), begin: index.parse::<u32>().unwrap() * 16_384, len: 16_384 }
}

fn drain(swarm: &mut Swarm, log: &mut String) -> Option<Time> {
    let name = |peer: PeerKey| char::from_u32(peer.0).unwrap();
    let block = |block: BlockRef| format!("{}.{}", block.piece, block.begin / 16_384);
    loop {
        let text = match swarm.poll() {
            Output::Request(peer, wanted) => format!("{}?{}", name(peer), block(wanted)),
            Output::Cancel(peer, unwanted) => format!("{}!{}", name(peer), block(unwanted)),
            Output::Interested(peer) => format!("{} interested", name(peer)),
            Output::NotInterested(peer) => format!("{} not interested", name(peer)),
            Output::Unchoke(peer) => format!("{} unchoke", name(peer)),
            Output::Choke(peer) => format!("{} choke", name(peer)),
            Output::Have(peer, piece) => format!("{} have {piece}", name(peer)),
            Output::Complete => "complete".to_owned(),
            Output::WakeAt(at) => return at,
        };
        write!(log, " {text},").unwrap();
    }
}

#[test]
fn one_seeder_gets_whole_pieces_in_shard_order() {
    let steps =
        "a joins; a all; a unchokes; a sends 0.0 0.1; us done 0; a sends 1.0 1.1 2.0 2.1; us done 1 2;
                 a sends 3.0 3.1 4.0 4.1; a sends 5.0 5.1; us done 3 4 5; wait 60";
    check(
        config(|_| {}),
        steps,
        expect![[r#"
        a joins: a unchoke,
        a all: a interested,
        a unchokes: a?0.0, a?0.1, a?1.0, a?1.1,
        a sends 0.0 0.1: a?2.0, a?2.1,
        us done 0:
        a sends 1.0 1.1 2.0 2.1: a?3.0, a?3.1, a?4.0, a?4.1,
        us done 1 2:
        a sends 3.0 3.1 4.0 4.1: a?5.0, a?5.1,
        a sends 5.0 5.1:
        us done 3 4 5: a not interested, complete,
        wait 60:
    "#]],
    );
}

#[test]
fn rarest_goes_first_and_pieces_are_not_shared() {
    let steps = "a joins; b joins; c joins; a bitfield 0 1 2 3; b bitfield 0 1 2; c bitfield 0 1;
                 a unchokes; b unchokes; c unchokes; c gets 3";
    check(
        config(|c| c.limits.depth_max = 2),
        steps,
        expect![[r#"
        a joins: a unchoke,
        b joins: b unchoke,
        c joins: c unchoke,
        a bitfield 0 1 2 3: a interested,
        b bitfield 0 1 2: b interested,
        c bitfield 0 1: c interested,
        a unchokes: a?3.0, a?3.1,
        b unchokes: b?2.0, b?2.1,
        c unchokes: c?0.0, c?0.1,
        c gets 3:
    "#]],
    );
}

#[test]
fn the_last_pieces_are_helped_with() {
    let steps = "a bitfield 0; a joins; a bitfield 0; a unchokes; b joins; b bitfield 0; b unchokes";
    check(
        config(|c| c.limits.depth_max = 1),
        steps,
        expect![[r#"
        a bitfield 0:
        a joins: a unchoke,
        a bitfield 0: a interested,
        a unchokes: a?0.0,
        b joins: b unchoke,
        b bitfield 0: b interested,
        b unchokes: b?0.1,
    "#]],
    );
}

#[test]
fn random_first_pieces_without_a_roster() {
    check(
        config(|c| c.rank = None),
        "a seeds",
        expect![[r#"
        a seeds: a unchoke, a interested, a?5.0, a?5.1, a?3.0, a?3.1,
    "#]],
    );
}

#[test]
fn choking_voids_requests_except_allowed_fast() {
    let steps = "a joins; a all; a allows 3; a sends 3.0; a unchokes; a chokes; a rejects 0.0 0.1; a sends 3.1; a unchokes";
    check(
        config(|_| {}),
        steps,
        expect![[r#"
        a joins: a unchoke,
        a all: a interested,
        a allows 3: a?3.0, a?3.1,
        a sends 3.0:
        a unchokes: a?0.0, a?0.1, a?1.0,
        a chokes:
        a rejects 0.0 0.1:
        a sends 3.1:
        a unchokes: a?0.0, a?0.1, a?1.0, a?1.1,
    "#]],
    );
}

#[test]
fn a_rejected_piece_is_left_alone_for_a_while() {
    let steps = "a seeds; a rejects 0.1; b seeds; wait 1; a sends 0.0; a sends 1.0; a sends 1.1 0.1";
    check(
        config(|c| c.limits.depth_max = 2),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1,
        a rejects 0.1: a?1.0,
        b seeds: b unchoke, b interested, b?2.0, b?2.1,
        wait 1:
        a sends 0.0: a?1.1,
        a sends 1.0: a?0.1,
        a sends 1.1 0.1: a?3.0, a?3.1,
    "#]],
    );
}

#[test]
fn silence_is_snubbed_and_answered_with_one_common_piece() {
    let steps =
        "a seeds; b joins; b bitfield 1 2; wait 9; wait 1; wait 19; wait 1; a sends 0.0; wait 1; b unchokes";
    check(
        config(|_| {}),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
        b joins: b unchoke,
        b bitfield 1 2: b interested,
        wait 9:
        wait 1: a!0.0, a!0.1, a!1.0, a!1.1, a?2.0,
        wait 19:
        wait 1: a!2.0, a?2.0,
        a sends 0.0: a?2.1, a?0.1, a?3.0,
        wait 1:
        b unchokes: b?1.0, b?1.1,
    "#]],
    );
}

#[test]
fn late_answers_are_still_used() {
    let steps =
        "a seeds; wait 10; a sends 0.0 0.1; a sends 1.0; us done 0; b seeds; a rejects 1.1; a sends 1.1";
    check(
        config(|_| {}),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
        wait 10: a!0.0, a!0.1, a!1.0, a!1.1, a?2.0,
        a sends 0.0 0.1: a?2.1, a?1.0, a?1.1,
        a sends 1.0: a?3.0,
        us done 0:
        b seeds: b unchoke, b interested, b?4.0, b?4.1, b?3.1, b?5.0,
        a rejects 1.1:
        a sends 1.1: a?5.1,
    "#]],
    );
}

#[test]
fn one_lost_request_is_given_up() {
    let steps = "a seeds; a sends 0.1; wait 9; a sends 1.0; wait 9; a sends 1.1; wait 9; a sends 2.0; wait 9; a sends 2.1;
                 wait 9; a sends 3.0; wait 9; a sends 3.1; wait 6; wait 1";
    check(
        config(|_| {}),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
        a sends 0.1: a?2.0,
        wait 9:
        a sends 1.0: a?2.1,
        wait 9:
        a sends 1.1: a?3.0,
        wait 9:
        a sends 2.0: a?3.1,
        wait 9:
        a sends 2.1: a?4.0,
        wait 9:
        a sends 3.0: a?4.1,
        wait 9:
        a sends 3.1: a?5.0,
        wait 6: a!0.0, a?5.1,
        wait 1:
    "#]],
    );
}

#[test]
fn endgame_duplicates_once_and_cancels() {
    let steps = "a joins; a bitfield 0; a unchokes; b joins; b bitfield 0; b unchokes; c joins; c bitfield 0; c unchokes;
                 b sends 0.1; a sends 0.1; c sends 0.0; a rejects 0.0; us done 0";
    let piece_zero_only = |c: &mut Config| (1..PIECES).for_each(|piece| _ = c.have.set(piece));
    check(
        config(piece_zero_only),
        steps,
        expect![[r#"
        a joins: a unchoke,
        a bitfield 0: a interested,
        a unchokes: a?0.0, a?0.1,
        b joins: b unchoke,
        b bitfield 0: b interested,
        b unchokes: b?0.1,
        c joins: c unchoke,
        c bitfield 0: c interested,
        c unchokes: c?0.0,
        b sends 0.1: a!0.1,
        a sends 0.1:
        c sends 0.0: a!0.0,
        a rejects 0.0:
        us done 0: a not interested, b not interested, c not interested, complete,
    "#]],
    );
}

#[test]
fn a_bad_block_is_fetched_elsewhere() {
    let steps = "a seeds; a sends 0.0; b seeds; a spoils 0.0; a leaves; a sends 0.1; b sends 2.0 2.1; b spoils 0.0; b sends 0.1";
    check(
        config(|c| c.limits.depth_max = 2),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1,
        a sends 0.0: a?1.0,
        b seeds: b unchoke, b interested, b?2.0, b?2.1,
        a spoils 0.0:
        a leaves:
        a sends 0.1:
        b sends 2.0 2.1: b?0.0, b?0.1,
        b spoils 0.0:
        b sends 0.1:
    "#]],
    );
}

#[test]
fn a_bad_block_of_a_peer_that_left_is_fetched_again() {
    let steps = "a seeds; a sends 0.0 0.1; a leaves; a spoils 0.1; b seeds; b sends 0.1 1.0; us done 0";
    check(
        config(|c| c.limits.depth_max = 2),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1,
        a sends 0.0 0.1: a?1.0, a?1.1,
        a leaves:
        a spoils 0.1:
        b seeds: b unchoke, b interested, b?0.1, b?1.0,
        b sends 0.1 1.0: b?1.1, b?2.0,
        us done 0:
    "#]],
    );
}

#[test]
fn a_failed_piece_starts_again() {
    let steps =
        "a seeds; a sends 0.0 0.1; us failed 0; a sends 1.0; a sends 1.1; us done 0; us done 0; us failed 0";
    check(
        config(|c| c.limits.depth_max = 2),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1,
        a sends 0.0 0.1: a?1.0, a?1.1,
        us failed 0:
        a sends 1.0: a?0.0,
        a sends 1.1: a?0.1,
        us done 0: a!0.0, a!0.1, a?2.0, a?2.1,
        us done 0:
        us failed 0:
    "#]],
    );
}

#[test]
fn suggestions_come_before_rarity() {
    let steps = "a joins; a all; a suggests 4; a suggests 5; a unchokes";
    check(
        config(|c| c.limits.depth_max = 3),
        steps,
        expect![[r#"
        a joins: a unchoke,
        a all: a interested,
        a suggests 4:
        a suggests 5:
        a unchokes: a?5.0, a?5.1, a?4.0,
    "#]],
    );
}

#[test]
fn unfinished_pieces_have_a_ceiling() {
    let steps = "a seeds; b seeds; a sends 0.0 0.1; a sends 1.0 1.1; us done 1; us done 0";
    check(
        config(|c| c.limits.partial_bytes_max = 65_536),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
        b seeds: b unchoke, b interested,
        a sends 0.0 0.1:
        a sends 1.0 1.1:
        us done 1: a?2.0, a?2.1,
        us done 0: a?3.0, a?3.1,
    "#]],
    );
}

#[test]
fn news_go_to_those_who_lack_it() {
    let steps =
        "a seeds; b joins; b none; c joins; c bitfield 0; us done 0; us done 1 2 3 4 5; d joins; d all";
    check(
        config(|c| c.limits.depth_max = 1),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0,
        b joins: b unchoke,
        b none:
        c joins: c unchoke,
        c bitfield 0: c interested,
        us done 0: a!0.0, b have 0, c not interested, a?1.0,
        us done 1 2 3 4 5: a!1.0, b have 1, c have 1, b have 2, c have 2, b have 3, c have 3, b have 4, c have 4, a not interested, b have 5, c have 5, complete,
        d joins: d unchoke,
        d all:
    "#]],
    );
}

#[test]
fn nonsense_is_a_fault() {
    check(
        config(|_| {}),
        "a joins; a gets 6",
        expect![[r#"
        a joins: a unchoke,
        a gets 6: fault: the peer named piece 6, expected less than 6
    "#]],
    );
    check(
        config(|_| {}),
        "a joins; a suggests 6; a allows 4294967295",
        expect![[r#"
        a joins: a unchoke,
        a suggests 6: fault: the peer named piece 6, expected less than 6
        a allows 4294967295: fault: the peer named piece 4294967295, expected less than 6
    "#]],
    );
    check(
        config(|_| {}),
        "a joins; a gets 1; a bitfield 1",
        expect![[r#"
        a joins: a unchoke,
        a gets 1: a interested,
        a bitfield 1: fault: the peer sent a bitfield after it had told what it has
    "#]],
    );
    check(
        config(|_| {}),
        "a joins; a all; a none",
        expect![[r#"
        a joins: a unchoke,
        a all: a interested,
        a none: fault: the peer sent a bitfield after it had told what it has
    "#]],
    );
    check(
        config(|_| {}),
        "a seeds; a sends 5.0; a sends 0.0; a sends 0.0",
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
        a sends 5.0: fault: the peer answered a request that was not made: 16384 bytes at 0 in piece 5
        a sends 0.0:
        a sends 0.0: fault: the peer answered a request that was not made: 16384 bytes at 0 in piece 0
    "#]],
    );
    check(
        config(|_| {}),
        "a seeds; a rejects 5.0; a sends 0.0",
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
        a rejects 5.0: fault: the peer answered a request that was not made: 16384 bytes at 0 in piece 5
        a sends 0.0:
    "#]],
    );
    check(
        config(|_| {}),
        "z sends 0.0; z leaves; z chokes",
        expect![[r#"
        z sends 0.0:
        z leaves:
        z chokes:
    "#]],
    );
    let mut swarm = Swarm::new(config(|_| {}), Time(0));
    swarm.handle(Time(0), Input::Connected { peer: PeerKey(1), request_queue: 0 }).unwrap();
    let fault = swarm.handle(Time(0), Input::Bitfield(PeerKey(1), Bitfield::new(7))).unwrap_err();
    expect!["the peer's bitfield is for 7 pieces, expected 6"].assert_eq(&fault.to_string());
}
