//! Peers that do their part badly. Beside an honest one the download completes, and what they cost is bounded.

use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use peerage_swarm::Limits;
use peerage_types::limits::BLOCK_BYTES;
use peerage_wire::{Bitfield, BlockRef, Message};
use tokio::sync::Notify;

use super::raw::{RawPeer, Shown, Tells, listener};
use super::world::{Shared, World, soon};

const MIB: usize = 1 << 20;

/// Says that it has everything, and gives everybody their turn.
pub async fn hello(peer: &mut RawPeer, shared: &Shared) {
    let all = Bitfield::full(shared.metainfo.piece_count()).to_wire();
    for message in [Message::Bitfield(all), Message::Unchoke] {
        peer.send(&message).await.unwrap();
    }
}

/// A leecher meets a faulty peer, and an honest seeder once the faulty one has notified. Returns what the download got
/// from the faulty one.
pub async fn complete_beside(len: usize, faulty: impl AsyncFnOnce(RawPeer, &Shared, &Notify)) -> u64 {
    let world = World::new();
    let shared = world.share(len);
    let (person, seeder) = (world.join(3), world.member(1).await);
    let (listener, addr) = listener().await;
    let mut leecher = world.member(2).await;
    seeder.seed(&shared).await;
    leecher.download(&shared).await;
    leecher.engine.set_peers(shared.hash(), vec![person.at(addr)]);
    let peer = soon(RawPeer::accept(&listener, Shown::honest(&person, &shared))).await.unwrap();
    let harmed = Notify::new();
    let honest = async {
        harmed.notified().await;
        leecher.engine.set_peers(shared.hash(), vec![person.at(addr), seeder.peer()]);
        leecher.completed(&shared).await;
    };
    let faulty = async {
        faulty(peer, &shared, &harmed).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = honest => {}
        () = faulty => {}
    }
    leecher.status(&shared).sources.get(&person.user).copied().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_bad_block_is_fetched_again() {
    const PIECE: u32 = 5;
    let world = World::new();
    // Pieces of two blocks.
    let shared = world.share(40 * MIB);
    let pieces = shared.metainfo.piece_count();
    let (poisoner, honest) = (world.join(3), world.join(4));
    let ((bad, bad_addr), (good, good_addr)) = (listener().await, listener().await);
    let mut leecher = world.member(2).await;
    leecher.download(&shared).await;
    leecher.engine.set_peers(shared.hash(), vec![poisoner.at(bad_addr)]);

    let peer = soon(RawPeer::accept(&bad, Shown::honest(&poisoner, &shared))).await.unwrap();
    let mut one = Bitfield::new(pieces);
    one.set(PIECE);
    let spoil = |block: BlockRef, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[9] ^= u8::from(block.begin > 0);
        Some(bytes)
    };
    let sent = soon(peer.serve(&shared, &one, Tells::Truth, spoil)).await;
    assert_eq!(sent, 2, "a good one and a bad one, and then it is thrown out");

    leecher.engine.set_peers(shared.hash(), vec![poisoner.at(bad_addr), honest.at(good_addr)]);
    let peer = soon(RawPeer::accept(&good, Shown::honest(&honest, &shared))).await.unwrap();
    let (all, mut asked) = (Bitfield::full(pieces), Vec::new());
    let send = |block: BlockRef, bytes: &[u8]| {
        asked.push(block);
        Some(bytes.to_vec())
    };
    tokio::select! {
        _ = peer.serve(&shared, &all, Tells::Truth, send) => panic!("an honest peer was dropped"),
        _ = bad.accept() => panic!("a banned device was dialled again"),
        _ = leecher.completed(&shared) => {}
    }
    asked.sort();
    let begins = (0..pieces).flat_map(|piece| [(piece, 0), (piece, BLOCK_BYTES)]);
    let missing: Vec<_> = begins.filter(|at| *at != (PIECE, 0)).collect();
    let asked: Vec<_> = asked.into_iter().map(|block| (block.piece, block.begin)).collect();
    assert!(asked == missing, "each block once, and what was good not at all");
    let sources = leecher.status(&shared).sources;
    assert_eq!(sources.get(&poisoner.user), Some(&u64::from(BLOCK_BYTES)));
}

