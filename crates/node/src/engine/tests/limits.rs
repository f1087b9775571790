//! Rates that are limited, measured by the bytes that came.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerage_wire::Bitfield;

use super::raw::{RawPeer, Shown, Tells, listener};
use super::world::{GROUP, Node, Shared, World, soon};
use crate::engine::limits::Direction;
use crate::engine::{RATE_MIN, RateLimits, Rates};

const MIB: usize = 1 << 20;
const RATE: u64 = 3 << 20;

/// Bytes that have come, per second of the time in which they did, begun when the first MiB was there.
async fn rate(leechers: &[&Node], shared: &Shared) -> f64 {
    let total = || -> u64 {
        let peers = leechers.iter().flat_map(|leecher| leecher.status(shared).peers);
        peers.map(|peer| peer.bytes_from).sum()
    };
    let wanted = (leechers.len() * shared.content.len() - 2 * MIB) as u64;
    let (mut first, mut seen) = (None, 0);
    loop {
        // The status is that of a moment: only when it is another one it is that of this moment.
        let bytes = total();
        if bytes > seen && bytes >= MIB as u64 {
            seen = bytes;
            let (since, before) = *first.get_or_insert((Instant::now(), bytes));
            if bytes >= wanted {
                return (bytes - before) as f64 / since.elapsed().as_secs_f64();
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A machine that is busy makes it slower, nothing makes it faster.
#[track_caller]
fn assert_held(rate: f64) {
    println!("{rate:.0} bytes/s, {:.3} of the limit", rate / RATE as f64);
    assert!(rate <= 1.1 * RATE as f64, "{rate}");
    assert!(rate >= 0.5 * RATE as f64, "{rate}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeder_keeps_to_its_limit_with_all_peers_together() {
    let world = World::new();
    let shared = world.share(7 * MIB);
    let (seeder, mut one, mut two) = (world.member(1).await, world.member(2).await, world.member(3).await);
    seeder
        .engine
        .set_limits(&RateLimits { all: Rates { up: Some(RATE), down: None }, groups: BTreeMap::new() });
    seeder.seed(&shared).await;
    for leecher in [&one, &two] {
        leecher.download(&shared).await;
        leecher.meets(&shared, &[&seeder]);
    }
    assert_held(rate(&[&one, &two], &shared).await);
    one.completed(&shared).await;
    two.completed(&shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leecher_keeps_to_its_limit_until_that_is_lifted() {
    let world = World::new();
    let shared = world.share(14 * MIB);
    let (one, two, mut leecher) = (world.member(1).await, world.member(2).await, world.member(3).await);
    let rates = Rates { down: Some(RATE), up: None };
    let limits = RateLimits { all: Rates::default(), groups: BTreeMap::from([(GROUP, rates)]) };
    leecher.engine.set_limits(&limits);
    one.seed(&shared).await;
    two.seed(&shared).await;
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&one, &two]);
    assert_held(rate(&[&leecher], &shared).await);
    leecher.engine.set_limits(&RateLimits::default());
    leecher.completed(&shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lowest_limit_still_gets_there() {
    let world = World::new();
    let shared = world.share(400_000);
    let (seeder, mut leecher) = (world.member(1).await, world.member(2).await);
    let all = Rates { down: Some(RATE_MIN), up: None };
    seeder
        .engine
        .set_limits(&RateLimits { all: Rates { up: Some(65_536), down: None }, groups: BTreeMap::new() });
    leecher.engine.set_limits(&RateLimits { all, groups: BTreeMap::new() });
    seeder.seed(&shared).await;
    leecher.download(&shared).await;
    leecher.meets(&shared, &[&seeder]);
    leecher.until(&shared, |status| status.bytes_done > 100_000).await;
    assert_eq!(leecher.status(&shared).peers.len(), 1, "nobody gave up");
    leecher.engine.set_limits(&RateLimits::default());
    leecher.completed(&shared).await;
}

/// Many connections that share a low limit are read from in turn, and each waits for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_our_own_limit_is_nobodys_silence() {
    let world = World::new();
    let shared = world.share(400_000);
    let (seeder, person) = (world.join(1), world.join(2));
    let (listener, addr) = listener().await;
    let mut leecher = world.node_with(person, |config| config.silence_max = Duration::from_secs(1)).await;
    let all = Rates { down: Some(RATE_MIN), up: None };
    leecher.engine.set_limits(&RateLimits { all, groups: BTreeMap::new() });
    // What others have reserved takes three times as long as a peer may be silent.
    let engine = &leecher.engine.shared;
    engine.limits.of(GROUP).reserve(engine.now(), Direction::Down, 3 * RATE_MIN);
    leecher.download(&shared).await;
    leecher.engine.set_peers(shared.hash(), vec![seeder.at(addr)]);
    let peer = soon(RawPeer::accept(&listener, Shown::honest(&seeder, &shared))).await.unwrap();
    let full = Bitfield::full(shared.metainfo.piece_count());
    let fetched = async {
        leecher.until(&shared, |status| status.bytes_done > 0).await;
        leecher.engine.set_limits(&RateLimits::default());
        leecher.completed(&shared).await;
    };
    tokio::select! {
        _ = peer.serve(&shared, &full, Tells::Truth, |_, bytes| Some(bytes.to_vec())) => panic!("it was dropped"),
        () = fetched => {}
    }
}
