//! `peerage up`, the shell's commands as subcommands, and the local HTTP API.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use peerage_drive::free_addresses;
use peerage_local::command::Spec;
use peerage_local::http::reply_schema;
use serde_json::Value;

use crate::child;
use crate::world::{PATIENCE, PROGRAM, World, assert_same};

/// A node in the foreground; killed on drop.
pub struct Node {
    process: Child,
    data: PathBuf,
    home: PathBuf,
    args: Vec<String>,
    pub api: SocketAddr,
    pub token: String,
}

impl Node {
    pub fn up(world: &World, name: &str) -> Self {
        Self::at(&world.path(""), name, &world.list)
    }

    /// In a folder of the test, with this list of trackers.
    pub fn at(folder: &Path, name: &str, list: &Path) -> Self {
        Self::run(Command::new(PROGRAM), folder, name, &["--trackers", list.to_str().unwrap()])
    }

    /// On a disk of so many bytes, which `disk` is for this node only. Nothing where the system lets nobody have one.
    pub fn on_small_disk(world: &World, name: &str, disk: &Path, bytes: usize) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={bytes} tmpfs \"$0\" && exec \"$@\"");
        let inside = |program: &str| {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]).arg(disk).arg(program);
            command
        };
        let possible = inside("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        let args = ["--trackers", world.list.to_str().unwrap()];
        possible.then(|| Self::run(inside(PROGRAM), &world.path(""), name, &args))
    }

    /// With these arguments, and the same data folder each time.
    pub fn start(world: &World, name: &str, args: &[&str]) -> Self {
        Self::run(Command::new(PROGRAM), &world.path(""), name, args)
    }

    /// The same with this file as standard input.
    pub fn start_reading(world: &World, name: &str, input: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.stdin(std::fs::File::open(input).unwrap());
        Self::run(command, &world.path(""), name, args)
    }

    fn run(command: Command, folder: &Path, name: &str, args: &[&str]) -> Self {
        let data = folder.join(format!("{name}-data"));
        let home = folder.join("home");
        std::fs::create_dir_all(&home).unwrap();
        let [listen, page] = free_addresses(2).unwrap()[..] else { panic!("two addresses were asked for") };
        let fixed = ["up", "--no-open", "--listen", &listen.to_string(), "--page", &page.to_string()];
        let args: Vec<String> = fixed.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let (process, api, token) = Self::spawn(command, &data, &home, &args);
        Self { process, data, home, args, api, token }
    }

    fn spawn(mut command: Command, data: &Path, home: &Path, args: &[String]) -> (Child, SocketAddr, String) {
        let command = command.args(args).arg("--data").arg(data);
        // Where the page lets its user choose files, and where it puts downloads.
        let mut process = command.env("HOME", home).stdout(Stdio::piped()).spawn().unwrap();
        let line = child::first_line(&mut process, "`peerage up`");
        assert!(line.contains("http://") && !line.contains("token"), "no secret goes to a pipe: {line}");
        let running: Value = serde_json::from_slice(&std::fs::read(data.join("node.json")).unwrap()).unwrap();
        let field = |name: &str| running[name].as_str().unwrap().to_owned();
        (process, field("api").parse().unwrap(), field("token"))
    }

    /// Without a chance to say anything.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// On the same folder and addresses, when it has ended.
    pub fn restart(&mut self) {
        (self.process, self.api, self.token) =
            Self::spawn(Command::new(PROGRAM), &self.data, &self.home, &self.args);
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A subcommand, not run yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).arg("--data").arg(&self.data);
        command
    }

    /// Runs a subcommand with this on its standard input.
    pub fn call(&self, args: &[&str], input: &str) -> Output {
        call(&self.data, args, input)
    }

    #[track_caller]
    pub fn must(&self, args: &[&str], input: &str) -> String {
        let output = self.call(args, input);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs one with `--json` and checks the object against its schema.
    #[track_caller]
    pub fn json(&self, args: &[&str], input: &str) -> Value {
        let output = self.call(&[args, &["--json"]].concat(), input);
        let object: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let schema = reply_schema(Spec::find(args[0]).unwrap());
        let valid = jsonschema::validate(&schema, &object);
        assert!(valid.is_ok(), "{object} is not as {schema} says: {valid:?}");
        assert_eq!(output.status.success(), object["ok"] == true, "{object}");
        object
    }

    /// Sends a request as a browser or a program would; status and body.
    fn http(&self, head: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.api).unwrap();
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn call(data: &Path, args: &[&str], input: &str) -> Output {
    child::output(Command::new(PROGRAM).args(args).arg("--data").arg(data), input)
}

/// Two people on one machine, with nothing but subcommands.
#[test]
fn a_file_goes_from_node_to_node() {
    let world = World::with_trackers(1);
    let (ada, ben) = (Node::up(&world, "ada"), Node::up(&world, "ben"));
    for (node, name) in [(&ada, "ada"), (&ben, "ben")] {
        assert_eq!(node.must(&["create_user", name], &format!("pw-of-{name}\n")), "User created!\n");
        assert_eq!(node.must(&["login", name], &format!("pw-of-{name}\n")), "Logged in successfully\n");
        assert_eq!(node.json(&["whoami"], "")["items"][0]["user"], name);
    }
    ada.must(&["create-group", "lab"], "");
    ben.must(&["join_group", "lab"], "");
    assert_eq!(ada.json(&["list_requests", "lab"], "")["items"][0]["user"], "ben");
    ada.must(&["accept_request", "lab", "ben"], "");
    let file = world.file("a file.bin", 3_000_000);
    ada.must(&["share", file.to_str().unwrap(), "lab"], "");
    let files = ben.json(&["list_files", "lab"], "");
    assert_eq!(
        (&files["items"][0]["name"], &files["items"][0]["size"]),
        (&"a file.bin".into(), &3_000_000.into())
    );
    let copy = world.path("copy.bin");
    let said = ben.must(&["get", "lab", "a file.bin", copy.to_str().unwrap(), "--wait"], "");
    assert_eq!(said, "Download started\nDownload complete\n");
    assert_same(&file, &copy);
    assert_eq!(ben.json(&["show_downloads"], "")["items"][0]["percent"], 100.0);
    assert_eq!(ben.json(&["list_peers", "lab", "a file.bin"], "")["ok"], true);
    assert_eq!(ada.json(&["list_members", "lab"], "")["items"][1]["role"], "member");
    assert_eq!(ada.json(&["audit", "lab"], "")["ok"], true);
    assert_eq!(ada.json(&["list_groups"], "")["items"][0]["standing"], "owner");
    assert_eq!(ada.json(&["list_devices"], "")["items"][0]["this"], true);
}

/// From nothing to a file on the other side, with an invite.
#[test]
fn an_invite_leads_to_the_group() {
    let world = World::with_trackers(1);
    let password = world.path("password");
    std::fs::write(&password, "a-long-password\n").unwrap();
    let with = |user| ["--new-user", user, "--password-file", password.to_str().unwrap()];
    let ada = Node::start(
        &world,
        "ada",
        &[&["--trackers", world.list.to_str().unwrap()], &with("ada")[..]].concat(),
    );
    until(|| ada.call(&["create_group", "lab"], "").status.success());
    ada.must(&["share", world.file("note.bin", 100_000).to_str().unwrap(), "lab"], "");
    let link = ada.json(&["invite", "lab"], "")["items"][0]["link"].as_str().unwrap().to_owned();
    assert_eq!(ada.must(&["invite", "lab"], ""), format!("{link}\n"));

    let ben = Node::start(&world, "ben", &[&[link.as_str()], &with("ben")[..]].concat());
    until(|| ada.must(&["list_requests", "lab"], "") == "ben\n");
    ada.must(&["accept_request", "lab", "ben"], "");
    let copy = world.path("note-copy.bin");
    ben.must(&["get", "lab", "note.bin", copy.to_str().unwrap(), "--wait"], "");
    assert_same(&world.path("note.bin"), &copy);
    assert_eq!(ben.json(&["join", &link], "")["error"], "You are already in this group!");
    let cut = &link[..link.len() - 3];
    let output = ben.call(&["join", cut], "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("not an invite"), "{error}");
}

/// Where no list of processes shows it.
#[test]
fn an_invite_comes_from_standard_input() {
    let world = World::with_trackers(1);
    let password = world.path("password");
    std::fs::write(&password, "a-long-password\n").unwrap();
    let with = |user| ["--new-user", user, "--password-file", password.to_str().unwrap()];
    let trackers = ["--trackers", world.list.to_str().unwrap()];
    let ada = Node::start(&world, "ada", &[&trackers, &with("ada")[..]].concat());
    until(|| ada.call(&["create_group", "lab"], "").status.success());
    ada.must(&["create_group", "attic"], "");
    let line = |group| ada.must(&["invite", group, "--pre-approved"], "");

    let invite = world.path("invite");
    std::fs::write(&invite, line("lab")).unwrap();
    let ben = Node::start_reading(&world, "ben", &invite, &[&["-"], &with("ben")[..]].concat());
    until(|| ben.call(&["list_members", "lab"], "").stdout == b"ada\nben\n");
    ben.must(&["join", "-"], &line("attic"));
    assert_eq!(ben.must(&["list_members", "attic"], ""), "ada\nben\n");

    let output = ben.call(&["join", "-"], "nonsense\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("not an invite"), "{error}");
    let output = ben.call(&["join", "-"], "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && error.starts_with("error: ") && error.lines().count() <= 2,
        "{error}"
    );
}

pub fn until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "it did not happen");
    }
}

