//! Who is online with what. Memory only: announced to any tracker, passed to the others as changes, gone after
//! two intervals without a word.
//!
//! Driven by the tracker: [`Presence::announce`] and [`Presence::withdraw`] from clients, [`Presence::apply`] from
//! other trackers, [`Presence::tick`] and [`Presence::take_update`] once a second. Of what one device says, what it said
//! last counts, in whatever order it arrives: each word has a number that only grows. What goes wrong in between heals
//! with the next announce.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Bound;
use std::time::Duration;

use minicbor::{Decode, Encode};
use peerage_ledger::Origin;
use peerage_types::limits::ADDRESSES_MAX;
use peerage_types::{DeviceId, GroupId, InfoHash, Time, UserId};

/// Places on the ring of device ids from which a large swarm's peers are listed: half the bytes of an id.
const PLACES: usize = 16;

/// How often a device announces. An entry lives for two of them.
pub const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(30);
/// Entries in the whole table (about 300 bytes each).
pub const PRESENCE_ENTRIES_MAX: usize = 500_000;
/// Devices that withdrew lately and are remembered; beyond that a word of theirs that comes late may count for a while.
pub const WITHDRAWN_MAX: usize = 65_536;
/// Swarms of one device.
pub const DEVICE_SWARMS_MAX: usize = 20_000;

/// What a device does in a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PresenceState {
    /// Has everything.
    #[n(0)]
    Seeding,
    /// Still fetches; shares what it has.
    #[n(1)]
    Leeching,
}

/// One swarm: the same content in two groups is two swarms.
pub type SwarmKey = (GroupId, InfoHash);

/// One device in one swarm.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PresenceEntry {
    /// The device, which is also its TLS key.
    #[n(0)]
    pub device: DeviceId,
    /// Whose device.
    #[n(1)]
    pub user: UserId,
    /// In which group.
    #[n(2)]
    pub group: GroupId,
    /// With which content.
    #[n(3)]
    pub info_hash: InfoHash,
    /// Where it accepts peers, best first; at most [`ADDRESSES_MAX`] count.
    #[n(4)]
    pub addresses: Vec<SocketAddr>,
    /// Seeding or leeching.
    #[n(5)]
    pub state: PresenceState,
    /// 0 to 100.
    #[n(6)]
    pub percent: u8,
    /// The number of the device's word: more than in all words before.
    #[n(7)]
    pub said: u64,
}

impl PresenceEntry {
    /// The swarm that it is about.
    pub fn swarm(&self) -> SwarmKey {
        (self.group, self.info_hash)
    }

    fn same_but_progress(&self, other: &Self) -> bool {
        (self.user, self.state) == (other.user, other.state) && self.addresses == other.addresses
    }
}

/// One step from what another tracker knows to what this one knows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum PresenceChange {
    /// The device left every swarm, with this word.
    #[n(0)]
    Withdrawn(#[n(0)] DeviceId, #[n(1)] u64),
    /// The device left one swarm.
    #[n(1)]
    Left(#[n(0)] DeviceId, #[n(1)] GroupId, #[n(2)] InfoHash),
    /// The device is in this swarm, said just now.
    #[n(2)]
    Here(#[n(0)] PresenceEntry),
}

/// What one tracker tells another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PresenceUpdate {
    /// The run of the tracker that tells it. What an earlier run said is void.
    #[n(0)]
    pub owner: Origin,
    /// This is all that the owner knows at first hand, not only what changed.
    #[n(1)]
    pub full: bool,
    /// In the order in which they are to be applied.
    #[n(2)]
    pub changes: Vec<PresenceChange>,
}

/// What an update from another tracker did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceApplied {
    /// Swarms whose list of peers is another one now.
    pub swarms: BTreeSet<SwarmKey>,
    /// Entries left out because a limit was reached.
    pub dropped: usize,
}

/// Why an announce is refused: the device or the cluster is beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresenceFull {
    /// One device in too many swarms.
    #[error("this device is in {DEVICE_SWARMS_MAX} swarms already")]
    Device,
    /// Too many entries altogether.
    #[error("the presence table holds {PRESENCE_ENTRIES_MAX} entries already")]
    Table,
}

/// How many are in a swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwarmSummary {
    /// Devices that have everything.
    pub seeders: u32,
    /// Devices that still fetch.
    pub leechers: u32,
    /// Who seeds, each user once.
    pub users: BTreeSet<UserId>,
}

