//! A little language for histories. Statements end with `;`:
//!
//! `[@STAMP] WHO[/DEVICE] VERB [ARGUMENT] [KEY=VALUE…] [-> LABEL]`
//!
//! | verb | argument | keys |
//! |---|---|---|
//! | `create` | name | `after` |
//! | `ask`, `leave` | | `inc` |
//! | `accept`, `reject`, `kick` | person | `inc`, `epoch`, `grant` |
//! | `handover` | heirs `bob,cat:2` or `-` | `epoch`, `heads=LABEL,…`, `stays=yes` |
//! | `admin` | person | `inc`, `epoch` |
//! | `unadmin` | person | `epoch`, `grant=LABEL`, `heads=LABEL,…` |
//! | `close` | | `epoch` |
//! | `manifest`, `share` | `file=content`; `share` makes its Manifest unless `of=LABEL` | `inc`, `of` |
//! | `invite` | name of its key | `uses`, `expires` (ms), `epoch`, `grant` |
//! | `redeem`, `withdraw` | name of the invite's key | `inc` / `epoch`, `grant` |
//! | `unshare` | label of the Share | |
//! | `future` | | a record of an unknown kind |
//! | `name` / `auth`, `recovery` / `cert` / `revoke` | name / – / device / device | – / `on=LABEL` / – / `keep=LABEL,…` |
//!
//! Everywhere: `by=NAME` claims to be someone else, `prev=LABEL`, `in=GROUP` (the label of a `create`).
//! Whatever is not given is what an honest client with all knowledge would write. A device is certified when it
//! first speaks, unless its name starts with `x`. Stamps count 10, 20, …; the group is the last created.

use std::collections::BTreeMap;
use std::sync::Arc;

use peerage_ledger::{AccountView, Body, Facts, GroupView, HEADS_MAX, Order, Record, Standing, invite_proof};
use peerage_types::{
    ContentId, FileName, GroupId, InfoHash, InfoHashV1, MetainfoId, Name, RecordId, Scope, UserId,
};

use crate::world::{Say, World, device, key, order, user};

/// A world and what a script called its records.
#[derive(Clone, Default)]
pub struct Script {
    pub world: World,
    pub labels: BTreeMap<String, RecordId>,
    pub group: Option<GroupId>,
    stamp: u64,
}

struct Words<'a> {
    verb: &'a str,
    argument: &'a str,
    keys: BTreeMap<&'a str, &'a str>,
}

impl Script {
    /// Runs every statement.
    #[track_caller]
    pub fn run(text: &str) -> Self {
        let mut script = Self::default();
        for statement in statements(text) {
            script.say(statement);
        }
        script
    }

    /// Runs all but the last statement and gives that one's record.
    #[track_caller]
    pub fn run_up_to_last(text: &str) -> (Self, Arc<Record>) {
        let mut script = Self::default();
        let mut statements: Vec<&str> = statements(text).collect();
        let last = statements.pop().unwrap();
        for statement in statements {
            script.say(statement);
        }
        let (record, _) = script.record(last);
        (script, record)
    }

    fn say(&mut self, statement: &str) {
        let (record, order) = self.record(statement);
        if let Some((_, label)) = statement.split_once("->") {
            self.labels.insert(label.trim().to_owned(), record.id());
        }
        if matches!(record.body(), Body::GroupGenesis { .. }) {
            self.group = Some(record.id().into());
        }
        self.world.add(record, order);
    }

