//! Small swarms: who must finish finishes, nothing wrong is written, and one seed is one run.

use std::time::Duration;

use peerage_sim::swarm::{Options, Report, Tie, draw, run};

fn small(change: impl FnOnce(&mut Options)) -> Report {
    let mut options = Options {
        peers: 24,
        pieces: 60,
        piece_blocks: 4,
        up: 500_000,
        down: 2_500_000,
        ..Options::default()
    };
    change(&mut options);
    let report = run(options.clone());
    assert_eq!(report.bad_written, 0, "{report:?}");
    assert!(draw(&options, &report).ends_with("</svg>\n"));
    report
}

#[test]
fn a_flash_crowd_comes_near_the_bound_and_costs_the_seeder_one_copy() {
    let report = small(|_| {});
    assert_eq!(report.finished, 24);
    assert!(report.eta_median >= 0.70 && report.eta_slowest >= 0.65, "{report:?}");
    assert!(report.seed_overhead.is_some_and(|overhead| overhead <= 1.12), "{:?}", report.seed_overhead);
    // Without suggestions the same crowd fetches the same pieces from the seeder again and again.
    let blind = small(|o| o.suggest = false);
    assert!(blind.seed_overhead > report.seed_overhead && blind.eta_median < report.eta_median);
}

#[test]
fn one_seed_is_one_run() {
    let unequal = |seed| small(|o| (o.seed, o.unequal, o.churn_percent) = (seed, true, 20)).trace;
    assert_eq!(unequal(1), unequal(1));
    assert_ne!(unequal(1), unequal(2));
}

#[test]
fn everybody_finishes_when_the_seeder_goes_after_one_copy() {
    for tie in Tie::ALL {
        let report = small(|o| (o.tie, o.seeder_leaves_percent) = (tie.0, Some(112)));
        assert_eq!(report.finished, 24, "{}", tie.1);
    }
}

#[test]
fn poisoners_are_banned_and_cost_little() {
    let report = small(|o| o.poisoner_percent = 30);
    assert_eq!((report.finished, report.poisoners, report.poisoners_banned), (24, 7, 7));
    assert!(report.bad_received > 0.0, "they were tried");
}

#[test]
fn liars_and_drippers_cost_time_but_stop_nobody() {
    let honest = small(|_| {});
    for change in [|o: &mut Options| o.liar_percent = 30, |o: &mut Options| o.dripper_percent = 30] {
        let report = small(change);
        assert_eq!(report.finished, 24);
        assert!(report.slowest_s < 2.0 * honest.slowest_s, "{} s, {} s", report.slowest_s, honest.slowest_s);
    }
}

#[test]
fn standard_clients_finish_among_themselves_and_beside_members() {
    let report = small(|o| o.standard_percent = 30);
    assert_eq!(report.finished, 24);
    let report = small(|o| (o.standard_percent, o.free_rider_percent) = (100, 20));
    assert_eq!(report.finished, 24);
}

/// With a slow seeder and people who come one by one, everybody goes with the last piece, or stays for one more.
#[test]
fn who_stays_for_one_more_piece_keeps_the_swarm_quick() {
    let leaving = |dwell| {
        small(|o| {
            (o.dwell, o.leave_when_complete_percent, o.arrivals) = (dwell, 100, Duration::from_secs(20));
            o.seeder_up = Some(50_000);
        })
    };
    let (at_once, later) = (leaving(false), leaving(true));
    assert_eq!((at_once.finished, later.finished), (24, 24));
    assert!(later.median_s < at_once.median_s, "{} s, {} s", later.median_s, at_once.median_s);
    assert!(later.slowest_s < at_once.slowest_s, "{} s, {} s", later.slowest_s, at_once.slowest_s);
}

#[test]
fn slow_lines_free_riders_and_latecomers_finish() {
    let report = small(|o| {
        (o.slow_percent, o.free_rider_percent, o.churn_percent) = (20, 20, 20);
        (o.leave_when_complete_percent, o.arrivals) = (50, Duration::from_secs(5));
    });
    assert_eq!(report.finished, 24);
}
