//! Presence: the table behind a lock, its clock, and what goes to the other trackers.
//!
//! Handlers announce and withdraw; one task drops what expired and collects changes each second, or at once when somebody
//! came or went; one task per other tracker passes them on. A fresh connection starts with everything we know, so that a
//! tracker that was restarted or cut off needs nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerage_ledger::{Body, Origin};
use peerage_link::api::{Empty, PresenceRequest, path};
use peerage_replica::{
    Presence, PresenceChange, PresenceEntry, PresenceFull, PresenceUpdate, SwarmKey, SwarmSummary,
    VerifiedRow,
};
use peerage_types::{DeviceId, GroupId, InfoHash, Scope, TrackerId, UserId};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Monotonic;
use crate::error::Failure;
use crate::limits::{PEER_CALL_TIMEOUT, PRESENCE_TICK};
use crate::neighbour::Neighbour;
use crate::routes::answers::Peers;
use crate::state::Shared;

/// Changes in one request to another tracker: about 300 bytes each, far below the body's limit.
const CHANGES_PER_REQUEST: usize = 10_000;
/// Updates that a slow tracker may lag behind before it gets everything anew.
const UPDATES_LAG_MAX: usize = 64;
/// After a change others are told after this long: what happens at the same moment travels together.
const SETTLE: Duration = Duration::from_millis(20);

/// The table and what belongs to it.
pub(crate) struct PresenceShell {
    table: Mutex<Presence>,
    clock: Monotonic,
    soon: Notify,
    updates: broadcast::Sender<Arc<PresenceUpdate>>,
}

impl PresenceShell {
    pub(crate) fn new(owner: Origin, clock: Monotonic) -> Self {
        let updates = broadcast::Sender::new(UPDATES_LAG_MAX);
        Self { table: Mutex::new(Presence::new(owner)), clock, soon: Notify::new(), updates }
    }

    /// Devices in swarms, each pair counted.
    pub(crate) fn len(&self) -> usize {
        self.table().len()
    }

    /// A device is in a swarm. Tells whether its peers should hear of it, and at most `want` of them, as
    /// a caller on this machine (`local`) or elsewhere may see them.
    pub(crate) fn announce(
        &self,
        entry: PresenceEntry,
        want: usize,
        local: bool,
    ) -> Result<(bool, Peers), PresenceFull> {
        let now = self.clock.now();
        let (device, swarm) = (entry.device, entry.swarm());
        let mut table = self.table();
        let changed = table.announce(now, entry)?;
        let peers = match want {
            0 => Peers::default(),
            _ => Peers::of(table.peers_of(swarm, &device, want, now).into_iter(), local),
        };
        drop(table);
        if changed {
            self.soon.notify_one();
        }
        Ok((changed, peers))
    }

    /// A device leaves everything, with this word; returns where it was.
    pub(crate) fn withdraw(&self, device: &DeviceId, said: u64) -> BTreeSet<SwarmKey> {
        let gone = self.table().withdraw(self.clock.now(), device, said);
        self.soon.notify_one();
        gone
    }

    /// What one device says about one swarm.
    pub(crate) fn entry(&self, swarm: SwarmKey, device: &DeviceId) -> Option<PresenceEntry> {
        self.table().entry(swarm, device, self.clock.now()).cloned()
    }

    /// Every swarm of a group that has anybody in it.
    pub(crate) fn swarms_of(&self, group: GroupId) -> Vec<(InfoHash, SwarmSummary)> {
        self.table().swarms_of(group, self.clock.now())
    }

    /// What another tracker says.
    pub(crate) fn heard(&self, state: &Shared, from: &TrackerId, update: &[u8]) -> Result<(), Failure> {
        let update: PresenceUpdate = minicbor::decode(update)
            .map_err(|e| Failure::bad_request(format!("malformed presence update: {e}")))?;
        if update.owner.tracker != *from {
            return Err(Failure::bad_request("a tracker tells only what it heard itself"));
        }
        let applied = self.table().apply(self.clock.now(), update);
        if applied.dropped > 0 {
            tracing::warn!(dropped = applied.dropped, "the presence table is full");
        }
        tell_sessions(state, applied.swarms);
        Ok(())
    }

    /// Ready shortly after a change that others should not wait a whole tick for.
    async fn settled_change(&self) {
        self.soon.notified().await;
        tokio::time::sleep(SETTLE).await;
    }

