//! Views with very little, and with very much, in them.

use std::fs;

use super::person::{Person, until};
use super::{no_browser, two_people};
use crate::node::Node;
use crate::world::World;

/// As long as a group's name may be.
const LONG: &str = "the-archive-of-everything.that-was-ever-recorded_in-the-old.hall";

/// An account for a node that nobody looks at the page of.
fn account(node: &Node, name: &str) {
    let password = format!("long-password-of-{name}\n");
    node.must(&["create_user", name], &password);
    node.must(&["login", name], &password);
}

/// Groups that Ana owns, and others: asked, in, neither.
fn groups(ana: &Person, ben: &Person, cat: &Node) {
    for group in ["lab", LONG, "choir", "studio", "field.recordings", "thesis"] {
        ana.node.must(&["create_group", group], "");
        cat.must(&["join_group", group], "");
    }
    ben.node.must(&["create_group", "bens"], "");
    cat.must(&["join_group", "bens"], "");
    ben.node.must(&["join_group", "lab"], "");
    ben.node.must(&["join_group", LONG], "");
    ana.node.must(&["accept_request", "lab", "ben"], "");
    ana.node.must(&["accept_request", "lab", "cat-with-a-very-long-name.of-the-old_hall"], "");
}

/// Files of one's own, of others, and of nobody who is online.
fn files(world: &World, ana: &Person, cat: &Node) {
    let long = format!("{} (second take, without the audience).flac", "recording of the concert ".repeat(6));
    let album = world.folder("home/album");
    for track in ["one.flac", "two.flac"] {
        fs::rename(world.file(track, 300_000), album.join(track)).unwrap();
    }
    for (node, path) in [
        (&ana.node, world.file(&long, 400_000)),
        (&ana.node, album),
        (&ana.node, world.file("notes.pdf", 90_000)),
        (cat, world.file("raw data.tar", 700_000)),
        (cat, world.file("readme.txt", 1_000)),
    ] {
        node.must(&["share", path.to_str().unwrap(), "lab"], "");
    }
    cat.must(&["logout"], "");
}

#[test]
fn views_with_little_and_much() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let (ana, ben) = two_people(&world);
    ben.pictures("groups-empty");
    ben.press("Join with an invite");
    ben.pictures("join");
    ben.press("Close");
    ben.go("#/downloads");
    ben.see("No downloads at this time");
    ben.pictures("downloads-empty");
    ben.go("#/notices");
    ben.see("Nothing has happened");
    ben.pictures("notices-empty");

    let cat = Node::up(&world, "cat");
    account(&cat, "cat-with-a-very-long-name.of-the-old_hall");
    groups(&ana, &ben, &cat);
    ben.go("#/");
    ben.see("1 request");
    ben.see("you are in it");
    assert!(until(|| ben.text().contains("asked to join")));
    ben.pictures("groups");
    ana.go("#/notices");
    ana.see("asks to join thesis");
    ana.pictures("notices-many");
    ana.go("#/group/lab/files");
    ana.see("No files in the group at this time");
    ana.pictures("files-empty");

    files(&world, &ana, &cat);
    ana.see("5 files");
    ana.see("nobody online");
    ana.pictures("files-own");
    ben.go("#/group/lab/files");
    ben.see("5 files");
    ben.see("nobody online");
    ben.pictures("files-of-others");
    ana.fill("Find a file", "nothing like that");
    ana.see("Nothing found.");
    ana.pictures("files-not-found");
    ana.nothing_went_wrong();
    ben.nothing_went_wrong();
}
