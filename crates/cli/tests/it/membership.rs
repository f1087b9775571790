//! Trackers join and leave the list while the others run and serve.

use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use peerage_drive::{Client, Tracker, free_addresses};
use peerage_ledger::{Body, Draft, Record};
use peerage_link::api::{BundleRequest, BundleResponse, Empty, HelloResponse, path};
use peerage_link::http::{CONNECT_DEADLINE, TrackerConn};
use peerage_link::list::TrackerList;
use peerage_link::tls::{self, ExpectedKey};
use peerage_types::{PublicKey, Scope, UserId};

use crate::world::{PATIENCE, PROGRAM, World, say, until};

/// By itself: the running tracker sees that the list has another line, and that the line is gone.
#[test]
fn a_tracker_joins_and_leaves_while_the_first_one_serves() {
    let mut world = World::with_trackers(1);
    let mut ada = world.member("ada");
    say(&mut ada, "create_group early", "Group created successfully");
    assert_eq!(durability(&world.list, 1), (1, 1));

    let both = format!("{}{}\n", fs::read_to_string(&world.list).unwrap(), free_addresses(1).unwrap()[0]);
    fs::write(&world.list, both).unwrap();
    let second = Tracker::start(Path::new(PROGRAM), &world.list, 2, &world.path("tracker-2")).unwrap();
    becomes(&world.list, 1, (2, 2));
    becomes(&world.list, 2, (2, 2));
    say(&mut ada, "create_group late", "Group created successfully");

    // What was written before it joined, and after, through the new one alone.
    let only = world.path("only-2.txt");
    let lines = fs::read_to_string(&world.list).unwrap();
    fs::write(&only, lines.lines().nth(1).unwrap()).unwrap();
    fs::copy(pin(&world.list), pin(&only)).unwrap();
    let mut options = world.options("observer");
    options.list = only;
    let mut observer = Client::start("observer", &options).unwrap();
    until(&mut observer, "login ada pw-ada", "the account is there", |r| r.ok());
    until(&mut observer, "list_groups", "both groups are there", |r| r.column("group") == ["early", "late"]);

    // Out again: first from the list, then it ends; nobody waits for it.
    fs::write(&world.list, lines.lines().next().unwrap()).unwrap();
    becomes(&world.list, 1, (1, 1));
    drop(second);
    assert_eq!(durability(&world.list, 1), (1, 1));
    say(&mut ada, "create_group alone", "Group created successfully");
}

/// By hand: `reload` and SIGHUP, each with its answer; a broken list changes nothing.
#[test]
fn reload_says_what_changed() {
    let mut world = World::with_trackers(1);
    let line = fs::read_to_string(&world.list).unwrap();
    let tracker = &mut world.trackers[0];
    // The tracker looks by itself, too: whether a change is news to `reload` is a matter of luck.
    fn reload(tracker: &mut Tracker, said: &str, news: &str) {
        let answer = tracker.command("reload", PATIENCE).unwrap();
        assert!(answer == said || answer == format!("{said}{news}"), "{answer}");
    }
    reload(tracker, "1 tracker in the list", "");
    let other = free_addresses(1).unwrap()[0];
    fs::write(&world.list, format!("{line}{other}\n")).unwrap();
    reload(tracker, "2 trackers in the list", &format!(", added {other}"));
    fs::write(&world.list, format!("{other}\n")).unwrap();
    let gone = format!(
        "2 trackers in the list; the list does not name {}, which is this tracker: it goes on, `quit` ends it",
        line.trim()
    );
    reload(tracker, &gone, "");
    fs::write(&world.list, "nonsense here and there\n").unwrap();
    let pid = tracker.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let trouble = "going on with the list as it was";
    wait(|| tracker.stderr().contains(trouble), "the broken list is told");
    fs::write(&world.list, &line).unwrap();
    reload(tracker, "1 tracker in the list", &format!(", removed {other}"));
    assert_eq!(durability(&world.list, 1), (1, 1));
}

fn pin(list: &Path) -> String {
    format!("{}.pin", list.display())
}

/// Writes to one tracker of the list until it answers as wanted.
#[track_caller]
fn becomes(list: &Path, number: usize, wanted: (u32, u32)) {
    wait(|| durability(list, number) == wanted, &format!("writes to {number} are durable on {wanted:?}"));
}

#[track_caller]
fn wait(come_true: impl Fn() -> bool, what: &str) {
    let started = Instant::now();
    let (_never, pause) = channel::<()>();
    while !come_true() {
        assert!(started.elapsed() < PATIENCE, "it never came true that {what}");
        let _timed_out = pause.recv_timeout(Duration::from_millis(50));
    }
}

/// Submits one record to one tracker; on how many of how many it is durable.
fn durability(list: &Path, number: usize) -> (u32, u32) {
    let list = TrackerList::load(list).unwrap();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    let key = SigningKey::from_bytes(&seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tls = tls::client_config(None, ExpectedKey::Exactly(list.pin.unwrap()), &[tls::ALPN_H2]);
        let conn = TrackerConn::connect(list.entry(number).unwrap(), tls, CONNECT_DEADLINE).await.unwrap();
        let hello: HelloResponse = conn.call(path::HELLO, &Empty {}).await.unwrap();
        let identity = PublicKey(key.verifying_key().to_bytes());
        let author = UserId::of_identity(&identity);
        let body = Body::AccountGenesis { identity };
        let draft = Draft { cluster: hello.cluster, scope: Scope::Account(author), author, prev: None, body };
        let record = Record::sign(draft, &key);
        let answer: BundleResponse =
            conn.call(path::BUNDLE, &BundleRequest::new([record.bytes()])).await.unwrap();
        (answer.durable_on, answer.of)
    })
}
