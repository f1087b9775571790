//! Rate limits: what may be asked for without proving who one is.
//!
//! Driven by the accept loop and the routes. The counting is `governor`'s (GCRA, one number per key, the monotonic
//! clock); what is bounded here is how many keys it remembers. When the table is full, keys that are back at their
//! full budget are dropped first (they say nothing); if that is not enough all begin anew, because a limit
//! that turned newcomers away would be the stranger's tool.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use peerage_link::place::{Place, Range};
use peerage_types::{DeviceId, UserId};

use crate::accept::Remote;
use crate::error::Failure;
use crate::limits::{self, KNOWN_PLACES_MAX, RATE_KEYS_MAX, Rate};

type Limiter<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// One limit over many keys.
#[derive(Debug)]
pub(crate) struct RateLimit<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    quota: Quota,
    clock: C,
    keys_max: usize,
    limiter: RwLock<Limiter<K, C>>,
}

impl<K: Hash + Eq + Clone> RateLimit<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self::with_clock(rate, MonotonicClock, RATE_KEYS_MAX)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> RateLimit<K, C> {
    fn with_clock(rate: Rate, clock: C, keys_max: usize) -> Self {
        let quota = rate.quota();
        let limiter = RwLock::new(RateLimiter::hashmap_with_clock(quota, clock.clone()));
        Self { quota, clock, keys_max, limiter }
    }

