//! A temporary world of trackers and shells.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use peerage_drive::{Client, ClientOptions, Reply, Tracker, free_addresses, quote};
use tempfile::TempDir;

/// The binary under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_peerage");
/// Longest wait for anything that must happen by itself. Far above what is promised: these machines are shared,
/// and no test here is a benchmark.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Trackers (killed on drop) and a folder (removed on drop).
pub struct World {
    pub trackers: Vec<Tracker>,
    pub tracker_addresses: Vec<SocketAddr>,
    pub list: PathBuf,
    options: BTreeMap<String, ClientOptions>,
    folder: TempDir,
}

impl World {
    /// Starts so many trackers on one list.
    pub fn with_trackers(count: usize) -> Self {
        Self::with_trackers_of(count, count)
    }

    /// A list of so many trackers, of which the first few are started.
    pub fn with_trackers_of(count: usize, started: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("peerage-it-").tempdir().unwrap();
        let tracker_addresses = free_addresses(count).unwrap();
        let list = folder.path().join("tracker_info.txt");
        fs::write(&list, tracker_addresses.iter().map(|a| format!("{a}\n")).collect::<String>()).unwrap();
        let start = |number: usize| {
            let data = folder.path().join(format!("tracker-{number}"));
            Tracker::start(Path::new(PROGRAM), &list, number, &data).unwrap()
        };
        let trackers = (1..=started).map(start).collect();
        Self { trackers, tracker_addresses, list, options: BTreeMap::new(), folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A list that names only one of the trackers, with the cluster's pin beside it.
    pub fn list_of(&self, number: usize) -> PathBuf {
        let path = self.path(&format!("only-{number}.txt"));
        fs::write(&path, format!("{}\n", self.tracker_addresses[number - 1])).unwrap();
        let beside = |list: &Path| PathBuf::from(format!("{}.pin", list.display()));
        fs::copy(beside(&self.list), beside(&path)).unwrap();
        path
    }

    /// How a shell of this name is started; the same folder and address each time.
    pub fn options(&mut self, name: &str) -> ClientOptions {
        let (list, data) = (self.list.clone(), self.path(&format!("{name}-data")));
        let fresh =
            || ClientOptions { program: PROGRAM.into(), listen: free_addresses(1).unwrap()[0], list, data };
        self.options.entry(name.to_owned()).or_insert_with(fresh).clone()
    }

    /// A shell that nobody has logged in to.
    pub fn client(&mut self, name: &str) -> Client {
        Client::start(name, &self.options(name)).unwrap()
    }

    /// A shell with a new account of the same name, logged in.
    pub fn member(&mut self, name: &str) -> Client {
        let mut client = self.client(name);
        say(&mut client, &format!("create_user {name} pw-{name}"), "User created!");
        say(&mut client, &format!("login {name} pw-{name}"), "Logged in successfully");
        client
    }

    /// An owner with a group `lab`, and accepted members.
    pub fn group<const N: usize>(&mut self, owner: &str, members: [&str; N]) -> (Client, [Client; N]) {
        let mut owner = self.member(owner);
        say(&mut owner, "create_group lab", "Group created successfully");
        let members = members.map(|name| {
            let mut client = self.member(name);
            say(&mut client, "join_group lab", "Join request sent");
            say(&mut owner, &format!("accept_request lab {name}"), "User accepted");
            client
        });
        (owner, members)
    }

    /// A file of pseudo-random bytes.
    pub fn file(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.path(name);
        let mut content = vec![0; bytes];
        blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut content);
        fs::write(&path, content).unwrap();
        path
    }

    /// An empty folder.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

/// Sends one command and compares the first line of its answer, refused or not.
#[track_caller]
pub fn say(client: &mut Client, line: &str, expected: &str) -> Reply {
    let reply = client.ask(line).unwrap();
    assert_eq!(reply.text(), expected, "`{line}` answered {}\n{}", reply.json, client.stderr());
    reply
}

/// Quoted path for a command line.
pub fn arg(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// Asks until the answer is as wanted; for what becomes true by itself.
#[track_caller]
pub fn until(client: &mut Client, line: &str, what: &str, wanted: impl Fn(&Reply) -> bool) -> Duration {
    let started = Instant::now();
    let (_never, pause) = channel::<()>();
    loop {
        let reply = client.ask(line).unwrap();
        if wanted(&reply) {
            return started.elapsed();
        }
        assert!(started.elapsed() < PATIENCE, "`{line}`: {what} never came true: {}", reply.json);
        let _timed_out = pause.recv_timeout(Duration::from_millis(20));
    }
}

/// Whether two files are byte for byte the same.
#[track_caller]
pub fn assert_same(a: &Path, b: &Path) {
    let (left, right) = (fs::read(a).unwrap(), fs::read(b).unwrap());
    assert!(left == right, "{} and {} differ", a.display(), b.display());
}
