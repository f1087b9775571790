//! What every request handler and every task of the tracker shares.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use peerage_ledger::{Body, Origin};
use peerage_link::api::ErrorCode;
use peerage_link::keyring::Keyring;
use peerage_link::opaque::Setup;
use peerage_replica::VerifiedRow;
use peerage_store::Store;
use peerage_types::{ClusterId, DeviceId, PublicKey, TrackerId};
use tokio::sync::{mpsc, watch};

use crate::error::Failure;
use crate::invitations::Invitations;
use crate::keeper::Wanted;
use crate::lanes::Lanes;
use crate::limits::EVENT_STREAMS_PER_DEVICE_MAX;
use crate::metainfo_slots::MetainfoSlots;
use crate::metrics::Metrics;
use crate::neighbours::Neighbours;
use crate::notices::Notices;
use crate::places::{Place, Places};
use crate::presence_shell::PresenceShell;
use crate::rate::Rates;
use crate::reload::Reload;
use crate::replica_shell::ReplicaHandle;
use crate::routes::{Reaching, Waiting};
use crate::verifier::Verifier;
use crate::views::Views;
use crate::writer::Signals;

/// The state as handlers hold it.
pub(crate) type Shared = Arc<State>;

pub(crate) struct State {
    pub(crate) cluster: ClusterId,
    pub(crate) cluster_key: PublicKey,
    pub(crate) tracker: TrackerId,
    pub(crate) keyring: Keyring,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) views: Views,
    pub(crate) verifier: Verifier,
    pub(crate) replica: ReplicaHandle,
    pub(crate) presence: PresenceShell,
    /// The other trackers of the list.
    pub(crate) neighbours: Neighbours,
    /// Reads the list again.
    pub(crate) reload: Reload,
    pub(crate) notices: Notices,
    pub(crate) lanes: Lanes,
    pub(crate) rates: Arc<Rates>,
    pub(crate) invitations: Invitations,
    pub(crate) metainfo: MetainfoSlots,
    /// Requests that may wait for other trackers.
    pub(crate) catching_up: Waiting,
    /// Connections to members who ask whether they can be reached.
    pub(crate) reaching: Reaching,
    pub(crate) keeper: mpsc::Sender<Wanted>,
    /// Open event streams.
    pub(crate) streams: Places<DeviceId>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) metrics: Arc<Metrics>,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// This run of this tracker.
    pub(crate) origin: Origin,
    /// Orders the tracker to stop and to start again after so long.
    pub(crate) drill: mpsc::Sender<Duration>,
    /// Turns true when the tracker is to stop.
    pub(crate) closing: watch::Receiver<bool>,
}

impl State {
    /// Runs work that may read the disk or compute for long where it holds up nobody.
    pub(crate) async fn blocking<T, W>(self: &Arc<Self>, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    {
        let state = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&state)).await {
            Ok(result) => result,
            Err(error) if error.is_cancelled() => Err(Failure::stopping()),
            Err(error) => Err(Failure::internal(&error)),
        }
    }

    /// Refuses what would have to be written while nothing can be.
    pub(crate) fn require_space(&self) -> Result<(), Failure> {
        match self.signals.disk_full.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Failure::new(ErrorCode::Unavailable, "this tracker's disk is full")
                .hint("ask another tracker of the list")),
        }
    }

    /// The OPAQUE key for new registrations.
    pub(crate) fn opaque_key(&self) -> (u32, &Setup) {
        self.keyring.opaque_current()
    }

    /// Metainfo files of Manifests that other trackers accepted: their clients put the file there.
    pub(crate) fn keeper_wants(&self, rows: &[VerifiedRow]) {
        for row in rows.iter().filter(|row| row.receipt().origin.tracker != self.tracker) {
            if let Body::Manifest { metainfo, .. } = row.record().body() {
                // When the queue is full the file comes when somebody asks for it.
                let _ = self.keeper.try_send(Wanted { id: *metainfo, by: row.record().author() });
            }
        }
    }

    /// A place for one more event stream of this device.
    pub(crate) fn stream_slot(&self, device: &DeviceId) -> Result<Place<DeviceId>, Failure> {
        self.streams.take(*device).ok_or_else(|| {
            let message =
                format!("this device has {EVENT_STREAMS_PER_DEVICE_MAX} event streams open already");
            Failure::new(ErrorCode::TooMany, message)
        })
    }
}
