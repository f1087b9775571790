//! A hostile tracker holds the cluster key and says to one member, Ben, what it likes. Each attack is a row: what it
//! says, what Ben then asks, and the line that he must read about it. While it lies, he sees neither a forged fact nor
//! less than he, or a member he is connected to, has seen.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use peerage_drive::Client;
use peerage_ledger::{Body, Draft, Origin, Record};
use peerage_link::api::{
    AccountRows, GroupNameRequest, GroupNameResponse, GroupsResponse, LoginResponse, SignedRow,
    SnapshotRequest, SnapshotResponse, path,
};
use peerage_link::keyring::Keyring;
use peerage_types::{ClusterId, GroupId, PublicKey, Scope, Stamp, UserId};

use crate::double::{Double, Said};
use crate::world::{PATIENCE, World, arg, say, until};

/// Long after everything that these members write.
const LATE: Stamp = Stamp(u64::MAX / 4);

struct Attack {
    name: &'static str,
    lie: fn(&mut Stage),
    /// A command of Ben's.
    asks: &'static str,
    /// What he must read, in the reply or beside it.
    told: &'static str,
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "swaps the owner",
        lie: swap_owner,
        asks: "list_members lab",
        told: "does not belong here",
    },
    Attack { name: "swaps a key", lie: swap_key, asks: "list_members lab", told: "a record is invalid" },
    Attack {
        name: "lets a stranger accept herself",
        lie: |stage| stage.shows(|stage| stage.acceptance(stage.mallory.user)),
        asks: "list_members lab",
        told: "that somebody forged",
    },
    Attack {
        name: "forges the owner's acceptance",
        lie: |stage| stage.shows(|stage| stage.acceptance(stage.ada_id)),
        asks: "list_members lab",
        told: "that somebody forged",
    },
    Attack {
        name: "forges a handover",
        lie: |stage| {
            stage.shows(|stage| {
                let heirs = vec![(stage.mallory.user, 1)];
                let body = Body::Handover { epoch: 0, heirs, heads: vec![], stays: true };
                stage.sign(stage.ada_id, stage.group, body)
            });
        },
        asks: "list_members lab",
        told: "that somebody forged",
    },
    Attack { name: "replays an old snapshot", lie: roll_back, asks: "list_files lab", told: "keeps back" },
    Attack { name: "withholds a share", lie: withhold, asks: "list_files lab", told: "keeps back" },
    Attack {
        name: "denies the group",
        lie: |stage| stage.double.lie(path::GROUP_NAME, |_, _| Said::NotFound),
        asks: "list_members lab",
        told: "does not know group lab",
    },
    Attack {
        name: "lists no groups",
        lie: |stage| {
            stage
                .double
                .twist(path::GROUPS, |_: GroupsResponse| GroupsResponse { groups: vec![], more: false });
        },
        asks: "list_groups",
        told: "leaves out group lab",
    },
    Attack {
        name: "names another group",
        lie: name_another,
        asks: "list_members lab",
        told: "asked for group `lab`, the tracker named `other`",
    },
    Attack {
        name: "names a later namesake",
        lie: name_a_namesake,
        asks: "list_members lab",
        told: "came later than the one known here",
    },
    Attack {
        name: "answers a login with another account",
        lie: |stage| stage.answer_logins(|other, _| other),
        asks: "login ben pw-ben",
        told: "it answers for another account",
    },
    Attack {
        name: "swaps the vault",
        lie: |stage| stage.answer_logins(|other, honest| LoginResponse { vault: other.vault, ..honest }),
        asks: "login ben pw-ben",
        told: "The tracker's answer cannot be used",
    },
    Attack {
        name: "serves wrong metainfo",
        lie: |stage| {
            stage.double.lie(path::METAINFO_PREFIX, |_, honest| match honest {
                Some(honest) => Said::Bytes(honest.iter().rev().copied().collect()),
                None => Said::Truth,
            });
        },
        asks: "download_file lab more.bin copies",
        told: "The tracker's answer cannot be used",
    },
];

#[test]
fn a_hostile_tracker_convinces_nobody() {
    let mut stage = Stage::set();
    let mut count = 0;
    for attack in ATTACKS {
        let logs_in = attack.asks.starts_with("login");
        if logs_in {
            say(&mut stage.ben, "logout", "Logged out successfully");
        }
        let before = stage.lines(attack.told);
        (attack.lie)(&mut stage);
        let started = Instant::now();
        loop {
            let reply = stage.ben.ask(attack.asks).unwrap();
            stage.look(attack.name, !logs_in);
            if reply.json.to_string().contains(attack.told) || stage.lines(attack.told) > before {
                break;
            }
            stage.wait(started, attack.name);
        }
        let took = started.elapsed();
        stage.double.be_honest();
        if logs_in {
            say(&mut stage.ben, "login ben pw-ben", "Logged in successfully");
        }
        stage.look(attack.name, true);
        println!("the tracker {}: told after {} ms", attack.name, took.as_millis());
        count += 1;
    }
    stage.fork();
    count += 1;
    println!(
        "hostile tracker: {count} attacks, forged facts accepted: {}, views older than seen: {}",
        stage.forged, stage.older
    );
    assert_eq!((stage.forged, stage.older), (0, 0));
}

