//! A tracker that shows less of a group than this device has seen gets what it lacks, from the own snapshot: so a
//! cluster that was set back to an old backup heals through its members. One that goes on keeping back what it was
//! given is not lagging, and people are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use peerage_ledger::Body;
use peerage_link::api;
use peerage_types::{GroupId, MetainfoId, RecordId};
use tokio::sync::Notify;

use super::reply::Notice;
use super::session::Session;
use super::snapshot::{GroupState, RefreshError};
use super::trackers::TrackersError;

/// Trackers get so long to hear from each other before members help.
const GRACE: Duration = Duration::from_secs(2);
/// A tracker that was given the same records so often and shows none of them keeps them back.
const GIVEN_MAX: u32 = 2;
/// Instead of how often: what it does not show would change nothing.
const HARMLESS: u32 = u32::MAX;

/// Groups of which a tracker showed less than is known here.
#[derive(Debug, Default)]
pub(super) struct Lagging {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// With what it did not show.
    groups: BTreeMap<GroupId, BTreeSet<RecordId>>,
    /// Per tracker and group: what it was given and does not show, and how often it was given.
    given: BTreeMap<(String, GroupId), (BTreeSet<RecordId>, u32)>,
    /// What people were told about a tracker and a group.
    told: BTreeSet<(String, GroupId, &'static str)>,
}

impl Lagging {
    /// The tracker did not show these records. Nothing follows if it was given them before, often enough.
    pub(super) fn note(&self, tracker: &str, group: GroupId, lacking: &BTreeSet<RecordId>) {
        let mut state = self.lock();
        let given = state.given.get(&(tracker.to_owned(), group));
        if given.is_some_and(|(given, times)| *times >= GIVEN_MAX && lacking.is_subset(given)) {
            return;
        }
        state.groups.entry(group).or_default().extend(lacking);
        self.news.notify_one();
    }

    /// Is this worth a word to people? Each thing is told once per tracker and group.
    pub(super) fn tell(&self, tracker: &str, group: GroupId, what: &'static str) -> bool {
        self.lock().told.insert((tracker.to_owned(), group, what))
    }

    /// It was given these records and does not show them. How often that was so.
    fn gave(&self, tracker: &str, group: GroupId, still: BTreeSet<RecordId>) -> u32 {
        let mut state = self.lock();
        let given = state.given.entry((tracker.to_owned(), group)).or_default();
        given.1 = if given.0 == still && given.1 != HARMLESS { given.1 + 1 } else { 1 };
        given.0 = still;
        given.1
    }

    /// It shows everything that counts; what it still does not show would change nothing.
    fn shown(&self, tracker: &str, group: GroupId, harmless: BTreeSet<RecordId>) {
        self.lock().given.insert((tracker.to_owned(), group), (harmless, HARMLESS));
    }

