//! `peerage demo`: the whole promise on one machine, with real processes and a real transfer.
//!
//! Two trackers, an owner and three members start as separate processes on loopback. The owner shares a file,
//! the members fetch it at the same time from the owner and from each other, tracker 1 is killed half-way, and
//! a table shows who got what from whom. The demo looks at the processes only through their pipes.

mod display;
mod report;
mod story;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::signals;
pub use world::Registry;

/// Arguments of `peerage demo`.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// A file to share; without it a 256 MiB file is made.
    path: Option<PathBuf>,
}

/// Plays the demo. Success only if every copy is identical to the original.
///
/// Ctrl-C and SIGTERM end the processes, and the folder goes with them.
pub async fn run(args: DemoArgs) -> Result<ExitCode> {
    let registry = Registry::default();
    let stopped = Arc::new(AtomicBool::new(false));
    let story = {
        let registry = registry.clone();
        tokio::task::spawn_blocking(move || story::play(args.path.as_deref(), &registry))
    };
    let watch = tokio::spawn({
        let stopped = Arc::clone(&stopped);
        let mut signals = signals::shutdown();
        async move {
            if signals.recv().await.is_some() {
                stopped.store(true, Ordering::Relaxed);
                // Whoever waits for an answer gets an error now, and the story unwinds.
                registry.stop();
            }
        }
    });
    let outcome = story.await.context("the demo's thread ended badly")?;
    watch.abort();
    if stopped.load(Ordering::Relaxed) {
        eprintln!("stopped; processes ended, files removed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
