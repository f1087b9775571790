//! What is acknowledged is on the disk: a system-call trace of a real tracker shows that the sync comes first.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::child;
use crate::world::{PATIENCE, World, say};

/// How long each sync is held up, in seconds: far longer than a reply takes by itself.
const HOLD_S: f64 = 0.3;

/// One finished sync of the database, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
struct Sync {
    began: f64,
    ended: f64,
}

/// Each write's reply comes after a sync that began after the request, although every sync is held up.
#[test]
fn the_sync_precedes_the_reply() {
    let mut world = World::with_trackers(1);
    let mut ada = world.member("ada");
    let trace = world.path("trace");
    let delay = format!("inject=fdatasync,fsync:delay_exit={}", (HOLD_S * 1e6) as u64);
    let Some(mut strace) = attach(world.trackers[0].pid(), &trace, &delay) else {
        println!("skipped: strace is not here or may not attach; nothing was checked");
        return;
    };
    let mut replies = Vec::new();
    for round in 0..6 {
        let asked = unix_seconds();
        say(&mut ada, &format!("create_group g{round}"), "Group created successfully");
        replies.push((asked, unix_seconds()));
    }
    detach(&mut strace);
    let syncs = syncs(&trace);
    for (asked, replied) in replies {
        let between = syncs.iter().find(|sync| sync.began >= asked && sync.ended <= replied);
        assert!(between.is_some(), "asked at {asked}, replied at {replied}, syncs: {syncs:?}");
        assert!(replied - asked >= HOLD_S, "the reply took {} s, the sync {HOLD_S} s", replied - asked);
    }
}

/// A disk that cannot sync ends the tracker, and nothing is acknowledged meanwhile.
#[test]
fn a_failed_sync_ends_the_tracker_without_a_reply() {
    let mut world = World::with_trackers(1);
    let mut ada = world.member("ada");
    say(&mut ada, "create_group before", "Group created successfully");
    let trace = world.path("trace");
    let pid = world.trackers[0].pid();
    let Some(mut strace) = attach(pid, &trace, "inject=fdatasync,fsync:error=EIO") else {
        println!("skipped: strace is not here or may not attach; nothing was checked");
        return;
    };
    let reply = ada.ask("create_group lost").unwrap();
    assert!(!reply.ok(), "acknowledged without a sync: {}", reply.json);
    let status = world.trackers[0].wait(PATIENCE).unwrap();
    assert!(!status.success(), "a tracker with a failed sync ended with {status}");
    detach(&mut strace);
    world.trackers[0].restart().unwrap();
    say(&mut ada, "create_group before", "Group already exists!");
    // What was written but not synced may be there or not.
    let again = ada.ask("create_group lost").unwrap();
    let open = ["Group created successfully", "Group already exists!"];
    assert!(open.contains(&again.text()), "{}", again.json);
}

/// Attaches strace to all threads of a process; returns when it is in place.
fn attach(pid: u32, trace: &Path, injection: &str) -> Option<Child> {
    let mut command = Command::new("strace");
    command.args(["-f", "-ttt", "-T", "-e", "trace=fdatasync,fsync", "-e", injection, "-o"]).arg(trace);
    command.args(["-p", &pid.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if child.try_wait().ok()?.is_some() {
            return None;
        }
        if traced(pid) {
            return Some(child);
        }
    }
    None
}

/// Is every thread of this process traced?
fn traced(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|by| by.trim() != "0"))
    })
}

/// Lets the process go on untraced (if it still runs).
fn detach(strace: &mut Child) {
    Command::new("kill").args(["-INT", &strace.id().to_string()]).status().unwrap();
    child::ended(strace, "strace after SIGINT");
}

/// The syncs of a trace. A line is `PID BEGAN fdatasync(FD) = 0 … <TOOK>`, or in two parts,
/// `PID BEGAN fdatasync(FD <unfinished ...>` and `PID RESUMED <... fdatasync resumed>) = 0 … <TOOK>`.
fn syncs(trace: &Path) -> Vec<Sync> {
    let text = std::fs::read_to_string(trace).unwrap();
    let mut syncs = Vec::new();
    let mut begun: Vec<(&str, f64)> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(thread), Some(at)) = (words.next(), words.next().and_then(|w| w.parse::<f64>().ok()))
        else {
            continue;
        };
        if line.contains("<unfinished") {
            begun.push((thread, at));
            continue;
        }
        let took = line.rsplit_once('<').and_then(|(_, rest)| rest.trim_end_matches('>').parse::<f64>().ok());
        if let (Some(took), true) = (took, line.contains("= 0")) {
            let first_part = begun.iter().position(|(by, _)| *by == thread).map(|at| begun.remove(at).1);
            let began = first_part.filter(|_| line.contains("resumed>")).unwrap_or(at);
            syncs.push(Sync { began, ended: began + took });
        }
    }
    syncs
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}
