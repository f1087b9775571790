//! Whom to connect to, and when to try again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use peerage_types::limits::ADDRESSES_MAX;
use peerage_types::{DeviceId, Time};

use super::api::PeerAddr;
use super::handshake::{self, Admitted, HandshakeFailed};
use super::shared::TorrentShared;

/// Head start of each address before the next one is tried too (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Wait after the first failure; doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between attempts.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Longest wait after we were told of the peer again: whoever told us believes that it is there.
const RETRY_LISTED: Duration = Duration::from_secs(10);
/// A connection that lasted this long counts as a success.
const STABLE: Duration = Duration::from_secs(10);
/// Attempts of one torrent at the same time.
const DIALS_MAX: usize = 8;
/// Candidates kept per torrent.
const CANDIDATES_MAX: usize = 1_000;

/// The peers that somebody told us about.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    known: BTreeMap<DeviceId, Candidate>,
    dialling: usize,
}

#[derive(Debug)]
struct Candidate {
    addresses: Vec<SocketAddr>,
    failures: u32,
    next_at: Time,
    dialling: bool,
    /// It had every piece when we last met.
    complete: bool,
}

impl Candidates {
    /// Replaces what is known; what was learned about those who stay is kept. A new address is tried at once.
    pub(super) fn set(&mut self, peers: Vec<PeerAddr>, own: &DeviceId, now: Time) {
        let mut before = std::mem::take(&mut self.known);
        for mut peer in peers.into_iter().filter(|peer| peer.device != *own).take(CANDIDATES_MAX) {
            peer.addresses.truncate(ADDRESSES_MAX);
            let known = before.remove(&peer.device);
            let mut candidate = known.unwrap_or(Candidate {
                addresses: Vec::new(),
                failures: 0,
                next_at: now,
                dialling: false,
                complete: false,
            });
            if candidate.addresses != peer.addresses {
                candidate.addresses = peer.addresses;
                (candidate.failures, candidate.next_at) = (0, now);
            }
            candidate.next_at = candidate.next_at.min(now.after(RETRY_LISTED));
            self.known.insert(peer.device, candidate);
        }
        // Attempts that are under way will report.
        self.known.extend(before.into_iter().filter(|(_, candidate)| candidate.dialling));
    }

    /// Whom to dial now. `useful` says whether a connection would serve anything, given whether the peer was
    /// complete.
    pub(super) fn due(
        &mut self,
        now: Time,
        room: usize,
        useful: impl Fn(&DeviceId, bool) -> bool,
    ) -> Vec<(DeviceId, Vec<SocketAddr>)> {
        let room = room.min(DIALS_MAX.saturating_sub(self.dialling));
        let due = self.known.iter_mut().filter(|(device, candidate)| {
            let ready = !candidate.dialling && candidate.next_at <= now && !candidate.addresses.is_empty();
            ready && useful(device, candidate.complete)
        });
        let due: Vec<_> = due
            .take(room)
            .map(|(device, candidate)| {
                candidate.dialling = true;
                (*device, candidate.addresses.clone())
            })
            .collect();
        self.dialling += due.len();
        due
    }

    /// An attempt has ended.
    pub(super) fn dialled(&mut self, device: &DeviceId, ok: bool, now: Time) {
        self.dialling = self.dialling.saturating_sub(1);
        if let Some(candidate) = self.known.get_mut(device) {
            candidate.dialling = false;
            if !ok {
                candidate.back_off(now);
            }
        }
    }

    /// A connection with this device has ended after `lasted`.
    pub(super) fn disconnected(&mut self, device: &DeviceId, complete: bool, lasted: Duration, now: Time) {
        if let Some(candidate) = self.known.get_mut(device) {
            candidate.complete = complete;
            if lasted >= STABLE {
                candidate.failures = 0;
            }
            candidate.back_off(now);
        }
    }

    /// When somebody has to be dialled next, if nothing changes.
    pub(super) fn next_at(&self) -> Option<Time> {
        self.known.values().filter(|candidate| !candidate.dialling).map(|candidate| candidate.next_at).min()
    }
}

impl Candidate {
    fn back_off(&mut self, now: Time) {
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.next_at = now.after(wait);
    }
}

/// Tries all addresses, each a little later than the one before; the first that is the right device wins.
pub(super) async fn dial(
    torrent: Arc<TorrentShared>,
    device: DeviceId,
    addresses: Vec<SocketAddr>,
) -> Result<Admitted, HandshakeFailed> {
    let deadline = torrent.engine.config.handshake_timeout;
    let torrent = &torrent;
    let mut attempts: FuturesUnordered<_> = (0_u32..)
        .zip(addresses)
        .map(|(index, addr)| async move {
            tokio::time::sleep(STAGGER * index).await;
            let attempt = tokio::time::timeout(deadline, handshake::dial(torrent, device, addr)).await;
            attempt.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
        })
        .collect();
    let mut last = HandshakeFailed::Io(std::io::ErrorKind::AddrNotAvailable.into());
    while let Some(result) = attempts.next().await {
        match result {
            Ok(admitted) => return Ok(admitted),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use peerage_types::{PublicKey, UserId};

    use super::*;

    fn peer(id: u8, port: u16) -> PeerAddr {
        let addresses = vec![SocketAddr::from(([127, 0, 0, 1], port))];
        PeerAddr { device: PublicKey([id; 32]), user: UserId([id; 32]), addresses }
    }

    fn due(candidates: &mut Candidates, at: u64) -> Vec<u8> {
        candidates.due(Time(at), 8, |_, complete| !complete).iter().map(|(device, _)| device.0[0]).collect()
    }

    #[test]
    fn backs_off_and_forgives() {
        let own = PublicKey([9; 32]);
        let mut candidates = Candidates::default();
        candidates.set(vec![peer(1, 1), peer(2, 1), peer(9, 1)], &own, Time(0));
        assert_eq!(due(&mut candidates, 0), [1, 2]);
        assert_eq!(due(&mut candidates, 0), []);
        candidates.dialled(&PublicKey([1; 32]), false, Time(0));
        candidates.dialled(&PublicKey([2; 32]), true, Time(0));
        candidates.disconnected(&PublicKey([2; 32]), true, Duration::ZERO, Time(0));
        assert_eq!(due(&mut candidates, 999), []);
        assert_eq!(due(&mut candidates, 1_000), [1], "2 is complete");
        candidates.dialled(&PublicKey([1; 32]), false, Time(1_000));
        assert_eq!(candidates.next_at(), Some(Time(1_000)));
        assert_eq!(due(&mut candidates, 2_999), []);
        assert_eq!(due(&mut candidates, 3_000), [1]);
        candidates.set(vec![peer(3, 1)], &own, Time(3_000));
        assert_eq!(due(&mut candidates, 3_000), [3]);
        candidates.dialled(&PublicKey([1; 32]), false, Time(3_000));
        candidates.dialled(&PublicKey([3; 32]), false, Time(3_000));
        candidates.set(vec![peer(3, 2)], &own, Time(3_100));
        assert_eq!(due(&mut candidates, 3_100), [3], "it has a new address");
    }
}
