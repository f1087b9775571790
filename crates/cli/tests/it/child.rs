//! Children that must end, or say something, by themselves: nothing here waits for one for ever.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a child. On whatever machine, only one that hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// Runs it to its end with this on its standard input; how it ended and what it said.
#[track_caller]
pub fn output(command: &mut Command, input: impl AsRef<[u8]>) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let (stdout, stderr) = (all_of(child.stdout.take().unwrap()), all_of(child.stderr.take().unwrap()));
    // A program that refuses its arguments does not read, and one that needs no input may have ended.
    drop(child.stdin.take().unwrap().write_all(input.as_ref()));
    let status = within(&mut child, PATIENCE);
    let [stdout, stderr] = [stdout, stderr].map(|said| {
        said.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{command:?} left something on its pipes"))
    });
    let Some(status) = status else {
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        panic!("{command:?} did not end within {} s; it said:\n{said}", PATIENCE.as_secs());
    };
    Output { status, stdout, stderr }
}

/// How it ended, by itself.
#[track_caller]
pub fn ended(child: &mut Child, what: &str) -> ExitStatus {
    within(child, PATIENCE).unwrap_or_else(|| panic!("{what} did not end within {} s", PATIENCE.as_secs()))
}

/// The first line on its piped standard output, empty when it says nothing. The rest is read, and not kept.
#[track_caller]
pub fn first_line(child: &mut Child, what: &str) -> String {
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let (first, line) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = said.read_line(&mut line).map(|_| line);
        drop(first.send(read));
        drop(std::io::copy(&mut said, &mut std::io::sink()));
    });
    match line.recv_timeout(PATIENCE) {
        Ok(line) => line.unwrap(),
        Err(_) => {
            end(child);
            panic!("{what} said nothing within {} s", PATIENCE.as_secs())
        }
    }
}

/// Nothing when it had to be ended.
fn within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let (_never, pause) = channel::<()>();
    let started = Instant::now();
    loop {
        let status = child.try_wait().unwrap();
        if status.is_some() {
            return status;
        }
        if started.elapsed() >= patience {
            end(child);
            return None;
        }
        let _timed_out = pause.recv_timeout(PAUSE);
    }
}

fn end(child: &mut Child) {
    // SIGKILL, so this is no wait for something that it must do.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Everything that comes out of a pipe, when that has ended.
fn all_of(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (all, said) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        drop(all.send(bytes));
    });
    said
}

/// What hangs is ended, and fails the test that waits for it.
#[test]
fn a_child_that_hangs_is_ended() {
    let mut hangs = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    assert!(within(&mut hangs, Duration::ZERO).is_none());
    assert!(hangs.try_wait().unwrap().is_some_and(|status| !status.success()));
    let said = output(&mut Command::new("cat"), "what goes in");
    assert!(said.status.success() && said.stdout == b"what goes in", "{said:?}");
}
