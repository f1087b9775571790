//! Generated histories: people on several replicas that meet now and then, most of them honest.

use std::sync::Arc;

use peerage_ledger::{
    Body, Fact, Facts, GroupView, HEADS_MAX, Order, Origin, Record, Standing, invite_proof,
};
use peerage_types::{GroupId, RecordId, Stamp, TrackerId, UserId};
use proptest::prelude::*;

use crate::script::manifest;
use crate::world::{Say, World, device, key, order, user};

/// Who may become a member.
pub const PEOPLE: [&str; 4] = ["ann", "bob", "cat", "dan"];
/// Has an account and devices, never asks to be let in.
pub const OUTSIDER: &str = "eve";
const REPLICAS: usize = 3;
/// Names of the invites' keys. There are few, so now and then two invites have the same.
const INVITES: [&str; 6] = ["i0", "i1", "i2", "i3", "i4", "i5"];
/// What the clock counts, as a difference of stamps: a quarter of a millisecond, so that invites expire on the way.
pub const TICK: u64 = 1 << 14;
/// What there is to share: two files, one of them with two contents, one of these described in two ways.
const MANIFESTS: [&str; 4] = ["a=1", "a=2", "b=3", "a=1/2"];

#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Ask,
    Accept,
    Reject,
    Kick,
    Leave,
    Handover,
    Close,
    Grant,
    Ungrant,
    Invite,
    Withdraw,
    Redeem,
    Share,
    Unshare,
    Future,
    Revoke,
    Meet,
}

/// One step. Small numbers are taken modulo what there is to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    verb: Verb,
    replica: u8,
    who: u8,
    device: u8,
    target: u8,
    /// Odd things happen at low values: old terms, old incarnations, forged authors, broken chains.
    luck: u8,
    /// How far this replica's clock is off.
    skew: u8,
}

impl Step {
    /// Whose device this revokes.
    pub fn revokes(&self) -> Option<&'static str> {
        matches!(self.verb, Verb::Revoke).then(|| PEOPLE[self.who as usize % PEOPLE.len()])
    }
}

pub fn step() -> impl Strategy<Value = Step> {
    let verb = prop_oneof![
        6 => Just(Verb::Ask),
        6 => Just(Verb::Accept),
        1 => Just(Verb::Reject),
        2 => Just(Verb::Kick),
        2 => Just(Verb::Leave),
        2 => Just(Verb::Handover),
        1 => Just(Verb::Close),
        4 => Just(Verb::Grant),
        2 => Just(Verb::Ungrant),
        4 => Just(Verb::Invite),
        1 => Just(Verb::Withdraw),
        6 => Just(Verb::Redeem),
        4 => Just(Verb::Share),
        1 => Just(Verb::Unshare),
        1 => Just(Verb::Future),
        1 => Just(Verb::Revoke),
        5 => Just(Verb::Meet),
    ];
    let small = || any::<u8>();
    (verb, small(), small(), small(), small(), small(), small()).prop_map(
        |(verb, replica, who, device, target, luck, skew)| Step {
            verb,
            replica,
            who,
            device,
            target,
            luck,
            skew,
        },
    )
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..60)
}

/// A finished history: everything in one place.
pub struct History {
    pub world: World,
    pub group: GroupId,
    replicas: Vec<Facts>,
    clock: u64,
}

impl History {
    pub fn of(steps: &[Step]) -> Self {
        let mut history = Self::founded();
        for step in steps {
            history.take(step);
        }
        history.meet_all();
        history
    }

    pub fn founded() -> Self {
        let mut world = World::default();
        for person in PEOPLE.into_iter().chain([OUTSIDER]) {
            for number in 1..=2 {
                world.device(person, &format!("{person}/{number}"));
            }
        }
        let body = Body::GroupGenesis { name: "film".parse().unwrap(), after: None, nonce: [0; 16] };
        let say = Say { author: "ann", signer: "ann/1", prev: None, body };
        let genesis = world.group_record(None, say);
        let group = genesis.id().into();
        let mut facts: Facts = [(genesis, order(10))].into_iter().collect();
        // Two members from the start: otherwise most histories end before they have begun.
        for (at, name) in ["bob", "cat"].into_iter().enumerate() {
            let ask = Body::JoinRequest { incarnation: 1 };
            let accept = Body::Accept { user: user(name), incarnation: 1, epoch: 0, grant: None };
            for (author, body) in [(name, ask), ("ann", accept)] {
                let signer = format!("{author}/1");
                let prev = facts.head(&device(&signer));
                let say = Say { author, signer: &signer, prev, body };
                facts.insert(world.group_record(Some(group), say), order(20 + at as u64));
            }
        }
        for text in MANIFESTS {
            let prev = facts.head(&device("ann/1"));
            let say = Say { author: "ann", signer: "ann/1", prev, body: manifest(text) };
            facts.insert(world.group_record(Some(group), say), order(30));
        }
        Self { world, group, replicas: vec![facts; REPLICAS], clock: 100 }
    }

