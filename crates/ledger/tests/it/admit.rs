//! Admission: what a tracker answers to a client's record.

use expect_test::{Expect, expect};
use peerage_ledger::fuzzing::CLUSTER;
use peerage_ledger::{
    ACCOUNT_RECORDS_MAX, AccountView, Body, Draft, Facts, GroupView, Order, Record, admit_account,
    admit_group, admit_to_more_groups, invite_proof,
};
use peerage_types::limits::{ACCOUNT_GROUPS_MAX, ACCOUNT_SHARES_MAX, AUTHOR_RECORDS_MAX, GROUP_PENDING_MAX};
use peerage_types::{RecordId, Scope, UserId};

use crate::script::{Script, manifest};
use crate::world::{Say, device, key, order, public, user};

/// Judges the last statement's record against all the others. With `lost`, the facts labelled so have not
/// arrived.
#[track_caller]
fn check_without(text: &str, lost: &[&str], expected: Expect) {
    let (mut script, record) = Script::run_up_to_last(text);
    for facts in script.world.groups.values_mut().chain(script.world.accounts.values_mut()) {
        let kept =
            facts.iter().filter(|fact| lost.iter().all(|label| script.labels[*label] != fact.record.id()));
        *facts = kept.map(|fact| (fact.record.clone(), fact.order)).collect();
    }
    let facts = script.facts_for(&record);
    let accounts = script.world.account_views();
    let verdict = match record.scope() {
        Scope::Account(user) => admit_account(accounts.get(&user), &facts, &record),
        Scope::Group(group) => {
            admit_group(script.world.group(&group).as_ref(), &facts, &accounts, &record, None)
        }
    };
    let answer = verdict.map_or_else(|refusal| refusal.to_string(), |()| "ok".to_owned());
    expected.assert_eq(&script.readable(&answer));
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    check_without(text, &[], expected);
}

const THREE: &str = "ann create film -> g; bob ask; cat ask; ann accept bob; ann accept cat -> acc;";

#[track_caller]
fn check_three(text: &str, expected: Expect) {
    check(&format!("{THREE} {text}"), expected);
}

#[test]
fn accounts() {
    check("ann name Ann", expect!["ok"]);
    check("ann auth -> a; ann auth", expect!["ok"]);
    check(
        "ann auth -> a; ann auth -> b; ann auth on=a",
        expect!["the password was changed elsewhere meanwhile"],
    );
    check_without(
        "ann auth -> a; ann auth on=a",
        &["a"],
        expect!["records that this one rests on are missing here: [a]"],
    );
    check("ann recovery -> r; ann recovery", expect!["ok"]);
    check(
        "ann recovery -> r; ann recovery -> s; ann recovery on=r",
        expect!["the recovery code was changed elsewhere meanwhile"],
    );
    check_without(
        "ann recovery -> r; ann recovery on=r",
        &["r"],
        expect!["records that this one rests on are missing here: [r]"],
    );
    check("ann cert 2; ann revoke 2", expect!["ok"]);
    check(
        "ann cert 2; ann revoke 2; ann cert 2",
        expect!["the device is not certified by user ann, or was revoked"],
    );
    check("ann revoke 2", expect!["the device is not certified by user ann, or was revoked"]);
    check(&("ann name A;".repeat(9)), expect!["too many names: at most 8 are allowed"]);
}

#[test]
fn an_account_is_created_once() {
    let script = Script::run("ann name Ann");
    let view = script.world.account("ann");
    let facts = &script.world.accounts[&view.user];
    let body = Body::AccountGenesis { identity: public(&key("ann")) };
    let first = script.world.account_record("ann", None, body.clone());
    let again = script.world.account_record("ann", view.head, body);
    assert_eq!(admit_account(None, &Default::default(), &first), Ok(()));
    // Idempotent by id: a client may send what is known.
    assert_eq!(admit_account(Some(&view), facts, &first), Ok(()));
    let refusal = admit_account(Some(&view), facts, &again).unwrap_err();
    assert!(refusal.to_string().ends_with("already exists"), "{refusal}");
    let claim =
        script.world.account_record("bob", None, Body::UserNameClaim { name: "bob".parse().unwrap() });
    let refusal = admit_account(None, &Default::default(), &claim).unwrap_err();
    assert!(refusal.to_string().ends_with("does not exist"), "{refusal}");
    assert!(admit_account(Some(&view), facts, &claim).is_err());
}

