//! `peerage client --json` as a child process: one line in, one JSON object out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;

use crate::DriveError;
use crate::pipe::{Killer, Process};

/// Longest wait for one reply. `wait` in the shell has a limit of its own; hashing a large share takes long.
const REPLY_TIMEOUT: Duration = Duration::from_secs(600);

/// What to start.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The `peerage` binary.
    pub program: PathBuf,
    /// Where it listens for peers.
    pub listen: SocketAddr,
    /// The tracker list.
    pub list: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
}

/// A running shell.
pub struct Client {
    process: Process,
}

/// One command's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The whole object.
    pub json: Value,
}

impl Reply {
    /// Whether the command worked.
    pub fn ok(&self) -> bool {
        self.json["ok"] == true
    }

    /// `message` when it worked, `error` when it was refused.
    pub fn text(&self) -> &str {
        let field = if self.ok() { "message" } else { "error" };
        self.json[field].as_str().unwrap_or_default()
    }

    /// The rows of a list command.
    pub fn items(&self) -> &[Value] {
        self.json["items"].as_array().map_or(&[], Vec::as_slice)
    }

    /// One text field of every row.
    pub fn column(&self, field: &str) -> Vec<&str> {
        self.items().iter().filter_map(|item| item[field].as_str()).collect()
    }
}

impl Client {
    /// Starts a shell with `--json`. It is ready at once: the first command waits for it.
    pub fn start(name: &str, options: &ClientOptions) -> Result<Self, DriveError> {
        Self::start_with(name, options, &[])
    }

    /// The same with further arguments of `peerage client`.
    pub fn start_with(name: &str, options: &ClientOptions, more: &[&str]) -> Result<Self, DriveError> {
        let mut command = Command::new(&options.program);
        command.arg("client").arg(options.listen.to_string()).arg(&options.list);
        command.arg("--data").arg(&options.data).arg("--json").args(more);
        Ok(Self { process: Process::start(name.to_owned(), &mut command)? })
    }

    /// Sends one command and waits for its reply, refused or not.
    pub fn ask(&mut self, line: &str) -> Result<Reply, DriveError> {
        self.process.send(line)?;
        let answer = self.process.receive(line, REPLY_TIMEOUT)?;
        match serde_json::from_str::<Value>(&answer) {
            Ok(json) if json.is_object() => Ok(Reply { json }),
            _ => Err(DriveError::NotJson {
                who: self.process.who().to_owned(),
                doing: line.to_owned(),
                line: answer,
            }),
        }
    }

    /// As [`Client::ask`], but a refusal is an error.
    pub fn must(&mut self, line: &str) -> Result<Reply, DriveError> {
        let reply = self.ask(line)?;
        if reply.ok() {
            return Ok(reply);
        }
        let error = match reply.json["hint"].as_str() {
            Some(hint) => format!("{} (hint: {hint})", reply.text()),
            None => reply.text().to_owned(),
        };
        Err(DriveError::Refused { who: self.process.who().to_owned(), doing: line.to_owned(), error })
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

    /// Ends its input and waits for it to log out and exit.
    pub fn close(mut self, timeout: Duration) -> Result<ExitStatus, DriveError> {
        self.process.close_stdin();
        self.process.wait(timeout)
    }

    /// The last lines on standard error.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }
}
