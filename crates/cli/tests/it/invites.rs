//! Pre-approved invites, with real processes: who comes straight in, who waits, who is refused, and what is said.

use std::process::{Command, Stdio};
use std::thread;

use peerage_drive::Client;

use crate::child;
use crate::node::{self, Node};
use crate::world::{PROGRAM, World, say, until};

/// The line that this command made.
fn link(owner: &mut Client, line: &str) -> String {
    say(owner, line, "Invite created").items()[0]["link"].as_str().unwrap().to_owned()
}

fn states(owner: &mut Client) -> Vec<String> {
    let reply = owner.ask("invites lab").unwrap();
    reply.column("state").into_iter().map(str::to_owned).collect()
}

#[test]
fn the_first_comes_straight_in_and_the_second_waits() {
    let mut world = World::with_trackers(2);
    let (mut ada, []) = world.group("ada", []);
    let once = link(&mut ada, "invite lab --pre-approved");
    let (mut ben, mut cat) = (world.member("ben"), world.member("cat"));
    say(&mut ben, &format!("join {once}"), "You are in the group now");
    say(&mut ben, "list_members lab", "2 members");
    say(&mut ben, &format!("join {once}"), "You are already in this group!");
    let waits = say(&mut cat, &format!("join {once}"), "Join request sent");
    assert!(waits.json["hint"].as_str().unwrap().contains("used this invite up"), "{}", waits.json);
    until(&mut ada, "list_requests lab", "cat waits", |reply| reply.column("user") == ["cat"]);
    until(&mut ada, "invites lab", "it is used up", |reply| {
        reply.items().first().is_some_and(|item| item["state"] == "used_up" && item["used"][0] == "ben")
    });
    // Who waits may still use one.
    let more = link(&mut ada, "invite lab --pre-approved --uses 5 --expires 2w");
    say(&mut cat, &format!("join {more}"), "You are in the group now");
    // Out is out: the same line does not lead back in.
    until(&mut ada, "list_members lab", "cat is in", |reply| reply.items().len() == 3);
    say(&mut ada, "kick lab cat", "User removed");
    until(&mut cat, "list_groups", "cat is out", |reply| reply.items()[0]["standing"] == "none");
    let refused = cat.ask(&format!("join {more}")).unwrap();
    assert!(refused.text().contains("was made before user"), "{}", refused.json);
    until(&mut ada, "audit lab", "it is in the books", |reply| {
        let said = |what: &str| reply.column("what").iter().any(|entry| entry.contains(what));
        said("invited up to 5 until ") && said("came by the invite ")
    });
}

#[test]
fn what_is_over_lets_nobody_in() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let mut cat = world.member("cat");
    let made = say(&mut ada, "invite lab --pre-approved --uses 3", "Invite created");
    let (id, kept) = (made.items()[0]["id"].as_str().unwrap(), made.items()[0]["link"].as_str().unwrap());
    // The device that made it shows the line again, nobody else does.
    let listed = say(&mut ada, "invites lab", "1 pre-approved invite");
    assert_eq!(listed.items()[0]["link"], kept);
    let seen = say(&mut ben, "invites lab", "1 pre-approved invite");
    assert!(seen.items()[0].get("link").is_none(), "{}", seen.json);
    say(&mut ben, &format!("withdraw_invite lab {id}"), "You are not the owner of this group");
    say(&mut ada, "withdraw_invite lab nonsense", "No such invite");
    say(&mut ada, &format!("withdraw_invite lab {}", &id[..4]), "Invite withdrawn");
    assert_eq!(states(&mut ada), ["withdrawn"]);
    say(&mut cat, &format!("join {kept}"), "This invite cannot be used: the invite was withdrawn");
    say(&mut cat, "join_group lab", "Join request sent");

    let brief = link(&mut ada, "invite lab --pre-approved --expires 1s");
    until(&mut ada, "invites lab", "it expires", |reply| reply.column("state") == ["withdrawn", "expired"]);
    let late = cat.ask(&format!("join {brief}")).unwrap();
    assert!(late.text().starts_with("This invite cannot be used: the invite expired at "), "{}", late.json);
    assert_eq!(late.json["hint"].as_str().unwrap().matches("join_group").count(), 1, "{}", late.json);

    // A member's word invites nobody, and a plain line keeps nothing that it could promise.
    say(&mut ben, "invite lab --pre-approved", "You are not the owner of this group");
    let plain = ben.ask("invite lab --uses 5").unwrap();
    assert!(plain.text().contains("need --pre-approved"), "{}", plain.json);
    for wrong in ["--expires never", "--expires 0s", "--expires 9999d", "--uses 0", "--uses 1001"] {
        assert!(!ada.ask(&format!("invite lab --pre-approved {wrong}")).unwrap().ok(), "{wrong}");
    }
}

/// A node that this person is logged in to.
fn logged_in(world: &World, name: &str) -> Node {
    let node = Node::up(world, name);
    node.must(&["create_user", name], &format!("pw-of-{name}\n"));
    node.must(&["login", name], &format!("pw-of-{name}\n"));
    node
}

#[test]
fn join_waits_for_the_answer() {
    let world = World::with_trackers(1);
    let [ada, ben, cat, dan] = ["ada", "ben", "cat", "dan"].map(|name| logged_in(&world, name));
    ada.must(&["create_group", "lab"], "");
    let link = ada.must(&["invite", "lab"], "").trim().to_owned();
    let join = ["join", &link, "--wait"];

    // Who stops waiting has asked nevertheless.
    let data = world.path("dan-data");
    let mut given_up = Command::new(PROGRAM)
        .args(join)
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    node::until(|| ada.must(&["list_requests", "lab"], "") == "dan\n");
    // As Ctrl-C, but never ignored: a suite that was started in the background has SIGINT ignored, and so has its child.
    Command::new("kill").args(["-TERM", &given_up.id().to_string()]).status().unwrap();
    assert!(!child::ended(&mut given_up, "`peerage join --wait` after SIGTERM").success());
    let output = dan.call(&["join", &link, "--wait", "--timeout", "2"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{said}");
    assert!(said.contains("error: Nobody has answered your request to join `lab` yet"), "{said}");
    assert_eq!(said.matches("waiting for an answer").count(), 1, "{said}");

    thread::scope(|scope| {
        let [let_in, turned_away, later] =
            [&ben, &cat, &dan].map(|node| scope.spawn(move || node.call(&join, "")));
        node::until(|| ada.must(&["list_requests", "lab"], "").lines().count() == 3);
        ada.must(&["accept_request", "lab", "ben"], "");
        ada.must(&["reject_request", "lab", "cat"], "");
        ada.must(&["accept_request", "lab", "dan"], "");
        for waiting in [let_in, later] {
            let output = waiting.join().unwrap();
            assert!(output.status.success() && output.stdout == b"You are in the group now\n", "{output:?}");
        }
        let output = turned_away.join().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("error: Your request to join `lab` was rejected"), "{said}");
    });

    // What has been answered needs no wait, and a new request waits for a new answer.
    assert_eq!(ben.must(&join, ""), "You are in the group now\n");
    let again = cat.call(&["join", &link, "--wait", "--timeout", "0.1"], "");
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    node::until(|| ada.must(&["list_requests", "lab"], "") == "cat\n");
    // Whoever has a pre-approved one is in at once.
    let straight = ada.must(&["invite", "lab", "--pre-approved"], "");
    assert_eq!(cat.must(&["join", straight.trim(), "--wait"], ""), "You are in the group now\n");
    let alone = cat.call(&["join", &link, "--timeout", "1"], "");
    assert_eq!(alone.status.code(), Some(2), "{alone:?}");
}
