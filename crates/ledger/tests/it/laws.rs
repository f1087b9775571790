//! What holds for every history: views are functions of the set, and of authority only.

use std::collections::BTreeMap;

use peerage_ledger::{
    AccountView, Body, Fact, Facts, GroupView, Order, Record, Role, Standing, Void, admit_group, audit,
    outline,
};
use peerage_types::UserId;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::history::{History, OUTSIDER, PEOPLE, TICK, intrusions, membership, step, steps};
use crate::reference;
use crate::script::{Script, manifest};
use crate::world::{Say, device, order, user};

/// The same facts, inserted in an order that follows from `seed`.
fn shuffled(facts: &Facts, seed: u64) -> Facts {
    let mut all: Vec<_> = facts.iter().map(|fact| (fact.record.clone(), fact.order)).collect();
    all.sort_by_key(|(record, _)| *blake3::keyed_hash(&[seed as u8; 32], &record.id().0).as_bytes());
    all.into_iter().collect()
}

/// Three overlapping parts, with later receipts here and there.
fn parts(facts: &Facts, seed: u64) -> [Facts; 3] {
    let mut parts = [Facts::new(), Facts::new(), Facts::new()];
    for (at, fact) in facts.iter().enumerate() {
        let dice = blake3::keyed_hash(&[seed as u8; 32], &(at as u64).to_be_bytes());
        let home = dice.as_bytes()[0] as usize % 3;
        for (part, facts) in parts.iter_mut().enumerate() {
            let late = Order { stamp: peerage_types::Stamp(fact.order.stamp.0 + 1_000 * TICK), ..fact.order };
            if part == home {
                facts.insert(fact.record.clone(), fact.order);
            } else if dice.as_bytes()[1 + part] < 100 {
                facts.insert(fact.record.clone(), late);
            }
        }
    }
    parts
}

fn union(a: &Facts, b: &Facts) -> Facts {
    let mut union = a.clone();
    union.merge(b);
    union
}

fn accounts(history: &History) -> BTreeMap<UserId, AccountView> {
    history.world.account_views()
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, ..ProptestConfig::default() }
}

/// Adds fact by fact; says how many the view took without being settled anew.
fn appended(history: &History, facts: &[Fact]) -> Result<usize, TestCaseError> {
    let accounts = accounts(history);
    let (mut known, mut view, mut taken) = (Facts::new(), None::<GroupView>, 0);
    for fact in facts {
        known.insert(fact.record.clone(), fact.order);
        let anew = GroupView::of(history.group, &known, &accounts);
        let before = view.clone();
        match view.as_mut().is_some_and(|view| view.append(&known, &accounts, &fact.record.id())) {
            true => {
                prop_assert_eq!(&view, &anew);
                taken += 1;
            }
            false => {
                prop_assert_eq!(&view, &before);
                view = anew;
            }
        }
    }
    Ok(taken)
}

/// Else the law above could hold because nothing is ever appended.
#[test]
fn files_and_shares_are_appended() {
    let history = History::founded();
    let mut facts: Vec<_> = history.facts().iter().cloned().collect();
    facts.sort_by_key(|fact| fact.rank());
    shares_are_appended(&history, facts);
}

/// Also where there are admins, who have decided something, and one who is none any more.
#[test]
fn files_and_shares_are_appended_beside_admins() {
    let history = History::founded();
    let mut facts: Vec<_> = history.facts().iter().cloned().collect();
    facts.sort_by_key(|fact| fact.rank());
    let mut say = |author: &str, body: Body| {
        let signer = format!("{author}/1");
        let known: Facts = facts.iter().map(|fact| (fact.record.clone(), fact.order)).collect();
        let say = Say { author, signer: &signer, prev: known.head(&device(&signer)), body };
        let record = history.world.group_record(Some(history.group), say);
        let id = record.id();
        facts.push(Fact { record, order: order(60 + facts.len() as u64) });
        id
    };
    let grant = say("ann", Body::AdminGrant { user: user("cat"), incarnation: 1, epoch: 0 });
    say("dan", Body::JoinRequest { incarnation: 1 });
    let accept = Body::Accept { user: user("dan"), incarnation: 1, epoch: 0, grant: Some(grant) };
    let accepted = say("cat", accept);
    say("ann", Body::AdminRevoke { grant, heads: vec![accepted], epoch: 0 });
    say("ann", Body::AdminGrant { user: user("cat"), incarnation: 1, epoch: 0 });
    shares_are_appended(&history, facts);
}

