use peerage_link::api::{
    AnnounceAnswer, AnnounceItem, AnnounceRequest, AnnounceResponse, DialBackRequest, Empty, ErrorCode,
    Event, GroupPresenceRequest, GroupPresenceResponse, SwarmState, WithdrawRequest, path,
};
use peerage_link::http::{CallError, TrackerConn};
use peerage_types::{GroupId, InfoHash};

use crate::world::{World, code, group_of, public, submit, wait_for};

const FILE: InfoHash = InfoHash([7; 32]);

pub fn item(group: GroupId, state: SwarmState, address: &str) -> AnnounceItem {
    let addresses = vec![address.to_owned()];
    AnnounceItem { group, info_hash: FILE, state, percent: 50, addresses, want: 50 }
}

pub async fn announce(conn: &TrackerConn, item: AnnounceItem) -> AnnounceAnswer {
    let request = AnnounceRequest { items: vec![item], said: 1 };
    let answer: AnnounceResponse = conn.call(path::ANNOUNCE, &request).await.unwrap();
    assert_eq!(answer.interval_s, 30);
    answer.answers.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_find_each_other_until_they_withdraw() {
    let world = World::new(1).await;
    let (mut ada, mut bob, eve) =
        (world.person("ada").await, world.person("bob").await, world.person("eve").await);
    let group = group_of(&world, 1, &mut ada, &mut [&mut bob]).await;
    let (at_ada, at_bob, at_eve) =
        (world.session(1, &ada).await, world.session(1, &bob).await, world.session(1, &eve).await);
    let mut events = at_ada.events(path::EVENTS).await.unwrap();

    assert!(announce(&at_ada, item(group, SwarmState::Seeding, "127.0.0.1:7600")).await.peers.is_empty());
    wait_for(&mut events, |event| *event == Event::Swarm { group, info_hash: FILE }).await;
    let peers = announce(&at_bob, item(group, SwarmState::Leeching, "127.0.0.1:7601")).await.peers;
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].device, peers[0].user), (public(&ada.device), ada.user));
    assert_eq!(peers[0].addresses, ["127.0.0.1:7600"]);
    wait_for(&mut events, |event| *event == Event::Swarm { group, info_hash: FILE }).await;

    let refused = announce(&at_eve, item(group, SwarmState::Leeching, "127.0.0.1:7602")).await;
    assert_eq!(refused.refused, Some(ErrorCode::NotMember));
    let refused = announce(&at_bob, item(group, SwarmState::Leeching, "0.0.0.0:7602")).await;
    assert_eq!(refused.refused, Some(ErrorCode::BadRequest));

    let request = GroupPresenceRequest { group };
    let online: GroupPresenceResponse = at_bob.call(path::PRESENCE, &request).await.unwrap();
    let file = &online.files[0];
    assert_eq!((file.seeders, file.leechers, &file.users[..]), (1, 1, &[ada.user][..]));
    assert_eq!(
        code(at_eve.call::<_, GroupPresenceResponse>(path::PRESENCE, &request).await),
        ErrorCode::NotMember
    );

    let _: Empty = at_ada.call(path::WITHDRAW, &WithdrawRequest { said: 1 }).await.unwrap();
    assert!(announce(&at_bob, item(group, SwarmState::Leeching, "127.0.0.1:7601")).await.peers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_ends_presence() {
    let world = World::new(1).await;
    let (mut ada, mut bob) = (world.person("ada").await, world.person("bob").await);
    let group = group_of(&world, 1, &mut ada, &mut [&mut bob]).await;
    let (at_ada, at_bob) = (world.session(1, &ada).await, world.session(1, &bob).await);
    announce(&at_bob, item(group, SwarmState::Leeching, "127.0.0.1:7601")).await;
    let mut events = at_ada.events(path::EVENTS).await.unwrap();
    let kick = peerage_ledger::Body::Kick { user: bob.user, incarnation: 1, epoch: 0, grant: None };
    submit(&at_ada, &[ada.group(group, kick)]).await.unwrap();
    wait_for(&mut events, |event| *event == Event::Swarm { group, info_hash: FILE }).await;
    assert!(announce(&at_ada, item(group, SwarmState::Seeding, "127.0.0.1:7600")).await.peers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_reaches_the_other_tracker_and_survives_its_restart() {
    let mut world = World::new(2).await;
    let (mut ada, mut bob) = (world.person("ada").await, world.person("bob").await);
    let group = group_of(&world, 1, &mut ada, &mut [&mut bob]).await;
    let at_first = world.session(1, &ada).await;
    {
        let mut events = world.session(2, &bob).await.events(path::EVENTS).await.unwrap();
        announce(&at_first, item(group, SwarmState::Seeding, "127.0.0.1:7600")).await;
        wait_for(&mut events, |event| *event == Event::Swarm { group, info_hash: FILE }).await;
        let at_second = world.session(2, &bob).await;
        let answer = announce(&at_second, item(group, SwarmState::Leeching, "127.0.0.1:7601")).await;
        assert_eq!(answer.peers.len(), 1);
    }
    world.stop(2).await;
    world.start(2).await;
    // The first tracker tells it everything when it connects again.
    let at_second = world.session(2, &bob).await;
    let mut events = at_second.events(path::EVENTS).await.unwrap();
    let answer = announce(&at_second, item(group, SwarmState::Leeching, "127.0.0.1:7601")).await;
    if answer.peers.is_empty() {
        wait_for(&mut events, |event| *event == Event::Swarm { group, info_hash: FILE }).await;
        while announce(&at_second, item(group, SwarmState::Leeching, "127.0.0.1:7601")).await.peers.is_empty()
        {
            wait_for(&mut events, |event| *event == Event::Swarm { group, info_hash: FILE }).await;
        }
    }
    let _: Empty = at_first.call(path::WITHDRAW, &WithdrawRequest { said: 1 }).await.unwrap();
    wait_for(&mut events, |event| *event == Event::Swarm { group, info_hash: FILE }).await;
    while !announce(&at_second, item(group, SwarmState::Leeching, "127.0.0.1:7601")).await.peers.is_empty() {
        wait_for(&mut events, |event| *event == Event::Swarm { group, info_hash: FILE }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_asked_to_dial_on_whatever_tracker_it_is() {
    let world = World::new(2).await;
    let (mut ada, mut bob, eve) =
        (world.person("ada").await, world.person("bob").await, world.person("eve").await);
    let group = group_of(&world, 1, &mut ada, &mut [&mut bob]).await;
    let (at_ada, at_bob, at_eve) =
        (world.session(1, &ada).await, world.session(2, &bob).await, world.session(1, &eve).await);
    let mut events = at_bob.events(path::EVENTS).await.unwrap();
    let call = |device| DialBackRequest { group, info_hash: FILE, device };
    let ask = async |conn: &TrackerConn, device| conn.call::<_, Empty>(path::DIAL_BACK, &call(device)).await;
    let (ada_device, bob_device) = (public(&ada.device), public(&bob.device));

    assert_eq!(code(ask(&at_eve, bob_device).await), ErrorCode::NotMember);
    assert_eq!(code(ask(&at_ada, bob_device).await), ErrorCode::NotFound, "ada is not in the swarm");
    announce(&at_ada, item(group, SwarmState::Leeching, "127.0.0.1:7600")).await;
    assert_eq!(code(ask(&at_ada, public(&eve.device)).await), ErrorCode::NotFound, "eve is not in the swarm");
    announce(&at_bob, item(group, SwarmState::Seeding, "127.0.0.1:7601")).await;
    // Until the first tracker has heard that bob is there.
    while announce(&at_ada, item(group, SwarmState::Leeching, "127.0.0.1:7600")).await.peers.is_empty() {}
    ask(&at_ada, bob_device).await.unwrap();
    let addresses = vec!["127.0.0.1:7600".to_owned()];
    let expected = Event::DialBack { group, info_hash: FILE, device: ada_device, addresses };
    wait_for(&mut events, |event| *event == expected).await;
    // Nobody lets others dial as often as they like.
    let mut refused = 0;
    for _ in 0..10 {
        refused += usize::from(
            matches!(ask(&at_ada, bob_device).await, Err(CallError::Refused(e)) if e.code == ErrorCode::RateLimited),
        );
    }
    assert!(refused >= 7, "only {refused} of 10 refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_bounded_and_mean_something() {
    let world = World::new(1).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    let conn = world.session(1, &ada).await;
    for bad in [
        "0.0.0.0:7600",
        "[::]:7600",
        "224.0.0.1:7600",
        "[ff02::1]:7600",
        "192.0.2.1:0",
        "example.org:7600",
        "",
    ] {
        let refused = announce(&conn, item(group, SwarmState::Seeding, bad)).await.refused;
        assert_eq!(refused, Some(ErrorCode::BadRequest), "{bad}");
    }
    let many = |count: u8| {
        let addresses = (1..=count).map(|n| format!("192.0.2.{n}:7600")).collect();
        AnnounceItem { addresses, ..item(group, SwarmState::Seeding, "") }
    };
    assert_eq!(announce(&conn, many(5)).await.refused, Some(ErrorCode::BadRequest));
    assert_eq!(announce(&conn, many(4)).await.refused, None);
}
