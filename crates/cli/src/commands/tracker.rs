//! `peerage tracker TRACKER_INFO NUMBER`: one tracker in the foreground.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use peerage_tracker::{Started, TrackerConfig, TrackerError};
use tokio::sync::mpsc;

use crate::signals;

/// Arguments of `peerage tracker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tracker list
    #[arg(value_name = "TRACKER_INFO")]
    list: PathBuf,
    /// Which line of the list this tracker is, counted from 1
    #[arg(value_name = "NUMBER")]
    number: usize,
    /// Keep the database in this folder instead of the one of this user
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Listen here instead of where the list says
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Runs until `quit` on stdin, Ctrl-C or SIGTERM. The end of stdin does not end it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let list = args.list.clone();
    let config = TrackerConfig { list: args.list, number: args.number, data: args.data, listen: args.listen };
    let mut stop = signals::shutdown();
    let mut quit = quit_typed();
    let shutdown = async move {
        tokio::select! {
            _ = stop.recv() => {}
            Some(()) = quit.recv() => {}
        }
    };
    match peerage_tracker::run(config, shutdown, |started| announce(started, &list)).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {error}");
            Ok(ExitCode::from(exit_code(&error)))
        }
    }
}

/// 2: the arguments or the list are wrong; 1: this machine cannot do it.
fn exit_code(error: &TrackerError) -> u8 {
    match error {
        TrackerError::List(_) | TrackerError::NoSuchNumber { .. } => 2,
        _ => 1,
    }
}

fn announce(started: &Started, list: &std::path::Path) {
    use std::io::Write;
    let text = format!(
        "tracker {} listens on {} (cluster {}, {} in the list)\nhint: `quit` closes it; next: peerage client 127.0.0.1:7600 {}\n",
        started.tracker.tag(),
        started.addr,
        started.cluster.tag(),
        started.trackers,
        list.display()
    );
    // A tracker whose output nobody reads is still a tracker.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
}

/// Yields when `quit` is typed; silent after the end of stdin. Reads on a thread of its own, which nothing waits for.
fn quit_typed() -> mpsc::Receiver<()> {
    let (tx, rx) = mpsc::channel(1);
    std::thread::spawn(move || {
        let typed = std::io::stdin()
            .lock()
            .lines()
            .map_while(Result::ok)
            .any(|line| matches!(line.trim(), "quit" | "exit"));
        if typed {
            // Nobody waiting means that it ends anyway.
            let _ = tx.blocking_send(());
        }
    });
    rx
}