fn shares_are_appended(history: &History, mut facts: Vec<Fact>) {
    let mut prev = history.facts().head(&device("bob/1"));
    for n in 0..30 {
        let body = match n % 3 {
            0 => manifest(&format!("{n}=1")),
            // Of a new file, then by somebody else of the same.
            _ => Body::Share { manifest: facts[facts.len() - n % 3].record.id(), incarnation: 1 },
        };
        let record = history
            .world
            .group_record(Some(history.group), Say { author: "bob", signer: "bob/1", prev, body });
        prev = Some(record.id());
        facts.push(Fact { record, order: order(100 + n as u64) });
    }
    assert!(appended(history, &facts).unwrap() >= 30);
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn the_view_is_a_function_of_the_set(steps in steps(), seed in any::<u64>()) {
        let history = History::of(&steps);
        let facts = history.facts();
        let again = shuffled(facts, seed);
        prop_assert_eq!(&again, facts);
        prop_assert_eq!(history.view_of(&again), history.view());

        let [a, b, c] = parts(facts, seed);
        prop_assert_eq!(&union(&a, &b), &union(&b, &a));
        prop_assert_eq!(&union(&union(&a, &b), &c), &union(&a, &union(&b, &c)));
        prop_assert_eq!(&union(&a, &a), &a);
        prop_assert_eq!(&union(&union(&a, &b), &c), facts);
        let mut whole = facts.clone();
        prop_assert!(!whole.merge(&a));
    }

    #[test]
    fn the_view_agrees_with_the_slow_reference(steps in steps()) {
        let history = History::of(&steps);
        let (view, accounts) = (history.view(), accounts(&history));
        let expected = reference::expected(history.group, history.facts(), &accounts).unwrap();
        let found = reference::Expected {
            owner: view.owner,
            epoch: view.epoch,
            ended_by: view.ended_by,
            members: view.members.iter().map(|(user, member)| (*user, member.incarnation)).collect(),
            admins: view.admins.iter().map(|(user, admin)| (*user, admin.grants.clone())).collect(),
            invites: view.invites.iter().map(reference::Invited::of).collect(),
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_view_contradicts_itself_nowhere(steps in steps()) {
        let history = History::of(&steps);
        consistent(&history.view())?;
    }

    #[test]
    fn appending_agrees_with_settling_anew(steps in steps(), seed in any::<u64>()) {
        let history = History::of(&steps);
        let mut in_order: Vec<_> = history.facts().iter().cloned().collect();
        in_order.sort_by_key(|fact| fact.rank());
        appended(&history, &in_order)?;
        let mut shuffled = in_order;
        shuffled.sort_by_key(|fact| *blake3::keyed_hash(&[seed as u8; 32], &fact.record.id().0).as_bytes());
        appended(&history, &shuffled)?;
    }

    #[test]
    fn outsiders_have_no_effect(steps in steps(), seed in any::<u8>()) {
        let history = History::of(&steps);
        let mut facts = history.facts().clone();
        for fact in intrusions(&history, seed) {
            facts.insert(fact.record, fact.order);
        }
        prop_assert_eq!(history.view_of(&facts), history.view());
    }

    #[test]
    fn no_kick_is_undone_without_a_higher_incarnation(steps in steps()) {
        let history = History::of(&steps);
        let view = history.view();
        for (person, until) in reference::kicked(history.group, history.facts(), &accounts(&history)) {
            if let Some(incarnation) = membership(&view, &person) {
                prop_assert!(incarnation > until, "{person:?} was kicked at {until}, is in at {incarnation}");
            }
        }
    }

    /// Whatever the kicked person and the other members (the owner aside) write afterwards, out is out.
    #[test]
    fn the_kicked_cannot_come_back_by_themselves(before in steps(), after in steps(), whom in any::<u8>()) {
        let mut history = History::of(&before);
        let view = history.view();
        let target = user(PEOPLE[whom as usize % PEOPLE.len()]);
        if view.ended_by.is_some() || view.owner == target || membership(&view, &target).is_none() {
            return Ok(());
        }
        let incarnation = view.standing(&target).incarnation();
        let owner = view.owner;
        let kick = Body::Kick { user: target, incarnation, epoch: view.epoch, grant: None };
        let name = PEOPLE.into_iter().find(|name| user(name) == owner).unwrap();
        // From the owner's first device, which histories never revoke.
        let signer = format!("{name}/1");
        let prev = history.facts().head(&device(&signer));
        let say = Say { author: name, signer: &signer, prev, body: kick };
        let record = history.world.group_record(Some(history.group), say);
        let mut facts = history.facts().clone();
        facts.insert(record, order(1));
        for next in &after {
            if next.revokes() == Some(name) {
                continue;
            }
            if let Some(record) = history.take(next).filter(|record| record.author() != owner) {
                facts.insert(record, order(2));
            }
        }
        let view = history.view_of(&facts);
        if view.owner == owner && view.ended_by.is_none() {
            let out = membership(&view, &target).is_none_or(|now| now > incarnation);
            prop_assert!(out, "{:?}", view.standing(&target));
        }
    }

    #[test]
    fn an_outline_tells_a_stranger_the_truth(steps in steps(), whom in any::<u8>()) {
        let history = History::of(&steps);
        let (view, accounts) = (history.view(), accounts(&history));
        let everyone: Vec<&str> = PEOPLE.into_iter().chain([OUTSIDER]).collect();
        let person = user(everyone[whom as usize % everyone.len()]);
        let part = outline(history.group, history.facts(), &accounts, &person);
        let seen = history.view_of(&part);
        prop_assert_eq!((seen.owner, seen.epoch, seen.ended_by), (view.owner, view.epoch, view.ended_by));
        prop_assert_eq!(seen.standing(&person), view.standing(&person));
        prop_assert!(part.len() <= history.facts().len());
    }

    #[test]
    fn what_is_admitted_takes_effect(before in steps(), next in prop::collection::vec(step(), 1..20)) {
        let mut history = History::of(&before);
        for step in &next {
            let (facts, view, accounts) = (history.facts().clone(), history.view(), accounts(&history));
            let Some(record) = history.take(step) else { continue };
            history.meet_all();
            let new = !facts.contains(&record.id());
            if new && admit_group(Some(&view), &facts, &accounts, &record, None).is_ok() {
                let mut with = facts.clone();
                with.insert(record.clone(), Order::LAST);
                took_effect(&facts, &view, &history.view_of(&with), &record)?;
            }
        }
    }
}

/// Laws about histories in which nothing happens would be cheap.
#[test]
fn histories_are_eventful() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..200 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let history = History::of(&steps);
        let view = history.view();
        let stands =
            |what: fn(&Standing) -> bool| PEOPLE.iter().any(|name| what(&view.standing(&user(name))));
        let events = [
            ("handed over", view.epoch > 0),
            ("handed over twice", view.epoch > 1),
            ("ended", view.ended_by.is_some()),
            ("three members", view.members.len() >= 3),
            ("came back", view.members.values().any(|member| member.incarnation > 1)),
            ("kicked", stands(|standing| matches!(standing, Standing::Kicked { .. }))),
            ("left", stands(|standing| matches!(standing, Standing::Left { .. }))),
            ("rejected", stands(|standing| matches!(standing, Standing::Rejected { .. }))),
            ("waiting", !view.requests.is_empty()),
            ("shares", !view.files.is_empty()),
            ("admins", !view.admins.is_empty()),
            ("admins decided", view.admins.values().any(|admin| !admin.heads.is_empty())),
            (
                "a past owner stayed",
                view.epoch > 0 && view.members.get(&user("ann")).is_some_and(|m| m.incarnation == 0),
            ),
            ("void by an admin", voids(&history).contains(&Some(Void::GrantEnded))),
            ("void on an admin", voids(&history).contains(&Some(Void::BeyondReach))),
            (
                "somebody came by an invite",
                view.invites.iter().any(|i| i.used.iter().any(|u| view.is_member(u))),
            ),
            ("an invite used up", view.invites.iter().any(|i| i.used.len() == i.uses as usize)),
            ("an invite withdrawn", view.invites.iter().any(|i| i.withdrawn)),
            ("an invite of who left office", view.invites.iter().any(|i| !i.in_office)),
            ("two invites with one key", voids(&history).contains(&Some(Void::KnownInvite))),
            ("too late for an invite", voids(&history).contains(&Some(Void::InviteOver))),
            ("one too many for an invite", voids(&history).contains(&Some(Void::InviteUsedUp))),
            ("put out since the invite", voids(&history).contains(&Some(Void::PutOut))),
            ("forks", !view.forks.is_empty()),
            ("two contents", view.files.iter().any(|file| file.shown != file.name.as_str())),
        ];
        for (event, happened) in events {
            *seen.entry(event).or_default() += u32::from(happened);
        }
    }
    let rare: Vec<_> = seen.iter().filter(|(_, count)| **count < 5).collect();
    assert!(rare.is_empty(), "{rare:?} of {seen:?}");
}

