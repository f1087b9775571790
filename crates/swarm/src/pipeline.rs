//! How many requests a peer may have outstanding: twice the bandwidth-delay product, measured.
//!
//! `depth = clamp(ceil(2 · rate_max_10s · service_time_min_10s / block) + 2, min, max)`, and never more than a
//! second's worth. A service time below a few slices of a busy processor counts as that much. Before anything is
//! known the depth doubles each round until the rate is flat for three. The factor 2 lets a depth-limited rate grow;
//! it also keeps one product of data queued at the other side, which would count as service time once the true minimum
//! has left the window. So every few seconds the depth is halved for two rounds, which drains that queue without
//! idling the link (compare BBR's ProbeRTT).

use std::time::Duration;

use peerage_types::Time;
use peerage_types::limits::BLOCK_BYTES;

/// How long maxima and minima are remembered, in seconds.
const WINDOW_S: usize = 10;
/// A rate is measured over at least this long: the clock counts milliseconds, and batches arrive in bursts.
const ROUND_MIN: Duration = Duration::from_millis(8);
/// Growth by less than a quarter counts as flat.
const GROWTH_NUM: u64 = 5;
const GROWTH_DEN: u64 = 4;
/// Flat rounds that end the startup.
const FLAT_ROUNDS: u8 = 3;
/// Time between two looks at the unqueued service time; below the window, so that one minimum is in it.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Rounds of a probe: one drains the queue, one measures.
const PROBE_ROUNDS: u8 = 2;

/// The least service time that a depth is made for. On both sides several threads have to run for each block, and on a busy
/// machine each gets the processor for milliseconds at a time: with less under way a fast link idles while they wait.
/// (On two cores that both sides share, 16 ms move a file a tenth faster than what was measured, 4 and 8 ms hardly.)
const SERVICE_MS_MIN: u64 = 16;

const _: () = assert!(PROBE_EVERY.as_secs() < WINDOW_S as u64);

#[derive(Debug, Clone, Copy)]
enum Phase {
    Startup { best: u64, flat: u8 },
    Steady { probe_at: Time },
    Probe { rounds_left: u8 },
}

/// One peer's pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    depth: u32,
    depth_min: u32,
    depth_max: u32,
    phase: Phase,
    round_start: Time,
    round_bytes: u64,
    last_block: Time,
    /// This round the peer had fewer requests than it could have: says nothing about its limits.
    round_starved: bool,
    window: Window,
}

impl Pipeline {
    /// `1 <= depth_min <= depth_max`.
    pub(crate) fn new(depth_min: u32, depth_max: u32) -> Self {
        let depth_max = depth_max.max(1);
        let depth_min = depth_min.clamp(1, depth_max);
        Self {
            depth: depth_min,
            depth_min,
            depth_max,
            phase: Phase::Startup { best: 0, flat: 0 },
            round_start: Time(0),
            round_bytes: 0,
            last_block: Time(0),
            round_starved: false,
            window: Window::default(),
        }
    }

    /// Requests that may be outstanding now.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// Best rate of the last seconds, bytes per second; `None` before the first round ended.
    pub(crate) fn rate_max(&self) -> Option<u64> {
        self.window.rate_max()
    }

    /// The shortest service time of the last seconds, in milliseconds: about a round trip. 0 before anything came.
    pub(crate) fn service_ms(&self) -> u64 {
        self.window.service_ms_min().unwrap_or(0)
    }

    /// Mean over the last seconds, for display.
    pub(crate) fn bytes_per_second(&self, now: Time) -> u64 {
        self.window.bytes_per_second(now)
    }

    /// Requests go out again after none were outstanding. If that was a pause, it is not part of a round. (On a
    /// fast link a small depth runs empty within one tick of the clock, which is no pause.)
    pub(crate) fn resume(&mut self, now: Time) {
        if now > self.last_block {
            self.start_round(now);
        }
    }

    /// There was nothing more to ask this peer for.
    pub(crate) fn starved(&mut self) {
        self.round_starved = true;
    }

    /// A block came that was requested at `asked_at`.
    pub(crate) fn on_block(&mut self, now: Time, asked_at: Time, bytes: u32) {
        // The clock's tick is part of what it measured.
        let service_ms = now.since(asked_at).as_millis().saturating_add(1);
        self.window.record(now, u64::from(bytes), u64::try_from(service_ms).unwrap_or(u64::MAX));
        self.round_bytes += u64::from(bytes);
        self.last_block = now;
        let elapsed = now.since(self.round_start);
        if asked_at >= self.round_start && elapsed >= ROUND_MIN {
            let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            self.end_round(now, self.round_bytes.saturating_mul(1000) / elapsed_ms);
        }
    }

