//! The rules of acknowledgement, pushing, pulling and suspicion, one script each.

use std::time::Duration;

use expect_test::expect;
use peerage_replica::Limits;

use crate::script::{Start, check, check_from};

#[test]
fn answers_when_everybody_has_it() {
    check(
        "submit 7 x y; disk; acked 1 A2; acked 2 A2",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 7 x y → persist [A1x A2y], wake 5000
        disk → applied [A1x A2y], push to 1 [A1x A2y], push to 2 [A1x A2y], wake 1000
        acked 1 A2 → wake 1000
        acked 2 A2 → answer 7: 3/3, wake 5000
    "#]],
    );
}

#[test]
fn alone_it_answers_as_soon_as_the_disk_has_it() {
    check_from(
        &Start { peers: 0, ..Start::default() },
        "submit 7 x; disk",
        expect![[r#"
         sleep
        submit 7 x → persist [A1x], sleep
        disk → applied [A1x], answer 7: 1/1, sleep
    "#]],
    );
}

#[test]
fn what_the_disk_cannot_take_yet_is_signed_together() {
    check_from(
        &Start { peers: 0, ..Start::default() },
        "submit 7 a; submit 8 b; submit 9 c d; submit 10 e; submit 11 c; disk; disk",
        expect![[r#"
             sleep
            submit 7 a → persist [A1a], sleep
            submit 8 b → persist [A2b], sleep
            submit 9 c d → sleep
            submit 10 e → sleep
            submit 11 c → sleep
            disk → applied [A1a A2b], answer 7: 1/1, answer 8: 1/1, persist [A3c A4d A5e], sleep
            disk → applied [A3c A4d A5e], answer 9: 1/1, answer 10: 1/1, answer 11: 1/1, sleep
        "#]],
    );
    let limits = Limits { commits_under_way_max: 1, commit_rows_max: 2, ..Limits::default() };
    check_from(
        &Start { peers: 0, limits, ..Start::default() },
        "submit 7 a; submit 8 b; submit 9 c d; submit 10 e; disk; disk; disk",
        expect![[r#"
             sleep
            submit 7 a → persist [A1a], sleep
            submit 8 b → sleep
            submit 9 c d → sleep
            submit 10 e → sleep
            disk → applied [A1a], answer 7: 1/1, persist [A2b A3c A4d], sleep
            disk → applied [A2b A3c A4d], answer 8: 1/1, answer 9: 1/1, persist [A5e], sleep
            disk → applied [A5e], answer 10: 1/1, sleep
        "#]],
    );
}

#[test]
fn a_silent_tracker_costs_one_second_once() {
    check(
        "submit 7 x; disk; acked 1 A1; +999; +1; submit 8 y; disk; acked 1 A2",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 7 x → persist [A1x], wake 5000
        disk → applied [A1x], push to 1 [A1x], push to 2 [A1x], wake 1000
        acked 1 A1 → wake 1000
        +999 → wake 1000
        +1 → suspect 2, answer 7: 2/3, wake 5000
        submit 8 y → persist [A2y], wake 5000
        disk → applied [A2y], push to 1 [A2y], wake 2000
        acked 1 A2 → answer 8: 2/3, wake 5000
    "#]],
    );
}

#[test]
fn a_suspect_recovers_by_a_pull_that_it_answers() {
    check(
        "submit 7 x; disk; failed 1; acked 2 A1; pulled 1 A1; submit 8 y; disk; acked 2 A2; answered 1 /A1; acked 1 A2",
        expect![[r#"
             pull from 1 [], pull from 2 [], wake 5000
            submit 7 x → persist [A1x], wake 5000
            disk → applied [A1x], push to 1 [A1x], push to 2 [A1x], wake 1000
            failed 1 → suspect 1, wake 1000
            acked 2 A1 → answer 7: 2/3, wake 5000
            pulled 1 A1 → pull reply [] [A1], wake 5000
            submit 8 y → persist [A2y], wake 5000
            disk → applied [A2y], push to 2 [A2y], wake 1000
            acked 2 A2 → answer 8: 2/3, wake 5000
            answered 1 /A1 → recovered 1, push to 1 [A2y], wake 1000
            acked 1 A2 → wake 1000
        "#]],
    );
}

#[test]
fn a_late_acknowledgement_counts_but_does_not_clear() {
    check(
        "submit 7 x; disk; acked 2 A1; +1000; acked 1 A1; again 8 x",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 7 x → persist [A1x], wake 5000
        disk → applied [A1x], push to 1 [A1x], push to 2 [A1x], wake 1000
        acked 2 A1 → wake 1000
        +1000 → suspect 1, answer 7: 2/3, wake 5000
        acked 1 A1 → wake 5000
        again 8 x → answer 8: 3/3, wake 5000
    "#]],
    );
}

#[test]
fn rows_that_come_during_a_push_go_together_with_the_next() {
    check(
        "submit 1 a; disk; submit 2 b; disk; submit 3 c; disk; acked 1 A1; acked 2 A1",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 1 a → persist [A1a], wake 5000
        disk → applied [A1a], push to 1 [A1a], push to 2 [A1a], wake 1000
        submit 2 b → persist [A2b], wake 1000
        disk → applied [A2b], wake 1000
        submit 3 c → persist [A3c], wake 1000
        disk → applied [A3c], wake 1000
        acked 1 A1 → push to 1 [A2b A3c], wake 1000
        acked 2 A1 → push to 2 [A2b A3c], answer 1: 3/3, wake 1000
    "#]],
    );
}

#[test]
fn an_answer_means_that_a_pull_counts_as_well_as_a_push() {
    check(
        "submit 7 x; disk; pulled 1 A1; pulled 2 A1",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 7 x → persist [A1x], wake 5000
        disk → applied [A1x], push to 1 [A1x], push to 2 [A1x], wake 1000
        pulled 1 A1 → pull reply [] [A1], wake 1000
        pulled 2 A1 → pull reply [] [A1], answer 7: 3/3, wake 1000
    "#]],
    );
}

#[test]
fn a_record_that_is_there_gets_no_second_row() {
    check(
        "submit 1 x; submit 2 x y; disk; acked 1 A2; acked 2 A2; again 3 x; again 4 x y",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 1 x → persist [A1x], wake 5000
        submit 2 x y → persist [A2y], wake 5000
        disk → applied [A1x A2y], push to 1 [A1x A2y], push to 2 [A1x A2y], wake 1000
        acked 1 A2 → wake 1000
        acked 2 A2 → answer 1: 3/3, answer 2: 3/3, wake 5000
        again 3 x → answer 3: 3/3, wake 5000
        again 4 x y → answer 4: 3/3, wake 5000
    "#]],
    );
}

#[test]
fn a_known_record_waits_for_others_no_longer_than_a_second() {
    check(
        "push 1 B1x; disk; again 5 x; pulled 1 B1; +1000",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        push 1 B1x → persist [B1x], wake 5000
        disk → applied [B1x], push reply [B1], wake 5000
        again 5 x → wake 1000
        pulled 1 B1 → pull reply [] [B1], wake 1000
        +1000 → answer 5: 2/3, wake 5000
    "#]],
    );
}

#[test]
fn a_push_is_answered_when_it_is_on_the_disk() {
    check(
        "push 1 B1x B2y; push 1 B2y; disk",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        push 1 B1x B2y → persist [B1x B2y], wake 5000
        push 1 B2y → wake 5000
        disk → applied [B1x B2y], push reply [B2], push reply [B2], wake 5000
    "#]],
    );
}

#[test]
fn a_gap_is_left_alone_and_pulled() {
    check(
        "answered 1 /; push 1 B1x B3z; disk; answered 1 B2y B3z / B3; disk; push 2 B2y",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        answered 1 / → wake 1000
        push 1 B1x B3z → persist [B1x], pull from 1 [], wake 5000
        disk → applied [B1x], push reply [B1], wake 5000
        answered 1 B2y B3z / B3 → persist [B2y B3z], wake 1000
        disk → applied [B2y B3z], wake 1000
        push 2 B2y → push reply [B3], wake 1000
    "#]],
    );
}

#[test]
fn a_gap_during_a_pull_is_pulled_right_after_it() {
    check(
        "push 1 B2y; answered 1 / B2; answered 1 B1x B2y / B2",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        push 1 B2y → push reply [], wake 5000
        answered 1 / B2 → pull from 1 [], wake 5000
        answered 1 B1x B2y / B2 → persist [B1x B2y], wake 1000
    "#]],
    );
}

#[test]
fn pulls_go_on_while_there_is_more() {
    check(
        "answered 1 B1x /more B3; disk; answered 1 B2y /more B3; disk; answered 1 B3z / B3; disk",
        expect![[r#"
             pull from 1 [], pull from 2 [], wake 5000
            answered 1 B1x /more B3 → persist [B1x], wake 1000
            disk → applied [B1x], pull from 1 [B1], wake 5000
            answered 1 B2y /more B3 → persist [B2y], wake 1000
            disk → applied [B2y], pull from 1 [B2], wake 5000
            answered 1 B3z / B3 → persist [B3z], wake 1000
            disk → applied [B3z], wake 1000
        "#]],
    );
}

#[test]
fn pulls_are_answered_from_the_store() {
    check(
        "submit 1 x; disk; pulled 1; loaded A1x; pulled 1 A1 B7",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 1 x → persist [A1x], wake 5000
        disk → applied [A1x], push to 1 [A1x], push to 2 [A1x], wake 1000
        pulled 1 → load after [], wake 1000
        loaded A1x → pull reply [A1x] [A1], wake 1000
        pulled 1 A1 B7 → pull reply [] [A1], wake 1000
    "#]],
    );
}

#[test]
fn whoever_is_too_far_behind_is_nudged_to_pull() {
    let limits = Limits { tail_rows_max: 1, ..Limits::default() };
    let start = Start { peers: 1, limits, ..Start::default() };
    check_from(
        &start,
        "answered 1 /; submit 1 x y z; disk; acked 1; pulled 1 A2; +1000",
        expect![[r#"
             pull from 1 [], wake 5000
            answered 1 / → wake 1000
            submit 1 x y z → persist [A1x A2y A3z], wake 1000
            disk → applied [A1x A2y A3z], push to 1 [A3z], wake 1000
            acked 1 → answer 1: 1/2, wake 1000
            pulled 1 A2 → load after [A2], wake 1000
            +1000 → push to 1 [A3z], pull from 1 [A3], wake 2000
        "#]],
    );
}

#[test]
fn a_lost_pull_makes_a_suspect() {
    check(
        "unanswered 1; +1000; +4000; answered 2 /",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        unanswered 1 → suspect 1, wake 1000
        +1000 → pull from 1 [], wake 5000
        +4000 → suspect 2, wake 6000
        answered 2 / → recovered 2, wake 6000
    "#]],
    );
}

#[test]
fn one_number_for_two_records_is_told_and_both_are_kept() {
    check(
        "push 1 B1x; push 2 B1y; disk; push 2 B1y",
        expect![[r#"
             pull from 1 [], pull from 2 [], wake 5000
            push 1 B1x → persist [B1x], wake 5000
            push 2 B1y → two records for B1, persist [A1y], wake 5000
            disk → applied [B1x A1y], push to 1 [A1y], push to 2 [A1y], push reply [A1 B1], push reply [A1 B1], wake 1000
            push 2 B1y → push reply [A1 B1], wake 1000
        "#]],
    );
}

#[test]
fn a_slow_disk_takes_more_rows_at_once() {
    let limits = Limits { commits_under_way_max: 1, commit_rows_max: 2, ..Limits::default() };
    check_from(
        &Start { peers: 0, limits, ..Start::default() },
        "submit 7 a; submit 8 b; submit 9 c; submit 10 d; +50; disk; submit 11 e; submit 12 f; submit 13 g; disk; disk",
        expect![[r#"
             sleep
            submit 7 a → persist [A1a], sleep
            submit 8 b → sleep
            submit 9 c → sleep
            submit 10 d → sleep
            +50 → sleep
            disk → applied [A1a], answer 7: 1/1, persist [A2b A3c A4d], sleep
            submit 11 e → sleep
            submit 12 f → sleep
            submit 13 g → sleep
            disk → applied [A2b A3c A4d], answer 8: 1/1, answer 9: 1/1, answer 10: 1/1, persist [A5e A6f], sleep
            disk → applied [A5e A6f], answer 11: 1/1, answer 12: 1/1, persist [A7g], sleep
        "#]],
    );
}

#[test]
fn one_number_at_two_times_is_told_once() {
    check_from(
        &Start { peers: 1, ..Start::default() },
        "push 1 B1x; disk; push 1 B1x; push 1 B1x'; push 1 B1x'",
        expect![[r#"
             pull from 1 [], wake 5000
            push 1 B1x → persist [B1x], wake 5000
            disk → applied [B1x], push reply [B1], wake 5000
            push 1 B1x → push reply [B1], wake 5000
            push 1 B1x' → two records for B1, push reply [B1], wake 5000
            push 1 B1x' → push reply [B1], wake 5000
        "#]],
    );
}

/// The second row counts as here when the place that its record was given is on the disk, and not before.
#[test]
fn a_twin_is_acknowledged_with_its_own_place() {
    let limits = Limits { commits_under_way_max: 1, ..Limits::default() };
    check_from(
        &Start { limits, ..Start::default() },
        "push 1 B1x; disk; submit 1 z; push 2 B1y; disk; push 2 B1y; disk",
        expect![[r#"
             pull from 1 [], pull from 2 [], wake 5000
            push 1 B1x → persist [B1x], wake 5000
            disk → applied [B1x], push reply [B1], wake 5000
            submit 1 z → persist [A1z], wake 5000
            push 2 B1y → two records for B1, wake 5000
            disk → applied [A1z], push to 1 [A1z], push to 2 [A1z], persist [A2y], wake 1000
            push 2 B1y → wake 1000
            disk → applied [A2y], push reply [A2 B1], push reply [A2 B1], wake 1000
        "#]],
    );
}

/// Nobody may count it before: not by an answer to a pull, nor by a pull, nor by the answer to another push.
#[test]
fn a_twin_is_not_claimed_before_its_own_place_is_there() {
    let limits = Limits { commits_under_way_max: 1, ..Limits::default() };
    check_from(
        &Start { peers: 1, vector: "C4", limits },
        "answered 1 / B3; push 1 B1w B2x B3v; disk; submit 1 z; push 1 B2y; pulled 1 B3 C4; pulled 1 B1; loaded B2x; +1000;
         push 0 C4u; disk; push 0 C4u; pulled 1 A1 B3 C4; disk; pulled 1 A2 B3 C4",
        expect![[r#"
             pull from 1 [C4], wake 5000
            answered 1 / B3 → wake 1000
            push 1 B1w B2x B3v → persist [B1w B2x B3v], wake 1000
            disk → applied [B1w B2x B3v], push reply [B3 C4], wake 1000
            submit 1 z → persist [A1z], wake 1000
            push 1 B2y → two records for B2, wake 1000
            pulled 1 B3 C4 → pull reply [] [B1 C4], wake 1000
            pulled 1 B1 → load after [B1], wake 1000
            loaded B2x → pull reply [B2x] [B1 C4], wake 1000
            +1000 → pull from 1 [B1 C4], wake 6000
            push 0 C4u → push reply [B1 C4], wake 6000
            disk → applied [A1z], push to 1 [A1z], persist [A2y], wake 2000
            push 0 C4u → push reply [A1 B1 C4], wake 2000
            pulled 1 A1 B3 C4 → pull reply [] [A1 B1 C4], answer 1: 2/2, wake 2000
            disk → applied [A2y], push reply [A2 B3 C4], wake 2000
            pulled 1 A2 B3 C4 → pull reply [] [A2 B3 C4], wake 2000
        "#]],
    );
    // Twins one after the other: as far as the first that is not there.
    check_from(
        &Start {
            peers: 0,
            limits: Limits { commits_under_way_max: 1, ..Limits::default() },
            ..Start::default()
        },
        "push 0 B1w B2x B3v; disk; submit 1 z; push 0 B3y; push 0 B1u; pulled 0 B3; disk; pulled 0 A1 B3; disk; pulled 0 A3 B3",
        expect![[r#"
             sleep
            push 0 B1w B2x B3v → persist [B1w B2x B3v], sleep
            disk → applied [B1w B2x B3v], push reply [B3], sleep
            submit 1 z → persist [A1z], sleep
            push 0 B3y → two records for B3, sleep
            push 0 B1u → two records for B1, sleep
            pulled 0 B3 → pull reply [] [], sleep
            disk → applied [A1z], answer 1: 1/1, persist [A2y A3u], sleep
            pulled 0 A1 B3 → pull reply [] [A1], sleep
            disk → applied [A2y A3u], push reply [A3 B3], push reply [A3 B3], sleep
            pulled 0 A3 B3 → pull reply [] [A3 B3], sleep
        "#]],
    );
}

#[test]
fn a_twin_that_the_store_finds_again_is_told_once() {
    let limits = Limits { commits_under_way_max: 1, ..Limits::default() };
    check_from(
        &Start { peers: 0, limits, ..Start::default() },
        "submit 1 z; twin 0 B1y x; twin 0 B1y x; disk; disk",
        expect![[r#"
             sleep
            submit 1 z → persist [A1z], sleep
            twin 0 B1y x → two records for B1, sleep
            twin 0 B1y x → sleep
            disk → applied [A1z], answer 1: 1/1, persist [A2y], sleep
            disk → applied [A2y], sleep
        "#]],
    );
    // It had come in its turn, and only the disk knew that its place was taken.
    check_from(
        &Start { peers: 0, ..Start::default() },
        "push 0 B1y; disk; twin 0 B1y x; twin 0 B1y x; disk; twin 0 B1y x",
        expect![[r#"
             sleep
            push 0 B1y → persist [B1y], sleep
            disk → applied [B1y], push reply [B1], sleep
            twin 0 B1y x → two records for B1, persist [A1y], sleep
            twin 0 B1y x → sleep
            disk → applied [A1y], sleep
            twin 0 B1y x → sleep
        "#]],
    );
}

#[test]
fn a_twin_whose_record_has_a_place_gets_no_second_one() {
    check_from(
        &Start { peers: 0, vector: "B2", ..Start::default() },
        "twin 0 B1y x placed; twin 0 B1y x placed; twin 0 B2x' x placed",
        expect![[r#"
             sleep
            twin 0 B1y x placed → two records for B1, sleep
            twin 0 B1y x placed → sleep
            twin 0 B2x' x placed → two records for B2, sleep
        "#]],
    );
}

#[test]
fn what_has_its_number_reaches_the_disk_at_the_end() {
    let limits = Limits { commits_under_way_max: 1, commit_rows_max: 2, ..Limits::default() };
    check_from(
        &Start { peers: 0, limits, ..Start::default() },
        "submit 7 a; submit 8 b; submit 9 c; submit 10 d; stop",
        expect![[r#"
             sleep
            submit 7 a → persist [A1a], sleep
            submit 8 b → sleep
            submit 9 c → sleep
            submit 10 d → sleep
            stop → persist [A2b A3c], persist [A4d], sleep
        "#]],
    );
}

#[test]
fn someone_else_in_our_name_is_told_and_the_record_kept() {
    check(
        "submit 1 x; push 1 A2y; disk",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 1 x → persist [A1x], wake 5000
        push 1 A2y → two records for A2, persist [A2y], wake 5000
        disk → applied [A1x A2y], push to 1 [A1x A2y], push to 2 [A1x A2y], push reply [A2], wake 1000
    "#]],
    );
}

#[test]
fn own_earlier_runs_are_origins_like_others() {
    let start = Start { vector: "B4", ..Start::default() };
    check_from(
        &start,
        "answered 1 B5x C1y / B5 C1; disk",
        expect![[r#"
         pull from 1 [B4], pull from 2 [B4], wake 5000
        answered 1 B5x C1y / B5 C1 → persist [B5x C1y], wake 1000
        disk → applied [B5x C1y], wake 1000
    "#]],
    );
}

#[test]
fn clocks_that_are_off_are_told_once_a_minute() {
    let limits = Limits { pull_interval: Duration::from_secs(30), ..Limits::default() };
    let start = Start { peers: 1, limits, ..Start::default() };
    check_from(
        &start,
        "clock 1 4999; clock 1 -5000; clock 1 -6000; +60000; clock 1 7000",
        expect![[r#"
         pull from 1 [], wake 5000
        clock 1 4999 → wake 30000
        clock 1 -5000 → clock of 1 is off by -5000, wake 30000
        clock 1 -6000 → wake 30000
        +60000 → pull from 1 [], wake 65000
        clock 1 7000 → clock of 1 is off by 7000, wake 90000
    "#]],
    );
}

#[test]
fn a_tracker_that_the_list_names_anew_is_pulled_and_counts() {
    check_from(
        &Start { peers: 0, ..Start::default() },
        "submit 1 x; disk; add 1; answered 1 / ; acked 1 A1; submit 2 y; disk; acked 1 A2; again 3 x; add 1",
        expect![[r#"
             sleep
            submit 1 x → persist [A1x], sleep
            disk → applied [A1x], answer 1: 1/1, sleep
            add 1 → push to 1 [A1x], pull from 1 [A1], wake 1000
            answered 1 / → wake 1000
            acked 1 A1 → wake 1000
            submit 2 y → persist [A2y], wake 1000
            disk → applied [A2y], push to 1 [A2y], wake 1000
            acked 1 A2 → answer 2: 2/2, wake 1000
            again 3 x → answer 3: 2/2, wake 1000
            add 1 → wake 1000
        "#]],
    );
}

#[test]
fn nobody_waits_for_a_tracker_that_left_the_list() {
    check(
        "submit 1 x; disk; acked 1 A1; remove 2; submit 2 y; disk; acked 1 A2; acked 2 A2; failed 2; answered 2 C1z / C1; disk; +5000",
        expect![[r#"
             pull from 1 [], pull from 2 [], wake 5000
            submit 1 x → persist [A1x], wake 5000
            disk → applied [A1x], push to 1 [A1x], push to 2 [A1x], wake 1000
            acked 1 A1 → wake 1000
            remove 2 → answer 1: 2/2, wake 5000
            submit 2 y → persist [A2y], wake 5000
            disk → applied [A2y], push to 1 [A2y], wake 1000
            acked 1 A2 → answer 2: 2/2, wake 5000
            acked 2 A2 → wake 5000
            failed 2 → wake 5000
            answered 2 C1z / C1 → persist [C1z], wake 5000
            disk → applied [C1z], wake 5000
            +5000 → suspect 1, wake 6000
        "#]],
    );
}

#[test]
fn what_a_removed_tracker_acknowledged_does_not_count() {
    check(
        "submit 1 x; disk; acked 1 A1; remove 1; acked 2 A1; add 1; again 2 x",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        submit 1 x → persist [A1x], wake 5000
        disk → applied [A1x], push to 1 [A1x], push to 2 [A1x], wake 1000
        acked 1 A1 → wake 1000
        remove 1 → wake 1000
        acked 2 A1 → answer 1: 2/2, wake 5000
        add 1 → push to 1 [A1x], pull from 1 [A1], wake 1000
        again 2 x → wake 1000
    "#]],
    );
}

#[test]
fn a_tracker_that_the_list_does_not_name_is_answered_all_the_same() {
    check(
        "push 0 B1x; disk; pulled 0 A1; loaded B1x; push 0 C2y; pulled 0 A9 B1",
        expect![[r#"
         pull from 1 [], pull from 2 [], wake 5000
        push 0 B1x → persist [B1x], wake 5000
        disk → applied [B1x], push reply [B1], wake 5000
        pulled 0 A1 → load after [A1], wake 5000
        loaded B1x → pull reply [B1x] [B1], wake 5000
        push 0 C2y → push reply [B1], wake 5000
        pulled 0 A9 B1 → pull reply [] [B1], wake 5000
    "#]],
    );
}
