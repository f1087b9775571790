//! What goes wrong by itself is seen: a damaged disk, a full one, a name that somebody else has, a tracker or a node that is
//! gone, and going as the last one who has something.

use super::person::{Person, until};
use super::{no_browser, two_people};
use crate::node::Node;
use crate::partition::Parted;
use crate::rot::rot;
use crate::world::{World, assert_same};

/// Ana owns `lab`, Ben is in it.
fn two_in_a_group(world: &World) -> (Person, Person) {
    let (ana, ben) = two_people(world);
    ana.node.must(&["create_group", "lab"], "");
    ben.node.must(&["join_group", "lab"], "");
    ana.node.must(&["accept_request", "lab", "ben"], "");
    (ana, ben)
}

fn log_in(person: &Person, name: &str) {
    person.fill("User name", name);
    person.fill("Password", &format!("long-password-of-{name}"));
    person.press("Log in");
    person.see("Groups");
}

/// A bit rots on Ana's disk while Ben, who has a copy, is away.
#[test]
fn damage_is_found_and_seen_until_it_is_repaired() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let (ana, ben) = two_in_a_group(&world);
    let (song, got) = (world.file("song.flac", 3_000_000), world.folder("got"));
    ana.node.must(&["share", song.to_str().unwrap(), "lab"], "");
    ben.node.must(&["get", "lab", "song.flac", got.to_str().unwrap(), "--wait"], "");
    ben.press("Log out");
    ben.see("Welcome");

    ana.press("Log out");
    ana.see("Welcome");
    rot(&song, 1_000_000, &world.path("ana-data"));
    log_in(&ana, "ana");
    ana.go("#/group/lab/files");
    a_look_for_damage_is_seen(&ana);
    ana.press("Manage song.flac");
    ana.press("Check it");
    ana.see("1 of 184 pieces is damaged");
    ana.see("What is damaged is not served any more");
    ana.pictures("damage-found");
    ana.press("Close");
    ana.see("damaged, being repaired");
    ana.pictures("damaged");

    log_in(&ben, "ben");
    ana.see("song.flac is repaired");
    assert!(until(|| !ana.text().contains("damaged, being repaired")), "{}", ana.text());
    assert_same(&song, &got.join("song.flac"));
    ana.go("#/notices");
    ana.see("Repaired");
    ana.pictures("repaired");
    ana.nothing_went_wrong();
    ben.nothing_went_wrong();
}

/// A share of this size is read in no time: the page is told that it takes longer.
fn a_look_for_damage_is_seen(ana: &Person) {
    ana.script(
        "window.told = 40;
         window.answer = window.fetch;
         window.fetch = async (path, options) => {
           const response = await window.answer(path, options);
           if (!path.endsWith('list_files') || window.told === null) return response;
           const reply = await response.json();
           reply.items.forEach((file) => { file.scrub_percent = window.told; });
           return Response.json(reply);
         };",
    );
    ana.fill("Find a file", "song");
    ana.see("looking for damage, 40 %");
    ana.pictures("scrub-running");
    // From here on by itself.
    ana.script("window.told = 41");
    ana.see("looking for damage, 41 %");
    ana.script("window.told = null");
    assert!(until(|| !ana.text().contains("looking for damage")), "{}", ana.text());
    ana.script("window.fetch = window.answer");
}

/// Who goes with the only copy hears of it.
#[test]
fn who_logs_out_hears_what_nobody_else_has() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let ana = Person::new(&world, "ana");
    ana.register();
    ana.node.must(&["create_group", "lab"], "");
    ana.node.must(&["share", world.file("notes.bin", 50_000).to_str().unwrap(), "lab"], "");
    ana.go("#/group/lab/files");
    ana.see("only you are online");
    ana.press("Log out");
    ana.see("Nobody else online has [lab] notes.bin");
    ana.see("Welcome");
    ana.pictures_with_messages("logged-out");
    ana.nothing_went_wrong();
}

