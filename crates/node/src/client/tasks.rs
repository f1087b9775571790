//! What a session does by itself: it listens to the tracker and to the engine, announces, looks after the outbox,
//! and keeps snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_link::api::{ErrorCode, Event, path};
use peerage_link::http::CallError;
use peerage_types::{GroupId, InfoHash};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::reply::{Changed, Notice};
use super::session::Session;
use super::snapshot::unix_ms;
use super::{Refusal, catch_up, dial_back, learn};
use crate::engine::EngineEvent;

/// Between two looks at the tracker in use, the outbox and the snapshots on disk.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// Before asking for events again after a failure.
const EVENTS_RETRY: Duration = Duration::from_millis(500);
/// A torrent that has nobody to ask is announced at most so often.
const WANT_PEERS_INTERVAL: Duration = Duration::from_secs(2);
/// Changes that come close together are announced together.
const GATHER: Duration = Duration::from_millis(50);
/// How often downloads are looked for that are complete without having said so: a file that was there already.
const LEFTOVERS: Duration = Duration::from_millis(500);
/// After a failed announce.
const ANNOUNCE_RETRY: Duration = Duration::from_secs(2);

impl Session {
    /// Starts all tasks. `wanted` names groups whose view is in doubt.
    pub(super) fn start_tasks(self: &Arc<Self>, wanted: mpsc::Receiver<GroupId>) {
        let hurry = mpsc::channel(64);
        let unreachable = mpsc::channel(dial_back::QUEUE_MAX);
        self.spawn(tracker_events(Arc::clone(self), hurry.0.clone()));
        self.spawn(engine_events(Arc::clone(self), hurry.0, unreachable.0));
        self.spawn(dial_back::ask(Arc::clone(self), unreachable.1));
        self.spawn(announce(Arc::clone(self), hurry.1));
        self.spawn(refresh_wanted(Arc::clone(self), wanted));
        self.spawn(housekeeping(Arc::clone(self)));
        self.spawn(catch_up::run(Arc::clone(self)));
        self.spawn(learn::run(Arc::clone(self)));
    }
}

/// Hears from the tracker in use what has changed, and makes sure after each reconnect that nothing was missed.
async fn tracker_events(session: Arc<Session>, hurry: mpsc::Sender<InfoHash>) {
    loop {
        let subscribed = match session.trackers.connection().await {
            Ok(conn) => conn.events(path::EVENTS).await.map_err(|error| {
                if matches!(&error, CallError::Refused(e) if e.code == ErrorCode::DeviceRevoked) {
                    session.removed.send_replace(true);
                }
                error.to_string()
            }),
            Err(error) => Err(error.to_string()),
        };
        match subscribed {
            Ok(mut events) => {
                look_at_account(&session).await;
                for state in session.groups.all() {
                    if state.view.is_member(&session.user) {
                        session.groups.doubt(state.view.group);
                    }
                }
                let error = loop {
                    match events.next().await {
                        Ok(event) => take_event(&session, event, &hurry).await,
                        Err(error) => break error,
                    }
                };
                tracing::debug!(%error, "the event stream has ended");
            }
            Err(error) => tracing::debug!(%error, "no events for now"),
        }
        session.trackers.probe().await;
        tokio::time::sleep(EVENTS_RETRY).await;
    }
}

impl Session {
    fn failed(&self, info_hash: &InfoHash, why: String) {
        // The command that starts it answers with that.
        if let Some(ended) = self.starting().get_mut(info_hash) {
            *ended = Some(why);
            return;
        }
        self.stopped(info_hash, why);
    }

    /// Says that a transfer goes no further; nothing of a download that was taken back meanwhile, for whoever did that
    /// was answered.
    pub(super) fn stopped(&self, info_hash: &InfoHash, why: String) {
        if let Some(download) = self.downloads.get(info_hash) {
            self.notify(Notice::Stopped { group: download.group_name, name: download.name, why });
        } else if let Some(share) = self.shares.get(info_hash) {
            self.notify(Notice::Warning(format!("{}: {why}", share.name)));
        }
    }
}

/// The account's names, devices or password may have changed.
async fn look_at_account(session: &Session) {
    match session.refresh_account().await {
        Ok(_) => {}
        Err(Refusal::DeviceRemoved) => _ = session.removed.send_replace(true),
        Err(error) => tracing::debug!(%error, "the account could not be refreshed"),
    }
}

async fn take_event(session: &Arc<Session>, event: Event, hurry: &mpsc::Sender<InfoHash>) {
    match event {
        Event::Roster { group } | Event::Files { group } | Event::Requests { group } => {
            // Only what is in use; other groups are asked for when a command names them.
            if session.groups.get(&group).is_some() {
                session.groups.doubt(group);
            }
            session.changed(
                &group,
                match event {
                    Event::Files { .. } => Changed::Files,
                    Event::Requests { .. } => Changed::Requests,
                    _ => Changed::Members,
                },
            );
        }
        Event::Swarm { group, info_hash } => {
            session.changed(&group, Changed::Online);
            let missing = session
                .engine
                .status()
                .iter()
                .any(|s| s.info_hash == info_hash && s.bytes_done < s.bytes_total);
            if missing {
                // Full means that enough is on its way.
                let _ = hurry.try_send(info_hash);
            }
        }
        Event::DialBack { group, info_hash, device, addresses } => {
            dial_back::dial(session, group, info_hash, device, &addresses);
        }
        Event::Account => look_at_account(session).await,
    }
}

