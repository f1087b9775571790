//! `peerage doctor`: what keeps this machine's node from working, a sentence and a fix for each.
//!
//! `machine` looks at this machine, `trackers` at the way to each tracker, `port` at the way back.

mod machine;
mod port;
mod trackers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use peerage_link::list::TrackerList;
use peerage_local::reply::human;
use peerage_node::client::{data_folder, look_at_format, trusted_key};
use serde::Serialize;

use super::Which;
use super::settings::Settings;

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

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Well,
    /// It could not be looked at.
    Skipped,
    /// Everything works, but somebody should look after it.
    Warning,
    /// Something does not work.
    Bad,
}

/// What was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// `folder`, `format`, `permissions`, `disk`, `list`, `tracker`, `pin`, `clock`, `mtu` or `port`.
    check: &'static str,
    /// Whether it keeps nothing from working.
    ok: bool,
    level: Level,
    /// A sentence.
    what: String,
    /// What to do, or what else to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn new(check: &'static str, level: Level, what: impl Into<String>, fix: Option<String>) -> Self {
        Self { check, ok: level != Level::Bad, level, what: what.into(), fix }
    }

    fn well(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Level::Well, what, None)
    }

    fn skipped(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Level::Skipped, what, Some(fix.into()))
    }

    fn warning(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, what, Some(fix.into()))
    }

    fn bad(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Level::Bad, what, Some(fix.into()))
    }
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    findings: Vec<Finding>,
}

/// Looks at everything. 0 when nothing is bad, else 1.
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
        let (word, label) = match finding.level {
            Level::Well => ("well", "note"),
            Level::Skipped => ("skipped", "to do"),
            Level::Warning => ("warning", "fix"),
            Level::Bad => ("BAD", "fix"),
        };
        println!("{word}\t{}", finding.what);
        if let Some(fix) = &finding.fix {
            println!("\t{label}: {fix}");
        }
    }
    let count = |level| report.findings.iter().filter(|finding| finding.level == level).count() as u64;
    match (count(Level::Bad), count(Level::Warning)) {
        (0, 0) => println!("All is well"),
        (0, warnings) => println!("Everything works, with {}", human::count(warnings, "warning")),
        (bad, _) => println!("{} to mend", human::count(bad, "finding")),
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
    let mut findings = vec![machine::writable(&folder)];
    findings.extend(machine::permissions(&folder));
    findings.extend(machine::disk(&folder));
    let list = match args.trackers.clone().map_or_else(|| kept_list(&folder), Ok) {
        Ok(path) => path,
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    };
    let read = TrackerList::load(&list).map_err(|e| e.to_string());
    match read.and_then(|list| Ok((trusted_key(&list, &folder).map_err(|e| e.to_string())?, list))) {
        Ok((key, list)) => {
            let seen = trackers::look(&list, key).await;
            findings.extend(seen.findings);
            if seen.any_answers {
                findings.push(port::look(&folder).await);
            }
        }
        Err(why) => {
            let fix = format!("write one HOST:PORT a line into `{}`", list.display());
            findings.push(Finding::bad("list", format!("The tracker list cannot be used: {why}."), fix));
        }
    }
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
