//! Follows the tracker list while the tracker runs: other trackers come and go without a restart.
//!
//! One task owns the watch of the file. It looks every [`LOOK_INTERVAL`] by itself, and at once when somebody asks through
//! [`Reload`]; what changed goes to the registry of neighbours, to the replica and to the presence shell.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use peerage_link::list::{LOOK_INTERVAL, ListWatch, TrackerEntry, TrackerList};
use peerage_replica::PeerId;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::presence_shell;
use crate::state::Shared;

/// Questions that wait for one reading of the list. More are told to come back.
const WAITING_MAX: usize = 64;

/// Asks a running tracker to read its list again at once. Clones reach the same tracker.
#[derive(Clone, Debug, Default)]
pub struct Reload(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Vec<oneshot::Sender<Result<Reloaded, String>>>>,
    asked: Notify,
}

/// What reading the list again brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Trackers in the cluster now, this one included.
    pub trackers: u32,
    /// Entries that are new.
    pub added: Vec<TrackerEntry>,
    /// Entries that are gone.
    pub removed: Vec<TrackerEntry>,
    /// The line of this tracker itself, if the list does not hold it any more: it goes on serving until it is ended.
    pub own_line_gone: Option<TrackerEntry>,
}

impl Reload {
    /// Reads the list and waits for the outcome.
    ///
    /// # Errors
    /// One line for a person: why the list cannot be used (the old one stays), or that the tracker is stopping.
    pub async fn request(&self) -> Result<Reloaded, String> {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= WAITING_MAX {
                return Err("the list is being read already".to_owned());
            }
            waiting.push(answer);
        }
        self.0.asked.notify_one();
        answered.await.unwrap_or_else(|_| Err("the tracker is stopping".to_owned()))
    }

    fn take(&self) -> Vec<oneshot::Sender<Result<Reloaded, String>>> {
        std::mem::take(&mut self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `2 trackers in the list, added 127.0.0.1:7501`
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trackers = if self.trackers == 1 { "tracker" } else { "trackers" };
        write!(f, "{} {trackers} in the list", self.trackers)?;
        for (what, entries) in [(", added ", &self.added), (", removed ", &self.removed)] {
            for (index, entry) in entries.iter().enumerate() {
                write!(f, "{}{entry}", if index == 0 { what } else { " " })?;
            }
        }
        if let Some(own) = &self.own_line_gone {
            write!(f, "; the list does not name {own}, which is this tracker: it goes on, `quit` ends it")?;
        }
        Ok(())
    }
}

/// Follows the list until `closing`. `own` is the line that this tracker was started for.
pub(crate) async fn run(
    state: Shared,
    list: TrackerList,
    own: TrackerEntry,
    mut closing: watch::Receiver<bool>,
) {
    let mut follower = Follower {
        informing: JoinSet::new(),
        informed: BTreeMap::new(),
        own,
        own_line_gone: false,
        closing: closing.clone(),
        state,
    };
    for neighbour in follower.state.neighbours.all() {
        follower.inform(neighbour.peer());
    }
    let mut watch = ListWatch::new(list);
    let mut tick = interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let reload = &follower.state.reload;
        let asked = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            _ = tick.tick() => Vec::new(),
            () = reload.0.asked.notified() => reload.take(),
        };
        let by_hand = !asked.is_empty();
        let read = tokio::task::spawn_blocking(move || {
            let found = if by_hand { watch.read() } else { watch.look() };
            (watch, found.map_err(|error| error.to_string()))
        });
        // It fails only when the runtime is going down.
        let Ok((again, found)) = read.await else { return };
        watch = again;
        let outcome = match found {
            Ok(Some(list)) => follower.follow(&list).await,
            Ok(None) => Ok(follower.nothing_new()),
            Err(why) => Err(format!("{why}; going on with the list as it was")),
        };
        match &outcome {
            Ok(reloaded) if *reloaded != follower.nothing_new() => tracing::info!("{reloaded}"),
            // Once: by itself the watch tells each trouble only once, and who asks gets the answer.
            Err(why) if !by_hand => tracing::error!("{why}"),
            _ => {}
        }
        for answer in asked {
            let _ = answer.send(outcome.clone());
        }
    }
}

struct Follower {
    state: Shared,
    own: TrackerEntry,
    own_line_gone: bool,
    informing: JoinSet<()>,
    informed: BTreeMap<PeerId, AbortHandle>,
    closing: watch::Receiver<bool>,
}

impl Follower {
    fn nothing_new(&self) -> Reloaded {
        let own_line_gone = self.own_line_gone.then(|| self.own.clone());
        let trackers = self.state.neighbours.trackers();
        Reloaded { trackers, added: Vec::new(), removed: Vec::new(), own_line_gone }
    }

    async fn follow(&mut self, list: &TrackerList) -> Result<Reloaded, String> {
        if let Some(pin) = list.pin.filter(|pin| *pin != self.state.cluster_key) {
            let (path, have) = (list.path.display(), self.state.cluster_key);
            return Err(format!(
                "`{path}` pins the key {pin}, this cluster has {have}; going on with the list as it was"
            ));
        }
        let others = || list.entries.iter().filter(|entry| **entry != self.own);
        let gone = self.state.neighbours.all().into_iter();
        let gone: Vec<_> = gone.filter(|known| !others().any(|entry| entry == known.entry())).collect();
        let named: Vec<_> = others().cloned().collect();
        self.state.neighbours.set_listed(list);
        let mut reloaded = self.nothing_new();
        for neighbour in gone {
            self.state.replica.remove_peer(neighbour.peer()).await;
            self.state.neighbours.remove(neighbour.peer());
            if let Some(informing) = self.informed.remove(&neighbour.peer()) {
                informing.abort();
            }
            reloaded.removed.push(neighbour.entry().clone());
        }
        for entry in named {
            if let Some(neighbour) = self.state.neighbours.add(&entry) {
                self.state.replica.add_peer(neighbour.peer()).await;
                self.inform(neighbour.peer());
                reloaded.added.push(entry);
            }
        }
        let own_line_gone = list.entries.iter().all(|entry| *entry != self.own);
        if own_line_gone && !self.own_line_gone {
            tracing::error!(own = %self.own, "the list does not name this tracker any more; it goes on, `quit` ends it");
        }
        self.own_line_gone = own_line_gone;
        reloaded.trackers = self.state.neighbours.trackers();
        reloaded.own_line_gone = own_line_gone.then(|| self.own.clone());
        Ok(reloaded)
    }

    /// Keeps it informed about who is online.
    fn inform(&mut self, peer: PeerId) {
        let Some(neighbour) = self.state.neighbours.get(peer) else { return };
        let told = presence_shell::inform(self.state.clone(), neighbour, self.closing.clone());
        self.informed.insert(peer, self.informing.spawn(told));
        while self.informing.try_join_next().is_some() {}
    }
}
