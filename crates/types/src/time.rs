//! Time as plain integers. Cores never read a clock: `now` always comes in as an argument.

use std::fmt;
use std::time::Duration;

use minicbor::{Decode, Encode};

/// Milliseconds. Monotonic for timers; since the Unix epoch where a wall clock is meant (each use says so).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Time(#[n(0)] pub u64);

impl Time {
    /// This time moved forward by `by`, saturating.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A moment as people read it, to the minute: `2026-11-24 23:50 UTC`. Milliseconds since the Unix epoch.
pub fn utc(unix_ms: u64) -> String {
    let minutes = unix_ms / 60_000;
    let (days, minute, hour) = (minutes / 1_440, minutes % 60, minutes / 60 % 24);
    // Years that begin in March put the leap day last; 719,468 days lie between 0000-03-01 and 1970-01-01, and 400
    // years have 146,097 days.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// A hybrid logical clock's reading: 48 bits of milliseconds since the Unix epoch, 16 bits of counter.
/// Comparing two stamps compares time first, counter second.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Stamp(#[n(0)] pub u64);

impl Stamp {
    /// Builds a stamp; `unix_ms` is cut to 48 bits (year 10889).
    pub fn new(unix_ms: u64, counter: u16) -> Self {
        Self((unix_ms << 16) | u64::from(counter))
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.0 >> 16
    }

    /// Orders events within one millisecond.
    pub fn counter(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({}.{})", self.unix_ms(), self.counter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_people_read_them() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_399_999), "2000-02-28 23:59 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(utc(951_868_800_000), "2000-03-01 00:00 UTC");
        assert_eq!(utc(1_795_564_200_000), "2026-11-24 23:50 UTC");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01 00:00 UTC");
        assert_eq!(utc((1 << 48) - 1), "10889-08-02 05:31 UTC");
    }
}
