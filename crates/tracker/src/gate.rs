//! Which connections there may be: two pools with caps per host and network, and who makes room for whom.
//!
//! A connection begins in the pool of unfinished ones and moves to the other with its first request. So what
//! stalls in a handshake never holds a place of those who work, and the pool of unfinished ones never turns
//! anybody away: what has stalled the most goes, and a newcomer needs only a few round trips to be through. Of those who
//! work, whoever does not take its answers makes room first, then who has been idle the longest. Driven by the accept
//! loop and by each connection; evictions reach a connection through its [`Activity`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_link::place::{Place, Range};
use tokio::time::Instant;

use crate::activity::Activity;
use crate::limits;

/// The caps of one pool.
#[derive(Clone, Copy, Debug)]
struct Caps {
    total: usize,
    per_host: usize,
    per_network: usize,
    this_machine: usize,
}

const UNFINISHED: Caps = Caps {
    total: limits::UNFINISHED_MAX,
    per_host: limits::UNFINISHED_PER_HOST_MAX,
    per_network: limits::UNFINISHED_PER_NETWORK_MAX,
    this_machine: limits::UNFINISHED_THIS_MACHINE_MAX,
};

const ESTABLISHED: Caps = Caps {
    total: limits::CONNECTIONS_MAX,
    per_host: limits::CONNECTIONS_PER_HOST_MAX,
    per_network: limits::CONNECTIONS_PER_NETWORK_MAX,
    this_machine: limits::CONNECTIONS_THIS_MACHINE_MAX,
};

/// Both pools.
#[derive(Debug)]
pub(crate) struct Gate(Mutex<Pools>);

#[derive(Debug)]
struct Pools {
    next: u64,
    unfinished: Pool,
    established: Pool,
}

impl Default for Gate {
    fn default() -> Self {
        Self::with(UNFINISHED, ESTABLISHED)
    }
}

impl Gate {
    fn with(unfinished: Caps, established: Caps) -> Self {
        let pools = Pools { next: 0, unfinished: Pool::new(unfinished), established: Pool::new(established) };
        Self(Mutex::new(pools))
    }

    /// A new connection. It always gets in; an older unfinished one may have to go for it.
    pub(crate) fn enter(self: &Arc<Self>, place: Place) -> Ticket {
        self.enter_at(place, Instant::now())
    }

    fn enter_at(self: &Arc<Self>, place: Place, now: Instant) -> Ticket {
        let activity = Arc::new(Activity::default());
        let mut pools = self.lock();
        while let Some(full) = pools.unfinished.full_for(&place) {
            let Some(stalled) = pools.unfinished.most_stalled_of(full, now) else { break };
            pools.unfinished.evict(stalled);
        }
        let id = pools.next;
        pools.next += 1;
        pools.unfinished.add(id, Member { place, since: now, activity: Arc::clone(&activity) });
        drop(pools);
        Ticket { gate: Arc::clone(self), id, activity }
    }

    /// The system has no room for one more: an unfinished one goes.
    pub(crate) fn relieve(&self) {
        let mut pools = self.lock();
        if let Some(stalled) = pools.unfinished.most_stalled_of(Full::Total, Instant::now()) {
            pools.unfinished.evict(stalled);
        }
    }

    /// How many there are: unfinished, established.
    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        let pools = self.lock();
        (pools.unfinished.members.len(), pools.established.members.len())
    }

    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in one of the pools; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    id: u64,
    pub(crate) activity: Arc<Activity>,
}

impl Ticket {
    /// The first request is here. False: there are too many connections, and none of those that count against the
    /// same cap is idle or stalls. `trusted`: a tracker of ours, whom no cap may keep out.
    pub(crate) fn establish(&self, trusted: bool) -> bool {
        if self.activity.is_established() {
            return true;
        }
        let mut pools = self.gate.lock();
        let Some(member) = pools.unfinished.remove(self.id) else {
            // Evicted at this very moment, or established by a request beside this one.
            return self.activity.is_established();
        };
        while !trusted && let Some(full) = pools.established.full_for(&member.place) {
            let Some(spare) = pools.established.most_dispensable_of(full, Instant::now()) else {
                return false;
            };
            pools.established.evict(spare);
        }
        pools.established.add(self.id, member);
        self.activity.establish();
        true
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut pools = self.gate.lock();
        if pools.unfinished.remove(self.id).is_none() {
            pools.established.remove(self.id);
        }
    }
}

