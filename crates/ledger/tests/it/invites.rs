//! Acceptances beforehand: who comes in by an invite, and who does not.

use expect_test::{Expect, expect};
use peerage_ledger::fuzzing::CLUSTER;
use peerage_ledger::{
    Body, Facts, GroupView, Record, RecordFault, Void, admit_group, admit_invite_at, audit, outline,
};
use peerage_types::{GroupId, UserId};
use proptest::prelude::*;

use crate::script::Script;
use crate::world::{Say, device, order, user};

/// What the group looks like, and why records about invites had no effect. The view must be one of the set: of halves
/// put together either way, and of what each person may see.
#[track_caller]
fn check(text: &str, expected: Expect) {
    let script = Script::run(text);
    let (group, accounts) = (script.group.unwrap(), script.world.account_views());
    let facts = script.world.facts(&group);
    let view = GroupView::of(group, &facts, &accounts).unwrap();
    for seed in 0..8 {
        let half = |odd: bool| -> Facts {
            let dice = |id: &[u8; 32]| blake3::keyed_hash(&[seed; 32], id).as_bytes()[0] % 2 == u8::from(odd);
            let half = facts.iter().filter(|fact| dice(&fact.record.id().0));
            half.map(|fact| (fact.record.clone(), fact.order)).collect()
        };
        for (mut one, other) in [(half(true), half(false)), (half(false), half(true))] {
            one.merge(&other);
            assert_eq!(GroupView::of(group, &one, &accounts).as_ref(), Some(&view));
        }
    }
    for name in &script.world.people {
        let part = outline(group, &facts, &accounts, &user(name));
        let seen = GroupView::of(group, &part, &accounts).unwrap();
        assert_eq!(seen.standing(&user(name)), view.standing(&user(name)), "what {name} sees");
    }
    let invites: Vec<String> = view
        .invites
        .iter()
        .map(|invite| format!("{}/{} {:?}", invite.used.len(), invite.uses, invite.state(0)))
        .collect();
    let voids: Vec<String> = audit(group, &facts, &accounts)
        .into_iter()
        .filter_map(|entry| Some((entry.record.kind(), entry.void?)))
        .map(|(kind, void)| format!("{kind:?}: {void:?}"))
        .collect();
    expected.assert_eq(&format!("{}\n{}\n{}", script.show(&view), invites.join(", "), voids.join(", ")));
}

#[test]
fn who_is_invited_comes_in() {
    check(
        "ann create film; ann invite i uses=2; bob ask; bob redeem i; cat ask; cat redeem i; dan ask; dan redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.1
            2/2 UsedUp
            Redeem: InviteUsedUp"#]],
    );
}

#[test]
fn a_waiting_person_may_use_one_and_who_left_comes_back() {
    check(
        "ann create film; bob ask; ann invite i; bob redeem i; bob leave; bob ask; bob redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 bob.2
            1/1 UsedUp
        "#]],
    );
}

