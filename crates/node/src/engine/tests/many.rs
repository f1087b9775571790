//! Many torrents at once, and little memory for all of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use peerage_wire::{BLOCK_BYTES_WIRE_MAX, BlockRef, Message};

use super::folders::{add, seed, share_as, tree};
use super::raw::RawPeer;
use super::world::{Node, World, soon};
use crate::engine::files::{HANDLES_ALL_MAX, HANDLES_SEEN};
use crate::engine::{EngineEvent, Source, TorrentState};

const TORRENTS: usize = 200;
const FILES: usize = 6;
const MIB: u64 = 1 << 20;

/// So many downloads complete.
async fn complete(leecher: &mut Node, count: usize) {
    for _ in 0..count {
        let complete = leecher.event(|event| match event {
            EngineEvent::Completed { .. } => Some(()),
            EngineEvent::Failed { why, .. } | EngineEvent::ShareBroken { why, .. } => panic!("{why}"),
            _ => None,
        });
        soon(complete).await;
    }
}

fn into(leecher: &Node, number: usize) -> Source {
    let folder = leecher.folder.join(number.to_string());
    std::fs::create_dir(&folder).unwrap();
    Source::Download {
        folder,
        file_name: "album".parse().unwrap(),
        wanted: None,
        levels: Vec::new(),
        preview: false,
        into_existing: false,
    }
}

/// Two hundred shares are fetched at the same time; files are open only as many as allowed, and one for each torrent on
/// each side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_shares_are_fetched_at_once() {
    let world = World::new();
    let (seeder, mut leecher) = (world.member(1).await, world.member(2).await);
    let mut folders = Vec::new();
    for number in 0..TORRENTS {
        let names: Vec<String> = (0..FILES).map(|file| format!("{file}")).collect();
        let files: Vec<(&str, usize)> = names
            .iter()
            .enumerate()
            .map(|(file, name)| (name.as_str(), 20_000 + number * 7 + file))
            .collect();
        let folder = share_as(&world, &format!("shared-{number}"), tree(&files));
        seed(&seeder, &folder).await;
        add(&leecher, &folder, into(&leecher, number)).await.unwrap();
        folders.push(folder);
    }
    for folder in &folders {
        // Every file is opened, and would stay open until the next look around.
        let scrubbed = soon(seeder.engine.scrub(folder.metainfo.info_hash())).await.unwrap().unwrap();
        assert_eq!(scrubbed.damaged, 0);
    }
    for folder in &folders {
        leecher.engine.set_peers(folder.metainfo.info_hash(), vec![seeder.peer()]);
    }
    complete(&mut leecher, TORRENTS).await;
    assert!(leecher.engine.status().iter().all(|status| status.state == TorrentState::Seeding));
    for (number, folder) in folders.iter().enumerate() {
        for file in 0..FILES {
            let at = leecher.folder.join(format!("{number}/album/{file}"));
            assert!(std::fs::read(at).unwrap() == std::fs::read(folder.path.join(file.to_string())).unwrap());
        }
    }
    // Other tests of this process have some, too.
    let seen = HANDLES_SEEN.load(Ordering::Relaxed);
    println!("{seen} files were open");
    assert!(seen < HANDLES_ALL_MAX + 2 * TORRENTS + 200, "{seen} files were open");
}

/// Connections that read several runs at once do not each hold a part of the memory and wait for the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_share_little_memory() {
    const SHARES: usize = 30;
    let world = World::new();
    let person = world.join(1);
    let seeder = world.node_with(person, |config| config.upload_memory_bytes = MIB).await;
    let mut leecher = world.member(2).await;
    let mut folders = Vec::new();
    for number in 0..SHARES {
        let names: Vec<String> = (0..40).map(|file| format!("{file}")).collect();
        let files: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 20_000 + number)).collect();
        let folder = share_as(&world, &format!("shared-{number}"), tree(&files));
        seed(&seeder, &folder).await;
        add(&leecher, &folder, into(&leecher, number)).await.unwrap();
        folders.push(folder);
    }
    for folder in &folders {
        leecher.engine.set_peers(folder.metainfo.info_hash(), vec![seeder.peer()]);
    }
    complete(&mut leecher, SHARES).await;
}

/// Members who ask for much and read nothing stop nobody by the memory that they hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_does_not_stop_the_others() {
    let world = World::new();
    let shared = world.share(48 * MIB as usize);
    let seeder = world.node_with(world.join(1), |config| config.upload_memory_bytes = MIB).await;
    seeder.seed(&shared).await;
    let mut idle = Vec::new();
    for number in 3..6 {
        let (to, device) = (seeder.engine.local_addr(), seeder.person.device);
        let mut peer = RawPeer::admitted(to, device, &world.join(number), &shared).await;
        peer.expect(|message| (message == Message::Unchoke).then_some(())).await;
        for piece in 0..shared.metainfo.piece_count() {
            for begin in (0..shared.metainfo.piece_bytes(piece)).step_by(BLOCK_BYTES_WIRE_MAX as usize) {
                let len = BLOCK_BYTES_WIRE_MAX.min(shared.metainfo.piece_bytes(piece) - begin);
                peer.send(&Message::Request(BlockRef { piece, begin, len })).await.unwrap();
            }
        }
        idle.push(peer);
    }
    let budget = &seeder.engine.shared.upload_chunks;
    soon(async {
        while budget.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut leecher = world.member(2).await;
    leecher.download(&shared).await;
    leecher.engine.set_peers(shared.hash(), vec![seeder.peer()]);
    leecher.completed(&shared).await;
    assert_eq!(budget.available_permits(), 0, "and they still hold it");
}