#[test]
fn joining() {
    check("ann create film", expect!["ok"]);
    check("ann create film; bob ask", expect!["ok"]);
    check("ann create film; bob/x ask", expect!["the device is not certified by user bob, or was revoked"]);
    check("ann create film; bob ask; bob ask inc=1", expect!["user bob has already asked to join"]);
    check("ann create film; bob ask inc=2", expect!["incarnation 2 is not the current one, expected 1"]);
    check("ann create film; ann ask", expect!["user ann is already in this group"]);
    check_three("bob ask", expect!["user bob is already in this group"]);
    check_three("ann kick bob; bob ask", expect!["ok"]);
    check_three("ann kick bob; bob ask inc=1", expect!["incarnation 1 is not the current one, expected 2"]);
    check_three("ann close; dan ask", expect!["the group has ended"]);
    check_without(
        "ann create film -> g; bob ask",
        &["g"],
        expect!["records that this one rests on are missing here: [g]"],
    );
    // The tracker has not heard of bob's leaving.
    check_without(
        &format!("{THREE} bob leave -> l; bob ask"),
        &["l"],
        expect!["records that this one rests on are missing here: [l]"],
    );
}

#[test]
fn deciding() {
    check("ann create film; bob ask; ann accept bob", expect!["ok"]);
    check("ann create film; bob ask; ann reject bob", expect!["ok"]);
    check("ann create film; bob ask; eve accept bob", expect!["user eve is not the owner of this group"]);
    check(
        "ann create film; bob ask; eve accept bob by=ann",
        expect!["the device is not certified by user ann, or was revoked"],
    );
    check("ann create film; ann accept bob inc=1", expect!["user bob has not asked to join the group"]);
    check(
        "ann create film; bob ask; ann accept bob inc=2",
        expect!["incarnation 2 is not the current one, expected 1"],
    );
    check_three("ann accept bob", expect!["user bob has not asked to join the group"]);
    check_three("ann kick bob", expect!["ok"]);
    check_three("ann kick dan", expect!["user dan is not in this group"]);
    check_three("ann kick ann", expect!["the owner leaves by handing the group over"]);
    check_three("bob kick cat", expect!["user bob is not the owner of this group"]);
    check_three("ann kick bob grant=g", expect!["user ann is neither owner nor admin of this group"]);
    check_three("ann handover bob; bob kick cat", expect!["ok"]);
    check_three("ann handover bob; bob kick cat epoch=0", expect!["user bob is not the owner of this group"]);
    check_three(
        "ann revoke 1 keep=acc; ann kick bob",
        expect!["the device is not certified by user ann, or was revoked"],
    );
}