fn voids(history: &History) -> Vec<Option<Void>> {
    let entries = audit(history.group, history.facts(), &accounts(history));
    entries.into_iter().map(|entry| entry.void).collect()
}

fn consistent(view: &GroupView) -> Result<(), TestCaseError> {
    if view.ended_by.is_some() {
        prop_assert!(view.members.is_empty() && view.requests.is_empty() && view.files.is_empty());
    } else {
        prop_assert!(view.is_member(&view.owner) && view.is_owner(&view.owner));
    }
    for (user, admin) in &view.admins {
        prop_assert_eq!(view.role(user), Some(Role::Admin));
        prop_assert_eq!(view.admin_grant(user), admin.grants.first().copied());
    }
    for (user, member) in &view.members {
        prop_assert_eq!(view.standing(user), Standing::Member { incarnation: member.incarnation });
    }
    for request in &view.requests {
        let waiting = Standing::Requested { incarnation: request.incarnation };
        prop_assert_eq!(view.standing(&request.user), waiting);
    }
    let mut shown: Vec<&str> = view.files.iter().map(|file| file.shown.as_str()).collect();
    shown.sort_unstable();
    shown.dedup();
    prop_assert_eq!(shown.len(), view.files.len());
    let plain = view.files.iter().filter(|file| file.shown == file.name.as_str());
    let mut names: Vec<_> = view.files.iter().map(|file| &file.name).collect();
    names.dedup();
    prop_assert_eq!(plain.count(), names.len());
    for file in &view.files {
        prop_assert!(!file.shares.is_empty());
        prop_assert!(file.shares.is_sorted_by_key(|share| (share.order, share.share)));
        prop_assert!(file.shares.iter().all(|share| view.is_member(&share.user)));
    }
    for (heir, incarnation) in view.heirs() {
        prop_assert!(heir != view.owner && view.members[&heir].incarnation == incarnation);
    }
    Ok(())
}

