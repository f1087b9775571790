//! The ambient clocks, read only here.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use peerage_types::Time;

/// Milliseconds since the Unix epoch; 0 on a machine that believes to be before it.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A monotonic clock that starts with the tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonic(Instant);

impl Monotonic {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> Time {
        Time::default().after(self.0.elapsed())
    }

    /// The instant that this reading stands for.
    pub(crate) fn instant(&self, at: Time) -> Instant {
        self.0 + at.since(Time::default())
    }
}