/// Somebody whom the tracker made up, with keys and records of her own.
struct Mallory {
    user: UserId,
    device: SigningKey,
    account: Vec<SignedRow>,
}

struct Stage {
    world: World,
    double: Double,
    cluster: ClusterId,
    group: GroupId,
    ada: Client,
    ben: Client,
    _eve: Client,
    ada_id: UserId,
    mallory: Mallory,
    /// Snapshots of `lab` before `more.bin`, and the answer to another account's login.
    old: SnapshotResponse,
    other: LoginResponse,
    eve_is_out: bool,
    forged: usize,
    older: usize,
}

impl Stage {
    /// Ada owns `lab` and shares two files; Ben and Eve are in it. Only Ben goes by the hostile tracker.
    fn set() -> Self {
        let mut world = World::with_trackers_of(2, 1);
        let double = Double::start(&world.list, 2, &world.path("double"));
        let honest = world.list_of(1);
        let hostile = world.list_of(2);
        let mut ada = member(&mut world, "ada", &honest);
        let mut eve = member(&mut world, "eve", &honest);
        let mut ben = member(&mut world, "ben", &hostile);
        say(&mut ada, "create_group lab", "Group created successfully");
        say(&mut ada, "create_group other", "Group created successfully");
        for (name, client) in [("ben", &mut ben), ("eve", &mut eve)] {
            until(client, "join_group lab", "the group is known", |r| r.text() != "No such group");
            until(&mut ada, &format!("accept_request lab {name}"), "the request has come", |r| r.ok());
        }
        let film = world.file("film.bin", 3_000_000);
        say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
        let old = remembered::<SnapshotResponse>(&double, path::GROUP_SNAPSHOT);
        until(&mut ben, "list_files lab", "the file is listed", |r| r.column("name") == ["film.bin"]);
        let more = world.file("more.bin", 100_000);
        say(&mut ada, &format!("upload_file {} lab", arg(&more)), "File shared successfully");
        let old = old.lock().unwrap().clone().unwrap();
        double.be_honest();
        until(&mut ben, "list_files lab", "both are listed", |r| r.items().len() == 2);
        until(&mut ben, "list_members lab", "all are listed", |r| r.items().len() == 3);

        let other = remembered::<LoginResponse>(&double, path::OPAQUE_LOGIN);
        let carl = member(&mut world, "carl", &hostile);
        assert!(carl.close(PATIENCE).unwrap().success());
        let other = other.lock().unwrap().clone().unwrap();
        double.be_honest();

        let me = ada.must("whoami").unwrap();
        let ada_id = UserId::from_hex(me.column("user_id")[0]).unwrap();
        let cluster = Keyring::load(&world.list).unwrap().cluster();
        let genesis = |row: &&SignedRow| {
            let record = Record::decode(&row.record, &cluster).unwrap();
            matches!(record.body(), Body::GroupGenesis { .. })
        };
        let group = old.rows.iter().find(genesis).unwrap().receipt.record.into();
        let mallory = mallory(&double, cluster, old.rows[0].receipt.origin);
        let (forged, older, eve_is_out) = (0, 0, false);
        Self {
            world,
            double,
            cluster,
            group,
            ada,
            ben,
            _eve: eve,
            ada_id,
            mallory,
            old,
            other,
            eve_is_out,
            forged,
            older,
        }
    }

    fn sign(&self, author: UserId, group: GroupId, body: Body) -> Record {
        let draft = Draft { cluster: self.cluster, scope: Scope::Group(group), author, prev: None, body };
        Record::sign(draft, &self.mallory.device)
    }

    /// Mallory is accepted, in the name of `author`.
    fn acceptance(&self, author: UserId) -> Record {
        self.sign(
            author,
            self.group,
            Body::Accept { user: self.mallory.user, incarnation: 1, epoch: 0, grant: None },
        )
    }

