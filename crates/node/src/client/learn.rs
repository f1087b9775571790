//! Learns of trackers that came since: whoever came by an invite must not depend on those that it named.
//!
//! The tracker in use is asked which trackers there are, now and then all of them. What one says proves nothing, so an address is taken into the list
//! only when it has shown the cluster's key to this device, and when no tracker of the list turns out to be behind it. No
//! answer makes the list shorter: a line that was learnt goes when at least two other trackers do not name it and it does
//! not answer itself. Addresses that lead nowhere are tried more and more rarely.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_link::api::{Empty, HelloResponse, TrackersResponse, path};
use peerage_link::http::TrackerConn;
use peerage_link::list::{LIST_BYTES_MAX, TrackerEntry, TrackerList};
use peerage_types::TrackerId;

use super::own_list::{self, LEARNT};
use super::reply::Notice;
use super::session::Session;
use super::trackers::TrackersError;

/// How often the tracker in use is asked: one small question beside those that ask whether it is alive.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Once in so many times all are asked, because the one in use may keep something back.
const ALL_EVERY: u32 = 60;
/// An address that led nowhere is tried again after this, then after twice as long, up to the other.
const AGAIN_MIN: Duration = Duration::from_secs(30);
const AGAIN_MAX: Duration = Duration::from_secs(60 * 60);
/// Named addresses that are remembered because they led nowhere. More are not tried before some are forgotten.
const WAITING_MAX: usize = 64;
/// Other trackers that must not name a learnt one any more before its line goes.
const DROPPED_BY_MIN: usize = 2;

/// Asks from login to logout, and whenever another tracker takes over.
pub(super) async fn run(session: Arc<Session>) {
    let mut learner = Learner { session, looks: 0, ids: BTreeMap::new(), waiting: BTreeMap::new() };
    let mut chosen = learner.session.trackers.watch();
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            changed = chosen.changed() => {
                if changed.is_err() {
                    return;
                }
                // What the one before named is no reason to try less of what this one names.
                learner.waiting.clear();
            }
        }
        if let Err(error) = learner.look().await {
            tracing::debug!(%error, "which trackers there are is asked again later");
        }
    }
}

struct Learner {
    session: Arc<Session>,
    looks: u32,
    /// Who answered last at which address of the list.
    ids: BTreeMap<String, TrackerId>,
    /// Addresses that were named and are of no use, or not yet.
    waiting: BTreeMap<String, Wait>,
}

struct Wait {
    until: Instant,
    length: Duration,
}

/// What one tracker of the list says.
struct Told {
    by: TrackerId,
    at: TrackerEntry,
    /// It is on this machine.
    near: bool,
    /// Nothing if it told no list.
    list: Option<Vec<TrackerEntry>>,
}

impl Learner {
    async fn look(&mut self) -> Result<(), TrackersError> {
        let all = self.looks % ALL_EVERY == 1;
        self.looks = self.looks.wrapping_add(1);
        let conn = self.session.trackers.connection().await?;
        let told: TrackersResponse = self.session.trackers.call(path::TRACKERS, &Empty {}).await?;
        let (named, near) = (read(&told)?, is_near(&conn));
        let mut due = self.due(&named, near);
        let learnt = self.learnt().await;
        let missing = learnt.iter().any(|entry| !named.contains(entry) && self.is_due(entry));
        if due.is_empty() && !missing && !all {
            return Ok(());
        }
        let told = self.ask_all().await;
        if missing {
            self.drop_gone(&told).await;
        }
        for told in &told {
            for entry in self.due(told.list.as_deref().unwrap_or_default(), told.near) {
                if !due.contains(&entry) {
                    due.push(entry);
                }
            }
        }
        self.take_in(due).await;
        Ok(())
    }

    /// Which of these are worth trying now.
    fn due(&self, named: &[TrackerEntry], near: bool) -> Vec<TrackerEntry> {
        let known = self.session.trackers.entries();
        let new = named.iter().filter(|entry| !known.contains(entry) && leads_somewhere(entry, near));
        new.filter(|entry| self.is_due(entry)).cloned().collect()
    }

