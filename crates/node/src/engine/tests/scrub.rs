//! Bit rot: found, not served, repaired; and told from a change.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{Node, Shared, World};
use crate::engine::prepare::prepare;
use crate::engine::saved::{self, Saved};
use crate::engine::torrent::Msg;
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

/// What the first one's node remembers of the share.
fn saved(node: &Node, shared: &Shared) -> Option<Saved> {
    Saved::load(&node.folder.join(".state"), shared.hash(), &shared.path)
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

/// SIGKILL while a repair writes: the file was changed, and it was us, which was saved before the first byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_was_killed_goes_on() {
    let world = World::new();
    let (shared, seeder, other) = damaged_share(&world).await;
    let pieces = shared.metainfo.piece_count();
    let bad = 1_000_000 / shared.metainfo.piece_length();
    let before = fs::read(&shared.path).unwrap();
    let torrent = seeder.engine.registry.get(&shared.hash()).unwrap();
    let gate = torrent.storage.files().repair_gate.lock().await;
    seeder.meets(&shared, &[&other]);
    let marked = || saved(&seeder, &shared).is_some_and(|saved| saved.repairing == [bad]);
    seeder.until(&shared, |_| marked()).await;
    assert!(fs::read(&shared.path).unwrap() == before, "nothing is written yet");
    // What a kill leaves behind: this, and half of the piece, written just now.
    let state = saved::path(&seeder.folder.join(".state"), shared.hash());
    let kept = fs::read(&state).unwrap();
    let scrubbed = saved(&seeder, &shared).map(|saved| (saved.scrubbed_unix_ms, saved.scrub_next));
    let file = File::options().write(true).open(&shared.path).unwrap();
    let (right, at) = (shared.piece(bad), shared.metainfo.piece_file(bad).offset);
    file.write_all_at(&vec![7; right.len()][..right.len() / 2], at).unwrap();
    drop((file, gate));
    let person = seeder.person.clone();
    seeder.engine.shutdown().await;
    drop(torrent);
    fs::write(&state, kept).unwrap();
    let source = || Source::Seed { path: shared.path.clone(), leaves: None };
    let prepared = prepare(&shared.metainfo, source(), state.parent().unwrap(), &|_| false).unwrap();
    assert_eq!(prepared.scrubbed, scrubbed, "the others were looked at all the same");
    let mut seeder = world.node(person).await;
    seeder.add(&shared, Source::Seed { path: shared.path.clone(), leaves: None }).await.unwrap();
    let status = seeder.until(&shared, |status| status.state == TorrentState::Repairing).await;
    assert_eq!(status.piece_map.count(), pieces - 1);
    seeder.meets(&shared, &[&other]);
    seeder.event(|event| matches!(event, EngineEvent::Repaired { .. }).then_some(())).await;
    assert!(fs::read(&shared.path).unwrap() == shared.content);
    assert_eq!(scrub(&seeder, &shared).await, Ok(Scrubbed { pieces, damaged: 0 }));
    let seeder = &seeder;
    seeder.until(&shared, |_| saved(seeder, &shared).is_some_and(|saved| saved.repairing.is_empty())).await;
}

/// The same of files that are served as a download, as what `--leave` keeps is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_of_a_download_that_was_killed_goes_on() {
    let world = World::new();
    let (shared, seeder, mut other) = two_holders(&world).await;
    let copy = other.folder.join("file.bin");
    rot(&other, &shared, 1_000_000);
    assert_eq!(scrub(&other, &shared).await.unwrap().damaged, 1);
    damaged(&mut other).await;
    let person = other.person.clone();
    other.engine.shutdown().await;
    let state_dir = other.folder.join(".state");
    let mut saved = Saved::load(&state_dir, shared.hash(), &copy.canonicalize().unwrap()).unwrap();
    let bad = 1_000_000 / shared.metainfo.piece_length();
    saved.repairing = vec![bad];
    saved.store(&state_dir).unwrap();
    let file = File::options().write(true).open(&copy).unwrap();
    file.write_all_at(&[7; 1_000], shared.metainfo.piece_file(bad).offset).unwrap();
    let mut other = world.node(person).await;
    other.download(&shared).await;
    other.until(&shared, |status| status.state == TorrentState::Repairing).await;
    other.meets(&shared, &[&seeder]);
    other.event(|event| matches!(event, EngineEvent::Repaired { .. }).then_some(())).await;
    assert!(fs::read(&copy).unwrap() == shared.content);
}

/// Nor is an edit of what was damaged undone, though it puts the time back, when no repair had begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_what_was_damaged_is_left_alone() {
    let world = World::new();
    let (shared, seeder, other) = damaged_share(&world).await;
    let person = seeder.person.clone();
    seeder.engine.shutdown().await;
    edit(&shared.path, 1_000_000 + 1);
    let edited = fs::read(&shared.path).unwrap();
    let seeder = world.node(person).await;
    seeder.add(&shared, Source::Seed { path: shared.path.clone(), leaves: None }).await.unwrap();
    seeder.meets(&shared, &[&other]);
    seeder.until(&shared, |status| matches!(status.state, TorrentState::Failed { .. })).await;
    assert!(fs::read(&shared.path).unwrap() == edited);
}