/// Twice what a peer gets at first: once more after it was given up.
fn asked_max() -> u32 {
    2 * Limits::default().depth_min
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stalls_keeps_nothing_back() {
    let mut asked = 0;
    let got = complete_beside(40 * MIB, async |mut peer, shared, harmed| {
        hello(&mut peer, shared).await;
        while let Some(message) = peer.recv().await {
            asked += u32::from(matches!(message, Message::Request(_)));
            if asked > 0 {
                harmed.notify_one();
            }
        }
    });
    assert_eq!(got.await, 0);
    assert!((1..=asked_max()).contains(&asked), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_drips_keeps_nothing_back() {
    let got = complete_beside(40 * MIB, async |mut peer, shared, harmed| {
        hello(&mut peer, shared).await;
        let request = |message| match message {
            Message::Request(block) => Some(block),
            _ => None,
        };
        let block = peer.expect(request).await;
        let mut header = BytesMut::new();
        header.put_u32(9 + block.len);
        header.put_u8(7);
        header.put_u32(block.piece);
        header.put_u32(block.begin);
        peer.write(&header).await.unwrap();
        harmed.notify_one();
        let mut drip = tokio::time::interval(Duration::from_millis(2));
        for byte in &shared.piece(block.piece)[block.begin as usize..][..block.len as usize] {
            drip.tick().await;
            if peer.write(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    assert_eq!(got.await, 0, "whoever was done first counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_has_not_what_it_says_is_asked_little() {
    let (mut asked, mut pieces) = (0, 0);
    let got = complete_beside(40 * MIB, async |mut peer, shared, harmed| {
        hello(&mut peer, shared).await;
        pieces = shared.metainfo.piece_count();
        while let Some(message) = peer.recv().await {
            let Message::Request(block) = message else { continue };
            asked += 1;
            if asked == 100 {
                harmed.notify_one();
            }
            if peer.send(&Message::Reject(block)).await.is_err() {
                break;
            }
        }
    });
    assert_eq!(got.await, 0);
    assert!(
        (100..=2 * pieces).contains(&asked),
        "{asked} requests, all of them refused, for {pieces} pieces"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset_cost_only_what_was_on_its_way() {
    let world = World::new();
    let shared = world.share(40 * MIB);
    let blocks = shared.leaves.kept().len();
    let person = world.join(3);
    let mut leecher = world.member(2).await;
    leecher.download(&shared).await;
    let (addr, device) = (leecher.engine.local_addr(), leecher.person.device);
    let all = Bitfield::full(shared.metainfo.piece_count());
    let (mut sent, mut resets, mut random) = (0, 0, 0x9e37_79b9_u32);
    let reset_and_again = async {
        loop {
            let peer = RawPeer::connect(addr, device, Shown::honest(&person, &shared));
            // The connection before may still stand in the way.
            let Ok(mut peer) = peer.await else { continue };
            if !peer.is_admitted().await {
                continue;
            }
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let mut left = 1 + random % 300;
            let given_up = Notify::new();
            let serve = peer.serve(&shared, &all, Tells::Truth, |_, bytes| {
                left = left.saturating_sub(1);
                match left {
                    0 => given_up.notify_one(),
                    _ => sent += 1,
                }
                (left > 0).then(|| bytes.to_vec())
            });
            // What is dropped here with requests in its buffer is reset, not closed.
            tokio::select! {
                _ = serve => {}
                () = given_up.notified() => {}
            }
            resets += 1;
        }
    };
    tokio::select! {
        () = reset_and_again => {}
        _ = leecher.completed(&shared) => {}
    }
    assert!(resets >= blocks / 300, "{resets} resets");
    assert!((blocks..=2 * blocks).contains(&sent), "{sent} blocks were sent for {blocks}");
}
