//! Members compare and exchange records; those who break the rules of that are thrown out.

use bytes::Bytes;
use peerage_types::RecordId;
use peerage_wire::{Answer, Ask, Heads, Message, RecordsMessage};

use super::raw::{RAW_RECORDS_ID, RawPeer};
use super::world::{GROUP, World, soon};
use crate::engine::EngineEvent;
use crate::engine::buffer::lock;
use crate::engine::handshake::RECORDS_ID;

async fn say(peer: &mut RawPeer, message: RecordsMessage) {
    peer.send(&Message::Extended { id: RECORDS_ID, payload: message.encode() }).await.unwrap();
}

async fn hear(peer: &mut RawPeer) -> RecordsMessage {
    peer.expect(|message| match message {
        Message::Extended { id: RAW_RECORDS_ID, payload } => Some(RecordsMessage::decode(&payload).unwrap()),
        _ => None,
    })
    .await
}

fn heads(end: u8) -> RecordsMessage {
    RecordsMessage::Heads(Heads { digest: [9; 32], ends: vec![RecordId([end; 32])] })
}

fn answer(rows: &'static [u8], through: Option<u8>) -> RecordsMessage {
    let through = through.map(|n| RecordId([n; 32]));
    RecordsMessage::Answer(Answer { rows: Bytes::from_static(rows), through })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_both_ways_and_news_are_told() {
    let world = World::new();
    let shared = world.share(100_000);
    let mut seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let (addr, device) = (seeder.engine.local_addr(), seeder.person.device);
    let (first, second) = (world.join(2), world.join(3));
    let mut peer = RawPeer::admitted(addr, device, &first, &shared).await;
    let mut other = RawPeer::admitted(addr, device, &second, &shared).await;

    say(&mut peer, heads(5)).await;
    assert_eq!(hear(&mut peer).await, RecordsMessage::Ask(Ask::default()));
    // In two parts: the second is asked for where the first ends.
    say(&mut peer, answer(&[5], Some(5))).await;
    let rest = Ask { after: Some(RecordId([5; 32])), ..Ask::default() };
    assert_eq!(hear(&mut peer).await, RecordsMessage::Ask(rest));
    say(&mut peer, answer(&[6], None)).await;
    seeder
        .event(|event| matches!(event, EngineEvent::Learned { group } if *group == GROUP).then_some(()))
        .await;
    assert_eq!(lock(&world.roster.1).iter().copied().collect::<Vec<_>>(), [5, 6]);
    // Whoever is connected hears of it, and may ask.
    assert!(matches!(hear(&mut other).await, RecordsMessage::Heads(Heads { digest: [2, ..], .. })));
    say(&mut other, RecordsMessage::Ask(Ask::default())).await;
    assert_eq!(hear(&mut other).await, answer(&[5, 6], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_breaks_the_rules_is_thrown_out() {
    let world = World::new();
    let shared = world.share(100_000);
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let (addr, device) = (seeder.engine.local_addr(), seeder.person.device);
    let member = world.join(2);
    let unasked = answer(&[7], None).encode();
    for payload in [unasked, Bytes::from_static(b"d8:msg_typei9ee"), Bytes::from_static(b"?")] {
        let mut peer = RawPeer::admitted(addr, device, &member, &shared).await;
        peer.send(&Message::Extended { id: RECORDS_ID, payload }).await.unwrap();
        soon(peer.drained()).await;
    }
    // Forgeries, and an answer that leads back to where it began.
    for bad in [answer(&[0], None), answer(&[8], Some(4))] {
        let mut peer = RawPeer::admitted(addr, device, &member, &shared).await;
        say(&mut peer, heads(8)).await;
        hear(&mut peer).await;
        say(&mut peer, answer(&[], Some(4))).await;
        hear(&mut peer).await;
        say(&mut peer, bad).await;
        soon(peer.drained()).await;
    }
    assert!(lock(&world.roster.1).is_empty(), "nothing of all that was learnt");
}