/// Refusals are one line with the way out, and the exit code says of which kind they are.
#[test]
fn refusals_and_exit_codes() {
    let world = World::with_trackers(1);
    let nowhere = world.folder("nowhere");
    let output = call(&nowhere, &["list_groups"], "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("peerage up"), "{error}");
    let output = call(&nowhere, &["up", "--no-open"], "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("--trackers"), "{error}");

    let mut node = Node::up(&world, "ada");
    assert_eq!(node.call(&["list_files", "lab"], "").status.code(), Some(3));
    assert_eq!(node.call(&["create_group", "a/b"], "").status.code(), Some(2));
    assert_eq!(node.call(&["login", "nobody"], "pw\n").status.code(), Some(1));
    let output = node.call(&["login", "nobody"], "");
    assert!(String::from_utf8(output.stderr).unwrap().contains("--password-file"));
    assert_eq!(node.json(&["login", "nobody"], "pw\n")["error"], "User does not exist");

    let second = call(&node.data, &["up", "--no-open"], "");
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.code() == Some(1) && error.contains("already runs"), "{error}");
    assert!(node.must(&["status"], "").contains("nobody is logged in"));
    assert!(node.must(&["down"], "").contains("Node ended"));
    assert!(child::ended(&mut node.process, "`peerage up` after `down`").success());
    assert_eq!(node.call(&["status"], "").status.code(), Some(1));
}

/// The API answers to whoever can read the token, asked by a name of this machine.
#[test]
fn strangers_and_foreign_pages_are_refused() {
    let world = World::with_trackers(1);
    let node = Node::up(&world, "ada");
    let host = format!("Host: {}\r\n", node.api);
    let token = format!("Authorization: Bearer {}\r\n", node.token);
    let both = format!("{host}{token}");
    let status = |head: &str, headers: &str| node.http(head, headers, "").0;
    assert_eq!(status("GET /api/v1/status", &both), 200);
    assert_eq!(status("GET /api/v1/status", &host), 401);
    assert_eq!(status("GET /api/v1/status", &format!("{host}Authorization: Bearer x\r\n")), 401);
    assert_eq!(status("POST /api/v1/stop", &host), 401);
    assert_eq!(status("GET /api/v1/status", &format!("Host: evil.example\r\n{token}")), 403);
    assert_eq!(status("GET /", "Host: evil.example\r\n"), 403);
    assert_eq!(status("GET /api/v1/status", &format!("{both}Origin: https://evil.example\r\n")), 403);
    assert_eq!(status("GET /api/v1/nothing", &both), 404);
    assert_eq!(status("POST /api/v1/commands/exit", &both), 404);
    assert_eq!(status("GET /", &host), 200);
    assert_eq!(status("POST /", &host), 405);
    let (status, body) = node.http("POST /api/v1/commands/kick", &both, r#"{"group":"lab"}"#);
    assert_eq!((status, body.contains("needs `user`")), (400, true), "{body}");
    assert_eq!(node.http("POST /api/v1/commands/kick", &both, &"x".repeat(5_000_000)).0, 413);
    let (_, document) = node.http("GET /openapi.json", &host, "");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(document["paths"]["/api/v1/commands/list_files"]["post"].is_object());

    let elsewhere = world.path("elsewhere");
    let mut up = Command::new(PROGRAM);
    up.args(["up", "--no-open", "--page", "0.0.0.0:0", "--listen", "127.0.0.1:0", "--trackers"]);
    let output = child::output(up.arg(&world.list).arg("--data").arg(elsewhere), "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("ssh -L"), "{error}");
}