    /// What every tracker of the list says, as far as it answers.
    async fn ask_all(&mut self) -> Vec<Told> {
        let ask = |conn: TrackerConn| async move {
            let hello: HelloResponse = conn.call(path::HELLO, &Empty {}).await?;
            let told = conn.call::<_, TrackersResponse>(path::TRACKERS, &Empty {}).await;
            let list = told.ok().and_then(|told| read(&told).ok());
            Ok(Told { by: hello.tracker, at: conn.entry().clone(), near: is_near(&conn), list })
        };
        let told: Vec<Told> = self.session.trackers.each(ask).await.into_iter().flatten().collect();
        let entries = self.session.trackers.entries();
        self.ids.retain(|address, _| entries.iter().any(|entry| entry.to_string() == *address));
        self.ids.extend(told.iter().map(|told| (told.at.to_string(), told.by)));
        told
    }

    /// Tries addresses that are not of the list, and adds those that are trackers of this cluster.
    async fn take_in(&mut self, due: Vec<TrackerEntry>) {
        let mut new = Vec::new();
        for entry in due {
            match self.verify(&entry).await {
                Ok(id) if self.ids.values().any(|known| *known == id) => {
                    tracing::debug!(%entry, "another address of a tracker that the list names");
                    self.wait(&entry, AGAIN_MAX);
                }
                Ok(id) => {
                    self.ids.insert(entry.to_string(), id);
                    new.push(entry);
                }
                Err(why) => {
                    tracing::info!(%entry, why, "a tracker was named that cannot be used");
                    self.wait(&entry, AGAIN_MIN);
                }
            }
        }
        if new.is_empty() {
            return;
        }
        if !self.session.cluster.own_list {
            let (path, names) = (self.list_path(), names(&new));
            // A list that somebody else keeps is completed by whoever keeps it.
            new.iter().for_each(|entry| self.wait(entry, AGAIN_MAX));
            self.session.notify(Notice::Warning(format!(
                "there are trackers that `{}` does not name: {names}; add a line for each, and they are used from then on",
                path.display()
            )));
            return;
        }
        tracing::info!(trackers = names(&new), "learnt of trackers");
        new.iter().for_each(|entry| self.wait(entry, AGAIN_MIN));
        self.edit(move |text| own_list::with(text, &new, LEARNT)).await;
    }

    /// The installation behind an address, if it is of this cluster.
    async fn verify(&self, entry: &TrackerEntry) -> Result<TrackerId, String> {
        let conn = self.session.trackers.reach(entry).await.map_err(|error| error.to_string())?;
        let hello: HelloResponse =
            conn.call(path::HELLO, &Empty {}).await.map_err(|error| error.to_string())?;
        match hello.cluster == self.session.cluster.id {
            true => Ok(hello.tracker),
            false => Err(format!("it is of the cluster {}", hello.cluster)),
        }
    }

    /// Takes learnt lines out that nobody stands for any more.
    async fn drop_gone(&mut self, told: &[Told]) {
        let learnt = self.learnt().await;
        let gone: Vec<_> = learnt.iter().filter(|entry| is_gone(entry, told)).cloned().collect();
        learnt.iter().for_each(|entry| self.wait(entry, AGAIN_MIN));
        if !gone.is_empty() {
            tracing::info!(trackers = names(&gone), "these trackers are gone");
            self.edit(move |text| own_list::without(text, &gone)).await;
        }
    }

    /// Lines of the own list that came from trackers.
    async fn learnt(&self) -> Vec<TrackerEntry> {
        if !self.session.cluster.own_list {
            return Vec::new();
        }
        let path = self.list_path();
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
        read.await.ok().and_then(Result::ok).map(|text| own_list::learnt(&text)).unwrap_or_default()
    }

    /// Changes the own list; who follows it takes the change over.
    async fn edit(&self, change: impl FnOnce(&str) -> String + Send + 'static) {
        let (path, key) = (self.list_path(), self.session.cluster.key);
        let edited = tokio::task::spawn_blocking(move || own_list::edit(&path, key, change)).await;
        if let Ok(Err(error)) = edited {
            tracing::warn!(%error, "the list of trackers stays as it is");
        }
    }

    fn list_path(&self) -> PathBuf {
        self.session.cluster.list.path.clone()
    }

    fn is_due(&self, entry: &TrackerEntry) -> bool {
        match self.waiting.get(&entry.to_string()) {
            Some(wait) => wait.until <= Instant::now(),
            None => self.waiting.len() < WAITING_MAX,
        }
    }

