//! Drives `peerage` processes through their pipes, as a user's script does.
//!
//! The demo, the end-to-end tests and the benchmarks all stand outside the program and look at it through the
//! same door: `peerage tracker …` and `peerage client --json …`, and at the page through a browser. Blocking, one thread per pipe, no runtime.
//! Every process is killed when its handle is dropped.

pub mod browser;
mod client;
mod mesh;
mod pipe;
mod proxy;
pub mod storm;
mod tracker;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use client::{Client, ClientOptions, Reply};
pub use mesh::Mesh;
pub use pipe::Killer;
pub use proxy::Proxy;
pub use tracker::Tracker;

/// How long a process may take to say that it is ready. Generous: these machines are shared.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a process could not be driven further.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The program could not be started.
    #[error("cannot start `{}`: {source}", .program.display())]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file or socket that a cluster of processes needs could not be made.
    #[error("cannot prepare `{}`: {source}", .what.display())]
    Setup {
        /// The file or folder.
        what: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The process ended or closed its pipe while an answer was awaited.
    #[error("`{who}` ended while `{doing}` was waiting{}", tail(.stderr))]
    Ended {
        /// The process.
        who: String,
        /// What was being done.
        doing: String,
        /// The last lines it wrote to standard error.
        stderr: String,
    },
    /// No answer in time.
    #[error("`{who}` gave no answer to `{doing}` within {} s{}", .after.as_secs(), tail(.stderr))]
    Timeout {
        /// The process.
        who: String,
        /// What was being done.
        doing: String,
        /// How long it was given.
        after: Duration,
        /// The last lines it wrote to standard error.
        stderr: String,
    },
    /// A line that is not the JSON object which the documentation promises.
    #[error("`{who}` answered `{doing}` with something else than one JSON object: {line}")]
    NotJson {
        /// The process.
        who: String,
        /// What was being done.
        doing: String,
        /// The line.
        line: String,
    },
    /// Something that must always hold does not.
    #[error("{0}")]
    Broken(String),
    /// The command was refused.
    #[error("`{who}`: `{doing}` was refused: {error}")]
    Refused {
        /// The process.
        who: String,
        /// The command.
        doing: String,
        /// What it answered.
        error: String,
    },
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it wrote:\n{stderr}") }
}

/// Loopback addresses that nobody listens on. All that a process asks for differ.
///
/// Their ports lie below those that systems choose for outgoing connections (from 32,768 on Linux, 49,152 elsewhere),
/// so no connection takes one before its listener is there.
pub fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    (0..count).map(|_| free_address()).collect()
}

fn free_address() -> io::Result<SocketAddr> {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 22_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Processes that run at once begin far from each other.
    let begin = std::process::id().wrapping_mul(1_009);
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..PORTS {
        let port = FIRST + begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap_or(0)));
        match TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Quotes one argument for the shell's command line.
pub fn quote(argument: &str) -> String {
    format!("\"{}\"", argument.replace('\\', "\\\\").replace('"', "\\\""))
}
