//! What happens by itself after a while: peers that fall silent, refusals and turns that end, the choker's rounds.
//!
//! Deadlines are ordered in time, one for each peer: the earliest of its own. Blocks only move deadlines back, so
//! nothing is touched when they arrive; when a timer comes too early it is set anew, which happens at most once per
//! deadline. A timeout costs what is due, however many peers there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerage_types::Time;

use crate::api::Output;
use crate::engine::Swarm;
use crate::events::Answer;
use crate::peers::Slot;

/// What a timer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The earliest deadline of one peer.
    Peer(Slot),
    /// Standard clients are compared with each other.
    Rechoke,
    /// Whether we have stayed long enough after the last piece.
    Dwell,
}

/// At most one deadline for each timer; never later than the true one.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Time, Timer)>,
    armed: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Makes sure that `timer` comes not later than `at`.
    pub(crate) fn arm(&mut self, timer: Timer, at: Time) {
        let known = self.armed.entry(timer).or_insert(Time(u64::MAX));
        if *known > at {
            self.due.remove(&(*known, timer));
            self.due.insert((at, timer));
            *known = at;
        }
    }

    pub(crate) fn disarm(&mut self, timer: Timer) {
        if let Some(at) = self.armed.remove(&timer) {
            self.due.remove(&(at, timer));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// When `timer` comes.
    pub(crate) fn at(&self, timer: Timer) -> Option<Time> {
        self.armed.get(&timer).copied()
    }

    fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let (_, timer) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.disarm(timer);
        Some(timer)
    }
}

impl Swarm {
    pub(crate) fn timeout(&mut self) {
        // Whatever is armed meanwhile comes later than now, so this ends.
        while let Some(timer) = self.timers.pop_due(self.now) {
            self.work.timers += 1;
            match timer {
                Timer::Peer(slot) => self.peer_due(slot),
                Timer::Rechoke => self.rechoke(),
                Timer::Dwell => self.dwell_due(),
            }
        }
    }

    fn peer_due(&mut self, slot: Slot) {
        let peer = &mut self.peers[slot];
        if peer.refused_until.is_some_and(|until| until <= self.now) {
            peer.forget_refusals();
            self.wake(slot);
        }
        let peer = &mut self.peers[slot];
        if peer.rests_until.is_some_and(|until| until <= self.now) {
            peer.rests_until = None;
            self.wake(slot);
        }
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= self.now);
        let peer = &self.peers[slot];
        if is_due(peer.silent_at(&self.limits)) {
            self.snub(slot);
        } else if is_due(peer.stale_at(&self.limits)) {
            self.give_up_stale(slot);
        }
        self.turn_is_slow(slot);
        self.upload_timeout(slot);
        if let Some(at) = self.peers[slot].deadline(&self.limits) {
            self.arm(Timer::Peer(slot), at);
        }
    }

    /// Makes sure that a timeout comes not later than `at`, but later than now.
    pub(crate) fn arm(&mut self, timer: Timer, at: Time) {
        self.timers.arm(timer, at.max(self.now.after(Duration::from_millis(1))));
    }

    /// Queues the peer if it could be asked for more.
    pub(crate) fn wake(&mut self, slot: Slot) {
        let peer = &mut self.peers[slot];
        if !peer.hungry && peer.has_room() {
            peer.hungry = true;
            self.hungry.push_back(slot);
        }
    }

    /// Some block can be requested again, or a bound was lifted.
    pub(crate) fn wake_all(&mut self) {
        for index in 0..self.peers.slot_count() {
            if let Some(slot) = self.peers.nth(index) {
                self.wake(slot);
            }
        }
    }

    /// The peer does not answer: others get its blocks, and it gets one request now and then until it does.
    fn snub(&mut self, slot: Slot) {
        self.peers[slot].strike(self.now, self.limits.request_stale);
        self.release_all(slot, Answer::Unwanted);
        self.wake_all();
        // Whoever answers comes first.
        self.hungry.retain(|other| *other != slot);
        self.peers[slot].hungry = false;
        self.wake(slot);
    }

    /// The peer answers other requests but not its oldest ones.
    fn give_up_stale(&mut self, slot: Slot) {
        let (now, longest) = (self.now, self.limits.request_stale);
        while self.peers[slot].stale_at(&self.limits).is_some_and(|at| at <= now) {
            let peer = &mut self.peers[slot];
            let Some(oldest) = peer.asked.pop_front() else { break };
            peer.expect_late(oldest.block);
            peer.refuse(now, oldest.block.piece, longest);
            self.asked_total -= 1;
            self.outputs.push_back(Output::Cancel(peer.key, oldest.block));
            self.release(slot, oldest.block);
        }
        self.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_timer_has_one_deadline_the_earliest() {
        let mut timers = Timers::default();
        timers.arm(Timer::Dwell, Time(5));
        timers.arm(Timer::Rechoke, Time(7));
        timers.arm(Timer::Rechoke, Time(3));
        timers.arm(Timer::Rechoke, Time(4));
        assert_eq!((timers.next(), timers.at(Timer::Rechoke)), (Some(Time(3)), Some(Time(3))));
        assert_eq!(timers.pop_due(Time(2)), None);
        assert_eq!(timers.pop_due(Time(9)), Some(Timer::Rechoke));
        assert_eq!(timers.pop_due(Time(9)), Some(Timer::Dwell));
        assert_eq!((timers.pop_due(Time(9)), timers.next(), timers.armed.len()), (None, None, 0));
        timers.arm(Timer::Dwell, Time(1));
        timers.disarm(Timer::Dwell);
        assert_eq!(timers.next(), None);
    }
}
