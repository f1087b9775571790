//! Who may be in the hall: connections from outside that have not been admitted yet.
//!
//! The hall never turns anybody away. When it is full, or one host has its share of it, whoever has stalled the most
//! goes. An honest peer is through within a few round trips. Driven by `listen`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

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
    since: Instant,
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
        self.enter_at(ip, Instant::now())
    }

    fn enter_at(self: &Arc<Self>, ip: IpAddr, now: Instant) -> Pass {
        let place = Place::of(ip);
        let share = if place.is_this_machine() { self.this_machine_max } else { self.per_host_max };
        let leave = Arc::new(Notify::new());
        let mut hall = self.hall();
        if hall.guests.values().filter(|guest| guest.place.host == place.host).count() >= share {
            hall.show_out(now, |guest| guest.place.host == place.host);
        } else if hall.guests.len() >= self.total_max {
            hall.show_out(now, |_| true);
        }
        let id = hall.next;
        hall.next += 1;
        hall.guests.insert(id, Guest { place, since: now, leave: Arc::clone(&leave) });
        drop(hall);
        Pass { doors: Arc::clone(self), id, leave }
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        lock(&self.hall)
    }
}

impl Hall {
    /// Who has stalled the most of these goes: their age, times how many their network has here. So a crowd makes room
    /// before whoever comes alone, and nobody goes who has only just come while others stall.
    fn show_out(&mut self, now: Instant, who: impl Fn(&Guest) -> bool) {
        let mut crowds: BTreeMap<Range, u32> = BTreeMap::new();
        for guest in self.guests.values() {
            *crowds.entry(guest.place.network).or_default() += 1;
        }
        let weight = |guest: &Guest| {
            let crowd = crowds.get(&guest.place.network).copied().unwrap_or(1);
            now.saturating_duration_since(guest.since).saturating_mul(crowd)
        };
        let these = self.guests.iter().filter(|(_, guest)| who(guest));
        // Of equals the first to come.
        let stalled = these.max_by_key(|(id, guest)| (weight(guest), Reverse(**id))).map(|(id, _)| *id);
        if let Some(guest) = stalled.and_then(|id| self.guests.remove(&id)) {
            guest.leave.notify_one();
        }
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
    use std::time::Duration;

    use super::*;

    /// Lets everybody in, one a second, and says who has to go.
    fn check(total_max: usize, from: &[&str], gone: &[usize]) {
        let (doors, start) = (Arc::new(Doors::new(total_max)), Instant::now());
        let enter =
            |(at, ip): (u64, &&str)| doors.enter_at(ip.parse().unwrap(), start + Duration::from_secs(at));
        let passes: Vec<Pass> = (0..).zip(from).map(enter).collect();
        let still = |pass: &Pass| doors.hall().guests.contains_key(&pass.id);
        let found: Vec<usize> = (0..passes.len()).filter(|index| !still(&passes[*index])).collect();
        assert_eq!(found, gone, "{from:?}");
        drop(passes);
        assert!(doors.hall().guests.is_empty());
    }

    #[test]
    fn who_stalls_the_most_goes() {
        check(8, &["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"], &[0]);
        // The hall is full: a crowd before whoever came a little earlier, but alone.
        check(4, &["203.0.113.1", "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.101.1"], &[1]);
        check(4, &["203.0.113.1", "192.0.2.1", "198.51.100.1", "198.51.101.1", "198.51.102.1"], &[0]);
        // Two who have just come are not the crowd.
        check(4, &["203.0.113.1", "192.0.2.1", "198.51.100.1", "198.51.101.1", "198.51.101.2"], &[0]);
        check(8, &["127.0.0.1"; 8], &[0, 1]);
        check(8, &["2001:db8::1", "2001:db8::2", "2001:db8::3"], &[0]);
    }
}
