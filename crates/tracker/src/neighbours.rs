//! The other trackers of the list, which may change while this one runs.
//!
//! Each entry of the list gets a slot ([`PeerId`]) when it is first seen and keeps it, also when it leaves the list and
//! comes back. On the wire a tracker names its installation; which slot that is, is known from the `hello` that its
//! address answered with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_link::list::{TrackerEntry, TrackerList};
use peerage_replica::PeerId;
use peerage_types::{ClusterId, TrackerId};

use crate::neighbour::Neighbour;

/// What all neighbours have in common.
pub(crate) struct NeighbourConfig {
    /// The cluster key on both sides.
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) cluster: ClusterId,
    pub(crate) us: TrackerId,
    /// Named when the other side belongs to another cluster.
    pub(crate) list: String,
    pub(crate) identities: Identities,
}

/// Which installation answered last in which slot.
#[derive(Debug, Default)]
pub(crate) struct Identities(Mutex<BTreeMap<PeerId, TrackerId>>);

impl Identities {
    /// The tracker in this slot is this one.
    ///
    /// # Errors
    /// The other slot in which the same one answers.
    pub(crate) fn learn(&self, peer: PeerId, tracker: TrackerId) -> Result<(), PeerId> {
        let mut known = self.lock();
        known.remove(&peer);
        if let Some((other, _)) = known.iter().find(|(_, known)| **known == tracker) {
            return Err(*other);
        }
        known.insert(peer, tracker);
        Ok(())
    }

    /// Nobody answers there any more.
    pub(crate) fn forget(&self, peer: PeerId) {
        self.lock().remove(&peer);
    }

    fn slot_of(&self, tracker: &TrackerId) -> Option<PeerId> {
        self.lock().iter().find(|(_, known)| *known == tracker).map(|(peer, _)| *peer)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, TrackerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All other trackers.
pub(crate) struct Neighbours {
    config: Arc<NeighbourConfig>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The list in use, one `HOST:PORT` a line.
    listed: String,
    /// Every entry that was ever seen; its index is its slot.
    slots: Vec<TrackerEntry>,
    current: BTreeMap<PeerId, Arc<Neighbour>>,
}

impl Neighbours {
    pub(crate) fn new(config: NeighbourConfig) -> Self {
        Self { config: Arc::new(config), inner: Mutex::default() }
    }

    /// What members are told when they ask which trackers there are.
    pub(crate) fn listed(&self) -> String {
        self.lock().listed.clone()
    }

    /// This list is in use from now on.
    pub(crate) fn set_listed(&self, list: &TrackerList) {
        self.lock().listed = list.entries.iter().map(|entry| format!("{entry}\n")).collect();
    }

    /// Every other tracker of the list as it is now.
    pub(crate) fn all(&self) -> Vec<Arc<Neighbour>> {
        self.lock().current.values().cloned().collect()
    }

    /// Is this tracker the only one?
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().current.is_empty()
    }

    /// The one in this slot, unless it has left the list.
    pub(crate) fn get(&self, peer: PeerId) -> Option<Arc<Neighbour>> {
        self.lock().current.get(&peer).cloned()
    }

    /// In which slot this tracker answers, if the list names it and we have reached it.
    pub(crate) fn slot_of(&self, tracker: &TrackerId) -> Option<PeerId> {
        self.config.identities.slot_of(tracker)
    }

    /// Trackers in the cluster, this one included.
    pub(crate) fn trackers(&self) -> u32 {
        u32::try_from(self.lock().current.len() + 1).unwrap_or(u32::MAX)
    }

    /// Takes in an entry. `None`: it is there already.
    pub(crate) fn add(&self, entry: &TrackerEntry) -> Option<Arc<Neighbour>> {
        let mut inner = self.lock();
        let index = inner.slots.iter().position(|known| known == entry).unwrap_or_else(|| {
            inner.slots.push(entry.clone());
            inner.slots.len() - 1
        });
        let peer = PeerId(u32::try_from(index).unwrap_or(u32::MAX));
        if inner.current.contains_key(&peer) {
            return None;
        }
        let neighbour = Arc::new(Neighbour::new(peer, entry.clone(), Arc::clone(&self.config)));
        inner.current.insert(peer, Arc::clone(&neighbour));
        Some(neighbour)
    }

    /// Lets go of one that left the list.
    pub(crate) fn remove(&self, peer: PeerId) {
        self.lock().current.remove(&peer);
        self.config.identities.forget(peer);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