/// What went bad a second time waits, and is not taken for right meanwhile: not when another piece goes bad, is repaired or
/// could not be read, nor in what is told and saved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_bad_again_is_not_served_while_it_waits() {
    let world = World::new();
    let (shared, mut seeder, other) = damaged_share(&world).await;
    let pieces = shared.metainfo.piece_count();
    let piece = |at: u64| u32::try_from(at).unwrap() / shared.metainfo.piece_length();
    let (bad, next) = (1_000_000, 2_000_000);
    // She alone dials.
    other.meets(&shared, &[]);
    seeder.meets(&shared, &[&other]);
    seeder.event(|event| matches!(event, EngineEvent::Repaired { .. }).then_some(())).await;
    seeder.meets(&shared, &[]);
    for at in [bad, next] {
        rot(&seeder, &shared, at);
        assert_eq!(scrub(&seeder, &shared).await.unwrap().damaged, 1);
        damaged(&mut seeder).await;
    }
    let torrent = seeder.engine.registry.get(&shared.hash()).unwrap();
    assert!(!torrent.have.get(piece(bad)) && !torrent.have.get(piece(next)));
    let is_saved = |right: u32| {
        let saved = saved(&seeder, &shared).unwrap().have(pieces);
        !saved.get(piece(bad)) && saved.count() == right
    };
    seeder.until(&shared, |_| is_saved(pieces - 2)).await;

    seeder.meets(&shared, &[&other]);
    let status = seeder.until(&shared, |status| status.piece_map.get(piece(next))).await;
    assert!(!status.piece_map.get(piece(bad)) && status.state == TorrentState::Repairing);
    seeder.until(&shared, |_| is_saved(pieces - 1)).await;
    // Somebody new is not told of it.
    let leecher = world.member(3).await;
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    let got = leecher.until(&shared, |status| status.pieces_done == pieces - 1).await;
    assert!(!got.piece_map.get(piece(bad)) && !got.peers[0].piece_map.get(piece(bad)));
    // When its time has come, it is fetched as any other.
    seeder.event(|event| matches!(event, EngineEvent::Repaired { .. }).then_some(())).await;
    assert!(fs::read(&shared.path).unwrap() == shared.content && torrent.have.get(piece(bad)));
    seeder.until(&shared, |status| status.state == TorrentState::Seeding).await;
}

/// What serving could not read is not served before it is known to be right, whatever else goes bad.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_looked_at_is_not_served_meanwhile() {
    let world = World::new();
    let (shared, mut seeder, _other) = two_holders(&world).await;
    let pieces = shared.metainfo.piece_count();
    let piece = |at: u32| at / shared.metainfo.piece_length();
    let torrent = seeder.engine.registry.get(&shared.hash()).unwrap();
    let files = torrent.storage.files();
    let gate = files.look_gate.lock().await;
    files.unreadable_at.store(1_000_000, Ordering::Relaxed);
    torrent.tell(Msg::Unreadable(vec![piece(1_000_000)]));
    rot(&seeder, &shared, 2_000_000);
    torrent.tell(Msg::Unreadable(vec![piece(2_000_000)]));
    let why = damaged(&mut seeder).await;
    assert!(why.starts_with("a piece of `"), "{why}");
    assert!(!torrent.have.get(piece(1_000_000)) && !torrent.have.get(piece(2_000_000)));
    let is_saved = || saved(&seeder, &shared).is_some_and(|saved| saved.have(pieces).count() == pieces - 2);
    seeder.until(&shared, |_| is_saved()).await;
    // It was nothing.
    files.unreadable_at.store(u64::MAX, Ordering::Relaxed);
    drop(gate);
    let status = seeder.until(&shared, |status| status.piece_map.get(piece(1_000_000))).await;
    assert!(torrent.have.get(piece(1_000_000)) && !status.piece_map.get(piece(2_000_000)));
}

/// Killed before a complete download was on the device: that it is, is said only when it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_synced_is_synced_after_a_restart() {
    let world = World::new();
    let (shared, _seeder, other) = two_holders(&world).await;
    let copy = other.folder.join("file.bin").canonicalize().unwrap();
    let (person, state_dir) = (other.person.clone(), other.folder.join(".state"));
    other.engine.shutdown().await;
    for source in [Source::Seed { path: copy.clone(), leaves: None }, world.fetched_by(&person)] {
        let mut before = Saved::load(&state_dir, shared.hash(), &copy).unwrap();
        before.synced = false;
        before.store(&state_dir).unwrap();
        let node = world.node(person.clone()).await;
        node.add(&shared, source).await.unwrap();
        let is_synced = || Saved::load(&state_dir, shared.hash(), &copy).is_some_and(|saved| saved.synced);
        node.until(&shared, |_| is_synced()).await;
        let torrent = node.engine.registry.get(&shared.hash()).unwrap();
        assert_eq!(torrent.storage.files().syncs.load(Ordering::Relaxed), 1);
        node.engine.shutdown().await;
    }
}

/// An edit of anything else than what was damaged stays one, also beside a repair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_beside_a_repair_that_was_killed_ends_the_share() {
    let world = World::new();
    let (shared, seeder, other) = damaged_share(&world).await;
    let person = seeder.person.clone();
    seeder.engine.shutdown().await;
    let mut before = saved(&seeder, &shared).unwrap();
    before.repairing = vec![1_000_000 / shared.metainfo.piece_length()];
    before.store(&seeder.folder.join(".state")).unwrap();
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
