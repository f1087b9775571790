//! When a peer that only wanted the file may go.

use expect_test::expect;
use peerage_swarm::Config;

use super::{PIECES, check, config};

fn last_piece(c: &mut Config) {
    (1..PIECES).for_each(|piece| _ = c.have.set(piece));
}

#[test]
fn at_once_when_nobody_wants_anything() {
    check(
        config(last_piece),
        "a seeds; a sends 0.0 0.1; us done 0; wait 1; wait 60",
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1,
        a sends 0.0 0.1:
        us done 0: a have 0, a not interested, complete,
        wait 1: may leave,
        wait 60:
    "#]],
    );
}

#[test]
fn after_one_piece_more_or_a_minute() {
    let steps = "a seeds; b joins; b wants-ours; us done 0; wait 1; b takes 32767; wait 1; b takes 1; wait 1; wait 60";
    check(
        config(last_piece),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1,
        b joins: b unchoke,
        b wants-ours:
        us done 0: a!0.0, a!0.1, a have 0, a not interested, b have 0, complete,
        wait 1:
        b takes 32767:
        wait 1:
        b takes 1:
        wait 1: may leave,
        wait 60:
    "#]],
    );
    let steps = "a seeds; b joins; b wants-ours; us done 0; wait 1; wait 30; wait 28; wait 1; wait 60";
    check(
        config(last_piece),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0, a?0.1,
        b joins: b unchoke,
        b wants-ours:
        us done 0: a!0.0, a!0.1, a have 0, a not interested, b have 0, complete,
        wait 1:
        wait 30:
        wait 28:
        wait 1: may leave,
        wait 60:
    "#]],
    );
}

#[test]
fn not_when_more_is_wanted_after_all() {
    let steps = "a seeds; us wants nnnnn-; us done 0 1 2 3 4; us wants nnnnnn; wait 60; us done 5; wait 1";
    check(
        config(|c| c.limits.depth_max = 1),
        steps,
        expect![[r#"
        a seeds: a unchoke, a interested, a?0.0,
        us wants nnnnn-:
        us done 0 1 2 3 4: a!0.0, a have 0, a have 1, a have 2, a have 3, a have 4, a not interested, complete,
        us wants nnnnnn: a interested, a?5.0,
        wait 60: a!5.0, a?5.0,
        us done 5: a!5.0, a have 5, a not interested, complete,
        wait 1: may leave,
    "#]],
    );
}
