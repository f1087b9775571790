//! Whom to connect to, and when to try again.
//!
//! Waiting is kept apart for peers and for addresses: a peer whose connection ended is left alone for a moment, an
//! address that refuses or swallows dials backs off by itself, however often somebody lists it, so that a listed
//! stranger's address is knocked at ever more rarely.

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
/// Longest wait after connections with a peer ended.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Longest wait after we were told of the peer again: whoever told us believes that it is there.
const RETRY_LISTED: Duration = Duration::from_secs(10);
/// Longest wait of one address. A tracker lists a peer that vanished for up to a minute.
const ADDRESS_RETRY_MAX: Duration = Duration::from_secs(30);
/// A connection that lasted this long counts as a success.
const STABLE: Duration = Duration::from_secs(10);
/// Attempts of one torrent at the same time.
pub(super) const DIALS_MAX: usize = 8;
/// Candidates kept per torrent.
const CANDIDATES_MAX: usize = 1_000;

/// The peers that somebody told us about.
#[derive(Debug)]
pub(super) struct Candidates {
    /// Never dialled.
    own: DeviceId,
    known: BTreeMap<DeviceId, Candidate>,
    dialling: usize,
}

#[derive(Debug)]
struct Candidate {
    addresses: Vec<Address>,
    /// Of connections that ended.
    wait: BackOff,
    dialling: bool,
    /// It had every piece when we last met.
    complete: bool,
}

#[derive(Debug)]
struct Address {
    addr: SocketAddr,
    wait: BackOff,
}

/// Failures in a row, and when to try again.
#[derive(Clone, Copy, Debug)]
struct BackOff {
    failures: u32,
    next_at: Time,
}

impl BackOff {
    fn none(now: Time) -> Self {
        Self { failures: 0, next_at: now }
    }

    fn failed(&mut self, now: Time, max: Duration) {
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(10)).min(max);
        self.failures = self.failures.saturating_add(1);
        self.next_at = now.after(wait);
    }
}

impl Candidates {
    /// Nobody yet; `own` is us.
    pub(super) fn new(own: DeviceId) -> Self {
        Self { own, known: BTreeMap::new(), dialling: 0 }
    }

    /// Replaces what is known; what was learned about those who stay is kept. A new address is tried at once.
    pub(super) fn set(&mut self, peers: Vec<PeerAddr>, now: Time) {
        let mut before = std::mem::take(&mut self.known);
        let own = self.own;
        for peer in peers.into_iter().filter(|peer| peer.device != own).take(CANDIDATES_MAX) {
            let known = before.remove(&peer.device);
            self.known.insert(peer.device, Candidate::listed(known, peer.addresses, now));
        }
        // Attempts that are under way will report.
        self.known.extend(before.into_iter().filter(|(_, candidate)| candidate.dialling));
    }

    /// One peer that asks to be dialled: it is there, so its connections that ended do not matter. Its addresses keep
    /// their waits.
    pub(super) fn add(&mut self, peer: PeerAddr, now: Time) {
        let room = self.known.len() < CANDIDATES_MAX || self.known.contains_key(&peer.device);
        if peer.device == self.own || !room {
            return;
        }
        let known = self.known.remove(&peer.device);
        let mut candidate = Candidate::listed(known, peer.addresses, now);
        candidate.wait.next_at = now;
        self.known.insert(peer.device, candidate);
    }

    /// Whom to dial now, and where: who has failed least goes first, then who has waited longest, then who is closest in
    /// a metric of our own, so that not everybody knocks at the same doors. `useful` says whether a connection would
    /// serve anything, given whether the peer was complete.
    pub(super) fn due(
        &mut self,
        now: Time,
        room: usize,
        useful: impl Fn(&DeviceId, bool) -> bool,
    ) -> Vec<(DeviceId, Vec<SocketAddr>)> {
        let room = room.min(DIALS_MAX.saturating_sub(self.dialling));
        let due = self.known.iter().filter(|(device, candidate)| {
            let ready = candidate.next_at().is_some_and(|next_at| next_at <= now);
            ready && useful(device, candidate.complete)
        });
        let own = self.own;
        let distance = |device: &DeviceId| std::array::from_fn::<u8, 32, _>(|at| device.0[at] ^ own.0[at]);
        let mut due: Vec<_> = due
            .map(|(device, candidate)| (candidate.failures(), candidate.next_at(), distance(device), *device))
            .collect();
        due.sort_unstable();
        let due: Vec<_> = due
            .into_iter()
            .take(room)
            .filter_map(|(.., device)| {
                let candidate = self.known.get_mut(&device)?;
                candidate.dialling = true;
                let ready = candidate.addresses.iter().filter(|address| address.wait.next_at <= now);
                Some((device, ready.map(|address| address.addr).collect()))
            })
            .collect();
        self.dialling += due.len();
        due
    }

