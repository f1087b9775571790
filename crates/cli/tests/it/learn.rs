//! Members who came by an invite learn of trackers that came later, and a hostile tracker teaches them nothing.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use peerage_drive::Tracker;
use peerage_link::api::{TrackersResponse, path};

use crate::double::Double;
use crate::node::Node;
use crate::world::{PATIENCE, PROGRAM, World};

/// What a node prints about a line that it learnt.
const LEARNT: &str = " # learnt from the trackers";

/// Looks until it is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    let (_never, pause) = channel::<()>();
    while !is_so() {
        assert!(began.elapsed() < 2 * PATIENCE, "{what}: it did not happen");
        let _timed_out = pause.recv_timeout(Duration::from_millis(20));
    }
}

/// A member's node that came by an invite to Ada's group, which names only the trackers of this list.
struct Invited {
    node: Node,
    list: PathBuf,
    password: String,
}

impl Invited {
    fn by(world: &World, list: &std::path::Path) -> Self {
        let ada = Node::start(world, "ada", &["--trackers", list.to_str().unwrap()]);
        ada.must(&["create_user", "ada"], "pw-of-ada\n");
        ada.must(&["login", "ada"], "pw-of-ada\n");
        ada.must(&["create_group", "lab"], "");
        let link = ada.must(&["invite", "lab", "--pre-approved"], "");
        let password = world.path("password");
        fs::write(&password, "pw-of-ben\n").unwrap();
        let password = password.to_str().unwrap().to_owned();
        let args = [link.trim(), "--new-user", "ben", "--password-file", &password];
        let node = Node::start(world, "ben", &args);
        until("ben is in", || node.call(&["list_members", "lab"], "").stdout == b"ada\nben\n");
        Self { node, list: world.path("ben-data").join("trackers.txt"), password }
    }

    fn list(&self) -> String {
        fs::read_to_string(&self.list).unwrap()
    }

    /// Ends the node, however it is, and starts it again.
    fn restart(self, world: &World) -> Self {
        let Self { node, list, password } = self;
        drop(node);
        let node = Node::start(world, "ben", &["--user", "ben", "--password-file", &password]);
        Self { node, list, password }
    }
}

#[test]
fn a_tracker_that_came_later_is_enough() {
    let mut world = World::with_trackers_of(3, 0);
    let [first, second, third] = world.tracker_addresses[..] else { panic!("three were asked for") };
    fs::write(&world.list, format!("{first}\n{second}\n")).unwrap();
    let start = |world: &World, number: usize| {
        let data = world.path(&format!("tracker-{number}"));
        Tracker::start(PROGRAM.as_ref(), &world.list, number, &data).unwrap()
    };
    for number in [1, 2] {
        world.trackers.push(start(&world, number));
    }
    let one = world.list_of(1);
    let ben = Invited::by(&world, &one);
    let invited = ben.list();
    assert!(invited.contains(&first.to_string()) && !invited.contains(&third.to_string()), "{invited}");
    until("the second is learnt", || ben.list().contains(&second.to_string()));
    let edited = format!("# the lab's trackers\n{}", ben.list());
    fs::write(&ben.list, &edited).unwrap();

    // A third one joins while all of them run.
    fs::write(&world.list, format!("{first}\n{second}\n{third}\n")).unwrap();
    let last = start(&world, 3);
    until("the third is learnt", || ben.list().contains(&third.to_string()));
    assert_eq!(ben.list(), format!("{edited}{third}{LEARNT}\n"), "what a person wrote stays");
    // Once it has what the others have, it is left alone.
    ben.node.must(&["create_group", "before"], "");
    let cat = Node::start(&world, "cat", &["--trackers", world.list_of(3).to_str().unwrap()]);
    until("the third takes accounts", || cat.call(&["create_user", "cat"], "pw-of-cat\n").status.success());
    cat.must(&["login", "cat"], "pw-of-cat\n");
    until("the third has caught up", || cat.call(&["list_groups"], "").stdout == b"before\nlab\n");
    drop(cat);
    world.trackers.clear();
    let ben = ben.restart(&world);
    until("he is logged in", || ben.node.call(&["whoami"], "").stdout == b"ben\n");
    assert_eq!(ben.node.must(&["list_groups"], ""), "before\nlab\n");
    ben.node.must(&["create_group", "after"], "");
    assert_eq!(ben.node.must(&["list_members", "lab"], ""), "ada\nben\n");
    drop(last);
}

#[test]
fn a_hostile_tracker_neither_adds_nor_takes_away() {
    let world = World::with_trackers_of(2, 0);
    let double = Double::start(&world.list, 1, &world.path("double"));
    let one = world.list_of(1);
    let [hostile, honest] = world.tracker_addresses[..] else { panic!("two were asked for") };
    let strangers = World::with_trackers(1);
    let stranger = strangers.tracker_addresses[0];
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = silent.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let say = |list: String| {
        let asked = Arc::clone(&asked);
        double.twist(path::TRACKERS, move |_: TrackersResponse| {
            asked.fetch_add(1, Ordering::SeqCst);
            TrackersResponse { list: list.clone() }
        });
    };
    // Somebody else's tracker, something that is none, its own second name; and the honest one is left out.
    let alias = format!("localhost:{}", hostile.port());
    say(format!("{hostile}\n{stranger}\n{nobody}\n{alias}\n"));
    let ben = Invited::by(&world, &one);
    let invited = ben.list();
    let more = |times: usize| {
        let now = asked.load(Ordering::SeqCst);
        until("the hostile one is asked", || asked.load(Ordering::SeqCst) >= now + times);
    };
    silent.set_nonblocking(true).unwrap();
    until("the silent one is tried", || silent.accept().is_ok());
    more(3);
    assert_eq!(ben.list(), invited, "none of them is of the cluster");
    // More than a list may have, and no list at all.
    say((1..=8).map(|port| format!("127.0.0.1:{port}\n")).collect());
    more(1);
    say(format!("{honest}; rm -rf\n"));
    more(1);
    assert_eq!(ben.list(), invited);

    // The truth, once the honest one runs.
    let data = world.path("honest");
    let running = Tracker::start(PROGRAM.as_ref(), &world.list, 2, &data).unwrap();
    double.be_honest();
    until("the honest one is learnt", || ben.list().contains(&honest.to_string()));
    let whole = ben.list();
    assert_eq!(whole, format!("{invited}{honest}{LEARNT}\n"));

    // One that leaves the other out changes nothing.
    say(format!("{hostile}\n"));
    more(2);
    assert_eq!(ben.list(), whole);
    drop(double);
    until("the other takes over", || ben.node.call(&["create_group", "alone"], "").status.success());
    drop(running);
}
