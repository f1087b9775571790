use peerage_types::TrackerId;

use super::*;

fn origin(tracker: u8, incarnation: u64) -> Origin {
    Origin { tracker: TrackerId([tracker; 16]), incarnation }
}

fn entry(device: u8, swarm: u8) -> PresenceEntry {
    PresenceEntry {
        device: peerage_types::PublicKey([device; 32]),
        user: UserId([device / 10; 32]),
        group: GroupId([swarm / 10; 32]),
        info_hash: InfoHash([swarm; 32]),
        addresses: vec!["192.0.2.1:7600".parse().unwrap()],
        state: if device.is_multiple_of(2) { PresenceState::Seeding } else { PresenceState::Leeching },
        percent: 100,
        said: 1,
    }
}

fn ms(seconds: u64) -> Time {
    Time(seconds * 1_000)
}

/// The devices that somebody sees in a swarm.
fn seen(table: &Presence, swarm: u8, now: Time) -> Vec<u8> {
    let nobody = peerage_types::PublicKey([0; 32]);
    table.peers_of(entry(0, swarm).swarm(), &nobody, 99, now).iter().map(|e| e.device.0[0]).collect()
}

#[test]
fn silent_devices_expire_after_two_intervals() {
    let mut table = Presence::new(origin(1, 1));
    assert_eq!(table.announce(ms(0), entry(21, 11)), Ok(true));
    assert_eq!(table.announce(ms(10), entry(22, 11)), Ok(true));
    assert_eq!(table.announce(ms(30), entry(21, 11)), Ok(false));
    // Progress alone would make listeners announce, which is progress again, without end.
    assert_eq!(table.announce(ms(30), PresenceEntry { percent: 50, ..entry(21, 11) }), Ok(false));
    let seeding = PresenceEntry { state: PresenceState::Seeding, ..entry(21, 11) };
    assert_eq!(table.announce(ms(30), seeding), Ok(true));
    assert!(table.tick(ms(69)).is_empty());
    assert_eq!(seen(&table, 11, ms(69)), [21, 22]);
    // Already invisible, even before the tick that removes it.
    assert_eq!(seen(&table, 11, ms(70)), [21]);
    assert_eq!(table.tick(ms(70)), BTreeSet::from([entry(22, 11).swarm()]));
    table.tick(ms(90));
    assert!(table.is_empty() && table.swarms.is_empty() && table.devices.is_empty());
}

#[test]
fn others_learn_changes_and_a_new_one_learns_all() {
    let (mut a, mut b) = (Presence::new(origin(1, 1)), Presence::new(origin(2, 1)));
    a.announce(ms(0), entry(21, 11)).unwrap();
    a.announce(ms(0), entry(22, 12)).unwrap();
    b.apply(ms(0), a.take_update().unwrap());
    assert_eq!(a.take_update(), None);
    assert_eq!((seen(&b, 11, ms(1)), seen(&b, 12, ms(1))), (vec![21], vec![22]));

    assert!(a.leave(&entry(22, 12).device, entry(22, 12).swarm()));
    a.withdraw(ms(1), &entry(21, 11).device, 1);
    let update = a.take_update().unwrap();
    let bytes = minicbor::to_vec(&update).unwrap();
    assert_eq!(minicbor::decode::<PresenceUpdate>(&bytes).unwrap(), update);
    assert_eq!(b.apply(ms(1), update).swarms.len(), 2);
    assert!(b.is_empty());

    a.announce(ms(2), entry(23, 11)).unwrap();
    b.announce(ms(2), entry(24, 11)).unwrap();
    let mut c = Presence::new(origin(3, 1));
    c.apply(ms(2), a.full_update());
    c.apply(ms(2), b.full_update());
    assert_eq!(seen(&c, 11, ms(3)), [23, 24]);
}

#[test]
fn a_restarted_tracker_takes_back_what_its_last_run_said() {
    let mut b = Presence::new(origin(2, 1));
    let mut first = Presence::new(origin(1, 1));
    first.announce(ms(0), entry(21, 11)).unwrap();
    first.announce(ms(0), entry(22, 11)).unwrap();
    b.apply(ms(0), first.take_update().unwrap());
    b.announce(ms(0), entry(30, 11)).unwrap();
    let mut second = Presence::new(origin(1, 2));
    second.announce(ms(5), entry(22, 11)).unwrap();
    b.apply(ms(5), second.take_update().unwrap());
    assert_eq!(seen(&b, 11, ms(6)), [22, 30]);
    // A full update also takes back what the same run does not say any more.
    b.apply(ms(6), PresenceUpdate { owner: origin(1, 2), full: true, changes: Vec::new() });
    assert_eq!(seen(&b, 11, ms(6)), [30]);
}

#[test]
fn a_device_that_changes_trackers_belongs_to_the_new_one() {
    let (mut a, mut b) = (Presence::new(origin(1, 1)), Presence::new(origin(2, 1)));
    a.announce(ms(0), entry(21, 11)).unwrap();
    b.apply(ms(0), a.take_update().unwrap());
    b.announce(ms(1), entry(21, 11)).unwrap();
    a.apply(ms(1), b.take_update().unwrap());
    assert!(a.full_update().changes.is_empty());
    // The old tracker forgetting it (its own restart) leaves it online.
    b.apply(ms(2), PresenceUpdate { owner: origin(1, 2), full: true, changes: Vec::new() });
    assert_eq!(seen(&b, 11, ms(2)), [21]);
}

