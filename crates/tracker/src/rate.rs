//! Token buckets: what one account or one address may ask for without proving who it is.
//!
//! Driven by the routes; time comes in as an argument. Memory is bounded: when the table is full, buckets that
//! have filled up again are dropped first (they say nothing), then all.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::RATE_BUCKETS_MAX;

/// `burst` requests at once, then one each `refill`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) refill: Duration,
}

/// One limit over many keys.
#[derive(Debug)]
pub(crate) struct RateLimit<K> {
    rate: Rate,
    /// When the bucket of this key will be full again: all that a token bucket has to remember.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> RateLimit<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, full_at: Mutex::new(HashMap::new()) }
    }

    /// Takes one token; on refusal says how long until there is one.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut table = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= RATE_BUCKETS_MAX && !table.contains_key(&key) {
            table.retain(|_, full_at| *full_at > now);
            if table.len() >= RATE_BUCKETS_MAX {
                table.clear();
            }
        }
        let full_at = table.entry(key).or_insert(now);
        let next = (*full_at).max(now) + self.rate.refill;
        let latest = now + self.rate.refill * self.rate.burst;
        if next > latest {
            return Err(next - latest);
        }
        *full_at = next;
        Ok(())
    }
}

/// The part of an address that one household or host can change at will is cut off: /64 of IPv6.
/// Loopback has no prefix: everything on this machine may ask as often as it likes.
pub(crate) fn address_prefix(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        ip if ip.is_loopback() => None,
        IpAddr::V4(v4) => Some(IpAddr::V4(v4)),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(Ipv4Addr::LOCALHOST) => None,
            Some(v4) => Some(IpAddr::V4(v4)),
            None => Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_refill() {
        let limit = RateLimit::new(Rate { burst: 3, refill: Duration::from_secs(2) });
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!((0..4).filter(|_| limit.take("a", at(0)).is_ok()).count(), 3);
        assert_eq!(limit.take("a", at(1)), Err(Duration::from_secs(1)));
        assert_eq!(limit.take("a", at(2)), Ok(()));
        assert!(limit.take("a", at(2)).is_err());
        assert_eq!(limit.take("b", at(2)), Ok(()));
        assert_eq!((0..9).filter(|_| limit.take("a", at(100)).is_ok()).count(), 3);
    }

    #[test]
    fn prefixes() {
        let prefix = |text: &str| address_prefix(text.parse().unwrap()).map(|ip| ip.to_string());
        assert_eq!(prefix("127.0.0.1"), None);
        assert_eq!(prefix("::1"), None);
        assert_eq!(prefix("::ffff:127.0.0.1"), None);
        assert_eq!(prefix("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(prefix("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
    }
}