    /// Does a tracker that does not show these records show everything that counts?
    fn harmless(&self, tracker: &str, group: GroupId, lacking: &BTreeSet<RecordId>) -> bool {
        let state = self.lock();
        let given = state.given.get(&(tracker.to_owned(), group));
        lacking.is_empty() || given.is_some_and(|(ids, times)| *times == HARMLESS && lacking.is_subset(ids))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Single inserts and removes leave the maps whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Helps trackers that lag, a little later.
pub(super) async fn run(session: Arc<Session>) {
    loop {
        session.lagging.news.notified().await;
        tokio::time::sleep(GRACE).await;
        let groups = std::mem::take(&mut session.lagging.lock().groups);
        let mut all_shown = true;
        for (group, noted) in groups {
            match session.catch_up(group, &noted).await {
                Ok(shown) => all_shown &= shown,
                Err(error) => {
                    all_shown = false;
                    tracing::info!(%error, "a tracker that lags could not be helped");
                }
            }
        }
        if all_shown {
            session.settle_seen().await;
        }
    }
}

impl Session {
    /// Gives the tracker in use what it does not show of a group. True: now it shows everything that counts.
    ///
    /// `noted`: records that it did not show a while ago. Another member may have given it those since then, but not
    /// the metainfo of this device's own files.
    pub(super) async fn catch_up(
        &self,
        group: GroupId,
        noted: &BTreeSet<RecordId>,
    ) -> Result<bool, RefreshError> {
        let tracker = self.trackers.current_address();
        let state = self.groups.refresh(&self.trackers, group, &self.user).await?;
        let lacking = self.groups.behind(&group);
        let without_metainfo: BTreeSet<RecordId> = lacking.union(noted).copied().collect();
        if lacking.is_empty() {
            self.put_metainfo_of(&state, &without_metainfo).await?;
            self.lagging.shown(&tracker, group, BTreeSet::new());
            return Ok(true);
        }
        let records = state.records(&lacking);
        let done = self.trackers.hand_over(&records).await?;
        tracing::info!(tracker, taken = done.taken, refused = done.refused, "gave a tracker what it lacked");
        self.put_metainfo_of(&state, &without_metainfo).await?;
        let state = self.groups.refresh(&self.trackers, group, &self.user).await?;
        if tracker != self.trackers.current_address() {
            // Another one took over meanwhile; what it shows is looked at when it is asked.
            return Ok(false);
        }
        let still: BTreeSet<RecordId> = self.groups.behind(&group).intersection(&lacking).copied().collect();
        if still.is_empty() || state.same_without(&still) {
            self.lagging.shown(&tracker, group, still);
            return Ok(true);
        }
        let records = still.len();
        match self.lagging.gave(&tracker, group, still.clone()) {
            times if times < GIVEN_MAX => self.lagging.note(&tracker, group, &still),
            GIVEN_MAX => {
                let group = state.view.name.to_string();
                self.notify(Notice::KeptBack { tracker, group, records });
            }
            _ => {}
        }
        Ok(false)
    }

    /// Whoever lacks records of a group may lack metainfo, too: of the files that they describe, and of all that this
    /// device shares there, whose own records it need not have seen again.
    async fn put_metainfo_of(
        &self,
        state: &GroupState,
        lacking: &BTreeSet<RecordId>,
    ) -> Result<(), TrackersError> {
        let group = state.view.group;
        if lacking.iter().all(|id| *id == RecordId::from(group)) {
            return Ok(());
        }
        let described = lacking.iter().filter_map(|id| match state.facts().get(id)?.record.body() {
            Body::Manifest { metainfo, .. } => Some(*metainfo),
            _ => None,
        });
        let shared = self.shares.all().into_iter().filter(|(_, share)| share.group == group);
        let wanted: BTreeSet<MetainfoId> = described.chain(shared.map(|(_, share)| share.metainfo)).collect();
        for kept in wanted.iter().filter_map(|id| self.metainfo.get(id)) {
            let bytes = Bytes::copy_from_slice(kept.bytes());
            match self.trackers.put_bytes(&api::path::metainfo_of(&kept.group(), &kept.id()), &bytes).await {
                Err(TrackersError::Refused(error)) => tracing::info!(%error, "metainfo was not taken"),
                put => put?,
            }
        }
        Ok(())
    }

    /// All kept groups are shown in full: then what was seen elsewhere in the trackers' logs is not waited for.
    async fn settle_seen(&self) {
        let tracker = self.trackers.current_address();
        let shown = |group: GroupId| self.lagging.harmless(&tracker, group, &self.groups.behind(&group));
        if self.outbox.len() > 0 || !self.groups.all().iter().all(|state| shown(state.view.group)) {
            return;
        }
        match self.trackers.call::<_, api::HelloResponse>(api::path::HELLO, &api::Empty {}).await {
            Ok(hello) => self.trackers.seen().settle_for(&hello.vector),
            Err(error) => tracing::debug!(%error, "what was seen stays as it is"),
        }
    }

    /// Says that a tracker lags although no group of ours shows it: it said so itself for a while.
    pub(super) fn check_lagging(&self) {
        let tracker = self.trackers.current_address();
        let groups = self.groups.all();
        let ours = groups.iter().filter(|state| state.view.is_member(&self.user));
        for state in ours {
            self.lagging.note(&tracker, state.view.group, &BTreeSet::from([state.view.group.into()]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_often_enough_is_not_given_again() {
        let lagging = Lagging::default();
        let (group, one, two) = (GroupId([1; 32]), RecordId([1; 32]), RecordId([2; 32]));
        let noted = |lacking: &[RecordId]| {
            lagging.note("t", group, &lacking.iter().copied().collect());
            !std::mem::take(&mut lagging.lock().groups).is_empty()
        };
        assert!(noted(&[one]));
        assert_eq!(lagging.gave("t", group, BTreeSet::from([one])), 1);
        assert!(noted(&[one]));
        assert_eq!(lagging.gave("t", group, BTreeSet::from([one])), 2);
        assert!(!noted(&[one]) && noted(&[one, two]), "something new is worth another try");
        assert_eq!(lagging.gave("other", group, BTreeSet::from([one])), 1, "each tracker for itself");
        lagging.shown("t", group, BTreeSet::from([two]));
        assert!(!noted(&[two]), "it would change nothing");
    }
}