#[test]
fn admins() {
    let admin = |text: &str| format!("dan ask; ann admin bob -> a; {text}");
    for (text, expected) in [
        ("bob accept dan", expect!["ok"]),
        ("bob reject dan", expect!["ok"]),
        ("bob kick cat", expect!["ok"]),
        ("bob accept eve inc=1", expect!["user eve has not asked to join the group"]),
        ("bob kick ann", expect!["the owner leaves by handing the group over"]),
        ("ann admin cat; bob kick cat", expect!["user cat is an admin of this group"]),
        ("ann kick bob", expect!["user bob is an admin of this group"]),
        ("ann unadmin bob; ann kick bob", expect!["ok"]),
        ("cat kick dan", expect!["user cat is not the owner of this group"]),
        ("cat accept dan grant=a", expect!["user cat is neither owner nor admin of this group"]),
        ("bob accept dan epoch=1", expect!["user bob is neither owner nor admin of this group"]),
        (
            "ann unadmin bob; bob accept dan grant=a",
            expect!["user bob is neither owner nor admin of this group"],
        ),
        ("bob leave", expect!["ok"]),
        ("bob close", expect!["user bob is not the owner of this group"]),
        ("bob admin cat", expect!["user bob is not the owner of this group"]),
        ("ann admin bob", expect!["user bob is an admin of this group"]),
        ("ann admin ann", expect!["user ann is the owner of this group"]),
        ("ann admin dan", expect!["user dan is not in this group"]),
        ("ann admin cat inc=2", expect!["incarnation 2 is not the current one, expected 1"]),
        ("ann admin cat epoch=1", expect!["user ann is not the owner of this group"]),
        ("cat unadmin bob", expect!["user cat is not the owner of this group"]),
        ("ann unadmin bob", expect!["ok"]),
        ("ann unadmin bob heads=none", expect!["ok"]),
        ("ann unadmin bob; ann unadmin bob grant=a", expect!["record a is no grant that holds"]),
        (
            "bob accept dan -> k; ann handover cat heads=none",
            expect!["the handover leaves out records of the owner or an admin: [k]"],
        ),
        ("bob accept dan -> k; ann handover cat stays=yes", expect!["ok"]),
    ] {
        check_three(&admin(text), expected);
    }
    check_without(
        &format!("{THREE} dan ask; ann admin bob -> a; bob accept dan"),
        &["a"],
        expect!["records that this one rests on are missing here: [a]"],
    );
    check_without(
        &format!("{THREE} dan ask; ann admin bob -> a; bob accept dan -> k; ann unadmin bob"),
        &["k"],
        expect!["records that this one rests on are missing here: [k]"],
    );
}

#[test]
fn leaving() {
    check_three("bob leave", expect!["ok"]);
    check_three("dan leave", expect!["user dan is not in this group"]);
    check_three("ann leave", expect!["the owner leaves by handing the group over"]);
    check_three("ann handover bob,cat", expect!["ok"]);
    check_three(
        "ann handover dan:1",
        expect!["user b00d7e377a9f7ba6bf708813403dc2383e9faf4dbd621a6cdd54f67fc35000ae is not in this group"],
    );
    check_three("ann handover bob:2", expect!["incarnation 2 is not the current one, expected 1"]);
    check_three("bob handover cat", expect!["user bob is not the owner of this group"]);
    check_three(
        "dan ask; ann/2 accept dan -> k; ann handover bob heads=none",
        expect!["the handover leaves out records of the owner or an admin: [k]"],
    );
    check_three("dan ask; ann/2 accept dan -> k; ann handover bob", expect!["ok"]);
    check_without(
        &format!("{THREE} dan ask; ann/2 accept dan -> k; ann handover bob heads=k"),
        &["k"],
        expect!["records that this one rests on are missing here: [k]"],
    );
    check_three("ann close", expect!["ok"]);
    check_three("bob close", expect!["user bob is not the owner of this group"]);
    check_three("ann handover bob; ann close epoch=0", expect!["user ann is not the owner of this group"]);
}

#[test]
fn sharing() {
    check_three("bob manifest a=1", expect!["ok"]);
    check_three("dan manifest a=1", expect!["user dan is not in this group"]);
    check_three("bob manifest a=1 -> m; bob share x of=m", expect!["ok"]);
    check_three("bob manifest a=1 -> m; dan share x of=m", expect!["user dan is not in this group"]);
    check_three(
        "bob manifest a=1 -> m; bob share x of=m inc=2",
        expect!["incarnation 2 is not the current one, expected 1"],
    );
    check_three("bob share x of=acc", expect!["the record does not belong into this scope"]);
    check_without(
        &format!("{THREE} bob manifest a=1 -> m; cat share x of=m"),
        &["m"],
        expect!["records that this one rests on are missing here: [m]"],
    );
    check_three(
        "bob share a=1; cat manifest a=2",
        expect![
            "same name, other content: theirs 0101010101010101010101010101010101010101010101010101010101010101, yours 0202020202020202020202020202020202020202020202020202020202020202"
        ],
    );
    check_three("bob share a=1; cat manifest a=1", expect!["ok"]);
    check_three("bob share a=1 -> s; bob unshare s", expect!["ok"]);
    check_three(
        "bob share a=1 -> s; bob unshare s; bob unshare s prev=none",
        expect!["user bob does not share this"],
    );
    check_three("bob share a=1 -> s; cat unshare s", expect!["user cat does not share this"]);
    check_without(
        &format!("{THREE} bob share a=1 -> s; bob unshare s"),
        &["s"],
        expect!["records that this one rests on are missing here: [s]"],
    );
    check_three("bob future", expect!["ok"]);
    check_three("dan future", expect!["user dan is not in this group"]);
}

