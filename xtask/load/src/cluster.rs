//! A cluster of real `peerage tracker` processes in a folder that disappears with it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerage_drive::{Tracker, free_addresses};
use peerage_ledger::Record;
use peerage_link::api::{BundleRequest, BundleResponse, path};
use peerage_link::keyring::Keyring;
use tempfile::TempDir;

use crate::client::{Conn, HERE, Target};
use crate::people::Person;

/// How long a tracker may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// Bundles by which trackers are asked whether they have found each other.
const PROBES_MAX: usize = 2_000;

pub struct Cluster {
    pub targets: Vec<Target>,
    trackers: Vec<Tracker>,
    _folder: TempDir,
}

impl Cluster {
    /// A list of `listed` trackers of which the first `started` run.
    pub fn start(
        program: &Path,
        base: &Path,
        keyring: &Keyring,
        listed: usize,
        started: usize,
    ) -> Result<Self> {
        let folder = TempDir::with_prefix_in("cluster-", base)?;
        let list = folder.path().join("trackers.txt");
        let addresses = free_addresses(listed)?;
        let lines: Vec<String> = addresses.iter().map(|addr| format!("{addr}\n")).collect();
        std::fs::write(&list, lines.concat())?;
        keyring.install(&list)?;
        let mut trackers = Vec::new();
        for number in 1..=started {
            let data = folder.path().join(format!("data-{number}"));
            trackers.push(Tracker::start(program, &list, number, &data)?);
        }
        let key = keyring.public();
        let targets = addresses.into_iter().map(|addr| Target { addr, key }).collect();
        Ok(Self { targets, trackers, _folder: folder })
    }

    pub fn pids(&self) -> Vec<u32> {
        self.trackers.iter().map(Tracker::pid).collect()
    }

    /// Waits until every tracker makes bundles durable on all that run: before they have found each other it may
    /// say less.
    pub async fn in_touch(&self, keyring: &Keyring) -> Result<()> {
        for target in &self.targets[..self.trackers.len()] {
            let conn = Conn::open(*target, HERE, None).await?;
            let mut probes = 0;
            loop {
                let person = Person::new(keyring.cluster())?;
                let stored =
                    submit(&conn, &person.founding(&format!("probe-{}", person.user.tag()))?).await?;
                if stored.durable_on as usize == self.trackers.len() {
                    break;
                }
                probes += 1;
                ensure!(probes < PROBES_MAX, "the trackers do not find each other");
            }
        }
        Ok(())
    }

    /// Ends all trackers in good order.
    pub fn quit(mut self) -> Result<()> {
        for tracker in &mut self.trackers {
            let ended = tracker.quit(END_TIMEOUT).context("a tracker did not end")?;
            ensure!(ended.success(), "a tracker ended with {ended}: {}", tracker.stderr());
        }
        Ok(())
    }
}

/// One bundle.
pub async fn submit(conn: &Conn, records: &[Record]) -> Result<BundleResponse> {
    conn.call(path::BUNDLE, &BundleRequest::new(records.iter().map(Record::bytes))).await
}