    pub fn facts(&self) -> &Facts {
        &self.replicas[0]
    }

    pub fn view_of(&self, facts: &Facts) -> GroupView {
        GroupView::of(self.group, facts, &self.world.account_views()).expect("the genesis is there")
    }

    pub fn view(&self) -> GroupView {
        self.view_of(self.facts())
    }

    pub fn meet_all(&mut self) {
        let mut union = Facts::new();
        for facts in &self.replicas {
            union.merge(facts);
        }
        self.replicas.fill(union);
    }

    /// Does one step; gives the record that it added to its replica.
    pub fn take(&mut self, step: &Step) -> Option<Arc<Record>> {
        let replica = step.replica as usize % REPLICAS;
        self.clock += 10;
        let origin = Origin { tracker: TrackerId([replica as u8; 16]), incarnation: 1 };
        let order = Order { stamp: Stamp((self.clock + u64::from(step.skew % 64)) * TICK), origin };
        match step.verb {
            Verb::Meet => {
                let other = (replica + 1 + step.target as usize % (REPLICAS - 1)) % REPLICAS;
                let mut union = self.replicas[replica].clone();
                union.merge(&self.replicas[other]);
                self.replicas[replica] = union.clone();
                self.replicas[other] = union;
                None
            }
            Verb::Revoke => {
                self.revoke(step, order);
                None
            }
            _ => {
                let record = self.record(step, &self.replicas[replica])?;
                self.replicas[replica].insert(Arc::clone(&record), order);
                Some(record)
            }
        }
    }

    /// Accounts are the same on every replica; that only makes revocations strike harder.
    fn revoke(&mut self, step: &Step, order: Order) {
        let Some(person) = step.revokes() else { return };
        let signer = format!("{person}/2");
        let heads = match step.luck {
            0..64 => Vec::new(),
            _ => self.replicas[step.replica as usize % REPLICAS].head(&device(&signer)).into_iter().collect(),
        };
        let body = Body::DeviceRevoke { device: device(&signer), heads };
        let prev = self.world.account(person).head;
        let record = self.world.account_record(person, prev, body);
        self.world.add(record, order);
    }

    fn record(&self, step: &Step, facts: &Facts) -> Option<Arc<Record>> {
        let odd = step.luck < 48;
        let view = self.view_of(facts);
        let author = self.author(step, &view);
        // Now and then someone signs in another's name, or starts a chain anew.
        let forger = step.luck < 6;
        let signer = format!("{}/{}", if forger { OUTSIDER } else { author }, 1 + step.device % 2);
        let prev = match step.luck {
            6..16 => None,
            _ => facts.head(&device(&signer)),
        };
        let body = self.body(step, author, prev, facts, &view, odd)?;
        Some(self.world.group_record(Some(self.group), Say { author, signer: &signer, prev, body }))
    }

