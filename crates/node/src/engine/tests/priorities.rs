//! Which pieces come first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use peerage_swarm::Priority;
use peerage_wire::Bitfield;

use super::folders::{Folder, add, seed, share, tree};
use super::world::{Node, World, soon};
use crate::engine::{EngineEvent, RateLimits, Rates, Source, TorrentStatus};

const MIB: usize = 1 << 20;
/// Slow enough to be watched.
const RATE: u64 = 6 << 20;
/// Pieces that may be written out of order: two threads write, a few pieces each.
const OUT_OF_ORDER_MAX: usize = 40;

fn source(node: &Node, levels: Vec<Priority>, preview: bool) -> Source {
    Source::Download {
        folder: node.folder.clone(),
        file_name: "album".parse().unwrap(),
        wanted: None,
        levels,
        preview,
        into_existing: false,
    }
}

fn status(node: &Node, folder: &Folder) -> TorrentStatus {
    let hash = folder.metainfo.info_hash();
    node.engine.status().into_iter().find(|status| status.info_hash == hash).unwrap()
}

/// Pieces that arrive, in the order in which they do, as far as looking tells.
async fn order(node: &Node, folder: &Folder, until: u32) -> Vec<u32> {
    let mut order: Vec<u32> = Vec::new();
    soon(async {
        while (order.len() as u32) < until {
            let map = status(node, folder).piece_map;
            let fresh: Vec<u32> = map.iter_set().filter(|piece| !order.contains(piece)).collect();
            order.extend(fresh);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    order
}

async fn slow_seeder(world: &World, folder: &Folder) -> Node {
    let seeder = world.member(1).await;
    let all = Rates { up: Some(RATE), down: None };
    seeder.engine.set_limits(&RateLimits { all, groups: BTreeMap::new() });
    seed(&seeder, folder).await;
    seeder
}

fn pieces_of(folder: &Folder, name: &str) -> Range<u32> {
    let file = folder.metainfo.files().iter().position(|file| file.path.to_string() == name).unwrap();
    folder.metainfo.file_pieces(file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_has_both_ends_of_each_file_first() {
    let world = World::new();
    let folder = share(&world, tree(&[("a.mkv", 5 * MIB), ("b.mkv", 5 * MIB)]));
    let (seeder, node) = (slow_seeder(&world, &folder).await, world.member(2).await);
    add(&node, &folder, source(&node, Vec::new(), true)).await.unwrap();
    node.engine.set_peers(folder.metainfo.info_hash(), vec![seeder.peer()]);
    let ends = (MIB as u32).div_ceil(folder.metainfo.piece_length());
    let files = [pieces_of(&folder, "a.mkv"), pieces_of(&folder, "b.mkv")];
    let is_end = |piece: &u32| {
        files
            .iter()
            .any(|file| file.contains(piece) && (piece - file.start < ends || file.end - piece <= ends))
    };
    let all_ends = 4 * ends;
    let order = order(&node, &folder, all_ends).await;
    let others = order[..all_ends as usize].iter().filter(|piece| !is_end(piece)).count();
    assert!(others <= OUT_OF_ORDER_MAX, "{others} of the first {all_ends} pieces are in the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_as_they_are_wanted_also_when_that_changes() {
    let world = World::new();
    let folder = share(&world, tree(&[("a", 2 * MIB), ("b", 2 * MIB), ("c", 2 * MIB)]));
    let (seeder, mut node) = (slow_seeder(&world, &folder).await, world.member(2).await);
    let hash = folder.metainfo.info_hash();
    add(&node, &folder, source(&node, vec![Priority::Low, Priority::Normal, Priority::First], false))
        .await
        .unwrap();
    node.engine.set_peers(hash, vec![seeder.peer()]);
    let (a, b, c) = (pieces_of(&folder, "a"), pieces_of(&folder, "b"), pieces_of(&folder, "c"));
    let first = order(&node, &folder, c.len() as u32).await;
    let others = first[..c.len()].iter().filter(|piece| !c.contains(piece)).count();
    assert!(others <= OUT_OF_ORDER_MAX, "{others} pieces came before the file that is wanted most");

    // `b` is not wanted any more, `a` is what is left.
    let mut wanted = Bitfield::full(3);
    wanted.clear(1);
    node.engine.set_files(hash, Some(wanted), &[Priority::Normal; 3], false);
    node.event(|event| matches!(event, EngineEvent::Completed { .. }).then_some(())).await;
    let status = status(&node, &folder);
    assert_eq!((status.wanted_done, status.wanted_total), (4 << 20, 4 << 20));
    assert!(b.clone().any(|piece| !status.piece_map.get(piece)), "what was not wanted did not come");
    assert!(a.clone().chain(c).all(|piece| status.piece_map.get(piece)));
    let at = |name: &str| std::fs::read(node.folder.join("album").join(name)).ok();
    let shared = |name: &str| std::fs::read(folder.path.join(name)).ok();
    assert!(at("a") == shared("a") && at("c") == shared("c") && at("b").is_none());
    assert!(Arc::strong_count(&folder.metainfo) > 1);
}
