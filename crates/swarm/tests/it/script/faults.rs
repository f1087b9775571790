//! Peers that do not answer, answer wrongly, or talk nonsense.

use expect_test::expect;
use peerage_swarm::{Input, PeerKey, PeerKind, Swarm};
use peerage_types::Time;
use peerage_wire::Bitfield;

use super::{check, config};

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
            wait 19: a!2.0,
            wait 1: a?2.0,
            a sends 0.0:
            wait 1:
            b unchokes: b?1.0, b?1.1, b?2.1,
        "#]],
    );
}

#[test]
fn late_answers_are_still_used() {
    let steps = "a seeds; wait 10; a sends 0.0 0.1; a sends 1.0; us done 0; b seeds; a rejects 1.1";
    check(
        config(|_| {}),
        steps,
        expect![[r#"
            a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
            wait 10: a!0.0, a!0.1, a!1.0, a!1.1, a?2.0,
            a sends 0.0 0.1:
            a sends 1.0:
            us done 0: a have 0,
            b seeds: b unchoke, b interested, b?1.1, b?3.0, b?3.1, b?4.0,
            a rejects 1.1:
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
            us done 0: b have 0,
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
            us done 0: a!0.0, a!0.1, a have 0, a?2.0, a?2.1,
            us done 0:
            us failed 0:
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
    swarm
        .handle(Time(0), Input::Connected { peer: PeerKey(1), kind: PeerKind::Member, request_queue: 0 })
        .unwrap();
    let fault = swarm.handle(Time(0), Input::Bitfield(PeerKey(1), Bitfield::new(7))).unwrap_err();
    expect!["the peer's bitfield is for 7 pieces, expected 6"].assert_eq(&fault.to_string());
}
