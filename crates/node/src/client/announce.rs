//! Tells a tracker what this device offers and where, and tells the engine where the others are.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage_link::api::{self, AnnounceItem, AnnounceResponse, SwarmState};
use peerage_types::InfoHash;
use peerage_types::limits::ADDRESSES_MAX;

use super::session::Session;
use super::trackers::TrackersError;
use crate::engine::{PeerAddr, TorrentState, TorrentStatus};

/// Peers that a download asks for.
const WANT: u16 = 50;
/// Announce again so much before the tracker forgets.
const MARGIN: Duration = Duration::from_secs(5);
/// When no tracker says how often.
const INTERVAL: Duration = Duration::from_secs(25);

/// How many peers a swarm had, and when to announce again.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    pub(super) peers: Vec<(InfoHash, usize)>,
    pub(super) again_in: Duration,
}

impl Default for Announced {
    fn default() -> Self {
        Self { peers: Vec::new(), again_in: INTERVAL }
    }
}

impl Session {
    /// Announces everything, or only some torrents, and hands the peers to the engine.
    pub(super) async fn announce(
        &self,
        only: Option<&BTreeSet<InfoHash>>,
    ) -> Result<Announced, TrackersError> {
        let _one_at_a_time = self.announcing.lock().await;
        let status = self.engine.status();
        let wanted = |s: &&TorrentStatus| only.is_none_or(|only| only.contains(&s.info_hash));
        let addresses = self.addresses().await?;
        let items: Vec<AnnounceItem> =
            status.iter().filter(wanted).filter_map(|s| item(s, &addresses)).collect();
        let mut announced = Announced::default();
        for items in items.chunks(api::ANNOUNCE_ITEMS_MAX) {
            let request = api::AnnounceRequest { items: items.to_vec(), said: self.word() };
            let answer: AnnounceResponse = self.trackers.call(api::path::ANNOUNCE, &request).await?;
            let interval = Duration::from_secs(u64::from(answer.interval_s));
            announced.again_in = announced.again_in.min(interval.saturating_sub(MARGIN).max(MARGIN));
            for (item, answer) in items.iter().zip(answer.answers) {
                if let Some(code) = answer.refused {
                    tracing::info!(torrent = ?item.info_hash, ?code, "the tracker does not list us");
                }
                let peers: Vec<PeerAddr> = answer.peers.iter().map(peer).collect();
                announced.peers.push((item.info_hash, peers.len()));
                if item.want > 0 {
                    self.engine.set_peers(item.info_hash, peers);
                }
            }
        }
        Ok(announced)
    }

    /// As [`Self::announce`] for all; a failure is left to the next turn.
    pub(super) async fn announce_now(&self) {
        if let Err(error) = self.announce(None).await {
            tracing::info!(%error, "announcing is left to the next turn");
            self.announce_soon.notify_one();
        }
    }

    /// Takes everything back and announces what there is: there is no other way to leave a single swarm.
    pub(super) async fn announce_anew(&self) {
        let withdraw = api::WithdrawRequest { said: self.word() };
        if let Err(error) = self.trackers.call::<_, api::Empty>(api::path::WITHDRAW, &withdraw).await {
            tracing::info!(%error, "presence could not be withdrawn");
        }
        self.announce_now().await;
    }

    /// The number of the next word about presence: what this device said last counts, whatever arrives last. The clock, so
    /// that it also grows from one start of the program to the next.
    pub(super) fn word(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut last = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        *last = now.max(last.saturating_add(1));
        *last
    }

    /// What this device says about one torrent, asking for so many peers.
    pub(super) async fn announce_item(
        &self,
        status: &TorrentStatus,
        want: u16,
    ) -> Result<Option<AnnounceItem>, TrackersError> {
        let addresses = self.addresses().await?;
        Ok(item(status, &addresses).map(|item| AnnounceItem { want, ..item }))
    }

    /// Where peers may reach this device, best first.
    async fn addresses(&self) -> Result<Vec<String>, TrackersError> {
        if let Some(announced) = self.announced {
            return Ok(vec![announced.to_string()]);
        }
        let listen = self.engine.local_addr();
        if !listen.ip().is_unspecified() {
            return Ok(vec![listen.to_string()]);
        }
        let conn = self.trackers.connection().await?;
        let hello: api::HelloResponse = self.trackers.call(api::path::HELLO, &api::Empty {}).await?;
        let observed = hello.observed.parse::<SocketAddr>().ok().map(|a| a.ip());
        Ok(candidates(listen, [Some(conn.local_addr().ip()), observed].into_iter().flatten()))
    }
}

/// Each address once, with the port that we listen on.
fn candidates(listen: SocketAddr, found: impl Iterator<Item = IpAddr>) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for ip in found.map(|ip| ip.to_canonical()) {
        // A socket for IPv4 only cannot be reached over IPv6.
        let reachable = !ip.is_unspecified() && (listen.is_ipv6() || ip.is_ipv4());
        let address = SocketAddr::new(ip, listen.port()).to_string();
        if reachable && !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    addresses
}

fn item(status: &TorrentStatus, addresses: &[String]) -> Option<AnnounceItem> {
    let (state, want) = match &status.state {
        TorrentState::Seeding if status.piece_map.is_full() => (SwarmState::Seeding, 0),
        TorrentState::Seeding => (SwarmState::Leeching, 0),
        TorrentState::Downloading | TorrentState::Repairing | TorrentState::Paused { .. } => {
            (SwarmState::Leeching, WANT)
        }
        TorrentState::Checking | TorrentState::Failed { .. } => return None,
    };
    Some(AnnounceItem {
        group: status.group,
        info_hash: status.info_hash,
        state,
        percent: percent(status.bytes_done, status.bytes_total),
        addresses: addresses.to_vec(),
        want,
    })
}

/// Rounded down, so that 100 means all.
pub(super) fn percent(done: u64, total: u64) -> u8 {
    if done >= total { 100 } else { u8::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(99) }
}

fn peer(entry: &api::PeerEntry) -> PeerAddr {
    PeerAddr { device: entry.device, user: entry.user, addresses: entry.socket_addrs().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_honest() {
        assert_eq!((percent(0, 0), percent(0, 3), percent(2, 3), percent(3, 3)), (100, 0, 66, 100));
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }

    #[test]
    fn addresses_are_distinct_and_reachable() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let v4 = "0.0.0.0:7600".parse().unwrap();
        let found =
            [ip("192.0.2.1"), ip("::ffff:192.0.2.1"), ip("2001:db8::1"), ip("0.0.0.0"), ip("198.51.100.7")];
        assert_eq!(candidates(v4, found.into_iter()), ["192.0.2.1:7600", "198.51.100.7:7600"]);
        let v6 = "[::]:7600".parse().unwrap();
        assert_eq!(candidates(v6, [ip("2001:db8::1")].into_iter()), ["[2001:db8::1]:7600"]);
    }
}
