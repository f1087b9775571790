//! design.md's table, row "group: files".

use expect_test::{Expect, expect};
use peerage_types::limits::HEIRS_MAX;

use crate::script::Script;
use crate::world::{device, user};

#[track_caller]
fn check(text: &str, expected: Expect) {
    let script =
        Script::run(&format!("ann create film; bob ask; cat ask; ann accept bob; ann accept cat; {text}"));
    let view = script.view().unwrap();
    let files: Vec<String> = script.show(&view).split(" | ").skip(2).map(str::to_owned).collect();
    expected.assert_eq(&files.join(" | "));
}

#[test]
fn a_file_is_listed_while_a_member_shares_it() {
    check("bob share a.mkv=1", expect!["a.mkv=1 by bob"]);
    check(
        "bob share a.mkv=1; cat share a.mkv=1; ann share b.mkv=2",
        expect!["a.mkv=1 by bob cat | b.mkv=2 by ann"],
    );
    check("bob share a.mkv=1 -> s; bob unshare s", expect![]);
    check("bob share a.mkv=1 -> s; bob/2 unshare s", expect![]);
    check("bob share a.mkv=1 -> s; bob unshare s; bob share a.mkv=1", expect!["a.mkv=1 by bob"]);
    check("bob share a.mkv=1 -> s; cat share a.mkv=1; bob unshare s", expect!["a.mkv=1 by cat"]);
    // One Unshare ends one Share, and only the sharer's own.
    check(
        "bob share a.mkv=1 -> s; cat unshare s; ann unshare s; eve unshare s by=bob",
        expect!["a.mkv=1 by bob"],
    );
    check("bob manifest a.mkv=1 -> m", expect![]);
    check("bob manifest a.mkv=1 -> m; cat share x of=m", expect!["a.mkv=1 by cat"]);
}

#[test]
fn shares_end_with_their_authors_membership() {
    check("bob share a.mkv=1; ann kick bob", expect!["kicked bob.1"]);
    check("bob share a.mkv=1; bob leave", expect!["left bob.1"]);
    check("bob share a.mkv=1; bob leave; bob ask; ann accept bob", expect![]);
    check(
        "bob share a.mkv=1; bob leave; bob ask; ann accept bob; bob share a.mkv=1",
        expect!["a.mkv=1 by bob"],
    );
    check("bob share a.mkv=1 inc=2", expect![]);
    check("dan share a.mkv=1; eve share a.mkv=1 by=bob; bob/x share a.mkv=1", expect![]);
    check("ann share a.mkv=1; ann handover bob", expect!["left ann.0"]);
    // A revoked device shares nothing, even if its records stay valid.
    check("bob/2 share a.mkv=1 -> s; cat share a.mkv=1; bob revoke 2 keep=s", expect!["a.mkv=1 by cat"]);
    // Whoever described it may be gone.
    check(
        "bob manifest a.mkv=1 -> m; cat share x of=m; ann kick bob; bob revoke 1",
        expect!["stranger bob.1 | a.mkv=1 by cat"],
    );
}

#[test]
fn one_name_two_contents() {
    check("bob share a.mkv=1; cat share a.mkv=2", expect!["a.mkv=1 by bob | a.mkv#aibaeaqc=2 by cat"]);
    check(
        "@500 bob share a.mkv=1; @400 cat share a.mkv=2",
        expect!["a.mkv=2 by cat | a.mkv#aeaqcaib=1 by bob"],
    );
    // The first *open* share decides.
    check(
        "bob share a.mkv=1 -> s; cat share a.mkv=2; bob unshare s; ann share a.mkv=1",
        expect!["a.mkv=2 by cat | a.mkv#aeaqcaib=1 by ann"],
    );
    // A second description of one content does not hide behind the first.
    check(
        "bob share a.mkv=1; cat share a.mkv=1/2; ann share a.mkv=1/3",
        expect!["a.mkv=1 by bob | a.mkv#aeaqcaib=1 by cat | a.mkv#45qv2l2n=1 by ann"],
    );
    check("bob share a.mkv=1; bob share A.mkv=2", expect!["A.mkv=2 by bob | a.mkv=1 by bob"]);
}

#[test]
fn outsiders_do_not_become_the_first_description() {
    let script =
        Script::run("ann create film; @15 eve manifest a=1; ann manifest a=1 -> m; ann share x of=m");
    assert_eq!(script.view().unwrap().files[0].manifest, script.labels["m"]);
}

#[test]
fn looking_things_up() {
    let script = Script::run(
        "ann create film; bob ask; cat ask; ann accept cat; ann accept bob; bob share a=1; cat share a=2;
         cat/2 share b=3 -> last",
    );
    let view = script.view().unwrap();
    assert_eq!(view.file("a").unwrap().content.0[0], 1);
    let second = view.files.iter().find(|file| file.content.0[0] == 2).unwrap();
    assert_eq!(view.file(&second.shown), Some(second));
    assert_eq!(view.file("nothing"), None);
    // First joined, not first asked.
    assert_eq!(view.heirs(), [(user("cat"), 1), (user("bob"), 1)]);
    assert!(view.heirs().len() <= HEIRS_MAX);
    assert_eq!(view.head(&device("cat/2")), Some(script.labels["last"]));
    assert_eq!(view.head(&device("cat/9")), None);
    assert_eq!(view.owner_heads(), [view.head(&device("ann/1")).unwrap()]);
    assert_eq!(view.next_incarnation(&user("dan")), 1);
    assert_eq!(view.next_incarnation(&user("bob")), 2);
    assert!(view.is_owner(&user("ann")) && view.is_member(&user("ann")) && !view.is_owner(&user("bob")));
}