    /// Not before `at_least`, and twice as long as the last time.
    fn wait(&mut self, entry: &TrackerEntry, at_least: Duration) {
        let now = Instant::now();
        self.waiting.retain(|_, wait| wait.until + AGAIN_MAX > now);
        let before = self.waiting.get(&entry.to_string()).map_or(Duration::ZERO, |wait| wait.length);
        let length = (before * 2).clamp(at_least, AGAIN_MAX);
        self.waiting.insert(entry.to_string(), Wait { until: now + length, length });
    }
}

/// What was told, as a list.
fn read(told: &TrackersResponse) -> Result<Vec<TrackerEntry>, TrackersError> {
    let strange = |why: String| TrackersError::Protocol(format!("the list that a tracker tells: {why}"));
    if told.list.len() > LIST_BYTES_MAX {
        return Err(strange(format!("{} bytes, at most {LIST_BYTES_MAX} are allowed", told.list.len())));
    }
    let list = TrackerList::parse(Path::new("its list"), &told.list);
    list.map(|list| list.entries).map_err(|error| strange(error.to_string()))
}

/// Whether a tracker is on this machine: what one elsewhere calls loopback is not.
fn is_near(conn: &TrackerConn) -> bool {
    conn.peer_addr().ip().to_canonical().is_loopback()
}

/// Whether an address can be that of a tracker at all. `near`: who named it is on this machine.
fn leads_somewhere(entry: &TrackerEntry, near: bool) -> bool {
    match entry.host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(ip) => !ip.is_unspecified() && !ip.is_multicast() && (near || !ip.is_loopback()),
        Err(_) => near || entry.host != "localhost",
    }
}

/// At least two others do not name it any more, nobody does, and it does not answer.
fn is_gone(entry: &TrackerEntry, told: &[Told]) -> bool {
    let lists = || told.iter().filter_map(|told| Some((told.by, told.list.as_ref()?)));
    let named = told.iter().any(|told| told.at == *entry) || lists().any(|(_, list)| list.contains(entry));
    let by: BTreeSet<TrackerId> = lists().map(|(by, _)| by).collect();
    !named && by.len() >= DROPPED_BY_MIN
}

fn names(trackers: &[TrackerEntry]) -> String {
    trackers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<TrackerEntry> {
        read(&TrackersResponse { list: text.to_owned() }).unwrap()
    }

    fn told(by: u8, at: &str, text: &str) -> Told {
        Told { by: TrackerId([by; 16]), at: list(at).remove(0), near: true, list: Some(list(text)) }
    }

    #[test]
    fn one_tracker_cannot_shorten_the_list() {
        let entry = &list("c:3")[0];
        assert!(!is_gone(entry, &[]));
        assert!(!is_gone(entry, &[told(1, "a:1", "a:1\nb:2")]), "one does not name it");
        assert!(!is_gone(entry, &[told(1, "a:1", "a:1"), told(1, "b:2", "a:1")]), "one under two addresses");
        let both = [told(1, "a:1", "a:1\nb:2"), told(2, "b:2", "a:1\nb:2")];
        assert!(is_gone(entry, &both));
        assert!(!is_gone(entry, &[told(1, "a:1", "a:1\nb:2"), told(2, "b:2", "a:1\nc:3")]), "one still does");
        let mute = Told { list: None, ..told(2, "b:2", "a:1") };
        assert!(!is_gone(entry, &[told(1, "a:1", "a:1"), mute]), "the other says nothing");
        let itself = told(3, "c:3", "a:1\nb:2");
        let [one, two] = both;
        assert!(!is_gone(entry, &[one, two, itself]), "it answers");
    }

    #[test]
    fn what_is_told_is_bounded() {
        let refused = |text: String| read(&TrackersResponse { list: text }).unwrap_err().to_string();
        let many: String = (1..=8).map(|port| format!("h:{port}\n")).collect();
        assert!(refused(many).contains("more than 7"));
        assert!(refused("#".repeat(LIST_BYTES_MAX + 1)).contains("65537 bytes"));
        assert!(refused("a:1\nb:2; rm\n".to_owned()).contains("line 2"));
    }

    #[test]
    fn loopback_is_followed_only_from_this_machine() {
        let leads = |text: &str, near| leads_somewhere(&list(text)[0], near);
        for here in ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.9.9:1"] {
            assert!(leads(here, true) && !leads(here, false), "{here}");
        }
        assert!(!leads("0.0.0.0:1", true) && !leads("[::]:1", true) && !leads("224.0.0.1:1", true));
        assert!(leads("10.0.0.1:1", false) && leads("tracker.example:1", false));
    }
}
