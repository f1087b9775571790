//! Who decides in a group: admins, handing over, closing, and what `audit` tells about it afterwards.

use std::time::Instant;

use peerage_drive::{Client, Reply};

use crate::world::{PATIENCE, World, say, until};

/// `user role` of each member.
fn roles(reply: &Reply) -> Vec<String> {
    let word = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    reply.items().iter().map(|item| format!("{} {}", word(item, "user"), word(item, "role"))).collect()
}

#[track_caller]
fn until_roles(client: &mut Client, expected: &[&str]) {
    until(client, "list_members lab", "the roles are known here", |reply| roles(reply) == expected);
}

/// Waits for a notice.
#[track_caller]
fn hears(client: &mut Client, text: &str) {
    let started = Instant::now();
    while !client.stderr().contains(text) {
        assert!(started.elapsed() < PATIENCE, "never told `{text}`:\n{}", client.stderr());
        client.ask("whoami").unwrap();
    }
}

#[test]
fn admins_decide_and_owners_pass_on() {
    let mut world = World::with_trackers(2);
    let (mut ada, [mut ben, mut cy]) = world.group("ada", ["ben", "cy"]);
    let mut dan = world.member("dan");
    hears(&mut ben, "you are a member of lab now");
    say(&mut dan, "join_group lab", "Join request sent");

    say(&mut ben, "accept_request lab dan", "You are not the owner of this group");
    say(&mut ben, "grant_admin lab ben", "You are not the owner of this group");
    say(&mut ada, "grant_admin lab dan", "This user is not in the group");
    say(&mut ada, "grant_admin lab ada", "This user is the owner of the group");
    say(&mut ada, "grant_admin lab ben", "Admin added");
    say(&mut ada, "grant_admin lab ben", "This user is already an admin of the group");
    until_roles(&mut ben, &["ada owner", "ben admin", "cy member"]);
    hears(&mut ben, "you are an admin of lab now");

    until(&mut ben, "list_requests lab", "the request is known here", |r| r.column("user") == ["dan"]);
    say(&mut ben, "accept_request lab dan", "User accepted");
    say(&mut ben, "kick lab ada", "The owner of a group cannot be kicked");
    say(&mut ada, "kick lab ben", "An admin of a group cannot be kicked");
    kick_and_come_back(&mut ben, &mut cy);

    say(&mut cy, "revoke_admin lab ben", "You are not the owner of this group");
    say(&mut ada, "revoke_admin lab cy", "This user is not an admin of the group");
    say(&mut ada, "revoke_admin lab ben", "Admin removed");
    hears(&mut ben, "you are no admin of lab any more");
    say(&mut ben, "kick lab dan", "You are not the owner of this group");
    until_roles(&mut cy, &["ada owner", "ben member", "dan member", "cy member"]);
    say(&mut ada, "grant_admin lab ben", "Admin added");

    say(&mut ben, "hand_over lab cy", "You are not the owner of this group");
    say(&mut ada, "hand_over lab ada", "This user is the owner of the group");
    say(&mut ada, "hand_over lab cy", "Group handed over");
    until_roles(&mut cy, &["ada member", "ben member", "dan member", "cy owner"]);
    hears(&mut cy, "you own lab now");
    say(&mut ada, "list_requests lab", "You are not the owner of this group");
    say(&mut ben, "list_requests lab", "You are not the owner of this group");

    tells_all(&mut dan);
    say(&mut ada, "close_group lab", "You are not the owner of this group");
    say(&mut cy, "close_group lab", "Group closed");
    hears(&mut ada, "lab was closed");
    say(&mut cy, "create_group lab", "Group created successfully");
}

fn kick_and_come_back(admin: &mut Client, member: &mut Client) {
    say(admin, "kick lab cy", "User removed");
    hears(member, "you were removed from lab");
    say(member, "list_files lab", "You are not in this group");
    say(member, "join_group lab", "Join request sent");
    until(admin, "list_requests lab", "the request is known here", |r| r.column("user") == ["cy"]);
    say(admin, "reject_request lab cy", "Request rejected");
    hears(member, "your request to join lab was rejected");
    say(member, "join_group lab", "Join request sent");
    until(admin, "list_requests lab", "the request is known here", |r| r.column("user") == ["cy"]);
    say(admin, "accept_request lab cy", "User accepted");
    until(member, "list_files lab", "the member is back", |r| r.ok());
}

/// Everything in order, every member sees the same, and all of it counts.
fn tells_all(anyone: &mut Client) {
    let audit = anyone.must("audit lab").unwrap();
    let said: Vec<String> = audit
        .items()
        .iter()
        .map(|item| format!("{} {}", item["user"].as_str().unwrap(), item["what"].as_str().unwrap()))
        .collect();
    let expected = [
        "ada founded lab",
        "ben asked to join",
        "ada accepted ben",
        "cy asked to join",
        "ada accepted cy",
        "dan asked to join",
        "ada made ben an admin",
        "ben accepted dan as admin",
        "ben kicked cy as admin",
        "cy asked to join (time 2)",
        "ben rejected cy (time 2) as admin",
        "cy asked to join (time 3)",
        "ben accepted cy (time 3) as admin",
        "ada made ben a plain member again",
        "ada made ben an admin",
        "ada handed over to the first willing of cy and stayed",
    ];
    assert_eq!(said, expected, "{}", audit.json);
    for item in audit.items() {
        assert_eq!(item["counts"], true, "{item}");
        assert_eq!(item["fork"], false, "{item}");
        assert!(item["time"].as_str().unwrap().ends_with(" UTC"), "{item}");
    }
    say(anyone, "audit nothing", "No such group");
}
