//! Rates hold, and nothing that was reserved is lost.

use super::*;

/// What moves within ten seconds if everything reserved is moved at its time.
fn moved(limits: &TorrentLimits, portion: u64) -> u64 {
    let (mut now, mut bytes) = (Time(5_000), 0);
    loop {
        now = now.max(limits.reserve(now, Direction::Down, portion).0);
        if now > Time(15_000) {
            return bytes;
        }
        bytes += portion;
    }
}

fn limited(all: Option<u64>, group: Option<u64>) -> TorrentLimits {
    let rates = |down| Rates { down, up: None };
    let limits = Limits::default();
    let id = GroupId([1; 32]);
    limits.set(&RateLimits { all: rates(all), groups: BTreeMap::from([(id, rates(group))]) });
    limits.of(id)
}

#[test]
fn a_rate_is_held_whatever_the_portions() {
    for portion in [16 * 1024, 100_000, 256 * 1024] {
        let got = moved(&limited(Some(1 << 20), None), portion);
        assert!(got.abs_diff(10 << 20) < (10 << 20) / 20 + portion, "{portion}: {got}");
    }
}

#[test]
fn the_lower_limit_counts() {
    for limits in [limited(Some(1 << 20), Some(1 << 18)), limited(Some(1 << 18), Some(1 << 20))] {
        let got = moved(&limits, 16 * 1024);
        assert!(got.abs_diff(10 << 18) < (10 << 18) / 20 + (16 << 10), "{got}");
        assert_eq!(limits.rate(Direction::Down), Some(1 << 18));
    }
    assert_eq!(limited(None, None).rate(Direction::Down), None);
    assert_eq!(limited(Some(5), None).rate(Direction::Down), Some(RATE_MIN));
}

#[test]
fn what_was_not_used_is_not_kept_for_long() {
    let limits = limited(Some(1 << 20), None);
    let now = Time(3_600_000);
    let mut at_once = 0;
    while limits.reserve(now, Direction::Down, 16 << 10).0 <= now {
        at_once += 16 << 10;
    }
    assert!((256 << 10..=288 << 10).contains(&at_once), "{at_once}");
}

#[test]
fn a_group_that_is_not_named_any_more_has_no_limit() {
    let limits = Limits::default();
    let id = GroupId([1; 32]);
    let torrent = limits.of(id);
    let up = |rate| Rates { up: Some(rate), down: None };
    limits.set(&RateLimits { all: Rates::default(), groups: BTreeMap::from([(id, up(1 << 20))]) });
    assert_eq!(torrent.rate(Direction::Up), Some(1 << 20));
    limits.set(&RateLimits::default());
    assert_eq!(torrent.rate(Direction::Up), None);
}

const RATE: u64 = 1 << 20;

/// A connection that has reserved so many portions, whose last may move only later.
fn held(limits: &TorrentLimits, now: Time, portions: u32) -> Meter {
    let mut meter = Meter::new(limits, Direction::Down);
    for _ in 0..portions {
        let (_, portion) = meter.reserve(now, RATE);
        meter.credit += portion;
    }
    meter
}

/// How long whoever comes now has to wait.
fn wait_ms(limits: &TorrentLimits, now: Time) -> u64 {
    let mut meter = Meter::new(limits, Direction::Down);
    let wait = meter.reserve(now, RATE).0.0 - now.0;
    // The look itself is no reservation that counts.
    meter.credit = i64::try_from(RATE / PORTIONS_PER_SECOND).unwrap();
    wait
}

#[test]
fn what_a_connection_had_reserved_when_it_ends_goes_to_others() {
    let (limits, now) = (limited(Some(RATE), None), Time(60_000));
    let all: Vec<Meter> = (0..64).map(|_| held(&limits, now, 1)).collect();
    // 4 MiB at 1 MiB/s, less the quarter of a second that was unused.
    assert_eq!(wait_ms(&limits, now), 3_750);
    drop(all);
    assert_eq!(wait_ms(&limits, now), 0);
    assert_eq!(limits.reserve(now, Direction::Down, RATE / 4).0, now, "nor more than that is given back");
    assert_eq!(wait_ms(&limits, now), 0);
    assert_eq!(limits.reserve(now, Direction::Down, RATE).0, now);
    assert_eq!(wait_ms(&limits, now), 1_000);
}

#[test]
fn only_what_was_not_moved_is_given_back_and_what_was_moved_beyond_is_paid() {
    let (limits, now) = (limited(Some(RATE), None), Time(60_000));
    let mut meter = held(&limits, now, 8);
    assert_eq!(wait_ms(&limits, now), 250);
    meter.spend(384 << 10);
    drop(meter);
    assert_eq!(wait_ms(&limits, now), 125);
    let mut meter = held(&limits, now, 1);
    meter.spend(320 << 10);
    drop(meter);
    assert_eq!(wait_ms(&limits, now), 438, "five portions for one");
}

#[test]
fn a_change_of_one_limit_wastes_nothing_under_another() {
    let limits = Limits::default();
    let (id, other, now) = (GroupId([1; 32]), GroupId([2; 32]), Time(60_000));
    let down = |rate| Rates { down: Some(rate), up: None };
    let set = |group, of_other| {
        let groups = BTreeMap::from([(id, down(group)), (other, down(of_other))]);
        limits.set(&RateLimits { all: down(RATE), groups });
    };
    set(4 * RATE, RATE);
    let torrent = limits.of(id);
    let mut all: Vec<Meter> = (0..64).map(|_| held(&torrent, now, 1)).collect();
    assert_eq!(wait_ms(&torrent, now), 3_750);
    // The same once more is no change at all.
    set(4 * RATE, RATE);
    all.iter_mut().for_each(Meter::notice_change);
    assert_eq!(wait_ms(&torrent, now), 3_750);
    assert!(all.iter().all(|meter| meter.credit > 0));
    // What is reserved anew is all that is reserved.
    set(2 * RATE, RATE);
    all.iter_mut().for_each(Meter::notice_change);
    assert!(all.iter().all(|meter| meter.credit == 0));
    assert_eq!(wait_ms(&torrent, now), 0);
    let again: Vec<Meter> = (0..64).map(|_| held(&torrent, now, 1)).collect();
    assert_eq!(wait_ms(&torrent, now), 3_750);
    drop((all, again));
    assert_eq!(wait_ms(&torrent, now), 0);
}

#[test]
fn with_the_lowest_limit_many_are_still_read_from() {
    let (limits, now) = (limited(Some(RATE_MIN), None), Time(60_000));
    let mut meters: Vec<Meter> = (0..512).map(|_| Meter::new(&limits, Direction::Down)).collect();
    let last = meters.iter_mut().map(|meter| meter.reserve(now, RATE_MIN).0).max().unwrap();
    assert!(last.since(now) < Duration::from_secs(32), "{last:?}");
}
