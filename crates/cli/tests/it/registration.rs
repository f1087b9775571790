//! Trackers that do not take just anybody.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::world::{PROGRAM, World, say, until};

/// A tracker that ends with the test.
struct Closed(Child);

impl Drop for Closed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_registration_code_is_asked_for() {
    let mut world = World::with_trackers(1);
    world.trackers[0].kill();
    let code = world.path("code.txt");
    fs::write(&code, "open-sesame\n").unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("tracker").arg(&world.list).arg("1").arg("--data").arg(world.path("tracker-1"));
    command.arg("--registration-code").arg(&code);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _tracker = Closed(quiet.spawn().unwrap());

    let mut ada = world.client("ada");
    let refused = "The tracker refused: these trackers take new accounts only with a registration code";
    until(&mut ada, "create_user ada pw-ada", "the tracker is up", |reply| reply.text() == refused);
    let wrong = "The tracker refused: this registration code is not the one of these trackers";
    say(&mut ada, "create_user ada pw-ada sesame", wrong);
    say(&mut ada, "create_user ada pw-ada open-sesame", "User created!");
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
}

/// All trackers lost everything, and take new accounts only with a code: who was there before comes back without it, and
/// with the password.
#[test]
fn a_cluster_that_lost_everything_gets_its_people_back() {
    let mut world = World::with_trackers(1);
    let mut ada = world.member("ada");
    say(&mut ada, "create_group lab", "Group created successfully");
    say(&mut ada, "change_password pw-ada a-better-password", "Password changed");
    world.trackers[0].kill();
    fs::remove_dir_all(world.path("tracker-1")).unwrap();
    let code = world.path("code.txt");
    fs::write(&code, "open-sesame\n").unwrap();
    let (program, data) = (std::path::Path::new(PROGRAM), world.path("tracker-1"));
    let more = ["--registration-code", code.to_str().unwrap()];
    world.trackers[0] = peerage_drive::Tracker::start_with(program, &world.list, 1, &data, &more).unwrap();

    until(&mut ada, "create_group attic", "ada is known again", |r| r.ok());
    until(&mut ada, "list_members lab", "her group is there again", |r| r.column("user") == ["ada"]);
    let mut elsewhere = world.client("elsewhere");
    let refused = "The tracker refused: these trackers take new accounts only with a registration code";
    say(&mut elsewhere, "create_user eve pw-of-eve", refused);
    until(&mut elsewhere, "login ada a-better-password", "the password is there again", |r| r.ok());
    say(&mut elsewhere, "logout", "Logged out successfully");
    say(&mut elsewhere, "login ada pw-ada", "Wrong password");
}
