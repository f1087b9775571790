//! `peerage doctor`: what keeps this machine's node from working, a sentence and a fix for each.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage_link::api::{Empty, HelloResponse, path};
use peerage_link::http::{ConnectError, TrackerConn};
use peerage_link::list::{TrackerEntry, TrackerList};
use peerage_link::tls::{self, ExpectedKey};
use peerage_local::reply::human;
use peerage_node::client::{data_folder, look_at_format, trusted_key};
use peerage_types::PublicKey;
use serde::Serialize;

use super::Which;
use super::settings::Settings;

/// Connecting to a tracker, and its answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A clock that is further off is a finding; trackers warn of each other from here, too.
const CLOCK_MS_MAX: i64 = 5_000;
/// Less free disk space is a finding.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Files of the data folder that hold secrets.
const SECRET_FILES: [&str; 2] = ["node.json", "open.html"];

/// Arguments of `peerage doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tracker list, if not the one that the node was started with
    #[arg(long, value_name = "TRACKER_INFO", env = "PEERAGE_TRACKERS")]
    trackers: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// One JSON object on one line
    #[arg(long)]
    json: bool,
}

/// What was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// `folder`, `format`, `permissions`, `disk`, `list`, `tracker`, `pin` or `clock`.
    check: &'static str,
    ok: bool,
    /// A sentence.
    what: String,
    /// What to do, if it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn well(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, ok: true, what: what.into(), fix: None }
    }

    fn bad(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, ok: false, what: what.into(), fix: Some(fix.into()) }
    }
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    findings: Vec<Finding>,
}

/// Looks at everything. 0 when all is well, else 1.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let findings = examine(&args).await;
    let report = Report { ok: findings.iter().all(|finding| finding.ok), findings };
    match args.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print(&report),
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) {
    for finding in &report.findings {
        println!("{}\t{}", if finding.ok { "well" } else { "BAD" }, finding.what);
        if let Some(fix) = &finding.fix {
            println!("\tfix: {fix}");
        }
    }
    let bad = report.findings.iter().filter(|finding| !finding.ok).count();
    match bad {
        0 => println!("All is well"),
        _ => println!("{} to mend", human::count(bad as u64, "finding")),
    }
}

async fn examine(args: &Args) -> Vec<Finding> {
    let folder = match data_folder(args.which.data.as_deref()) {
        Ok(folder) => folder,
        Err(error) => {
            let fix = "name a folder that you may write to with --data or PEERAGE_DATA";
            return vec![Finding::bad("folder", format!("There is no data folder: {error}."), fix)];
        }
    };
    if let Err(error) = look_at_format(&folder) {
        let fix = "do that, or choose another folder with --data";
        return vec![Finding::bad("format", format!("{error}."), fix)];
    }
    let mut findings = vec![writable(&folder)];
    findings.extend(permissions(&folder));
    findings.extend(disk(&folder));
    let list = match args.trackers.clone().map_or_else(|| kept_list(&folder), Ok) {
        Ok(path) => path,
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    };
    let read = TrackerList::load(&list).map_err(|e| e.to_string());
    let list = match read.and_then(|list| Ok((trusted_key(&list, &folder).map_err(|e| e.to_string())?, list)))
    {
        Ok((key, list)) => {
            for entry in &list.entries {
                findings.extend(tracker(entry, key, &list.path).await);
            }
            return findings;
        }
        Err(why) => (list, why),
    };
    let fix = format!("write one HOST:PORT a line into `{}`", list.0.display());
    findings.push(Finding::bad("list", format!("The tracker list cannot be used: {}.", list.1), fix));
    findings
}

/// The list that the node was started with.
fn kept_list(folder: &Path) -> Result<PathBuf, Finding> {
    let fix = "peerage up INVITE with a line that a member sent you, or peerage up --trackers TRACKER_INFO";
    match Settings::load(folder) {
        Ok(Settings { trackers: Some(path), .. }) => Ok(path),
        Ok(_) => Err(Finding::bad("list", "No trackers are known yet.", fix)),
        Err(error) => {
            let fix = "mend that line, or delete the file and start with peerage up --trackers TRACKER_INFO";
            Err(Finding::bad("list", format!("The settings cannot be read: {error}."), fix))
        }
    }
}

fn writable(folder: &Path) -> Finding {
    let shown = folder.display();
    match tempfile::tempfile_in(folder) {
        Ok(_) => Finding::well("folder", format!("The data folder is `{shown}`.")),
        Err(error) => {
            let fix = format!("make it yours: sudo chown -R \"$USER\" '{shown}'");
            Finding::bad("folder", format!("The data folder `{shown}` cannot be written: {error}."), fix)
        }
    }
}

