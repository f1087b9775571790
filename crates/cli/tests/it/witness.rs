//! What members have seen stays: they tell each other, help trackers that were set back, and get every acknowledged
//! change onto a second tracker.

use std::fs;
use std::path::Path;

use peerage_drive::Client;

use crate::partition::Parted;
use crate::world::{PATIENCE, World, arg, say, until};

/// A kick gets from one member to another over their own connection, while the other one has no tracker at all.
#[test]
fn members_tell_each_other_with_no_tracker_running() {
    let mut world = World::with_trackers(2);
    let (mut ada, [_eve]) = world.group("ada", ["eve"]);
    let mut options = world.options("ben");
    options.list = world.list_of(2);
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "create_user ben pw-ben", "User created!");
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    until(&mut ben, "join_group lab", "the group is known", |r| r.text() != "No such group");
    until(&mut ada, "accept_request lab ben", "the request has come", |r| r.ok());
    let film = world.file("film.bin", 300_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    let to = world.folder("copies");
    until(&mut ben, &format!("download_file lab film.bin {}", arg(&to)), "Ada is online", |r| r.ok());
    ben.must("wait lab film.bin --timeout 60").unwrap();
    // Two members who have everything stay connected for half a minute.
    world.trackers[1].kill();
    ada.must("kick lab eve").unwrap();
    until(&mut ben, "list_members lab", "Ada told him", |r| r.column("user") == ["ada", "ben"]);
    world.trackers[0].kill();
    let kept = ben.must("list_members lab").unwrap();
    assert_eq!(kept.column("user"), ["ada", "ben"]);
}

/// A cluster whose only disk was set back to an old backup gets back what its members have seen.
#[test]
fn a_cluster_that_was_set_back_heals_through_its_members() {
    let mut world = World::with_trackers(1);
    let (mut ada, [_ben]) = world.group("ada", ["ben"]);
    assert!(world.trackers[0].quit(PATIENCE).unwrap().success());
    let (data, backup) = (world.path("tracker-1"), world.path("backup"));
    copy(&data, &backup);
    world.trackers[0].restart().unwrap();

    let mut carl = world.member("carl");
    until(&mut carl, "join_group lab", "the tracker is back", |r| r.ok());
    until(&mut ada, "accept_request lab carl", "the request has come", |r| r.ok());
    let film = world.file("film.bin", 300_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut carl, "list_files lab", "the file is listed", |r| !r.items().is_empty());

    world.trackers[0].kill();
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    world.trackers[0].restart().unwrap();
    // Nobody who has seen it sees less, and nobody has to log in again.
    let members = |client: &mut Client| client.must("list_members lab").unwrap().column("user").join(" ");
    assert_eq!((members(&mut ada).as_str(), members(&mut carl).as_str()), ("ada ben carl", "ada ben carl"));
    // And who has seen nothing yet is shown everything.
    let mut options = world.options("ben");
    options.data = world.path("ben-elsewhere");
    options.listen = world.options("observer").listen;
    let mut ben = Client::start("ben elsewhere", &options).unwrap();
    until(&mut ben, "login ben pw-ben", "the tracker is back", |r| r.ok());
    until(&mut ben, "list_members lab", "Carl is back", |r| r.column("user") == ["ada", "ben", "carl"]);
    until(&mut ben, "list_files lab", "the file is back", |r| r.column("name") == ["film.bin"]);
    let to = world.folder("copies");
    until(&mut ben, &format!("download_file lab film.bin {}", arg(&to)), "its metainfo is back", |r| r.ok());
    ben.must("wait lab film.bin --timeout 60").unwrap();
}

/// What one tracker acknowledged outlives the death of that tracker and of the member's program: it gets onto the other
/// one, which had never heard of the group, together with what it rests on.
#[test]
fn an_acknowledged_change_reaches_a_second_tracker_by_itself() {
    let mut world = Parted::with_trackers(2);
    let mut ada = world.client("ada", &[1]);
    say(&mut ada, "create_user ada pw-ada", "User created!");
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    let mut ben = world.client("ben", &[1]);
    say(&mut ben, "create_user ben pw-ben", "User created!");
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    let mut two = world.client("two", &[2]);
    until(&mut two, "login ben pw-ben", "the account has arrived", |r| r.ok());
    say(&mut two, "logout", "Logged out successfully");

    world.mesh.part(&[1]);
    say(&mut ada, "create_group lab", "Group created successfully");
    say(&mut ben, "join_group lab", "Join request sent");
    say(&mut ada, "accept_request lab ben", "User accepted");
    let notes = world.file("notes.txt", b"a few words");
    say(&mut ben, &format!("upload_file {} lab", arg(&notes)), "File shared successfully");
    let members = ben.must("list_members lab").unwrap();
    assert_eq!(members.column("user"), ["ada", "ben"]);
    let until_kept = "list_groups";
    until(&mut ben, until_kept, "the group is listed", |r| r.column("group") == ["lab"]);
    // Ends its session properly, so that the snapshot is kept; the outbox is not empty.
    assert!(ben.close(PATIENCE).unwrap().success());
    ada.kill();
    world.mesh.tracker(1).kill();

    let mut ben = world.client("ben", &[2]);
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    say(&mut two, "login ada pw-ada", "Logged in successfully");
    until(&mut two, "list_members lab", "the group has arrived", |r| r.column("user") == ["ada", "ben"]);
    until(&mut two, "list_files lab", "the share has arrived", |r| r.column("name") == ["notes.txt"]);
    assert!(ben.close(PATIENCE).unwrap().success());
}

/// After going on with another tracker a reply that may be older says so, until that one has caught up.
#[test]
fn a_reply_of_a_lagging_tracker_says_so() {
    let mut world = Parted::with_trackers(2);
    let mut ada = world.client("ada", &[1, 2]);
    say(&mut ada, "create_user ada pw-ada", "User created!");
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    until(&mut ada, "create_group lab", "the trackers have met", |r| r.ok());
    let mut ben = world.client("ben", &[1]);
    say(&mut ben, "create_user ben pw-ben", "User created!");
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    let mut two = world.client("two", &[2]);
    until(&mut two, "login ben pw-ben", "the account has arrived", |r| r.ok());
    drop(two);

    world.mesh.part(&[1]);
    say(&mut ben, "join_group lab", "Join request sent");
    until(&mut ada, "list_requests lab", "the request has come", |r| r.column("user") == ["ben"]);
    world.mesh.tracker(1).kill();
    let reply = ada.must("list_requests lab").unwrap();
    assert_eq!(reply.column("user"), ["ben"], "what was seen stays");
    assert_eq!(reply.json["stale"], true, "{}", reply.json);
    assert!(reply.json["hint"].as_str().unwrap().contains("has not caught up with what you saw before"));
    world.mesh.heal();
    world.mesh.tracker(1).restart().unwrap();
    until(&mut ada, "list_requests lab", "it has caught up", |r| r.json.get("stale").is_none());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
