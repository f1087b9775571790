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
