//! A process of the bench: its lines, its end, and what it uses.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::usage::Usage;

/// No transfer here takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a process that should end is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Nothing happened within [`PATIENCE`].
#[derive(Debug)]
pub struct TimedOut(pub String);

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for TimedOut {}

/// One process; ended when it is dropped.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    name: String,
    /// The highest reading of its peak memory: a process that has ended tells it no more.
    peak_mib: Option<f64>,
}

impl Program {
    /// Starts it in `folder`; what it complains about goes to a file there.
    pub fn start(command: &mut Command, folder: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = fs::File::create(folder.join("stderr.log"))?;
        let command = command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let (send, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(|line| line.ok());
                // Nobody may be listening any more; it must be read all the same.
                lines.for_each(|line| drop(send.send(line)));
            });
        }
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, lines, name, peak_mib: None })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first line that `pick` makes something of.
    pub fn line<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(found) = pick(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => bail!("{} has ended too early", self.name),
                Err(RecvTimeoutError::Timeout) => bail!(TimedOut(format!("{} says nothing", self.name))),
            }
        }
    }

    /// Waits for exactly this line.
    pub fn expect(&self, line: &str) -> Result<()> {
        self.line(|got| (got == line).then_some(()))
    }

    /// Sends a line.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("it has no input")?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).with_context(|| self.name.clone())
    }

    /// What it has used so far.
    pub fn usage(&mut self) -> Usage {
        let usage = Usage::of(self.pid());
        self.peak_mib = [self.peak_mib, usage.peak_mib].into_iter().flatten().reduce(f64::max);
        Usage { peak_mib: self.peak_mib, ..usage }
    }

    /// Whether it has ended. It is not collected yet, so that its figures can still be read.
    fn is_over(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until all have ended well; readings of their memory are taken meanwhile.
pub fn wait_over(programs: &mut [Program]) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if programs.iter().all(Program::is_over) {
            return Ok(Instant::now());
        }
        ensure!(Instant::now() < deadline, TimedOut(format!("{} does not end", programs[0].name)));
        for program in programs.iter_mut() {
            program.usage();
        }
        pause(POLL);
    }
}

/// Waits until `ready` says so.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        ensure!(Instant::now() < deadline, TimedOut(what.to_owned()));
        pause(POLL);
    }
    Ok(())
}

/// Does nothing for a while.
fn pause(time: Duration) {
    let (_never, pause) = channel::<()>();
    // It times out: nothing is ever sent.
    let _ = pause.recv_timeout(time);
}
