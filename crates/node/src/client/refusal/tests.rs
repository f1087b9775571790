//! What people and scripts read.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(refusal: &Refusal, expected: Expect) {
    let hint = refusal.hint().map(|h| format!("\nhint: {h}")).unwrap_or_default();
    expected.assert_eq(&format!("{} {refusal}{hint}", refusal.exit_code()));
}

#[test]
fn classroom_words() {
    check(
        &Refusal::UserExists,
        expect![[r#"
        1 User already exists!
        hint: choose another user id, or log in with `login <user_id> <passwd>`"#]],
    );
    check(
        &Refusal::WrongPassword,
        expect![[r#"
        3 Wrong password
        hint: try again, or `recover <user_id> <recovery_code> <new_passwd>`; nobody else can reset a password, not even who runs the trackers"#]],
    );
    check(
        &Refusal::AlreadyLoggedIn,
        expect![[r#"
        1 You are already logged in!
        hint: here or in another program on this machine; `logout` there, or choose another folder with --data"#]],
    );
    check(
        &Refusal::NotLoggedIn,
        expect![[r#"
        3 Please login first
        hint: `login <user_id> <passwd>`"#]],
    );
    check(
        &Refusal::NotOwner,
        expect![[r#"
        3 You are not the owner of this group
        hint: `list_members <group_id>` shows who is, and who else decides as an admin"#]],
    );
    check(
        &Refusal::NobodySharing,
        expect![[r#"
        1 Nobody is sharing this file right now
        hint: try again when a sharer is online; `list_files <group_id>` shows how many are"#]],
    );
    check(
        &Refusal::AlreadyMember,
        expect![[r#"
        1 You are already in this group!
        hint: `list_files <group_id>` shows what there is"#]],
    );
    check(&Refusal::NotSharing, expect!["1 You do not share this file"]);
}

#[test]
fn both_hashes_and_all_addresses() {
    check(
        &Refusal::SameNameOtherContent { ours: ContentId([1; 32]), theirs: ContentId([2; 32]) },
        expect![[r#"
            1 same name, other content: 0101010101010101010101010101010101010101010101010101010101010101 here, 0202020202020202020202020202020202020202020202020202020202020202 in the group
            hint: rename your file and share it under the new name"#]],
    );
    check(
        &Refusal::NoTracker {
            tried: vec!["a:1 (connection refused)".into(), "b:2 (no answer in 800 ms)".into()],
        },
        expect![[r#"
            4 No tracker reachable, tried a:1 (connection refused), b:2 (no answer in 800 ms)
            hint: start one with `peerage tracker TRACKER_INFO 1`, or check the addresses in the list"#]],
    );
    check(
        &Refusal::OutcomeOpen { tried: vec!["a:1 (no answer)".into()] },
        expect![[r#"
            4 No tracker answered any more: whether this took effect is open, tried a:1 (no answer)
            hint: when a tracker is back, look before you repeat it: `list_groups`, `list_members`, `list_files` or `audit`"#]],
    );
    check(
        &Refusal::HeadsUnknown { trackers: vec!["a:1 (no answer)".into()] },
        expect![[r#"
            4 Cannot see all that this device wrote: what only these trackers have would become void: a:1 (no answer)
            hint: try again when they answer; if the device is in wrong hands: `revoke_device <device_id> <passwd> --force`"#]],
    );
    check(
        &Refusal::WrongKey {
            address: "h:7601".into(),
            expected: "aa".into(),
            got: "bb".into(),
            list: "tracker_info.txt".into(),
        },
        expect![[r#"
            1 The tracker at h:7601 has another key than this machine trusts: expected aa, got bb
            hint: if the trackers were set up anew and you expect this, run: peerage trust tracker_info.txt"#]],
    );
}
