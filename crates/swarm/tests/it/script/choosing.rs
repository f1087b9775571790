//! Which block is asked of whom.

use expect_test::expect;
use peerage_swarm::Config;

use super::{PIECES, check, config};

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
            us done 0: a have 0,
            a sends 1.0 1.1 2.0 2.1: a?3.0, a?3.1, a?4.0, a?4.1,
            us done 1 2: a have 1, a have 2,
            a sends 3.0 3.1 4.0 4.1: a?5.0, a?5.1,
            a sends 5.0 5.1:
            us done 3 4 5: a have 3, a have 4, a have 5, a not interested, complete,
            wait 60: may leave,
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
            a seeds: a unchoke, a interested, a?3.0, a?3.1, a?0.0, a?0.1,
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
            us done 0: a have 0, a not interested, b have 0, b not interested, c have 0, c not interested, complete,
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
            us done 1: a have 1, b have 1, a?2.0, a?2.1,
            us done 0: a have 0, b have 0, a?3.0, a?3.1,
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
            us done 0: a!0.0, a have 0, b have 0, c have 0, c not interested, a?1.0,
            us done 1 2 3 4 5: a!1.0, a have 1, b have 1, c have 1, a have 2, b have 2, c have 2, a have 3, b have 3, c have 3, a have 4, b have 4, c have 4, a have 5, a not interested, b have 5, c have 5, complete,
            d joins: d suggest 1, d suggest 3, d suggest 5, d suggest 2, d unchoke,
            d all:
        "#]],
    );
}
