//! Staying after the last piece.
//!
//! If everybody goes at once with the last piece, whatever is rare stays rare, and a swarm whose seeder is slow
//! grows without end; one piece more that each uploads on average before it goes is enough (Zhu & Hajek, "Stability
//! of a peer-to-peer communication system", 2012). So the shell is told when a peer that only wanted the file may
//! go: when it has sent a piece more, when nobody wants anything, or when it has waited long enough for takers.

use std::time::Duration;

use peerage_types::Time;

use crate::api::Output;
use crate::engine::Swarm;
use crate::timers::Timer;

/// Others learn of our last piece within this long, and then say that they want it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The time between the last piece and the moment when we may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dwell {
    since: Time,
    sent_bytes: u64,
}

impl Swarm {
    pub(crate) fn dwell(&mut self) {
        self.dwelling = Some(Dwell { since: self.now, sent_bytes: 0 });
        self.timers.disarm(Timer::Dwell);
        self.arm(Timer::Dwell, self.now.after(LOOK_EVERY));
    }

    /// More is wanted after all.
    pub(crate) fn stop_dwelling(&mut self) {
        self.dwelling = None;
        self.timers.disarm(Timer::Dwell);
    }

    pub(crate) fn dwell_sent(&mut self, bytes: u64) {
        if let Some(dwell) = &mut self.dwelling {
            dwell.sent_bytes = dwell.sent_bytes.saturating_add(bytes);
        }
    }

    pub(crate) fn dwell_due(&mut self) {
        let Some(dwell) = self.dwelling else { return };
        let sent = dwell.sent_bytes >= u64::from(self.layout.piece_length());
        let waited = self.now.since(dwell.since) >= self.limits.dwell_max;
        if sent || waited || self.interested_peers == 0 {
            self.stop_dwelling();
            self.outputs.push_back(Output::MayLeave);
        } else {
            self.arm(Timer::Dwell, self.now.after(LOOK_EVERY));
        }
    }
}