/// A page that is open finds its node again after a crash; one that was ended has another key.
#[test]
fn a_page_finds_its_node_again() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let mut ana = Person::new(&world, "ana");
    ana.register();
    ana.node.must(&["create_group", "lab"], "");
    ana.see("you own it");
    ana.node.kill();
    ana.see("The node does not answer");
    ana.pictures("node-lost");
    ana.node.restart();
    ana.see("Welcome");
    assert!(until(|| !ana.text().contains("The node does not answer")), "{}", ana.text());
    ana.fill("User name", "ana");
    ana.fill("Password", "long-password-of-ana");
    ana.press("Log in");
    ana.see("you own it");

    ana.node.must(&["down"], "");
    ana.see("The node does not answer");
    ana.node.restart();
    ana.see("This page is locked");
    ana.pictures("locked");
    ana.open();
    ana.see("Welcome");
}

/// The only tracker goes and comes back.
#[test]
fn a_tracker_that_is_lost_is_told() {
    if no_browser() {
        return;
    }
    let mut world = World::with_trackers(1);
    let ana = Person::new(&world, "ana");
    ana.register();
    world.trackers[0].kill();
    ana.see("No tracker answers; transfers between members go on");
    ana.press("New group");
    ana.fill("Name of the group", "lab");
    ana.press("Create group");
    ana.see("No tracker");
    ana.pictures("tracker-lost");
    ana.press("Close");
    world.trackers[0].restart().unwrap();
    ana.go("#/notices");
    ana.see("A tracker answers again");
    ana.nothing_went_wrong();
}

/// Two people take one name while the trackers do not see each other: who was later is told on the page.
#[test]
fn who_lost_a_name_is_told() {
    if no_browser() {
        return;
    }
    let world = Parted::with_trackers(2);
    world.mesh.part(&[1]);
    let before = |name: &str, tracker: usize| {
        let list = world.mesh.list_of(&[tracker]).unwrap();
        let ana = Person::before(Node::at(&world.path(""), name, &list), "ana");
        ana.register();
        ana
    };
    let (first, second) = (before("first", 1), before("second", 2));
    world.mesh.heal();
    second.see("Another account claimed `ana` first; you are now `ana#");
    second.go("#/notices");
    second.see("Account");
    second.see("“Another name” in the settings gives you another name");
    second.pictures("name-lost");
    second.press("Settings");
    second.press("Another name");
    second.fill("New name", "anabel");
    second.fill("Password", "long-password-of-ana");
    second.pictures("another-name");
    second.press("Take this name");
    assert!(until(|| second.script("return document.querySelector('#who .name')?.textContent") == "anabel"));
    assert!(!first.text().contains("claimed"));
    second.nothing_went_wrong();
}

/// A disk fills up in the middle of a download.
#[test]
fn a_full_disk_is_told() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let disk = world.folder("disk");
    let Some(node) = Node::on_small_disk(&world, "ben", &disk, 1 << 20) else {
        println!("skipped: nobody may mount a file system here; nothing was checked");
        return;
    };
    let (ana, ben) = (Person::new(&world, "ana"), Person::before(node, "ben"));
    ana.register();
    ben.register();
    ana.node.must(&["create_group", "lab"], "");
    ben.node.must(&["join_group", "lab"], "");
    ana.node.must(&["accept_request", "lab", "ben"], "");
    ana.node.must(&["share", world.file("film.mkv", 3_000_000).to_str().unwrap(), "lab"], "");
    ben.go("#/group/lab/files");
    ben.press("Download film.mkv");
    ben.fill("Download to", disk.to_str().unwrap());
    ben.press("Start");
    ben.see("no room in");
    ben.go("#/downloads");
    // What waits is not what runs, and nothing comes.
    ben.see("1 download waiting for room on the disk");
    assert!(!ben.text().contains("running"), "{}", ben.text());
    ben.pictures("disk-full");
    ben.press("film.mkv");
    ben.see("it goes on by itself when there is room");
    ben.pictures("disk-full-download");
    ben.go("#/notices");
    ben.see("Stopped");
    ben.nothing_went_wrong();
}
