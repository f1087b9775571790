//! What honest people do: each looks at the tracker that its client asks, and does something that its view allows.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use peerage_ledger::{AccountView, Body, FOUNDING, GroupView, Record, Standing};
use peerage_types::{ContentId, FileName, GroupId, InfoHash, MetainfoId, Name, RecordId, Scope, UserId};

use super::Broken;
use super::person::public;
use super::world::World;

/// Names that people fight for.
const USER_NAMES: [&str; 8] = ["ada", "Ben", "cleo", "dan", "eve", "fay", "Gil", "hal"];
/// Names of groups.
const GROUP_NAMES: [&str; 7] = ["films", "Lab", "music", "data", "maps", "code", "Fonts"];
/// Names of files.
const FILE_NAMES: [&str; 5] = ["a.iso", "b.pdf", "c.mkv", "d.zip", "e.txt"];
/// So many people at most are asked whether they can do something now.
const CANDIDATES_MAX: usize = 6;
/// Bundles that wait in an outbox before its owner stops doing more.
const OUTBOX_MAX: usize = 4;
/// Groups that are in use at a time.
const GROUPS_MAX: usize = 5;
/// A group with more facts is let go: small groups see every situation sooner.
const GROUP_FACTS_MAX: usize = 110;
/// An account with more records does nothing more for itself.
const ACCOUNT_FACTS_MAX: usize = 40;
/// Devices that a person has had at most.
const DEVICES_MAX: usize = 8;
/// Heads that a revocation lists at most.
const HEADS_MAX: usize = peerage_ledger::HEADS_MAX;

/// What one person sees of one group at one tracker.
pub(super) struct Scene {
    pub(super) person: usize,
    pub(super) key: SigningKey,
    pub(super) group: GroupId,
    pub(super) view: Arc<GroupView>,
}

impl World {
    /// Somebody does something; whoever cannot lets somebody else.
    pub(super) fn act(&mut self) -> Result<(), Broken> {
        let before = self.report.bundles;
        for _ in 0..CANDIDATES_MAX {
            self.act_or_not()?;
            if self.report.bundles > before {
                break;
            }
        }
        Ok(())
    }