/// Why there is no room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Host(Range),
    Network(Range),
    Total,
}

impl Full {
    fn counts(self, place: &Place) -> bool {
        match self {
            Self::Host(host) => place.host == host,
            Self::Network(network) => place.network == network,
            Self::Total => true,
        }
    }
}

#[derive(Debug)]
struct Member {
    place: Place,
    since: Instant,
    activity: Arc<Activity>,
}

/// Connections in the order in which they came, and how many of them are whose.
#[derive(Debug)]
struct Pool {
    caps: Caps,
    members: BTreeMap<u64, Member>,
    hosts: HashMap<Range, usize>,
    networks: HashMap<Range, usize>,
}

impl Pool {
    fn new(caps: Caps) -> Self {
        Self { caps, members: BTreeMap::new(), hosts: HashMap::new(), networks: HashMap::new() }
    }

    fn full_for(&self, place: &Place) -> Option<Full> {
        let of = |table: &HashMap<Range, usize>, key| table.get(key).copied().unwrap_or(0);
        let (per_host, per_network) = match place.is_this_machine() {
            true => (self.caps.this_machine, self.caps.this_machine),
            false => (self.caps.per_host, self.caps.per_network),
        };
        if of(&self.hosts, &place.host) >= per_host {
            return Some(Full::Host(place.host));
        }
        if of(&self.networks, &place.network) >= per_network {
            return Some(Full::Network(place.network));
        }
        (self.members.len() >= self.caps.total).then_some(Full::Total)
    }

    /// Who has stalled the most of those that count against a cap: its age, times how many its network has here. So a
    /// crowd makes room before whoever brings few, and nobody goes who has only just come while others stall.
    fn most_stalled_of(&self, full: Full, now: Instant) -> Option<u64> {
        let weight = |member: &Member| {
            let crowd = self.networks.get(&member.place.network).copied().unwrap_or(1);
            now.saturating_duration_since(member.since).as_micros() * crowd as u128
        };
        let counted = self.members.iter().filter(|(_, member)| full.counts(&member.place));
        // Of equals the first to come.
        counted.max_by_key(|(id, member)| (weight(member), std::cmp::Reverse(**id))).map(|(id, _)| *id)
    }

    /// Of those that count against a cap: who has not taken its answers, else who has gone without a request, for the
    /// longest.
    fn most_dispensable_of(&self, full: Full, now: Instant) -> Option<u64> {
        let counted = self.members.iter().filter(|(_, member)| full.counts(&member.place));
        let spare = counted.filter_map(|(id, member)| Some((member.activity.dispensable(now)?, *id)));
        spare.min().map(|(_, id)| id)
    }

    fn add(&mut self, id: u64, member: Member) {
        *self.hosts.entry(member.place.host).or_default() += 1;
        *self.networks.entry(member.place.network).or_default() += 1;
        self.members.insert(id, member);
    }

    fn remove(&mut self, id: u64) -> Option<Member> {
        let member = self.members.remove(&id)?;
        less(&mut self.hosts, member.place.host);
        less(&mut self.networks, member.place.network);
        Some(member)
    }

    fn evict(&mut self, id: u64) {
        if let Some(member) = self.remove(id) {
            member.activity.evict();
        }
    }
}

