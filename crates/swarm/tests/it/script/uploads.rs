//! Whom we serve, and what a seeder would like to send.

use expect_test::expect;
use peerage_swarm::Config;
use peerage_wire::Bitfield;

use super::{PIECES, check, config};

/// We have everything, and two slots with turns of one piece.
fn seeder(change: impl FnOnce(&mut Config)) -> Config {
    config(|c| {
        c.have = Bitfield::full(PIECES);
        (c.limits.upload_slots, c.limits.upload_turn_bytes) = (2, 1);
        change(c);
    })
}

#[test]
fn first_copies_are_all_different() {
    let steps =
        "a joins; b joins; a wants-ours; b wants-ours; a asks 0; b asks 1; a gets 0; a asks 2; b gets 1";
    check(
        seeder(|_| {}),
        steps,
        expect![[r#"
        a joins: a suggest 1, a suggest 3, a suggest 5, a suggest 2, a unchoke,
        b joins: b suggest 4, b suggest 0, b suggest 3, b suggest 5, b unchoke,
        a wants-ours:
        b wants-ours:
        a asks 0:
        b asks 1:
        a gets 0:
        a asks 2: a suggest 4,
        b gets 1:
    "#]],
    );
}

#[test]
fn a_crowd_is_handed_pieces_that_exist_nowhere_else() {
    let steps = "a joins; b joins; c joins; d joins; c wants-ours; a wants-ours; d wants-ours; c asks 0; c asks 1; c asks 2;
                 c gets 0; c gets 1; c gets 2; wait 1; wait 1; wait 6";
    check(
        seeder(|_| {}),
        steps,
        expect![[r#"
        a joins: a suggest 1, a suggest 3, a suggest 5, a suggest 2, a unchoke,
        b joins: b suggest 4, b suggest 0, b suggest 3, b suggest 5, b unchoke,
        c joins:
        d joins:
        c wants-ours: a choke, c allow 2,
        a wants-ours: b choke, a allow 3,
        d wants-ours:
        c asks 0:
        c asks 1:
        c asks 2:
        c gets 0:
        c gets 1:
        c gets 2: d allow 4,
        wait 1: c allow 3, a suggest 5, a suggest 4, a suggest 2, a suggest 1, a unchoke,
        wait 1: a choke, d suggest 4, d suggest 5, d suggest 3, d suggest 1, d unchoke, a suggest 5, a suggest 0, a suggest 3, a suggest 4, a unchoke,
        wait 6: a choke, c suggest 5, c suggest 3, c suggest 4, c unchoke, d choke, a suggest 4, a suggest 5, a suggest 2, a suggest 0, a unchoke,
    "#]],
    );
}

#[test]
fn a_turn_ends_with_a_whole_piece_and_the_one_who_waited_longest_is_next() {
    let steps = "a joins; b joins; c joins; d joins; a wants-ours; b wants-ours; c wants-ours; d wants-ours; a asks 0;
                 a asks 3; b asks 1; b gets 1; a gets 0; c asks 2; c gets 2; d leaves; b asks 4";
    check(
        seeder(|c| c.limits.suggest = false),
        steps,
        expect![[r#"
        a joins: a unchoke,
        b joins: b unchoke,
        c joins:
        d joins:
        a wants-ours:
        b wants-ours:
        c wants-ours:
        d wants-ours:
        a asks 0: a allow 0, a choke,
        a asks 3:
        b asks 1: b allow 1, b choke,
        b gets 1: c unchoke,
        a gets 0: d unchoke,
        c asks 2: c allow 2, c choke,
        c gets 2: a unchoke,
        d leaves: b unchoke,
        b asks 4: b allow 4, b choke,
    "#]],
    );
}

#[test]
fn who_wants_nothing_makes_room() {
    let steps = "a joins; b joins; c joins; c wants-ours; a wants-ours; b wants-ours; c has-enough";
    check(
        seeder(|c| c.limits.suggest = false),
        steps,
        expect![[r#"
        a joins: a unchoke,
        b joins: b unchoke,
        c joins:
        c wants-ours: a choke, c unchoke,
        a wants-ours: b choke, a unchoke,
        b wants-ours:
        c has-enough: c choke, b unchoke,
    "#]],
    );
}

#[test]
fn a_slot_is_not_kept_by_who_asks_for_nothing_or_takes_nothing() {
    let steps = "a joins; b joins; c joins; a wants-ours; b wants-ours; c wants-ours; b asks 1; wait 1; wait 1; wait 30";
    check(
        seeder(|c| c.limits.suggest = false),
        steps,
        expect![[r#"
            a joins: a unchoke,
            b joins: b unchoke,
            c joins:
            a wants-ours:
            b wants-ours:
            c wants-ours:
            b asks 1: b allow 1, b choke,
            wait 1: a choke, c unchoke,
            wait 1: c choke, a unchoke,
            wait 30: a choke, c unchoke, a unchoke,
        "#]],
    );
}

#[test]
fn a_turn_ends_too_for_who_asks_for_what_it_says_it_has_again_and_again() {
    let steps = "a joins; b joins; c joins; a wants-ours; b wants-ours; c wants-ours; a gets 0; a asks 0; a takes 60000;
                 a takes 60000";
    check(
        seeder(|c| c.limits.suggest = false),
        steps,
        expect![[r#"
        a joins: a unchoke,
        b joins: b unchoke,
        c joins:
        a wants-ours:
        b wants-ours:
        c wants-ours:
        a gets 0:
        a asks 0:
        a takes 60000:
        a takes 60000: a choke, c unchoke,
    "#]],
    );
}

#[test]
fn who_connects_anew_waits_behind_the_others() {
    let steps = "a joins; b joins; c joins; d joins; a wants-ours; b wants-ours; c wants-ours; d wants-ours; a asks 0; a leaves;
                 a joins; a wants-ours; b asks 1; b gets 1; c asks 2; c gets 2";
    check(
        seeder(|c| c.limits.suggest = false),
        steps,
        expect![[r#"
        a joins: a unchoke,
        b joins: b unchoke,
        c joins:
        d joins:
        a wants-ours:
        b wants-ours:
        c wants-ours:
        d wants-ours:
        a asks 0: a allow 0, a choke,
        a leaves: c unchoke,
        a joins:
        a wants-ours:
        b asks 1: b allow 1, b choke,
        b gets 1: d unchoke,
        c asks 2: c allow 2, c choke,
        c gets 2: a unchoke,
    "#]],
    );
}

#[test]
fn a_slot_whose_receiver_takes_little_is_given_to_another_besides() {
    let steps = "a joins; b joins; c joins; d joins; e joins; a wants-ours; b wants-ours; a takes 60000; b takes 60000; wait 1; a takes 1; wait 1;
                 c wants-ours; d wants-ours; e wants-ours; a asks 0; b asks 2; wait 1; a takes 1; b takes 30000; wait 1; a takes 1; b takes 30000; wait 1; a takes 1; b takes 30000;
                 wait 1; a takes 1; b takes 30000; wait 1";
    check(
        seeder(|c| {
            (c.limits.suggest, c.limits.upload_slots_max, c.limits.upload_turn_bytes) = (false, 3, 60_000);
        }),
        steps,
        expect![[r#"
            a joins: a unchoke,
            b joins: b unchoke,
            c joins:
            d joins:
            e joins:
            a wants-ours:
            b wants-ours:
            a takes 60000:
            b takes 60000:
            wait 1:
            a takes 1:
            wait 1:
            c wants-ours:
            d wants-ours:
            e wants-ours:
            a asks 0:
            b asks 2:
            wait 1:
            a takes 1:
            b takes 30000:
            wait 1: c unchoke,
            a takes 1:
            b takes 30000:
            wait 1: c choke, d unchoke,
            a takes 1:
            b takes 30000: b allow 2, b choke,
            wait 1: d choke, e unchoke,
            a takes 1:
            b takes 30000:
            wait 1: e choke, c unchoke,
        "#]],
    );
}
