//! Bit rot: found, not served, repaired; and told from a change.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{Node, Shared, World};
use crate::engine::{EngineEvent, Scrubbed, Source, TorrentState};

const MIB: usize = 1 << 20;

/// The disk loses a bit of the share.
fn rot(node: &Node, shared: &Shared, at: u64) {
    node.engine.registry.get(&shared.hash()).unwrap().storage.files().rot(0, at);
}

/// Somebody edits the file, and puts its time back.
pub(super) fn edit(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
}

async fn damaged(node: &mut Node) -> String {
    node.event(|event| match event {
        EngineEvent::Damaged { why, .. } => Some(why.clone()),
        EngineEvent::ShareBroken { why, .. } => panic!("{why}"),
        _ => None,
    })
    .await
}

/// A share and two who have all of it.
async fn two_holders(world: &World) -> (Shared, Node, Node) {
    let shared = world.share(3 * MIB);
    let (seeder, mut other) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    other.download(&shared).await;
    other.meets(&shared, &[&seeder]);
    other.completed(&shared).await;
    (shared, seeder, other)
}

/// The same, but of the first one's copy a piece went bad, which she knows.
async fn damaged_share(world: &World) -> (Shared, Node, Node) {
    let (shared, mut seeder, other) = two_holders(world).await;
    rot(&seeder, &shared, 1_000_000);
    assert_eq!(scrub(&seeder, &shared).await.unwrap().damaged, 1);
    damaged(&mut seeder).await;
    (shared, seeder, other)
}

