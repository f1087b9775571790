//! Who sent wrong data, and for how long nobody deals with them.
//!
//! Not for ever: a disk goes bad without anybody's fault, and may be repaired meanwhile. Whoever does it again is kept
//! out for longer each time, so that a poisoner gets in ever more rarely. How much wrong data one sends until the first block
//! of it is found out, nothing here bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use peerage_types::Time;

/// How long the first ban lasts.
pub const BAN_FIRST: Duration = Duration::from_secs(10 * 60);
/// Each of one device lasts so many times as long as the one before, up to `BAN_MAX`.
const BAN_FACTOR: u32 = 8;
const BAN_MAX: Duration = Duration::from_secs(24 * 3600);
/// Devices that are remembered, for one torrent. When there are more, the ban that ends first is forgotten.
const BANS_MAX: usize = 4_096;

/// The bans of one torrent; `D` is what names a device.
#[derive(Debug, Clone)]
pub struct Bans<D> {
    first: Duration,
    known: BTreeMap<D, Ban>,
}

#[derive(Debug, Clone, Copy)]
struct Ban {
    /// How often it was banned; kept when the ban is over.
    times: u32,
    since: Time,
    until: Time,
}

impl<D: Ord + Copy> Bans<D> {
    /// Nobody; the first ban of a device will last so long (usually [`BAN_FIRST`]).
    pub fn new(first: Duration) -> Self {
        Self { first, known: BTreeMap::new() }
    }

    /// `device` is not dealt with any more, because of what it did at `done`; whether it is banned now. What it did before
    /// it was banned the last time has been paid for, whenever it comes out.
    pub fn ban(&mut self, now: Time, device: D, done: Time) -> bool {
        if !self.known.contains_key(&device) && self.known.len() >= BANS_MAX {
            let soonest = self.known.iter().min_by_key(|(_, ban)| ban.until).map(|(device, _)| *device);
            soonest.map(|device| self.known.remove(&device));
        }
        let before = self.known.get(&device);
        if before.is_none_or(|ban| ban.until <= now && ban.since < done) {
            let times = before.map_or(0, |ban| ban.times);
            let length = self.first.saturating_mul(BAN_FACTOR.saturating_pow(times)).min(BAN_MAX);
            let ban = Ban { times: times.saturating_add(1), since: now, until: now.after(length) };
            self.known.insert(device, ban);
        }
        self.is_banned(now, &device)
    }

    /// Whether nothing is to do with `device` at this time.
    pub fn is_banned(&self, now: Time, device: &D) -> bool {
        self.known.get(device).is_some_and(|ban| ban.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Time {
        Time(minutes * 60_000)
    }

    #[test]
    fn each_ban_is_longer_than_the_one_before() {
        let mut bans = Bans::new(BAN_FIRST);
        assert!(!bans.is_banned(minutes(5), &1));
        let mut now = minutes(5);
        for length in [10, 80, 640, 24 * 60, 24 * 60] {
            let until = Time(now.0 + minutes(length).0);
            assert!(bans.ban(now, 1, now));
            // More of what it did before comes out.
            assert!(bans.ban(Time(until.0 - 1), 1, now));
            assert!(bans.is_banned(Time(until.0 - 1), &1) && !bans.is_banned(until, &1));
            assert!(!bans.ban(until, 1, now) && !bans.is_banned(until, &2));
            now = until;
        }
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_latest() {
        let mut bans = Bans::new(BAN_FIRST);
        bans.ban(minutes(0), usize::MAX, minutes(0));
        bans.ban(minutes(10), usize::MAX, minutes(10));
        let count = 2 * BANS_MAX;
        for device in 0..count {
            let now = Time(minutes(11).0 + device as u64);
            assert!(bans.ban(now, device, now));
        }
        assert_eq!(bans.known.len(), BANS_MAX);
        let now = Time(minutes(11).0 + count as u64);
        assert!(bans.is_banned(now, &(count - 1)) && !bans.is_banned(now, &0));
        assert!(bans.is_banned(now, &usize::MAX), "who did it twice is kept for longer");
    }
}
