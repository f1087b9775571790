//! Many small worlds. A failing seed is printed; put it into the list of seeds to keep.
#![allow(clippy::panic, reason = "in a test a panic is the report")]

mod sabotage;
mod swarms;

use peerage_sim::cluster::{self, Report};

#[track_caller]
fn run(seed: u64, operations: u32) -> Report {
    match cluster::run(seed, operations) {
        Ok(report) => report,
        Err(violation) => panic!("{violation}"),
    }
}

/// 50 seeds of 300 operations, in two halves for two cores.
#[track_caller]
fn worlds(seeds: std::ops::Range<u64>) {
    let reports: Vec<_> = seeds.map(|seed| run(seed, 300)).collect();
    // The worlds are worth something only if much happens in them.
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|r| r.answers) > 1_000, "{reports:#?}");
    assert!(sum(|r| r.crashes) > 100, "{reports:#?}");
    assert!(sum(|r| r.torn) > 3 && sum(|r| r.stopped) > 20, "{reports:#?}");
    assert!(sum(|r| r.refusals) > 100, "{reports:#?}");
    assert!(sum(|r| r.forged_inert) > 20, "{reports:#?}");
    assert!(sum(|r| r.compared) > 1_000, "{reports:#?}");
    // What the disks lose, and how it comes back.
    assert!(sum(|r| r.comparisons) > 1_000, "{reports:#?}");
    assert!(sum(|r| r.harmed) > 10, "{reports:#?}");
    assert!(sum(|r| r.corrected) > 5, "{reports:#?}");
    assert!(sum(|r| r.repaired) > 10, "{reports:#?}");
    assert!(sum(|r| r.snapshots_begun) > 30, "{reports:#?}");
    assert!(sum(|r| r.snapshots_adopted) > 15, "{reports:#?}");
    assert!(sum(|r| r.sent_again) > 3, "{reports:#?}");
    assert!(sum(|r| r.snapshots_cut) > 3, "{reports:#?}");
    assert!(sum(|r| r.sources_lost) > 3, "{reports:#?}");
    assert!(sum(|r| r.floors) > 5, "{reports:#?}");
    assert!(sum(|r| r.holes) > 2, "{reports:#?}");
    assert!(sum(|r| r.joined) > 5 && sum(|r| r.retired) > 5, "{reports:#?}");
    assert!((1..=7).all(|trackers| reports.iter().any(|r| r.trackers == trackers)), "{reports:#?}");
}

#[test]
fn clusters_keep_their_word() {
    worlds(0..25);
}

#[test]
fn more_clusters_keep_their_word() {
    worlds(25..50);
}

#[test]
fn one_seed_is_one_world() {
    let traces: Vec<_> = (100..103).map(|seed| run(seed, 100)).collect();
    let again: Vec<_> = (100..103).map(|seed| run(seed, 100)).collect();
    assert_eq!(traces, again);
    assert!(traces[0].trace != traces[1].trace && traces[1].trace != traces[2].trace);
}

#[test]
fn a_thousand_claims_of_one_name_have_one_winner() {
    // Some are refused at once, so that at least a thousand claims meet in the log.
    let race = cluster::name_race(1, 1_250).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(race.winners, 1);
    assert_eq!(race.claimants + race.refused, 1_250);
    assert_eq!(race.told, race.claimants - 1);
    assert!(race.claimants >= 1_000 && race.refused > 50, "{race:?}");
}
