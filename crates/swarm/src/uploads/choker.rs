//! Whom of the standard clients we serve: tit for tat.
//!
//! They know nothing of turns and hand-outs, and none of them is bound by a roster to give anything back. So they have
//! slots of their own, [`Limits::standard_slots`](crate::Limits): all but one go to those who have sent us most since the last round,
//! or, once we have everything, to those who have waited longest. The last one is *optimistic*: every third round
//! it is the turn of whoever has waited longest, so that newcomers can show what they give (BEP 3).
//!
//! Our own members' turns do not depend on any of that.

use std::time::Duration;

use peerage_types::Time;

use crate::api::Output;
use crate::engine::Swarm;
use crate::peers::Slot;
use crate::timers::Timer;

/// Between two rounds (BEP 3). Choking faster than TCP gets going would waste both lines.
const ROUND: Duration = Duration::from_secs(10);
/// A slot that became free is given away after this long at the latest, not at the end of the round.
const VACANCY: Duration = Duration::from_secs(1);
/// Rounds of an optimistic unchoke.
const OPTIMISTIC_ROUNDS: u64 = 3;

/// Where a standard client stands with us.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    unchoked: bool,
    /// The round of its last unchoke, or of its arrival: the smallest has waited longest.
    served: u64,
    /// What we had from it at the last round.
    received_before: u64,
}

/// What all of them have in common.
#[derive(Debug, Default)]
pub(crate) struct Choker {
    /// Rounds so far; changes of one slot count, too.
    round: u64,
    /// When the last round was.
    began: Option<Time>,
    unchoked: u32,
    optimistic: Option<Slot>,
    /// The round in which the optimistic slot goes to another.
    rotates: u64,
}

impl Swarm {
    pub(crate) fn standard_joined(&mut self, slot: Slot) {
        self.peers[slot].standing.served = self.choker.round;
    }

    pub(crate) fn standard_left(&mut self, slot: Slot) {
        if std::mem::take(&mut self.peers[slot].standing).unchoked {
            self.choker.unchoked -= 1;
            self.rechoke_within(VACANCY);
        }
        if self.choker.optimistic == Some(slot) {
            self.choker.optimistic = None;
        }
    }

    pub(crate) fn standard_interested(&mut self, slot: Slot, interested: bool) {
        match interested {
            true if self.choker.unchoked < self.limits.standard_slots && !self.peers[slot].banned => {
                self.set_unchoked(slot, true);
                self.rechoke_within(ROUND);
            }
            true => self.rechoke_within(ROUND),
            false if self.peers[slot].standing.unchoked => self.rechoke_within(VACANCY),
            false => {}
        }
    }

    /// One round: costs as much as there are standard clients.
    pub(crate) fn rechoke(&mut self) {
        let candidates =
            self.peers.iter().filter(|(_, p)| p.is_standard() && p.remote_interested && !p.banned);
        let mut ranked: Vec<Slot> = candidates.map(|(slot, _)| slot).collect();
        self.work.uploads += self.peers.len() as u64;
        self.choker.round += 1;
        self.choker.began = Some(self.now);
        let complete = self.is_complete();
        ranked.sort_by_key(|slot| {
            let peer = &self.peers[*slot];
            let gave = if complete || peer.snubbed { 0 } else { peer.received_since_round() };
            (std::cmp::Reverse(gave), peer.standing.served, *slot)
        });
        let regular = (self.limits.standard_slots as usize).saturating_sub(1).min(ranked.len());
        let rest = ranked.split_off(regular);
        let optimistic = self.choose_optimistic(&rest);
        let served = |slot: &Slot| ranked.contains(slot) || optimistic == Some(*slot);
        let choked: Vec<Slot> =
            self.peers.iter().map(|(slot, _)| slot).filter(|slot| !served(slot)).collect();
        choked.into_iter().for_each(|slot| self.set_unchoked(slot, false));
        let any = !ranked.is_empty();
        ranked.into_iter().chain(optimistic).for_each(|slot| self.set_unchoked(slot, true));
        for peer in self.peers.iter_mut().filter(|peer| peer.is_standard()) {
            peer.standing.received_before = peer.bytes_received;
            // Whoever is served now has not waited.
            if peer.standing.unchoked {
                peer.standing.served = self.choker.round;
            }
        }
        if any || optimistic.is_some() {
            self.rechoke_within(ROUND);
        }
    }

    /// The one of before, unless its time is over or it has earned a slot of its own.
    fn choose_optimistic(&mut self, rest: &[Slot]) -> Option<Slot> {
        let stays = self.choker.optimistic.filter(|slot| rest.contains(slot));
        let over = self.choker.round >= self.choker.rotates;
        let longest = || {
            let waiting = rest.iter().filter(|slot| Some(**slot) != stays);
            waiting.min_by_key(|slot| (self.peers[**slot].standing.served, **slot)).copied()
        };
        let chosen = match stays {
            Some(stays) if !over => Some(stays),
            stays => longest().or(stays),
        };
        let chosen = chosen.filter(|_| self.limits.standard_slots > 0);
        if chosen != stays || over {
            self.choker.rotates = self.choker.round + OPTIMISTIC_ROUNDS;
        }
        self.choker.optimistic = chosen;
        chosen
    }

    fn set_unchoked(&mut self, slot: Slot, unchoked: bool) {
        let peer = &mut self.peers[slot];
        if std::mem::replace(&mut peer.standing.unchoked, unchoked) == unchoked {
            return;
        }
        let output = if unchoked { Output::Unchoke(peer.key) } else { Output::Choke(peer.key) };
        self.outputs.push_back(output);
        match unchoked {
            true => self.choker.unchoked += 1,
            false => self.choker.unchoked -= 1,
        }
    }

    fn rechoke_within(&mut self, wait: Duration) {
        // Not sooner than a vacancy after the round before: who comes and goes causes no more rounds than that.
        let earliest = self.choker.began.map_or(self.now, |began| began.after(VACANCY));
        self.arm(Timer::Rechoke, self.now.after(wait).max(earliest));
    }

    /// Counts the slots anew and compares.
    pub(crate) fn assert_choker_consistent(&self) {
        let unchoked = self.peers.iter().filter(|(_, peer)| peer.standing.unchoked);
        assert_eq!(unchoked.count() as u32, self.choker.unchoked);
        assert!(self.choker.unchoked <= self.limits.standard_slots, "{} unchoked", self.choker.unchoked);
    }
}

impl crate::peers::Peer {
    fn received_since_round(&self) -> u64 {
        self.bytes_received.saturating_sub(self.standing.received_before)
    }
}

const _: () = assert!(VACANCY.as_millis() < ROUND.as_millis());
