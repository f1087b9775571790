//! The user guide, run as it stands: each block marked with a person's name, in order, in a home folder of their own.
//!
//! Lines that begin with `$ ` are commands, the others what they print, standard output and error together. `…` stands
//! for anything in a line, and for any lines when it is all of one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use expect_test::expect_file;
use peerage_drive::free_addresses;
use peerage_local::command::SPECS;

use crate::world::{PATIENCE, PROGRAM, assert_same};

/// The file that goes to the other side.
const MOVIE_BYTES: usize = 100 << 20;
/// The story may have so many commands.
const STORY_COMMANDS_MAX: usize = 8;

/// A command and the lines that the guide shows below it.
#[derive(Debug)]
struct Step {
    person: String,
    command: String,
    shown: Vec<String>,
}

/// The steps of a text.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut person: Option<Option<String>> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &person, line.strip_prefix("$ ")) {
            (Some(info), None, _) => person = Some(info.strip_prefix("console ").map(str::to_owned)),
            (Some(_), Some(_), _) => person = None,
            (None, Some(Some(person)), Some(command)) => {
                steps.push(Step { person: person.clone(), command: command.to_owned(), shown: Vec::new() });
            }
            (None, Some(Some(_)), None) => steps.last_mut().unwrap().shown.push(line.to_owned()),
            _ => {}
        }
    }
    steps
}

/// Whether a line is as the pattern says, in which `…` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(mut left) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('…').collect();
    for part in &parts[..parts.len() - 1] {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(parts[parts.len() - 1])
}

/// Whether all lines are as shown, in order.
fn all_fit(shown: &[String], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((pattern, rest)), _) if pattern == "…" => {
            all_fit(rest, lines) || lines.split_first().is_some_and(|(_, lines)| all_fit(shown, lines))
        }
        (Some((pattern, shown)), Some((line, lines))) => fits(pattern, line) && all_fit(shown, lines),
        _ => false,
    }
}

/// One who follows the guide.
struct Person {
    home: PathBuf,
    listen: SocketAddr,
    page: SocketAddr,
}

/// Everybody's homes, and what runs in them; killed on drop.
struct Stage {
    folder: tempfile::TempDir,
    people: BTreeMap<String, Person>,
    tracker: SocketAddr,
    invite: String,
    running: Vec<Child>,
    outputs: usize,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for process in &mut self.running {
            // It may have ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Stage {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("peerage-guide-").tempdir().unwrap();
        let mut free = free_addresses(1 + 2 * names.len()).unwrap().into_iter();
        let tracker = free.next().unwrap();
        let person = |name: &&str| {
            let home = folder.path().join(name);
            fs::create_dir_all(&home).unwrap();
            (name.to_string(), Person { home, listen: free.next().unwrap(), page: free.next().unwrap() })
        };
        let people = names.iter().map(person).collect();
        Self { folder, people, tracker, invite: String::new(), running: Vec::new(), outputs: 0 }
    }

    /// Runs a step, and compares what it prints. Returns that, with the addresses of the guide.
    #[track_caller]
    fn run(&mut self, step: &Step) -> String {
        let person = &self.people[&step.person];
        let path = self.folder.path().join(format!("output-{}", self.outputs));
        self.outputs += 1;
        let output = File::create(&path).unwrap();
        let command = step.command.replace("127.0.0.1:7500", &self.tracker.to_string());
        let command = command.replace("INVITE", &self.invite);
        let password = person.home.join("password");
        fs::write(&password, format!("a-long-password-of-{}\n", step.person)).unwrap();
        let mut shell = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("PEERAGE_") || name.starts_with("XDG_") {
                shell.env_remove(name);
            }
        }
        let programs = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
        let mut process = shell
            .args(["-c", &format!("exec {command}")])
            .current_dir(&person.home)
            .env("HOME", &person.home)
            .env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()))
            .env("PEERAGE_LISTEN", person.listen.to_string())
            .env("PEERAGE_PAGE", person.page.to_string())
            .stdin(Stdio::from(File::open(&password).unwrap()))
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let page = person.page.to_string();
        let stays = ["peerage tracker ", "peerage up "].iter().any(|start| command.starts_with(start));
        let said = || {
            let said =
                fs::read_to_string(&path).unwrap().replace(&self.tracker.to_string(), "127.0.0.1:7500");
            said.replace(&page, "127.0.0.1:7610")
        };
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
        let fit = all_fit(&step.shown, &said.lines().collect::<Vec<_>>());
        assert!(fit, "`{}` printed\n{said}\nthe guide shows\n{}", step.command, step.shown.join("\n"));
        said
    }
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

#[test]
fn the_guide_works_as_it_stands() {
    let guide = include_str!("../../../../docs/guide.md");
    let mut stage = Stage::new(&["ana", "ben"]);
    let movie = stage.people["ana"].home.join("movie.bin");
    let mut content = vec![0; MOVIE_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    fs::write(&movie, content).unwrap();

    let (before, story) = guide.split_once("## Five minutes").unwrap();
    let (story, after) = story.split_once("\n## ").unwrap();
    assert!(steps(before).is_empty());
    let story = steps(story);
    assert!((1..=STORY_COMMANDS_MAX).contains(&story.len()), "{} commands", story.len());
    let mut said: Option<String> = None;
    for step in &story {
        let words: Vec<&str> = step.command.split(' ').take(2).collect();
        if let Some(said) = said {
            assert!(said.contains(&words.join(" ")), "nothing led to `{}`:\n{said}", step.command);
        }
        said = Some(stage.run(step));
    }
    assert_same(&movie, &stage.people["ben"].home.join("movie.bin"));
    let rest = steps(after);
    assert!(!rest.is_empty());
    for step in &rest {
        stage.run(step);
    }
}

#[test]
fn every_command_is_listed() {
    let mut text = "# Every command\n\nIn the shell as they stand; outside it with `peerage` before them, and passwords asked for. \
                    Made from the program's table: `UPDATE_EXPECT=1 cargo test -p peerage-cli every_command`.\n\n\
                    | command | what it does |\n|---|---|\n"
        .to_owned();
    for spec in SPECS {
        let usage = format!("{} {}", spec.name, spec.usage).trim_end().replace('|', "\\|");
        text.push_str(&format!("| `{usage}` | {} |\n", spec.summary));
    }
    expect_file!["../../../../docs/commands.md"].assert_eq(&text);
}

#[test]
fn patterns() {
    assert!(fits("a … c …", "a b c d") && fits("…", "") && fits("x", "x"));
    assert!(!fits("a … c", "a b d") && !fits("x", "xy") && !fits("a…", "b"));
    let shown = ["a", "…", "c"].map(str::to_owned);
    assert!(all_fit(&shown, &["a", "c"]) && all_fit(&shown, &["a", "b", "b", "c"]));
    assert!(!all_fit(&shown, &["a", "b"]) && !all_fit(&shown, &["c"]));
}