fn less(table: &mut HashMap<Range, usize>, key: Range) {
    if let Some(count) = table.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            table.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gate(total: usize, per_host: usize, per_network: usize) -> Arc<Gate> {
        let caps = Caps { total, per_host, per_network, this_machine: per_host };
        Arc::new(Gate::with(caps, caps))
    }

    fn at(text: &str) -> Place {
        Place::of(text.parse().unwrap())
    }

    fn is_evicted(ticket: &Ticket) -> bool {
        let mut evicted = std::pin::pin!(ticket.activity.evicted());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        evicted.as_mut().poll(&mut context).is_ready()
    }

    fn evicted(tickets: &[Ticket]) -> Vec<usize> {
        (0..tickets.len()).filter(|index| is_evicted(&tickets[*index])).collect()
    }

    #[test]
    fn the_oldest_of_the_same_host_makes_room_first() {
        let gate = gate(10, 2, 3);
        let from = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "198.51.100.1", "192.0.2.1", "192.0.2.3"];
        let start = Instant::now();
        let mut after = 0;
        let tickets = from.map(|from| {
            after += 1;
            gate.enter_at(at(from), start + Duration::from_millis(after))
        });
        // The third of 192.0.2.1 costs its first; the fourth of 192.0.2/24 costs its oldest.
        assert_eq!(evicted(&tickets), [0, 1]);
        assert_eq!(gate.len(), (4, 0));
        drop(tickets);
        assert_eq!(gate.len(), (0, 0));
        assert!(gate.lock().unfinished.hosts.is_empty() && gate.lock().unfinished.networks.is_empty());
    }

    #[test]
    fn what_stalls_the_most_goes_and_not_who_has_just_come() {
        let start = Instant::now();
        let ms = |ms: u64| start + Duration::from_millis(ms);
        // A crowd makes room before whoever came a little earlier, but alone.
        let pools = gate(10, 8, 8);
        let quiet = pools.enter_at(at("203.0.113.5"), ms(0));
        let crowd: Vec<_> = (0..8).map(|n| pools.enter_at(at("192.0.2.1"), ms(100 + n))).collect();
        let others: Vec<_> =
            (0..6_u64).map(|n| pools.enter_at(at(&format!("198.51.{n}.1")), ms(200 + n))).collect();
        assert_eq!((evicted(&crowd), evicted(&others).len(), pools.len()), (vec![0, 1, 2, 3, 4], 0, (10, 0)));
        assert!(!is_evicted(&quiet));
        // Many who come alone and stall: two at once from one place are not the crowd.
        let pools = gate(10, 8, 8);
        let stalled: Vec<_> =
            (0..10_u64).map(|n| pools.enter_at(at(&format!("198.51.{n}.1")), ms(n))).collect();
        let honest: Vec<_> = (0..3).map(|_| pools.enter_at(at("203.0.113.5"), ms(1_000))).collect();
        assert_eq!((evicted(&stalled), evicted(&honest).len()), (vec![0, 1, 2], 0));
    }

    #[test]
    fn what_stalls_holds_no_place_of_those_who_work() {
        let gate = gate(4, 4, 4);
        let working: Vec<_> = (0..4).map(|n| gate.enter(at(&format!("198.51.{n}.1")))).collect();
        assert!(working.iter().all(|ticket| ticket.establish(false)));
        let mut busy: Vec<_> = working.iter().map(|ticket| ticket.activity.begin()).collect();
        let stalled: Vec<_> = (0..100).map(|n| gate.enter(at(&format!("192.0.{n}.1")))).collect();
        assert_eq!((evicted(&working).len(), evicted(&stalled).len(), gate.len()), (0, 96, (4, 4)));
        // All work: a newcomer is told so, and may try another tracker.
        let newcomer = gate.enter(at("203.0.113.5"));
        assert!(!newcomer.establish(false));
        assert!(gate.enter(at("203.0.113.6")).establish(true), "a tracker of ours always gets in");
        // The second has nothing to do any more.
        drop(busy.remove(1));
        let newcomer = gate.enter(at("203.0.113.5"));
        assert!(newcomer.establish(false) && newcomer.establish(false));
        assert_eq!(evicted(&working), [1]);
    }
}
