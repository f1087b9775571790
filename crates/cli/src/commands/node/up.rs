//! `peerage up`: the node of this machine, in the foreground.

use std::io::{self, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use peerage_local::home::Home;
use peerage_local::http::Server;
use peerage_local::reply::{close_lines, notice_line};
use peerage_node::client::{Node, NodeConfig, data_folder};
use tokio::sync::broadcast::error::RecvError;

use super::refuse;
use super::settings::Settings;
use crate::signals;

/// Where peers connect to, unless said otherwise.
const LISTEN: &str = "0.0.0.0:7600";
/// Port of the page, unless said otherwise or taken.
const PAGE_PORT: u16 = 7610;

/// Arguments of `peerage up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tracker list; needed the first time, then remembered
    #[arg(long, value_name = "TRACKER_INFO", env = "PEERAGE_TRACKERS")]
    trackers: Option<PathBuf>,
    /// Where this device listens for peers [default: 0.0.0.0:7600]
    #[arg(long, value_name = "HOST:PORT", env = "PEERAGE_LISTEN")]
    listen: Option<String>,
    /// Tell peers this address instead of the one that is listened on: the outside of a forwarded port
    #[arg(long, value_name = "IP:PORT", env = "PEERAGE_ANNOUNCE")]
    announce: Option<SocketAddr>,
    /// Where the page and the API listen, on loopback [default: 127.0.0.1:7610]
    #[arg(long, value_name = "IP:PORT", env = "PEERAGE_PAGE")]
    page: Option<SocketAddr>,
    /// Do not open the page in a browser
    #[arg(long)]
    no_open: bool,
    #[command(flatten)]
    which: super::Which,
}

/// Runs the node until it is asked to end.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = data_folder(args.which.data.as_deref())?;
    let home = match Home::take(&folder) {
        Ok(home) => home,
        Err(error) => return Ok(refuse(&error)),
    };
    let settings = settings(&args, &folder)?;
    let Some(list) = settings.trackers.clone() else {
        eprintln!("error: no trackers are known yet");
        eprintln!("hint: peerage up --trackers TRACKER_INFO, with the list that whoever runs them gave you");
        return Ok(ExitCode::from(2));
    };
    let config = NodeConfig {
        listen: settings.listen.clone().unwrap_or_else(|| LISTEN.to_owned()),
        announce: settings.announce,
        registration_code: std::env::var("PEERAGE_REGISTRATION_CODE").ok(),
        list,
        data: Some(folder.clone()),
    };
    let node = match Node::start(config).await {
        Ok(node) => Arc::new(node),
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    let mut server = serve(&node, settings.page).await?;
    home.announce(server.running())?;
    // Only what works is remembered.
    settings.save(&folder)?;
    let page = server.running().page();
    println!("Peerage is running: {page}");
    eprintln!("hint: open that address, or: peerage create_user <user_id>; `peerage down` ends it");
    if !args.no_open && io::stdout().is_terminal() {
        open(&page);
    }
    let notices = tokio::spawn(say_notices(node.notices()));
    let mut stop = signals::shutdown();
    tokio::select! {
        _ = stop.recv() => {}
        () = server.stop_asked() => {}
    }
    eprintln!("ending");
    server.close().await;
    let report = node.close().await;
    notices.abort();
    for line in close_lines(&report) {
        eprintln!("{line}");
    }
    drop(home);
    Ok(ExitCode::SUCCESS)
}

/// What was given now, else what was given before.
fn settings(args: &Args, folder: &Path) -> anyhow::Result<Settings> {
    let kept = Settings::load(folder)?;
    let trackers = match &args.trackers {
        Some(path) => {
            Some(std::path::absolute(path).with_context(|| format!("tracker list `{}`", path.display()))?)
        }
        None => kept.trackers,
    };
    Ok(Settings {
        trackers,
        listen: args.listen.clone().or(kept.listen),
        announce: args.announce.or(kept.announce),
        page: args.page.or(kept.page),
    })
}

/// At the address that was asked for, or else at the usual port, or any if that is taken.
async fn serve(node: &Arc<Node>, page: Option<SocketAddr>) -> anyhow::Result<Server> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let start = async |address: SocketAddr| {
        let started = Server::start(Arc::clone(node), address).await;
        started.with_context(|| format!("the page cannot be served at {address}"))
    };
    match page {
        Some(page) => start(page).await,
        None => match start(at(PAGE_PORT)).await {
            Ok(server) => Ok(server),
            Err(_) => start(at(0)).await,
        },
    }
}

/// On stderr, which the journal keeps.
async fn say_notices(mut notices: tokio::sync::broadcast::Receiver<peerage_node::client::Notice>) {
    loop {
        match notices.recv().await {
            Ok(notice) => eprintln!("{}", notice_line(&notice)),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Opens the page where there is a desktop; without one there is nothing to do.
fn open(page: &str) {
    let has_desktop = cfg!(not(all(unix, not(target_os = "macos"))))
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|key| std::env::var_os(key).is_some_and(|v| !v.is_empty()));
    if !has_desktop {
        return;
    }
    let mut command = if cfg!(windows) {
        let mut command = Command::new("cmd");
        command.args(["/c", "start", "", page]);
        command
    } else {
        let mut command = Command::new(if cfg!(target_os = "macos") { "open" } else { "xdg-open" });
        command.arg(page);
        command
    };
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = quiet.spawn() {
        tracing::info!(%error, "no browser could be started");
    }
}