    /// The peer fell silent: whatever was measured is history.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.depth_min, self.depth_max);
    }

    fn start_round(&mut self, now: Time) {
        self.round_start = now;
        self.round_bytes = 0;
        self.round_starved = false;
    }

    fn end_round(&mut self, now: Time, rate: u64) {
        self.window.record_rate(rate);
        let steady = Phase::Steady { probe_at: now.after(PROBE_EVERY) };
        match &mut self.phase {
            Phase::Startup { .. } if self.round_starved => {}
            Phase::Startup { best, flat } => {
                if rate.saturating_mul(GROWTH_DEN) > best.saturating_mul(GROWTH_NUM) {
                    (*best, *flat) = (rate, 0);
                } else {
                    *flat += 1;
                }
                if *flat >= FLAT_ROUNDS {
                    self.phase = steady;
                    self.depth = self.target();
                } else {
                    self.depth = self.depth.saturating_mul(2).min(self.ceiling());
                }
            }
            Phase::Steady { probe_at } if *probe_at <= now => {
                self.phase = Phase::Probe { rounds_left: PROBE_ROUNDS };
                self.depth = (self.target() / 2).max(self.depth_min);
            }
            Phase::Steady { .. } => self.depth = self.target(),
            Phase::Probe { rounds_left } => {
                *rounds_left -= 1;
                if *rounds_left == 0 {
                    self.phase = steady;
                    self.depth = self.target();
                }
            }
        }
        assert!((1..=self.depth_max).contains(&self.depth), "depth {} of {}", self.depth, self.depth_max);
        self.start_round(now);
    }

    fn target(&self) -> u32 {
        let (Some(rate), Some(service_ms)) = (self.window.rate_max(), self.window.service_ms_min()) else {
            return self.depth;
        };
        let bytes = 2 * u128::from(rate) * u128::from(service_ms.max(SERVICE_MS_MIN)) / 1000;
        let blocks = bytes.div_ceil(u128::from(BLOCK_BYTES)) + 2;
        u32::try_from(blocks).unwrap_or(u32::MAX).clamp(self.depth_min, self.ceiling())
    }

    /// One second of data.
    fn ceiling(&self) -> u32 {
        let blocks = self.window.rate_max().unwrap_or(u64::MAX) / u64::from(BLOCK_BYTES);
        u32::try_from(blocks).unwrap_or(u32::MAX).clamp(self.depth_min, self.depth_max)
    }
}

/// The last [`WINDOW_S`] seconds, one entry each.
#[derive(Debug, Clone, Default)]
struct Window {
    /// The second that `seconds[second % WINDOW_S]` is about.
    second: u64,
    seconds: [Second; WINDOW_S],
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    bytes: u64,
    rate_max: Option<u64>,
    service_ms_min: Option<u64>,
}

impl Window {
    fn record(&mut self, now: Time, bytes: u64, service_ms: u64) {
        let second = now.0 / 1000;
        let stale = second.saturating_sub(self.second).min(WINDOW_S as u64);
        for back in 0..stale {
            self.seconds[((second - back) % WINDOW_S as u64) as usize] = Second::default();
        }
        self.second = second.max(self.second);
        let current = self.current();
        current.bytes += bytes;
        current.service_ms_min = Some(current.service_ms_min.map_or(service_ms, |min| min.min(service_ms)));
    }

    fn record_rate(&mut self, rate: u64) {
        let current = self.current();
        current.rate_max = current.rate_max.max(Some(rate));
    }

    fn current(&mut self) -> &mut Second {
        &mut self.seconds[(self.second % WINDOW_S as u64) as usize]
    }

    fn rate_max(&self) -> Option<u64> {
        self.seconds.iter().filter_map(|s| s.rate_max).max()
    }

    fn service_ms_min(&self) -> Option<u64> {
        self.seconds.iter().filter_map(|s| s.service_ms_min).min()
    }

    /// Over the last three whole seconds and the running one.
    fn bytes_per_second(&self, now: Time) -> u64 {
        const WHOLE_S: u64 = 3;
        let now_s = now.0 / 1000;
        let recent = (0..=WHOLE_S)
            .filter_map(|back| now_s.checked_sub(back))
            .filter(|second| *second <= self.second && self.second - *second < WINDOW_S as u64);
        let bytes: u64 = recent.map(|s| self.seconds[(s % WINDOW_S as u64) as usize].bytes).sum();
        bytes.saturating_mul(1000) / (WHOLE_S * 1000 + now.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use expect_test::{Expect, expect};

    use super::*;

    /// A link that delivers `blocks_per_s` after `rtt_ms`, driven for `seconds` with a full pipeline; prints the
    /// depth at the end of each of the first ten 100 ms steps and then the extremes of the rest.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "`expect!` reads better without a reference")]
    fn check(rtt_ms: u64, blocks_per_s: u64, seconds: u64, expected: Expect) {
        let mut pipeline = Pipeline::new(4, 2000);
        let mut flying: VecDeque<(Time, u64)> = VecDeque::new();
        let (mut link_free_us, mut ramp, mut range) = (0, Vec::new(), (u32::MAX, 0));
        for ms in 0..seconds * 1000 {
            let now = Time(ms);
            while let Some(&(asked_at, _)) = flying.front().filter(|(_, due_us)| due_us / 1000 <= ms) {
                flying.pop_front();
                pipeline.on_block(now, asked_at, BLOCK_BYTES);
            }
            while (flying.len() as u32) < pipeline.depth() {
                if flying.is_empty() {
                    pipeline.resume(now);
                }
                link_free_us =
                    (ms + rtt_ms).saturating_mul(1000).max(link_free_us) + 1_000_000 / blocks_per_s;
                flying.push_back((now, link_free_us));
            }
            match ms {
                0..1000 if ms % 100 == 99 => ramp.push(pipeline.depth()),
                3000.. => range = (range.0.min(pipeline.depth()), range.1.max(pipeline.depth())),
                _ => {}
            }
        }
        expected.assert_eq(&format!("{ramp:?} then {}..={}", range.0, range.1));
    }

    #[test]
    fn depth_follows_the_link() {
        check(
            1,
            60_000,
            30,
            expect!["[2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000] then 1000..=2000"],
        );
        check(20, 5_000, 30, expect!["[64, 1024, 2000, 2000, 2000, 218, 218, 218, 218, 218] then 109..=257"]);
        check(100, 500, 60, expect!["[4, 8, 16, 32, 64, 128, 256, 256, 500, 500] then 52..=123"]);
        check(50, 2, 30, expect!["[4, 4, 4, 4, 4, 4, 4, 4, 4, 4] then 4..=4"]);
    }
}
