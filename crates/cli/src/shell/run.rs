//! Runs one line, with progress drawn while it takes long.

use std::sync::Arc;

use peerage_local::command::{Command, parse};
use peerage_local::reply::Outcome;
use peerage_local::run;
use peerage_node::client::Node;

use crate::progress::{Progress, WAITS_FOR_ANSWER, say_if_slow};

/// Parses and runs one line. `None` when there was nothing to do (blank line, comment).
pub async fn run_line(node: &Node, line: &str, progress: Progress) -> Option<Outcome> {
    let parsed = parse(line);
    match &parsed {
        Ok(Some(Command::UploadFile { .. })) => progress.hashing(|report| run(node, parsed, report)).await,
        Ok(Some(Command::Wait { .. })) => progress.downloads(node, run(node, parsed, Arc::new(|_| {}))).await,
        Ok(Some(Command::JoinAndWait { .. })) if progress == Progress::Bars => {
            say_if_slow(WAITS_FOR_ANSWER, run(node, parsed, Arc::new(|_| {}))).await
        }
        _ => run(node, parsed, Arc::new(|_| {})).await,
    }
}
