//! design.md's table, rows "group: owner" and "group: members".

use expect_test::{Expect, expect};

use crate::script::Script;

#[track_caller]
fn check(text: &str, expected: Expect) {
    let script = Script::run(text);
    let shown = script.view().map_or_else(|| "no such group".to_owned(), |view| script.show(&view));
    expected.assert_eq(&shown);
}

const THREE: &str = "ann create film -> g; bob ask; cat ask; ann accept bob; ann accept cat;";

#[track_caller]
fn check_three(text: &str, expected: Expect) {
    check(&format!("{THREE} {text}"), expected);
}

#[test]
fn a_member_asked_and_was_accepted() {
    check("ann create film", expect!["owner ann@0 | in ann.0"]);
    check("ann create film; bob ask", expect!["owner ann@0 | in ann.0 | waiting bob.1"]);
    check("ann create film; bob ask; ann accept bob", expect!["owner ann@0 | in ann.0 bob.1"]);
    // Neither half makes a member.
    check("ann create film; ann accept bob inc=1", expect!["owner ann@0 | in ann.0"]);
    check("ann create film; ann accept bob inc=1; bob ask", expect!["owner ann@0 | in ann.0 bob.1"]);
    // An acceptance answers one request, not the next.
    check(
        "ann create film; bob ask inc=2; ann accept bob inc=1",
        expect!["owner ann@0 | in ann.0 | waiting bob.2"],
    );
}

#[test]
fn within_an_incarnation_the_stricter_wins() {
    check(
        "ann create film; bob ask; ann reject bob; ann accept bob inc=1",
        expect!["owner ann@0 | in ann.0 | rejected bob.1"],
    );
    check(
        "ann create film; bob ask; ann accept bob; bob leave; ann accept bob inc=1",
        expect!["owner ann@0 | in ann.0 | left bob.1"],
    );
    check_three(
        "ann kick bob; ann accept bob inc=1; bob leave inc=1; ann reject bob inc=1",
        expect!["owner ann@0 | in ann.0 cat.1 | kicked bob.1"],
    );
    check_three(
        "ann reject bob inc=1; bob leave inc=1",
        expect!["owner ann@0 | in ann.0 cat.1 | left bob.1"],
    );
    check_three(
        "@1000 ann kick bob; @50 ann/2 accept bob inc=1",
        expect!["owner ann@0 | in ann.0 cat.1 | kicked bob.1"],
    );
}

#[test]
fn coming_back_needs_the_next_incarnation() {
    check_three(
        "ann kick bob; bob ask inc=1; ann accept bob inc=1",
        expect!["owner ann@0 | in ann.0 cat.1 | kicked bob.1"],
    );
    check_three("ann kick bob; bob ask", expect!["owner ann@0 | in ann.0 cat.1 | waiting bob.2"]);
    check_three("ann kick bob; bob ask; ann accept bob", expect!["owner ann@0 | in ann.0 bob.2 cat.1"]);
    check_three(
        "bob leave; bob ask; ann accept bob; ann kick bob",
        expect!["owner ann@0 | in ann.0 cat.1 | kicked bob.2"],
    );
    // A kick ends all earlier comings: losing the later request does not bring the older membership back.
    check_three(
        "bob leave; bob/2 ask; ann accept bob; ann kick bob; bob revoke 2",
        expect!["owner ann@0 | in ann.0 cat.1 | kicked bob.2"],
    );
    check_three(
        "bob/2 ask inc=2; ann accept bob inc=2; ann kick bob; bob revoke 2",
        expect!["owner ann@0 | in ann.0 cat.1 | kicked bob.2"],
    );
    // Nor is an incarnation free again because its request is void.
    check_three(
        "dan/2 ask; dan leave; dan revoke 2; dan ask",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.2"],
    );
    check("ann create film; ann kick bob inc=7; bob ask", expect!["owner ann@0 | in ann.0 | waiting bob.8"]);
}