#[test]
fn answers_are_limited_and_spread() {
    let mut table = Presence::new(origin(1, 1));
    for device in 1..=5 {
        table.announce(ms(0), entry(device, 11)).unwrap();
    }
    let ask = |device: u8, limit| -> Vec<u8> {
        let asking = entry(device, 11).device;
        let peers = table.peers_of(entry(1, 11).swarm(), &asking, limit, ms(1));
        peers.iter().map(|e| e.device.0[0]).collect()
    };
    assert_eq!(ask(3, 3), [4, 5, 1]);
    assert_eq!(ask(5, 9), [1, 2, 3, 4]);
    assert_eq!(ask(9, 0), [0; 0]);
    let summary = &table.swarms_of(entry(1, 11).group, ms(1))[0].1;
    assert_eq!((summary.seeders, summary.leechers, summary.users.len()), (2, 3, 1));
    assert!(table.swarms_of(entry(1, 11).group, ms(61)).is_empty());
}

#[test]
fn large_swarms_are_listed_from_all_around() {
    let mut table = Presence::new(origin(1, 1));
    for device in 0..=255 {
        table.announce(ms(0), entry(device, 11)).unwrap();
    }
    let ask = |asking: [u8; 32], limit| -> Vec<u8> {
        let asking = peerage_types::PublicKey(asking);
        let peers = table.peers_of(entry(1, 11).swarm(), &asking, limit, ms(1));
        peers.iter().map(|e| e.device.0[0]).collect()
    };
    // Two behind each odd byte of the id, and the rest behind the id.
    let id = std::array::from_fn(|at| at as u8 * 8);
    let places = (0..15).flat_map(|place| [place * 16 + 9, place * 16 + 10]);
    let expected: Vec<u8> = (1..=3).chain(places).chain([248, 249]).collect();
    assert_eq!(ask(id, 35), expected);
    // However unlucky an id is, it gets as many, and nobody twice.
    let mut unlucky = ask([7; 32], 35);
    unlucky.sort_unstable();
    unlucky.dedup();
    assert_eq!((unlucky.len(), unlucky.contains(&7)), (35, false));
}

#[test]
fn a_kicked_user_leaves_this_group_only() {
    let mut table = Presence::new(origin(1, 1));
    for (device, swarm) in [(21, 11), (22, 12), (22, 23), (31, 11)] {
        table.announce(ms(0), entry(device, swarm)).unwrap();
    }
    let swarms = table.expel(entry(0, 11).group, &entry(21, 0).user);
    assert_eq!(swarms.len(), 2);
    assert_eq!((seen(&table, 11, ms(1)), seen(&table, 23, ms(1))), (vec![31], vec![22]));
}

#[test]
fn one_device_cannot_fill_the_table() {
    let mut table = Presence::new(origin(1, 1));
    let nth = |n: usize| {
        let mut item = entry(21, 11);
        item.info_hash.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
        item
    };
    for n in 0..DEVICE_SWARMS_MAX {
        table.announce(ms(0), nth(n)).unwrap();
    }
    assert_eq!(table.announce(ms(0), nth(DEVICE_SWARMS_MAX)), Err(PresenceFull::Device));
    assert_eq!(table.announce(ms(1), nth(0)), Ok(false));
    let update = PresenceUpdate {
        owner: origin(2, 1),
        full: false,
        changes: vec![PresenceChange::Here(nth(DEVICE_SWARMS_MAX))],
    };
    assert_eq!(table.apply(ms(1), update).dropped, 1);
}

#[test]
fn a_word_that_comes_late_revives_nobody() {
    let said = |n: u64| PresenceEntry { said: n, ..entry(21, 11) };
    let (mut a, mut b) = (Presence::new(origin(1, 1)), Presence::new(origin(2, 1)));
    a.announce(ms(0), said(1)).unwrap();
    let delayed = a.take_update().unwrap();
    // The device goes on with the other tracker, and logs out there.
    b.announce(ms(1), said(2)).unwrap();
    b.withdraw(ms(2), &said(0).device, 3);
    assert!(b.apply(ms(3), delayed.clone()).swarms.is_empty() && b.is_empty());
    // Also what the first one tells as a whole, and what it learns itself.
    b.apply(ms(4), a.full_update());
    assert!(b.is_empty());
    a.apply(ms(4), b.take_update().unwrap());
    assert!(a.is_empty());
    // A late withdrawal does not end what the device said after it.
    b.announce(ms(5), said(4)).unwrap();
    b.withdraw(ms(6), &said(0).device, 3);
    assert_eq!(seen(&b, 11, ms(6)), [21]);
    // Of two announces the later word counts, whichever comes first.
    let away = PresenceEntry { addresses: vec!["192.0.2.9:1".parse().unwrap()], ..said(5) };
    b.announce(ms(7), away.clone()).unwrap();
    b.apply(ms(8), delayed);
    assert_eq!(b.entry(away.swarm(), &away.device, ms(8)), Some(&away));
    // Nothing is remembered for longer than it can matter.
    b.tick(ms(200));
    assert!(b.is_empty() && b.gone.is_empty());
    assert_eq!(b.announce(ms(201), said(1)), Ok(true), "a clock that was set back costs a minute");
}
