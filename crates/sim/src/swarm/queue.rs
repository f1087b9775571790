//! What happens when: a ring of ticks for the near future, a map for the rest.
//!
//! Tens of millions of events are in one run, nearly all of them less than a second ahead; a ring makes each cost a
//! push and a pop of a vector. Events of one tick come in the order in which they were added.

use std::collections::BTreeMap;

/// Microseconds since the beginning.
pub(super) type Us = u64;

/// One tick. The engine's clock counts milliseconds, so this is fine enough.
pub(super) const TICK_US: Us = 500;
/// Ticks in the ring: two seconds.
const RING: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue<E> {
    /// The tick that is being worked off.
    tick: u64,
    ring: Vec<Vec<E>>,
    far: BTreeMap<u64, Vec<E>>,
    waiting: usize,
}

impl<E> Queue<E> {
    pub(super) fn new() -> Self {
        Self { tick: 0, ring: (0..RING).map(|_| Vec::new()).collect(), far: BTreeMap::new(), waiting: 0 }
    }

    /// The time of the running tick.
    pub(super) fn now(&self) -> Us {
        self.tick * TICK_US
    }

    /// Adds an event; never earlier than the tick behind the running one.
    pub(super) fn push(&mut self, at: Us, event: E) {
        let tick = at.div_ceil(TICK_US).max(self.tick + 1);
        if tick - self.tick < RING as u64 {
            self.ring[(tick % RING as u64) as usize].push(event);
            self.waiting += 1;
        } else {
            self.far.entry(tick).or_default().push(event);
        }
    }

    /// Goes on to the next tick in which something happens, and gives that into `events`; false when nothing ever
    /// will.
    pub(super) fn next(&mut self, events: &mut Vec<E>) -> bool {
        events.clear();
        while events.is_empty() {
            if self.waiting == 0 {
                let Some((tick, _)) = self.far.first_key_value() else { return false };
                self.tick = tick - 1;
            }
            self.tick += 1;
            // What is far comes first: it was added earlier.
            if let Some(far) = self.far.remove(&self.tick) {
                *events = far;
            }
            let near = &mut self.ring[(self.tick % RING as u64) as usize];
            self.waiting -= near.len();
            events.append(near);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_time_and_order() {
        let mut queue = Queue::new();
        let (mut events, mut seen) = (Vec::new(), Vec::new());
        for (at, name) in [(10_000_000, "far"), (700, "b"), (0, "a"), (1_000, "c"), (10_000_100, "farther")] {
            queue.push(at, name);
        }
        while queue.next(&mut events) {
            let now = queue.now();
            for event in events.drain(..) {
                seen.push((now, event));
                if event == "a" {
                    queue.push(9_999_999, "added later");
                }
            }
        }
        assert_eq!(
            seen,
            [
                (500, "a"),
                (1_000, "b"),
                (1_000, "c"),
                (10_000_000, "far"),
                (10_000_000, "added later"),
                (10_000_500, "farther")
            ]
        );
    }
}
