//! `peerage cluster status TRACKER_INFO`: how every tracker of the list is, and one sentence on whether all is well.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::Failed;
use super::ask::{Answered, Asked, Operator, Silence};
use super::table;

/// Looks before what mends itself counts: under load rows are always on their way, and a changed list is read within
/// seconds.
const LOOKS: usize = 8;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(700);
/// A clock that is further off is worth a word: the trackers warn from here, too.
const CLOCK_MS_MAX: i64 = 5_000;
/// With less space a busy tracker may stop writing before anybody looks again.
const DISK_FREE_MIN: u64 = 1 << 30;

/// Arguments of `peerage cluster status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tracker list; the keyring lies beside it
    #[arg(value_name = "TRACKER_INFO")]
    list: PathBuf,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// 0: all is well; 1: something is to be done; 4: no tracker answers.
pub async fn run(args: Args) -> Result<ExitCode, Failed> {
    let operator = Operator::load(&args.list)?;
    let mut asked = operator.ask_all().await;
    let mut verdict = judge(&asked, &args.list);
    for _ in 1..LOOKS {
        if !verdict.may_settle {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        asked = operator.ask_all().await;
        verdict = judge(&asked, &args.list);
    }
    match args.json {
        true => println!("{}", as_json(&asked, &verdict)),
        false => println!("{}{}", as_table(&asked), verdict.sentence),
    }
    Ok(ExitCode::from(verdict.code))
}

/// What it comes to.
struct Verdict {
    sentence: String,
    code: u8,
    /// It may be otherwise in a moment, without anybody's doing.
    may_settle: bool,
}

fn up(asked: &[Asked]) -> impl Iterator<Item = (&Asked, &Answered)> {
    asked.iter().filter_map(|asked| asked.answer.as_ref().ok().map(|answered| (asked, answered)))
}

/// Rows that each tracker lacks of all that any of them has; `None` for those without an answer.
pub fn lags(asked: &[Asked]) -> Vec<Option<u64>> {
    let mut vectors = up(asked).map(|(_, answered)| &answered.status.vector);
    let Some(mut union) = vectors.next().cloned() else { return vec![None; asked.len()] };
    vectors.for_each(|vector| union.merge(vector));
    asked.iter().map(|a| a.answer.as_ref().ok().map(|a| union.rows_beyond(&a.status.vector))).collect()
}

/// Do all that answer have the same?
pub fn agreed(asked: &[Asked]) -> bool {
    let mut roots = up(asked).map(|(_, answered)| answered.status.root);
    let first = roots.next();
    lags(asked).into_iter().flatten().all(|lag| lag == 0) && roots.all(|root| Some(root) == first)
}

fn judge(asked: &[Asked], list: &Path) -> Verdict {
    let list = list.display();
    let bad = |sentence: String| Verdict { sentence, code: 1, may_settle: false };
    let not_yet = |sentence: String| Verdict { sentence, code: 1, may_settle: true };
    let count = asked.len();
    let answering = up(asked).count();
    if answering == 0 {
        return Verdict { sentence: "no tracker answers: start one".to_owned(), code: 4, may_settle: false };
    }
    for one in asked {
        let (number, entry) = (one.number, &one.entry);
        match &one.answer {
            Err(Silence::Away(why)) => {
                return bad(format!(
                    "{answering} of {count} trackers are up: tracker {number} ({entry}) does not answer ({why}); start it, the others go on meanwhile"
                ));
            }
            Err(Silence::Stranger(why)) => {
                return bad(format!(
                    "tracker {number} ({entry}) does not belong to this cluster: {why}; carry the keyring there with `peerage cluster key export {list}`"
                ));
            }
            Err(Silence::Other(why)) => {
                return bad(format!("tracker {number} ({entry}) does not tell how it is: {why}"));
            }
            Ok(_) => {}
        }
    }
    for (one, Answered { status, clock_ms }) in up(asked) {
        let number = one.number;
        if status.equivocations > 0 {
            return bad(format!(
                "tracker {number} found log positions that hold two records: a data folder was copied or the cluster key leaked; its log names them"
            ));
        }
        if status.disk_full {
            return bad(format!("the disk of tracker {number} is full: free space, it goes on by itself"));
        }
        if clock_ms.abs() > CLOCK_MS_MAX {
            return bad(format!(
                "the clock of tracker {number} is {} off: let NTP set it",
                seconds(*clock_ms)
            ));
        }
        if status.trackers as usize != count {
            return not_yet(format!(
                "tracker {number} has {} trackers in its list, this list has {count}: give all the same list, they read it again within seconds",
                status.trackers
            ));
        }
        if let Some(free) = status.disk_free_bytes.filter(|free| *free < DISK_FREE_MIN) {
            return bad(format!(
                "the disk of tracker {number} is nearly full ({} left): free space",
                bytes(free)
            ));
        }
    }
    if let Some((number, lag)) = (1..).zip(lags(asked)).find(|(_, lag)| lag.is_some_and(|lag| lag > 0)) {
        let lag = lag.unwrap_or_default();
        return not_yet(format!(
            "tracker {number} lacks {lag} rows that others have: ask again in a moment; if the number does not fall, look into its log"
        ));
    }
    if !agreed(asked) {
        return not_yet(format!(
            "the trackers have the same rows but differ in what they hold: `peerage cluster check {list}` finds out and repairs it"
        ));
    }
    for (one, Answered { status, .. }) in up(asked) {
        if let Some(suspect) = status.neighbours.iter().find(|neighbour| neighbour.suspected) {
            return not_yet(format!(
                "tracker {} cannot reach {}: look at the network between them",
                one.number, suspect.entry
            ));
        }
    }
    let records = up(asked).next().map_or(0, |(_, answered)| answered.status.records);
    let all = if count == 1 {
        "the tracker is up".to_owned()
    } else {
        format!("all {count} trackers are up and agree")
    };
    let tail = if count == 1 { "; a second one would keep it going when this one fails" } else { "" };
    Verdict { sentence: format!("healthy: {all}, {records} records{tail}"), code: 0, may_settle: false }
}

fn as_table(asked: &[Asked]) -> String {
    let head =
        ["tracker", "up", "records", "lag", "clock", "suspects", "digest", "online", "disk free", "version"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (one, lag) in asked.iter().zip(lags(asked)) {
        let name = format!("{} {}", one.number, one.entry);
        rows.push(match &one.answer {
            Err(silence) => vec![name, format!("no: {}", silence.why())],
            Ok(Answered { status, clock_ms }) => {
                let suspects = status.neighbours.iter().filter(|neighbour| neighbour.suspected);
                let suspects: Vec<&str> = suspects.map(|neighbour| neighbour.entry.as_str()).collect();
                let digest = data_encoding::HEXLOWER.encode(&status.root.0[..4]);
                vec![
                    name,
                    duration(status.uptime_ms / 1_000),
                    status.records.to_string(),
                    lag.unwrap_or_default().to_string(),
                    seconds(*clock_ms),
                    if suspects.is_empty() { "-".to_owned() } else { suspects.join(" ") },
                    digest,
                    status.streams.to_string(),
                    status.disk_free_bytes.map_or_else(|| "?".to_owned(), bytes),
                    status.version.clone(),
                ]
            }
        });
    }
    table::aligned(&rows)
}

fn as_json(asked: &[Asked], verdict: &Verdict) -> Value {
    let trackers = asked.iter().zip(lags(asked)).map(|(one, lag)| {
        let mut item = json!({ "number": one.number, "address": one.entry.to_string(), "up": one.answer.is_ok() });
        let fields = match &one.answer {
            Err(silence) => json!({ "why": silence.why() }),
            Ok(Answered { status, clock_ms }) => json!({
                "tracker": status.tracker.to_string(),
                "version": status.version,
                "uptime_seconds": status.uptime_ms / 1_000,
                "records": status.records,
                "scopes": status.scopes,
                "lag_rows": lag,
                "clock_ms": clock_ms,
                "digest": data_encoding::HEXLOWER.encode(&status.root.0),
                "trackers": status.trackers,
                "connections": status.connections,
                "event_streams": status.streams,
                "presence_entries": status.presence,
                "equivocations": status.equivocations,
                "database_bytes": status.database_bytes,
                "disk_free_bytes": status.disk_free_bytes,
                "disk_full": status.disk_full,
                "vector": status.vector.iter().map(|(origin, seq)| json!({
                    "tracker": origin.tracker.to_string(), "incarnation": format!("{:016x}", origin.incarnation), "seq": seq,
                })).collect::<Vec<_>>(),
                "neighbours": status.neighbours.iter().map(|neighbour| json!({
                    "address": neighbour.entry, "suspected": neighbour.suspected,
                    "lacks_rows": neighbour.lacks_rows, "clock_ms": neighbour.skew_ms,
                })).collect::<Vec<_>>(),
            }),
        };
        if let (Some(item), Value::Object(fields)) = (item.as_object_mut(), fields) {
            item.extend(fields);
        }
        item
    });
    json!({
        "healthy": verdict.code == 0,
        "verdict": verdict.sentence,
        "trackers": trackers.collect::<Vec<_>>(),
    })
}

fn seconds(ms: i64) -> String {
    format!("{:+.3} s", ms as f64 / 1_000.0)
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
