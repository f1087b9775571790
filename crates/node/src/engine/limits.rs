//! Rate limits: of everything together and of single groups, in both directions.
//!
//! What has no limit costs two loads of an atomic number. What has one is paid for ahead, in small portions that
//! connections reserve one after another, so that each gets its turn however many there are. The clock is passed in.

#[cfg(test)]
mod tests;

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
/// The largest portion, bytes, and the smallest: up a block, which is sent as a whole; down less, so that even with the
/// lowest limit a thousand connections are read from once a minute, before their other sides give them up as stuck.
const PORTION_BYTES_MAX: u64 = 256 * 1024;
const PORTION_UP_BYTES_MIN: u64 = BLOCK_BYTES as u64;
const PORTION_DOWN_BYTES_MIN: u64 = 1024;
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
    /// Counts changes of the rate: what was reserved before one is void.
    generation: u64,
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

    /// So many bytes less were moved than were reserved; more if it is below zero.
    fn settle(&mut self, bytes: i64, rate: u64) {
        let us = bytes.unsigned_abs().saturating_mul(1_000_000) / rate.max(1);
        self.next_us = match bytes > 0 {
            true => self.next_us.saturating_sub(us),
            false => self.next_us.saturating_add(us),
        };
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

    /// What was reserved is void if this is another rate; whether it is.
    fn set(&self, rate: Option<u64>) -> bool {
        let rate = rate.map_or(0, |rate| rate.max(RATE_MIN));
        let mut bucket = lock(&self.bucket);
        let changed = self.rate.swap(rate, Ordering::Relaxed) != rate;
        if changed {
            *bucket = Bucket { next_us: 0, generation: bucket.generation + 1 };
        }
        changed
    }

    /// When these bytes may move, and to which rate that belongs.
    fn reserve(&self, now: Time, bytes: u64) -> (Time, u64) {
        let mut bucket = lock(&self.bucket);
        let at = self.rate().map_or(now, |rate| bucket.reserve(now, bytes, rate));
        (at, bucket.generation)
    }

    /// See [`Bucket::settle`]; nothing if the rate is another one than when it was reserved.
    fn settle(&self, bytes: i64, generation: u64) {
        let mut bucket = lock(&self.bucket);
        if let Some(rate) = self.rate().filter(|_| bucket.generation == generation) {
            bucket.settle(bytes, rate);
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
    /// Whether that changed anything.
    fn set(&self, rates: Rates) -> bool {
        let down = self.down.set(rates.down);
        self.up.set(rates.up) || down
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
        let mut changed = self.all.set(limits.all);
        let mut groups = lock(&self.groups);
        for group in limits.groups.keys() {
            groups.entry(*group).or_default();
        }
        for (group, pair) in groups.iter() {
            changed |= pair.set(limits.groups.get(group).copied().unwrap_or_default());
        }
        if changed {
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// What a torrent of this group goes by.
    pub(super) fn of(&self, group: GroupId) -> TorrentLimits {
        let of_group = Arc::clone(lock(&self.groups).entry(group).or_default());
        TorrentLimits { pairs: [Arc::clone(&self.all), of_group], epoch: Arc::clone(&self.epoch) }
    }
}

/// To which rates a reservation belongs: that of everything and that of the group.
type Generations = [u64; 2];

/// What one torrent goes by: limits of everything and of its group.
#[derive(Clone, Debug)]
pub(super) struct TorrentLimits {
    pairs: [Arc<Pair>; 2],
    epoch: Arc<AtomicU64>,
}

impl TorrentLimits {
    /// The lower of both limits.
    pub(super) fn rate(&self, direction: Direction) -> Option<u64> {
        self.pairs.iter().filter_map(|pair| pair.of(direction).rate()).min()
    }

    /// When these bytes may move as far as both limits are concerned, and to which rates that belongs.
    pub(super) fn reserve(&self, now: Time, direction: Direction, bytes: u64) -> (Time, Generations) {
        let [all, group] = self.pairs.each_ref().map(|pair| pair.of(direction).reserve(now, bytes));
        (now.max(all.0).max(group.0), [all.1, group.1])
    }

    /// So many bytes less were moved than were reserved; more if it is below zero.
    fn settle(&self, direction: Direction, bytes: i64, of: Generations) {
        for (pair, generation) in self.pairs.iter().zip(of) {
            pair.of(direction).settle(bytes, generation);
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

/// What one connection may move in one direction. What it has reserved and not moved when it ends, or when a limit
/// changes, is given back: others wait for it.
#[derive(Debug)]
pub(super) struct Meter {
    limits: TorrentLimits,
    direction: Direction,
    /// Reserved, allowed and not moved; below zero what was moved beyond that.
    credit: i64,
    waiting: Option<Waiting>,
    /// What both were reserved under.
    epoch: u64,
    of: Generations,
}

#[derive(Debug)]
struct Waiting {
    until: Time,
    portion: i64,
    sleep: Pin<Box<Sleep>>,
}

impl Meter {
    /// Nothing is reserved.
    pub(super) fn new(limits: &TorrentLimits, direction: Direction) -> Self {
        let epoch = limits.epoch();
        Self { limits: limits.clone(), direction, credit: 0, waiting: None, epoch, of: [0; 2] }
    }

    /// How many bytes may move now; `usize::MAX` without a limit. While none may, whoever polls is woken later.
    pub(super) fn poll_allowed(&mut self, cx: &mut Context<'_>, engine: &EngineShared) -> Poll<usize> {
        loop {
            if self.waiting.is_some() && self.poll_wait(cx, engine).is_pending() {
                return Poll::Pending;
            }
            let Some(rate) = self.limits.rate(self.direction) else {
                self.settle();
                return Poll::Ready(usize::MAX);
            };
            self.notice_change();
            if self.credit > 0 {
                return Poll::Ready(usize::try_from(self.credit).unwrap_or(usize::MAX));
            }
            let now = engine.now();
            let (until, portion) = self.reserve(now, rate);
            if until <= now {
                self.credit = self.credit.saturating_add(portion);
                continue;
            }
            let sleep = Box::pin(tokio::time::sleep(until.since(now).min(LOOK_EVERY)));
            self.waiting = Some(Waiting { until, portion, sleep });
        }
    }

    /// The next portion, and what was moved beyond the one before: when it may move.
    fn reserve(&mut self, now: Time, rate: u64) -> (Time, i64) {
        let least = match self.direction {
            Direction::Down => PORTION_DOWN_BYTES_MIN,
            Direction::Up => PORTION_UP_BYTES_MIN,
        };
        let portion = (rate / PORTIONS_PER_SECOND).clamp(least, PORTION_BYTES_MAX);
        let portion = portion.saturating_add(self.credit.min(0).unsigned_abs());
        let (until, of) = self.limits.reserve(now, self.direction, portion);
        self.of = of;
        (until, i64::try_from(portion).unwrap_or(i64::MAX))
    }

    /// Ready when what was reserved may move, or the limits are others now.
    fn poll_wait(&mut self, cx: &mut Context<'_>, engine: &EngineShared) -> Poll<()> {
        self.notice_change();
        while let Some(waiting) = &mut self.waiting {
            let now = engine.now();
            if now >= waiting.until {
                self.credit = self.credit.saturating_add(waiting.portion);
                self.waiting = None;
            } else if waiting.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            } else {
                waiting.sleep = Box::pin(tokio::time::sleep(waiting.until.since(now).min(LOOK_EVERY)));
                self.notice_change();
            }
        }
        Poll::Ready(())
    }

    /// If limits have changed, what was reserved under those that have not is given back.
    fn notice_change(&mut self) {
        let epoch = self.limits.epoch();
        if std::mem::replace(&mut self.epoch, epoch) != epoch {
            self.settle();
        }
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

    fn settle(&mut self) {
        // A portion that was waited for covers what was moved beyond the one before.
        let waiting = self.waiting.take().map_or(0, |waiting| waiting.portion);
        let left = std::mem::take(&mut self.credit).saturating_add(waiting);
        if left != 0 {
            self.limits.settle(self.direction, left, self.of);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.settle();
    }
}
