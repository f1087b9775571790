use peerage_wire::RecordsMessage;
use tokio::sync::mpsc;

use super::super::snapshot::WANTED_MAX;
use super::super::snapshot::tests::{World, public, take};
use super::*;

/// Carries one side's question to the other until it is answered, and unites.
fn fetch(asker: &Groups, other: &Groups, group: GroupId) -> Result<bool, String> {
    let Some(mut ask) = asker.lacking(&group, &other.heads(&group).unwrap()) else { return Ok(false) };
    let mut parts = Vec::new();
    loop {
        let answer = other.answer(&group, &ask);
        // What is said fits into the messages that say it.
        for message in [RecordsMessage::Ask(ask.clone()), RecordsMessage::Answer(answer.clone())] {
            assert_eq!(RecordsMessage::decode(&message.encode()).unwrap(), message);
        }
        parts.push(answer.rows);
        match answer.through.or(ask.until) {
            Some(after) => ask = asker.ask_after(&group, after).unwrap(),
            None => return asker.learn(&group, &parts),
        }
    }
}

fn groups(world: &World, dir: &tempfile::TempDir) -> Groups {
    let (wanted, _) = mpsc::channel(WANTED_MAX);
    Groups::open(world.keys(), dir.path().to_owned(), wanted).unwrap()
}

#[test]
fn a_kick_that_one_has_not_seen_comes_from_one_who_has() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut world = World::new();
    let people: Vec<_> = (1..40).map(|n| world.person(n, &format!("p{n}"))).collect();
    let (ada, eve) = (&people[0], &people[1]);
    let group = world.founded(ada);
    for one in &people[1..] {
        world.join(ada, one, group);
    }
    let (old, new) = (groups(&world, &dirs[0]), groups(&world, &dirs[1]));
    take(&old, &world, group).unwrap();
    take(&new, &world, group).unwrap();
    assert_eq!(old.heads(&group), new.heads(&group));
    assert_eq!(old.lacking(&group, &new.heads(&group).unwrap()), None);

    // So much that it takes several answers: a person's certificate and request are about 1 KiB.
    let more: Vec<_> = (40..100).map(|n| world.person(n, &format!("p{n}"))).collect();
    for one in &more {
        world.join(ada, one, group);
    }
    let kick = Body::Kick { user: eve.user, incarnation: 1, epoch: 0, grant: None };
    world.say(ada, group, kick);
    take(&new, &world, group).unwrap();
    assert!(old.get(&group).unwrap().view.is_member(&eve.user));
    let fetched_before = old.get(&group).unwrap().fetched_unix_ms();
    assert_eq!(fetch(&new, &old, group), Ok(false), "the older one has nothing to tell");
    assert_eq!(fetch(&old, &new, group), Ok(true));
    let state = old.get(&group).unwrap();
    assert_eq!(state.view, new.get(&group).unwrap().view);
    assert!(!state.view.is_member(&eve.user) && state.view.is_member(&more[59].user));
    assert_eq!(state.fetched_unix_ms(), fetched_before, "no tracker has confirmed it");
    assert_eq!(fetch(&old, &new, group), Ok(false));
    // And it is kept.
    old.save().unwrap();
    assert!(!groups(&world, &dirs[0]).get(&group).unwrap().view.is_member(&eve.user));
}

#[test]
fn a_member_cannot_forge_more_than_a_tracker() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let (ada, ben) = (world.person(1, "ada"), world.person(2, "ben"));
    let group = world.founded(&ada);
    let groups = groups(&world, &dir);
    take(&groups, &world, group).unwrap();
    let before = groups.get(&group).unwrap().view.clone();
    let mut later = World::new();
    (later.seq, later.cluster_key) = (1_000, world.cluster_key.clone());
    later.join(&ada, &ben, group);
    let good = later.snapshot.rows.clone();
    let check = |rows: Vec<SignedRow>, expected: Result<bool, &str>| {
        let bytes: Vec<u8> = rows.iter().flat_map(|row| minicbor::to_vec(row).unwrap()).collect();
        let told = groups.learn(&group, &[bytes.into()]);
        match (&told, expected) {
            (Err(told), Err(expected)) => assert!(told.contains(expected), "{told}"),
            _ => assert_eq!(told.as_ref().ok(), expected.as_ref().ok()),
        }
        assert_eq!(groups.get(&group).unwrap().view, before);
    };
    let mut unsigned = good.clone();
    *unsigned[0].record.last_mut().unwrap() ^= 1;
    check(unsigned, Err("invalid record"));
    let mut unstamped = good.clone();
    unstamped[0].receipt.seq += 1;
    check(unstamped, Err("the receipt of record"));
    let other = later.founded(&ben);
    let of_another = later.snapshot.rows.last().unwrap().clone();
    check(vec![of_another], Err(&format!("another group: {other}")));
    // A stranger's account, and an acceptance by somebody who may not accept.
    let stranger = later.person(9, "eve");
    check(later.snapshot.accounts.last().unwrap().rows.clone(), Ok(false));
    assert!(groups.get(&group).unwrap().account_facts(&stranger.user).is_none());
    assert_eq!(
        groups.learn(&group, &[Bytes::from_static(b"\x82\x41")]).unwrap_err().split(':').next(),
        Some("its records cannot be read")
    );
    assert!(groups.learn(&GroupId([9; 32]), &[]).is_err());
    let mut forger = World::new();
    (forger.seq, forger.cluster_key) = (2_000, world.cluster_key.clone());
    forger.say(&ben, group, Body::JoinRequest { incarnation: 1 });
    forger.say(&ben, group, Body::Accept { user: ben.user, incarnation: 1, epoch: 0, grant: None });
    let bytes: Vec<u8> = forger.snapshot.rows.iter().flat_map(|row| minicbor::to_vec(row).unwrap()).collect();
    assert_eq!(groups.learn(&group, &[bytes.into()]), Ok(true));
    assert!(!groups.get(&group).unwrap().view.is_member(&ben.user), "he let himself in");
    let _ = public(&ben.device);
}