fn took_effect(
    facts: &Facts,
    before: &GroupView,
    after: &GroupView,
    record: &Record,
) -> Result<(), TestCaseError> {
    let author = record.author();
    let listed = |share| after.files.iter().flat_map(|file| &file.shares).any(|open| open.share == share);
    match *record.body() {
        Body::JoinRequest { incarnation } => {
            // A member at once if the owner's answer is older than the request: an earlier one, signed by a device
            // that is void now, had been accepted.
            let standing = after.standing(&author);
            let accepted = standing == Standing::Member { incarnation };
            prop_assert!(accepted || standing == Standing::Requested { incarnation }, "{standing:?}");
        }
        Body::Accept { user, incarnation, .. } => {
            prop_assert_eq!(after.standing(&user), Standing::Member { incarnation });
        }
        Body::Reject { user, incarnation, .. } => {
            prop_assert_eq!(after.standing(&user), Standing::Rejected { incarnation });
        }
        Body::Kick { user, incarnation, .. } => {
            prop_assert_eq!(after.standing(&user), Standing::Kicked { incarnation });
        }
        Body::Leave { incarnation } => {
            prop_assert_eq!(after.standing(&author), Standing::Left { incarnation });
        }
        Body::AdminGrant { user, .. } => {
            prop_assert!(after.admins.get(&user).is_some_and(|admin| admin.grants.contains(&record.id())));
        }
        Body::AdminRevoke { grant, .. } => {
            prop_assert!(after.admins.values().all(|admin| !admin.grants.contains(&grant)));
        }
        Body::Handover { ref heirs, stays, .. } => {
            // What the heir decided in this term before, under a handover that has become void, counts again.
            if heirs.first().is_some_and(|(heir, _)| decided(facts, *heir, before.epoch + 1)) {
                prop_assert!(after.epoch > before.epoch);
                return Ok(());
            }
            // Whoever asked to join while owning the group is what they asked to be.
            let asked = |fact: &Fact| {
                fact.record.author() == author && matches!(fact.record.body(), Body::JoinRequest { .. })
            };
            if !stays || !facts.iter().any(asked) {
                prop_assert_eq!(after.is_member(&author), stays);
            }
            prop_assert_eq!(after.ended_by.is_some(), heirs.is_empty() && !stays);
            if stays || !heirs.is_empty() {
                let next = heirs.first().map_or(author, |(heir, _)| *heir);
                prop_assert_eq!((after.owner, after.epoch), (next, before.epoch + 1));
                // Nobody else is lost on the way.
                for (member, state) in before.members.iter().filter(|(member, _)| **member != author) {
                    prop_assert_eq!(
                        after.members.get(member).map(|m| m.incarnation),
                        Some(state.incarnation)
                    );
                }
            }
        }
        Body::Close { .. } => prop_assert_eq!(after.ended_by, Some(record.id())),
        Body::Invite { key, .. } => {
            prop_assert!(after.invite(&key).is_some_and(|invite| invite.invite == record.id()));
        }
        Body::InviteWithdraw { invite, .. } => {
            prop_assert!(after.invites.iter().any(|known| known.invite == invite && known.withdrawn));
        }
        Body::Redeem { key, incarnation, .. } => {
            // Admission leaves the time to its caller, and here it comes as late as can be.
            let invite = before.invite(&key);
            if invite.is_some_and(|invite| invite.expires_ms == u64::MAX) {
                prop_assert_eq!(after.standing(&author), Standing::Member { incarnation });
            }
        }
        Body::Share { .. } => prop_assert!(listed(record.id())),
        Body::Unshare { share } => prop_assert!(!listed(share)),
        _ => {}
    }
    Ok(())
}

