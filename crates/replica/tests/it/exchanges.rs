//! Comparing digests, mending, and taking snapshots.

use std::time::Duration;

use expect_test::expect;
use peerage_replica::Limits;

use crate::script::{Start, check_from};

/// One neighbour that is not pulled from all the time.
fn quiet(vector: &'static str) -> Start {
    let limits = Limits {
        pull_interval: Duration::from_secs(1_000),
        compare_first: Duration::from_secs(10_000),
        snapshot_rows_min_empty: 3,
        snapshot_rows_min: 5,
        ..Limits::default()
    };
    Start { peers: 1, vector, limits }
}

#[test]
fn equal_roots_end_a_comparison() {
    check_from(
        &quiet("B2"),
        "answered 1 / B2; compare 9; scrubbed 0; looked root 5; told 1 root 5; told 1 root 5",
        expect![[r#"
             pull from 1 [B2], wake 5000
            answered 1 / B2 → wake 1000000
            compare 9 → scrub, wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 5 → compared [9] 0 wrong: 1 Equal, wake 1000000
            told 1 root 5 → wake 1000000
        "#]],
    );
}

#[test]
fn what_the_disk_lost_comes_back() {
    check_from(
        &quiet("B2"),
        "answered 1 / B2; compare 9; scrubbed 1; looked root 5; told 1 root 6; looked scopes x1; told 1 scopes x1 y2;
         looked facts; told 1 facts B2y; told 1 rows B2y; disk",
        expect![[r#"
             pull from 1 [B2], wake 5000
            answered 1 / B2 → wake 1000000
            compare 9 → scrub, wake 1000000
            scrubbed 1 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 6 → look at scopes, wake 1000000
            looked scopes x1 → ask 1 scopes, wake 10000
            told 1 scopes x1 y2 → look at facts of y, wake 1000000
            looked facts → ask 1 facts of y, wake 10000
            told 1 facts B2y → ask 1 rows y, wake 10000
            told 1 rows B2y → keep [B2y], wake 1000000
            disk → applied [B2y], compared [9] 1 wrong: 1 Differed { repaired: 1, lacks: 0 }, wake 1000000
        "#]],
    );
}

/// What found its place taken is no repair. Once both have both records, the place is no difference any more.
#[test]
fn a_place_for_two_records_is_compared_about_once() {
    check_from(
        &quiet("B2"),
        "answered 1 / B2; compare 9; scrubbed 0; looked root 5; told 1 root 6; looked scopes x1; told 1 scopes x2 y2;
         looked facts B2x; told 1 facts; looked facts; told 1 facts B2y; told 1 rows B2y; twin 0 B2y x; disk; acked 1 B2 A1;
         compare 8; scrubbed 0; looked root 5; told 1 root 6; looked scopes x1 y3; told 1 scopes x2 y2;
         looked facts B2x; told 1 facts C3x; looked facts A1y'; told 1 facts B2y;
         compare 7; scrubbed 0; looked root 5; told 1 root 6; looked scopes x1 y3; told 1 scopes x2 y2;
         looked facts B2x; told 1 facts; looked facts A1y'; told 1 facts B2y",
        expect![[r#"
             pull from 1 [B2], wake 5000
            answered 1 / B2 → wake 1000000
            compare 9 → scrub, wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 6 → look at scopes, wake 1000000
            looked scopes x1 → ask 1 scopes, wake 10000
            told 1 scopes x2 y2 → look at facts of x, wake 1000000
            looked facts B2x → ask 1 facts of x, wake 10000
            told 1 facts → look at facts of y, wake 1000000
            looked facts → ask 1 facts of y, wake 10000
            told 1 facts B2y → ask 1 rows y, wake 10000
            told 1 rows B2y → keep [B2y], wake 1000000
            twin 0 B2y x → two records for B2, persist [A1y], wake 1000000
            disk → applied [B2y A1y], push to 1 [A1y], ask 1 compare, compared [9] 0 wrong: 1 Differed { repaired: 0, lacks: 1 }, wake 1000
            acked 1 B2 A1 → wake 1000000
            compare 8 → scrub, wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 6 → look at scopes, wake 1000000
            looked scopes x1 y3 → ask 1 scopes, wake 10000
            told 1 scopes x2 y2 → look at facts of x, wake 1000000
            looked facts B2x → ask 1 facts of x, wake 10000
            told 1 facts C3x → look at facts of y, wake 1000000
            looked facts A1y' → ask 1 facts of y, wake 10000
            told 1 facts B2y → compared [8] 0 wrong: 1 Equal, wake 1000000
            compare 7 → scrub, wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 6 → look at scopes, wake 1000000
            looked scopes x1 y3 → ask 1 scopes, wake 10000
            told 1 scopes x2 y2 → look at facts of x, wake 1000000
            looked facts B2x → ask 1 facts of x, wake 10000
            told 1 facts → look at facts of y, wake 1000000
            looked facts A1y' → ask 1 facts of y, wake 10000
            told 1 facts B2y → ask 1 compare, compared [7] 0 wrong: 1 Differed { repaired: 0, lacks: 1 }, wake 1000000
        "#]],
    );
}

#[test]
fn whoever_lacks_something_is_told_to_look_itself() {
    check_from(
        &quiet("B2"),
        "answered 1 / B2; compare 9; scrubbed 0; looked root 5; told 1 root 6; looked scopes x1; told 1 scopes;
         looked facts B1x; told 1 facts",
        expect![[r#"
             pull from 1 [B2], wake 5000
            answered 1 / B2 → wake 1000000
            compare 9 → scrub, wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 6 → look at scopes, wake 1000000
            looked scopes x1 → ask 1 scopes, wake 10000
            told 1 scopes → look at facts of x, wake 1000000
            looked facts B1x → ask 1 facts of x, wake 10000
            told 1 facts → ask 1 compare, compared [9] 0 wrong: 1 Differed { repaired: 0, lacks: 1 }, wake 1000000
        "#]],
    );
}

#[test]
fn rows_on_their_way_are_no_difference() {
    check_from(
        &quiet("B2"),
        "answered 1 / B2; compare 9; scrubbed 0; looked root 5; told 1 root 6; looked scopes x1; told 1 scopes y2;
         looked facts C5x; told 1 facts; looked facts; told 1 facts B3y",
        expect![[r#"
             pull from 1 [B2], wake 5000
            answered 1 / B2 → wake 1000000
            compare 9 → scrub, wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 6 → look at scopes, wake 1000000
            looked scopes x1 → ask 1 scopes, wake 10000
            told 1 scopes y2 → look at facts of x, wake 1000000
            looked facts C5x → ask 1 facts of x, wake 10000
            told 1 facts → look at facts of y, wake 1000000
            looked facts → ask 1 facts of y, wake 10000
            told 1 facts B3y → compared [9] 0 wrong: 1 Equal, wake 1000000
        "#]],
    );
}

#[test]
fn rows_that_no_log_brings_are_a_difference() {
    check_from(
        &quiet("B2"),
        "answered 1 / B2; compare 9; scrubbed 0; looked root 5; told 1 root 6; looked scopes x1; told 1 scopes y2;
         looked facts C5x!; told 1 facts; looked facts; told 1 facts C7y!; told 1 rows C7y; disk",
        expect![[r#"
             pull from 1 [B2], wake 5000
            answered 1 / B2 → wake 1000000
            compare 9 → scrub, wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 6 → look at scopes, wake 1000000
            looked scopes x1 → ask 1 scopes, wake 10000
            told 1 scopes y2 → look at facts of x, wake 1000000
            looked facts C5x! → ask 1 facts of x, wake 10000
            told 1 facts → look at facts of y, wake 1000000
            looked facts → ask 1 facts of y, wake 10000
            told 1 facts C7y! → ask 1 rows y, wake 10000
            told 1 rows C7y → keep [C7y], wake 1000000
            disk → applied [C7y], ask 1 compare, compared [9] 0 wrong: 1 Differed { repaired: 1, lacks: 1 }, wake 1000000
        "#]],
    );
}

#[test]
fn answers_that_do_not_fit_end_it_and_so_does_silence() {
    check_from(
        &Start { peers: 2, ..quiet("B2") },
        "answered 1 / B2; answered 2 / B2; compare 9; compare 8; scrubbed 0; looked root 5; told 1 rows B1x;
         looked root 5; +10000; told 2 root 5; scrubbed 0; looked root 5; told 1 root 5; looked root 5; remove 2",
        expect![[r#"
             pull from 1 [B2], pull from 2 [B2], wake 5000
            answered 1 / B2 → wake 5000
            answered 2 / B2 → wake 1000000
            compare 9 → scrub, wake 1000000
            compare 8 → wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 rows B1x → look at root, wake 1000000
            looked root 5 → ask 2 root, wake 10000
            +10000 → compared [9] 0 wrong: 1 Failed(Confused), 2 Failed(Unreachable), scrub, wake 1000000
            told 2 root 5 → wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 20000
            told 1 root 5 → look at root, wake 1000000
            looked root 5 → ask 2 root, wake 20000
            remove 2 → compared [8] 0 wrong: 1 Equal, 2 Failed(Removed), wake 1000000
        "#]],
    );
}

#[test]
fn a_damaged_record_is_fetched_whatever_the_digests_say() {
    check_from(
        &quiet("B2"),
        "answered 1 / B2; compare 0 x; scrubbed 0; told 1 rows B1x; disk; looked root 5; told 1 root 5",
        expect![[r#"
             pull from 1 [B2], wake 5000
            answered 1 / B2 → wake 1000000
            compare 0 x → scrub, wake 1000000
            scrubbed 0 → ask 1 rows x, wake 10000
            told 1 rows B1x → keep [B1x], wake 1000000
            disk → applied [B1x], look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 5 → compared [] 0 wrong: 1 Differed { repaired: 1, lacks: 0 }, wake 1000000
        "#]],
    );
}

#[test]
fn an_empty_tracker_takes_a_snapshot_and_goes_on_from_there() {
    check_from(
        &quiet(""),
        "answered 1 B1x /more B5; told 1 page B1x next / B5; push 1 B2y; disk; told 1 page B3z C1w next / B5 C1; disk;
         told 1 page / B5 C1; disk; answered 1 C1w / B5 C1; disk",
        expect![[r#"
             pull from 1 [], wake 5000
            answered 1 B1x /more B5 → persist [B1x], ask 1 page 0, wake 10000
            told 1 page B1x next / B5 → keep [B1x], sleep
            push 1 B2y → persist [B2y], sleep
            disk → applied [B1x B1x B2y], ask 1 page 7, push reply [B2], wake 10000
            told 1 page B3z C1w next / B5 C1 → keep [B3z C1w], sleep
            disk → applied [B3z C1w], ask 1 page 7, wake 10000
            told 1 page / B5 C1 → adopt [B5], sleep
            disk → applied [], pull from 1 [B5], wake 5000
            answered 1 C1w / B5 C1 → persist [C1w], wake 1000000
            disk → applied [C1w], wake 1000000
        "#]],
    );
}

#[test]
fn a_snapshot_that_breaks_off_claims_nothing_and_begins_anew() {
    check_from(
        &quiet(""),
        "answered 1 /more B4; told 1 page B1x next / B4; disk; +10000; told 1 page B3z / B4; +1000000; answered 1 /more B4;
         told 1 page B1x B3z / B4; disk; disk",
        expect![[r#"
             pull from 1 [], wake 5000
            answered 1 /more B4 → ask 1 page 0, wake 10000
            told 1 page B1x next / B4 → keep [B1x], sleep
            disk → applied [B1x], ask 1 page 7, wake 10000
            +10000 → suspect 1, wake 1010000
            told 1 page B3z / B4 → wake 1010000
            +1000000 → pull from 1 [], wake 1015000
            answered 1 /more B4 → recovered 1, ask 1 page 0, wake 1020000
            told 1 page B1x B3z / B4 → keep [B1x B3z], sleep
            disk → applied [B1x B3z], adopt [B4], sleep
            disk → applied [], pull from 1 [B4], wake 1015000
        "#]],
    );
}

#[test]
fn a_snapshot_goes_on_with_no_other_run_of_its_source() {
    check_from(
        &quiet(""),
        "answered 1 /more B4; told 1 page B1x next / B4; disk; told 1 page reborn / B4; +1000000; answered 1 /more B4;
         told 1 page reborn B1x B3z / B4; disk; disk",
        expect![[r#"
             pull from 1 [], wake 5000
            answered 1 /more B4 → ask 1 page 0, wake 10000
            told 1 page B1x next / B4 → keep [B1x], sleep
            disk → applied [B1x], ask 1 page 7, wake 10000
            told 1 page reborn / B4 → wake 1000000
            +1000000 → pull from 1 [], wake 1005000
            answered 1 /more B4 → ask 1 page 0, wake 1010000
            told 1 page reborn B1x B3z / B4 → keep [B1x B3z], sleep
            disk → applied [B1x B3z], adopt [B4], sleep
            disk → applied [], pull from 1 [B4], wake 1005000
        "#]],
    );
}

#[test]
fn whose_log_has_holes_says_so_and_is_asked_for_a_snapshot_the_second_time() {
    check_from(
        &quiet("B1"),
        "answered 1 /snapshot B4; +1000000; answered 1 /snapshot B4; told 1 page B2y B4w / B4; disk; disk;
         pulled 1 A1; loaded snapshot",
        expect![[r#"
             pull from 1 [B1], wake 5000
            answered 1 /snapshot B4 → wake 1000000
            +1000000 → pull from 1 [B1], wake 1005000
            answered 1 /snapshot B4 → ask 1 page 0, wake 1010000
            told 1 page B2y B4w / B4 → keep [B2y B4w], sleep
            disk → applied [B2y B4w], adopt [B4], sleep
            disk → applied [], pull from 1 [B4], wake 1005000
            pulled 1 A1 → load after [A1], wake 1005000
            loaded snapshot → pull reply [] and a snapshot [B4], wake 1005000
        "#]],
    );
}

#[test]
fn nobody_waits_for_a_tracker_that_pushes_do_not_reach() {
    let limits = Limits { tail_rows_max: 1, ..quiet("").limits };
    check_from(
        &Start { limits, ..quiet("") },
        "answered 1 /; submit 1 x y; disk; acked 1; submit 2 z; disk; pulled 1 A3; again 3 z",
        expect![[r#"
             pull from 1 [], wake 5000
            answered 1 / → wake 1000000
            submit 1 x y → persist [A1x A2y], wake 1000000
            disk → applied [A1x A2y], push to 1 [A2y], wake 1000
            acked 1 → answer 1: 1/2, wake 1000000
            submit 2 z → persist [A3z], wake 1000000
            disk → applied [A3z], answer 2: 1/2, wake 1000000
            pulled 1 A3 → pull reply [] [A3], wake 1000000
            again 3 z → answer 3: 2/2, wake 1000000
        "#]],
    );
}

#[test]
fn what_nobody_can_mend_keeps_no_disk_busy() {
    check_from(
        &quiet("B2"),
        "answered 1 / B2; compare 0; scrubbed 0; looked root 5; told 1 root 5; compare 0; +1000; compare 0 x; +9000;
         scrubbed 0; told 1 rows; looked root 5; told 1 root 5; compare 0; compare 7",
        expect![[r#"
             pull from 1 [B2], wake 5000
            answered 1 / B2 → wake 1000000
            compare 0 → scrub, wake 1000000
            scrubbed 0 → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 10000
            told 1 root 5 → compared [] 0 wrong: 1 Equal, wake 1000000
            compare 0 → wake 600000
            +1000 → wake 600000
            compare 0 x → wake 10000
            +9000 → scrub, wake 1000000
            scrubbed 0 → ask 1 rows x, wake 20000
            told 1 rows → look at root, wake 1000000
            looked root 5 → ask 1 root, wake 20000
            told 1 root 5 → compared [] 0 wrong: 1 Equal, wake 1000000
            compare 0 → wake 610000
            compare 7 → scrub, wake 1000000
        "#]],
    );
}
