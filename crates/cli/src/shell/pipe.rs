//! Lines from a pipe: strictly one after another, replies on stdout, everything else on stderr.

use std::io::{BufRead, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use peerage_local::command::command_word;
use peerage_local::reply::{close_lines, json, notice_line, plain};
use peerage_node::client::Node;
use tokio::sync::mpsc;

use super::run::run_line;

use crate::progress::Progress;
use crate::signals;

/// Longest line that is read as one command; far above any command with two paths in it.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Runs every line of stdin, then logs out. 0 when every command worked and no download was cut short, else 1.
pub async fn run(node: Arc<Node>, as_json: bool) -> ExitCode {
    let mut lines = stdin_lines();
    let notices = forward_notices(&node);
    let mut stop = signals::shutdown();
    let mut all_worked = true;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = stop.recv() => {
                all_worked = false;
                None
            }
        };
        let Some(line) = line else { break };
        let outcome = tokio::select! {
            outcome = run_line(&node, &line, Progress::Quiet) => outcome,
            _ = stop.recv() => {
                all_worked = false;
                break;
            }
        };
        let Some(outcome) = outcome else { continue };
        all_worked &= outcome.is_ok();
        let reply = if as_json { json(&command_word(&line), &outcome) } else { plain(&outcome) };
        // Nobody reads the replies any more: end as if the input had ended.
        if say(&reply).is_err() {
            all_worked = false;
            break;
        }
        if outcome.is_ok_and(|done| done.ends) {
            break;
        }
    }
    let report = node.close().await;
    notices.abort();
    for line in close_lines(&report) {
        eprintln!("{line}");
    }
    if all_worked && report.downloads_cut_short.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(reply: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(reply.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Reads stdin on a thread of its own, which nothing waits for: a read from an open pipe cannot be cancelled.
fn stdin_lines() -> mpsc::Receiver<String> {
    let (tx, rx) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut bytes = Vec::new();
            match input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if tx.blocking_send(line).is_err() {
                break;
            }
        }
    });
    rx
}

fn forward_notices(node: &Node) -> tokio::task::JoinHandle<()> {
    let mut notices = node.notices();
    tokio::spawn(async move {
        use tokio::sync::broadcast::error::RecvError;
        loop {
            match notices.recv().await {
                Ok(notice) => eprintln!("{}", notice_line(&notice)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    })
}
