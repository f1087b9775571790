//! Who may be in the hall: connections from outside that have not been admitted yet.
//!
//! The hall never turns anybody away. When it is full, or one host has its share of it, the one who has stood there
//! the longest goes: of that host, or of the network with the most. An honest peer is through within a few round
//! trips. Driven by `listen`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use peerage_link::place::{Place, Range};
use tokio::sync::Notify;

use super::buffer::lock;

/// The hall.
#[derive(Debug)]
pub(super) struct Doors {
    total_max: usize,
    per_host_max: usize,
    /// 127.0.0.1 and ::1, behind which a whole class may be.
    this_machine_max: usize,
    hall: Mutex<Hall>,
}

#[derive(Debug, Default)]
struct Hall {
    next: u64,
    /// In the order in which they came.
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    place: Place,
    leave: Arc<Notify>,
}

/// A place in the hall, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    doors: Arc<Doors>,
    id: u64,
    leave: Arc<Notify>,
}

impl Doors {
    /// Room for `total_max`, of which one host may have a quarter.
    pub(super) fn new(total_max: usize) -> Self {
        let total_max = total_max.max(1);
        Self {
            total_max,
            per_host_max: total_max.div_ceil(4),
            this_machine_max: (total_max * 3).div_ceil(4),
            hall: Mutex::default(),
        }
    }

    /// Lets somebody in.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Pass {
        let place = Place::of(ip);
        let share = if place.is_this_machine() { self.this_machine_max } else { self.per_host_max };
        let leave = Arc::new(Notify::new());
        let mut hall = self.hall();
        if hall.guests.values().filter(|guest| guest.place.host == place.host).count() >= share {
            hall.show_out(|guest| guest.place.host == place.host);
        } else if hall.guests.len() >= self.total_max {
            let crowd = hall.largest_network();
            hall.show_out(|guest| Some(guest.place.network) == crowd);
        }
        let id = hall.next;
        hall.next += 1;
        hall.guests.insert(id, Guest { place, leave: Arc::clone(&leave) });
        drop(hall);
        Pass { doors: Arc::clone(self), id, leave }
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        lock(&self.hall)
    }
}

impl Hall {
    fn show_out(&mut self, who: impl Fn(&Guest) -> bool) {
        let oldest = self.guests.iter().find(|(_, guest)| who(guest)).map(|(id, _)| *id);
        if let Some(guest) = oldest.and_then(|id| self.guests.remove(&id)) {
            guest.leave.notify_one();
        }
    }

    /// The network with the most guests; of equals the one whose first guest came first.
    fn largest_network(&self) -> Option<Range> {
        let mut counts: BTreeMap<Range, usize> = BTreeMap::new();
        for guest in self.guests.values() {
            *counts.entry(guest.place.network).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        self.guests
            .values()
            .map(|guest| guest.place.network)
            .find(|network| counts.get(network) == Some(&most))
    }
}

impl Pass {
    /// Ready when somebody else needs the place.
    pub(super) async fn shown_out(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.doors.hall().guests.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets everybody in, in this order, and says who has to go.
    fn check(total_max: usize, from: &[&str], gone: &[usize]) {
        let doors = Arc::new(Doors::new(total_max));
        let passes: Vec<Pass> = from.iter().map(|ip| doors.enter(ip.parse().unwrap())).collect();
        let still = |pass: &Pass| doors.hall().guests.contains_key(&pass.id);
        let found: Vec<usize> = (0..passes.len()).filter(|index| !still(&passes[*index])).collect();
        assert_eq!(found, gone, "{from:?}");
        drop(passes);
        assert!(doors.hall().guests.is_empty());
    }

    #[test]
    fn who_stands_there_the_longest_goes() {
        check(8, &["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"], &[0]);
        // The hall is full: the network with the most, not the oldest of all.
        check(4, &["203.0.113.1", "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.101.1"], &[1]);
        check(4, &["203.0.113.1", "192.0.2.1", "198.51.100.1", "198.51.101.1", "198.51.102.1"], &[0]);
        check(8, &["127.0.0.1"; 8], &[0, 1]);
        check(8, &["2001:db8::1", "2001:db8::2", "2001:db8::3"], &[0]);
    }
}