/// Who holds a stolen device may fill the account with records that mean nothing; the owner still gets rid of it.
#[test]
fn a_full_account_can_still_revoke_a_device() {
    let (identity, device) = (key("ann"), key("ann.2"));
    let user = UserId::of_identity(&public(&identity));
    let signed = |body: Body, by: &_| {
        let draft = Draft { cluster: CLUSTER, scope: Scope::Account(user), author: user, prev: None, body };
        std::sync::Arc::new(Record::sign(draft, by))
    };
    let mut facts = Facts::new();
    facts.insert(signed(Body::AccountGenesis { identity: public(&identity) }, &identity), Order::LAST);
    let cert = Body::DeviceCert { device: public(&device), label: "stolen".to_owned() };
    facts.insert(signed(cert, &identity), Order::LAST);
    let filler = |n: usize| signed(Body::Unknown { kind: 900, body: n.to_le_bytes().to_vec() }, &device);
    for n in facts.len()..ACCOUNT_RECORDS_MAX {
        facts.insert(filler(n), Order::LAST);
    }
    let view = AccountView::of(user, &facts);
    let verdict = |record: &Record| admit_account(view.as_ref(), &facts, record).map_err(|e| e.to_string());
    assert_eq!(
        verdict(&filler(9_999)),
        Err("too many records in this account: at most 1000 are allowed".to_owned())
    );
    let revoke = Body::DeviceRevoke { device: public(&device), heads: Vec::new() };
    assert_eq!(verdict(&signed(revoke, &identity)), Ok(()));
}

/// A group with one member beside the owner, and what its other records say.
struct Crowded {
    script: Script,
    facts: Facts,
    prev: Option<RecordId>,
}

impl Crowded {
    fn new() -> Self {
        let script = Script::run("ann create film -> g; bob ask; ann accept bob");
        let facts = script.world.facts(&script.group.unwrap());
        let prev = facts.head(&device("bob/1"));
        Self { script, facts, prev }
    }

    fn sign(&self, author: &str, prev: Option<RecordId>, body: Body) -> std::sync::Arc<Record> {
        let say = Say { author, signer: &format!("{author}/1"), prev, body };
        self.script.world.group_record(self.script.group, say)
    }

    /// The next record of bob.
    fn bob(&mut self, body: Body) -> RecordId {
        let record = self.sign("bob", self.prev, body);
        self.prev = Some(record.id());
        self.facts.insert(record, order(1_000 + self.facts.len() as u64));
        self.prev.unwrap()
    }

    fn verdicts(&self, records: &[&Record]) -> Vec<Result<(), String>> {
        records.iter().map(|record| self.verdict(record, None)).collect()
    }

    /// Of a record in a bundle in which `next` follows it.
    fn verdict(&self, record: &Record, next: Option<&Record>) -> Result<(), String> {
        let accounts = self.script.world.account_views();
        let view = GroupView::of(self.script.group.unwrap(), &self.facts, &accounts);
        admit_group(view.as_ref(), &self.facts, &accounts, record, next)
            .map_err(|refusal| format!("{refusal} | {}", refusal.way_out().unwrap_or("no way out")))
    }
}

