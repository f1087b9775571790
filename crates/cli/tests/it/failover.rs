//! Any one tracker is enough.

use std::time::{Duration, Instant};

use peerage_drive::Client;

use crate::world::{PATIENCE, World, arg, assert_same, say, until};

/// Every kind of command while one of the two trackers is dead, through the other and without a new login.
#[test]
fn either_tracker_may_die() {
    let mut world = World::with_trackers(2);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    for (round, dead) in [0, 1].into_iter().enumerate() {
        world.trackers[dead].kill();
        let slowest = everything(&world, &mut ada, &mut ben, round);
        println!("with tracker {} dead the slowest command took {} ms", dead + 1, slowest.as_millis());
        world.trackers[dead].restart().unwrap();
        catches_up(&mut world, dead + 1, round);
    }
}

/// Runs each kind of command once and returns the longest time that one took.
fn everything(world: &World, ada: &mut Client, ben: &mut Client, round: usize) -> Duration {
    let file = world.file(&format!("notes-{round}.txt"), 200_000);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let to = world.folder("copies");
    let mut slowest = Duration::ZERO;
    let mut timed = |client: &mut Client, line: &str, expected: &str| {
        let started = Instant::now();
        say(client, line, expected);
        slowest = slowest.max(started.elapsed());
    };
    timed(ada, &format!("create_group extra-{round}"), "Group created successfully");
    timed(ben, &format!("join_group extra-{round}"), "Join request sent");
    timed(ada, &format!("accept_request extra-{round} ben"), "User accepted");
    timed(ben, &format!("create_user helper-{round} pw"), "User created!");
    timed(ada, &format!("upload_file {} lab", arg(&file)), "File shared successfully");
    until(ben, "list_files lab", "the file is listed", |r| r.column("name").contains(&name.as_str()));
    timed(ben, &format!("download_file lab {name} {}", arg(&to)), "Download started");
    ben.must(&format!("wait lab {name} --timeout 60")).unwrap();
    assert_same(&file, &to.join(&name));
    timed(ben, &format!("leave_group extra-{round}"), "You left the group!");
    timed(ada, "logout", "Logged out successfully");
    timed(ada, "login ada pw-ada", "Logged in successfully");
    slowest
}

/// What was written while it was down is served by the restarted tracker alone.
fn catches_up(world: &mut World, number: usize, round: usize) {
    let mut options = world.options("observer");
    options.list = world.list_of(number);
    options.data = world.path(&format!("observer-{number}"));
    let mut observer = Client::start("observer", &options).unwrap();
    let name = format!("helper-{round}");
    until(&mut observer, &format!("login {name} pw"), "the account has arrived", |r| {
        r.ok() || r.text() == "You are already logged in!"
    });
    let group = format!("extra-{round}");
    until(&mut observer, "list_groups", "the group has arrived", |r| {
        r.column("group").contains(&group.as_str())
    });
    assert!(observer.close(PATIENCE).is_ok());
}

/// A fact written through one tracker can be read through the other.
#[test]
fn trackers_converge() {
    let mut world = World::with_trackers(2);
    let shell = |world: &mut World, name: &str, number| {
        let mut options = world.options(name);
        options.list = world.list_of(number);
        Client::start(name, &options).unwrap()
    };
    let mut one = shell(&mut world, "one", 1);
    let mut two = shell(&mut world, "two", 2);
    say(&mut one, "create_user ada pw", "User created!");
    say(&mut one, "login ada pw", "Logged in successfully");
    say(&mut two, "create_user ben pw", "User created!");
    say(&mut two, "login ben pw", "Logged in successfully");
    for round in 0..5 {
        say(&mut one, &format!("create_group g{round}"), "Group created successfully");
        let lag = until(&mut two, "list_groups", "the group is seen", |r| r.items().len() == round + 1);
        println!("a group was seen through the other tracker after {} ms", lag.as_millis());
    }
    say(&mut two, "create_user ada other", "User already exists!");
}

/// `quit`, SIGTERM and SIGINT end a tracker cleanly, and its database opens again.
#[test]
fn trackers_end_cleanly() {
    let mut world = World::with_trackers(1);
    let mut ada = world.member("ada");
    assert!(world.trackers[0].quit(PATIENCE).unwrap().success());
    world.trackers[0].restart().unwrap();
    for (signal, group) in [("TERM", "g1"), ("INT", "g2")] {
        say(&mut ada, &format!("create_group {group}"), "Group created successfully");
        let pid = world.trackers[0].pid().to_string();
        std::process::Command::new("kill").args([format!("-{signal}"), pid]).status().unwrap();
        let status = world.trackers[0].wait(PATIENCE).unwrap();
        assert!(status.success(), "after SIG{signal}: {status}");
        world.trackers[0].restart().unwrap();
    }
    until(&mut ada, "list_groups", "both groups survived", |r| r.column("group") == ["g1", "g2"]);
    // And without any warning.
    say(&mut ada, "create_group g3", "Group created successfully");
    world.trackers[0].kill();
    world.trackers[0].restart().unwrap();
    until(&mut ada, "list_groups", "an acknowledged group survived", |r| r.items().len() == 3);
}
