//! The way to each tracker: whether it answers, with the right key and about our time, and whether large packets get
//! through, too.
//!
//! Some networks drop packets above a size without a word (an MTU black hole): connections come about, small requests are
//! answered, and whatever is larger hangs. No system tells a program so, so it is tried: a small request, with a TLS
//! greeting that fits into any packet, and then one that fills packets in both directions.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage_link::api::{Echo, Empty, HelloResponse, path};
use peerage_link::http::{CallError, ConnectError, TrackerConn};
use peerage_link::list::{TrackerEntry, TrackerList};
use peerage_link::tls::{self, ExpectedKey};
use peerage_types::PublicKey;

use super::Finding;

/// Connecting to a tracker, and its answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A clock that is further off is a finding; trackers warn of each other from here, too.
const CLOCK_MS_MAX: i64 = 5_000;
/// What is sent to fill packets: several of an Ethernet's 1,500 bytes.
const LARGE_BYTES: usize = 4 * 1024;

/// What was found about all of them.
pub(super) struct Seen {
    pub(super) findings: Vec<Finding>,
    /// At least one answers as it should.
    pub(super) any_answers: bool,
}

/// What was found about one.
enum Found {
    Answers(Vec<Finding>),
    /// And why.
    Away(String),
    WrongKey(Finding),
}

/// Looks at all trackers at once.
pub(super) async fn look(list: &TrackerList, key: Option<PublicKey>) -> Seen {
    let expected = key.map_or(ExpectedKey::Learn, ExpectedKey::Exactly);
    let tasks: Vec<_> = list
        .entries
        .iter()
        .map(|entry| tokio::spawn(one(entry.clone(), expected, Arc::from(list.path.as_path()))))
        .collect();
    let mut all = Vec::with_capacity(tasks.len());
    for task in tasks {
        all.push(task.await.unwrap_or_else(|error| Found::Away(error.to_string())));
    }
    let any_answers = all.iter().any(|found| matches!(found, Found::Answers(_)));
    let count = all.len();
    let of_one = |(index, found)| match found {
        Found::Answers(findings) => findings,
        Found::WrongKey(finding) => vec![finding],
        Found::Away(why) if any_answers => vec![spare(index + 1, count, &why, &list.path)],
        Found::Away(why) => {
            let what = format!("No way to a tracker: {why}.");
            let fix = "look at your network; if that is fine, ask whoever runs the tracker to start it";
            vec![Finding::bad("tracker", what, fix)]
        }
    };
    Seen { findings: all.into_iter().enumerate().flat_map(of_one).collect(), any_answers }
}

/// One that is missing while others do its work.
fn spare(number: usize, count: usize, why: &str, list: &Path) -> Finding {
    let what = format!(
        "Tracker {number} of {count} does not answer; everything works through the others, until they fail, too: {why}."
    );
    let fix =
        format!("tell whoever runs it; when it is gone for good, delete its line from `{}`", list.display());
    Finding::warning("tracker", what, fix)
}

async fn one(entry: TrackerEntry, expected: ExpectedKey, list: Arc<Path>) -> Found {
    let findings = match small(&entry, expected).await {
        Ok(findings) => findings,
        Err(ConnectError::WrongKey { got, .. }) => {
            let what =
                format!("The tracker {entry} shows another key ({}) than the one you trust.", got.tag());
            let fix = format!(
                "ask whoever runs it by another way; only if they changed it: peerage trust {}",
                list.display()
            );
            return Found::WrongKey(Finding::bad("pin", what, fix));
        }
        Err(error) => return Found::Away(error.to_string()),
    };
    let mut lost = large(&entry, expected).await;
    if lost.is_err() {
        // Whoever went away meanwhile does not answer anything; and once more, because a busy network loses packets, too.
        if let Err(error) = small(&entry, expected).await {
            return Found::Away(error.to_string());
        }
        lost = large(&entry, expected).await;
    }
    let mtu = match lost {
        Ok(()) => Finding::well("mtu", format!("Large packets get to {entry} and back.")),
        Err(why) => black_hole(&entry, &why),
    };
    Found::Answers(findings.into_iter().chain([mtu]).collect())
}

fn black_hole(entry: &TrackerEntry, why: &str) -> Finding {
    let what = format!(
        "{entry} answers small requests, but large packets get lost on the way, as with a VPN or a DSL line that takes \
         less than it says (MTU): {why}."
    );
    let fix = match cfg!(target_os = "linux") {
        true => format!(
            "sudo ip link set dev INTERFACE mtu 1280, with the interface that `ip route get {}` names; if that helps, set \
             it for good in your network settings or router",
            entry.host
        ),
        false => {
            "set the MTU of your network connection to 1280; if that helps, do so in the router".to_owned()
        }
    };
    Finding::bad("mtu", what, fix)
}

/// A question and an answer that fit into any packet.
async fn small(entry: &TrackerEntry, expected: ExpectedKey) -> Result<Vec<Finding>, ConnectError> {
    let tls = tls::small_client_config(expected, &[tls::ALPN_H2]);
    let conn = TrackerConn::connect(entry, tls, ANSWER_MAX).await?;
    let sent = unix_ms();
    let hello: HelloResponse = match conn.call_within(path::HELLO, &Empty {}, ANSWER_MAX).await {
        Ok(hello) => hello,
        Err(error) => {
            return Err(ConnectError::NotATracker { tracker: entry.to_string(), why: error.to_string() });
        }
    };
    let middle = sent + (unix_ms() - sent) / 2;
    let clock_ms = i64::try_from(hello.unix_ms).unwrap_or(i64::MAX).saturating_sub(middle);
    let seen = format!("The tracker {entry} answers, and sees this machine at {}.", hello.observed);
    Ok(vec![Finding::well("tracker", seen), clock(entry, clock_ms)])
}

/// The same with full packets in both directions: the usual greeting, which fills one, and a few KiB there and back. A
/// refusal is an answer.
async fn large(entry: &TrackerEntry, expected: ExpectedKey) -> Result<(), String> {
    let tls = tls::client_config(None, expected, &[tls::ALPN_H2]);
    let conn = TrackerConn::connect(entry, tls, ANSWER_MAX).await.map_err(|error| error.to_string())?;
    let echo = Echo { bytes: vec![0; LARGE_BYTES] };
    match conn.call_within::<_, Echo>(path::ECHO, &echo, ANSWER_MAX).await {
        Ok(_) | Err(CallError::Refused(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
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
    use super::super::Level;
    use super::*;

    #[test]
    fn clocks_cannot_be_turned_in_a_test() {
        let entry = &TrackerList::parse(Path::new("list"), "127.0.0.1:7500\n").unwrap().entries[0];
        let bad = clock(entry, -90_000);
        assert!(bad.level == Level::Bad && bad.what.contains("-90 s") && bad.fix.is_some(), "{bad:?}");
        assert!(clock(entry, CLOCK_MS_MAX).ok && !clock(entry, CLOCK_MS_MAX + 1).ok);
    }
}