    #[track_caller]
    fn record(&mut self, statement: &str) -> (Arc<Record>, Order) {
        let mut words: Vec<&str> = statement.split("->").next().unwrap().split_whitespace().collect();
        self.stamp += 10;
        let mut at = order(self.stamp);
        if let Some(stamp) = words[0].strip_prefix('@') {
            at = order(stamp.parse().unwrap());
            words.remove(0);
        }
        let who = words.remove(0);
        let (person, device) = who.split_once('/').unwrap_or((who, "1"));
        let signer = format!("{person}/{device}");
        self.world.person(person);
        if !device.starts_with('x') {
            self.world.device(person, &signer);
        }
        let verb = words.remove(0);
        let mut argument = "";
        if words.first().is_some_and(|word| verb == "share" || verb == "manifest" || !word.contains('=')) {
            argument = words.remove(0);
        }
        let keys = words.iter().map(|word| word.split_once('=').unwrap()).collect();
        let words = Words { verb, argument, keys };
        if matches!(verb, "name" | "auth" | "recovery" | "cert" | "revoke") {
            let body = self.account_body(person, &words);
            let prev = self.world.account(person).head;
            return (self.world.account_record(person, prev, body), at);
        }
        if matches!(verb, "accept" | "reject" | "kick" | "admin" | "unadmin") {
            self.world.person(argument);
        }
        let author = words.keys.get("by").copied().unwrap_or(person);
        self.world.person(author);
        (self.group_record(author, &signer, &words, at), at)
    }

    fn group_record(&mut self, author: &str, signer: &str, words: &Words<'_>, at: Order) -> Arc<Record> {
        let group = match words.keys.get("in") {
            Some(label) => Some(self.labels[*label].into()),
            None if words.verb == "create" => None,
            None => self.group,
        };
        let facts = group.map(|group| self.world.facts(&group)).unwrap_or_default();
        let prev = match words.keys.get("prev") {
            Some(&"none") => None,
            Some(label) => Some(self.labels[*label]),
            None => facts.head(&device(signer)),
        };
        let view = group.and_then(|group| self.world.group(&group));
        let (body, prev) = match words.verb {
            "share" if !words.keys.contains_key("of") => {
                let body = manifest(words.argument);
                let described = Say { author, signer, prev, body };
                let described = self.world.group_record(group, described);
                let id = described.id();
                self.world.add(described, at);
                (
                    Body::Share { manifest: id, incarnation: incarnation(author, words, view.as_ref()) },
                    Some(id),
                )
            }
            _ => (self.group_body(author, signer, words, &facts, view.as_ref()), prev),
        };
        self.world.group_record(group, Say { author, signer, prev, body })
    }

    fn group_body(
        &self,
        author: &str,
        signer: &str,
        words: &Words<'_>,
        facts: &Facts,
        view: Option<&GroupView>,
    ) -> Body {
        let number = |key: &str, default: u32| words.keys.get(key).map_or(default, |n| n.parse().unwrap());
        let epoch = number("epoch", view.map_or(0, |view| view.epoch));
        let label = |key: &str| words.keys.get(key).map(|label| self.labels[*label]);
        let target = user(words.argument);
        let incarnation = match words.verb {
            "accept" | "reject" | "kick" | "admin" => incarnation(words.argument, words, view),
            "ask" => number("inc", view.map_or(1, |view| view.next_incarnation(&user(author)))),
            _ => incarnation(author, words, view),
        };
        let own = view.and_then(|view| view.admin_grant(&user(author)));
        let grant = if words.keys.get("grant") == Some(&"none") { None } else { label("grant").or(own) };
        let heads = |default: Vec<RecordId>| match words.keys.get("heads") {
            Some(&"none") => Vec::new(),
            Some(labels) => labels.split(',').map(|label| self.labels[label]).collect(),
            None => default,
        };
        match words.verb {
            "create" => {
                let name = words.argument.parse::<Name>().unwrap();
                Body::GroupGenesis { name, after: label("after"), nonce: [7; 16] }
            }
            "ask" => Body::JoinRequest { incarnation },
            "leave" => Body::Leave { incarnation },
            "accept" => Body::Accept { user: target, incarnation, epoch, grant },
            "reject" => Body::Reject { user: target, incarnation, epoch, grant },
            "kick" => Body::Kick { user: target, incarnation, epoch, grant },
            "close" => Body::Close { epoch },
            "invite" => {
                let expires_ms = words.keys.get("expires").map_or(u64::MAX, |ms| ms.parse().unwrap());
                let key = device(words.argument);
                Body::Invite { key, salt: [7; 16], expires_ms, uses: number("uses", 1), epoch, grant }
            }
            "withdraw" => {
                let named = |f: &&peerage_ledger::Fact| matches!(f.record.body(), Body::Invite { key, .. } if *key == device(words.argument));
                let invite = facts.iter().find(named).unwrap().record.id();
                Body::InviteWithdraw { invite, epoch, grant }
            }
            "redeem" => {
                let group = self.group.unwrap();
                let proof = invite_proof(&key(words.argument), &group, &user(author), incarnation);
                Body::Redeem { key: device(words.argument), incarnation, proof }
            }
            "handover" => {
                let stays = words.keys.contains_key("stays");
                let said = view.and_then(|view| view.handover(Vec::new(), stays).pop());
                let mut heads = match said {
                    Some(Body::Handover { heads: known, .. }) => heads(known),
                    _ => heads(Vec::new()),
                };
                heads.retain(|head| Some(*head) != facts.head(&device(signer)));
                assert!(heads.len() <= HEADS_MAX);
                Body::Handover { epoch, heirs: heirs(words.argument, view), heads, stays }
            }
            "admin" => Body::AdminGrant { user: target, incarnation, epoch },
            "unadmin" => {
                let admin = view.and_then(|view| view.admins.get(&target)).cloned().unwrap_or_default();
                let grant = label("grant").unwrap_or_else(|| admin.grants[0]);
                Body::AdminRevoke { grant, heads: heads(admin.heads), epoch }
            }
            "manifest" => manifest(words.argument),
            "share" => Body::Share { manifest: label("of").unwrap(), incarnation },
            "unshare" => Body::Unshare { share: self.labels[words.argument] },
            "future" => Body::Unknown { kind: 900, body: vec![1, 2, 3] },
            verb => panic!("no verb {verb}"),
        }
    }

