//! design.md's table, row "group: admins": who decides beside the owner, and how that ends.

use expect_test::{Expect, expect};

use crate::script::Script;

/// bob is an admin, cat a member, dan waits.
const ADMIN: &str =
    "ann create film -> g; bob ask; cat ask; ann accept bob; ann accept cat; ann admin bob -> a; dan ask;";

#[track_caller]
fn check(text: &str, expected: Expect) {
    let script = Script::run(&format!("{ADMIN} {text}"));
    expected.assert_eq(&script.show(&script.view().unwrap()));
}

#[test]
fn admins_decide_about_plain_members() {
    check("", expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"]);
    check("bob accept dan", expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 dan.1"]);
    check("bob reject dan", expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | rejected dan.1"]);
    check(
        "bob kick cat",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 | kicked cat.1 | waiting dan.1"],
    );
    check(
        "bob kick cat; cat ask; bob accept cat",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.2 | waiting dan.1"],
    );
    // Neither about the owner, nor about admins, nor about themselves.
    check(
        "ann admin cat; bob kick ann; bob kick cat; bob kick bob",
        expect!["owner ann@0 | admins cat bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // Only under a grant of their own and of this term.
    check(
        "cat accept dan; cat kick bob; cat kick cat grant=a; bob kick cat grant=none",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    check(
        "ann admin cat -> b; bob accept dan grant=b; bob kick dan epoch=1",
        expect!["owner ann@0 | admins cat bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // Only the owner makes admins, hands over and closes.
    check(
        "bob admin cat; bob unadmin bob grant=a; bob close; bob handover bob",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
}

#[test]
fn a_grant_ends_by_revocation() {
    check(
        "bob accept dan; ann unadmin bob; bob kick cat grant=a",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 dan.1"],
    );
    // A revocation that takes note of nothing leaves nothing.
    check(
        "bob accept dan; ann unadmin bob heads=none",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    check(
        "bob accept dan -> k; bob kick cat; ann unadmin bob heads=k",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 dan.1"],
    );
    check(
        "bob accept dan; bob/2 kick cat; ann unadmin bob",
        expect!["owner ann@0 | in ann.0 bob.1 dan.1 | kicked cat.1"],
    );
    // What the owner did not know of, whatever its stamp.
    check(
        "ann unadmin bob; @5 bob/2 accept dan grant=a",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // Of two revocations the stricter one counts in each respect.
    check(
        "bob accept dan -> k; bob kick cat -> l; ann unadmin bob heads=k; ann/2 unadmin bob grant=a heads=l",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 dan.1"],
    );
    check(
        "ann unadmin bob; ann admin bob; bob accept dan",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 dan.1"],
    );
    // Granted twice: each grant needs its own end.
    check(
        "ann/2 admin bob -> b; ann unadmin bob",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    check(
        "ann/2 admin bob -> b; ann unadmin bob; ann unadmin bob; bob accept dan grant=b",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // Only of a grant, only in its term, only by the owner.
    check(
        "ann unadmin bob grant=g; cat unadmin bob grant=a; ann unadmin bob epoch=1",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
}

#[test]
fn a_grant_ends_with_the_membership() {
    check(
        "bob accept dan; bob leave; bob/2 kick cat grant=a",
        expect!["owner ann@0 | in ann.0 cat.1 dan.1 | left bob.1"],
    );
    check(
        "bob accept dan; ann kick bob; bob/2 kick cat grant=a",
        expect!["owner ann@0 | in ann.0 cat.1 dan.1 | kicked bob.1"],
    );
    check(
        "bob leave; bob ask; ann accept bob; bob accept dan grant=a",
        expect!["owner ann@0 | in ann.0 bob.2 cat.1 | waiting dan.1"],
    );
    check(
        "bob leave; bob ask; ann accept bob; ann admin bob; bob accept dan",
        expect!["owner ann@0 | admins bob | in ann.0 bob.2 cat.1 dan.1"],
    );
    check(
        "bob ask inc=2; bob accept dan grant=a",
        expect!["owner ann@0 | in ann.0 cat.1 | waiting bob.2 dan.1"],
    );
    // A grant for another coming is none.
    check(
        "ann admin cat inc=2; cat accept dan",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    check(
        "ann admin cat inc=2; ann kick cat inc=1; cat ask; cat accept dan",
        expect!["owner ann@0 | admins cat bob | in ann.0 bob.1 cat.2 dan.1"],
    );
    // Whom the owner makes admin is in: an acceptance that becomes void does not matter any more.
    check(
        "bob accept dan; ann admin dan; ann unadmin bob heads=none; dan kick cat",
        expect!["owner ann@0 | admins dan | in ann.0 bob.1 dan.1 | kicked cat.1"],
    );
}

#[test]
fn partitions() {
    // The owner revokes while the admin kicks: void, unless the revocation takes note of it.
    check(
        "ann unadmin bob -> r; bob/2 kick cat grant=a",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // An admin kicks somebody whom the owner makes admin meanwhile: the owner's word stands.
    check(
        "bob kick cat; ann admin cat inc=1",
        expect!["owner ann@0 | admins cat bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    check(
        "@500 ann admin cat; @400 bob kick cat",
        expect!["owner ann@0 | admins cat bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // After that has ended the person is a plain member again, for what comes later.
    check(
        "@500 ann admin cat; @400 bob kick cat; @600 ann unadmin cat",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    check(
        "@500 ann admin cat; @600 ann unadmin cat; @700 bob kick cat",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 | kicked cat.1 | waiting dan.1"],
    );
    // Who comes back and is made admin was kicked before all the same.
    check(
        "bob kick cat; cat ask; bob accept cat; ann admin cat; cat/2 manifest a=1 -> m; cat share a of=m inc=1",
        expect!["owner ann@0 | admins cat bob | in ann.0 bob.1 cat.2 | waiting dan.1"],
    );
    // Two admins who kick each other both stay.
    check(
        "ann admin cat -> b; bob kick cat grant=a; cat kick bob grant=b",
        expect!["owner ann@0 | admins cat bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // The owner kicks while another device of theirs makes the person admin: out is out.
    check(
        "ann kick cat; ann/2 admin cat inc=1 -> b; cat accept dan grant=b",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 | kicked cat.1 | waiting dan.1"],
    );
    // Both accept and reject: the stricter.
    check(
        "ann accept dan; bob reject dan inc=1",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | rejected dan.1"],
    );
}

#[test]
fn a_grant_ends_with_the_term() {
    check("bob accept dan; ann handover cat", expect!["owner cat@1 | in bob.1 cat.1 dan.1 | left ann.0"]);
    check(
        "bob accept dan; ann handover cat heads=none",
        expect!["owner cat@1 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
    check(
        "ann handover cat; bob accept dan grant=a epoch=0",
        expect!["owner cat@1 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
    check(
        "ann handover cat; bob accept dan grant=a",
        expect!["owner cat@1 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
    check(
        "ann handover cat; cat admin bob; bob accept dan",
        expect!["owner cat@1 | admins bob | in bob.1 cat.1 dan.1 | left ann.0"],
    );
    check(
        "ann handover cat; cat handover ann:0; bob accept dan grant=a epoch=0",
        expect!["owner cat@1 | ended by hab4ffrl | left ann.0 bob.1 cat.1 dan.1"],
    );
    // A past owner makes nobody admin.
    check(
        "ann handover cat; ann admin dan epoch=0 inc=1 -> b; dan accept ann grant=b epoch=0 inc=1",
        expect!["owner cat@1 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
    // Nor does an admin's kick from before reach whoever took over.
    check(
        "bob kick cat -> k; ann handover cat:1 heads=k",
        expect!["owner cat@1 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
    check(
        "bob kick cat -> k; ann handover cat:1 heads=k; cat handover ann:0,bob stays=yes",
        expect!["owner bob@2 | in bob.1 cat.1 | left ann.0 | waiting dan.1"],
    );
}

#[test]
fn devices_of_admins() {
    check(
        "bob/2 accept dan; bob revoke 2",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    check(
        "bob/2 accept dan -> k; bob/2 kick cat; bob revoke 2 keep=k",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 dan.1"],
    );
    // What the owner has taken note of stays, whatever becomes of the device.
    check(
        "bob/2 accept dan; ann unadmin bob; bob revoke 2",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 dan.1"],
    );
    check(
        "bob/2 accept dan; ann handover cat; cat kick bob; bob revoke 2",
        expect!["owner cat@1 | in cat.1 dan.1 | kicked bob.1 | left ann.0"],
    );
    check(
        "bob/2 accept dan; bob revoke 2; ann unadmin bob",
        expect!["owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
    // Who loses the device that asked to join is in no more; what was decided before stays.
    check(
        "bob/2 accept dan; bob revoke 1; bob/2 kick cat grant=a",
        expect!["owner ann@0 | in ann.0 cat.1 dan.1"],
    );
}

#[test]
fn forks_are_seen() {
    check(
        "cat future -> x; cat future prev=none -> y; cat manifest a=1 prev=x -> z; cat manifest b=1 prev=x -> w",
        expect![
            "owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1 | fork of cat: 72ne3sgj y | fork of cat: z w"
        ],
    );
    // Not those of people who have nothing to do with the group, nor in somebody else's name.
    check(
        "eve future -> x; eve manifest a=1 prev=none; eve future by=cat prev=none; eve manifest b=1 by=cat prev=none",
        expect!["owner ann@0 | admins bob | in ann.0 bob.1 cat.1 | waiting dan.1"],
    );
}