    /// Mostly whoever may do this, so that something happens.
    fn author(&self, step: &Step, view: &GroupView) -> &'static str {
        let anyone = PEOPLE[step.who as usize % PEOPLE.len()];
        let deciders =
            matches!(step.verb, Verb::Accept | Verb::Reject | Verb::Kick | Verb::Invite | Verb::Withdraw);
        let owners =
            deciders || matches!(step.verb, Verb::Handover | Verb::Close | Verb::Grant | Verb::Ungrant);
        let admins: Vec<_> =
            PEOPLE.into_iter().filter(|name| view.admins.contains_key(&user(name))).collect();
        match step.luck {
            16..32 => anyone,
            _ if deciders && step.who % 8 < 5 && !admins.is_empty() => {
                admins[step.who as usize % admins.len()]
            }
            _ if owners => PEOPLE.into_iter().find(|name| user(name) == view.owner).unwrap_or(anyone),
            _ => anyone,
        }
    }

    fn body(
        &self,
        step: &Step,
        author: &str,
        prev: Option<RecordId>,
        facts: &Facts,
        view: &GroupView,
        odd: bool,
    ) -> Option<Body> {
        let target = self.target(step, view);
        let behind = if odd { u32::from(step.target >> 6) } else { 0 };
        let epoch = view.epoch.saturating_sub(behind);
        let own = view.standing(&user(author)).incarnation().saturating_sub(behind);
        let theirs = view.standing(&target).incarnation().saturating_sub(behind);
        let grant = self.grant(step, author, facts, view, odd);
        Some(match step.verb {
            Verb::Ask => {
                let next = view.next_incarnation(&user(author));
                Body::JoinRequest { incarnation: next.saturating_sub(behind) }
            }
            Verb::Accept => Body::Accept { user: target, incarnation: theirs, epoch, grant },
            Verb::Reject => Body::Reject { user: target, incarnation: theirs, epoch, grant },
            Verb::Kick => Body::Kick { user: target, incarnation: theirs, epoch, grant },
            Verb::Grant => Body::AdminGrant { user: target, incarnation: theirs, epoch },
            Verb::Ungrant => {
                let mut granted = facts.iter().filter(|f| matches!(f.record.body(), Body::AdminGrant { .. }));
                let any = granted.next().map(|fact| fact.record.id());
                let admin = view.admins.values().nth(step.who as usize % view.admins.len().max(1));
                let open = admin.map(|admin| admin.grants[step.device as usize % admin.grants.len()]);
                let mut heads = admin.map(|admin| admin.heads.clone()).unwrap_or_default();
                heads.truncate(if odd { 0 } else { HEADS_MAX });
                Body::AdminRevoke { grant: open.or(any)?, heads, epoch }
            }
            Verb::Invite => {
                let expires_ms = match step.skew % 4 {
                    0 => ((self.clock + u64::from(step.target)) * TICK) >> 16,
                    _ => u64::MAX,
                };
                let key = device(INVITES[step.target as usize % INVITES.len()]);
                let uses = 1 + u32::from(step.skew >> 6);
                Body::Invite { key, salt: [step.skew; 16], expires_ms, uses, epoch, grant }
            }
            Verb::Withdraw => {
                let invite = self.invite(step, facts)?.0;
                Body::InviteWithdraw { invite, epoch, grant }
            }
            Verb::Redeem => {
                let (_, name) = self.invite(step, facts)?;
                let proof = invite_proof(&key(name), &self.group, &user(author), own);
                Body::Redeem { key: device(name), incarnation: own, proof }
            }
            Verb::Leave => Body::Leave { incarnation: own },
            Verb::Close if step.luck > 40 => return None,
            Verb::Close => Body::Close { epoch },
            Verb::Handover => {
                let stays = step.device >= 128;
                let mut heads = match view.handover(Vec::new(), stays).pop() {
                    Some(Body::Handover { heads, .. }) if !odd => heads,
                    _ => Vec::new(),
                };
                heads.retain(|head| Some(*head) != prev);
                heads.truncate(HEADS_MAX);
                let mut heirs = view.heirs();
                if step.target.is_multiple_of(3) {
                    heirs.reverse();
                }
                if heirs.is_empty() && step.luck > 16 {
                    return None;
                }
                Body::Handover { epoch, heirs, heads, stays }
            }
            Verb::Share => return share(step, own, facts),
            Verb::Unshare => {
                let shares = facts.iter().filter(|fact| matches!(fact.record.body(), Body::Share { .. }));
                let mut own = shares.filter(|fact| odd || fact.record.author() == user(author));
                Body::Unshare { share: own.next()?.record.id() }
            }
            Verb::Future => Body::Unknown { kind: 900, body: vec![step.target] },
            Verb::Revoke | Verb::Meet => return None,
        })
    }

    /// One of all invites that were ever made, and the name of its key.
    fn invite(&self, step: &Step, facts: &Facts) -> Option<(RecordId, &'static str)> {
        let made = |fact: &Fact| match fact.record.body() {
            Body::Invite { key, .. } => Some((fact.record.id(), *key)),
            _ => None,
        };
        let all: Vec<_> = facts.iter().filter_map(made).collect();
        let (invite, key) = *all.get(step.target as usize % all.len().max(1))?;
        INVITES.into_iter().find(|name| device(name) == key).map(|name| (invite, name))
    }

    /// What an admin names; now and then somebody's grant that has ended or was never theirs.
    fn grant(
        &self,
        step: &Step,
        author: &str,
        facts: &Facts,
        view: &GroupView,
        odd: bool,
    ) -> Option<RecordId> {
        let mut granted = facts.iter().filter(|f| matches!(f.record.body(), Body::AdminGrant { .. }));
        match odd && step.device.is_multiple_of(2) {
            true => granted.next().map(|fact| fact.record.id()),
            false => view.admin_grant(&user(author)),
        }
    }

    fn target(&self, step: &Step, view: &GroupView) -> UserId {
        match step.verb {
            Verb::Accept | Verb::Reject if !view.requests.is_empty() && step.luck > 32 => {
                view.requests[step.target as usize % view.requests.len()].user
            }
            _ => user(PEOPLE[step.target as usize % PEOPLE.len()]),
        }
    }
}

