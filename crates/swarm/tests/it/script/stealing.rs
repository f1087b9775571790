//! Blocks that a slow peer was asked for and a fast one takes over.

use expect_test::expect;
use peerage_swarm::Config;

use super::{check, config};

#[test]
fn an_idle_peer_takes_over_from_a_silent_one_when_no_piece_may_be_started() {
    let steps = "b joins; b bitfield 0; b unchokes; wait 1; b sends 0.0 0.1; us done 0; a seeds; b gets 1 2; wait 1; b gets 3; wait 2; b gets 4;
                 b sends 1.1; a rejects 1.1; a sends 1.0; us done 1";
    let small = |c: &mut Config| c.limits.partial_bytes_max = 32_768;
    check(
        config(small),
        steps,
        expect![[r#"
        b joins: b unchoke,
        b bitfield 0: b interested,
        b unchokes: b?0.0, b?0.1,
        wait 1:
        b sends 0.0 0.1:
        us done 0: b have 0, b not interested,
        a seeds: a unchoke, a interested, a?1.0, a?1.1,
        b gets 1 2: b interested,
        wait 1:
        b gets 3:
        wait 2:
        b gets 4: a!1.1, b?1.1,
        b sends 1.1: a!1.0, b?1.0,
        a rejects 1.1:
        a sends 1.0: b!1.0,
        us done 1: b have 1, a have 1, b?2.0, b?2.1,
    "#]],
    );
}

#[test]
fn what_comes_first_is_taken_over_by_a_peer_that_is_not_idle() {
    let steps = "b joins; b bitfield 0 2 3 4 5; b unchokes; wait 1; b sends 0.0 0.1; us done 0; us wants nFnnnn; a joins; a bitfield 1;
                 a unchokes; wait 6; b gets 1; b sends 2.0";
    check(
        config(|c| c.limits.depth_max = 3),
        steps,
        expect![[r#"
        b joins: b unchoke,
        b bitfield 0 2 3 4 5: b interested,
        b unchokes: b?0.0, b?0.1, b?2.0,
        wait 1:
        b sends 0.0 0.1: b?2.1, b?3.0,
        us done 0: b have 0,
        us wants nFnnnn:
        a joins: a unchoke,
        a bitfield 1: a interested,
        a unchokes: a?1.0, a?1.1,
        wait 6:
        b gets 1:
        b sends 2.0: a!1.1, b?1.1,
    "#]],
    );
    check(
        config(|c| (c.limits.depth_max, c.limits.steal) = (3, false)),
        steps,
        expect![[r#"
        b joins: b unchoke,
        b bitfield 0 2 3 4 5: b interested,
        b unchokes: b?0.0, b?0.1, b?2.0,
        wait 1:
        b sends 0.0 0.1: b?2.1, b?3.0,
        us done 0: b have 0,
        us wants nFnnnn:
        a joins: a unchoke,
        a bitfield 1: a interested,
        a unchokes: a?1.0, a?1.1,
        wait 6:
        b gets 1:
        b sends 2.0: b?3.1,
    "#]],
    );
}

/// Nothing else happens with a peer that has nothing left to answer.
#[test]
fn who_lost_all_its_requests_is_asked_for_something_else() {
    let steps = "b joins; b bitfield 0 3 4 5; b unchokes; wait 1; b sends 0.0 0.1; us done 0; us wants nFnnnn; a joins; a bitfield 1 2;
                 a unchokes; wait 6; b gets 1; b sends 3.0; b sends 3.1; a rejects 1.1; a rejects 1.0";
    check(
        config(|c| c.limits.depth_max = 2),
        steps,
        expect![[r#"
        b joins: b unchoke,
        b bitfield 0 3 4 5: b interested,
        b unchokes: b?0.0, b?0.1,
        wait 1:
        b sends 0.0 0.1: b?3.0, b?3.1,
        us done 0: b have 0,
        us wants nFnnnn:
        a joins: a unchoke,
        a bitfield 1 2: a interested,
        a unchokes: a?1.0, a?1.1,
        wait 6:
        b gets 1:
        b sends 3.0: a!1.1, b?1.1, a?2.0,
        b sends 3.1: a!1.0, b?1.0, a?2.1,
        a rejects 1.1:
        a rejects 1.0:
    "#]],
    );
}
