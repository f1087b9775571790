//! `peerage tracker` as a child process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::pipe::{Killer, Process};
use crate::{DriveError, START_TIMEOUT};

/// A running tracker.
pub struct Tracker {
    process: Process,
    program: PathBuf,
    list: PathBuf,
    number: usize,
    data: PathBuf,
}

impl Tracker {
    /// Starts tracker `number` (1-based) of `list` and waits until it says that it listens.
    pub fn start(program: &Path, list: &Path, number: usize, data: &Path) -> Result<Self, DriveError> {
        Self::start_with(program, list, number, data, &[])
    }

    /// As [`Tracker::start`], with more arguments. A restart leaves them out.
    pub fn start_with(
        program: &Path,
        list: &Path,
        number: usize,
        data: &Path,
        more: &[&str],
    ) -> Result<Self, DriveError> {
        let mut command = Command::new(program);
        command.arg("tracker").arg(list).arg(number.to_string()).arg("--data").arg(data).args(more);
        let mut process = Process::start(format!("tracker {number}"), &mut command)?;
        process.receive("start", START_TIMEOUT)?;
        Ok(Self { process, program: program.into(), list: list.into(), number, data: data.into() })
    }

    /// Starts it again on the same data, after [`Tracker::kill`] or [`Tracker::quit`].
    pub fn restart(&mut self) -> Result<(), DriveError> {
        *self = Self::start(&self.program.clone(), &self.list.clone(), self.number, &self.data.clone())?;
        Ok(())
    }

    /// The operating system's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A handle with which another thread can end it.
    pub fn killer(&self) -> Killer {
        self.process.killer()
    }

    /// Ends it without warning (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Types a command and returns the line that answers it; hints are passed over.
    pub fn command(&mut self, line: &str, timeout: Duration) -> Result<String, DriveError> {
        self.process.send(line)?;
        loop {
            let answer = self.process.receive(line, timeout)?;
            if !answer.starts_with("hint:") {
                return Ok(answer);
            }
        }
    }

    /// Types `quit` and waits for the end.
    pub fn quit(&mut self, timeout: Duration) -> Result<ExitStatus, DriveError> {
        self.process.send("quit")?;
        self.process.wait(timeout)
    }

    /// Waits for the end, for example after a signal.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, DriveError> {
        self.process.wait(timeout)
    }

    /// The last lines on standard error.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }
}