/// Fetches fresh snapshots of groups in doubt, each once however often it is named.
async fn refresh_wanted(session: Arc<Session>, mut wanted: mpsc::Receiver<GroupId>) {
    while let Some(first) = wanted.recv().await {
        let mut groups = BTreeSet::from([first]);
        while let Ok(more) = wanted.try_recv() {
            groups.insert(more);
        }
        for group in groups {
            let begun_unix_ms = unix_ms();
            match session.refresh(group).await {
                Ok(state) => {
                    session.resume_shares(group, begun_unix_ms).await;
                    match state.view.is_member(&session.user) {
                        true => session.resume_downloads(group).await,
                        false => session.leave_swarms(group).await,
                    }
                }
                Err(error) => tracing::debug!(%error, "a snapshot could not be refreshed"),
            }
        }
    }
}

async fn engine_events(
    session: Arc<Session>,
    hurry: mpsc::Sender<InfoHash>,
    unreachable: mpsc::Sender<dial_back::Unreachable>,
) {
    let mut events = session.engine.subscribe();
    let mut leftovers = tokio::time::interval(LEFTOVERS);
    leftovers.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = leftovers.tick() => {
                session.complete_leftovers().await;
                continue;
            }
        };
        match event {
            Ok(EngineEvent::Completed { info_hash, .. }) => session.completed(info_hash).await,
            Ok(EngineEvent::WantPeers { info_hash }) => {
                // Full means that enough is on its way.
                let _ = hurry.try_send(info_hash);
            }
            Ok(EngineEvent::Unreachable { info_hash, device }) => {
                // Full means that enough are being asked.
                let _ = unreachable.try_send((info_hash, device));
            }
            Ok(EngineEvent::ShareBroken { info_hash, why }) => {
                let name = session.shares.get(&info_hash).map_or_else(|| info_hash.tag(), |s| s.name);
                session.notify(Notice::ShareBroken { name, why });
                session.announce_anew().await;
            }
            Ok(EngineEvent::Failed { info_hash, why }) => session.failed(&info_hash, why),
            Ok(EngineEvent::Paused { info_hash, why }) => session.stopped(&info_hash, why),
            Ok(EngineEvent::Damaged { info_hash, why }) => {
                let name = session.label(&info_hash);
                session.notify(Notice::Damaged { name, why });
                session.announce_now().await;
            }
            Ok(EngineEvent::Repaired { info_hash }) => {
                let name = session.label(&info_hash);
                session.notify(Notice::Repaired { name });
                session.announce_now().await;
            }
            Ok(EngineEvent::Checked { .. }) => session.announce_now().await,
            Ok(EngineEvent::Learned { group }) => session.learned(group).await,
            Ok(EngineEvent::Resumed { .. }) => {}
            // The status says what the lost events would have said.
            Err(RecvError::Lagged(_)) => {
                for state in session.groups.all() {
                    session.learned(state.view.group).await;
                }
                session.complete_leftovers().await;
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Announces everything regularly, after each change and to each new tracker; single torrents when they are in need.
async fn announce(session: Arc<Session>, mut hurry: mpsc::Receiver<InfoHash>) {
    let mut chosen = session.trackers.watch();
    chosen.mark_unchanged();
    let mut due = tokio::time::Instant::now();
    let mut hurried: BTreeMap<InfoHash, Instant> = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = session.announce_soon.notified() => tokio::time::sleep(GATHER).await,
            changed = chosen.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = session.trackers.current_address();
                tracing::info!(%now, "another tracker took over");
                session.notify(Notice::TrackerChanged { now });
                session.sent_before().await;
            }
            Some(first) = hurry.recv() => {
                hurried.retain(|_, at| at.elapsed() < WANT_PEERS_INTERVAL);
                let mut some = BTreeSet::from([first]);
                while let Ok(more) = hurry.try_recv() {
                    some.insert(more);
                }
                some.retain(|torrent| !hurried.contains_key(torrent));
                if !some.is_empty() {
                    hurried.extend(some.iter().map(|torrent| (*torrent, Instant::now())));
                    if let Err(error) = session.announce(Some(&some)).await {
                        tracing::debug!(%error, "no peers for now");
                    }
                }
                continue;
            }
        }
        let again_in = match session.announce(None).await {
            Ok(announced) => announced.again_in,
            Err(error) => {
                tracing::info!(%error, "announcing is tried again soon");
                ANNOUNCE_RETRY
            }
        };
        due = tokio::time::Instant::now() + again_in;
    }
}

async fn housekeeping(session: Arc<Session>) {
    let mut interval = tokio::time::interval(HOUSEKEEPING);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut reachable = true;
    loop {
        interval.tick().await;
        let answers = session.trackers.probe().await;
        if answers != std::mem::replace(&mut reachable, answers) {
            session.notify(Notice::Trackers { reachable });
        }
        session.flush_outbox(true).await;
        let waiting: BTreeSet<GroupId> =
            session.unconfirmed_shares().into_iter().map(|(_, share)| share.group).collect();
        waiting.into_iter().for_each(|group| session.groups.doubt(group));
        let lately = Instant::now().checked_sub(HOUSEKEEPING * 2);
        if lately.is_some_and(|lately| session.trackers.seen().stale_since(lately).is_some()) {
            session.check_lagging();
        }
        session.save_groups().await;
    }
}