    /// Every snapshot has this record, too, Mallory's request to join, and her account.
    fn shows(&self, record: impl Fn(&Self) -> Record) {
        let ask = self.sign(self.mallory.user, self.group, Body::JoinRequest { incarnation: 1 });
        let rows = [ask, record(self)].map(|record| self.stamped(&record));
        let account = AccountRows { user: self.mallory.user, rows: self.mallory.account.clone() };
        let group = self.group;
        self.double.lie(path::GROUP_SNAPSHOT, move |asked, honest| {
            let asked: SnapshotRequest = minicbor::decode(asked).unwrap();
            let Some(honest) = honest.filter(|_| asked.group == group) else { return Said::Truth };
            let mut snapshot: SnapshotResponse = minicbor::decode(honest).unwrap();
            snapshot.rows.extend(rows.iter().cloned());
            snapshot.accounts.push(account.clone());
            Said::Bytes(minicbor::to_vec(snapshot).unwrap())
        });
    }

    fn stamped(&self, record: &Record) -> SignedRow {
        self.double.stamped(record, self.old.rows[0].receipt.origin, 1, LATE)
    }

    fn answer_logins(&self, answer: fn(LoginResponse, LoginResponse) -> LoginResponse) {
        let other = self.other.clone();
        self.double.twist(path::OPAQUE_LOGIN, move |honest| answer(other.clone(), honest));
    }

    /// What Ben is shown, against what is so and what he knows already.
    fn look(&mut self, during: &str, logged_in: bool) {
        if !logged_in {
            return;
        }
        let members = self.ben.ask("list_members lab").unwrap();
        if members.ok() {
            let roles: BTreeSet<(String, String)> = members
                .items()
                .iter()
                .map(|m| (m["user"].as_str().unwrap().to_owned(), m["role"].as_str().unwrap().to_owned()))
                .collect();
            let is = |user: &str, role: &str| (user.to_owned(), role.to_owned());
            let must = [is("ada", "owner"), is("ben", "member")];
            let may = is("eve", "member");
            let forged = roles.iter().filter(|m| !must.contains(m) && **m != may).count();
            let missing = must.iter().filter(|m| !roles.contains(*m)).count();
            let eve = usize::from(roles.contains(&may) == self.eve_is_out);
            self.count(during, forged, missing + eve, &members.json);
        }
        let files = self.ben.ask("list_files lab").unwrap();
        if files.ok() {
            let names: BTreeSet<&str> = files.column("name").into_iter().collect();
            let all = BTreeSet::from(["film.bin", "more.bin"]);
            self.count(during, names.difference(&all).count(), all.difference(&names).count(), &files.json);
        }
    }

    fn count(&mut self, during: &str, forged: usize, older: usize, shown: &serde_json::Value) {
        if forged + older > 0 {
            println!("while the tracker {during}: {forged} forged, {older} missing: {shown}");
        }
        self.forged += forged;
        self.older += older;
    }

    /// Lines beside the replies that say so.
    fn lines(&self, told: &str) -> usize {
        self.ben.stderr().lines().filter(|line| line.contains(told)).count()
    }

    fn wait(&self, since: Instant, what: &str) {
        assert!(
            since.elapsed() < PATIENCE,
            "nobody tells Ben that the tracker {what}:\n{}",
            self.ben.stderr()
        );
        let (_never, pause) = channel::<()>();
        let _timed_out = pause.recv_timeout(Duration::from_millis(50));
    }

    /// The tracker never shows Ben that Eve was put out. He hears of it from Ada, as soon as he is connected to her, and
    /// that the tracker keeps it back.
    fn fork(&mut self) {
        let cluster = self.cluster;
        self.double.twist(path::GROUP_SNAPSHOT, move |snapshot| {
            without(snapshot, cluster, |body| matches!(body, Body::Kick { .. }))
        });
        let before = self.lines("keeps back");
        self.ada.must("kick lab eve").unwrap();
        let shown = self.ben.must("list_members lab").unwrap();
        assert!(shown.column("user").contains(&"eve"), "the fork works: {}", shown.json);
        let to = self.world.folder("copies");
        say(&mut self.ben, &format!("download_file lab film.bin {}", arg(&to)), "Download started");
        until(&mut self.ben, "list_members lab", "Ada told him", |r| !r.column("user").contains(&"eve"));
        self.eve_is_out = true;
        let started = Instant::now();
        while self.lines("keeps back") == before {
            self.look("forks", true);
            self.wait(started, "forks");
        }
        self.double.be_honest();
        self.look("forks", true);
    }
}

fn member(world: &mut World, name: &str, list: &Path) -> Client {
    let mut options = world.options(name);
    options.list = list.to_owned();
    let mut client = Client::start(name, &options).unwrap();
    say(&mut client, &format!("create_user {name} pw-{name}"), "User created!");
    say(&mut client, &format!("login {name} pw-{name}"), "Logged in successfully");
    client
}

/// The last honest answer of this path, until the tracker is told to be honest.
fn remembered<T>(double: &Double, path: &str) -> Arc<Mutex<Option<T>>>
where
    T: for<'b> minicbor::Decode<'b, ()> + Send + 'static,
{
    let last = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&last);
    double.lie(path, move |_, honest| {
        if let Some(honest) = honest {
            *kept.lock().unwrap() = Some(minicbor::decode(honest).unwrap());
        }
        Said::Truth
    });
    last
}