/// Whether others can read what only its owner should.
#[cfg(unix)]
fn permissions(folder: &Path) -> Vec<Finding> {
    use std::os::unix::fs::PermissionsExt as _;
    let secret = SECRET_FILES.iter().map(|name| folder.join(name));
    let looked = std::iter::once(folder.to_owned()).chain(secret);
    let bad = looked.filter_map(|path| {
        let mode = match std::fs::metadata(&path) {
            Ok(found) => found.permissions().mode() & 0o777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => 0o777,
        };
        let shown = path.display();
        let what = format!("Others can reach `{shown}` (mode {mode:o}), which holds secrets.");
        (mode & 0o077 != 0).then(|| Finding::bad("permissions", what, format!("chmod go= '{shown}'")))
    });
    let bad: Vec<_> = bad.collect();
    match bad.is_empty() {
        true => vec![Finding::well("permissions", "Only you can read keys and token.")],
        false => bad,
    }
}

#[cfg(not(unix))]
fn permissions(_: &Path) -> Vec<Finding> {
    Vec::new()
}

#[cfg(unix)]
fn disk(folder: &Path) -> Option<Finding> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(room(folder, found.f_bavail.saturating_mul(found.f_frsize)))
}

#[cfg(not(unix))]
fn disk(_: &Path) -> Option<Finding> {
    None
}

fn room(folder: &Path, free_bytes: u64) -> Finding {
    let what = format!("{} MiB are free where `{}` is.", free_bytes >> 20, folder.display());
    match free_bytes < FREE_BYTES_MIN {
        false => Finding::well("disk", what),
        true => {
            let fix = "free some space, or start with --data on another disk: downloads stop when it is full";
            Finding::bad("disk", what, fix)
        }
    }
}

/// Whether one tracker answers, with the right key and about our time.
async fn tracker(entry: &TrackerEntry, key: Option<PublicKey>, list: &Path) -> Vec<Finding> {
    let expected = key.map_or(ExpectedKey::Learn, ExpectedKey::Exactly);
    let tls = tls::client_config(None, expected, &[tls::ALPN_H2]);
    let away = |why: String| {
        let what = format!("No way to a tracker: {why}.");
        let fix = "look at your network; if that is fine, ask whoever runs the tracker to start it";
        vec![Finding::bad("tracker", what, fix)]
    };
    let conn = match TrackerConn::connect(entry, tls, ANSWER_MAX).await {
        Ok(conn) => conn,
        Err(ConnectError::WrongKey { got, .. }) => {
            let what =
                format!("The tracker {entry} shows another key ({}) than the one you trust.", got.tag());
            let fix = format!(
                "ask whoever runs it by another way; only if they changed it: peerage trust {}",
                list.display()
            );
            return vec![Finding::bad("pin", what, fix)];
        }
        Err(error) => return away(error.to_string()),
    };
    let sent = unix_ms();
    let hello: HelloResponse = match conn.call_within(path::HELLO, &Empty {}, ANSWER_MAX).await {
        Ok(hello) => hello,
        Err(error) => return away(error.to_string()),
    };
    let middle = sent + (unix_ms() - sent) / 2;
    let clock_ms = i64::try_from(hello.unix_ms).unwrap_or(i64::MAX).saturating_sub(middle);
    let seen = format!("The tracker {entry} answers, and sees this machine at {}.", hello.observed);
    vec![Finding::well("tracker", seen), clock(entry, clock_ms)]
}

/// `clock_ms`: the tracker's clock against this machine's, positive when it is ahead.
fn clock(entry: &TrackerEntry, clock_ms: i64) -> Finding {
    match clock_ms.abs() <= CLOCK_MS_MAX {
        true => Finding::well("clock", format!("Its clock is {clock_ms} ms from this machine's.")),
        false => {
            let what = format!("The clock of {entry} is {} s from this machine's.", clock_ms / 1_000);
            Finding::bad("clock", what, "let NTP set this clock: sudo timedatectl set-ntp true")
        }
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_provoked_on_every_machine() {
        let entry = &TrackerList::parse(Path::new("list"), "127.0.0.1:7500\n").unwrap().entries[0];
        let bad = clock(entry, -90_000);
        assert!(!bad.ok && bad.what.contains("-90 s") && bad.fix.is_some(), "{bad:?}");
        assert!(clock(entry, CLOCK_MS_MAX).ok && !clock(entry, CLOCK_MS_MAX + 1).ok);
        assert!(room(Path::new("/"), FREE_BYTES_MIN).ok && !room(Path::new("/"), FREE_BYTES_MIN - 1).ok);
    }
}
