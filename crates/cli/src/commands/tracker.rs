//! `peerage tracker TRACKER_INFO NUMBER`: one tracker in the foreground.

use std::io::{BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use peerage_tracker::{Reload, Resume, Started, TrackerConfig, TrackerError};
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
    /// Listen here instead of where the list says; with no list yet, one is made that names this address
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// New accounts need the code in this file; give all trackers of the list the same
    #[arg(long, value_name = "FILE")]
    registration_code: Option<PathBuf>,
    /// Serve /metrics (for Prometheus) and /health there; a port alone is on this machine only
    #[arg(long, value_name = "ADDR", value_parser = metrics_address)]
    metrics: Option<SocketAddr>,
}

/// `PORT`, which only this machine can reach, or `IP:PORT`.
fn metrics_address(given: &str) -> Result<SocketAddr, String> {
    match given.trim_start_matches(':').parse::<u16>() {
        Ok(port) => Ok((std::net::Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => given.parse().map_err(|_| "expected a port, or an IP address with a port".to_owned()),
    }
}

/// Runs until `quit` on stdin, Ctrl-C or SIGTERM; `reload` on stdin or SIGHUP reads the list again at once. The end of
/// stdin does not end it, unless its terminal is gone.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let (Some(listen), 1) = (args.listen, args.number) {
        first_list(&args.list, listen)?;
    }
    let list = args.list.clone();
    let config = TrackerConfig {
        data: args.data,
        listen: args.listen,
        registration_code: args.registration_code,
        metrics: args.metrics,
        ..TrackerConfig::new(args.list, args.number)
    };
    let told = until_told(config.reload.clone(), config.resume.clone());
    match peerage_tracker::run(config, told, |started| announce(started, &list)).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {error}");
            Ok(ExitCode::from(exit_code(&error)))
        }
    }
}

/// Makes the list of a first tracker, if there is none and the address is one that members can dial.
fn first_list(list: &std::path::Path, listen: SocketAddr) -> anyhow::Result<()> {
    if listen.ip().is_unspecified() || listen.port() == 0 {
        return Ok(());
    }
    // A list that names an address at which nobody can listen would be in the way of the next try.
    if !list.exists()
        && let Err(error) = std::net::TcpListener::bind(listen)
    {
        anyhow::bail!("cannot listen on {listen}: {error}; no list was made");
    }
    match std::fs::File::create_new(list) {
        Ok(mut file) => {
            writeln!(file, "{listen}")?;
            say(&format!("made the list `{}`\n", list.display()));
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => anyhow::bail!("cannot make the tracker list `{}`: {error}", list.display()),
    }
}

/// Ready when the tracker is to end; until then it reads the list again, and comes back from a drill, when told to.
async fn until_told(reload: Reload, resume: Resume) {
    let (mut stop, mut hang_up, mut typed) = (signals::stop(), signals::hang_up(), typed());
    let terminal = std::io::stdin().is_terminal();
    let (mut hung_up, mut ended) = (false, false);
    loop {
        tokio::select! {
            _ = stop.recv() => return,
            Some(()) = hang_up.recv() => {
                hung_up = true;
                drop(tokio::spawn(tell(reload.clone())));
            }
            Some(word) = typed.recv() => match word {
                Typed::Quit => return,
                // Not waited for: a drill may keep the tracker away, and `quit` must get through.
                Typed::Reload => drop(tokio::spawn(tell(reload.clone()))),
                Typed::Resume => resume.request(),
                Typed::End => ended = true,
            },
        }
        // A closed terminal hangs up and ends the input: nobody is there any more. A daemon has no terminal.
        if terminal && hung_up && ended {
            return;
        }
    }
}

async fn tell(reload: Reload) {
    match reload.request().await {
        Ok(reloaded) => say(&format!("{reloaded}\n")),
        Err(why) => eprintln!("error: {why}"),
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
    let text = format!(
        "tracker {} listens on {} (cluster {}, {} in the list)\nhint: `quit` closes it, `reload` reads the list again; next, in another terminal: peerage up --trackers {} --new-user <user_id>\n",
        started.tracker.tag(),
        started.addr,
        started.cluster.tag(),
        started.trackers,
        list.display()
    );
    let metrics =
        started.metrics.map(|addr| format!("metrics: http://{addr}/metrics, health: http://{addr}/health\n"));
    say(&(text + &metrics.unwrap_or_default()));
}

/// A tracker whose output nobody reads is still a tracker.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
}

enum Typed {
    Quit,
    Reload,
    Resume,
    End,
}

/// What is typed. Reads on a thread of its own, which nothing waits for.
fn typed() -> mpsc::Receiver<Typed> {
    let (tx, rx) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let word = match line.trim() {
                "quit" | "exit" => Typed::Quit,
                "reload" => Typed::Reload,
                "resume" => Typed::Resume,
                _ => continue,
            };
            if tx.blocking_send(word).is_err() {
                return;
            }
        }
        // Nobody waiting means that it ends anyway.
        let _ = tx.blocking_send(Typed::End);
    });
    rx
}
