//! Which lines are commands, and which are not.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(line: &str, expected: Expect) {
    expected.assert_eq(&match parse(line) {
        Ok(Some(command)) => format!("{command:?}"),
        Ok(None) => "nothing".into(),
        Err(e) => format!("error: {e}"),
    });
}

#[test]
fn lines() {
    check("", expect!["nothing"]);
    check("   # a comment", expect!["nothing"]);
    check("login ada secret", expect![[r#"Login { user: UserRef("ada"), password: Password(…) }"#]]);
    check(
        "login Ada#K3EMFEQB secret",
        expect![[r#"Login { user: UserRef("Ada#k3emfeqb"), password: Password(…) }"#]],
    );
    check(
        "recover ada AAAA-BBBB new",
        expect![[r#"Recover { user: UserRef("ada"), code: Password(…), password: Password(…) }"#]],
    );
    check(
        "revoke_device k3em pw",
        expect![[r#"RevokeDevice { device: "k3em", password: Password(…), unsure: Refuse }"#]],
    );
    check(
        "revoke_device k3em pw --force",
        expect![[r#"RevokeDevice { device: "k3em", password: Password(…), unsure: GoOn }"#]],
    );
    check("claim_name a/b pw", expect!["error: `a/b` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -"]);
    check("change_password x", expect!["error: Usage: change_password <old_passwd> <new_passwd>"]);
    check("login ada", expect!["error: Usage: login <user_id> <passwd>"]);
    check("login a/b x", expect!["error: User does not exist"]);
    check("create_user a/b x", expect!["error: `a/b` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -"]);
    check("frobnicate", expect!["error: Unknown command (try help)"]);
    check("list_group", expect!["error: Unknown command (try help)"]);
    check("share x g", expect![[r#"UploadFile { path: "x", group: GroupRef("g") }"#]]);
    check(
        "get g f --preview",
        expect![[
            r#"DownloadFile { group: GroupRef("g"), file: "f", destination: ".", options: DownloadOptions { only: [], into_existing: false, preview: true, leave: false } }"#
        ]],
    );
    check(
        "get g a album/ ./to --preview",
        expect![[
            r#"Several([DownloadFile { group: GroupRef("g"), file: "a", destination: "./to/", options: DownloadOptions { only: [], into_existing: false, preview: true, leave: false } }, DownloadFile { group: GroupRef("g"), file: "album", destination: "./to/", options: DownloadOptions { only: [], into_existing: false, preview: true, leave: false } }])"#
        ]],
    );
    check(
        "get g",
        expect![
            "error: Usage: download_file <group_id> <file_name> <destination_path> [--only PATTERN]... [--into-existing] [--preview] [--leave]"
        ],
    );
    check("join_group a/b", expect!["error: No such group"]);
    check("accept_request g a/b", expect!["error: This user has not asked to join the group"]);
    check("quit", expect!["Exit"]);
    check("exit now", expect!["error: Usage: exit"]);
    check("logout 'x", expect!["error: Cannot read this line: the quote ' is not closed"]);
    check(
        r#"download_file g "my file.txt" /tmp/x"#,
        expect![[
            r#"DownloadFile { group: GroupRef("g"), file: "my file.txt", destination: "/tmp/x", options: DownloadOptions { only: [], into_existing: false, preview: false, leave: false } }"#
        ]],
    );
}

#[test]
fn what_get_takes_for_a_place() {
    #[track_caller]
    fn check(words: &[&str], files: &[&str], place: &str) {
        assert_eq!(files_and_place(words), (files.to_vec(), place));
    }
    check(&["a"], &["a"], ".");
    check(&["a", "b"], &["a", "b"], ".");
    check(&["a", "album/"], &["a", "album/"], ".");
    check(&["a", "b", "/srv"], &["a", "b"], "/srv");
    check(&["a", "to/there"], &["a"], "to/there");
    check(&["a", ".."], &["a"], "..");
    check(&["a", "./"], &["a"], "./");
    check(&["/srv"], &["/srv"], ".");
}

#[test]
fn named_arguments() {
    #[track_caller]
    fn check(name: &str, object: Value, expected: Expect) {
        let object = object.as_object().unwrap().clone();
        expected.assert_eq(&match from_object(Spec::find(name).unwrap(), &object) {
            Ok(command) => format!("{command:?}"),
            Err(e) => format!("error: {e}"),
        });
    }
    check(
        "kick",
        serde_json::json!({ "user": "ben", "group": "g" }),
        expect![[r#"Kick { group: GroupRef("g"), user: UserRef("ben") }"#]],
    );
    check("kick", serde_json::json!({ "group": "g" }), expect!["error: `kick` needs `user`"]);
    check(
        "kick",
        serde_json::json!({ "group": "g", "user": ["x"] }),
        expect![[r#"error: `user` must be a text, not ["x"]"#]],
    );
    check("logout", serde_json::json!({ "group": "g" }), expect!["error: `logout` takes no `group`"]);
    check("wait", serde_json::json!({ "timeout": 2.5 }), expect!["Wait { what: None, timeout: Some(2.5s) }"]);
}

#[test]
fn priorities() {
    check(
        "set_priority g album/ low --only *.txt",
        expect![[r#"SetPriority { group: GroupRef("g"), file: "album", priority: Low, only: ["*.txt"] }"#]],
    );
    check(
        "set_priority g album urgent",
        expect!["error: `urgent` is no priority: give high, normal, low or skip"],
    );
}

#[test]
fn limits() {
    check(
        "set_limits --down 2M --up none",
        expect![
            "SetLimits { group: None, change: LimitChange { down: Some(Some(2097152)), up: Some(None) } }"
        ],
    );
    check(
        "set_limits lab --up=500K",
        expect![[
            r#"SetLimits { group: Some(GroupRef("lab")), change: LimitChange { down: None, up: Some(Some(512000)) } }"#
        ]],
    );
    check("set_limits lab", expect!["error: Usage: set_limits [<group_id>] [--down RATE] [--up RATE]"]);
    check(
        "set_limits --up fast",
        expect!["error: `--up fast` is no rate: give 500K, 2M or 1.5M (a second), or none"],
    );
}

#[test]
fn waiting() {
    check("wait", expect!["Wait { what: None, timeout: None }"]);
    check(
        "download_file g album/ /to --only *.jpg --preview --leave --only=a/b",
        expect![[
            r#"DownloadFile { group: GroupRef("g"), file: "album", destination: "/to", options: DownloadOptions { only: ["*.jpg", "a/b"], into_existing: false, preview: true, leave: true } }"#
        ]],
    );
    check("wait --timeout 2.5", expect!["Wait { what: None, timeout: Some(2.5s) }"]);
    check(
        "wait g f.txt --timeout=9",
        expect![[r#"Wait { what: Some((GroupRef("g"), "f.txt")), timeout: Some(9s) }"#]],
    );
    check("wait g", expect!["error: Usage: wait [<group_id> <file_name>] [--timeout SECONDS]"]);
    check("wait --timeout soon", expect!["error: Usage: wait [<group_id> <file_name>] [--timeout SECONDS]"]);
    check("wait --timeout -1", expect!["error: Usage: wait [<group_id> <file_name>] [--timeout SECONDS]"]);
}
