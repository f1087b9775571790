//! `show_downloads`.

use peerage_types::InfoHash;

use super::super::announce::percent;
use super::super::downloads::{DownloadEntry, DownloadState};
use super::super::reply::{Activity, DownloadLine};
use super::super::session::Session;
use super::super::shares::NotShared;
use super::super::snapshot::unix_ms;
use super::super::{Node, Refusal};
use crate::engine::{TorrentState, TorrentStatus};

/// What can be done about a complete download that lies there no more as it came.
const WAY_OUT: &str = "to share what is there now: `stop_share` and `upload_file`; to get it again: `download_file` with \
                       `--into-existing`";

impl Node {
    /// All downloads of this device, running and complete, oldest first.
    pub async fn show_downloads(&self) -> Result<Vec<DownloadLine>, Refusal> {
        Ok(lines(&*self.inner.session()?))
    }

    /// The same without waiting, for drawing progress; empty when nobody is logged in.
    pub fn downloads_now(&self) -> Vec<DownloadLine> {
        self.inner.session().map(|session| lines(&session)).unwrap_or_default()
    }
}

fn lines(session: &Session) -> Vec<DownloadLine> {
    let running = session.engine.status();
    let mut entries = session.downloads.all();
    entries.sort_by_key(|(_, entry)| entry.started_unix_ms);
    let status = |hash| running.iter().find(|s| s.info_hash == hash);
    entries.iter().map(|(hash, entry)| line(session, hash, entry, status(*hash))).collect()
}

fn line(
    session: &Session,
    info_hash: &InfoHash,
    entry: &DownloadEntry,
    status: Option<&TorrentStatus>,
) -> DownloadLine {
    let complete = entry.state == DownloadState::Complete;
    let running = status.filter(|_| !complete);
    // What is being checked is not known to be there yet.
    let checking = running.is_some_and(|s| s.state == TorrentState::Checking);
    let bytes_done = match running {
        _ if entry.state != DownloadState::Running => entry.size,
        Some(s) if !checking => s.wanted_done,
        _ => 0,
    };
    let took_ms = entry.took_ms.unwrap_or_else(|| unix_ms().saturating_sub(entry.started_unix_ms));
    let sources = match running {
        Some(status) if entry.sources.is_empty() => session.sources(status),
        _ => entry.sources.clone(),
    };
    let activity = activity(entry, status);
    DownloadLine {
        group: entry.group_name.clone(),
        name: entry.name.clone(),
        complete,
        percent: shown_percent(bytes_done, entry.size, complete),
        bytes_done,
        bytes_total: entry.size,
        bytes_per_second: running.map_or(0, |s| rate_down(activity, s)),
        peers: running.map_or(0, |s| s.peers.len()),
        path: entry.path(),
        seconds: took_ms as f64 / 1000.0,
        sources,
        files: entry.counts(),
        note: note(session, info_hash, entry, status),
        activity,
    }
}

/// What a download is at.
pub(super) fn activity(entry: &DownloadEntry, status: Option<&TorrentStatus>) -> Activity {
    match status.map(|s| (&s.state, s.peers.is_empty())) {
        Some((TorrentState::Repairing, _)) => Activity::Repairing,
        _ if entry.state == DownloadState::Complete => Activity::Complete,
        None if entry.paused => Activity::Paused,
        None | Some((TorrentState::Failed { .. }, _)) => Activity::Stopped,
        Some((TorrentState::Checking, _)) => Activity::Checking,
        Some((TorrentState::Paused { .. }, _)) => Activity::NoRoom,
        Some((TorrentState::Downloading, true)) => Activity::NoSharer,
        Some((TorrentState::Downloading | TorrentState::Seeding, _)) => Activity::Downloading,
    }
}

/// Bytes received per second: none of what cannot be taken, whatever the last seconds' average says.
pub(super) fn rate_down(activity: Activity, status: &TorrentStatus) -> u64 {
    match activity {
        Activity::Downloading | Activity::Checking | Activity::Repairing => status.bytes_per_second_down,
        _ => 0,
    }
}

/// What keeps a download from going on, or what a complete one is still at.
pub(super) fn note(
    session: &Session,
    info_hash: &InfoHash,
    entry: &DownloadEntry,
    status: Option<&TorrentStatus>,
) -> Option<String> {
    let complete = entry.state == DownloadState::Complete;
    match status.map(|s| &s.state) {
        Some(TorrentState::Seeding) if complete && entry.leave => {
            Some("served until others can do without, as --leave asks".to_owned())
        }
        Some(TorrentState::Checking | TorrentState::Seeding) if complete => None,
        Some(TorrentState::Failed { why }) if complete => Some(format!("{why}; {WAY_OUT}")),
        None if complete => session.not_shared().get(info_hash).map(|why| not_shared(entry, why)),
        _ => held_up(session, entry, status),
    }
}

/// Why a complete download is no share, though it was to be one.
fn not_shared(entry: &DownloadEntry, why: &NotShared) -> String {
    let path = entry.path();
    match why {
        NotShared::Refused { why, changed: true } => {
            format!("`{}` is not shared any more: {why}; {WAY_OUT}", path.display())
        }
        why => format!("`{}` is not shared now: {why}", path.display()),
    }
}

fn held_up(session: &Session, entry: &DownloadEntry, status: Option<&TorrentStatus>) -> Option<String> {
    match status.map(|s| &s.state) {
        None => Some(session.why_not_running(entry)),
        Some(TorrentState::Checking) => Some("checking what is there".to_owned()),
        Some(TorrentState::Paused { why } | TorrentState::Failed { why }) => Some(why.clone()),
        Some(TorrentState::Downloading) if status.is_some_and(|s| s.peers.is_empty()) => {
            Some("waiting for a sharer".to_owned())
        }
        Some(TorrentState::Repairing) => {
            Some("pieces that went bad on the disk are fetched again".to_owned())
        }
        Some(TorrentState::Downloading | TorrentState::Seeding) => None,
    }
}

/// To one decimal, rounded down; 100 only for what is complete.
fn shown_percent(done: u64, total: u64, complete: bool) -> f64 {
    match (complete, percent(done, total)) {
        (true, _) => 100.0,
        (false, 100) => 99.9,
        _ => (done as f64 * 1000.0 / total as f64).floor() / 10.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundred_percent_means_complete() {
        assert_eq!(shown_percent(1, 3, false), 33.3);
        assert_eq!(shown_percent(3, 3, false), 99.9);
        assert_eq!(shown_percent(0, 0, false), 99.9);
        assert_eq!(shown_percent(3, 3, true), 100.0);
        assert_eq!(shown_percent(0, 3, false), 0.0);
    }
}