fn mallory(double: &Double, cluster: ClusterId, origin: Origin) -> Mallory {
    let (identity, device) = (SigningKey::from_bytes(&[66; 32]), SigningKey::from_bytes(&[67; 32]));
    let public = |key: &SigningKey| PublicKey(key.verifying_key().to_bytes());
    let user = UserId::of_identity(&public(&identity));
    let bodies = [
        Body::AccountGenesis { identity: public(&identity) },
        Body::UserNameClaim { name: "mallory".parse().unwrap() },
        Body::DeviceCert { device: public(&device), label: "x".to_owned() },
    ];
    let row = |body| {
        let draft = Draft { cluster, scope: Scope::Account(user), author: user, prev: None, body };
        double.stamped(&Record::sign(draft, &identity), origin, 1, LATE)
    };
    let account = bodies.map(row).into();
    Mallory { user, device, account }
}

fn without(mut snapshot: SnapshotResponse, cluster: ClusterId, what: fn(&Body) -> bool) -> SnapshotResponse {
    snapshot.rows.retain(|row| !what(Record::decode(&row.record, &cluster).unwrap().body()));
    snapshot.digest[0] ^= 1;
    snapshot
}

fn swap_owner(stage: &mut Stage) {
    let body = Body::GroupGenesis { name: "lab".parse().unwrap(), after: None, nonce: [0; 16] };
    let genesis = stage.stamped(&stage.sign(stage.mallory.user, stage.group, body));
    let group = stage.group;
    stage.double.twist(path::GROUP_SNAPSHOT, move |mut snapshot: SnapshotResponse| {
        for row in &mut snapshot.rows {
            if GroupId::from(row.receipt.record) == group {
                *row = genesis.clone();
            }
        }
        snapshot
    });
}

fn swap_key(stage: &mut Stage) {
    let device = PublicKey(stage.mallory.device.verifying_key().to_bytes());
    let body = Body::DeviceCert { device, label: "hers".to_owned() };
    let author = stage.ada_id;
    let draft = Draft { cluster: stage.cluster, scope: Scope::Account(author), author, prev: None, body };
    let cert = stage.stamped(&Record::sign(draft, &stage.mallory.device));
    stage.double.twist(path::GROUP_SNAPSHOT, move |mut snapshot: SnapshotResponse| {
        if let Some(account) = snapshot.accounts.iter_mut().find(|account| account.user == author) {
            account.rows.push(cert.clone());
        }
        snapshot
    });
}

fn roll_back(stage: &mut Stage) {
    let old = stage.old.clone();
    stage.double.twist(path::GROUP_SNAPSHOT, move |_: SnapshotResponse| old.clone());
}

fn withhold(stage: &mut Stage) {
    let cluster = stage.cluster;
    stage.double.twist(path::GROUP_SNAPSHOT, move |snapshot| {
        without(snapshot, cluster, |body| matches!(body, Body::Share { .. }))
    });
}

fn name_another(stage: &mut Stage) {
    // The honest answer about the other group names it.
    let other = remembered::<GroupNameResponse>(&stage.double, path::GROUP_NAME);
    until(&mut stage.ben, "join_group other", "it is known", |r| r.text() != "No such group");
    let other = other.lock().unwrap().clone().unwrap();
    stage.double.twist(path::GROUP_NAME, move |_: GroupNameResponse| other.clone());
}

fn name_a_namesake(stage: &mut Stage) {
    let body = Body::GroupGenesis { name: "lab".parse().unwrap(), after: None, nonce: [0; 16] };
    let genesis = stage.sign(stage.mallory.user, stage.group, body);
    let group = GroupId::from(genesis.id());
    let account = AccountRows { user: stage.mallory.user, rows: stage.mallory.account.clone() };
    let rows = vec![stage.stamped(&genesis)];
    let hers = SnapshotResponse { digest: [9; 32], rows, accounts: vec![account], unchanged: false };
    stage.double.lie(path::GROUP_NAME, move |asked, _| {
        let asked: GroupNameRequest = minicbor::decode(asked).unwrap();
        match asked.name.as_str() {
            "lab" => Said::Bytes(minicbor::to_vec(GroupNameResponse { group }).unwrap()),
            _ => Said::Truth,
        }
    });
    stage.double.lie(path::GROUP_SNAPSHOT, move |asked, _| {
        let asked: SnapshotRequest = minicbor::decode(asked).unwrap();
        match asked.group == group {
            true => Said::Bytes(minicbor::to_vec(&hers).unwrap()),
            false => Said::Truth,
        }
    });
}
