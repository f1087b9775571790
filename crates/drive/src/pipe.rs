//! A child process with its three pipes: lines in, lines out, the tail of standard error kept for reports.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::DriveError;

/// Lines of standard error that are kept.
const STDERR_LINES_MAX: usize = 40;
/// How often a process that should end is looked at.
const EXIT_POLL: Duration = Duration::from_millis(10);

pub struct Process {
    who: String,
    child: Arc<Mutex<Child>>,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    pub fn start(who: String, command: &mut Command) -> Result<Self, DriveError> {
        let mut child =
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|source| DriveError::Start { program: command.get_program().into(), source })?;
        let (send, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            each_line(stdout, move |line| drop(send.send(line)));
        }
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(pipe) = child.stderr.take() {
            let kept = Arc::clone(&stderr);
            each_line(pipe, move |line| {
                let mut kept = lock(&kept);
                if kept.len() == STDERR_LINES_MAX {
                    kept.pop_front();
                }
                kept.push_back(line);
            });
        }
        let stdin = child.stdin.take();
        Ok(Self { who, child: Arc::new(Mutex::new(child)), stdin, lines, stderr })
    }

    pub fn pid(&self) -> u32 {
        lock(&self.child).id()
    }

    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.child))
    }

    pub fn stderr(&self) -> String {
        let kept = lock(&self.stderr);
        kept.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    pub fn send(&mut self, line: &str) -> Result<(), DriveError> {
        let sent = match &mut self.stdin {
            Some(stdin) => writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.ended(line)) }
    }

    pub fn receive(&mut self, doing: &str, timeout: Duration) -> Result<String, DriveError> {
        self.lines.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Disconnected => self.ended(doing),
            RecvTimeoutError::Timeout => DriveError::Timeout {
                who: self.who.clone(),
                doing: doing.to_owned(),
                after: timeout,
                stderr: self.stderr(),
            },
        })
    }

    /// Closes standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end of the process; kills it when it takes longer.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, DriveError> {
        let deadline = Instant::now() + timeout;
        let (_never, pause) = channel::<()>();
        loop {
            let state = lock(&self.child).try_wait();
            match state {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => drop(pause.recv_timeout(EXIT_POLL)),
                Ok(None) | Err(_) => {
                    self.kill();
                    return Err(DriveError::Timeout {
                        who: self.who.clone(),
                        doing: "end".to_owned(),
                        after: timeout,
                        stderr: self.stderr(),
                    });
                }
            }
        }
    }

    /// SIGKILL (or what comes nearest), and collects the process.
    pub fn kill(&mut self) {
        self.killer().kill();
    }

    fn ended(&self, doing: &str) -> DriveError {
        DriveError::Ended { who: self.who.clone(), doing: doing.to_owned(), stderr: self.stderr() }
    }

    pub fn who(&self) -> &str {
        &self.who
    }
}

/// Ends a process from another thread, for example when the user pressed Ctrl-C while an answer is awaited.
#[derive(Clone)]
pub struct Killer(Arc<Mutex<Child>>);

impl Killer {
    /// SIGKILL (or what comes nearest), and collects the process.
    pub fn kill(&self) {
        let mut child = lock(&self.0);
        // Both fail only for a process that has ended already, which is what is wanted.
        drop(child.kill());
        drop(child.wait());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn each_line(pipe: impl Read + Send + 'static, mut take: impl FnMut(String) + Send + 'static) {
    thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).for_each(&mut take));
}
