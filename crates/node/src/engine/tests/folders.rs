//! Shares of whole folders: where their files go, what is reused, what is noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use peerage_metainfo::{HashJob, Leaves, Metainfo, hash_path};

use super::world::{GROUP, Node, World, soon};
use crate::engine::files::HANDLES_MAX;
use crate::engine::{AddError, EngineEvent, Source, TorrentSpec, TorrentState};

/// Content by path.
pub(super) type Tree = BTreeMap<String, Vec<u8>>;

pub(super) struct Folder {
    pub(super) path: PathBuf,
    tree: Tree,
    pub(super) metainfo: Arc<Metainfo>,
    leaves: Leaves,
}

pub(super) fn tree(files: &[(&str, usize)]) -> Tree {
    let content = |(seed, (path, len)): (usize, &(&str, usize))| {
        let bytes = (0..*len).map(|i| (i / 241 + i * 3 + seed * 29) as u8).collect();
        ((*path).to_owned(), bytes)
    };
    files.iter().enumerate().map(content).collect()
}

fn write(root: &Path, tree: &Tree) {
    for (path, bytes) in tree {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn read(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

pub(super) fn share(world: &World, tree: Tree) -> Folder {
    share_as(world, "shared-album", tree)
}

pub(super) fn share_as(world: &World, folder: &str, tree: Tree) -> Folder {
    let path = world.dir.path().join(folder);
    write(&path, &tree);
    let (quiet, cancelled) = (|_: u64| {}, AtomicBool::new(false));
    let name = &"album".parse().unwrap();
    let job =
        HashJob { path: &path, name, group: GROUP, found: &quiet, progress: &quiet, cancelled: &cancelled };
    let hashed = hash_path(&job).unwrap();
    Folder { path, tree, metainfo: Arc::new(hashed.metainfo), leaves: hashed.leaves }
}

pub(super) async fn add(node: &Node, folder: &Folder, source: Source) -> Result<(), AddError> {
    let metainfo = Arc::clone(&folder.metainfo);
    node.engine.add(TorrentSpec { group: GROUP, metainfo, source, rank: None, seed: 1 }).await
}

pub(super) async fn seed(node: &Node, folder: &Folder) {
    let source = Source::Seed { path: folder.path.clone(), leaves: Some(folder.leaves.clone()) };
    add(node, folder, source).await.unwrap();
}

pub(super) fn to(node: &Node, into_existing: bool) -> Source {
    Source::Download {
        folder: node.folder.clone(),
        file_name: "album".parse().unwrap(),
        wanted: None,
        levels: Vec::new(),
        preview: false,
        into_existing,
    }
}

async fn completed(node: &mut Node, folder: &Folder) {
    node.event(|event| match event {
        EngineEvent::Completed { .. } => Some(()),
        EngineEvent::Failed { why, .. } => panic!("{why}"),
        _ => None,
    })
    .await;
    assert!(read(&node.folder.join("album")) == folder.tree);
    assert!(!node.folder.join("album.part").exists());
}

fn meets(node: &Node, folder: &Folder, other: &Node) {
    node.engine.set_peers(folder.metainfo.info_hash(), vec![other.peer()]);
}

async fn state(node: &Node, fits: impl Fn(&TorrentState, u64) -> bool) -> (TorrentState, u64) {
    soon(async {
        loop {
            let status = node.engine.status().pop().unwrap();
            if fits(&status.state, status.bytes_done) {
                return (status.state, status.bytes_done);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
}

const MIXED: &[(&str, usize)] = &[
    (".hidden", 3),
    ("a/b/c/deep", 70_000),
    ("a/empty", 0),
    ("big.bin", 3_000_000),
    ("caf\u{e9}/\u{4e2d}\u{6587}", 16_384),
    ("z", 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_arrives_whole_and_is_shared_on() {
    let world = World::new();
    let mut files = tree(MIXED);
    // The same content twice: its hashes are asked for by one root.
    files.insert("twin.bin".into(), files["big.bin"].clone());
    let folder = share(&world, files);
    let (seeder, mut leecher, mut third) =
        (world.member(1).await, world.member(2).await, world.member(3).await);
    seed(&seeder, &folder).await;
    add(&leecher, &folder, to(&leecher, false)).await.unwrap();
    meets(&leecher, &folder, &seeder);
    completed(&mut leecher, &folder).await;
    let status = leecher.engine.status().pop().unwrap();
    assert_eq!(status.bytes_done, folder.metainfo.total_bytes());

    add(&third, &folder, to(&third, false)).await.unwrap();
    meets(&third, &folder, &leecher);
    completed(&mut third, &folder).await;

    // Nothing is hashed again after a restart.
    let person = leecher.person.clone();
    leecher.engine.shutdown().await;
    let leecher = world.node(person).await;
    let place = leecher.folder.canonicalize().unwrap().join("album");
    add(&leecher, &folder, Source::Seed { path: place, leaves: None }).await.unwrap();
    assert_eq!(leecher.engine.status().pop().unwrap().state, TorrentState::Seeding);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_files_than_handles() {
    let world = World::new();
    let names: Vec<String> = (0..3 * HANDLES_MAX).map(|n| format!("{}/{n}", n % 7)).collect();
    let files: Vec<(&str, usize)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), n * 40)).collect();
    let folder = share(&world, tree(&files));
    let (seeder, mut leecher) = (world.member(1).await, world.member(2).await);
    seed(&seeder, &folder).await;
    add(&leecher, &folder, to(&leecher, false)).await.unwrap();
    meets(&leecher, &folder, &seeder);
    completed(&mut leecher, &folder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_empty_files() {
    let world = World::new();
    let folder = share(&world, tree(&[("a/b", 0), ("c", 0)]));
    let mut node = world.member(1).await;
    add(&node, &folder, to(&node, false)).await.unwrap();
    completed(&mut node, &folder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_folder_that_changes_is_named() {
    for (meddle, expected) in [
        ((|path| std::fs::write(path, "other").unwrap()) as fn(&Path), "it has changed since it was shared"),
        (|path| std::fs::remove_file(path).unwrap(), "it does not exist"),
        (
            |path| {
                std::fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink("/etc/hostname", path).unwrap();
            },
            "it is not a plain file",
        ),
    ] {
        let world = World::new();
        let folder = share(&world, tree(MIXED));
        let (mut seeder, leecher) = (world.member(1).await, world.member(2).await);
        seed(&seeder, &folder).await;
        meddle(&folder.path.join("a/b/c/deep"));
        add(&leecher, &folder, to(&leecher, false)).await.unwrap();
        meets(&leecher, &folder, &seeder);
        let why = seeder
            .event(|event| match event {
                EngineEvent::ShareBroken { why, .. } => Some(why.clone()),
                _ => None,
            })
            .await;
        let place = folder.path.display();
        assert_eq!(why, format!("`{place}` is not shared any more: `a/b/c/deep`: {expected}"));
        seeder.engine.remove(folder.metainfo.info_hash()).await;
        let again = Source::Seed { path: folder.path.clone(), leaves: None };
        let error = add(&seeder, &folder, again).await.map_or_else(|e| e.to_string(), |()| "shared".into());
        assert!(error.contains("`a/b/c/deep`"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_there_is_reused_or_in_the_way() {
    let world = World::new();
    let folder = share(&world, tree(MIXED));
    let (seeder, mut node) = (world.member(1).await, world.member(2).await);
    seed(&seeder, &folder).await;
    let place = node.folder.join("album");
    let mut half = folder.tree.clone();
    half.retain(|path, _| path != "a/b/c/deep" && path != "z");
    half.insert("mine".into(), b"my own".to_vec());
    write(&place, &half);

    // A file of another length, something that is no file, something that is no folder.
    let root = node.folder.canonicalize().unwrap().display().to_string();
    let refused = async |node: &Node| {
        let error = add(node, &folder, to(node, false)).await.unwrap_err().to_string();
        error.replace(&root, "DIR")
    };
    std::fs::write(place.join("z"), "other").unwrap();
    let why = "exists already and is not this download";
    let out = "move it away or choose another name";
    assert_eq!(refused(&node).await, format!("`DIR/album/z` {why} (it has 5 bytes, expected 1): {out}"));
    std::fs::remove_file(place.join("z")).unwrap();
    std::fs::create_dir(place.join("z")).unwrap();
    assert_eq!(refused(&node).await, format!("`DIR/album/z` {why} (it is not a plain file): {out}"));
    std::fs::remove_dir(place.join("z")).unwrap();
    std::fs::write(place.join("a/b"), "").unwrap();
    assert!(refused(&node).await.contains("something that is no folder is in its way"));
    std::fs::remove_file(place.join("a/b")).unwrap();

    // The rest is fetched, and what does not belong to the share stays.
    add(&node, &folder, to(&node, false)).await.unwrap();
    state(&node, |state, done| *state == TorrentState::Downloading && done == 3_016_387).await;
    meets(&node, &folder, &seeder);
    node.event(|event| matches!(event, EngineEvent::Completed { .. }).then_some(())).await;
    let mut whole = folder.tree.clone();
    whole.insert("mine".into(), b"my own".to_vec());
    assert!(read(&place) == whole);
    assert!(!node.folder.join("album.part").exists());
    let status = node.engine.status().pop().unwrap();
    assert_eq!(status.sources.values().sum::<u64>(), 70_001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_content_is_overwritten_only_on_request() {
    let world = World::new();
    let folder = share(&world, tree(MIXED));
    let (seeder, mut node) = (world.member(1).await, world.member(2).await);
    seed(&seeder, &folder).await;
    let place = node.folder.join("album");
    let mut other = folder.tree.clone();
    other.get_mut("big.bin").unwrap()[1_500_000] ^= 1;
    write(&place, &other);
    add(&node, &folder, to(&node, false)).await.unwrap();
    let why = node
        .event(|event| match event {
            EngineEvent::Failed { why, .. } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert!(why.contains("album/big.bin` exists already and has other content"), "{why}");
    assert!(read(&place) == other);

    node.engine.remove(folder.metainfo.info_hash()).await;
    std::fs::write(place.join("z"), "longer").unwrap();
    add(&node, &folder, to(&node, true)).await.unwrap();
    meets(&node, &folder, &seeder);
    completed(&mut node, &folder).await;
    let status = node.engine.status().pop().unwrap();
    let piece = u64::from(folder.metainfo.piece_length());
    assert_eq!(status.sources.values().sum::<u64>(), piece + 1, "only what was wrong was fetched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_folder_is_continued() {
    let world = World::new();
    let folder = share(&world, tree(MIXED));
    let (seeder, mut node) = (world.member(1).await, world.member(2).await);
    seed(&seeder, &folder).await;
    // Nothing is known about it: what is right in it stays. One file has no length yet.
    let part = node.folder.join("album.part");
    let mut there = folder.tree.clone();
    there.remove(".hidden");
    there.get_mut("big.bin").unwrap()[..1_000_000].fill(0);
    there.get_mut("z").unwrap().clear();
    write(&part, &there);
    add(&node, &folder, to(&node, false)).await.unwrap();
    let wrong = 1_000_000_u64.next_multiple_of(u64::from(folder.metainfo.piece_length()));
    let left = folder.metainfo.total_bytes() - wrong - 3 - 1;
    state(&node, |state, done| *state == TorrentState::Downloading && done == left).await;
    // A file that disappears in the meantime is fetched again.
    node.engine.remove(folder.metainfo.info_hash()).await;
    std::fs::remove_file(part.join("a/b/c/deep")).unwrap();
    add(&node, &folder, to(&node, false)).await.unwrap();
    state(&node, |state, done| *state == TorrentState::Downloading && done == left - 70_000).await;
    meets(&node, &folder, &seeder);
    completed(&mut node, &folder).await;
}