/// Has this person signed an owner's record that names this term?
fn decided(facts: &Facts, person: UserId, term: u32) -> bool {
    facts.iter().any(|fact| {
        fact.record.author() == person
            && match *fact.record.body() {
                Body::Handover { epoch, .. }
                | Body::Close { epoch }
                | Body::AdminGrant { epoch, .. }
                | Body::AdminRevoke { epoch, .. }
                | Body::Invite { epoch, .. }
                | Body::InviteWithdraw { epoch, .. }
                | Body::Accept { epoch, .. }
                | Body::Reject { epoch, .. }
                | Body::Kick { epoch, .. } => epoch == term,
                _ => false,
            }
    })
}

/// A chain of twenty thousand links: recursion would overflow, and a walk per record would not end today.
#[test]
fn long_chains_are_settled_in_one_go() {
    let mut script = Script::run("ann create film -> g; bob ask; ann/2 accept bob -> k");
    let group = script.group.unwrap();
    let mut facts = script.world.facts(&group);
    let mut prev = facts.head(&device("ann/1"));
    let mut middle = None;
    for at in 0..20_000u32 {
        let body = Body::Unknown { kind: 900, body: at.to_be_bytes().to_vec() };
        let say = Say { author: "ann", signer: "ann/1", prev, body };
        let record = script.world.group_record(Some(group), say);
        prev = Some(record.id());
        middle = if at == 10_000 { prev } else { middle };
        facts.insert(record, order(u64::from(at) + 1_000));
    }
    let view = GroupView::of(group, &facts, &script.world.account_views()).unwrap();
    assert_eq!(view.head(&device("ann/1")), prev);
    let first = device("ann/1");
    let body = Body::DeviceRevoke { device: first, heads: middle.into_iter().collect() };
    let revoke = script.world.account_record("ann", script.world.account("ann").head, body);
    script.world.add(revoke, order(90_000));
    let view = GroupView::of(group, &facts, &script.world.account_views()).unwrap();
    assert_eq!(view.head(&first), middle);
    assert!(view.is_member(&user("bob")));
}
