//! `wait`: until downloads are complete.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerage_types::InfoHash;

use super::super::downloads::{DownloadEntry, DownloadState};
use super::super::session::Session;
use super::super::{GroupRef, Node, Refusal};
use crate::engine::TorrentState;

/// A download that nobody offers for so long makes `wait` give up; the download itself goes on.
pub const NO_SOURCE_MAX: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

impl Node {
    /// Waits for one download, or for all that are running now. Tells how many are complete.
    pub async fn wait(
        &self,
        what: Option<(&GroupRef, &str)>,
        timeout: Option<Duration>,
    ) -> Result<usize, Refusal> {
        let session = self.inner.session()?;
        let waited = match what {
            None => session
                .downloads
                .all()
                .into_iter()
                .filter(|(_, d)| d.state != DownloadState::Complete)
                .collect(),
            Some((group, file)) => vec![named(&session, group, file)?],
        };
        let started = Instant::now();
        let mut seen: BTreeMap<InfoHash, Instant> = BTreeMap::new();
        loop {
            let unfinished = unfinished(&session, &waited);
            if unfinished.is_empty() {
                return Ok(waited.len());
            }
            for entry in &unfinished {
                look(&session, entry, &mut seen)?;
            }
            if timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
                let unfinished: Vec<String> = unfinished.iter().map(|(_, d)| d.label()).collect();
                return Err(Refusal::WaitTimeout { unfinished: unfinished.join(", ") });
            }
            // A logout ends the wait.
            self.inner.session()?;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The download that a command names, the latest of several.
pub(super) fn named(
    session: &Session,
    group: &GroupRef,
    file: &str,
) -> Result<(InfoHash, DownloadEntry), Refusal> {
    let fits = |d: &DownloadEntry| {
        d.name == file
            && d.group_name
                .parse::<GroupRef>()
                .is_ok_and(|g| g.folded() == group.folded() && g.tag() == group.tag())
    };
    let all = session.downloads.all().into_iter().filter(|(_, d)| fits(d));
    all.max_by_key(|(_, d)| d.started_unix_ms).ok_or(Refusal::NoSuchDownload)
}

fn unfinished(session: &Session, waited: &[(InfoHash, DownloadEntry)]) -> Vec<(InfoHash, DownloadEntry)> {
    let open =
        |hash: &InfoHash| session.downloads.get(hash).is_some_and(|d| d.state != DownloadState::Complete);
    waited.iter().filter(|(hash, _)| open(hash)).cloned().collect()
}

/// Gives up on a download that has ended early, or that nobody offers.
fn look(
    session: &Session,
    (hash, entry): &(InfoHash, DownloadEntry),
    seen: &mut BTreeMap<InfoHash, Instant>,
) -> Result<(), Refusal> {
    let status = session.engine.status().into_iter().find(|s| s.info_hash == *hash);
    let failed = |why: String| Err(Refusal::DownloadFailed { file: entry.label(), why });
    let last = seen.entry(*hash).or_insert_with(Instant::now);
    match status.as_ref().map(|s| &s.state) {
        None if entry.state == DownloadState::Running => return failed(session.why_not_running(entry)),
        Some(TorrentState::Failed { why }) => return failed(why.clone()),
        Some(TorrentState::Downloading) if status.as_ref().is_some_and(|s| s.peers.is_empty()) => {}
        _ => *last = Instant::now(),
    }
    if last.elapsed() >= NO_SOURCE_MAX {
        let seconds = NO_SOURCE_MAX.as_secs();
        return Err(Refusal::WaitNoSource { file: entry.label(), seconds });
    }
    Ok(())
}