    /// An attempt has ended: these addresses did not lead to the peer, or one did (`ok`).
    pub(super) fn dialled(
        &mut self,
        device: &DeviceId,
        ok: Option<SocketAddr>,
        failed: &[SocketAddr],
        now: Time,
    ) {
        self.dialling = self.dialling.saturating_sub(1);
        let Some(candidate) = self.known.get_mut(device) else { return };
        candidate.dialling = false;
        for address in &mut candidate.addresses {
            if Some(address.addr) == ok {
                address.wait = BackOff::none(now);
            } else if failed.contains(&address.addr) {
                address.wait.failed(now, ADDRESS_RETRY_MAX);
            }
        }
    }

    /// A connection with this device has ended after `lasted`.
    pub(super) fn disconnected(&mut self, device: &DeviceId, complete: bool, lasted: Duration, now: Time) {
        if let Some(candidate) = self.known.get_mut(device) {
            candidate.complete = complete;
            if lasted >= STABLE {
                candidate.wait.failures = 0;
            }
            candidate.wait.failed(now, RETRY_MAX);
        }
    }

    /// When somebody has to be dialled next, if nothing changes.
    pub(super) fn next_at(&self) -> Option<Time> {
        self.known.values().filter_map(Candidate::next_at).min()
    }
}

impl Candidate {
    /// As it is listed now, with what was known before.
    fn listed(known: Option<Self>, addresses: Vec<SocketAddr>, now: Time) -> Self {
        let fresh =
            || Self { addresses: Vec::new(), wait: BackOff::none(now), dialling: false, complete: false };
        let mut candidate = known.unwrap_or_else(fresh);
        let before = std::mem::take(&mut candidate.addresses);
        let mut moved = false;
        for addr in addresses.into_iter().take(ADDRESSES_MAX) {
            let known = before.iter().find(|address| address.addr == addr).map(|address| address.wait);
            moved |= known.is_none();
            candidate.addresses.push(Address { addr, wait: known.unwrap_or(BackOff::none(now)) });
        }
        match moved {
            true => candidate.wait = BackOff::none(now),
            false => candidate.wait.next_at = candidate.wait.next_at.min(now.after(RETRY_LISTED)),
        }
        candidate
    }

    /// How often in a row it has failed, at the address that has failed least.
    fn failures(&self) -> u32 {
        let address = self.addresses.iter().map(|address| address.wait.failures).min();
        self.wait.failures.saturating_add(address.unwrap_or(0))
    }

    /// When it may be dialled, if ever.
    fn next_at(&self) -> Option<Time> {
        let address = self.addresses.iter().map(|address| address.wait.next_at).min()?;
        (!self.dialling).then(|| address.max(self.wait.next_at))
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) result: Result<Box<Admitted>, HandshakeFailed>,
    /// Where nobody was, or somebody else.
    pub(super) failed: Vec<SocketAddr>,
}

/// Tries all addresses, each a little later than the one before; the first that is the right device wins.
pub(super) async fn dial(
    torrent: Arc<TorrentShared>,
    device: DeviceId,
    addresses: Vec<SocketAddr>,
) -> Dialled {
    let deadline = torrent.engine.config.handshake_timeout;
    let torrent = &torrent;
    let mut attempts: FuturesUnordered<_> = (0_u32..)
        .zip(addresses)
        .map(|(index, addr)| async move {
            tokio::time::sleep(STAGGER * index).await;
            let attempt = tokio::time::timeout(deadline, handshake::dial(torrent, device, addr)).await;
            let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            (addr, attempt.unwrap_or_else(late))
        })
        .collect();
    let mut failed = Vec::new();
    let mut last = HandshakeFailed::Io(std::io::ErrorKind::AddrNotAvailable.into());
    while let Some((addr, result)) = attempts.next().await {
        match result {
            Ok(admitted) => return Dialled { result: Ok(Box::new(admitted)), failed },
            Err(error) => {
                failed.push(addr);
                last = error;
            }
        }
    }
    Dialled { result: Err(last), failed }
}

#[cfg(test)]
mod tests {
    use peerage_types::{PublicKey, UserId};

    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn peer(id: u8, ports: &[u16]) -> PeerAddr {
        let addresses = ports.iter().map(|port| at(*port)).collect();
        PeerAddr { device: PublicKey([id; 32]), user: UserId([id; 32]), addresses }
    }