    fn account_body(&self, person: &str, words: &Words<'_>) -> Body {
        let on = |current: Option<RecordId>| match words.keys.get("on") {
            Some(&"none") => None,
            Some(label) => Some(self.labels[*label]),
            None => current,
        };
        match words.verb {
            "name" => Body::UserNameClaim { name: words.argument.parse().unwrap() },
            "auth" => Body::AuthRecord {
                opaque_key: 1,
                password_file: vec![1; 192],
                vault: vec![2; 100],
                previous: on(self.world.account(person).auth),
            },
            "recovery" => {
                Body::Recovery { vault: vec![2; 100], previous: on(self.world.account(person).recovery) }
            }
            "cert" => Body::DeviceCert {
                device: device(&format!("{person}/{}", words.argument)),
                label: words.argument.to_owned(),
            },
            _ => Body::DeviceRevoke {
                device: device(&format!("{person}/{}", words.argument)),
                heads: match words.keys.get("keep") {
                    Some(labels) => labels.split(',').map(|label| self.labels[label]).collect(),
                    None => Vec::new(),
                },
            },
        }
    }

    /// Puts names in the place of ids.
    pub fn readable(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for name in &self.world.people {
            let id = user(name);
            text = text.replace(&format!("{id:?}"), name).replace(&id.to_hex(), name);
        }
        for (label, id) in &self.labels {
            text = text.replace(&format!("{id:?}"), label).replace(&id.to_hex(), label);
        }
        text
    }

    fn label_of(&self, id: &RecordId) -> String {
        let named = self.labels.iter().find(|(_, labelled)| *labelled == id);
        named.map_or_else(|| id.tag(), |(label, _)| label.clone())
    }

