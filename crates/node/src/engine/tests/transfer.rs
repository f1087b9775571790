//! Honest members among themselves.

use peerage_types::limits::BLOCK_BYTES;
use peerage_wire::Bitfield;

use super::raw::{RawPeer, Shown, Tells, listener};
use super::world::{World, soon};
use crate::engine::{EngineEvent, TorrentState, TorrentStatus};

const MIB: usize = 1 << 20;
const BLOCK: usize = BLOCK_BYTES as usize;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_all_shapes_arrive() {
    let world = World::new();
    let (seeder, mut leecher) = (world.member(1).await, world.member(2).await);
    // The last has pieces of several blocks, and a last piece that is neither whole nor a power of two.
    for len in [0, 1, BLOCK, 5 * BLOCK - 7, 3 * MIB, 70 * MIB + 3 * BLOCK + 11] {
        let shared = world.share(len);
        seeder.seed(&shared).await;
        leecher.download(&shared).await;
        leecher.meets(&shared, &[&seeder]);
        let path = leecher.completed(&shared).await;
        let status = leecher.status(&shared);
        assert_eq!(status.sources.values().sum::<u64>(), len as u64);
        assert_eq!(std::fs::read_dir(&leecher.folder).unwrap().count(), 2, "the file and the state folder");
        leecher.engine.remove(shared.hash()).await;
        std::fs::remove_file(path).unwrap();
    }
    seeder.engine.shutdown().await;
    leecher.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leechers_share_what_they_have() {
    let world = World::new();
    let shared = world.share(20 * MIB);
    let seeder = world.member(1).await;
    let mut leechers = [world.member(2).await, world.member(3).await, world.member(4).await];
    seeder.seed(&shared).await;
    for leecher in &leechers {
        leecher.download(&shared).await;
    }
    // A chain: only the first sees the seeder, so the others get everything from leechers.
    for (index, leecher) in leechers.iter().enumerate() {
        let before = index.checked_sub(1).map_or(&seeder, |before| &leechers[before]);
        leecher.meets(&shared, &[before]);
    }
    for leecher in &mut leechers {
        leecher.completed(&shared).await;
    }
    let sources = |index: usize| leechers[index].status(&shared).sources;
    let all = shared.content.len() as u64;
    assert_eq!(sources(1).get(&leechers[0].person.user), Some(&all));
    assert_eq!(sources(2).get(&leechers[1].person.user), Some(&all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_leechers_share_the_work_of_one_seeder() {
    let world = World::new();
    let shared = world.share(40 * MIB);
    let seeder = world.member(1).await;
    let mut leechers = [world.member(2).await, world.member(3).await, world.member(4).await];
    for leecher in &leechers {
        leecher.download(&shared).await;
    }
    // They know one another before there is anything to get.
    for leecher in &leechers {
        leecher.meets(&shared, &leechers.iter().chain([&seeder]).collect::<Vec<_>>());
    }
    for leecher in &leechers {
        leecher.until(&shared, |status| status.peers.len() == 2).await;
    }
    seeder.seed(&shared).await;
    seeder.meets(&shared, &leechers.iter().collect::<Vec<_>>());
    for leecher in &mut leechers {
        leecher.completed(&shared).await;
    }
    let from_leechers: u64 = leechers
        .iter()
        .map(|leecher| {
            let sources = leecher.status(&shared).sources;
            assert_eq!(sources.values().sum::<u64>(), shared.content.len() as u64);
            sources
                .iter()
                .filter(|(user, _)| **user != seeder.person.user)
                .map(|(_, bytes)| bytes)
                .sum::<u64>()
        })
        .sum();
    assert!(from_leechers > 0, "pieces are shared as soon as they are verified");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_dial_and_one_connection_stays() {
    let world = World::new();
    let shared = world.share(MIB);
    let (a, b) = (world.member(1).await, world.member(2).await);
    a.download(&shared).await;
    b.download(&shared).await;
    a.meets(&shared, &[&b, &a]);
    b.meets(&shared, &[&a, &b]);
    for node in [&a, &b] {
        node.until(&shared, |status| status.peers.len() == 1).await;
    }
    let mut seeder = world.member(3).await;
    seeder.seed(&shared).await;
    seeder.meets(&shared, &[&a]);
    let (mut a, mut b) = (a, b);
    a.completed(&shared).await;
    b.completed(&shared).await;
    assert!(a.status(&shared).peers.len() <= 2 && b.status(&shared).peers.len() == 1);
    // A complete torrent has no wish for peers.
    seeder.engine.shutdown().await;
    assert!(seeder.events.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_goes_on_where_it_was_dropped() {
    let world = World::new();
    let shared = world.share(40 * MIB);
    let pieces = shared.metainfo.piece_count();
    let person = world.join(2);
    let (listener, addr) = listener().await;
    let half_seeder = world.join(3);
    let mut half = Bitfield::new(pieces);
    for piece in (0..pieces).step_by(2) {
        half.set(piece);
    }
    let half_bytes: u64 = half.iter_set().map(|piece| u64::from(shared.metainfo.piece_bytes(piece))).sum();

    let node = world.node(person.clone()).await;
    node.download(&shared).await;
    node.engine.set_peers(shared.hash(), vec![half_seeder.at(addr)]);
    let serve = async {
        let peer = RawPeer::accept(&listener, Shown::honest(&half_seeder, &shared)).await.unwrap();
        peer.serve(&shared, &half, Tells::Truth, |_, bytes| Some(bytes.to_vec())).await
    };
    let watch = async {
        let status = node.until(&shared, |status| status.pieces_done == half.count()).await;
        assert_eq!((status.state, status.bytes_done), (TorrentState::Downloading, half_bytes));
        // Dropped, not shut down.
        drop(node);
    };
    soon(async { tokio::join!(serve, watch) }).await;

    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    // The dropped engine saves in the background: wait for what it leaves behind.
    let state = crate::engine::saved::path(&world.folder(&person).join(".state"), shared.hash());
    let saved = async {
        while crate::engine::saved::Saved::load(
            &world.folder(&person).join(".state"),
            shared.hash(),
            &world.folder(&person).canonicalize().unwrap().join("file.bin"),
        )
        .is_none_or(|saved| saved.have(pieces) != half)
        {
            tokio::task::yield_now().await;
        }
    };
    soon(saved).await;
    assert!(state.exists());
    let mut node = world.node(person).await;
    node.download(&shared).await;
    assert_eq!(node.status(&shared).pieces_done, half.count());
    node.meets(&shared, &[&seeder]);
    node.completed(&shared).await;
    let sources = node.status(&shared).sources;
    assert_eq!(sources.get(&half_seeder.user), Some(&half_bytes), "kept over the restart");
    assert_eq!(sources.get(&seeder.person.user), Some(&(shared.content.len() as u64 - half_bytes)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_halves_make_a_whole() {
    let world = World::new();
    let shared = world.share(40 * MIB);
    let (mut a, mut b) = (world.member(1).await, world.member(2).await);
    for (node, missing) in [(&a, 0..20 * MIB), (&b, 20 * MIB..40 * MIB)] {
        let mut part = shared.content.clone();
        part[missing].fill(0);
        std::fs::write(node.folder.join("file.bin.part"), &part).unwrap();
        node.download(&shared).await;
        let half = |status: &TorrentStatus| {
            status.state == TorrentState::Downloading && status.bytes_done == 20 << 20
        };
        node.until(&shared, half).await;
    }
    // Both directions of one connection are in use at the same time.
    a.meets(&shared, &[&b]);
    a.completed(&shared).await;
    b.completed(&shared).await;
    for node in [&a, &b] {
        assert_eq!(node.status(&shared).sources.values().sum::<u64>(), 20 << 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeder_that_comes_later_is_found() {
    let world = World::new();
    let shared = world.share(MIB);
    let mut leecher = world.member(2).await;
    leecher.download(&shared).await;
    let wanted = |event: &EngineEvent| matches!(event, EngineEvent::WantPeers { .. }).then_some(());
    leecher.event(wanted).await;
    // Nobody is there, and then somebody is.
    let seeder = world.member(1).await;
    leecher.meets(&shared, &[&seeder]);
    seeder.seed(&shared).await;
    leecher.completed(&shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_wanted_the_file_is_told_when_to_go() {
    let world = World::new();
    let shared = world.share(400_000);
    let (seeder, mut leecher) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    leecher.download(&shared).await;
    assert!(!leecher.status(&shared).may_leave);
    leecher.meets(&shared, &[&seeder]);
    leecher.completed(&shared).await;
    let left = leecher.until(&shared, |status| status.may_leave).await;
    assert_eq!(left.state, TorrentState::Seeding);
}
