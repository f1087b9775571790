//! Peers that stall, and peers that cannot be reached.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::raw::{RawPeer, listener};
use super::world::World;
use crate::engine::EngineEvent;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_handshakes_keep_no_member_out() {
    let world = World::new();
    let shared = world.share(100_000);
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let (addr, device) = (seeder.engine.local_addr(), seeder.person.device);
    // Four times as many as there is room for, each in the middle of a TLS client hello.
    let mut stalled = Vec::new();
    for _ in 0..256 {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
        stalled.push(tcp);
    }
    RawPeer::admitted(addr, device, &world.join(2), &shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_cannot_be_reached_is_reported_and_may_dial() {
    let world = World::new();
    let shared = world.share(100_000);
    let (mut leecher, seeder) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    leecher.download(&shared).await;
    // Nobody listens where the seeder is said to be.
    let (closed, nowhere) = listener().await;
    drop(closed);
    leecher.engine.set_peers(shared.hash(), vec![seeder.person.at(nowhere)]);
    let device = leecher
        .event(|event| match event {
            EngineEvent::Unreachable { device, .. } => Some(*device),
            _ => None,
        })
        .await;
    assert_eq!(device, seeder.person.device);
    seeder.engine.add_peer(shared.hash(), leecher.peer());
    leecher.completed(&shared).await;
}
