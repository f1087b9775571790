//! `peerage cluster check TRACKER_INFO`: the trackers compare what they hold, and fetch from each other what they lost.

use std::path::PathBuf;
use std::process::ExitCode;

use peerage_link::api::CheckResponse;
use peerage_link::list::TrackerEntry;
use serde_json::{Value, json};

use super::Failed;
use super::ask::{Operator, Silence};

/// Arguments of `peerage cluster check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tracker list; the keyring lies beside it
    #[arg(value_name = "TRACKER_INFO")]
    list: PathBuf,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// What one tracker found.
struct Checked {
    /// Counted from 1.
    number: usize,
    entry: TrackerEntry,
    answer: Result<CheckResponse, Silence>,
}

/// One after the other, so that what one repairs the next finds whole. 0: all hold the same; 1: something was lost and
/// fetched again, or could not be compared; 4: no tracker answers.
pub async fn run(args: Args) -> Result<ExitCode, Failed> {
    let operator = Operator::load(&args.list)?;
    let mut all = Vec::new();
    for (index, entry) in operator.list.entries.iter().enumerate() {
        let checked =
            Checked { number: index + 1, entry: entry.clone(), answer: operator.check(entry).await };
        if !args.json {
            println!("{}", line(&checked));
        }
        all.push(checked);
    }
    if args.json {
        println!(
            "{}",
            json!({ "whole": all.iter().all(whole), "trackers": all.iter().map(as_json).collect::<Vec<_>>() })
        );
    }
    let answered = all.iter().any(|checked| checked.answer.is_ok());
    Ok(match (answered, all.iter().all(whole)) {
        (false, _) => ExitCode::from(4),
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
    })
}

fn whole(checked: &Checked) -> bool {
    checked.answer.as_ref().is_ok_and(|found| {
        let equal = found.neighbours.iter().all(|n| n.repaired == 0 && n.lacks == 0 && n.failed.is_none());
        equal && found.corrected == 0
    })
}

fn line(checked: &Checked) -> String {
    let name = format!("tracker {} ({})", checked.number, checked.entry);
    let found = match &checked.answer {
        Ok(found) => found,
        Err(silence) => return format!("{name}: not checked: {}", silence.why()),
    };
    let mut said = Vec::new();
    if found.corrected > 0 {
        said.push(format!("records were lost or damaged in {} accounts and groups", found.corrected));
    }
    for neighbour in &found.neighbours {
        let entry = &neighbour.entry;
        match (&neighbour.failed, neighbour.repaired, neighbour.lacks) {
            (Some(why), _, _) => said.push(format!("not compared with {entry}: {why}")),
            (None, 0, 0) => {}
            (None, 0, lacks) => said.push(format!("{entry} lacked {lacks} records and fetches them")),
            (None, repaired, 0) => said.push(format!("fetched {repaired} records from {entry}")),
            (None, repaired, lacks) => {
                said.push(format!(
                    "fetched {repaired} records from {entry}, which lacked {lacks} and fetches them"
                ));
            }
        }
    }
    match (said.is_empty(), found.neighbours.is_empty()) {
        (true, true) => format!("{name}: reads all its records; there is no other tracker to compare with"),
        (true, false) => format!("{name}: holds the same as all others"),
        (false, _) => format!("{name}: {}", said.join("; ")),
    }
}

fn as_json(checked: &Checked) -> Value {
    let mut item = json!({ "number": checked.number, "address": checked.entry.to_string() });
    match &checked.answer {
        Err(silence) => item["why"] = json!(silence.why()),
        Ok(found) => {
            item["corrected_scopes"] = json!(found.corrected);
            let neighbours = found.neighbours.iter().map(
                |n| json!({ "address": n.entry, "repaired": n.repaired, "lacks": n.lacks, "why": n.failed }),
            );
            item["neighbours"] = neighbours.collect();
        }
    }
    item
}
