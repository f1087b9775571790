//! `peerage up`: the node of this machine, in the foreground.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use peerage_link::list::TrackerList;
use peerage_local::IN_GROUP;
use peerage_local::command::{Spec, from_object};
use peerage_local::desktop;
use peerage_local::home::{Home, HomeError};
use peerage_local::http::Server;
use peerage_local::reply::{Done, close_lines, notice_line, outside_shell, plain};
use peerage_node::client::{INVITE_LIST, Invite, Node, NodeConfig, Refusal, data_folder, settle_format};
use tokio::sync::broadcast::error::RecvError;

use super::refuse;
use super::secrets::{self, Secrets};
use super::settings::Settings;
use crate::commands::{no_start, start_node};
use crate::signals;

/// Where peers connect to, unless said otherwise.
const LISTEN: &str = "0.0.0.0:7600";
/// How often, and how long after one another, it is tried to take the data folder.
const TAKE_TRIES: u32 = 20;
const TAKE_WAIT: Duration = Duration::from_millis(10);
/// Port of the page, unless said otherwise or taken.
const PAGE_PORT: u16 = 7610;

/// Arguments of `peerage up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An invite: its trackers are used, and its group is asked for once somebody is logged in. `-`: asked for, or the
    /// first line of standard input, so that nobody reads it in the list of processes
    #[arg(value_name = "INVITE")]
    invite: Option<String>,
    /// Log in to this account at the start; its password is asked for
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Create this account and log in to it
    #[arg(long, value_name = "USER", conflicts_with = "user")]
    new_user: Option<String>,
    /// Read the password from this file instead of asking
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
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
    // Before anything else: in a newer program's folder nothing is touched.
    if let Err(error) = settle_format(&folder) {
        return Ok(no_start(&error.into()));
    }
    let home = match take(&folder).await {
        Ok(home) => home,
        Err(error) => return Ok(refuse(&error)),
    };
    let invite = match invite(args.invite.as_deref())? {
        Ok(invite) => invite,
        Err(refusal) => {
            eprintln!("error: {refusal}");
            refusal.hint().inspect(|hint| eprintln!("hint: {hint}"));
            return Ok(ExitCode::from(refusal.exit_code()));
        }
    };
    let settings = settings(&args, invite.as_ref(), &folder)?;
    let login = Login::of(&args)?;
    let Some(list) = settings.trackers.clone() else {
        eprintln!("error: no trackers are known yet");
        eprintln!(
            "hint: peerage up INVITE with a line that a member sent you, or peerage up --trackers TRACKER_INFO"
        );
        return Ok(ExitCode::from(2));
    };
    let config = NodeConfig {
        listen: settings.listen.clone().unwrap_or_else(|| LISTEN.to_owned()),
        announce: settings.announce,
        registration_code: std::env::var("PEERAGE_REGISTRATION_CODE").ok(),
        list,
        data: Some(folder.clone()),
    };
    let node = match start_node(config).await {
        Ok(node) => node,
        Err(code) => return Ok(code),
    };
    let mut server = serve(&node, settings.page, home.token()).await?;
    home.announce(server.running())?;
    // Only what works is remembered.
    settings.save(&folder)?;
    let page = server.running().page();
    match io::stdout().is_terminal() {
        true => println!("Peerage is running: {page}"),
        // A journal or a log file is no place for what opens it.
        false => println!("Peerage is running: http://{}/", server.running().api),
    }
    match login {
        Some(login) => {
            let (user, new) = (login.user.clone(), login.new);
            let group = invite.as_ref().map(|invite| invite.name.to_string());
            let last = login.run(&node, invite).await;
            if let Some(last) = last.filter(|_| new || group.is_some()) {
                say_next(&user, group.as_deref(), last.message == IN_GROUP);
            }
        }
        None => {
            eprintln!("hint: open that address, or: peerage create_user <user_id>; `peerage down` ends it");
        }
    }
    if !args.no_open && io::stdout().is_terminal() {
        open(&folder, &page);
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

/// What to do before anybody asks.
struct Login {
    user: String,
    password: String,
    new: bool,
}

impl Login {
    /// Asks for the password, before anything else is printed.
    fn of(args: &Args) -> anyhow::Result<Option<Self>> {
        let Some(user) = args.user.as_ref().or(args.new_user.as_ref()) else { return Ok(None) };
        let new = args.new_user.is_some();
        let password = Secrets::of(args.password_file.as_deref())?.next("password", new)?;
        Ok(Some(Self { user: user.clone(), password, new }))
    }

    /// As if the commands had been typed; each says what came of it, and the node goes on. The last reply, if all worked.
    async fn run(self, node: &Arc<Node>, invite: Option<Invite>) -> Option<Done> {
        let code = std::env::var("PEERAGE_REGISTRATION_CODE").ok();
        let account = [("user", Some(self.user)), ("password", Some(self.password))];
        let create = account.clone().into_iter().chain([("code", code)]).collect::<Vec<_>>();
        let mut steps = vec![("login", account.to_vec())];
        if self.new {
            steps.insert(0, ("create_user", create));
        }
        steps.extend(invite.map(|invite| ("join", vec![("invite", Some(invite.to_string()))])));
        let mut last = None;
        for (name, args) in steps {
            let spec = Spec::find(name)?;
            let args = args.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
            let parsed = from_object(spec, &args.collect()).map(Some);
            let outcome = peerage_local::run(node, parsed, Arc::new(|_| {})).await.map(outside_shell)?;
            match &outcome {
                Ok(_) => eprintln!("{name}: {}", plain(&outcome)),
                Err(_) => eprintln!("error: {name}: {}", plain(&outcome)),
            }
            last = Some(outcome.ok()?);
        }
        last
    }
}

/// What people usually do next, in another terminal: this one belongs to the node.
fn say_next(user: &str, group: Option<&str>, is_in: bool) {
    match group {
        Some(group) if is_in => eprintln!("hint: in another terminal: peerage list_files {group}"),
        Some(group) => eprintln!(
            "hint: the request waits for the owner, who runs: peerage accept_request {group} {user}; then, in another terminal: peerage list_files {group}"
        ),
        None => {
            eprintln!("hint: in another terminal: peerage create_group <group_id>, or peerage join <invite>");
        }
    }
}

/// The invite that was given, or is given now.
fn invite(given: Option<&str>) -> anyhow::Result<Result<Option<Invite>, Refusal>> {
    let Some(given) = given else { return Ok(Ok(None)) };
    let text = if given == "-" { secrets::line("Invite")? } else { given.to_owned() };
    Ok(text.parse().map(Some).map_err(Refusal::NoInvite))
}

/// What was given now, else what was given before.
fn settings(args: &Args, invite: Option<&Invite>, folder: &Path) -> anyhow::Result<Settings> {
    let kept = Settings::load(folder)?;
    let trackers = match (&args.trackers, invite) {
        (Some(path), _) => {
            Some(std::path::absolute(path).with_context(|| format!("tracker list `{}`", path.display()))?)
        }
        (None, Some(invite)) => Some(list_of(invite, kept.trackers, folder)?),
        (None, None) => kept.trackers,
    };
    Ok(Settings {
        trackers,
        listen: args.listen.clone().or(kept.listen),
        announce: args.announce.or(kept.announce),
        page: args.page.or(kept.page),
    })
}

/// The list that is in use, if it is of the same trackers; else one that is made from the invite, if none is in use.
fn list_of(invite: &Invite, kept: Option<PathBuf>, folder: &Path) -> anyhow::Result<PathBuf> {
    let Some(kept) = kept else {
        let path = folder.join(INVITE_LIST);
        let text = invite.list();
        let there = std::fs::read_to_string(&path).is_ok_and(|there| there == text);
        if !there {
            let file = std::fs::File::create_new(&path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written
                .with_context(|| format!("`{}` is there already, or cannot be written", path.display()))?;
        }
        return Ok(path);
    };
    let list = TrackerList::load(&kept)?;
    let same = list.pin.map_or_else(
        || list.entries.iter().any(|entry| invite.trackers.contains(entry)),
        |pin| pin == invite.key,
    );
    anyhow::ensure!(
        same,
        "`{}` is used with the trackers of `{}`, the invite to `{}` is of others; use another folder: peerage up --data DIR INVITE",
        folder.display(),
        kept.display(),
        invite.name
    );
    invite.complete(&kept, folder)?;
    Ok(kept)
}

/// At the address that was asked for, or else at the usual port, or any if that is taken.
async fn serve(node: &Arc<Node>, page: Option<SocketAddr>, token: Option<&str>) -> anyhow::Result<Server> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let start = async |address: SocketAddr| {
        let node: Arc<Node> = Arc::clone(node);
        let started = Server::start(node, address, token).await;
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

/// Takes the folder, even if somebody else looks at its lock at this moment.
async fn take(folder: &Path) -> Result<Home, HomeError> {
    for _ in 0..TAKE_TRIES {
        match Home::take(folder) {
            Err(HomeError::Taken { .. }) => tokio::time::sleep(TAKE_WAIT).await,
            taken => return taken,
        }
    }
    Home::take(folder)
}

/// Opens the page where there is a desktop; without one there is nothing to do. The browser is given a file that leads
/// there: anybody on the machine can read the arguments of a program.
fn open(folder: &Path, page: &str) {
    if !desktop::is_there() {
        return;
    }
    let path = folder.join("open.html");
    let leads = format!(
        "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={page}\"><a href=\"{page}\">Peerage</a>\n"
    );
    // Readable by its owner only, like every temporary file.
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(leads.as_bytes())?;
        Ok(file.persist(&path)?)
    });
    if let Err(error) = written {
        tracing::info!(%error, "the page cannot be opened by itself");
        return;
    }
    if let Err(error) = desktop::open(&path) {
        tracing::info!(%error, "no browser could be started");
    }
}