#[test]
fn nobody_comes_by_what_is_over() {
    // 65536 stamps are a millisecond.
    check(
        "ann create film; ann invite i expires=2; bob ask; @131072 bob redeem i",
        expect![[r#"
        owner ann@0 | in ann.0 | waiting bob.1
        0/1 Open
        Redeem: InviteOver"#]],
    );
    check(
        "ann create film; ann invite i expires=2; bob ask; @131071 bob redeem i",
        expect![[r#"
        owner ann@0 | in ann.0 bob.1
        1/1 UsedUp
    "#]],
    );
    check(
        "ann create film; ann invite i; ann withdraw i; bob ask; bob redeem i",
        expect![[r#"
        owner ann@0 | in ann.0 | waiting bob.1
        0/1 Withdrawn
        Redeem: InviteOver"#]],
    );
    check(
        "ann create film; ann invite i; bob ask; bob redeem i; ann withdraw i",
        expect![[r#"
        owner ann@0 | in ann.0 bob.1
        1/1 Withdrawn
    "#]],
    );
}

#[test]
fn an_office_that_ends_takes_its_invites_along() {
    check(
        "ann create film; bob ask; ann accept bob; ann admin bob; bob invite i uses=9; cat ask; cat redeem i; \
         ann unadmin bob; dan ask; dan redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 bob.1 cat.1 | waiting dan.1
            1/9 IssuerGone
            Redeem: InviteOver"#]],
    );
    check(
        "ann create film; bob ask; ann accept bob; ann invite i uses=9; cat ask; cat redeem i; \
         ann handover bob stays=yes; dan ask; dan redeem i",
        expect![[r#"
            owner bob@1 | in ann.0 bob.1 cat.1 | waiting dan.1
            1/9 IssuerGone
            Redeem: InviteOver"#]],
    );
    check(
        "ann create film; bob ask; ann accept bob; ann/2 invite i; cat ask; cat redeem i; ann revoke 2",
        expect![[r#"
            owner ann@0 | in ann.0 bob.1 | waiting cat.1

            Invite: DeviceRevoked, Redeem: NoSuchInvite"#]],
    );
}

/// Who stole a device may have made invites that the owner takes note of unseen. Who came in before stays.
#[test]
fn a_revoked_devices_invites_end_also_if_they_are_noted() {
    check(
        "ann create film; ann/2 invite i uses=3 -> i; bob ask; bob redeem i; ann revoke 2 keep=i; cat ask; cat redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 bob.1 | waiting cat.1
            1/3 IssuerGone
            Redeem: InviteOver"#]],
    );
}

/// Whatever ends the office of who withdrew it: it stays withdrawn.
#[test]
fn a_withdrawal_stands_without_being_noted() {
    check(
        "ann create film; ann invite i; ann/2 withdraw i; ann revoke 2; bob ask; bob redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 | waiting bob.1
            0/1 Withdrawn
            Redeem: InviteOver"#]],
    );
    check(
        "ann create film; bob ask; ann accept bob; ann admin bob -> grant; ann invite i; bob withdraw i; \
         ann unadmin bob grant=grant heads=grant; cat ask; cat redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 bob.1 | waiting cat.1
            0/1 Withdrawn
            Redeem: InviteOver"#]],
    );
    check(
        "ann create film; ann invite i; ann revoke 2; ann/2 withdraw i; bob ask; bob redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 bob.1
            1/1 UsedUp
            InviteWithdraw: DeviceRevoked"#]],
    );
}

#[test]
fn who_may_not_invite_invites_nobody() {
    check(
        "ann create film; bob ask; ann accept bob; bob invite i; cat ask; cat redeem i",
        expect![[r#"
        owner ann@0 | in ann.0 bob.1 | waiting cat.1

        Invite: NotOwner, Redeem: NoSuchInvite"#]],
    );
    check(
        "ann create film; bob ask; ann accept bob; bob invite i epoch=1; cat ask; cat redeem i",
        expect![[r#"
        owner ann@0 | in ann.0 bob.1 | waiting cat.1

        Invite: NotOwner, Redeem: NoSuchInvite"#]],
    );
    check(
        "ann create film; eve/x invite i by=ann; cat ask; cat redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 | waiting cat.1

            Invite: NotCertified, Redeem: NoSuchInvite"#]],
    );
    check(
        "ann create film; ann invite i; ann invite i uses=9; cat ask; cat redeem i; bob ask; bob redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 cat.1 | waiting bob.1
            1/1 UsedUp
            Invite: KnownInvite, Redeem: InviteUsedUp"#]],
    );
}

#[test]
fn who_was_put_out_needs_a_new_invite() {
    check(
        "ann create film; ann invite i uses=9; bob ask; bob redeem i; ann kick bob; bob ask; bob redeem i",
        expect![[r#"
            owner ann@0 | in ann.0 | waiting bob.2
            1/9 Open
            Redeem: PutOut, Redeem: PutOut"#]],
    );
    check(
        "ann create film; ann invite i uses=9; bob ask; ann reject bob; bob ask; bob redeem i; \
         ann invite j; bob redeem j",
        expect![[r#"
            owner ann@0 | in ann.0 bob.2
            1/9 Open, 1/1 UsedUp
            Redeem: PutOut"#]],
    );
}

/// A proof is good for one group, one account and one coming, and only from the invite's key.
#[test]
fn a_proof_cannot_be_shown_again() {
    let script = Script::run("ann create film; ann invite i uses=9; bob ask; cat ask; bob redeem i");
    let group = script.group.unwrap();
    let facts = script.world.facts(&group);
    let redeem = facts.iter().find(|f| matches!(f.record.body(), Body::Redeem { .. })).unwrap();
    let Body::Redeem { key, incarnation, proof } = *redeem.record.body() else { unreachable!() };
    let decode = |group: GroupId, author: &str, body: Body| {
        let signer = format!("{author}/1");
        let say = Say { author, signer: &signer, prev: None, body };
        Record::decode(script.world.group_record(Some(group), say).bytes(), &CLUSTER)
    };
    let body = |incarnation| Body::Redeem { key, incarnation, proof };
    assert!(decode(group, "bob", body(incarnation)).is_ok());
    let other = Body::Redeem { key: device("another invite"), incarnation, proof };
    for (group, author, body) in [
        (group, "cat", body(incarnation)),
        (group, "bob", body(incarnation + 1)),
        (GroupId([5; 32]), "bob", body(incarnation)),
        (group, "bob", other),
    ] {
        let fault = decode(group, author, body).unwrap_err();
        assert!(matches!(fault, RecordFault::BadProof { .. }), "{fault}");
    }
}

#[track_caller]
fn refused(text: &str, now_ms: u64, expected: Expect) {
    let (script, record) = Script::run_up_to_last(text);
    let (view, facts) = (script.view().unwrap(), script.facts_for(&record));
    let verdict = admit_group(Some(&view), &facts, &script.world.account_views(), &record, None)
        .and_then(|()| admit_invite_at(&view, &record, now_ms));
    let said = verdict.map_or_else(|refusal| script.readable(&refusal.to_string()), |()| "taken".to_owned());
    expected.assert_eq(&said);
}

#[test]
fn what_is_submitted_must_take_effect() {
    let invited = "ann create film; bob ask; ann invite i expires=5000; ";
    refused(&format!("{invited} bob redeem i"), 4_999, expect!["taken"]);
    refused(&format!("{invited} bob redeem i"), 5_000, expect!["the invite expired at 1970-01-01 00:00 UTC"]);
    refused(&format!("{invited} bob redeem j"), 0, expect!["the invite is not known here"]);
    refused(&format!("{invited} cat redeem i inc=1"), 0, expect!["user cat has not asked to join the group"]);
    refused(&format!("{invited} ann withdraw i; bob redeem i"), 0, expect!["the invite was withdrawn"]);
    refused(&format!("{invited} ann withdraw i; ann withdraw i"), 0, expect!["the invite was withdrawn"]);
    refused(
        &format!("{invited} cat ask; cat redeem i; bob redeem i"),
        0,
        expect!["the invite has been used up"],
    );
    refused(
        &format!("{invited} ann reject bob; bob ask; bob redeem i"),
        0,
        expect!["the invite was made before user bob was put out of the group"],
    );
    refused(&format!("{invited} bob withdraw i"), 0, expect!["user bob is not the owner of this group"]);
    refused(&format!("{invited} bob invite j"), 0, expect!["user bob is not the owner of this group"]);
    refused(
        &format!("{invited} ann invite j expires=5"),
        6,
        expect!["the invite expired at 1970-01-01 00:00 UTC"],
    );
    refused(
        &format!("{invited} ann invite j uses=1001"),
        0,
        expect!["too many uses of one invite: at most 1000 are allowed"],
    );
    let many: String = (0..256).map(|n| format!("ann invite k{n}; ")).collect();
    refused(
        &format!("ann create film; {many} ann invite i"),
        0,
        expect!["too many open invites: at most 256 are allowed"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever arrives where: the first in order come in, as many as the invite allows, and nobody after its end.
    #[test]
    fn the_first_come_in(stamps in prop::collection::vec(1_000u64..400_000, 1..12), uses in 1u32..5, withdrawn in any::<bool>()) {
        let mut script = Script::run(&format!("ann create film; ann invite i uses={uses} expires=4"));
        if withdrawn {
            script = Script::run(&format!(
                "ann create film; ann invite i uses={uses} expires=4; @200000 ann withdraw i"
            ));
        }
        let group = script.group.unwrap();
        let mut redeems = Vec::new();
        for (at, stamp) in stamps.iter().enumerate() {
            let (name, signer) = (format!("p{at}"), format!("p{at}/1"));
            script.world.device(&name, &signer);
            let say = |prev, body| Say { author: &name, signer: &signer, prev, body };
            let ask = script.world.group_record(Some(group), say(None, Body::JoinRequest { incarnation: 1 }));
            let proof = peerage_ledger::invite_proof(&crate::world::key("i"), &group, &user(&name), 1);
            let redeem = Body::Redeem { key: device("i"), incarnation: 1, proof };
            let redeem = script.world.group_record(Some(group), say(Some(ask.id()), redeem));
            redeems.push(((order(*stamp), redeem.id()), user(&name)));
            script.world.add(ask, order(*stamp));
            script.world.add(redeem, order(*stamp));
        }
        redeems.sort();
        let end = if withdrawn { 200_000 } else { 4 << 16 };
        let in_time = redeems.iter().filter(|((at, _), _)| at.stamp.0 < end.min(4 << 16));
        let expected: Vec<UserId> = in_time.map(|(_, user)| *user).take(uses as usize).collect();
        let view = script.view().unwrap();
        prop_assert_eq!(&view.invites[0].used, &expected);
        for (_, person) in &redeems {
            prop_assert_eq!(view.is_member(person), expected.contains(person));
        }
        let late = audit(group, &script.world.facts(&group), &script.world.account_views());
        let late = late.iter().filter(|e| matches!(e.void, Some(Void::InviteOver | Void::InviteUsedUp))).count();
        prop_assert_eq!(late, redeems.len() - expected.len());
    }
}
