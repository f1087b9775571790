//! Names across scopes: one winner, no silent promotion, chains of groups.

use expect_test::{Expect, expect};
use peerage_ledger::{
    AccountView, Body, Claim, GroupClaim, NameTable, settle_group_name, settle_user_name, shown_name,
};
use peerage_types::{Name, UserId};
use proptest::prelude::*;

use crate::script::Script;
use crate::world::order;

/// All claims of a script, as a tracker would index them.
fn table(script: &Script) -> NameTable {
    let mut table = NameTable::new();
    for (user, facts) in &script.world.accounts {
        for claim in AccountView::of(*user, facts).unwrap().names {
            table.claim_user(&claim.name, Claim { order: claim.order, id: claim.record, user: *user });
        }
    }
    for group in script.world.groups.keys() {
        let view = script.world.group(group).unwrap();
        let genesis = (*group).into();
        let (order, after, ended_by) = (view.created, view.after, view.ended_by);
        table.claim_group(&view.name, GroupClaim { order, genesis, after, ended_by });
    }
    table
}

#[track_caller]
fn check(text: &str, name: &str, expected: Expect) {
    let script = Script::run(text);
    let (table, folded) = (table(&script), name.parse::<Name>().unwrap().folded());
    let user = table.user(&folded).map(|winner| format!("user {}", script.world.name_of(&winner.user)));
    let group = table.group(&folded).map(|holder| {
        let label = script.readable(&format!("{:?}", peerage_types::RecordId::from(holder.group)));
        let free = if holder.ended_by.is_some() { " (free)" } else { "" };
        format!("group {label}{free}")
    });
    let found: Vec<String> = user.into_iter().chain(group).collect();
    expected.assert_eq(&found.join(", "));
}

#[test]
fn user_names() {
    check("ann name Film; bob name film", "FILM", expect!["user ann"]);
    check("@50 ann name Film; @40 bob name film", "film", expect!["user bob"]);
    check("ann name a", "b", expect![]);
}

#[test]
fn group_names() {
    check("ann create film -> g1", "film", expect!["group g1"]);
    check("ann create film -> g1; bob create Film -> g2", "film", expect!["group g1"]);
    check("@50 ann create film -> g1; @40 bob create film -> g2", "film", expect!["group g2"]);
    check("ann create film -> g1; ann close", "film", expect!["group g1 (free)"]);
    let freed = "ann create film -> g1; bob create film -> g2; ann close in=g1 -> c;";
    // The group that lost is not promoted.
    check(freed, "film", expect!["group g1 (free)"]);
    check(
        &format!("{freed} cat create film after=c -> g3; dan create film after=c -> g4"),
        "film",
        expect!["group g3"],
    );
    check(
        &format!(
            "{freed} cat create film after=c -> g3; cat close in=g3 -> d; dan create film after=d -> g4"
        ),
        "film",
        expect!["group g4"],
    );
    // Nobody can name an end that did not happen.
    check(
        "ann create film -> g1; bob create other -> g2; bob close -> c; cat create film after=c",
        "film",
        expect!["group g1"],
    );
}

#[test]
fn shown_names() {
    assert_eq!(shown_name("film", true, "tag"), "film");
    assert_eq!(shown_name("film", false, "tag"), "film#tag");
}

proptest! {
    #[test]
    fn exactly_one_winner_whatever_the_order(
        claims in prop::collection::btree_map(any::<u8>(), (0..4u64, any::<u8>()), 1..12),
        seed in any::<u64>(),
    ) {
        let claims: Vec<Claim> = claims
            .into_iter()
            .map(|(id, (stamp, user))| Claim {
                order: order(stamp),
                id: peerage_types::RecordId([id; 32]),
                user: UserId([user; 32]),
            })
            .collect();
        let winner = settle_user_name(&claims).unwrap();
        let mut shuffled = claims.clone();
        shuffled.rotate_left(seed as usize % claims.len());
        if seed % 2 == 0 {
            shuffled.reverse();
        }
        prop_assert_eq!(settle_user_name(&shuffled), Some(winner));
        prop_assert_eq!(claims.iter().filter(|claim| claim.id == winner.claim).count(), 1);
        // A later claim, and any part of the claims with the winner in it, change nothing.
        let part: Vec<Claim> =
            claims.iter().filter(|claim| claim.id == winner.claim || claim.id.0[0] % 2 == 0).copied().collect();
        prop_assert_eq!(settle_user_name(&part), Some(winner));

        let name: Name = "film".parse().unwrap();
        let mut table = NameTable::new();
        for claim in shuffled.iter().chain(&claims) {
            table.claim_user(&name, *claim);
        }
        prop_assert_eq!(table.user(&name.folded()), Some(winner));
    }

    #[test]
    fn a_group_name_has_one_holder_and_chains_end(
        links in prop::collection::vec((0..3u64, any::<Option<u8>>(), any::<Option<u8>>()), 0..10),
    ) {
        let id = |n: u8| peerage_types::RecordId([n % 6; 32]);
        let claims: Vec<GroupClaim> = links
            .iter()
            .enumerate()
            .map(|(at, (stamp, after, ended_by))| GroupClaim {
                order: order(*stamp),
                genesis: peerage_types::RecordId([100 + at as u8; 32]),
                after: after.map(id),
                ended_by: ended_by.map(id),
            })
            .collect();
        let holder = settle_group_name(&claims);
        let mut reversed = claims.clone();
        reversed.reverse();
        prop_assert_eq!(settle_group_name(&reversed), holder);
        prop_assert_eq!(holder.is_some(), claims.iter().any(|claim| claim.after.is_none()));
    }
}

#[test]
fn bodies_say_which_group_came_before() {
    let script = Script::run("ann create film -> g1; ann close -> c; bob create film after=c");
    let genesis = script.world.facts(&script.group.unwrap());
    let genesis = genesis.iter().next().unwrap();
    assert!(
        matches!(genesis.record.body(), Body::GroupGenesis { after, .. } if *after == Some(script.labels["c"]))
    );
}