    /// Takes one; on refusal says how long until there is one.
    pub(crate) fn take(&self, key: &K) -> Result<(), Duration> {
        self.make_room();
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        limiter.check_key(key).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    fn make_room(&self) {
        if self.keys() < self.keys_max {
            return;
        }
        let mut limiter = self.limiter.write().unwrap_or_else(PoisonError::into_inner);
        limiter.retain_recent();
        // Half full at least, so that the next sweep is as many new keys away.
        if limiter.len() > self.keys_max / 2 {
            *limiter = RateLimiter::hashmap_with_clock(self.quota, self.clock.clone());
        }
    }

    /// Keys that are remembered.
    fn keys(&self) -> usize {
        self.limiter.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// One limit per host, a wider one per network, and one for this very machine.
#[derive(Debug)]
pub(crate) struct PlaceLimit {
    host: RateLimit<Range>,
    network: RateLimit<Range>,
    this_machine: RateLimit<()>,
}

impl PlaceLimit {
    fn new(host: Rate, network: Rate, this_machine: Rate) -> Self {
        Self {
            host: RateLimit::new(host),
            network: RateLimit::new(network),
            this_machine: RateLimit::new(this_machine),
        }
    }

    pub(crate) fn take(&self, place: &Place) -> Result<(), Duration> {
        if place.is_this_machine() {
            return self.this_machine.take(&());
        }
        self.host.take(&place.host)?;
        self.network.take(&place.network)
    }
}

/// Everything that is limited in rate.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Connections, before anything is read from them.
    pub(crate) connections: PlaceLimit,
    /// Bundles: a node that resends its whole outbox stays below.
    bundles: PlaceLimit,
    /// Names looked up, and groups listed without a session.
    lookups: PlaceLimit,
    /// Accounts created.
    registrations: PlaceLimit,
    /// Password attempts for all accounts.
    attempts: PlaceLimit,
    /// Password attempts for one account from one host.
    attempts_of_host: RateLimit<(UserId, Range)>,
    /// The same from this machine.
    attempts_of_this_machine: RateLimit<UserId>,
    /// A few attempts for one account from each network, whatever goes on elsewhere.
    attempts_first: RateLimit<(UserId, Range)>,
    /// Further attempts for one account from all networks in which its owner is not known.
    attempts_of_strangers: RateLimit<UserId>,
    /// Calls to dial by one device, and to one other by it.
    dial_backs: RateLimit<DeviceId>,
    dial_backs_of_pair: RateLimit<(DeviceId, DeviceId)>,
    /// Questions whether a port can be reached, by one device, and from one place.
    reaches: RateLimit<DeviceId>,
    reaches_of_place: PlaceLimit,
    known: KnownPlaces,
}

impl Default for Rates {
    fn default() -> Self {
        use limits::rates::*;
        Self {
            connections: PlaceLimit::new(CONNECTIONS_HOST, CONNECTIONS_NETWORK, CONNECTIONS_THIS_MACHINE),
            bundles: PlaceLimit::new(BUNDLES_HOST, BUNDLES_NETWORK, BUNDLES_THIS_MACHINE),
            lookups: PlaceLimit::new(LOOKUPS_HOST, LOOKUPS_NETWORK, LOOKUPS_THIS_MACHINE),
            registrations: PlaceLimit::new(
                REGISTRATIONS_HOST,
                REGISTRATIONS_NETWORK,
                REGISTRATIONS_THIS_MACHINE,
            ),
            attempts: PlaceLimit::new(ATTEMPTS_HOST, ATTEMPTS_NETWORK, ATTEMPTS_THIS_MACHINE),
            attempts_of_host: RateLimit::new(ACCOUNT_ATTEMPTS_HOST),
            attempts_of_this_machine: RateLimit::new(ACCOUNT_ATTEMPTS_THIS_MACHINE),
            attempts_first: RateLimit::new(ACCOUNT_ATTEMPTS_FIRST),
            attempts_of_strangers: RateLimit::new(ACCOUNT_ATTEMPTS_STRANGERS),
            dial_backs: RateLimit::new(DIAL_BACKS),
            dial_backs_of_pair: RateLimit::new(DIAL_BACKS_PAIR),
            reaches: RateLimit::new(REACHES),
            reaches_of_place: PlaceLimit::new(REACHES_HOST, REACHES_NETWORK, REACHES_THIS_MACHINE),
            known: KnownPlaces::default(),
        }
    }
}

impl Rates {
    /// A device of this account has a session: its owner is known in this network from now on.
    pub(crate) fn session(&self, remote: &Remote, user: &UserId) {
        self.known.add(*user, Place::of(remote.addr.ip()).network);
    }

    /// Takes what one password attempt costs. Where the account's owner is known, no stranger elsewhere can use up
    /// what the owner needs. Anywhere else the first attempts of each network are the network's own, so that an
    /// owner who travels is not locked out either; only further ones share a budget.
    pub(crate) fn attempt(&self, remote: &Remote, user: &UserId) -> Result<(), Failure> {
        self.try_attempt(&Place::of(remote.addr.ip()), user).map_err(Failure::rate_limited)
    }

    fn try_attempt(&self, place: &Place, user: &UserId) -> Result<(), Duration> {
        self.attempts.take(place)?;
        if place.is_this_machine() {
            return self.attempts_of_this_machine.take(user);
        }
        self.attempts_of_host.take(&(*user, place.host))?;
        let known = self.known.has(user, &place.network);
        if known || self.attempts_first.take(&(*user, place.network)).is_ok() {
            return Ok(());
        }
        self.attempts_of_strangers.take(user)
    }

    /// Takes what the first half of a registration costs.
    pub(crate) fn registration_begun(&self, remote: &Remote) -> Result<(), Failure> {
        self.attempts.take(&Place::of(remote.addr.ip())).map_err(Failure::rate_limited)
    }

    /// Takes what a new account costs.
    pub(crate) fn registration(&self, remote: &Remote) -> Result<(), Failure> {
        self.registrations.take(&Place::of(remote.addr.ip())).map_err(Failure::rate_limited)
    }

    /// Takes what one lookup without a session costs.
    pub(crate) fn lookup(&self, remote: &Remote) -> Result<(), Failure> {
        self.lookups.take(&Place::of(remote.addr.ip())).map_err(Failure::rate_limited)
    }

    /// Takes what one call to dial costs.
    pub(crate) fn dial_back(&self, device: &DeviceId, target: &DeviceId) -> Result<(), Failure> {
        self.dial_backs_of_pair.take(&(*device, *target)).map_err(Failure::rate_limited)?;
        self.dial_backs.take(device).map_err(Failure::rate_limited)
    }

    /// A device asks whether its port can be reached.
    pub(crate) fn reach(&self, remote: &Remote, device: &DeviceId) -> Result<(), Failure> {
        self.reaches.take(device).map_err(Failure::rate_limited)?;
        self.reaches_of_place.take(&Place::of(remote.addr.ip())).map_err(Failure::rate_limited)
    }

    /// Takes what one bundle costs.
    pub(crate) fn bundle(&self, remote: &Remote) -> Result<(), Failure> {
        self.bundles.take(&Place::of(remote.addr.ip())).map_err(Failure::rate_limited)
    }
}

/// In which networks the devices of accounts had sessions since the tracker started. Never written down.
#[derive(Debug, Default)]
struct KnownPlaces(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    places: HashSet<(UserId, Range)>,
    /// The same, oldest first: it goes when there are too many.
    order: VecDeque<(UserId, Range)>,
}

impl KnownPlaces {
    fn has(&self, user: &UserId, network: &Range) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).places.contains(&(*user, *network))
    }