#[test]
fn who_filled_a_group_up_can_still_leave() {
    let mut crowded = Crowded::new();
    // The request to join is one of them.
    for n in 1..AUTHOR_RECORDS_MAX {
        crowded.bob(Body::Unknown { kind: 900, body: n.to_le_bytes().to_vec() });
    }
    let one_more = crowded.sign("bob", crowded.prev, manifest("a=1"));
    let leave = crowded.sign("bob", crowded.prev, Body::Leave { incarnation: 1 });
    let owner = crowded.sign("ann", crowded.facts.head(&device("ann/1")), manifest("a=1"));
    let way_out = "leave and stop_share still work; go on in a new group, or with another account";
    let full = format!(
        "too many records of this account in the group: at most {AUTHOR_RECORDS_MAX} are allowed | {way_out}"
    );
    assert_eq!(crowded.verdicts(&[&one_more, &leave, &owner]), [Err(full), Ok(()), Ok(())]);
}

#[test]
fn shares_of_one_account_in_a_group_are_limited() {
    let mut crowded = Crowded::new();
    let mut last = None;
    for n in 0..ACCOUNT_SHARES_MAX {
        let manifest = crowded.bob(manifest(&format!("{n}=1")));
        last = Some(crowded.bob(Body::Share { manifest, incarnation: 1 }));
    }
    let manifest = crowded.bob(manifest("more=1"));
    let share = Body::Share { manifest, incarnation: 1 };
    let one_more = crowded.sign("bob", crowded.prev, share.clone());
    let ends = crowded.sign("bob", crowded.prev, Body::Unshare { share: last.unwrap() });
    let full = "too many shares: at most 10000 are allowed | stop sharing some files with stop_share first";
    assert_eq!(crowded.verdicts(&[&one_more, &ends]), [Err(full.to_owned()), Ok(())]);
    crowded.bob(Body::Unshare { share: last.unwrap() });
    let again = crowded.sign("bob", crowded.prev, share);
    assert_eq!(crowded.verdicts(&[&again]), [Ok(())]);
}

#[test]
fn open_requests_of_a_group_are_limited() {
    let mut crowded = Crowded::new();
    for n in 0..=GROUP_PENDING_MAX {
        crowded.script.world.device(&format!("p{n}"), &format!("p{n}/1"));
    }
    let ask =
        |crowded: &Crowded, n| crowded.sign(&format!("p{n}"), None, Body::JoinRequest { incarnation: 1 });
    for n in 0..GROUP_PENDING_MAX {
        crowded.facts.insert(ask(&crowded, n), order(1_000 + n as u64));
    }
    let one_more = ask(&crowded, GROUP_PENDING_MAX);
    let reject = Body::Reject { user: user("p0"), incarnation: 1, epoch: 0, grant: None };
    let reject = crowded.sign("ann", crowded.facts.head(&device("ann/1")), reject);
    let full = "too many open requests: at most 1000 are allowed | ask again when the owner or an admin has answered some";
    assert_eq!(crowded.verdicts(&[&one_more, &reject]), [Err(full.to_owned()), Ok(())]);
    // Who has an invite asks for nobody's attention.
    let (last, group) = (format!("p{GROUP_PENDING_MAX}"), crowded.script.group.unwrap());
    let redeem = |incarnation| {
        let proof = invite_proof(&key("i"), &group, &user(&last), incarnation);
        crowded.sign(&last, Some(one_more.id()), Body::Redeem { key: device("i"), incarnation, proof })
    };
    assert_eq!(crowded.verdict(&one_more, Some(&redeem(1))), Ok(()));
    assert_eq!(crowded.verdict(&one_more, Some(&redeem(2))), Err(full.to_owned()));
    assert_eq!(crowded.verdict(&one_more, Some(&reject)), Err(full.to_owned()));
    crowded.facts.insert(reject, order(9_000));
    assert_eq!(crowded.verdicts(&[&one_more]), [Ok(())]);
}

#[test]
fn groups_of_one_account_are_limited() {
    assert_eq!(admit_to_more_groups(ACCOUNT_GROUPS_MAX - 1), Ok(()));
    let refusal = admit_to_more_groups(ACCOUNT_GROUPS_MAX).unwrap_err();
    assert_eq!(refusal.to_string(), "too many groups of this account: at most 1000 are allowed");
    assert!(refusal.way_out().is_some_and(|way| way.contains("another account")));
}
