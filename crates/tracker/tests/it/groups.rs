use peerage_ledger::{Body, Record};
use peerage_link::api::{
    ErrorCode, Event, GroupNameRequest, GroupNameResponse, GroupsRequest, GroupsResponse, SnapshotRequest,
    SnapshotResponse, Standing, path,
};
use peerage_link::http::TrackerConn;

use crate::world::{World, code, group_of, refusal, snapshot, submit, wait_for};

async fn list(conn: &TrackerConn) -> Vec<(String, u32, Standing)> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        // Two at a time, so that pages are tested too.
        let page: GroupsResponse = conn.call(path::GROUPS, &GroupsRequest { after, limit: 2 }).await.unwrap();
        found.extend(page.groups.into_iter().map(|item| (item.shown, item.members, item.standing)));
        after = found.last().map(|(shown, ..)| shown.clone());
        if !page.more {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_join_accept_leave_close() {
    let world = World::new(1).await;
    let (mut ada, mut bob, eve) =
        (world.person("ada").await, world.person("bob").await, world.person("eve").await);
    let (at_ada, at_bob, at_eve) =
        (world.session(1, &ada).await, world.session(1, &bob).await, world.session(1, &eve).await);
    let mut ada_events = at_ada.events(path::EVENTS).await.unwrap();
    let mut bob_events = at_bob.events(path::EVENTS).await.unwrap();

    let (group, genesis) = ada.found("Lab", None);
    submit(&at_ada, &[genesis]).await.unwrap();
    let (_, second) = bob.found("lab", None);
    assert_eq!(code(submit(&at_bob, &[second]).await), ErrorCode::NameTaken);

    let accept = ada.group(group, Body::Accept { user: bob.user, incarnation: 1, epoch: 0, grant: None });
    assert_eq!(code(submit(&at_ada, &[accept]).await), ErrorCode::NotRequested);
    ada.rewind(group);
    let ask = bob.group(group, Body::JoinRequest { incarnation: 1 });
    submit(&at_bob, std::slice::from_ref(&ask)).await.unwrap();
    wait_for(&mut ada_events, |event| *event == Event::Requests { group }).await;
    submit(&at_bob, &[ask]).await.unwrap();
    let again = bob.group(group, Body::JoinRequest { incarnation: 2 });
    assert_eq!(code(submit(&at_bob, &[again]).await), ErrorCode::AlreadyRequested);
    bob.rewind(group);

    // Not a member yet: the outline only.
    let outside = snapshot(&at_bob, group).await.unwrap();
    assert_eq!(outside.rows.len(), 2);
    let stranger = snapshot(&at_eve, group).await.unwrap();
    assert_eq!(stranger.rows.len(), 1);
    let forged = bob.group(group, Body::Accept { user: bob.user, incarnation: 1, epoch: 0, grant: None });
    assert_eq!(code(submit(&at_bob, &[forged]).await), ErrorCode::NotOwner);
    bob.rewind(group);

    let accept = ada.group(group, Body::Accept { user: bob.user, incarnation: 1, epoch: 0, grant: None });
    submit(&at_ada, &[accept]).await.unwrap();
    wait_for(&mut bob_events, |event| *event == Event::Roster { group }).await;
    assert_eq!(list(&at_bob).await, [("Lab".to_owned(), 2, Standing::Member)]);
    assert_eq!(list(&at_ada).await, [("Lab".to_owned(), 2, Standing::Owner)]);
    assert_eq!(list(&world.anonymous(1).await).await, [("Lab".to_owned(), 2, Standing::Stranger)]);

    let inside = snapshot(&at_bob, group).await.unwrap();
    assert_eq!(inside.rows.len(), 3);
    assert_eq!(inside.accounts.len(), 2);
    for row in inside.accounts.iter().flat_map(|account| &account.rows) {
        let record = Record::decode(&row.record, &world.cluster()).unwrap();
        assert!(!matches!(record.body(), Body::AuthRecord { .. }));
    }
    let request = SnapshotRequest { group, have: Some(inside.digest) };
    let unchanged: SnapshotResponse = at_bob.call(path::GROUP_SNAPSHOT, &request).await.unwrap();
    assert!(unchanged.unchanged && unchanged.rows.is_empty() && unchanged.accounts.is_empty());

    let close = ada.group(group, Body::Close { epoch: 0 });
    submit(&at_ada, std::slice::from_ref(&close)).await.unwrap();
    wait_for(&mut bob_events, |event| *event == Event::Roster { group }).await;
    assert!(list(&at_bob).await.is_empty());
    let named = GroupNameRequest { name: "lab".to_owned() };
    let error = refusal(at_bob.call::<_, GroupNameResponse>(path::GROUP_NAME, &named).await);
    assert_eq!((error.code, error.missing), (ErrorCode::NotFound, vec![close.id()]));
    let late = bob.group(group, Body::Leave { incarnation: 1 });
    assert_eq!(code(submit(&at_bob, &[late]).await), ErrorCode::GroupEnded);

    // The name is free for whoever says after which end.
    let (_, without) = bob.found("lab", None);
    let error = refusal(submit(&at_bob, &[without]).await);
    assert_eq!((error.code, error.missing), (ErrorCode::NameTaken, vec![close.id()]));
    let (next, with) = bob.found("lab", Some(close.id()));
    submit(&at_bob, &[with]).await.unwrap();
    let found: GroupNameResponse = at_bob.call(path::GROUP_NAME, &named).await.unwrap();
    assert_eq!(found.group, next);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_in_order() {
    let world = World::new(1).await;
    let mut ada = world.person("ada").await;
    let conn = world.session(1, &ada).await;
    for name in ["zoo", "Art", "lab", "b", "a.b"] {
        let (_, genesis) = ada.found(name, None);
        submit(&conn, &[genesis]).await.unwrap();
    }
    let names: Vec<String> = list(&conn).await.into_iter().map(|(shown, ..)| shown).collect();
    assert_eq!(names, ["a.b", "Art", "b", "lab", "zoo"]);
    let named = GroupNameRequest { name: "no such thing".to_owned() };
    assert_eq!(code(conn.call::<_, GroupNameResponse>(path::GROUP_NAME, &named).await), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_leaves_by_handover_and_a_kick_counts_at_once() {
    let world = World::new(1).await;
    let (mut ada, mut bob, mut eve) =
        (world.person("ada").await, world.person("bob").await, world.person("eve").await);
    let group = group_of(&world, 1, &mut ada, &mut [&mut bob, &mut eve]).await;
    let (at_bob, at_eve) = (world.session(1, &bob).await, world.session(1, &eve).await);
    let just_leave = ada.group(group, Body::Leave { incarnation: 0 });
    assert_eq!(code(submit(&at_bob, &[just_leave]).await), ErrorCode::OwnerMustHandOver);

    // The refused Leave is not in anybody's log, so it must not be in the chain either.
    ada.rewind(group);
    let heirs = vec![(bob.user, 1), (eve.user, 1)];
    let handover = ada.group(group, Body::Handover { epoch: 0, heirs, heads: Vec::new(), stays: false });
    let result = submit(&at_bob, &[handover]).await;
    assert!(result.is_ok(), "{result:?}");
    let kick = bob.group(group, Body::Kick { user: eve.user, incarnation: 1, epoch: 1, grant: None });
    let mut events = at_eve.events(path::EVENTS).await.unwrap();
    submit(&at_bob, &[kick]).await.unwrap();
    wait_for(&mut events, |event| *event == Event::Roster { group }).await;
    let outside = snapshot(&at_eve, group).await.unwrap();
    let inside = snapshot(&at_bob, group).await.unwrap();
    assert!(outside.rows.len() <= inside.rows.len());
    let listed = list(&at_eve).await;
    assert_eq!(listed, [("lab".to_owned(), 1, Standing::Stranger)]);
}