    fn due(candidates: &mut Candidates, now: u64) -> Vec<(u8, Vec<u16>)> {
        let due = candidates.due(Time(now), 8, |_, complete| !complete);
        let ports = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::port).collect();
        due.iter().map(|(device, addresses)| (device.0[0], ports(addresses))).collect()
    }

    const OWN: DeviceId = PublicKey([9; 32]);
    const ONE: DeviceId = PublicKey([1; 32]);
    const TWO: DeviceId = PublicKey([2; 32]);

    #[test]
    fn ended_connections_wait_and_are_forgiven() {
        let mut candidates = Candidates::new(OWN);
        candidates.set(vec![peer(1, &[1]), peer(2, &[1]), peer(9, &[1])], Time(0));
        assert_eq!(due(&mut candidates, 0), [(1, vec![1]), (2, vec![1])]);
        assert_eq!(due(&mut candidates, 0), []);
        for device in [&ONE, &TWO] {
            candidates.dialled(device, Some(at(1)), &[], Time(0));
        }
        candidates.disconnected(&ONE, false, Duration::ZERO, Time(0));
        candidates.disconnected(&TWO, true, Duration::ZERO, Time(0));
        assert_eq!(due(&mut candidates, 999), []);
        assert_eq!(due(&mut candidates, 1_000), [(1, vec![1])], "2 is complete");
        candidates.dialled(&ONE, Some(at(1)), &[], Time(1_000));
        candidates.disconnected(&ONE, false, Duration::ZERO, Time(1_000));
        assert_eq!(due(&mut candidates, 2_999), []);
        assert_eq!(due(&mut candidates, 3_000), [(1, vec![1])]);
        candidates.dialled(&ONE, Some(at(1)), &[], Time(3_000));
        candidates.disconnected(&ONE, false, STABLE, Time(3_000));
        assert_eq!(candidates.next_at(), Some(Time(1_000)), "2 may be dialled, if it were of use");
        assert_eq!(due(&mut candidates, 4_000), [(1, vec![1])], "a long connection makes good");
    }

    #[test]
    fn an_address_that_refuses_backs_off_however_often_it_is_listed() {
        let mut candidates = Candidates::new(OWN);
        let mut dialled_at = Vec::new();
        for now in (0..300_000).step_by(100) {
            if now % 2_000 == 0 {
                candidates.set(vec![peer(1, &[7])], Time(now));
            }
            if due(&mut candidates, now) == [(1, vec![7])] {
                dialled_at.push(now / 1_000);
                candidates.dialled(&ONE, None, &[at(7)], Time(now));
            }
        }
        assert_eq!(dialled_at, [0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181, 211, 241, 271]);
    }

    #[test]
    fn addresses_of_one_peer_wait_apart() {
        let mut candidates = Candidates::new(OWN);
        candidates.set(vec![peer(1, &[1, 2])], Time(0));
        assert_eq!(due(&mut candidates, 0), [(1, vec![1, 2])]);
        candidates.dialled(&ONE, Some(at(2)), &[at(1)], Time(0));
        candidates.disconnected(&ONE, false, STABLE, Time(500));
        assert_eq!(candidates.next_at(), Some(Time(1_500)));
        assert_eq!(due(&mut candidates, 1_500), [(1, vec![1, 2])]);
        candidates.dialled(&ONE, Some(at(2)), &[at(1)], Time(1_500));
        candidates.disconnected(&ONE, false, STABLE, Time(1_500));
        assert_eq!(due(&mut candidates, 2_500), [(1, vec![2])], "the other one waits two seconds");
        candidates.dialled(&ONE, None, &[at(2)], Time(2_500));
        // A new address, or being asked to, makes up for nothing but itself.
        candidates.set(vec![peer(1, &[1, 2, 3])], Time(2_600));
        assert_eq!(due(&mut candidates, 2_600), [(1, vec![3])]);
        candidates.dialled(&ONE, None, &[at(3)], Time(2_600));
        candidates.add(peer(1, &[4, 3]), Time(2_700));
        assert_eq!(due(&mut candidates, 2_700), [(1, vec![4])]);
    }

    #[test]
    fn who_fails_waits_for_those_who_have_not() {
        let mut candidates = Candidates::new(OWN);
        let many = (10..40).map(|id| peer(id, &[u16::from(id)])).collect();
        candidates.set(many, Time(0));
        let mut first = Vec::new();
        for now in 0..8 {
            let round = due(&mut candidates, now * 2_000);
            assert!(round.len() <= DIALS_MAX);
            for (id, ports) in &round {
                candidates.dialled(&PublicKey([*id; 32]), None, &[at(ports[0])], Time(now * 2_000));
            }
            first.extend(round.into_iter().map(|(id, _)| id));
        }
        let once: std::collections::BTreeSet<u8> = first.iter().take(30).copied().collect();
        assert_eq!(once.len(), 30, "nobody is dialled twice before everybody was dialled once");
        assert_eq!(first[..4], [11, 10, 13, 12], "the nearest by our own measure come first");
    }

    #[test]
    fn candidates_are_bounded() {
        let mut candidates = Candidates::new(OWN);
        let id =
            |n: usize| PublicKey(std::array::from_fn(|at| n.to_be_bytes().get(at).copied().unwrap_or(0)));
        let many = |n: usize| PeerAddr { device: id(n), user: UserId([1; 32]), addresses: vec![at(1); 9] };
        candidates.set((0..2 * CANDIDATES_MAX).map(many).collect(), Time(0));
        candidates.add(many(5 * CANDIDATES_MAX), Time(0));
        assert_eq!(candidates.known.len(), CANDIDATES_MAX);
        assert!(candidates.known.values().all(|candidate| candidate.addresses.len() == ADDRESSES_MAX));
        assert_eq!(candidates.due(Time(0), 100, |_, _| true).len(), DIALS_MAX);
    }
}
