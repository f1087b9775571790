//! Announce, withdraw, and who is online in a group.

use std::net::SocketAddr;

use axum::extract::State;
use peerage_link::api::{
    ANNOUNCE_ITEMS_MAX, AnnounceItem, AnnounceRequest, DialBackRequest, Empty, ErrorCode, Event,
    FilePresence, GroupPresenceRequest, GroupPresenceResponse, PEERS_MAX, PeerDialBackRequest, SwarmState,
    WithdrawRequest, path,
};
use peerage_replica::{ANNOUNCE_INTERVAL, PresenceEntry, PresenceState};
use peerage_types::GroupId;
use peerage_types::limits::ADDRESSES_MAX;

use super::answers::{Answers, Peers, is_local};
use super::metainfo::require_member;
use crate::accept::Remote;
use crate::body::{Answer, Cbor};
use crate::error::Failure;
use crate::limits::{ANNOUNCE_BYTES_MAX, ANNOUNCED_INLINE_MAX, PEER_CALL_TIMEOUT};
use crate::presence_shell::tell_sessions;
use crate::session::Session;
use crate::state::{Shared, State as Tracker};

/// Takes what can be taken; an item that is refused does not hold up the others.
pub(crate) async fn announce(
    State(state): State<Shared>,
    remote: Remote,
    session: Session,
    Cbor(request): Cbor<AnnounceRequest, ANNOUNCE_BYTES_MAX>,
) -> Answer<Answers> {
    if request.items.len() > ANNOUNCE_ITEMS_MAX {
        let got = request.items.len();
        let message = format!("{got} swarms in one announce, at most {ANNOUNCE_ITEMS_MAX} are allowed");
        return Err(Failure::bad_request(message));
    }
    let local = is_local(remote.addr.ip());
    // What is in memory is answered here: a hop to another thread would cost more than a few swarms.
    let at_hand = request.items.len() <= ANNOUNCED_INLINE_MAX
        && request.items.iter().all(|item| state.views.group_at_hand(&item.group).is_some());
    let work = move |state: &Tracker| {
        let mut changed = Vec::new();
        // The group that was looked at last, if the caller is in it: items come group by group.
        let mut member_of = None;
        let answers = request.items.into_iter().map(|item| {
            let swarm = (item.group, item.info_hash);
            match take(state, &session, &mut member_of, item, request.said, local) {
                Ok((peers, news)) => {
                    changed.extend(news.then_some(swarm));
                    Ok(peers)
                }
                Err(failure) => Err(failure.0.code),
            }
        });
        let answers = answers.collect();
        Ok((answers, changed))
    };
    let (answers, changed) = match at_hand {
        true => work(&state)?,
        false => state.blocking(work).await?,
    };
    tell_sessions(&state, changed);
    let interval_s = u32::try_from(ANNOUNCE_INTERVAL.as_secs()).unwrap_or(u32::MAX);
    Ok(Cbor(Answers { answers, interval_s }))
}

fn take(
    state: &Tracker,
    session: &Session,
    member_of: &mut Option<GroupId>,
    item: AnnounceItem,
    said: u64,
    local: bool,
) -> Result<(Peers, bool), Failure> {
    if *member_of != Some(item.group) {
        require_member(state, &item.group, &session.user)?;
        *member_of = Some(item.group);
    }
    let entry = PresenceEntry {
        device: session.device,
        user: session.user,
        group: item.group,
        info_hash: item.info_hash,
        addresses: parse_addresses(&item.addresses)?,
        state: match item.state {
            SwarmState::Seeding => PresenceState::Seeding,
            SwarmState::Leeching => PresenceState::Leeching,
        },
        percent: item.percent,
        said,
    };
    let want = usize::from(item.want).min(PEERS_MAX);
    let taken = state.presence.announce(entry, want, local);
    let (changed, peers) = taken.map_err(|full| Failure::new(ErrorCode::TooMany, full.to_string()))?;
    Ok((peers, changed))
}

fn parse_addresses(texts: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    if texts.len() > ADDRESSES_MAX {
        let got = texts.len();
        return Err(Failure::bad_request(format!("{got} addresses, at most {ADDRESSES_MAX} are allowed")));
    }
    let parse = |text: &String| match text.parse::<SocketAddr>() {
        Ok(addr) if addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast() => Ok(addr),
        _ => Err(Failure::bad_request("an address that nobody can connect to; expected ip:port")),
    };
    texts.iter().map(parse).collect()
}

/// All presence of this device goes at once, here and on the other trackers.
pub(crate) async fn withdraw(
    State(state): State<Shared>,
    session: Session,
    Cbor(request): Cbor<WithdrawRequest>,
) -> Answer<Empty> {
    let gone = state.presence.withdraw(&session.device, request.said);
    tell_sessions(&state, gone);
    Ok(Cbor(Empty {}))
}

/// Passes on that one peer cannot reach another. The other trackers hear it too: one of them may have the peer's
/// event stream.
pub(crate) async fn dial_back(
    State(state): State<Shared>,
    session: Session,
    Cbor(request): Cbor<DialBackRequest>,
) -> Answer<Empty> {
    state.rates.dial_back(&session.device, &request.device)?;
    let (group, info_hash, target) = (request.group, request.info_hash, request.device);
    let caller = state.blocking(move |state| may_ask(state, &session, &request)).await?;
    let addresses: Vec<String> = caller.addresses.iter().map(ToString::to_string).collect();
    let device = session.device;
    for neighbour in state.neighbours.all() {
        let (from, addresses) = (state.tracker, addresses.clone());
        let told = PeerDialBackRequest { from, group, info_hash, target, device, addresses };
        tokio::spawn(async move {
            let told = neighbour.call::<_, Empty>(path::PEER_DIAL_BACK, &told, PEER_CALL_TIMEOUT).await;
            if let Err(error) = told {
                tracing::debug!(tracker = %neighbour.entry(), %error, "a call to dial did not get there");
            }
        });
    }
    state.notices.dial_back(target, Event::DialBack { group, info_hash, device, addresses });
    Ok(Cbor(Empty {}))
}

/// What the caller announced, if both sides are members and in the swarm.
fn may_ask(state: &Tracker, session: &Session, request: &DialBackRequest) -> Result<PresenceEntry, Failure> {
    require_member(state, &request.group, &session.user)?;
    let swarm = (request.group, request.info_hash);
    let caller = state.presence.entry(swarm, &session.device).filter(|entry| !entry.addresses.is_empty());
    let caller = caller.ok_or_else(|| {
        Failure::not_found("this device has announced no address in this swarm").hint("announce first")
    })?;
    let target = state.presence.entry(swarm, &request.device);
    let target = target
        .ok_or_else(|| Failure::not_found(format!("device {} is not in this swarm", request.device.tag())))?;
    require_member(state, &request.group, &target.user)?;
    Ok(caller)
}

/// Who is online with which content. Members only.
pub(crate) async fn of_group(
    State(state): State<Shared>,
    session: Session,
    Cbor(request): Cbor<GroupPresenceRequest>,
) -> Answer<GroupPresenceResponse> {
    let group = request.group;
    let work = move |state: &Tracker| {
        require_member(state, &group, &session.user)?;
        Ok(state.presence.swarms_of(group))
    };
    let swarms = state.blocking(work).await?;
    let files = swarms.into_iter().map(|(info_hash, summary)| FilePresence {
        info_hash,
        seeders: summary.seeders,
        leechers: summary.leechers,
        users: summary.users.into_iter().collect(),
    });
    Ok(Cbor(GroupPresenceResponse { files: files.collect() }))
}