async fn scrub(node: &Node, shared: &Shared) -> Result<Scrubbed, String> {
    super::world::soon(node.engine.scrub(shared.hash())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_bad_is_not_served_and_repaired() {
    let world = World::new();
    let shared = world.share(3 * MIB);
    let (mut seeder, mut other) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    other.download(&shared).await;
    other.meets(&shared, &[&seeder]);
    let copy = other.completed(&shared).await;
    let pieces = shared.metainfo.piece_count();
    assert_eq!(scrub(&seeder, &shared).await, Ok(Scrubbed { pieces, damaged: 0 }));

    let before = fs::metadata(&shared.path).unwrap().modified().unwrap();
    let last = shared.content.len() as u64 - 1;
    rot(&seeder, &shared, 1_000_000);
    rot(&seeder, &shared, last);
    assert_eq!(scrub(&seeder, &shared).await, Ok(Scrubbed { pieces, damaged: 2 }));
    let why = damaged(&mut seeder).await;
    assert!(why.starts_with("2 pieces of `") && why.contains("went bad on the disk"), "{why}");
    let bad = 1_000_000 / shared.metainfo.piece_length();
    let status = seeder.until(&shared, |status| status.state == TorrentState::Repairing).await;
    assert!(!status.piece_map.get(bad) && !status.piece_map.get(pieces - 1), "not served");
    assert_eq!(status.piece_map.count(), pieces - 2);

    // Nothing is forgotten, and nothing is served, over a restart.
    let person = seeder.person.clone();
    seeder.engine.shutdown().await;
    let mut seeder = world.node(person).await;
    let again = Source::Seed { path: shared.path.clone(), leaves: None };
    seeder.add(&shared, again).await.unwrap();
    let status = seeder.status(&shared);
    assert_eq!((status.state, status.piece_map.count()), (TorrentState::Repairing, pieces - 2));

    // Both hold what the other one lacks or has; the repair goes as any transfer does.
    seeder.meets(&shared, &[&other]);
    seeder.event(|event| matches!(event, EngineEvent::Repaired { .. }).then_some(())).await;
    assert!(fs::read(&shared.path).unwrap() == shared.content);
    assert_eq!(fs::metadata(&shared.path).unwrap().modified().unwrap(), before);
    assert_eq!(seeder.status(&shared).state, TorrentState::Seeding);
    assert_eq!(scrub(&seeder, &shared).await, Ok(Scrubbed { pieces, damaged: 0 }));
    assert!(fs::read(&copy).unwrap() == shared.content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_looked_for_from_time_to_time() {
    let world = World::new();
    let shared = world.share(2 * MIB);
    let person = world.join(1);
    let mut seeder = world.node_with(person, |config| config.scrub_every = Duration::from_millis(300)).await;
    seeder.seed(&shared).await;
    rot(&seeder, &shared, 5);
    let why = damaged(&mut seeder).await;
    assert!(why.starts_with("a piece of `"), "{why}");
    assert!(!seeder.status(&shared).piece_map.get(0));
    // A leecher gets the rest.
    let leecher = world.member(2).await;
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    let all_but_one = shared.metainfo.piece_count() - 1;
    leecher.until(&shared, |status| status.pieces_done == all_but_one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_changed_is_no_bit_rot() {
    let world = World::new();
    let shared = world.share(2 * MIB);
    let mut seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let mut other = shared.content.clone();
    other[7] ^= 1;
    fs::write(&shared.path, &other).unwrap();
    let why = scrub(&seeder, &shared).await.unwrap_err();
    assert!(why.contains("it has changed since it was shared"), "{why}");
    seeder.event(|event| matches!(event, EngineEvent::ShareBroken { .. }).then_some(())).await;
    assert!(fs::read(&shared.path).unwrap() == other, "it is left alone");
}

/// The right bytes are kept until the disk takes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_failed_is_tried_again() {
    let world = World::new();
    let (shared, mut seeder, other) = damaged_share(&world).await;
    let torrent = seeder.engine.registry.get(&shared.hash()).unwrap();
    torrent.storage.files().is_full.store(true, Ordering::Relaxed);
    seeder.meets(&shared, &[&other]);
    let why = damaged(&mut seeder).await;
    assert!(why.contains("cannot be repaired (") && why.contains("tried again"), "{why}");
    torrent.storage.files().is_full.store(false, Ordering::Relaxed);
    seeder.event(|event| matches!(event, EngineEvent::Repaired { .. }).then_some(())).await;
    assert!(fs::read(&shared.path).unwrap() == shared.content);
}

/// An edit while the right piece is still to come: it ends the share, instead of being tried again for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_during_a_repair_is_left_alone() {
    let world = World::new();
    let (shared, mut seeder, other) = damaged_share(&world).await;
    edit(&shared.path, 2_000_000);
    let edited = fs::read(&shared.path).unwrap();
    seeder.meets(&shared, &[&other]);
    let why = seeder
        .event(|event| match event {
            EngineEvent::ShareBroken { why, .. } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(why.contains("its content has changed, though"), "{why}");
    assert!(fs::read(&shared.path).unwrap() == edited);
}

/// One sector that the device cannot read costs the piece that it is in, not the share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_while_it_is_served_is_repaired() {
    let world = World::new();
    let (shared, mut seeder, other) = two_holders(&world).await;
    let torrent = seeder.engine.registry.get(&shared.hash()).unwrap();
    torrent.storage.files().unreadable_at.store(1_000_000, Ordering::Relaxed);

    let mut leecher = world.member(3).await;
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    let why = damaged(&mut seeder).await;
    assert!(why.starts_with("a piece of `"), "{why}");
    let all_but_one = shared.metainfo.piece_count() - 1;
    leecher.until(&shared, |status| status.pieces_done == all_but_one).await;
    assert_eq!(seeder.status(&shared).state, TorrentState::Repairing);

    torrent.storage.files().unreadable_at.store(u64::MAX, Ordering::Relaxed);
    seeder.meets(&shared, &[&other]);
    seeder.event(|event| matches!(event, EngineEvent::Repaired { .. }).then_some(())).await;
    leecher.completed(&shared).await;
}

/// Even when it looks as before, nobody's work is undone: not of a node that runs, nor while it did not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_puts_the_time_back_is_no_bit_rot() {
    let world = World::new();
    let shared = world.share(2 * MIB);
    let (seeder, mut other) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    other.download(&shared).await;
    other.meets(&shared, &[&seeder]);
    let copy = other.completed(&shared).await;
    let person = other.person.clone();
    other.engine.shutdown().await;
    for path in [&shared.path, &copy] {
        edit(path, 1_000_000);
    }
    let edited = fs::read(&shared.path).unwrap();
    let other = world.node(person).await;
    other.download(&shared).await;
    for node in [&seeder, &other] {
        let why = scrub(node, &shared).await.unwrap_err();
        assert_eq!(why, "its content has changed, though its size and time have not");
        node.until(&shared, |status| matches!(status.state, TorrentState::Failed { .. })).await;
    }
    assert!(fs::read(&shared.path).unwrap() == edited && fs::read(&copy).unwrap() == edited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_complete_is_looked_at() {
    let world = World::new();
    let shared = world.share(MIB);
    let leecher = world.member(1).await;
    leecher.download(&shared).await;
    assert_eq!(scrub(&leecher, &shared).await, Err("it is not complete".to_owned()));
    leecher.engine.remove(shared.hash()).await;
    assert_eq!(leecher.engine.scrub(shared.hash()).await, None);
}

/// Another mode or name moves the change time, and is no edit: a clean look goes by the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_touched_and_is_right_is_known_again() {
    let world = World::new();
    let shared = world.share(3 * MIB);
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let torrent = seeder.engine.registry.get(&shared.hash()).unwrap();
    fs::hard_link(&shared.path, world.dir.path().join("another name")).unwrap();
    let why = torrent.storage.files().check_untouched(0).unwrap_err().to_string();
    assert_eq!(why, "its content has changed, though its size and time have not");
    assert_eq!(scrub(&seeder, &shared).await.unwrap().damaged, 0);
    torrent.storage.files().check_untouched(0).unwrap();
}

/// SIGKILL while a repair writes: the file was changed, and it was us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_was_killed_goes_on() {
    let world = World::new();
    let (shared, seeder, other) = damaged_share(&world).await;
    let pieces = shared.metainfo.piece_count();
    let person = seeder.person.clone();
    seeder.engine.shutdown().await;
    // As far as it came.
    edit(&shared.path, 1_000_000 + 1);
    let mut seeder = world.node(person).await;
    seeder.add(&shared, Source::Seed { path: shared.path.clone(), leaves: None }).await.unwrap();
    let status = seeder.until(&shared, |status| status.state == TorrentState::Repairing).await;
    assert_eq!(status.piece_map.count(), pieces - 1);
    seeder.meets(&shared, &[&other]);
    seeder.event(|event| matches!(event, EngineEvent::Repaired { .. }).then_some(())).await;
    assert!(fs::read(&shared.path).unwrap() == shared.content);
    assert_eq!(scrub(&seeder, &shared).await, Ok(Scrubbed { pieces, damaged: 0 }));
}

/// An edit of anything else than what was damaged stays one, also beside a repair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_beside_a_repair_that_was_killed_ends_the_share() {
    let world = World::new();
    let (shared, seeder, other) = damaged_share(&world).await;
    let person = seeder.person.clone();
    seeder.engine.shutdown().await;
    edit(&shared.path, 2_000_000);
    let edited = fs::read(&shared.path).unwrap();
    let seeder = world.node(person).await;
    seeder.add(&shared, Source::Seed { path: shared.path.clone(), leaves: None }).await.unwrap();
    let failed = |state: &TorrentState| matches!(state, TorrentState::Failed { .. });
    seeder.until(&shared, |status| failed(&status.state)).await;
    seeder.meets(&shared, &[&other]);
    assert!(fs::read(&shared.path).unwrap() == edited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_it_is_can_be_seen() {
    let world = World::new();
    let shared = world.share(12 * MIB);
    let person = world.join(1);
    let seeder = world.node_with(person, |config| config.scrub_every = Duration::ZERO).await;
    seeder.seed(&shared).await;
    let status =
        seeder.until(&shared, |status| status.scrub_percent.is_some_and(|percent| percent > 0)).await;
    assert!(status.scrub_percent < Some(100), "{:?}", status.scrub_percent);
}
