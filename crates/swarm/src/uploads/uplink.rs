//! Slots whose receivers take little: others may have them besides, so that the uplink is never idle.
//!
//! With four slots each gets about a quarter of the uplink. Whoever gets less than a quarter of *that* while others wait
//! is held up by its own line and not by ours, and its slot does not count any more until its turn ends. At most
//! [`Limits::upload_slots_max`](crate::Limits) peers are served at the same time.

use std::time::Duration;

use peerage_types::Time;

use super::Turn;
use crate::engine::Swarm;
use crate::peers::Slot;
use crate::timers::Timer;

/// Shorter than this says nothing: requests and blocks come in bursts, and the shell tells what left four times a second.
const LOOK_AFTER_MIN: Duration = Duration::from_secs(1);
/// How many times as long as its share would take.
const LOOK_AFTER_SHARES: u64 = 2;
/// Whoever takes less than its fair part divided by this is slow.
const SLOW_PARTS: u64 = 4;

/// The best second of all that was sent, decaying: what the uplink can do.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    second: u64,
    bytes: u64,
    best: u64,
    /// What it may send.
    limit: Option<u64>,
}

impl Uplink {
    fn sent(&mut self, now: Time, bytes: u64) {
        let second = now.0 / 1000;
        if second > self.second {
            self.best = self.bytes.max(self.best - self.best / 64);
            (self.second, self.bytes) = (second, 0);
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// What was sent before says nothing about what may be sent from now on.
    pub(crate) fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// Bytes per second; 0 before anything is known.
    fn rate(&self) -> u64 {
        self.limit.map_or(self.best, |limit| self.best.min(limit))
    }
}

impl Swarm {
    /// Bytes have left for somebody.
    pub(crate) fn count_uplink(&mut self, bytes: u64) {
        self.uplink.sent(self.now, bytes);
    }

    /// A turn begins, or is looked at again later.
    pub(crate) fn watch_turn(&mut self, slot: Slot) {
        let share =
            self.share_bytes() * u64::from(self.limits.upload_slots.min(1 << 12)) * LOOK_AFTER_SHARES * 1000;
        let upload = &mut self.peers[slot].upload;
        (upload.sent_before, upload.look_from) = (upload.sent_bytes, self.now);
        let rate = self.uplink.rate();
        let wait = Duration::from_millis(share.checked_div(rate).unwrap_or(0)).max(LOOK_AFTER_MIN);
        upload.look_at = (!upload.slow).then(|| self.now.after(wait));
        if let Some(at) = upload.look_at {
            self.arm(Timer::Peer(slot), at);
        }
    }

    /// Whether its share of the uplink is wasted on this peer.
    pub(crate) fn turn_is_slow(&mut self, slot: Slot) {
        let (rate, slots, crowded) = (self.uplink.rate(), self.limits.upload_slots.max(1), self.is_crowded());
        let upload = &mut self.peers[slot].upload;
        if upload.turn == Turn::Waiting || upload.look_at.is_none_or(|at| at > self.now) {
            return;
        }
        let elapsed_ms = u64::try_from(self.now.since(upload.look_from).as_millis()).unwrap_or(u64::MAX);
        let fair = rate.saturating_mul(elapsed_ms) / 1000 / u64::from(slots);
        upload.slow = crowded && (upload.sent_bytes - upload.sent_before).saturating_mul(SLOW_PARTS) < fair;
        let slow = upload.slow;
        self.watch_turn(slot);
        if slow {
            self.list_upload(slot);
            self.assign_slots();
        }
    }

    /// Whether one more peer may be served.
    pub(crate) fn has_free_slot(&self) -> bool {
        let busy = self.queue.busy();
        let most = self.limits.upload_slots_max.max(self.limits.upload_slots);
        busy - self.queue.slow() < self.limits.upload_slots && busy < most
    }

    /// What a peer should get within its part of the time.
    fn share_bytes(&self) -> u64 {
        self.limits.upload_turn_bytes.max(u64::from(self.layout.piece_length())).min(1 << 40)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_uplink_can_do_is_what_it_did_but_not_more_than_it_may() {
        let mut uplink = Uplink::default();
        (0..=10).for_each(|second| uplink.sent(Time(second * 1_000), 1_000_000));
        assert_eq!(uplink.rate(), 1_000_000);
        uplink.set_limit(Some(50_000));
        assert_eq!(uplink.rate(), 50_000, "at once, not when the best second has decayed");
        (11..=13).for_each(|second| uplink.sent(Time(second * 1_000), 50_000));
        assert_eq!(uplink.rate(), 50_000);
        uplink.set_limit(None);
        assert!(uplink.rate() > 900_000, "nor is the line forgotten");
    }
}