    fn table(&self) -> MutexGuard<'_, Presence> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops what expired and collects changes for the other trackers, until `closing`.
pub(crate) async fn run(state: Shared, mut closing: watch::Receiver<bool>) {
    let mut tick = interval(PRESENCE_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let shell = &state.presence;
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            _ = tick.tick() => {}
            () = shell.settled_change() => {}
        }
        let (expired, update) = {
            let mut table = shell.table();
            (table.tick(shell.clock.now()), table.take_update())
        };
        tell_sessions(&state, expired);
        if let Some(update) = update {
            // Without other trackers nobody listens.
            let _ = shell.updates.send(Arc::new(update));
        }
    }
}

/// Keeps one other tracker informed, until `closing`.
pub(crate) async fn inform(state: Shared, neighbour: Arc<Neighbour>, mut closing: watch::Receiver<bool>) {
    let mut updates = state.presence.updates.subscribe();
    let mut connections = neighbour.connections();
    let mut retry = interval(PRESENCE_TICK);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The connection on which the other side was told everything.
    let mut told_on = 0;
    loop {
        let news = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            update = updates.recv() => Some(update),
            changed = connections.changed() => match changed {
                Ok(()) => None,
                Err(_) => return,
            },
            _ = retry.tick(), if told_on == 0 => None,
        };
        let connection = *connections.borrow_and_update();
        if connection == 0 || !neighbour.is_connected().await {
            // The next connection starts with everything.
            told_on = 0;
            continue;
        }
        let sent = match news {
            Some(Ok(update)) if told_on == connection => send(&state, &neighbour, &update).await,
            _ if told_on == connection && news.is_none() => continue,
            _ => {
                let full = state.presence.table().full_update();
                send(&state, &neighbour, &full).await
            }
        };
        told_on = if sent { connection } else { 0 };
    }
}

async fn send(state: &Shared, neighbour: &Neighbour, update: &PresenceUpdate) -> bool {
    // Only the first part replaces what the other side has.
    let parts = update.changes.chunks(CHANGES_PER_REQUEST);
    let empty: &[PresenceChange] = &[];
    let parts = parts.chain(std::iter::repeat_n(empty, usize::from(update.changes.is_empty())));
    for (index, part) in parts.enumerate() {
        let full = update.full && index == 0;
        let part = PresenceUpdate { owner: update.owner, full, changes: part.to_vec() };
        let Ok(deltas) = minicbor::to_vec(&part) else { return false };
        let request = PresenceRequest { from: state.tracker, deltas };
        let told = neighbour.call::<_, Empty>(path::PEER_PRESENCE, &request, PEER_CALL_TIMEOUT).await;
        if let Err(error) = told {
            tracing::debug!(tracker = %neighbour.entry(), %error, "presence did not get there");
            return false;
        }
    }
    true
}

/// Ends the presence of members whose membership these rows may have ended. Runs in a task of its own.
pub(crate) fn expel_after(state: &Shared, rows: &[VerifiedRow]) {
    let left: BTreeSet<(GroupId, UserId)> = rows.iter().filter_map(leaver).collect();
    if left.is_empty() {
        return;
    }
    let state = Arc::clone(state);
    tokio::spawn(async move {
        for (group, user) in left {
            let member = state.blocking(move |state| {
                let settled = state.views.group(&group)?;
                Ok(settled.view.as_ref().is_some_and(|view| view.is_member(&user)))
            });
            if matches!(member.await, Ok(false)) {
                let gone = state.presence.table().expel(group, &user);
                tell_sessions(&state, gone);
            }
        }
    });
}

fn leaver(row: &VerifiedRow) -> Option<(GroupId, UserId)> {
    let Scope::Group(group) = row.record().scope() else { return None };
    match row.record().body() {
        Body::Kick { user, .. } | Body::Reject { user, .. } => Some((group, *user)),
        Body::Leave { .. } | Body::Handover { .. } | Body::Close { .. } => {
            Some((group, row.record().author()))
        }
        _ => None,
    }
}

/// Sessions in these groups learn that a swarm has other peers now.
pub(crate) fn tell_sessions(state: &Shared, swarms: impl IntoIterator<Item = SwarmKey>) {
    for (group, info_hash) in swarms {
        state.notices.swarm(group, info_hash);
    }
}