    fn act_or_not(&mut self) -> Result<(), Broken> {
        let person = self.rng.between(0, self.people.len() as u64 - 1) as usize;
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|at| self.nodes[*at].run.is_some() && self.network.reaches(person, *at))
            .collect();
        let home = self.people[person].home;
        let node = match self.rng.pick(&up) {
            Some(_) if up.contains(&home) && self.rng.chance(70) => home,
            Some(any) => *any,
            None => return Ok(()),
        };
        self.people[person].home = node;
        if self.people[person].outbox.len() >= OUTBOX_MAX {
            return Ok(());
        }
        let user = self.people[person].user;
        // An account without a password comes of a bundle that was torn by a disk that died.
        let Some(account) = self.account_at(node, user).filter(|account| account.auth.is_some()) else {
            // One that another tracker knows will come here, too.
            if self.people[person].outbox.is_empty() && (!self.people[person].created || self.rng.chance(2)) {
                self.create_account(person)?;
            }
            return Ok(());
        };
        let devices: Vec<SigningKey> = self.people[person]
            .devices
            .iter()
            .filter(|key| account.device_ok(&public(key)))
            .cloned()
            .collect();
        let Some(key) = self.rng.pick(&devices).cloned() else {
            self.certify(person, &account);
            return Ok(());
        };
        if self.rng.chance(10) {
            return self.tend_account(person, node, &account, devices.len());
        }
        self.act_in_group(person, node, key)
    }

    pub(super) fn account_at(&mut self, node: usize, user: UserId) -> Option<Arc<AccountView>> {
        let node = &mut self.nodes[node];
        node.run.as_mut()?.serving.account(user, node.disk.image())
    }

    pub(super) fn group_at(&mut self, node: usize, group: GroupId) -> Option<Arc<GroupView>> {
        let node = &mut self.nodes[node];
        node.run.as_mut()?.serving.group(group, node.disk.image())
    }

    fn facts_at(&mut self, node: usize, scope: Scope) -> usize {
        let node = &mut self.nodes[node];
        let Some(run) = &mut node.run else { return 0 };
        run.serving.settled(scope, node.disk.image()).map_or(0, |entry| entry.facts.len())
    }

    fn create_account(&mut self, person: usize) -> Result<(), Broken> {
        let name = *self.rng.pick(&USER_NAMES).unwrap_or(&"ada");
        self.create_account_named(person, name)
    }

    pub(super) fn create_account_named(&mut self, person: usize, name: &str) -> Result<(), Broken> {
        let name: Name = name.parse().map_err(|e| format!("{e}"))?;
        let auth = self.password(None);
        let client = &mut self.people[person];
        client.created = true;
        let identity = client.identity.clone();
        let device = client.devices.first().map(public).unwrap_or(public(&identity));
        let bodies = [
            Body::AccountGenesis { identity: public(&identity) },
            Body::UserNameClaim { name },
            auth,
            Body::DeviceCert { device, label: "desk".to_owned() },
        ];
        let scope = Scope::Account(client.user);
        let records: Vec<_> =
            bodies.into_iter().map(|body| client.sign(&identity, scope, None, body)).collect();
        self.enqueue(person, &records);
        Ok(())
    }

    fn password(&mut self, previous: Option<RecordId>) -> Body {
        Body::AuthRecord {
            opaque_key: 1,
            password_file: self.rng.bytes().to_vec(),
            vault: self.rng.bytes().to_vec(),
            previous,
        }
    }

    /// Signs one record with the identity key and puts it into the outbox.
    fn state(&mut self, person: usize, account: &AccountView, body: Body) {
        let client = &mut self.people[person];
        let (identity, scope) = (client.identity.clone(), Scope::Account(client.user));
        let record = client.sign(&identity, scope, account.head, body);
        self.enqueue(person, &[record]);
    }

    fn certify(&mut self, person: usize, account: &AccountView) {
        if self.people[person].devices.len() >= DEVICES_MAX {
            return;
        }
        let key = SigningKey::from_bytes(&self.rng.bytes());
        let device = public(&key);
        self.people[person].devices.push(key);
        self.state(person, account, Body::DeviceCert { device, label: "one more".to_owned() });
    }

    fn tend_account(
        &mut self,
        person: usize,
        node: usize,
        account: &AccountView,
        live_devices: usize,
    ) -> Result<(), Broken> {
        if self.facts_at(node, Scope::Account(account.user)) >= ACCOUNT_FACTS_MAX {
            return Ok(());
        }
        match self.rng.between(0, 9) {
            0..3 => {
                let body = self.password(account.auth);
                self.state(person, account, body);
            }
            3 => {
                let vault = self.rng.bytes().to_vec();
                self.state(person, account, Body::Recovery { vault, previous: account.recovery });
            }
            4..6 => self.certify(person, account),
            6 | 7 if live_devices > 1 => {
                let keys = self.people[person].devices.clone();
                let live: Vec<_> = keys.into_iter().filter(|key| account.device_ok(&public(key))).collect();
                if let Some(key) = self.rng.pick(&live) {
                    let heads = self.heads_of(person, node, key);
                    self.state(person, account, Body::DeviceRevoke { device: public(key), heads });
                }
            }
            _ => {
                // Told that the name is somebody else's, the loser claims another one.
                let image = self.nodes[node].disk.image();
                let serving = self.nodes[node].run.as_ref().map(|run| &run.serving);
                let lost = account.names.last().is_some_and(|claim| {
                    let winner = serving.and_then(|s| s.user_named(&claim.name.folded(), image));
                    winner.is_some_and(|winner| winner.user != account.user)
                });
                if lost {
                    let name = *self.rng.pick(&USER_NAMES).unwrap_or(&"ada");
                    let name: Name = name.parse().map_err(|e| format!("{e}"))?;
                    self.state(person, account, Body::UserNameClaim { name });
                }
            }
        }
        Ok(())
    }

    /// The last records of a device in all groups.
    fn heads_of(&mut self, person: usize, node: usize, key: &SigningKey) -> Vec<RecordId> {
        let groups = self.founded.clone();
        let mut heads = Vec::new();
        for group in groups.iter().rev().take(HEADS_MAX) {
            let own = self.people[person].head(key, Scope::Group(*group));
            heads.extend(own.or_else(|| self.group_at(node, *group)?.head(&public(key))));
        }
        heads
    }

    fn act_in_group(&mut self, person: usize, node: usize, key: SigningKey) -> Result<(), Broken> {
        let stranger = self.people[person].stranger;
        if !stranger && (self.groups.is_empty() || self.groups.len() < GROUPS_MAX && self.rng.chance(8)) {
            return self.found(person, node, &key);
        }
        let Some(group) = self.rng.pick(&self.groups).copied() else { return Ok(()) };
        let used_up = self.facts_at(node, Scope::Group(group)) > GROUP_FACTS_MAX;
        match self.group_at(node, group) {
            Some(view) if view.ended_by.is_none() && !used_up => {
                let scene = Scene { person, key, group, view };
                self.take_part(&scene)
            }
            // Never came to be, has ended, or has become large.
            _ => {
                if self.rng.chance(25) {
                    self.groups.retain(|known| *known != group);
                }
                Ok(())
            }
        }
    }

    fn found(&mut self, person: usize, node: usize, key: &SigningKey) -> Result<(), Broken> {
        let name: Name =
            self.rng.pick(&GROUP_NAMES).unwrap_or(&"films").parse().map_err(|e| format!("{e}"))?;
        let site = &mut self.nodes[node];
        let Some(run) = &mut site.run else { return Ok(()) };
        let holder = run.serving.group_named(&name.folded(), site.disk.image());
        // Now and then somebody tries all the same.
        if holder.is_some_and(|holder| holder.ended_by.is_none()) && !self.rng.chance(5) {
            return Ok(());
        }
        let after = holder.and_then(|holder| holder.ended_by);
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&self.rng.bytes()[..16]);
        let client = &mut self.people[person];
        let record = client.sign(key, FOUNDING, None, Body::GroupGenesis { name, after, nonce });
        if let Scope::Group(group) = record.scope() {
            self.groups.push(group);
            self.founded.insert(group);
        }
        self.enqueue(person, &[record]);
        Ok(())
    }

    fn take_part(&mut self, scene: &Scene) -> Result<(), Broken> {
        let user = self.people[scene.person].user;
        let view = &scene.view;
        match view.standing(&user) {
            Standing::Member { .. } if view.is_owner(&user) => self.rule(scene),
            Standing::Member { incarnation } => {
                if let Some(grant) = view.admin_grant(&user)
                    && self.rng.chance(50)
                {
                    self.decide(scene, Some(grant));
                    return Ok(());
                }
                match self.rng.between(0, 99) {
                    0..50 => return self.share(scene, incarnation),
                    50..65 => self.unshare(scene, user),
                    65..80 => self.say(scene, Body::Leave { incarnation }),
                    _ => {}
                }
                Ok(())
            }
            Standing::Requested { .. } => Ok(()),
            _ => {
                let incarnation = view.next_incarnation(&user);
                self.say(scene, Body::JoinRequest { incarnation });
                Ok(())
            }
        }
    }

    /// Signs and sends one record in a group.
    pub(super) fn say(&mut self, scene: &Scene, body: Body) {
        let record = self.sign_in(scene, body);
        self.enqueue(scene.person, &[record]);
    }

    /// Signs records in a group and sends them as one bundle.
    fn say_all(&mut self, scene: &Scene, bodies: Vec<Body>) {
        let records: Vec<_> = bodies.into_iter().map(|body| self.sign_in(scene, body)).collect();
        if !records.is_empty() && records.len() <= peerage_types::limits::BUNDLE_RECORDS_MAX {
            self.enqueue(scene.person, &records);
        }
    }

    fn sign_in(&mut self, scene: &Scene, body: Body) -> Arc<Record> {
        let head = scene.view.head(&public(&scene.key));
        self.people[scene.person].sign(&scene.key, Scope::Group(scene.group), head, body)
    }

    /// What owner and admins decide about others.
    fn decide(&mut self, scene: &Scene, grant: Option<RecordId>) {
        let view = Arc::clone(&scene.view);
        let (me, epoch) = (self.people[scene.person].user, view.epoch);
        let strangers: Vec<UserId> = self.people.iter().filter(|p| p.stranger).map(|p| p.user).collect();
        let welcome: Vec<_> = view.requests.iter().filter(|r| !strangers.contains(&r.user)).collect();
        match self.rng.between(0, 99) {
            0..70 => {
                if let Some(request) = self.rng.pick(&welcome) {
                    let (user, incarnation) = (request.user, request.incarnation);
                    self.say(scene, Body::Accept { user, incarnation, epoch, grant });
                }
            }
            70..80 => {
                if let Some(request) = self.rng.pick(&view.requests) {
                    let (user, incarnation) = (request.user, request.incarnation);
                    self.say(scene, Body::Reject { user, incarnation, epoch, grant });
                }
            }
            _ => {
                let owner = view.owner;
                let within = |user: &UserId| *user != owner && *user != me;
                let plain: Vec<_> = view.members.iter().filter(|(user, _)| within(user)).collect();
                if let Some((user, member)) = self.rng.pick(&plain) {
                    let (user, incarnation) = (**user, member.incarnation);
                    self.say(scene, Body::Kick { user, incarnation, epoch, grant });
                }
            }
        }
    }

    /// What the owner does.
    fn rule(&mut self, scene: &Scene) -> Result<(), Broken> {
        let view = Arc::clone(&scene.view);
        let (owner, epoch) = (view.owner, view.epoch);
        let plain: Vec<_> = view.members.iter().filter(|(user, _)| **user != owner).collect();
        match self.rng.between(0, 99) {
            0..66 => self.decide(scene, None),
            66..84 => {
                let incarnation = view.members.get(&owner).map_or(0, |member| member.incarnation);
                return self.share(scene, incarnation);
            }
            84..90 => self.unshare(scene, owner),
            90..93 => {
                let heirs = view.heirs();
                if !heirs.is_empty() {
                    let stays = self.rng.chance(50);
                    self.say_all(scene, view.handover(heirs, stays));
                }
            }
            93..96 => {
                if let Some((user, member)) = self.rng.pick(&plain) {
                    let (user, incarnation) = (**user, member.incarnation);
                    match view.admins.contains_key(&user) {
                        true => self.say_all(scene, view.admin_revokes(&user)),
                        false => self.say(scene, Body::AdminGrant { user, incarnation, epoch }),
                    }
                }
            }
            96 => self.say(scene, Body::Close { epoch }),
            _ => {}
        }
        Ok(())
    }

    fn share(&mut self, scene: &Scene, incarnation: u32) -> Result<(), Broken> {
        let name: FileName =
            self.rng.pick(&FILE_NAMES).unwrap_or(&"a.iso").parse().map_err(|e| format!("{e}"))?;
        let content = self.rng.between(1, 2) as u8;
        let manifest = self.sign_in(scene, manifest(name, content));
        let share = self.sign_in(scene, Body::Share { manifest: manifest.id(), incarnation });
        self.enqueue(scene.person, &[manifest, share]);
        Ok(())
    }

    fn unshare(&mut self, scene: &Scene, user: UserId) {
        let shares = scene.view.files.iter().flat_map(|file| &file.shares);
        let own: Vec<RecordId> = shares.filter(|share| share.user == user).map(|share| share.share).collect();
        if let Some(share) = self.rng.pick(&own).copied() {
            self.say(scene, Body::Unshare { share });
        }
    }
}

pub(super) fn manifest(name: FileName, content: u8) -> Body {
    Body::Manifest {
        name,
        size: u64::from(content),
        content: ContentId([content; 32]),
        info_hash: InfoHash([content; 32]),
        info_hash_v1: None,
        metainfo: MetainfoId([content; 32]),
        metainfo_bytes: 100,
        piece_length: 16 * 1024,
        folder_files: None,
    }
}
