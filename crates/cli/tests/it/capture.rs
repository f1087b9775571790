//! Nothing readable crosses a socket: the test listens in on loopback and searches what it hears.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::child;
use crate::world::{World, arg, assert_same, say, until};

const SECRET_TEXT: &str = "the-file-content-that-must-stay-between-members";
const PASSWORD: &str = "correct-horse-battery-staple";
const CONTROL: &str = "this-is-sent-in-clear-to-show-that-the-capture-works";

#[test]
fn neither_content_nor_password_is_readable() {
    let mut world = World::with_trackers(2);
    let capture_file = world.path("capture.pcap");
    let Some(mut capture) = start_capture(&capture_file) else {
        println!("skipped: tcpdump is not here or may not listen on loopback; nothing was checked");
        return;
    };
    let text = world.path("letter.txt");
    std::fs::write(&text, format!("{SECRET_TEXT}\n").repeat(20_000)).unwrap();
    let mut ada = world.client("ada");
    let mut ben = world.client("ben");
    for (client, name) in [(&mut ada, "ada"), (&mut ben, "ben")] {
        say(client, &format!("create_user {name} {PASSWORD}-{name}"), "User created!");
        say(client, &format!("login {name} {PASSWORD}-{name}"), "Logged in successfully");
    }
    say(&mut ada, "create_group lab", "Group created successfully");
    say(&mut ben, "join_group lab", "Join request sent");
    say(&mut ada, "accept_request lab ben", "User accepted");
    say(&mut ada, &format!("upload_file {} lab", arg(&text)), "File shared successfully");
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    say(&mut ben, &format!("download_file lab letter.txt {}", arg(&world.folder("to"))), "Download started");
    ben.must("wait lab letter.txt --timeout 60").unwrap();
    assert_same(&text, &world.path("to").join("letter.txt"));

    send_in_clear();
    let heard = stop_capture(&mut capture, &capture_file);
    assert!(heard.len() > 900_000, "only {} bytes were captured", heard.len());
    assert!(contains(&heard, CONTROL), "the capture does not even hold what was sent in clear");
    for secret in [SECRET_TEXT, PASSWORD, "letter.txt"] {
        assert!(!contains(&heard, secret), "`{secret}` was readable on a socket");
    }
}

/// Starts tcpdump and waits until it hears something, so that nothing that follows is missed.
fn start_capture(file: &Path) -> Option<Child> {
    let mut command = Command::new("tcpdump");
    command.args(["-i", "lo", "-s", "0", "-U", "-B", "65536", "--immediate-mode", "-w"]).arg(file).arg("tcp");
    if is_root() {
        // Otherwise tcpdump gives up root and may not write into the test's folder.
        command.args(["-Z", "root"]);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        send_in_clear();
        if child.try_wait().ok()?.is_some() {
            return None;
        }
        if std::fs::read(file).is_ok_and(|heard| contains(&heard, CONTROL)) {
            return Some(child);
        }
    }
    drop(child.kill());
    drop(child.wait());
    None
}

fn stop_capture(capture: &mut Child, file: &Path) -> Vec<u8> {
    // SIGINT lets it write what it still holds.
    Command::new("kill").args(["-INT", &capture.id().to_string()]).status().unwrap();
    child::ended(capture, "tcpdump after SIGINT");
    std::fs::read(file).unwrap()
}

fn send_in_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(CONTROL.as_bytes()).unwrap();
    drop(client);
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, CONTROL);
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}
