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
