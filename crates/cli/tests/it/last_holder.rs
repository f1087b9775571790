//! Who is the last one online with a file hears of it when they go, and whoever is not hears nothing.

use peerage_drive::Reply;

use crate::node::Node;
use crate::world::{World, arg, say, until};

fn last(reply: &Reply) -> Vec<&str> {
    let last = reply.items().iter().filter(|file| file["last_holder"] == true);
    last.map(|file| file["name"].as_str().unwrap()).collect()
}

#[test]
fn the_last_sharer_hears_of_it_and_only_the_last() {
    let mut world = World::with_trackers(2);
    let (mut ada, [mut ben, mut cat]) = world.group("ada", ["ben", "cat"]);
    for number in 1..=7 {
        let file = world.file(&format!("{number}.bin"), 50_000);
        say(&mut ada, &format!("upload_file {} lab", arg(&file)), "File shared successfully");
    }
    until(&mut ada, "list_files lab", "all are online", |r| {
        r.items().len() == 7 && r.items().iter().all(|file| file["sharers_online"] == 1)
    });
    let all = ada.ask("list_files lab").unwrap();
    assert_eq!(last(&all).len(), 7, "{}", all.json);
    let to = world.folder("copies");
    say(&mut ben, &format!("download_file lab 1.bin {}", arg(&to)), "Download started");
    ben.must("wait lab 1.bin --timeout 60").unwrap();
    for client in [&mut ada, &mut ben, &mut cat] {
        until(client, "list_files lab", "two share it", |r| r.items()[0]["sharers_online"] == 2);
    }
    assert_eq!(last(&ada.ask("list_files lab").unwrap()).len(), 6);
    assert_eq!(last(&ben.ask("list_files lab").unwrap()), [""; 0]);
    // Who shares nothing takes nothing along, and who is one of two neither.
    for client in [&mut cat, &mut ben] {
        let gone = say(client, "logout", "Logged out successfully");
        assert!(gone.json.get("hint").is_none(), "{}", gone.json);
    }
    until(&mut ada, "list_files lab", "she is the last", |r| last(r).len() == 7);
    let gone = say(&mut ada, "logout", "Logged out successfully");
    let hint = gone.json["hint"].as_str().unwrap();
    let named =
        "nobody else online has [lab] 1.bin, [lab] 2.bin, [lab] 3.bin, [lab] 4.bin, [lab] 5.bin and 2 more: ";
    assert!(hint.starts_with(named), "{hint}");
}

#[test]
fn going_is_not_kept_up_by_trackers_that_are_gone() {
    let mut world = World::with_trackers(1);
    let (mut ada, []) = world.group("ada", []);
    let file = world.file("notes.bin", 50_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&file)), "File shared successfully");
    world.trackers[0].kill();
    let unknown = ada.ask("list_files lab").unwrap();
    assert!(unknown.items()[0]["last_holder"].is_null(), "{}", unknown.json);
    let gone = say(&mut ada, "logout", "Logged out successfully");
    assert!(gone.json.get("hint").is_none(), "{}", gone.json);
}

#[test]
fn a_node_says_it_when_it_is_ended() {
    let world = World::with_trackers(1);
    let node = Node::up(&world, "ada");
    node.must(&["create_user", "ada"], "pw-of-ada\n");
    node.must(&["login", "ada"], "pw-of-ada\n");
    node.must(&["create_group", "lab"], "");
    node.must(&["share", world.file("notes.bin", 50_000).to_str().unwrap(), "lab"], "");
    let output = node.call(&["down"], "");
    let (said, hint) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && said.starts_with("Node ended"), "{said}{hint}");
    assert!(hint.starts_with("hint: nobody else online has [lab] notes.bin: no member can"), "{hint}");
}
