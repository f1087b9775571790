//! Those who follow a text, each in a home of their own, and what runs in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use peerage_drive::free_addresses;

use super::text::{How, Step, all_fit, stays};
use crate::child;
use crate::world::{PATIENCE, PROGRAM};

/// Where the text says that a page is; each person has one of their own.
const PAGE: &str = "127.0.0.1:7610";
/// Hosts of the text, which all are this machine.
const HOSTS: [&str; 2] = ["127.0.0.1:", "tracker.example.org:"];
/// Where the text's people put what they keep.
const TMP: &str = "/tmp";
/// Runs what is meant for another machine in the home of that name.
const SSH: &str =
    "#!/bin/sh\nHOME=\"$(dirname \"$0\")/../$1\"\nexport HOME\nshift\ncd \"$HOME\" && exec \"$@\"\n";
/// Copies there.
const SCP: &str = "#!/bin/sh\nexec cp \"$1\" \"$(dirname \"$0\")/../${2%:}/\"\n";

/// One who follows the text.
struct Person {
    home: PathBuf,
    listen: SocketAddr,
    page: SocketAddr,
    shell: Option<Shell>,
}

/// A running `peerage client`.
struct Shell {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// Everybody's homes, and what runs in them; killed on drop.
pub struct Stage {
    folder: tempfile::TempDir,
    people: BTreeMap<String, Person>,
    /// Everybody works in this folder, if there is one; else each at home.
    together: Option<PathBuf>,
    /// What the text says, and what it is here.
    places: Vec<(String, String)>,
    invite: String,
    running: Vec<Child>,
    outputs: usize,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let shells = self.people.values_mut().filter_map(|person| person.shell.as_mut());
        for process in shells.map(|shell| &mut shell.process).chain(&mut self.running) {
            // It may have ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Stage {
    /// Homes for these people, and free addresses for those of the text.
    pub fn new(names: &[&str], text: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("peerage-docs-").tempdir().unwrap();
        let addresses = addresses(text);
        let mut free = free_addresses(addresses.len() + 2 * names.len()).unwrap().into_iter();
        let mut places: Vec<(String, String)> =
            addresses.into_iter().map(|named| (named, free.next().unwrap().to_string())).collect();
        let make = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        places.push((TMP.to_owned(), make("tmp").to_str().unwrap().to_owned()));
        let person = |name: &&str| {
            let (listen, page) = (free.next().unwrap(), free.next().unwrap());
            (name.to_string(), Person { home: make(name), listen, page, shell: None })
        };
        let people = names.iter().map(person).collect();
        let doubles = make("bin");
        for (name, script) in [("ssh", SSH), ("scp", SCP)] {
            let path = doubles.join(name);
            fs::write(&path, script).unwrap();
            #[cfg(unix)]
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        Self {
            folder,
            people,
            together: None,
            places,
            invite: String::new(),
            running: Vec::new(),
            outputs: 0,
        }
    }

    /// The same with one folder in which everybody works.
    pub fn together(names: &[&str], text: &str) -> Self {
        let mut stage = Self::new(names, text);
        let folder = stage.folder.path().join("together");
        fs::create_dir_all(&folder).unwrap();
        stage.together = Some(folder);
        stage
    }

    /// A file where this person works.
    pub fn file(&self, person: &str, name: &str) -> PathBuf {
        self.together.as_ref().unwrap_or(&self.people[person].home).join(name)
    }

    /// A file that the text has below `/tmp`.
    pub fn tmp(&self, name: &str) -> PathBuf {
        self.folder.path().join("tmp").join(name)
    }

    /// Runs a step, and compares what it prints. Returns that, with the addresses of the text.
    #[track_caller]
    pub fn run(&mut self, step: &Step) -> String {
        let command =
            self.places.iter().fold(step.command.clone(), |text, (named, here)| text.replace(named, here));
        let command = command.replace(PAGE, &self.people[&step.person].page.to_string());
        let command = command.replace("INVITE", &self.invite);
        match step.how {
            How::Typed => return self.typed(step, &command),
            _ if command.starts_with("peerage client ") => return self.open_shell(&step.person, &command),
            How::Shown | How::Script => {}
        }
        let path = self.folder.path().join(format!("output-{}", self.outputs));
        self.outputs += 1;
        let output = File::create(&path).unwrap();
        let person = &self.people[&step.person];
        let (home, page) = (person.home.clone(), person.page.to_string());
        let password = home.join("password");
        fs::write(&password, format!("a-long-password-of-{}\n", step.person)).unwrap();
        let mut process = self
            .shell(&step.person, &command)
            .stdin(Stdio::from(File::open(&password).unwrap()))
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let stays = stays(&command);
        let said = || self.as_named(fs::read_to_string(&path).unwrap()).replace(&page, PAGE);
        let ended = until(&step.command, said, || {
            let ended = process.try_wait().unwrap();
            (ended.is_some() || stays && said().contains("hint: ") && said().ends_with('\n')).then_some(ended)
        });
        let mut said = said();
        match ended {
            Some(status) => assert!(status.success() && !stays, "`{}`: {status}\n{said}", step.command),
            None => self.running.push(process),
        }
        if step.command.starts_with("peerage invite ") {
            self.invite = said.lines().next().unwrap().to_owned();
        }
        if !self.invite.is_empty() {
            said = said.replace(&self.invite, "INVITE");
        }
        let fit = step.how == How::Script || all_fit(&step.shown, &said.lines().collect::<Vec<_>>());
        assert!(fit, "`{}` printed\n{said}\nthe text shows\n{}", step.command, step.shown.join("\n"));
        said
    }

    fn as_named(&self, text: String) -> String {
        self.places.iter().fold(text, |text, (named, here)| text.replace(here, named))
    }

    /// `sh` with a script, as this person.
    fn shell(&self, name: &str, script: &str) -> Command {
        let person = &self.people[name];
        let mut shell = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("PEERAGE_") || name.starts_with("XDG_") {
                shell.env_remove(name);
            }
        }
        let programs = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
        let doubles = self.folder.path().join("bin");
        let path = format!("{}:{programs}:{}", doubles.display(), std::env::var("PATH").unwrap());
        // What stays is ended as a process of its own, not as a shell's.
        let script = if stays(script) { format!("exec {script}") } else { script.to_owned() };
        shell
            .args(["-ec", &script])
            .current_dir(self.together.as_ref().unwrap_or(&person.home))
            .env("HOME", &person.home)
            .env("PATH", path)
            .env("PEERAGE_LISTEN", person.listen.to_string())
            .env("PEERAGE_PAGE", person.page.to_string());
        shell
    }

    fn open_shell(&mut self, name: &str, command: &str) -> String {
        let mut shell = self.shell(name, command);
        let mut process = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let person = self.people.get_mut(name).unwrap();
        let before = person.shell.replace(Shell { process, input, lines });
        assert!(before.is_none(), "{name} has a shell already");
        String::new()
    }

    /// Types a line, and compares the reply, of which the text shows all but the hints.
    #[track_caller]
    fn typed(&mut self, step: &Step, command: &str) -> String {
        let shell = self.people.get_mut(&step.person).unwrap().shell.as_mut().unwrap();
        writeln!(shell.input.as_mut().unwrap(), "{command}").unwrap();
        assert!(!step.shown.is_empty(), "`{}` says something, which the text does not show", step.command);
        for shown in &step.shown {
            let said = loop {
                let line = shell.lines.recv_timeout(3 * PATIENCE).unwrap();
                if !line.starts_with("hint: ") {
                    break line;
                }
            };
            assert!(
                all_fit(std::slice::from_ref(shown), &[&said]),
                "`{}`: {said}, not {shown}",
                step.command
            );
        }
        String::new()
    }

    /// Ends what runs in the shells, which must have nothing more to say than the text shows.
    pub fn close_shells(&mut self) {
        for (name, person) in &mut self.people {
            let Some(Shell { mut process, input, lines }) = person.shell.take() else { continue };
            drop(input);
            // First, so that nothing below waits for ever.
            let status = child::ended(&mut process, "a shell without input");
            let left: Vec<String> = lines.iter().filter(|line| !line.starts_with("hint: ")).collect();
            assert!(left.is_empty(), "{name}: the text does not show {left:?}");
            assert!(status.success(), "{name}'s shell failed");
        }
    }
}

/// Addresses that a text names, each once, but those of pages.
fn addresses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for host in HOSTS {
        for (at, _) in text.match_indices(host) {
            let port: String = text[at + host.len()..].chars().take_while(char::is_ascii_digit).collect();
            let address = format!("{host}{port}");
            if port.len() == 4 && address != PAGE && !found.contains(&address) {
                found.push(address);
            }
        }
    }
    found
}

/// Looks until there is something.
#[track_caller]
fn until<T>(what: &str, said: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    let (_never, pause) = channel::<()>();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < 3 * PATIENCE, "`{what}` does not get on: {}", said());
        let _timed_out = pause.recv_timeout(Duration::from_millis(20));
    }
}
