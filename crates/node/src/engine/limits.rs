//! Rate limits: of everything together and of single groups, in both directions.
//!
//! What has no limit costs two loads of an atomic number. What has one is paid for ahead, in small portions that
//! connections reserve one after another, so that each gets its turn however many there are. The clock is passed in.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use minicbor::{Decode, Encode};
use peerage_types::limits::BLOCK_BYTES;
use peerage_types::{GroupId, Time};
use tokio::time::Sleep;

use super::buffer::lock;
use super::shared::EngineShared;

/// The lowest limit, bytes per second: a block each second. Below that requests only time out.
pub const RATE_MIN: u64 = BLOCK_BYTES as u64;
/// What was not used is made up for, but only that of so long.
const BURST: Duration = Duration::from_millis(250);
/// Portions per second, while they are neither too small nor too large.
const PORTIONS_PER_SECOND: u64 = 16;
/// The smallest and the largest portion, bytes.
const PORTION_BYTES: (u64, u64) = (BLOCK_BYTES as u64, 256 * 1024);
/// Whoever waits looks that often whether the limit is another one now.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Limits in both directions, bytes of content and protocol per second; nothing for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Rates {
    /// What is received.
    #[n(0)]
    pub down: Option<u64>,
    /// What is sent.
    #[n(1)]
    pub up: Option<u64>,
}

impl Rates {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// All limits of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RateLimits {
    /// Of everything together.
    #[n(0)]
    pub all: Rates,
    /// Of what belongs to a group, beside that.
    #[n(1)]
    pub groups: BTreeMap<GroupId, Rates>,
}

/// When bytes may move: each reservation begins where the one before ends.
#[derive(Debug, Default)]
struct Bucket {
    /// When the next one may move, microseconds.
    next_us: u64,
}

impl Bucket {
    /// When these bytes may move.
    fn reserve(&mut self, now: Time, bytes: u64, rate: u64) -> Time {
        let now_us = now.0.saturating_mul(1000);
        let burst_us = u64::try_from(BURST.as_micros()).unwrap_or(u64::MAX);
        let at_us = self.next_us.max(now_us.saturating_sub(burst_us));
        self.next_us = at_us.saturating_add(bytes.saturating_mul(1_000_000) / rate.max(1));
        Time(at_us.div_ceil(1000))
    }
}

/// A rate that never changes.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    bucket: Mutex<Bucket>,
}

impl Pace {
    /// So many bytes per second.
    pub(super) fn new(rate: u64) -> Self {
        Self { rate, bucket: Mutex::default() }
    }

    /// When these bytes may move.
    pub(super) fn reserve(&self, now: Time, bytes: u64) -> Time {
        lock(&self.bucket).reserve(now, bytes, self.rate)
    }
}

/// One limit.
#[derive(Debug, Default)]
struct Throttle {
    /// Bytes per second; 0 for none.
    rate: AtomicU64,
    bucket: Mutex<Bucket>,
}

impl Throttle {
    fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// What was reserved is void.
    fn set(&self, rate: Option<u64>) {
        let rate = rate.map_or(0, |rate| rate.max(RATE_MIN));
        if self.rate.swap(rate, Ordering::Relaxed) != rate {
            lock(&self.bucket).next_us = 0;
        }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Down,
    Up,
}

#[derive(Debug, Default)]
struct Pair {
    down: Throttle,
    up: Throttle,
}

impl Pair {
    fn set(&self, rates: Rates) {
        self.down.set(rates.down);
        self.up.set(rates.up);
    }

    fn of(&self, direction: Direction) -> &Throttle {
        match direction {
            Direction::Down => &self.down,
            Direction::Up => &self.up,
        }
    }
}

/// The limits of one engine, as its torrents see them.
#[derive(Debug, Default)]
pub(super) struct Limits {
    all: Arc<Pair>,
    groups: Mutex<BTreeMap<GroupId, Arc<Pair>>>,
    /// Counts changes.
    epoch: Arc<AtomicU64>,
}

impl Limits {
    /// From now on these. A group that is not named has none.
    pub(super) fn set(&self, limits: &RateLimits) {
        self.all.set(limits.all);
        let mut groups = lock(&self.groups);
        for group in limits.groups.keys() {
            groups.entry(*group).or_default();
        }
        for (group, pair) in groups.iter() {
            pair.set(limits.groups.get(group).copied().unwrap_or_default());
        }
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// What a torrent of this group goes by.
    pub(super) fn of(&self, group: GroupId) -> TorrentLimits {
        let of_group = Arc::clone(lock(&self.groups).entry(group).or_default());
        TorrentLimits { pairs: [Arc::clone(&self.all), of_group], epoch: Arc::clone(&self.epoch) }
    }
}

/// What one torrent goes by: limits of everything and of its group.
#[derive(Clone, Debug)]
pub(super) struct TorrentLimits {
    pairs: [Arc<Pair>; 2],
    epoch: Arc<AtomicU64>,
}

impl TorrentLimits {
    /// The lower of both limits.
    fn rate(&self, direction: Direction) -> Option<u64> {
        self.pairs.iter().filter_map(|pair| pair.of(direction).rate()).min()
    }

