//! Pieces that are wanted more, less or not at all.

use expect_test::expect;

use super::{check, config, priorities};

#[test]
fn skipped_pieces_are_never_requested() {
    let steps =
        "a seeds; a sends 1.0 1.1; us done 1; a sends 3.0 3.1; us done 3; us wants nnn---; us done 0 2";
    check(
        config(|c| c.priorities = priorities("-n-n--")),
        steps,
        expect![[r#"
            a seeds: a unchoke, a interested, a?1.0, a?1.1, a?3.0, a?3.1,
            a sends 1.0 1.1:
            us done 1: a have 1,
            a sends 3.0 3.1:
            us done 3: a have 3, a not interested, complete,
            us wants nnn---: a interested, a?0.0, a?0.1, a?2.0, a?2.1,
            us done 0 2: a!0.0, a!0.1, a have 0, a!2.0, a!2.1, a have 2, a not interested, complete,
        "#]],
    );
}

#[test]
fn what_comes_first_goes_before_what_has_begun() {
    let steps =
        "a seeds; us wants lnFnnF; a sends 0.0; a sends 0.1; b seeds; a sends 1.0; b sends 2.1; a sends 2.0";
    check(
        config(|c| c.limits.depth_max = 3),
        steps,
        expect![[r#"
            a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0,
            us wants lnFnnF:
            a sends 0.0: a?2.0,
            a sends 0.1: a?2.1,
            b seeds: b unchoke, b interested, b?5.0, b?5.1, b?1.1,
            a sends 1.0: a?3.0,
            b sends 2.1: fault: the peer answered a request that was not made: 16384 bytes at 16384 in piece 2
            a sends 2.0: a?3.1,
        "#]],
    );
}

#[test]
fn dropping_what_is_under_way_completes() {
    let steps = "a seeds; a sends 0.0 0.1 1.0; us wants ------; a sends 1.1; us done 0; us wants ---n--; a sends 3.0 3.1; us done 3";
    check(
        config(|_| {}),
        steps,
        expect![[r#"
            a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
            a sends 0.0 0.1 1.0: a?2.0, a?2.1, a?3.0,
            us wants ------: a!1.1, a!2.0, a!2.1, a!3.0, a not interested, complete,
            a sends 1.1:
            us done 0: a have 0,
            us wants ---n--: a interested, a?3.0, a?3.1,
            a sends 3.0 3.1:
            us done 3: a have 3, a not interested, complete,
        "#]],
    );
}

#[test]
fn an_unwanted_piece_that_turns_out_wrong_is_dropped() {
    let steps = "a seeds; a sends 0.0 0.1; us wants ------; a spoils 0.1; us wants n-----; b seeds";
    check(
        config(|_| {}),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1, a?1.0, a?1.1,
        a sends 0.0 0.1: a?2.0, a?2.1,
        us wants ------: a!1.0, a!1.1, a!2.0, a!2.1, a not interested, complete,
        a spoils 0.1:
        us wants n-----: a interested,
        b seeds: b unchoke, b interested, b?0.0, b?0.1,
    "#]],
    );
}
