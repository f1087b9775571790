//! The hybrid logical clock: stamps that follow the wall clock where it behaves, and never repeat or run back.

use std::time::Duration;

use peerage_types::Stamp;

/// How far ahead of the own wall clock a remote stamp may lie to be adopted. Beyond it the other tracker's clock
/// is wrong, and following it would carry its error into every later record.
pub const ADOPT_AHEAD_MAX: Duration = Duration::from_secs(600);

/// One tracker's clock. Its last reading is persisted with every batch of log rows and restored at boot.
#[derive(Clone, Debug, Default)]
pub struct Hlc {
    last: Stamp,
}

impl Hlc {
    /// Goes on after `last`, the persisted reading.
    pub fn new(last: Stamp) -> Self {
        Self { last }
    }

    /// The highest stamp given out or adopted.
    pub fn last(&self) -> Stamp {
        self.last
    }

    /// A stamp higher than all before: the wall clock (milliseconds since the Unix epoch) if it has moved on,
    /// else the next counter value. A counter that is full runs over into the next millisecond.
    pub fn now(&mut self, unix_ms: u64) -> Stamp {
        self.last = Stamp::new(unix_ms, 0).max(Stamp(self.last.0.saturating_add(1)));
        self.last
    }

    /// Makes later stamps higher than this one from another tracker, unless it lies more than
    /// [`ADOPT_AHEAD_MAX`] ahead of the wall clock. Tells whether it was within bounds.
    pub fn observe(&mut self, remote: Stamp, unix_ms: u64) -> bool {
        let limit_ms = unix_ms.saturating_add(ADOPT_AHEAD_MAX.as_millis() as u64);
        let near = remote.unix_ms() <= limit_ms;
        if near {
            self.last = self.last.max(remote);
        }
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictly_increasing_whatever_the_wall_clock_does() {
        let mut clock = Hlc::new(Stamp::new(1_000, 7));
        let readings: Vec<_> = [900, 1_000, 1_001, 5, 2_000].map(|ms| clock.now(ms)).into();
        let expected =
            [(1_000, 8), (1_000, 9), (1_001, 0), (1_001, 1), (2_000, 0)].map(|(ms, n)| Stamp::new(ms, n));
        assert_eq!(readings, expected);
        let mut full = Hlc::new(Stamp::new(1_000, u16::MAX));
        assert_eq!(full.now(0), Stamp::new(1_001, 0));
    }

    #[test]
    fn adopts_at_most_ten_minutes() {
        let mut clock = Hlc::default();
        assert!(clock.observe(Stamp::new(600_000, 3), 0));
        assert_eq!(clock.now(0), Stamp::new(600_000, 4));
        assert!(!clock.observe(Stamp::new(600_001, 0), 0));
        assert_eq!(clock.now(0), Stamp::new(600_000, 5));
    }
}
