//! Many small worlds. A failing seed is printed; put it into the list of seeds to keep.
#![allow(clippy::panic, reason = "in a test a panic is the report")]

use peerage_sim::cluster::{self, Report};

#[track_caller]
fn run(seed: u64, operations: u32) -> Report {
    match cluster::run(seed, operations) {
        Ok(report) => report,
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn clusters_converge_and_keep_their_word() {
    let reports: Vec<_> = (0..30).map(|seed| run(seed, 200)).collect();
    // The worlds are worth something only if much happens in them.
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|r| r.answers) > 1_500, "{reports:#?}");
    assert!(sum(|r| r.crashes) > 200, "{reports:#?}");
    assert!((1..=5).all(|trackers| reports.iter().any(|r| r.trackers == trackers)), "{reports:#?}");
}

#[test]
fn one_seed_is_one_world() {
    let traces: Vec<_> = (100..103).map(|seed| run(seed, 100).trace).collect();
    let again: Vec<_> = (100..103).map(|seed| run(seed, 100).trace).collect();
    assert_eq!(traces, again);
    assert!(traces[0] != traces[1] && traces[1] != traces[2]);
}
