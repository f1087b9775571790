//! design.md's table, row "account".

use expect_test::{Expect, expect};
use peerage_ledger::AccountView;

use crate::script::Script;
use crate::world::user;

/// The account of `ann` after this script.
#[track_caller]
fn check(text: &str, expected: Expect) {
    let script = Script::run(text);
    expected.assert_eq(&script.show_account(&script.world.account("ann")));
}

#[test]
fn names_and_devices() {
    check("ann name Ann; ann auth -> a", expect![[r#"names [Ann] auth a superseded [] devices ["ann/1"]"#]]);
    check(
        "ann name Ann; ann name Anna; @5 ann name First",
        expect![[r#"names [First Ann Anna] auth none superseded [] devices ["ann/1"]"#]],
    );
    check(
        "ann cert 2; ann cert 3; ann revoke 2; ann cert 2",
        expect![[r#"names [] auth none superseded [] devices ["ann/1", "3", "2 (revoked)"]"#]],
    );
    // A revocation may arrive before the certificate.
    check(
        "@50 ann cert 2; @20 ann revoke 2",
        expect![[r#"names [] auth none superseded [] devices ["ann/1", "2 (revoked)"]"#]],
    );
}

/// Which name is shown for `ann` after this script, if she holds exactly these.
#[track_caller]
fn check_shown(text: &str, held: &[&str], expected: Expect) {
    let script = Script::run(text);
    let account = script.world.account("ann");
    let shown = account.shown_name(|name| held.contains(&name.as_str()));
    expected.assert_eq(&format!("{shown:?}"));
}

#[test]
fn the_latest_name_that_was_won_is_shown() {
    check_shown("ann auth -> a", &[], expect!["None"]);
    check_shown("ann name Ann", &["Ann"], expect![[r#"Some(("Ann", true))"#]]);
    check_shown("ann name Ann", &[], expect![[r#"Some(("Ann", false))"#]]);
    check_shown("ann name Ann; ann name Anna", &["Ann", "Anna"], expect![[r#"Some(("Anna", true))"#]]);
    // The second claim lost, or has lost by now: back to the first, which was claimed, too.
    check_shown("ann name Ann; ann name Anna", &["Ann"], expect![[r#"Some(("Ann", true))"#]]);
    check_shown("ann name Ann; ann name Anna", &[], expect![[r#"Some(("Anna", false))"#]]);
    // A name that was never claimed is not shown, whoever says that it is held.
    check_shown("ann name Ann", &["Anna"], expect![[r#"Some(("Ann", false))"#]]);
    // Claiming a held name again chooses it.
    let again = "ann name Ann; ann name Anna; @900 ann name Ann";
    check_shown(again, &["Ann", "Anna"], expect![[r#"Some(("Ann", true))"#]]);
}

#[test]
fn the_first_password_change_wins() {
    check(
        "ann auth -> a; ann auth -> b; ann auth -> c",
        expect![[r#"names [] auth c superseded [] devices ["ann/1"]"#]],
    );
    // Two devices change the password without knowing of each other.
    check(
        "ann auth -> a; ann auth on=a -> b; ann auth on=a -> c",
        expect![[r#"names [] auth b superseded [c] devices ["ann/1"]"#]],
    );
    check(
        "ann auth -> a; @50 ann auth on=a -> b; @40 ann auth on=a -> c",
        expect![[r#"names [] auth c superseded [b] devices ["ann/1"]"#]],
    );
    // What builds on a loser has lost with it.
    check(
        "ann auth -> a; ann auth on=a -> b; ann auth on=a -> c; ann auth on=c -> d",
        expect![[r#"names [] auth b superseded [c d] devices ["ann/1"]"#]],
    );
}

#[test]
fn recovery_codes_replace_each_other_like_passwords() {
    check(
        "ann recovery -> r; ann auth -> a; ann recovery -> s",
        expect![[r#"names [] auth a recovery s superseded [] devices ["ann/1"]"#]],
    );
    check(
        "ann recovery -> r; @50 ann recovery on=r -> s; @40 ann recovery on=r -> t; ann recovery on=s -> u",
        expect![[r#"names [] auth none recovery t superseded [s u] devices ["ann/1"]"#]],
    );
    // A password and a recovery code do not stand in each other's way.
    check(
        "ann auth -> a; ann recovery on=none -> r; ann auth on=a -> b; ann recovery on=none -> s",
        expect![[r#"names [] auth b recovery r superseded [s] devices ["ann/1"]"#]],
    );
}

#[test]
fn an_account_needs_its_genesis() {
    let script = Script::run("ann name Ann");
    let facts = &script.world.accounts[&user("ann")];
    let others = facts.iter().filter(|fact| fact.rank().0.stamp.0 > 0);
    let others = others.map(|fact| (fact.record.clone(), fact.order)).collect();
    assert_eq!(AccountView::of(user("ann"), &others), None);
    // Another person's facts say nothing about this one.
    assert_eq!(AccountView::of(user("bob"), facts), None);
}