#[derive(Debug)]
struct Held {
    entry: PresenceEntry,
    /// The tracker that heard it from the device.
    owner: Origin,
    expires: Time,
    /// Its place in `expiry`, never after `expires`: being announced again does not move it, only coming due does.
    due: Time,
}

/// The table of one tracker: its own devices and those of all others.
#[derive(Debug)]
pub struct Presence {
    owner: Origin,
    swarms: BTreeMap<SwarmKey, BTreeMap<DeviceId, Held>>,
    devices: BTreeMap<DeviceId, BTreeSet<SwarmKey>>,
    expiry: BTreeSet<(Time, SwarmKey, DeviceId)>,
    withdrawn: BTreeMap<DeviceId, u64>,
    /// The words with which devices left lately, and until when that matters.
    gone: BTreeMap<DeviceId, (u64, Time)>,
    changed: BTreeSet<(DeviceId, SwarmKey)>,
}

impl Presence {
    /// Nobody is online. `owner` is this run of this tracker.
    pub fn new(owner: Origin) -> Self {
        Self {
            owner,
            swarms: BTreeMap::new(),
            devices: BTreeMap::new(),
            expiry: BTreeSet::new(),
            withdrawn: BTreeMap::new(),
            gone: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.expiry.len()
    }

    /// Nobody online?
    pub fn is_empty(&self) -> bool {
        self.expiry.is_empty()
    }

    /// A device of ours says that it is in a swarm, or still is. Tells whether that is worth telling listeners: it
    /// is new there, or its state, user or addresses are others. Mere progress is not.
    pub fn announce(&mut self, now: Time, entry: PresenceEntry) -> Result<bool, PresenceFull> {
        let key = (entry.device, entry.swarm());
        if self.is_late(now, &entry) {
            return Ok(false);
        }
        let changed = self.put(now, entry, self.owner)?;
        self.changed.insert(key);
        Ok(changed)
    }

    /// A device leaves everything (logout), with this word. Returns the swarms that it was in.
    pub fn withdraw(&mut self, now: Time, device: &DeviceId, said: u64) -> BTreeSet<SwarmKey> {
        self.changed.retain(|(of, _)| of != device);
        let last = self.withdrawn.entry(*device).or_insert(said);
        *last = said.max(*last);
        self.left(now, device, said)
    }

    /// Takes away what the device said before this word, and remembers the word for as long as an earlier one may come.
    fn left(&mut self, now: Time, device: &DeviceId, said: u64) -> BTreeSet<SwarmKey> {
        if self.gone.len() < WITHDRAWN_MAX || self.gone.contains_key(device) {
            let until = now.after(2 * ANNOUNCE_INTERVAL);
            let gone = self.gone.entry(*device).or_insert((said, until));
            *gone = (said.max(gone.0), until);
        }
        let swarms = self.devices.get(device).into_iter().flatten();
        let before = |swarm: &&SwarmKey| {
            let held = self.swarms.get(*swarm).and_then(|held| held.get(device));
            held.is_some_and(|held| held.entry.said <= said)
        };
        let before: Vec<_> = swarms.filter(before).map(|swarm| (*device, *swarm)).collect();
        self.remove_all(before)
    }

    /// Has the device said something later?
    fn is_late(&self, now: Time, entry: &PresenceEntry) -> bool {
        let left = self.gone.get(&entry.device);
        let held = self.swarms.get(&entry.swarm()).and_then(|held| held.get(&entry.device));
        left.is_some_and(|(said, until)| entry.said <= *said && now < *until)
            || held.is_some_and(|held| entry.said < held.entry.said && now < held.expires)
    }

    /// A device leaves one swarm. Tells whether it was in it.
    pub fn leave(&mut self, device: &DeviceId, swarm: SwarmKey) -> bool {
        self.changed.insert((*device, swarm));
        self.remove(device, swarm)
    }

    /// A user is no member of a group any more. Every tracker concludes that by itself, so nothing is passed on.
    pub fn expel(&mut self, group: GroupId, user: &UserId) -> BTreeSet<SwarmKey> {
        let gone = self.of_group(group).flat_map(|(swarm, held)| {
            let theirs = held.values().filter(|held| held.entry.user == *user);
            theirs.map(move |held| (held.entry.device, *swarm))
        });
        self.remove_all(gone.collect())
    }

    /// Drops what was not announced for two intervals.
    pub fn tick(&mut self, now: Time) -> BTreeSet<SwarmKey> {
        self.gone.retain(|_, (_, until)| now < *until);
        let due: Vec<_> = self.expiry.iter().take_while(|(at, ..)| *at <= now).copied().collect();
        let mut gone = Vec::new();
        for (at, swarm, device) in due {
            match self.swarms.get_mut(&swarm).and_then(|held| held.get_mut(&device)) {
                Some(held) if held.expires > now => {
                    held.due = held.expires;
                    self.expiry.remove(&(at, swarm, device));
                    self.expiry.insert((held.due, swarm, device));
                }
                _ => gone.push((device, swarm)),
            }
        }
        self.remove_all(gone)
    }

    /// What our devices did since the last call; `None` when that is nothing.
    pub fn take_update(&mut self) -> Option<PresenceUpdate> {
        let withdrawn = std::mem::take(&mut self.withdrawn);
        let changed = std::mem::take(&mut self.changed);
        let mut changes: Vec<_> =
            withdrawn.into_iter().map(|(device, said)| PresenceChange::Withdrawn(device, said)).collect();
        for (device, swarm) in changed {
            match self.swarms.get(&swarm).and_then(|held| held.get(&device)) {
                Some(held) if held.owner == self.owner => {
                    changes.push(PresenceChange::Here(held.entry.clone()));
                }
                // It went to another tracker meanwhile, which tells the others itself.
                Some(_) => {}
                None => changes.push(PresenceChange::Left(device, swarm.0, swarm.1)),
            }
        }
        (!changes.is_empty()).then_some(PresenceUpdate { owner: self.owner, full: false, changes })
    }

    /// All that we know at first hand, for a tracker that just came up.
    pub fn full_update(&self) -> PresenceUpdate {
        let own = self.swarms.values().flat_map(BTreeMap::values).filter(|held| held.owner == self.owner);
        let changes = own.map(|held| PresenceChange::Here(held.entry.clone())).collect();
        PresenceUpdate { owner: self.owner, full: true, changes }
    }

    /// Takes over what another tracker says.
    pub fn apply(&mut self, now: Time, update: PresenceUpdate) -> PresenceApplied {
        let PresenceUpdate { owner, full, changes } = update;
        let mut applied = PresenceApplied::default();
        if owner.tracker == self.owner.tracker {
            return applied;
        }
        let renewed: BTreeSet<_> = changes
            .iter()
            .filter_map(|change| match change {
                PresenceChange::Here(entry) if full => Some((entry.device, entry.swarm())),
                _ => None,
            })
            .collect();
        let void = self.swarms.iter().flat_map(|(swarm, held)| {
            let void = held.values().filter(|held| {
                let same_run = held.owner == owner;
                held.owner.tracker == owner.tracker
                    && !(same_run && (!full || renewed.contains(&(held.entry.device, *swarm))))
            });
            void.map(|held| (held.entry.device, *swarm))
        });
        applied.swarms = self.remove_all(void.collect());
        for change in changes {
            match change {
                PresenceChange::Withdrawn(device, said) => {
                    applied.swarms.extend(self.left(now, &device, said));
                }
                PresenceChange::Left(device, group, info_hash) => {
                    if self.remove(&device, (group, info_hash)) {
                        applied.swarms.insert((group, info_hash));
                    }
                }
                PresenceChange::Here(entry) if self.is_late(now, &entry) => {}
                PresenceChange::Here(entry) => {
                    let swarm = entry.swarm();
                    match self.put(now, entry, owner) {
                        Ok(true) => _ = applied.swarms.insert(swarm),
                        Ok(false) => {}
                        Err(_) => applied.dropped += 1,
                    }
                }
            }
        }
        applied
    }

    /// At most `limit` others in a swarm. In a small one they follow on the asking device, and wrap around. In a large
    /// one they are a few who follow at each of `PLACES` places that depend on the asking device: so everyone gets
    /// another part of it, and a piece gets from anybody to anybody in a few steps. (With followers alone it travels
    /// once around the ring: docs/performance.md, "Swarms, simulated".)
    pub fn peers_of(
        &self,
        swarm: SwarmKey,
        asking: &DeviceId,
        limit: usize,
        now: Time,
    ) -> Vec<&PresenceEntry> {
        let Some(held) = self.swarms.get(&swarm) else { return Vec::new() };
        let from = |start: &DeviceId| {
            let behind = held.range((Bound::Excluded(*start), Bound::Unbounded));
            let before = held.range(..=*start);
            behind.chain(before).filter(|(device, held)| held.expires > now && *device != asking)
        };
        let mut peers = BTreeMap::new();
        if held.len() > 2 * limit {
            for place in 0..PLACES {
                // A device id is a public key, so the same bytes in another order are anywhere.
                let mut start = *asking;
                start.0.rotate_left(2 * place + 1);
                peers.extend(from(&start).take(limit / PLACES).map(|(device, held)| (*device, &held.entry)));
            }
        }
        let found: BTreeSet<DeviceId> = peers.keys().copied().collect();
        let rest = from(asking).filter(|(device, _)| !found.contains(device)).take(limit - found.len());
        rest.map(|(_, held)| &held.entry).chain(peers.into_values()).collect()
    }

    /// What one device says about one swarm.
    pub fn entry(&self, swarm: SwarmKey, device: &DeviceId, now: Time) -> Option<&PresenceEntry> {
        let held = self.swarms.get(&swarm)?.get(device)?;
        (held.expires > now).then_some(&held.entry)
    }

    /// Every swarm of a group that has anybody in it.
    pub fn swarms_of(&self, group: GroupId, now: Time) -> Vec<(InfoHash, SwarmSummary)> {
        let summaries = self.of_group(group).map(|((_, info_hash), held)| {
            let mut summary = SwarmSummary::default();
            for Held { entry, .. } in held.values().filter(|held| held.expires > now) {
                match entry.state {
                    PresenceState::Seeding => {
                        summary.seeders += 1;
                        summary.users.insert(entry.user);
                    }
                    PresenceState::Leeching => summary.leechers += 1,
                }
            }
            (*info_hash, summary)
        });
        summaries.filter(|(_, summary)| summary.seeders + summary.leechers > 0).collect()
    }

    fn of_group(&self, group: GroupId) -> impl Iterator<Item = (&SwarmKey, &BTreeMap<DeviceId, Held>)> {
        let all = (group, InfoHash([0; 32]))..=(group, InfoHash([0xff; 32]));
        self.swarms.range(all)
    }

    fn put(&mut self, now: Time, mut entry: PresenceEntry, owner: Origin) -> Result<bool, PresenceFull> {
        entry.addresses.truncate(ADDRESSES_MAX);
        entry.percent = entry.percent.min(100);
        let (device, swarm) = (entry.device, entry.swarm());
        let expires = now.after(2 * ANNOUNCE_INTERVAL);
        let held = self.swarms.get_mut(&swarm).and_then(|held| held.get_mut(&device));
        if let Some(held) = held {
            let changed = !held.entry.same_but_progress(&entry);
            *held = Held { entry, owner, expires, due: held.due };
            return Ok(changed);
        }
        if self.expiry.len() >= PRESENCE_ENTRIES_MAX {
            return Err(PresenceFull::Table);
        }
        let swarms = self.devices.entry(device).or_default();
        if swarms.len() >= DEVICE_SWARMS_MAX {
            return Err(PresenceFull::Device);
        }
        swarms.insert(swarm);
        self.expiry.insert((expires, swarm, device));
        self.swarms.entry(swarm).or_default().insert(device, Held { entry, owner, expires, due: expires });
        Ok(true)
    }

    fn remove_all(&mut self, entries: Vec<(DeviceId, SwarmKey)>) -> BTreeSet<SwarmKey> {
        let gone = entries.into_iter().filter(|(device, swarm)| self.remove(device, *swarm));
        gone.map(|(_, swarm)| swarm).collect()
    }

    fn remove(&mut self, device: &DeviceId, swarm: SwarmKey) -> bool {
        let Some(in_swarm) = self.swarms.get_mut(&swarm) else { return false };
        let Some(held) = in_swarm.remove(device) else { return false };
        if in_swarm.is_empty() {
            self.swarms.remove(&swarm);
        }
        self.expiry.remove(&(held.due, swarm, *device));
        if let Some(swarms) = self.devices.get_mut(device) {
            swarms.remove(&swarm);
            if swarms.is_empty() {
                self.devices.remove(device);
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