#[test]
fn only_the_owner_decides() {
    check_three(
        "bob kick cat; bob accept dan inc=1; bob close; bob handover bob",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1"],
    );
    check_three(
        "dan ask; dan accept dan; eve kick bob",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // In the owner's name, with a key that is not the owner's.
    check_three(
        "eve kick bob by=ann; eve/x kick bob by=ann; ann/x kick bob",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1"],
    );
    // Nobody kicks the owner, not even the owner.
    check_three(
        "bob kick ann; ann kick ann; ann leave; ann reject ann inc=0",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1"],
    );
    // Nor does it cut off the owner's later comings.
    check_three(
        "ann kick ann inc=9; ann handover bob; ann ask; bob accept ann; bob handover ann",
        expect!["owner ann@2 | in ann.1 cat.1 | left bob.1"],
    );
    // A grant names a layer that this version does not have.
    check_three("ann kick bob grant=g", expect!["owner ann@0 | in ann.0 bob.1 cat.1"]);
    // Nor does a later or a wrong term count.
    check_three("ann kick bob epoch=1", expect!["owner ann@0 | in ann.0 bob.1 cat.1"]);
    check_three("bob leave by=cat; cat leave by=bob", expect!["owner ann@0 | in ann.0 bob.1 cat.1"]);
}

#[test]
fn a_handover_makes_the_first_willing_heir_owner() {
    check_three("ann handover bob,cat", expect!["owner bob@1 | in bob.1 cat.1 | left ann.0"]);
    check_three("bob leave; ann handover bob:1,cat", expect!["owner cat@1 | in cat.1 | left ann.0 bob.1"]);
    check_three("ann handover bob,cat; bob leave", expect!["owner cat@1 | in cat.1 | left ann.0 bob.1"]);
    // Put out, never asked, wrong incarnation, the leaver themself: none of them inherits.
    check_three(
        "ann kick bob; ann handover bob:1,cat",
        expect!["owner cat@1 | in cat.1 | kicked bob.1 | left ann.0"],
    );
    check_three("ann handover dan:1,bob:2,ann:0,cat", expect!["owner cat@1 | in bob.1 cat.1 | left ann.0"]);
    check_three("ann handover - -> h", expect!["owner ann@0 | ended by h | left ann.0 bob.1 cat.1"]);
    check_three(
        "ann handover bob -> h; bob leave; cat leave",
        expect!["owner ann@0 | ended by h | left ann.0 bob.1 cat.1"],
    );
    check_three(
        "ann handover bob; bob handover cat; cat handover - -> h",
        expect!["owner cat@2 | ended by h | left ann.0 bob.1 cat.1"],
    );
    // The first of two counts.
    check_three(
        "ann handover bob; ann/2 handover cat epoch=0",
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0"],
    );
    check_three(
        "@900 ann handover bob; @800 ann/2 handover cat epoch=0",
        expect!["owner cat@1 | in cat.1 | left ann.0 | waiting bob.1"],
    );
}

#[test]
fn who_took_office_can_only_hand_over() {
    let acted = "ann handover bob,cat; dan ask; bob accept dan;";
    check_three(acted, expect!["owner bob@1 | in bob.1 cat.1 dan.1 | left ann.0"]);
    check_three(&format!("{acted} bob leave"), expect!["owner bob@1 | in bob.1 cat.1 dan.1 | left ann.0"]);
    check_three(
        &format!("{acted} bob handover cat; bob leave inc=1"),
        expect!["owner cat@2 | in cat.1 dan.1 | left ann.0 bob.1"],
    );
    check_three(
        &format!("{acted} bob handover cat; bob ask; cat accept bob; bob leave"),
        expect!["owner cat@2 | in cat.1 dan.1 | left ann.0 bob.2"],
    );
    // Left before anyone could know of the Handover: the next heir, and what was decided is void.
    check_three(
        &format!("{acted} @55 bob/2 leave"),
        expect!["owner cat@1 | in cat.1 | left ann.0 bob.1 | waiting dan.1"],
    );
}

#[test]
fn a_past_owners_records_count_up_to_the_handover() {
    check_three(
        "ann handover bob; ann kick cat epoch=0 inc=1",
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0"],
    );
    check_three(
        "ann handover bob; @5 ann kick cat epoch=0 inc=1",
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0"],
    );
    check_three(
        "ann handover bob; ann/2 kick cat epoch=0 inc=1; ann close epoch=0",
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0"],
    );
    // A second device's records count if the Handover names them.
    check_three(
        "dan ask; ann/2 accept dan -> k; ann handover bob heads=k",
        expect!["owner bob@1 | in bob.1 cat.1 dan.1 | left ann.0"],
    );
    check_three(
        "dan ask; ann/2 accept dan -> k; ann handover bob heads=none",
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
    check_three(
        "dan ask; ann/2 accept dan; ann/2 kick cat -> k; ann handover bob heads=k",
        expect!["owner bob@1 | in bob.1 dan.1 | kicked cat.1 | left ann.0"],
    );
    // The new owner answers a request that the old one's lost record answered.
    check_three(
        "dan ask; ann/2 accept dan; ann handover bob heads=none; bob accept dan",
        expect!["owner bob@1 | in bob.1 cat.1 dan.1 | left ann.0"],
    );
    // A chain with a gap ends at the gap.
    check_three(
        "dan ask; ann accept dan -> k; ann handover bob prev=none heads=none",
        expect!["owner bob@1 | in bob.1 | left ann.0 | waiting cat.1 dan.1 | fork of ann: g 4mfvuivk"],
    );
    check_three(
        "dan ask; ann accept dan; ann handover bob; bob handover cat; bob kick dan epoch=1",
        expect!["owner cat@2 | in cat.1 dan.1 | left ann.0 bob.1"],
    );
}

#[test]
fn a_past_owner_is_out_and_may_come_back() {
    check_three("ann handover bob; ann ask; bob accept ann", expect!["owner bob@1 | in ann.1 bob.1 cat.1"]);
    check_three(
        "ann handover bob; ann ask inc=0; bob accept ann inc=0",
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0"],
    );
    check_three(
        "ann handover bob; ann ask; bob accept ann; bob handover ann",
        expect!["owner ann@2 | in ann.1 cat.1 | left bob.1"],
    );
    check_three(
        "ann handover bob; bob handover cat; cat handover bob:1 -> h",
        expect!["owner cat@2 | ended by h | left ann.0 bob.1 cat.1"],
    );
}

#[test]
fn a_close_is_final() {
    check_three("ann close -> c", expect!["owner ann@0 | ended by c | left ann.0 bob.1 cat.1"]);
    check_three(
        "ann close -> c; dan ask; ann accept dan; bob share x=1",
        expect!["owner ann@0 | ended by c | left ann.0 bob.1 cat.1 dan.1"],
    );
    check_three(
        "ann close -> c; ann/2 close -> d",
        expect!["owner ann@0 | ended by c | left ann.0 bob.1 cat.1"],
    );
    check_three(
        "ann close -> c; ann handover bob",
        expect!["owner ann@0 | ended by c | left ann.0 bob.1 cat.1"],
    );
    // A Close that the Handover did not know of comes too late.
    check_three(
        "ann/2 close -> c; ann handover bob heads=none",
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0"],
    );
}

#[test]
fn revoked_devices() {
    check_three("ann/2 kick bob -> k; ann revoke 2", expect!["owner ann@0 | in ann.0 bob.1 cat.1"]);
    check_three(
        "ann/2 kick bob -> k; ann/2 kick cat; ann revoke 2 keep=k",
        expect!["owner ann@0 | in ann.0 cat.1 | kicked bob.1"],
    );
    check_three(
        "ann/2 kick bob -> k; ann/2 kick cat -> l; ann revoke 2 keep=k; ann revoke 2 keep=l",
        expect!["owner ann@0 | in ann.0 | kicked bob.1 cat.1"],
    );
    check_three(
        "ann/2 kick bob prev=none; ann/2 kick cat prev=none -> l; ann revoke 2 keep=l",
        expect!["owner ann@0 | in ann.0 bob.1 | kicked cat.1 | fork of ann: 32iz74k7 l"],
    );
    check_three(
        "ann/2 kick bob -> k; ann/2 kick cat -> l; ann revoke 2 keep=l; ann revoke 2 keep=k",
        expect!["owner ann@0 | in ann.0 | kicked bob.1 cat.1"],
    );
    // A chain does not run through another device.
    check_three(
        "ann/2 kick bob -> k; ann kick dan inc=1 prev=k -> l; ann/2 kick cat prev=l -> m; ann revoke 2 keep=m",
        expect!["owner ann@0 | in ann.0 bob.1 | kicked cat.1 | stranger dan.1"],
    );
    // A head of another device keeps nothing of this one.
    check_three(
        "ann kick bob -> k; ann/2 kick cat prev=k; ann revoke 2 keep=k",
        expect!["owner ann@0 | in ann.0 cat.1 | kicked bob.1"],
    );
    check_three("ann revoke 1", expect!["owner ann@0 | in ann.0 | waiting bob.1 cat.1"]);
    check_three("ann revoke 1 keep=g", expect!["owner ann@0 | in ann.0 | waiting bob.1 cat.1"]);
}

/// bob was handed the group, and has decided something.
const IN_OFFICE: &str = "ann/2 handover bob,cat -> h; dan ask; bob accept dan;";

#[test]
fn a_revocation_takes_no_office_away() {
    // Nobody had taken office: the Handover is what the device did last, and falls with it.
    check_three("ann/2 handover bob,cat; ann revoke 2", expect!["owner ann@0 | in ann.0 bob.1 cat.1"]);
    // Somebody had: it stands, whatever the past owner revokes.
    check_three(
        &format!("{IN_OFFICE} ann revoke 2"),
        expect!["owner bob@1 | in bob.1 cat.1 dan.1 | left ann.0"],
    );
    check_three(
        &format!("{IN_OFFICE} ann revoke 1; ann revoke 2"),
        expect!["owner bob@1 | in bob.1 cat.1 dan.1 | left ann.0"],
    );
    check_three(
        &format!("{IN_OFFICE} bob handover cat; bob revoke 1; ann revoke 1; ann revoke 2"),
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
    check_three(
        &format!("{IN_OFFICE} bob revoke 1"),
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
    // What the Handover takes note of stands with it; what it does not know of fell at that time.
    check_three(
        "ann/3 kick cat -> k; dan ask; ann/2 accept dan; ann/2 handover bob heads=k; bob kick dan; ann revoke 2; ann revoke 3",
        expect!["owner bob@1 | in bob.1 | kicked cat.1 dan.1 | left ann.0"],
    );
    // Whoever holds the device afterwards can hand over nothing, whoever plays along.
    check_three(
        "ann revoke 2 keep=g; ann/2 handover bob; bob kick cat epoch=1",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1"],
    );
    check_three(
        "bob kick cat epoch=1; ann/2 manifest a=1; ann revoke 2; ann/2 handover bob epoch=0",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1"],
    );
    // Nor does the founder lose the group, nor the group its founder.
    check_three(
        "ann/2 accept dan; ann revoke 1; ann/2 kick bob inc=1; bob ask; ann/2 accept bob",
        expect!["owner ann@0 | in ann.0 bob.2 | waiting cat.1"],
    );
}

#[test]
fn an_owner_may_hand_over_and_stay() {
    check_three("ann handover bob stays=yes", expect!["owner bob@1 | in ann.0 bob.1 cat.1"]);
    check_three(
        "ann handover bob stays=yes; bob kick ann",
        expect!["owner bob@1 | in bob.1 cat.1 | kicked ann.0"],
    );
    check_three(
        "ann handover bob stays=yes; ann leave",
        expect!["owner bob@1 | in bob.1 cat.1 | left ann.0"],
    );
    check_three(
        "ann handover bob stays=yes; ann share x=1; bob handover ann stays=yes",
        expect!["owner ann@2 | in ann.0 bob.1 cat.1 | x=1 by ann"],
    );
    check_three(
        "ann handover bob stays=yes; bob handover ann; ann handover cat,bob:1",
        expect!["owner cat@3 | in cat.1 | left ann.0 bob.1"],
    );
    check_three(
        "ann handover bob stays=yes; bob admin ann; dan ask; ann accept dan",
        expect!["owner bob@1 | admins ann | in ann.0 bob.1 cat.1 dan.1"],
    );
    // An owner's Leave has no effect, and who then says that they stay, stays.
    check_three(
        "ann leave; ann handover bob stays=yes; bob handover ann:0",
        expect!["owner ann@2 | in ann.0 cat.1 | left bob.1"],
    );
    // Nobody willing: the group goes on with the owner it had, in a new term.
    check_three(
        "bob leave; ann handover bob:1 stays=yes; dan ask; ann accept dan",
        expect!["owner ann@1 | in ann.0 cat.1 dan.1 | left bob.1"],
    );
    check_three(
        "ann handover bob stays=yes; bob leave; dan ask; ann accept dan",
        expect!["owner ann@1 | in ann.0 cat.1 dan.1 | left bob.1"],
    );
    check_three(
        "bob leave; ann handover bob:1 -> h",
        expect!["owner ann@0 | ended by h | left ann.0 bob.1 cat.1"],
    );
    check_three(
        "ann handover bob stays=yes; ann close epoch=0",
        expect!["owner bob@1 | in ann.0 bob.1 cat.1"],
    );
}

#[test]
fn unknown_kinds_are_links_of_the_chain_and_nothing_else() {
    check_three(
        "ann future; dan ask; ann accept dan; ann future; ann handover bob",
        expect!["owner bob@1 | in bob.1 cat.1 dan.1 | left ann.0"],
    );
}
