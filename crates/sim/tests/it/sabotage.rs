//! The checkers are tested: each deliberate bug is found, by the checker that is there for it.

use peerage_sim::cluster::{Options, Rule, Sabotage, run_with};

/// Seeds that a bug may survive.
const SEEDS_MAX: u64 = 200;

#[track_caller]
fn found(sabotage: Sabotage) {
    let expected = Sabotage::ALL.iter().find(|(known, ..)| *known == sabotage).map(|(_, rule, _)| *rule);
    for seed in 0..SEEDS_MAX {
        let options = Options { sabotage: Some(sabotage), ..Options::new(seed, 300) };
        if let Err(violation) = run_with(options).0 {
            assert_eq!(Some(violation.rule), expected, "{violation}");
            return;
        }
    }
    panic!("{sabotage:?} was not found with {SEEDS_MAX} seeds");
}

#[test]
fn a_disk_that_acknowledges_before_the_sync() {
    found(Sabotage::AckBeforeSync);
}

#[test]
fn a_tracker_that_goes_by_arrival() {
    found(Sabotage::ArrivalOrder);
}

#[test]
fn a_name_for_who_arrives_first() {
    found(Sabotage::NameByArrival);
}

#[test]
fn a_kick_that_is_forgotten() {
    found(Sabotage::ForgottenKick);
}

#[test]
fn a_snapshot_that_is_claimed_before_it_is_there() {
    found(Sabotage::EarlyAdopt);
}

#[test]
fn a_snapshot_that_replaces_what_was_reached() {
    found(Sabotage::SnapshotReplaces);
}

#[test]
fn a_log_that_passes_over_what_it_lacks() {
    found(Sabotage::BelowFloor);
}

#[test]
fn a_digest_that_vouches_for_what_is_gone() {
    found(Sabotage::CarriedDigest);
}

#[test]
fn a_repair_that_puts_nothing_back() {
    found(Sabotage::DeafRepair);
}

#[test]
fn a_record_that_is_accepted_anew_whenever_it_is_sent() {
    found(Sabotage::AnewAgain);
}

#[test]
fn an_acceptance_that_nobody_checks() {
    found(Sabotage::UncheckedAccept);
    assert!(Sabotage::ALL.iter().all(|(_, rule, _)| *rule != Rule::Liveness));
}
