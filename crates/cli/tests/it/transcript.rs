//! The classroom transcript: two trackers, four shells.

use peerage_drive::Client;

use crate::world::{World, arg, assert_same, say, until};

const FILE_BYTES: usize = 96 * 1024 * 1024;

#[test]
fn plays_the_classroom_transcript() {
    let mut world = World::with_trackers(2);
    let [mut ada, mut ben, mut cy, mut dan] = ["ada", "ben", "cy", "dan"].map(|name| world.client(name));
    accounts(&mut ada, [&mut ben, &mut cy, &mut dan]);
    requests(&mut ada, &mut ben, &mut cy, &mut dan);

    let film = world.file("film.bin", FILE_BYTES);
    say(&mut ben, &format!("upload_file {} lab", arg(&world.path("nothing"))), "No such file");
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    let other = world.folder("other").join("film.bin");
    std::fs::write(&other, b"something else").unwrap();
    let clash = ben.ask(&format!("upload_file {} lab", arg(&other))).unwrap();
    assert!(clash.text().contains("same name, other content"), "{}", clash.json);

    until(&mut ben, "list_files lab", "the shared file is listed", |r| r.column("name") == ["film.bin"]);
    let listed = ben.must("list_files lab").unwrap();
    assert_eq!(listed.items()[0]["size"], FILE_BYTES);
    assert_eq!(listed.items()[0]["sharers_online"], 1);

    downloads(&world, &film, [&mut ben, &mut cy, &mut dan]);
    availability(&world, &mut ada, &mut ben);
    departures(&mut ada, &mut ben, &mut cy, &mut dan);

    for (client, code) in [(ada, 1), (ben, 1), (cy, 1), (dan, 1)] {
        // 1: each of them had a command refused on the way.
        assert_eq!(client.close(crate::world::PATIENCE).unwrap().code(), Some(code));
    }
}

fn accounts(ada: &mut Client, others: [&mut Client; 3]) {
    say(ada, "create_group lab", "Please login first");
    say(ada, "create_user ada pw-ada", "User created!");
    say(ada, "create_user ada other", "User already exists!");
    say(ada, "login ada wrong", "Wrong password");
    say(ada, "login nobody pw", "User does not exist");
    say(ada, "login ada pw-ada", "Logged in successfully");
    say(ada, "login ada pw-ada", "You are already logged in!");
    for (client, name) in others.into_iter().zip(["ben", "cy", "dan"]) {
        say(client, &format!("create_user {name} pw-{name}"), "User created!");
        say(client, &format!("login {name} pw-{name}"), "Logged in successfully");
    }
}

fn requests(ada: &mut Client, ben: &mut Client, cy: &mut Client, dan: &mut Client) {
    say(ada, "create_group lab", "Group created successfully");
    say(ben, "create_group lab", "Group already exists!");
    until(cy, "list_groups", "the new group is listed", |r| r.items().len() == 1);
    for client in [&mut *ben, &mut *cy, &mut *dan] {
        say(client, "list_files lab", "You are not in this group");
        say(client, "join_group lab", "Join request sent");
        say(client, "list_files lab", "You are not in this group");
        say(client, "download_file lab film.bin .", "You are not in this group");
    }
    say(ben, "join_group lab", "You have already asked to join");
    say(ben, "accept_request lab ben", "You are not the owner of this group");
    until(ada, "list_requests lab", "all three requests are listed", |r| {
        r.column("user") == ["ben", "cy", "dan"]
    });
    say(ada, "accept_request lab zoe", "This user has not asked to join the group");
    say(ada, "reject_request lab dan", "Request rejected");
    say(dan, "join_group lab", "Join request sent");
    for name in ["ben", "cy", "dan"] {
        say(ada, &format!("accept_request lab {name}"), "User accepted");
    }
    say(ada, "list_requests lab", "No join requests at this time");
    say(ben, "join_group lab", "You are already in this group!");
    say(ben, "list_files lab", "No files in the group at this time");
}

fn downloads(world: &World, film: &std::path::Path, mut clients: [&mut Client; 3]) {
    for (number, client) in clients.iter_mut().enumerate() {
        let to = world.folder(&format!("to-{number}"));
        say(client, &format!("download_file lab film.bin {}", arg(&to)), "Download started");
        let running = client.must("show_downloads").unwrap();
        assert_eq!(running.column("state"), ["D"], "{}", running.json);
    }
    let mut from_members = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        client.must("wait lab film.bin --timeout 120").unwrap();
        let finished = client.must("show_downloads").unwrap();
        assert_eq!(finished.column("state"), ["C"], "{}", finished.json);
        assert_eq!(finished.items()[0]["percent"], 100.0);
        let sources = finished.items()[0]["sources"].as_array().unwrap().clone();
        let bytes = |owner: bool| -> u64 {
            let rows = sources.iter().filter(|s| (s["user"] == "ada") == owner);
            rows.map(|s| s["bytes"].as_u64().unwrap()).sum()
        };
        assert!(bytes(true) + bytes(false) >= FILE_BYTES as u64, "{sources:?}");
        from_members += bytes(false);
        assert_same(film, &world.path(&format!("to-{number}")).join("film.bin"));
    }
    assert!(from_members > 0, "three simultaneous downloads must have helped each other");
}

fn availability(world: &World, ada: &mut Client, ben: &mut Client) {
    let solo = world.file("solo.bin", 300_000);
    let get = format!("download_file lab solo.bin {}", arg(&world.folder("to-0")));
    say(ada, &format!("upload_file {} lab", arg(&solo)), "File shared successfully");
    until(ben, "list_files lab", "both files are listed", |r| r.items().len() == 2);
    say(ada, "logout", "Logged out successfully");
    let offline = |n: u64| {
        move |r: &peerage_drive::Reply| {
            r.items().iter().any(|f| f["name"] == "solo.bin" && f["sharers_online"] == n)
        }
    };
    until(ben, "list_files lab", "the sharer is offline", offline(0));
    say(ben, &get, "Nobody is sharing this file right now");
    say(ada, "login ada pw-ada", "Logged in successfully");
    until(ben, "list_files lab", "the sharer is back", offline(1));
    say(ben, &get, "Download started");
    ben.must("wait lab solo.bin --timeout 60").unwrap();
    assert_same(&solo, &world.path("to-0").join("solo.bin"));
    say(ada, "stop_share lab solo.bin", "Stopped sharing this file");
    say(ada, "stop_share lab solo.bin", "You do not share this file");
    say(ben, "stop_share lab solo.bin", "Stopped sharing this file");
    until(ada, "list_files lab", "the entry is gone", |r| r.column("name") == ["film.bin"]);
    say(ben, &get, "No such file in the group");
}

fn departures(ada: &mut Client, ben: &mut Client, cy: &mut Client, dan: &mut Client) {
    say(ada, "leave_group lab", "You left the group!");
    say(ada, "list_files lab", "You are not in this group");
    until(ben, "list_members lab", "ben owns the group", |r| {
        r.items().iter().any(|m| m["user"] == "ben" && m["role"] == "owner")
    });
    say(ben, "list_requests lab", "No join requests at this time");
    say(cy, "list_requests lab", "You are not the owner of this group");
    say(cy, "leave_group lab", "You left the group!");
    say(dan, "leave_group lab", "You left the group!");
    until(ben, "list_members lab", "only ben is left", |r| r.items().len() == 1);
    say(ben, "leave_group lab", "Group deleted as you were the only person in the group");
    until(dan, "list_groups", "the group is gone", |r| r.items().is_empty());
    say(dan, "create_group lab", "Group created successfully");
}
