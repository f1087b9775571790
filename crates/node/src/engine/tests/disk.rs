//! What the disk does to us.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::world::{Node, Shared, World};
use crate::engine::files::Files;
use crate::engine::storage::Storage;
use crate::engine::{EngineEvent, Source, TorrentState};

const MIB: usize = 1 << 20;

fn with_storage<T>(node: &Node, shared: &Shared, look: impl FnOnce(&Storage) -> T) -> T {
    look(&node.engine.registry.get(&shared.hash()).unwrap().storage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_pauses_until_there_is_room() {
    let world = World::new();
    let shared = world.share(3 * MIB);
    let (seeder, mut leecher) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    leecher.download(&shared).await;
    let full = |full| {
        with_storage(&leecher, &shared, |storage| storage.files().is_full.store(full, Ordering::Relaxed));
    };
    full(true);
    leecher.meets(&shared, &[&seeder]);
    let status = leecher.until(&shared, |status| matches!(status.state, TorrentState::Paused { .. })).await;
    let TorrentState::Paused { why } = status.state else { panic!() };
    assert!(why.starts_with("no room in `"), "{why}");
    full(false);
    leecher.event(|event| matches!(event, EngineEvent::Resumed { .. }).then_some(())).await;
    leecher.completed(&shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_changes_is_not_served() {
    let world = World::new();
    let shared = world.share(3 * MIB);
    let (mut seeder, leecher) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    std::fs::write(&shared.path, vec![0; 3 * MIB]).unwrap();
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    let why = seeder
        .event(|event| match event {
            EngineEvent::ShareBroken { why, .. } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(why.ends_with("it has changed since it was shared"), "{why}");
    assert!(matches!(seeder.status(&shared).state, TorrentState::Failed { .. }));
    assert!(seeder.status(&shared).peers.is_empty());
    // It is not accepted later, either, unless it is hashed again.
    seeder.engine.remove(shared.hash()).await;
    let source = Source::Seed { path: shared.path.clone(), leaves: None };
    seeder.add(&shared, source).await.unwrap();
    seeder.event(|event| matches!(event, EngineEvent::ShareBroken { .. }).then_some(())).await;
}

/// Between the last byte that was hashed and the first that is served, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_changes_behind_the_hashing_is_refused() {
    let world = World::new();
    let shared = world.share(MIB);
    let seeder = world.member(1).await;
    super::scrub::edit(&shared.path, 5);
    let source = Source::Seed { path: shared.path.clone(), leaves: Some(shared.leaves.clone()) };
    let error = seeder.add(&shared, source).await.unwrap_err().to_string();
    assert!(error.ends_with("it has changed since it was hashed; share it again"), "{error}");
    let again = world.share(MIB);
    seeder.seed(&again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_disappears_is_not_served() {
    let world = World::new();
    let shared = world.share(MIB);
    let (mut seeder, leecher) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    std::fs::remove_file(&shared.path).unwrap();
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    seeder.event(|event| matches!(event, EngineEvent::ShareBroken { .. }).then_some(())).await;
    let source = Source::Seed { path: shared.path.clone(), leaves: None };
    seeder.engine.remove(shared.hash()).await;
    let error = seeder.add(&shared, source).await.unwrap_err().to_string();
    assert!(error.ends_with("cannot be shared: it does not exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_and_downloads_outlive_a_restart() {
    let world = World::new();
    let shared = world.share(3 * MIB);
    let (seeder, mut leecher) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    leecher.completed(&shared).await;
    let (one, two) = (seeder.person.clone(), leecher.person.clone());
    seeder.engine.shutdown().await;
    leecher.engine.shutdown().await;

    // No leaves are given, nothing is hashed again.
    let (seeder, leecher) = (world.node(one).await, world.node(two).await);
    let source = Source::Seed { path: shared.path.clone(), leaves: None };
    seeder.add(&shared, source).await.unwrap();
    leecher.download(&shared).await;
    for node in [&seeder, &leecher] {
        assert_eq!(node.status(&shared).state, TorrentState::Seeding);
    }
    assert_eq!(leecher.status(&shared).sources.len(), 1);
    let mut third = world.member(3).await;
    third.download(&shared).await;
    third.meets(&shared, &[&leecher]);
    third.completed(&shared).await;

    // A share of which nothing was kept is hashed first.
    let fourth = world.member(4).await;
    fourth.add(&shared, Source::Seed { path: shared.path.clone(), leaves: None }).await.unwrap();
    fourth.until(&shared, |status| status.state == TorrentState::Seeding).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_overwritten() {
    let world = World::new();
    let (shared, other) = (world.share(3 * MIB), world.share(2 * MIB));
    let node = world.member(1).await;
    let place = node.folder.join("file.bin");
    let refused = async |shared: &Shared| {
        let error = node.try_download(shared, &node.folder).await.unwrap_err().to_string();
        error.replace(&node.folder.canonicalize().unwrap().display().to_string(), "DIR")
    };

    std::fs::write(&place, "mine").unwrap();
    assert_eq!(
        refused(&shared).await,
        "`DIR/file.bin` exists already and is not this download (it has 4 bytes, expected 3145728): move it away or \
         choose another name"
    );
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    assert!(refused(&shared).await.contains("it is not a plain file"));
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(node.folder.join("file.bin.part"), "mine").unwrap();
    assert!(refused(&shared).await.contains("file.bin.part` exists already"));
    std::fs::remove_file(node.folder.join("file.bin.part")).unwrap();
    let missing = node.try_download(&shared, &node.folder.join("none")).await.unwrap_err();
    assert!(missing.to_string().starts_with("cannot use the folder"), "{missing}");

    node.download(&shared).await;
    assert!(refused(&shared).await.ends_with("is already running"));
    assert_eq!(refused(&other).await, "`DIR/file.bin` is already the place of another transfer");
    node.engine.remove(shared.hash()).await;
    // The unfinished part stays, and is in the way of another content.
    assert!(refused(&other).await.contains("it has 3145728 bytes, expected 2097152"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_there_already_is_checked() {
    let world = World::new();
    let shared = world.share(3 * MIB);
    let mut node = world.member(1).await;
    let place = node.folder.join("file.bin");
    std::fs::write(&place, &shared.content).unwrap();
    node.download(&shared).await;
    node.until(&shared, |status| status.state == TorrentState::Seeding).await;
    node.engine.remove(shared.hash()).await;

    let mut changed = shared.content.clone();
    changed[MIB] ^= 1;
    std::fs::write(&place, &changed).unwrap();
    node.download(&shared).await;
    let why = node
        .event(|event| match event {
            EngineEvent::Failed { why, .. } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(why.contains("exists already and has other content"), "{why}");
    assert!(std::fs::read(&place).unwrap() == changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_which_nothing_is_known_is_checked() {
    let world = World::new();
    let shared = world.share(3 * MIB);
    let (seeder, mut node) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    let mut part = shared.content.clone();
    part[..MIB].fill(0);
    std::fs::write(node.folder.join("file.bin.part"), &part).unwrap();
    node.download(&shared).await;
    node.until(&shared, |status| status.state == TorrentState::Downloading && status.bytes_done == 2 << 20)
        .await;
    node.meets(&shared, &[&seeder]);
    node.completed(&shared).await;
    assert_eq!(node.status(&shared).sources.values().sum::<u64>(), MIB as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_sidecar_is_made_again() {
    let world = World::new();
    let shared = world.share(40 * MIB);
    let (seeder, mut leecher) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    let sidecar = crate::engine::saved::sidecar_path(&seeder.folder.join(".state"), shared.hash());
    assert_eq!(std::fs::metadata(&sidecar).unwrap().len(), 32 * shared.leaves.kept().len() as u64);
    std::fs::write(&sidecar, "lost").unwrap();
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    leecher.completed(&shared).await;
    assert!(Arc::strong_count(&shared.metainfo) > 1);
    let leaves = std::fs::read(&sidecar).unwrap();
    assert_eq!(leaves.len(), 32 * shared.leaves.kept().len());
}

#[test]
fn a_file_that_is_being_named_can_be_read() {
    let world = World::new();
    let shared = world.share(1000);
    for attempt in 0..500 {
        let (place, part) =
            (world.dir.path().join(format!("{attempt}")), world.dir.path().join(format!("{attempt}.part")));
        let files = Files::new(Arc::clone(&shared.metainfo), place, part);
        files.write_all_at(0, &shared.content, 0).unwrap();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                while !files.is_settled(0) {
                    // Whoever serves it may have to open it at any moment.
                    files.close();
                    files.read_exact_at(0, &mut [0; 10], 500).unwrap();
                }
            });
            files.finish(&|_| true).unwrap();
            reading.join().unwrap();
        });
    }
}
