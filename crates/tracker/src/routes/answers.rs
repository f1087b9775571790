//! The answer to an announce, written from the presence table's entries without a copy of each peer.
//!
//! On the wire it is an [`peerage_link::api::AnnounceResponse`]; a test holds the two together. A download that asks for
//! fifty peers would otherwise cost two hundred allocations.

use std::io::{Cursor, Write as _};
use std::net::{IpAddr, SocketAddr};

use minicbor::encode::{Error, Write};
use minicbor::{Encode, Encoder};
use peerage_link::api::{ErrorCode, SwarmState};
use peerage_replica::{PresenceEntry, PresenceState};
use peerage_types::{DeviceId, UserId};

/// `[ipv6%scope]:port` at its longest.
const ADDRESS_TEXT_MAX: usize = 64;

/// The other peers of one swarm, as one caller may see them.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    entries: Vec<Peer>,
    /// Of all entries one after the other.
    addresses: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Peer {
    device: DeviceId,
    user: UserId,
    addresses: usize,
    state: SwarmState,
    percent: u8,
}

impl Peers {
    /// Loopback addresses mean something only on this machine (`local`); who is left without any is left out.
    pub(crate) fn of<'a>(entries: impl ExactSizeIterator<Item = &'a PresenceEntry>, local: bool) -> Self {
        let len = entries.len();
        let mut peers = Self { entries: Vec::with_capacity(len), addresses: Vec::with_capacity(len) };
        for entry in entries {
            let before = peers.addresses.len();
            peers.addresses.extend(entry.addresses.iter().filter(|addr| local || !is_local(addr.ip())));
            let addresses = peers.addresses.len() - before;
            let state = match entry.state {
                PresenceState::Seeding => SwarmState::Seeding,
                PresenceState::Leeching => SwarmState::Leeching,
            };
            if addresses > 0 {
                let PresenceEntry { device, user, percent, .. } = *entry;
                peers.entries.push(Peer { device, user, addresses, state, percent });
            }
        }
        peers
    }
}

pub(crate) fn is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// One answer per swarm, in the order of the request.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) answers: Vec<Result<Peers, ErrorCode>>,
    pub(crate) interval_s: u32,
}

impl<C> Encode<C> for Answers {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), Error<W::Error>> {
        e.array(2)?.array(self.answers.len() as u64)?;
        for answer in &self.answers {
            match answer {
                Ok(peers) => e.array(1)?.encode_with(peers, ctx)?,
                Err(code) => e.array(2)?.array(0)?.encode_with(code, ctx)?,
            };
        }
        e.u32(self.interval_s)?.ok()
    }
}

impl<C> Encode<C> for Peers {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), Error<W::Error>> {
        e.array(self.entries.len() as u64)?;
        let mut rest = self.addresses.iter();
        for Peer { device, user, addresses, state, percent } in &self.entries {
            e.array(5)?.encode_with(device, ctx)?.encode_with(user, ctx)?.array(*addresses as u64)?;
            for addr in rest.by_ref().take(*addresses) {
                let mut text = Cursor::new([0; ADDRESS_TEXT_MAX]);
                write!(text, "{addr}").map_err(|_| Error::message("an address without end"))?;
                let len = text.position() as usize;
                let text = std::str::from_utf8(&text.get_ref()[..len]);
                e.str(text.map_err(|_| Error::message("an address that is no text"))?)?;
            }
            e.encode_with(state, ctx)?.u8(*percent)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use peerage_link::api::{AnnounceAnswer, AnnounceResponse, PeerEntry};
    use peerage_types::{GroupId, InfoHash};

    use super::*;

    #[test]
    fn is_an_announce_response_on_the_wire() {
        let entry = |n: u8, addresses: &[&str]| PresenceEntry {
            device: DeviceId::from_slice(&[n; 32]).unwrap(),
            user: UserId([n + 1; 32]),
            group: GroupId([9; 32]),
            info_hash: InfoHash([8; 32]),
            addresses: addresses.iter().map(|addr| addr.parse().unwrap()).collect(),
            state: if n == 1 { PresenceState::Seeding } else { PresenceState::Leeching },
            percent: 100 - n,
            said: 1,
        };
        let long = "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535";
        let entries =
            [entry(1, &["10.0.0.1:7600", "127.0.0.1:7600"]), entry(2, &["[::1]:1"]), entry(3, &[long])];
        let expected = |n: usize, addresses: &[&str]| PeerEntry {
            device: entries[n].device,
            user: entries[n].user,
            addresses: addresses.iter().map(|addr| (*addr).to_owned()).collect(),
            state: if n == 0 { SwarmState::Seeding } else { SwarmState::Leeching },
            percent: entries[n].percent,
        };
        for local in [false, true] {
            let peers = match local {
                false => vec![expected(0, &["10.0.0.1:7600"]), expected(2, &[long])],
                true => vec![
                    expected(0, &["10.0.0.1:7600", "127.0.0.1:7600"]),
                    expected(1, &["[::1]:1"]),
                    expected(2, &[long]),
                ],
            };
            let refused = AnnounceAnswer { peers: Vec::new(), refused: Some(ErrorCode::NotMember) };
            let answers = vec![AnnounceAnswer { peers, refused: None }, refused];
            let ours = Answers {
                answers: vec![Ok(Peers::of(entries.iter(), local)), Err(ErrorCode::NotMember)],
                interval_s: 30,
            };
            assert_eq!(
                minicbor::to_vec(&ours).unwrap(),
                minicbor::to_vec(AnnounceResponse { answers, interval_s: 30 }).unwrap()
            );
        }
    }
}