fn share(step: &Step, incarnation: u32, facts: &Facts) -> Option<Body> {
    let wanted = manifest(MANIFESTS[step.target as usize % MANIFESTS.len()]);
    let manifest = facts.iter().find(|fact| *fact.record.body() == wanted)?.record.id();
    Some(Body::Share { manifest, incarnation })
}

/// Records of someone who never asked, of all kinds but the request: none of them counts.
pub fn intrusions(history: &History, seed: u8) -> Vec<Fact> {
    let view = history.view();
    let victim = user(PEOPLE[seed as usize % PEOPLE.len()]);
    let (incarnation, epoch) = (view.standing(&victim).incarnation(), view.epoch);
    let next = incarnation.saturating_add(1);
    let share = history.facts().iter().find(|fact| matches!(fact.record.body(), Body::Share { .. }));
    let manifested = history.facts().iter().find(|fact| matches!(fact.record.body(), Body::Manifest { .. }));
    let (me, grant) = (user(OUTSIDER), None);
    let mut bodies = vec![
        Body::Kick { user: victim, incarnation, epoch, grant },
        Body::Reject { user: victim, incarnation: next, epoch, grant },
        Body::Accept { user: victim, incarnation, epoch, grant },
        Body::Accept { user: victim, incarnation: next, epoch, grant },
        Body::Accept { user: me, incarnation: 1, epoch, grant },
        Body::Kick { user: victim, incarnation, epoch: 0, grant },
        Body::Handover {
            epoch,
            heirs: vec![(me, 0), (victim, incarnation)],
            heads: Vec::new(),
            stays: false,
        },
        Body::Handover {
            epoch: 0,
            heirs: vec![(victim, incarnation)],
            heads: view.owner_heads(),
            stays: false,
        },
        Body::Close { epoch },
        Body::Close { epoch: 0 },
        Body::AdminGrant { user: victim, incarnation, epoch },
        Body::AdminGrant { user: me, incarnation: 1, epoch },
        Body::Leave { incarnation },
        manifest("a=1"),
        manifest("zzz=9"),
        Body::Invite { key: device(INVITES[0]), salt: [0; 16], expires_ms: u64::MAX, uses: 9, epoch, grant },
        Body::Redeem {
            key: device("eve/i"),
            incarnation: 1,
            proof: invite_proof(&key("eve/i"), &history.group, &me, 1),
        },
    ];
    for invite in &view.invites {
        bodies.push(Body::InviteWithdraw { invite: invite.invite, epoch, grant });
    }
    for (admin, state) in &view.admins {
        for grant in &state.grants {
            let other = if *admin == victim { view.owner } else { victim };
            bodies.push(Body::AdminRevoke { grant: *grant, heads: Vec::new(), epoch });
            bodies.push(Body::Kick { user: other, incarnation, epoch, grant: Some(*grant) });
            bodies.push(Body::Accept { user: me, incarnation: 1, epoch, grant: Some(*grant) });
        }
    }
    bodies.extend(share.map(|fact| Body::Unshare { share: fact.record.id() }));
    bodies.extend(manifested.map(|fact| Body::Share { manifest: fact.record.id(), incarnation }));
    let mut facts = Vec::new();
    for (at, body) in bodies.into_iter().enumerate() {
        // In her own name; in a member's name with her key; in the victim's name with a key nobody certified.
        let person = PEOPLE[(seed as usize + at) % PEOPLE.len()];
        for (author, signer) in [(OUTSIDER, "eve/1"), (person, "eve/2"), (person, "eve/x")] {
            // To use up an incarnation of one's own is everybody's right.
            if author == OUTSIDER && matches!(body, Body::Leave { .. }) {
                continue;
            }
            let prev = history.facts().head(&device(&format!("{person}/1")));
            let stamp = (u64::from(seed) * 7 + at as u64) * TICK;
            let say = Say { author, signer, prev, body: body.clone() };
            let record = history.world.group_record(Some(history.group), say);
            facts.push(Fact { record, order: order(stamp) });
        }
    }
    facts
}

/// Is this person a member, and at which incarnation?
pub fn membership(view: &GroupView, person: &UserId) -> Option<u32> {
    match view.standing(person) {
        Standing::Member { incarnation } => Some(incarnation),
        _ => None,
    }
}