    /// A group's view in one line.
    pub fn show(&self, view: &GroupView) -> String {
        let name = |id: &UserId| self.world.name_of(id);
        let mut parts = vec![format!("owner {}@{}", name(&view.owner), view.epoch)];
        if let Some(end) = view.ended_by {
            parts.push(format!("ended by {}", self.label_of(&end)));
        }
        let mut by_standing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for person in &self.world.people {
            let standing = view.standing(&user(person));
            let word = match standing {
                Standing::Stranger { last_incarnation: 0 } => continue,
                Standing::Stranger { .. } => "stranger",
                Standing::Requested { .. } => "waiting",
                Standing::Rejected { .. } => "rejected",
                Standing::Member { .. } => "in",
                Standing::Left { .. } => "left",
                Standing::Kicked { .. } => "kicked",
            };
            by_standing.entry(word).or_default().push(format!("{person}.{}", standing.incarnation()));
        }
        parts.extend(by_standing.iter().map(|(word, people)| format!("{word} {}", people.join(" "))));
        if !view.admins.is_empty() {
            let admins: Vec<String> = view.admins.keys().map(name).collect();
            parts.insert(1, format!("admins {}", admins.join(" ")));
        }
        for file in &view.files {
            let sharers: Vec<String> = file.shares.iter().map(|share| name(&share.user)).collect();
            parts.push(format!("{}={} by {}", file.shown, file.content.0[0], sharers.join(" ")));
        }
        for fork in &view.forks {
            let records: Vec<String> = fork.records.iter().map(|id| self.label_of(id)).collect();
            parts.push(format!("fork of {}: {}", name(&fork.author), records.join(" ")));
        }
        parts.join(" | ")
    }

    /// An account's view in one line.
    pub fn show_account(&self, view: &AccountView) -> String {
        let names: Vec<&str> = view.names.iter().map(|claim| claim.name.as_str()).collect();
        let devices: Vec<String> = view
            .devices
            .iter()
            .map(|(id, device)| {
                let mark = if view.device_ok(id) { "" } else { " (revoked)" };
                format!("{}{mark}", device.label)
            })
            .collect();
        let mut superseded: Vec<_> = view.superseded.iter().map(|id| self.label_of(id)).collect();
        superseded.sort_unstable();
        let recovery =
            view.recovery.map(|id| format!(" recovery {}", self.label_of(&id))).unwrap_or_default();
        format!(
            "names [{}] auth {}{recovery} superseded [{}] devices {devices:?}",
            names.join(" "),
            view.auth.map_or_else(|| "none".to_owned(), |id| self.label_of(&id)),
            superseded.join(" "),
        )
    }

    /// The group that the script created last.
    pub fn view(&self) -> Option<GroupView> {
        self.world.group(&self.group?)
    }

    /// The facts of the scope in which this record counts.
    pub fn facts_for(&self, record: &Record) -> Facts {
        match record.scope() {
            Scope::Account(user) => self.world.accounts.get(&user).cloned().unwrap_or_default(),
            Scope::Group(group) => self.world.facts(&group),
        }
    }
}

fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty())
}

fn incarnation(person: &str, words: &Words<'_>, view: Option<&GroupView>) -> u32 {
    match words.keys.get("inc") {
        Some(number) => number.parse().unwrap(),
        None => view.map_or(0, |view| view.standing(&user(person)).incarnation()),
    }
}

fn heirs(list: &str, view: Option<&GroupView>) -> Vec<(UserId, u32)> {
    let heirs = list.split(',').filter(|heir| *heir != "-");
    heirs
        .map(|heir| match heir.split_once(':') {
            Some((heir, incarnation)) => (user(heir), incarnation.parse().unwrap()),
            None => (user(heir), view.map_or(0, |view| view.standing(&user(heir)).incarnation())),
        })
        .collect()
}

/// `file=content`, where content is a small number; `file=content/2` is another description of that content.
pub fn manifest(text: &str) -> Body {
    let (name, content) = text.split_once('=').unwrap();
    let (content, variant) = content.split_once('/').unwrap_or((content, "0"));
    let (content, variant) = (content.parse().unwrap(), variant.parse::<u8>().unwrap());
    Body::Manifest {
        name: FileName::normalized(name).unwrap(),
        size: 1_000,
        content: ContentId([content; 32]),
        info_hash: InfoHash([content ^ (variant << 4); 32]),
        info_hash_v1: Some(InfoHashV1([content; 20])),
        metainfo: MetainfoId([content; 32]),
        metainfo_bytes: 500,
        piece_length: 16_384,
        folder_files: None,
    }
}