    fn add(&self, user: UserId, network: Range) {
        if self.has(&user, &network) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.places.insert((user, network)) {
            known.order.push_back((user, network));
        }
        if known.order.len() > KNOWN_PLACES_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.places.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn place(text: &str) -> Place {
        Place::of(text.parse().unwrap())
    }

    const ADA: UserId = UserId([1; 32]);

    #[test]
    fn burst_then_refill() {
        let clock = FakeRelativeClock::default();
        let rate = Rate { burst: 3, refill: Duration::from_secs(2) };
        let limit = RateLimit::with_clock(rate, clock.clone(), 100);
        assert_eq!((0..4).filter(|_| limit.take(&"a").is_ok()).count(), 3);
        clock.advance(Duration::from_secs(1));
        assert_eq!(limit.take(&"a"), Err(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(limit.take(&"a"), Ok(()));
        assert!(limit.take(&"a").is_err());
        assert_eq!(limit.take(&"b"), Ok(()));
        clock.advance(Duration::from_secs(100));
        assert_eq!((0..9).filter(|_| limit.take(&"a").is_ok()).count(), 3);
    }

    #[test]
    fn memory_is_bounded_and_newcomers_get_in() {
        let clock = FakeRelativeClock::default();
        let rate = Rate { burst: 1, refill: Duration::from_secs(1) };
        let limit = RateLimit::with_clock(rate, clock.clone(), 64);
        for key in 0..10_000 {
            assert_eq!(limit.take(&key), Ok(()), "{key}");
            assert!(limit.keys() <= 64);
        }
        // Those that are back at their full budget go first: the others keep what they have used.
        let limit = RateLimit::with_clock(rate, clock.clone(), 64);
        assert!((0..48).all(|key| limit.take(&key).is_ok()));
        clock.advance(Duration::from_secs(10));
        assert!((100..116).all(|key| limit.take(&key).is_ok()));
        assert_eq!(limit.take(&999), Ok(()));
        assert!(limit.take(&100).is_err() && limit.keys() == 17);
    }

    #[test]
    fn strangers_lock_nobody_out() {
        let rates = Rates::default();
        rates.known.add(ADA, place("192.0.2.1").network);
        // 500 strangers with as many attempts as they like.
        for number in 0..500_u32 {
            let [_, high, low, _] = (number * 256).to_be_bytes();
            let stranger = place(&format!("198.{high}.{low}.7"));
            assert!((0..50).any(|_| rates.try_attempt(&stranger, &ADA).is_err()));
        }
        assert!(rates.attempts_of_strangers.take(&ADA).is_err(), "they have used it up");
        let attempts = |from: &str| (0..20).filter(|_| rates.try_attempt(&place(from), &ADA).is_ok()).count();
        assert_eq!(attempts("192.0.2.99"), 20, "at home");
        assert_eq!(attempts("203.0.113.9"), limits::rates::ACCOUNT_ATTEMPTS_FIRST.burst as usize, "away");
        assert_eq!(attempts("127.0.0.1"), 20, "on the tracker's machine");
        assert!(rates.try_attempt(&place("198.0.0.7"), &UserId([2; 32])).is_ok(), "another account");
    }

    #[test]
    fn one_host_is_slowed_and_one_network_too() {
        let rates = Rates::default();
        let allowed = |from: &dyn Fn(u32) -> String, times: u32| {
            let user = |n: u32| UserId([u8::try_from(n % 251).unwrap(); 32]);
            (0..times).filter(|n| rates.try_attempt(&place(&from(*n)), &user(*n)).is_ok()).count() as u32
        };
        let (host, network) = (limits::rates::ATTEMPTS_HOST.burst, limits::rates::ATTEMPTS_NETWORK.burst);
        let got = allowed(&|_| "192.0.2.1".to_owned(), 2 * host);
        assert!((host..host + 50).contains(&got), "{got}");
        let got = allowed(&|n| format!("2001:db8:5:{:x}::1", n % 200), 2 * network);
        assert!((network..network + 200).contains(&got), "{got}");
    }

    #[test]
    fn known_places_are_bounded() {
        let known = KnownPlaces::default();
        let network = place("192.0.2.1").network;
        let user = |n: usize| UserId(*blake3::hash(&n.to_be_bytes()).as_bytes());
        (0..=KNOWN_PLACES_MAX).for_each(|n| known.add(user(n), network));
        assert!(!known.has(&user(0), &network) && known.has(&user(1), &network));
        assert_eq!(known.0.read().unwrap().places.len(), KNOWN_PLACES_MAX);
    }
}
