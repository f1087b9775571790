//! Too much of everything: requests, HAVEs, addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use peerage_types::PublicKey;
use peerage_wire::{BlockRef, Message};
use tokio::io::AsyncReadExt as _;

use super::faulty::{complete_beside, hello};
use super::raw::{RawPeer, listener};
use super::world::{World, soon};
use crate::engine::PeerAddr;
use crate::engine::dial::DIALS_MAX;

const MIB: usize = 1 << 20;

/// The same message again and again, a good 64 KiB of it.
fn flood(message: &Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    while bytes.len() < 64 * 1024 {
        peerage_wire::encode(message, &mut bytes);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_on_and_on_is_dropped_and_others_are_served() {
    let world = World::new();
    let shared = world.share(40 * MIB);
    let (seeder, mut leecher, member) = (world.member(1).await, world.member(2).await, world.join(3));
    seeder.seed(&shared).await;
    let addr = seeder.engine.local_addr();
    let mut peer = RawPeer::admitted(addr, seeder.person.device, &member, &shared).await;
    peer.expect(|message| (message == Message::Unchoke).then_some(())).await;
    let requests = flood(&Message::Request(BlockRef { piece: 0, begin: 0, len: 16_384 }));
    let asks = async {
        let mut written = 0;
        // It never reads an answer.
        while peer.write(&requests).await.is_ok() {
            written += requests.len();
            assert!(written < 64 * MIB, "it may ask as long as it likes");
        }
    };
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    tokio::join!(soon(asks), leecher.completed(&shared));
    seeder.until(&shared, |status| status.peers.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_haves_delays_nobody_for_ever() {
    let mut written = 0;
    complete_beside(40 * MIB, async |mut peer, shared, harmed| {
        hello(&mut peer, shared).await;
        let haves = flood(&Message::Have(0));
        while peer.write(&haves).await.is_ok() {
            written += haves.len();
            if written > MIB {
                harmed.notify_one();
            }
        }
    })
    .await;
    assert!(written > MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_addresses_are_dialled_a_few_at_a_time() {
    const DEAD: u8 = 100;
    let world = World::new();
    let shared = world.share(MIB);
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let hasty =
        |config: &mut crate::engine::EngineConfig| config.handshake_timeout = Duration::from_millis(200);
    let mut leecher = world.node_with(world.join(2), hasty).await;
    leecher.download(&shared).await;
    // One address swallows everything, at the other one nobody listens.
    let ((swallows, hole), (closed, nowhere)) = (listener().await, listener().await);
    drop(closed);
    let (open, most, all) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let count = (Arc::clone(&open), Arc::clone(&most), Arc::clone(&all));
    let swallowing = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = swallows.accept().await {
            let (open, most, all) = (Arc::clone(&count.0), Arc::clone(&count.1), Arc::clone(&count.2));
            all.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(1 + open.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
            tokio::spawn(async move {
                let mut rest = Vec::new();
                // A reset is an end, too.
                let _ = tcp.read_to_end(&mut rest).await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let dead = (0..DEAD).map(|number| PeerAddr {
        device: PublicKey([number; 32]),
        user: seeder.person.user,
        addresses: vec![if number % 2 == 0 { hole } else { nowhere }],
    });
    leecher.engine.set_peers(shared.hash(), dead.chain([seeder.peer()]).collect());
    leecher.completed(&shared).await;
    swallowing.abort();
    let (most, all) = (most.load(Ordering::SeqCst), all.load(Ordering::SeqCst));
    // One that has ended here may not have been noticed there.
    assert!(most <= 2 * DIALS_MAX, "{most} connections at the same time");
    assert!(all <= usize::from(DEAD), "{all} attempts at {} dead peers", DEAD / 2);
}
