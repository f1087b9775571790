//! Many torrents at once.

use std::sync::atomic::Ordering;

use peerage_types::InfoHash;

use super::folders::{add, seed, share_as, tree};
use super::world::{World, soon};
use crate::engine::files::{HANDLES_ALL_MAX, HANDLES_SEEN};
use crate::engine::{EngineEvent, Source, TorrentState};

const TORRENTS: usize = 200;
const FILES: usize = 6;

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
        let to = leecher.folder.join(number.to_string());
        std::fs::create_dir(&to).unwrap();
        let source = Source::Download {
            folder: to,
            file_name: "album".parse().unwrap(),
            wanted: None,
            levels: Vec::new(),
            preview: false,
            into_existing: false,
        };
        add(&leecher, &folder, source).await.unwrap();
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
    let mut done: Vec<InfoHash> = Vec::new();
    while done.len() < TORRENTS {
        let complete = leecher.event(|event| match event {
            EngineEvent::Completed { info_hash, .. } => Some(*info_hash),
            EngineEvent::Failed { why, .. } | EngineEvent::ShareBroken { why, .. } => panic!("{why}"),
            _ => None,
        });
        done.push(soon(complete).await);
    }
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
