//! The replica's part in what trackers say to each other about the log: pushes, pulls, clocks, and whom it suspects.

use std::time::Duration;

use peerage_types::Time;

use super::Replica;
use crate::io::{BatchId, Output, PeerId, ReplyId};
use crate::peer::Push;
use crate::row::VerifiedRow;
use crate::vector::Vector;

impl Replica {
    pub(super) fn start_pushes(&mut self, now: Time) {
        let reached = self.durable.get(&self.origin);
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            let Some(peer) = self.peers.get(&id) else { continue };
            let base = peer.vector.get(&self.origin);
            if peer.suspected || peer.push.is_some() || base >= reached || now < peer.push_not_before {
                continue;
            }
            let rows = self.tail.after(base, self.limits.push_rows_max, self.limits.push_bytes_max);
            let batch = self.next_batch();
            let gap = rows.first().is_some_and(|first| first.receipt.seq > base + 1);
            let push = Push { batch, deadline: now.after(self.limits.push_timeout), base, gap };
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.push = Some(push);
            }
            self.outputs.push_back(Output::Push { peer: id, batch, rows });
        }
    }

    pub(super) fn push_received(
        &mut self,
        now: Time,
        unix_ms: u64,
        from: Option<PeerId>,
        rows: Vec<VerifiedRow>,
        reply: ReplyId,
    ) {
        let taken = self.take(unix_ms, rows);
        if taken.gap
            && let Some(peer) = from.and_then(|from| self.peers.get_mut(&from))
        {
            peer.pull_now(now);
        }
        self.replies.insert(reply, taken.needs);
        self.unsettled = true;
    }

    pub(super) fn answer_pushes(&mut self) {
        let durable = &self.durable;
        for (reply, _) in self.replies.extract_if(.., |_, needs| durable.covers(needs)) {
            let vector = durable.short_of(self.unplaced.keys());
            self.outputs.push_back(Output::PushReply { reply, vector });
        }
    }

    pub(super) fn push_acked(&mut self, now: Time, from: PeerId, batch: BatchId, vector: Vector) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let reached = vector.get(&self.origin);
        peer.heard(vector, &self.origin);
        self.unsettled = true;
        // An answer after the deadline still tells what is durable there, but not that the tracker keeps pace.
        if let Some(push) = peer.push.take_if(|push| push.batch == batch) {
            if reached <= push.base {
                peer.push_not_before = now.after(self.limits.pull_interval);
            }
            peer.lagging |= push.gap && reached <= push.base;
            self.trust(from);
        }
    }

    pub(super) fn push_failed(&mut self, to: PeerId, batch: BatchId) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.push.take_if(|push| push.batch == batch).is_some() {
            self.suspect(to);
        }
    }

    /// Not while a snapshot brings everything: each answer would bring a part of it once more.
    pub(super) fn start_pulls(&mut self, now: Time) {
        if self.snapshot.is_some() {
            return;
        }
        for (id, peer) in &mut self.peers {
            let continues = peer.pull_when.as_ref().is_some_and(|needs| self.durable.covers(needs));
            if peer.pull.is_none() && (continues || peer.pull_at <= now) {
                peer.pull = Some(now.after(self.limits.pull_timeout));
                peer.pull_when = None;
                let vector = self.durable.short_of(self.unplaced.keys());
                self.outputs.push_back(Output::Pull { peer: *id, vector });
            }
        }
    }

    pub(super) fn pull_received(&mut self, from: Option<PeerId>, vector: Vector, reply: ReplyId) {
        if vector.covers(&self.durable) {
            let (rows, vector) = (Vec::new(), self.shown());
            self.outputs.push_back(Output::PullReply { reply, rows, more: false, snapshot: false, vector });
        } else {
            self.outputs.push_back(Output::LoadRows {
                reply,
                after: vector.clone(),
                limit_rows: self.limits.pull_rows_max,
                limit_bytes: self.limits.pull_bytes_max,
            });
        }
        // That it reaches us does not show that we reach it: a suspect stays one.
        if let Some(peer) = from.and_then(|from| self.peers.get_mut(&from)) {
            peer.heard(vector, &self.origin);
            self.unsettled = true;
        }
    }

    pub(super) fn pull_answered(
        &mut self,
        now: Time,
        unix_ms: u64,
        from: PeerId,
        rows: Vec<VerifiedRow>,
        more: bool,
        vector: Vector,
    ) {
        let taken = self.take(unix_ms, rows);
        let interval = self.limits.pull_interval;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.heard(vector, &self.origin);
        peer.pull = None;
        peer.pull_at = if std::mem::take(&mut peer.pull_again) { now } else { now.after(interval) };
        // Asking again before these rows are on the disk would bring them once more. If another tracker brought
        // them first, going on is its part.
        peer.pull_when = (more && taken.fresh).then_some(taken.needs);
        self.unsettled = true;
        self.trust(from);
    }

    pub(super) fn pull_failed(&mut self, now: Time, to: PeerId) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        peer.pull = None;
        peer.pull_again = false;
        peer.pull_at = now.after(self.limits.pull_interval);
        self.suspect(to);
    }

    pub(super) fn clock_compared(&mut self, now: Time, with: PeerId, ours_ms: u64, theirs_ms: u64) {
        let Some(peer) = self.peers.get_mut(&with) else { return };
        let ms = i64::try_from(i128::from(theirs_ms) - i128::from(ours_ms)).unwrap_or(i64::MAX);
        peer.skew_ms = Some(ms);
        let off = Duration::from_millis(ms.unsigned_abs()) >= self.limits.skew_max;
        if off && now >= peer.skew_report_at {
            peer.skew_report_at = now.after(self.limits.skew_interval);
            self.outputs.push_back(Output::ClockSkew { peer: with, ms });
        }
    }

    pub(super) fn suspect(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id)
            && !std::mem::replace(&mut peer.suspected, true)
        {
            self.outputs.push_back(Output::Suspect { peer: id });
            self.unsettled = true;
        }
    }

    pub(super) fn trust(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id)
            && std::mem::take(&mut peer.suspected)
        {
            self.outputs.push_back(Output::Recovered { peer: id });
        }
    }
}