    /// When these bytes may move as far as both limits are concerned.
    pub(super) fn reserve(&self, now: Time, direction: Direction, bytes: u64) -> Time {
        self.pairs.iter().fold(now, |at, pair| {
            let throttle = pair.of(direction);
            throttle.rate().map_or(at, |rate| at.max(lock(&throttle.bucket).reserve(now, bytes, rate)))
        })
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

/// What one connection may move in one direction.
#[derive(Debug)]
pub(super) struct Meter {
    limits: TorrentLimits,
    direction: Direction,
    /// Paid for and not moved; below zero what was moved beyond that.
    credit: i64,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    until: Time,
    portion: i64,
    epoch: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Meter {
    /// Nothing is paid for.
    pub(super) fn new(limits: &TorrentLimits, direction: Direction) -> Self {
        Self { limits: limits.clone(), direction, credit: 0, waiting: None }
    }

    /// How many bytes may move now; `usize::MAX` without a limit. While none may, whoever polls is woken later.
    pub(super) fn poll_allowed(&mut self, cx: &mut Context<'_>, engine: &EngineShared) -> Poll<usize> {
        loop {
            if self.waiting.is_some() && self.poll_wait(cx, engine).is_pending() {
                return Poll::Pending;
            }
            let Some(rate) = self.limits.rate(self.direction) else {
                self.credit = 0;
                return Poll::Ready(usize::MAX);
            };
            if self.credit > 0 {
                return Poll::Ready(usize::try_from(self.credit).unwrap_or(usize::MAX));
            }
            let portion = (rate / PORTIONS_PER_SECOND).clamp(PORTION_BYTES.0, PORTION_BYTES.1);
            let portion = portion.saturating_add(self.credit.unsigned_abs());
            let now = engine.now();
            let until = self.limits.reserve(now, self.direction, portion);
            let portion = i64::try_from(portion).unwrap_or(i64::MAX);
            if until <= now {
                self.credit = self.credit.saturating_add(portion);
                continue;
            }
            let sleep = Box::pin(tokio::time::sleep(until.since(now).min(LOOK_EVERY)));
            self.waiting = Some(Waiting { until, portion, epoch: self.limits.epoch(), sleep });
        }
    }

    /// Ready when what was reserved may move, or the limits are others now.
    fn poll_wait(&mut self, cx: &mut Context<'_>, engine: &EngineShared) -> Poll<()> {
        while let Some(waiting) = &mut self.waiting {
            let now = engine.now();
            if waiting.epoch != self.limits.epoch() {
                (self.waiting, self.credit) = (None, 0);
            } else if now >= waiting.until {
                self.credit = self.credit.saturating_add(waiting.portion);
                self.waiting = None;
            } else if waiting.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            } else {
                waiting.sleep = Box::pin(tokio::time::sleep(waiting.until.since(now).min(LOOK_EVERY)));
            }
        }
        Poll::Ready(())
    }

    /// Whether it was said that nothing may move, and is not to be asked again before the wake-up.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// These bytes were moved.
    pub(super) fn spend(&mut self, bytes: usize) {
        if self.limits.rate(self.direction).is_some() {
            self.credit = self.credit.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What moves within ten seconds if everything reserved is moved at its time.
    fn moved(limits: &TorrentLimits, portion: u64) -> u64 {
        let (mut now, mut bytes) = (Time(5_000), 0);
        loop {
            now = now.max(limits.reserve(now, Direction::Down, portion));
            if now > Time(15_000) {
                return bytes;
            }
            bytes += portion;
        }
    }

    fn limited(all: Option<u64>, group: Option<u64>) -> TorrentLimits {
        let rates = |down| Rates { down, up: None };
        let limits = Limits::default();
        let id = GroupId([1; 32]);
        limits.set(&RateLimits { all: rates(all), groups: BTreeMap::from([(id, rates(group))]) });
        limits.of(id)
    }

    #[test]
    fn a_rate_is_held_whatever_the_portions() {
        for portion in [16 * 1024, 100_000, 256 * 1024] {
            let got = moved(&limited(Some(1 << 20), None), portion);
            assert!(got.abs_diff(10 << 20) < (10 << 20) / 20 + portion, "{portion}: {got}");
        }
    }

    #[test]
    fn the_lower_limit_counts() {
        for limits in [limited(Some(1 << 20), Some(1 << 18)), limited(Some(1 << 18), Some(1 << 20))] {
            let got = moved(&limits, 16 * 1024);
            assert!(got.abs_diff(10 << 18) < (10 << 18) / 20 + (16 << 10), "{got}");
            assert_eq!(limits.rate(Direction::Down), Some(1 << 18));
        }
        assert_eq!(limited(None, None).rate(Direction::Down), None);
        assert_eq!(limited(Some(5), None).rate(Direction::Down), Some(RATE_MIN));
    }

    #[test]
    fn what_was_not_used_is_not_kept_for_long() {
        let limits = limited(Some(1 << 20), None);
        let now = Time(3_600_000);
        let mut at_once = 0;
        while limits.reserve(now, Direction::Down, 16 << 10) <= now {
            at_once += 16 << 10;
        }
        assert!((256 << 10..=288 << 10).contains(&at_once), "{at_once}");
    }

    #[test]
    fn a_group_that_is_not_named_any_more_has_no_limit() {
        let limits = Limits::default();
        let id = GroupId([1; 32]);
        let torrent = limits.of(id);
        let up = |rate| Rates { up: Some(rate), down: None };
        limits.set(&RateLimits { all: Rates::default(), groups: BTreeMap::from([(id, up(1 << 20))]) });
        assert_eq!(torrent.rate(Direction::Up), Some(1 << 20));
        limits.set(&RateLimits::default());
        assert_eq!(torrent.rate(Direction::Up), None);
    }
}
