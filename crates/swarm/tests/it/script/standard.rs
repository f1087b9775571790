//! Clients that speak none of our extensions: tit for tat beside our members' turns.

use expect_test::expect;
use peerage_wire::Bitfield;

use super::{PIECES, check, config};

#[test]
fn who_gives_most_is_served_and_one_on_trial() {
    let steps = "a joins-standard; b joins-standard; c joins-standard; d joins-standard; a wants-ours; b wants-ours; c wants-ours;
                 d wants-ours; c all; c unchokes; c sends 0.0 0.1; wait 10; c sends 1.0; wait 10; wait 10; wait 10; wait 10";
    check(
        config(|c| c.limits.standard_slots = 2),
        steps,
        expect![[r#"
        a joins-standard:
        b joins-standard:
        c joins-standard:
        d joins-standard:
        a wants-ours: a unchoke,
        b wants-ours: b unchoke,
        c wants-ours:
        d wants-ours:
        c all: c interested,
        c unchokes: c?0.0, c?0.1, c?1.0, c?1.1,
        c sends 0.0 0.1: c?2.0, c?2.1,
        wait 10: c!1.0, c!1.1, c!2.0, c!2.1, c?3.0,
        c sends 1.0:
        wait 10: c!3.0, a choke, c unchoke,
        wait 10: c choke, d unchoke, c?3.0,
        wait 10: c!3.0, b choke, d choke, a unchoke, c unchoke,
        wait 10: a choke, b unchoke, c?4.0,
    "#]],
    );
}

#[test]
fn a_complete_one_serves_those_who_have_waited() {
    let steps = "a joins-standard; b joins-standard; c joins-standard; a wants-ours; b wants-ours; c wants-ours; wait 10; wait 10;
                 b has-enough; wait 1; c leaves; wait 1; wait 10";
    check(
        config(|c| (c.have, c.limits.standard_slots) = (Bitfield::full(PIECES), 2)),
        steps,
        expect![[r#"
        a joins-standard:
        b joins-standard:
        c joins-standard:
        a wants-ours: a unchoke,
        b wants-ours: b unchoke,
        c wants-ours:
        wait 10:
        wait 10: a choke, c unchoke,
        b has-enough:
        wait 1: b choke, a unchoke,
        c leaves:
        wait 1:
        wait 10:
    "#]],
    );
}

#[test]
fn members_keep_their_turns_beside_them() {
    let steps = "a joins-standard; b joins-standard; a wants-ours; b wants-ours; c joins; d joins; c wants-ours; d wants-ours;
                 c asks 0; c gets 0; d asks 1; a asks 0; wait 10";
    let change = |c: &mut peerage_swarm::Config| {
        c.have = Bitfield::full(PIECES);
        (c.limits.standard_slots, c.limits.upload_slots, c.limits.upload_turn_bytes) = (1, 1, 1);
        (c.limits.suggest, c.limits.upload_slots_max) = (false, 1);
    };
    check(
        config(change),
        steps,
        expect![[r#"
        a joins-standard:
        b joins-standard:
        a wants-ours: a unchoke,
        b wants-ours:
        c joins: c unchoke,
        d joins:
        c wants-ours:
        d wants-ours:
        c asks 0: c allow 0, c choke,
        c gets 0: d unchoke,
        d asks 1: d allow 1, d choke,
        a asks 0:
        wait 10: c unchoke,
    "#]],
    );
}
