use peerage_ledger::Body;
use peerage_link::api::{ErrorCode, Event, path};
use peerage_link::http::TrackerConn;
use peerage_types::GroupId;

use crate::world::{PATIENCE, Person, World, code, group_of, hello, snapshot, submit, wait_for};

/// How many records of the group this caller's tracker has.
async fn rows(conn: &TrackerConn, group: GroupId) -> usize {
    snapshot(conn, group).await.unwrap().rows.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_durable_on_two_is_visible_on_two() {
    let world = World::new(2).await;
    let mut ada = world.person("ada").await;
    let conn = world.session(1, &ada).await;
    let (group, genesis) = ada.found("lab", None);
    let stored = submit(&conn, &[genesis]).await.unwrap();
    assert_eq!((stored.durable_on, stored.of), (2, 2));
    assert_eq!(rows(&world.session(2, &ada).await, group).await, 1);
    let (_, taken) = ada.found("LAB", None);
    assert_eq!(code(submit(&world.session(2, &ada).await, &[taken]).await), ErrorCode::NameTaken);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_one_is_down_and_it_catches_up() {
    let mut world = World::new(2).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    world.stop(1).await;

    let second = world.session(2, &ada).await;
    let mut bob = Person::new(world.cluster());
    submit(&second, &bob.founding("bob")).await.unwrap();
    let ask = bob.group(group, Body::JoinRequest { incarnation: 1 });
    let stored = submit(&second, &[ask]).await.unwrap();
    assert_eq!((stored.durable_on, stored.of), (1, 2));

    world.start(1).await;
    let first = world.session(1, &ada).await;
    let mut events = first.events(path::EVENTS).await.unwrap();
    if rows(&first, group).await < 2 {
        wait_for(&mut events, |event| *event == Event::Requests { group }).await;
    }
    assert_eq!(rows(&first, group).await, 2);
    let there = hello(&second).await.vector;
    assert!(hello(&first).await.vector.covers(&there));

    // And the other way round, with the view that it has caught up to.
    let accept = ada.group(group, Body::Accept { user: bob.user, incarnation: 1, epoch: 0, grant: None });
    let mut events = second.events(path::EVENTS).await.unwrap();
    submit(&first, &[accept]).await.unwrap();
    if rows(&second, group).await < 3 {
        wait_for(&mut events, |event| *event == Event::Roster { group }).await;
    }
    assert_eq!(rows(&second, group).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    let mut world = World::new(2).await;
    let mut ada = world.person("ada").await;
    for round in 0..3 {
        let (crashed, other) = if round % 2 == 0 { (1, 2) } else { (2, 1) };
        let conn = world.session(crashed, &ada).await;
        let (group, genesis) = ada.found(&format!("group-{round}"), None);
        let stored = submit(&conn, &[genesis]).await.unwrap();
        assert_eq!(stored.durable_on, 2);
        world.crash(crashed).await;
        let at_other = world.session(other, &ada).await;
        let (late, genesis) = ada.found(&format!("late-{round}"), None);
        submit(&at_other, &[genesis]).await.unwrap();
        assert_eq!(rows(&at_other, group).await, 1, "what was durable on two is not on the other");
        world.start(crashed).await;
        let back = world.session(crashed, &ada).await;
        assert_eq!(rows(&back, group).await, 1);
        let mut events = back.events(path::EVENTS).await.unwrap();
        if snapshot(&back, late).await.is_err() {
            wait_for(&mut events, |event| *event == Event::Roster { group: late }).await;
        }
        world.in_touch().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_never_ran_gets_everything() {
    let mut world = World::stopped(3);
    world.start(1).await;
    world.start(3).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    for number in 0..300 {
        let name = format!("group-{number}");
        let (_, genesis) = ada.found(&name, None);
        submit(&world.session(1, &ada).await, &[genesis]).await.unwrap();
    }
    world.start(2).await;
    let anonymous = world.anonymous(2).await;
    let wanted = hello(&world.anonymous(1).await).await.vector;
    let caught_up = async { while !hello(&anonymous).await.vector.covers(&wanted) {} };
    tokio::time::timeout(PATIENCE, caught_up).await.expect("it never caught up");
    assert_eq!(rows(&world.session(2, &ada).await, group).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_of_another_cluster_is_not_synced_with() {
    let mut ours = World::stopped(2);
    let mut theirs = World::new(1).await;
    // Our second line leads to their tracker.
    let port = theirs.started(1).addr.port();
    let text = format!("{}\n127.0.0.1:{port}\n", ours.entry(1));
    std::fs::write(&ours.list, text).unwrap();
    ours.start(1).await;
    let mut ada = ours.person("ada").await;
    let (_, genesis) = ada.found("lab", None);
    let stored = submit(&ours.session(1, &ada).await, &[genesis]).await.unwrap();
    assert_eq!((stored.durable_on, stored.of), (1, 2));
    assert!(hello(&theirs.anonymous(1).await).await.vector.is_empty());
    theirs.stop(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lines_to_one_tracker_count_once() {
    let mut world = World::stopped(2);
    world.start(1).await;
    world.start(2).await;
    world.in_touch().await;
    // A third line, another spelling of the second.
    let port = world.started(2).addr.port();
    let text = format!("{}\n{}\nlocalhost:{port}\n", world.entry(1), world.entry(2));
    std::fs::write(&world.list, text).unwrap();
    let reloaded = world.reload(1).await.unwrap();
    assert_eq!((reloaded.trackers, reloaded.removed.len()), (3, 0));
    let mut ada = Person::new(world.cluster());
    let stored = submit(&world.anonymous(1).await, &ada.founding("ada")).await.unwrap();
    assert_eq!((stored.durable_on, stored.of), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn different_versions_of_the_list_work_together() {
    let mut world = World::stopped(2);
    let both = std::fs::read_to_string(&world.list).unwrap();
    // The first one has not heard of the second one yet, which has and is the first line of its list.
    std::fs::write(&world.list, both.lines().next().unwrap()).unwrap();
    world.start(1).await;
    let mut theirs = world.config(2);
    theirs.list = world.dir.path().join("theirs.txt");
    theirs.number = 1;
    std::fs::write(&theirs.list, both.lines().rev().collect::<Vec<_>>().join("\n")).unwrap();
    let beside = |list: &std::path::Path| format!("{}.keyring", list.display());
    std::fs::copy(beside(&world.list), beside(&theirs.list)).unwrap();
    world.trackers[1] = Some(crate::world::start(theirs).await.unwrap());
    std::fs::write(&world.list, &both).unwrap();

    let mut ada = Person::new(world.cluster());
    let second = world.anonymous(2).await;
    let stored = submit(&second, &ada.founding("ada")).await.unwrap();
    assert_eq!(stored.of, 2, "the second one counts both");
    let wanted = hello(&second).await.vector;
    let first = world.anonymous(1).await;
    let arrived = async { while !hello(&first).await.vector.covers(&wanted) {} };
    tokio::time::timeout(PATIENCE, arrived).await.expect("it never arrived");
    world.reload(1).await.unwrap();
    world.in_touch().await;
}
