//! Announces over kept connections, one by one and batched, beside the bare program under the same load; and what a
//! member who is online and an open connection cost in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use peerage_ledger::{Body, Origin};
use peerage_link::api::{
    AnnounceItem, AnnounceRequest, AnnounceResponse, Empty, HelloResponse, PresenceRequest, SwarmState, path,
};
use peerage_link::keyring::Keyring;
use peerage_replica::{PresenceChange, PresenceEntry, PresenceState, PresenceUpdate};
use peerage_types::{DeviceId, GroupId, InfoHash, TrackerId, UserId};
use tokio::task::JoinSet;

use crate::client::{Conn, HERE, Load, Measured, Target, source};
use crate::cluster::{Cluster, submit};
use crate::hello::Hello;
use crate::people::Person;
use crate::report::Figures;
use crate::{Setting, runtime};

/// Connections, each of a device of its own.
const DEVICES: usize = 32;
/// Requests under way on each of them.
const STREAMS: usize = 10;
/// Each with a tenth of the swarms; every device is in two.
const GROUPS: usize = 10;
const SWARMS: usize = 1_000;
/// One announce in so many is of a download, which asks for this many peers; the others seed and ask for none.
const DOWNLOAD_ONE_IN: usize = 4;
const WANT: u16 = 50;
/// Members who are online, one swarm each, 100 in every swarm.
const ONLINE: usize = 100_000;
/// In one request from tracker to tracker.
const ONLINE_PER_REQUEST: usize = 10_000;
/// Connections that are opened to see what they cost.
const IDLE_CONNECTIONS: usize = 500;

/// Measures all of it on one fresh tracker.
pub fn measure(program: &Path, base: &Path, keyring: &Keyring, setting: &Setting) -> Result<Figures> {
    let mut figures = Figures::default();
    // The second line is the load generator itself, when it passes on who is online.
    let cluster = Cluster::start(program, base, keyring, 2, 1)?;
    runtime()?.block_on(async {
        let (target, pid) = (cluster.targets[0], cluster.pids()[0]);
        let world = World::found(keyring, target).await?;
        let idle = idle_connection(target, pid).await?;
        figures.set("connection_bytes", idle);
        let before = resident(pid)?;
        come_online(keyring, target, &world.groups).await?;
        figures.set("member_bytes", (resident(pid)? - before) / ONLINE as f64);

        let single = world.bodies(1)?;
        let hello = Hello::start()?;
        let bare = world.run(hello.target, hello.pid(), &single, 1, STREAMS, setting).await?;
        drop(hello);
        figures.rate("hello", bare);
        // Who is online is forgotten after two intervals without a word.
        come_online(keyring, target, &world.groups).await?;
        let announces = world.run(target, pid, &single, 1, STREAMS, setting).await?;
        figures.rate("announces", announces);
        figures.set("announces_of_bare", announces.per_second / bare.per_second);
        come_online(keyring, target, &world.groups).await?;
        let all = 2 * SWARMS / GROUPS;
        let batched = world.run(target, pid, &world.bodies(all)?, all as u64, 1, setting).await?;
        figures.rate("entries", batched);
        figures.set("entries_of_announces", batched.per_second / announces.per_second);
        anyhow::Ok(())
    })?;
    cluster.quit()?;
    Ok(figures)
}

/// Members of groups, and the swarms of their devices.
struct World {
    members: Vec<(Person, [GroupId; 2])>,
    groups: Vec<GroupId>,
}

/// The swarms of a group.
fn swarms(group: usize) -> impl Iterator<Item = InfoHash> {
    (0..SWARMS / GROUPS).map(move |n| InfoHash(*blake3::hash(&(group * SWARMS + n).to_be_bytes()).as_bytes()))
}

impl World {
    async fn found(keyring: &Keyring, target: Target) -> Result<Self> {
        let conn = Conn::open(target, HERE, None).await?;
        let mut people = Vec::new();
        for number in 0..DEVICES {
            let person = Person::new(keyring.cluster())?;
            submit(&conn, &person.founding(&format!("member-{number}"))?).await?;
            people.push(person);
        }
        let (mut groups, mut heads) = (Vec::new(), Vec::new());
        for (number, owner) in people.iter().take(GROUPS).enumerate() {
            let genesis = owner.found(&format!("class-{number}"))?;
            groups.push(GroupId::from(genesis.id()));
            heads.push(genesis.id());
            submit(&conn, &[genesis]).await?;
        }
        for (number, person) in people.iter().enumerate() {
            for group in Self::places(number) {
                if number == group {
                    continue;
                }
                let ask = person.say(groups[group], None, Body::JoinRequest { incarnation: 1 });
                let accept = Body::Accept { user: person.user, incarnation: 1, epoch: 0, grant: None };
                let accept = people[group].say(groups[group], Some(heads[group]), accept);
                heads[group] = accept.id();
                submit(&conn, &[ask, accept]).await?;
            }
        }
        let members = people.into_iter().enumerate();
        let members =
            members.map(|(number, person)| (person, Self::places(number).map(|g| groups[g]))).collect();
        Ok(Self { members, groups })
    }

    fn places(member: usize) -> [usize; 2] {
        [member % GROUPS, (member + GROUPS / 2) % GROUPS]
    }

    /// Per device the requests that together announce all its swarms, `per_request` each.
    fn bodies(&self, per_request: usize) -> Result<Vec<Vec<Bytes>>> {
        let of_member = |(number, (_, groups)): (usize, &(Person, [GroupId; 2]))| {
            let addresses = vec![format!("10.1.0.{number}:7600")];
            let places = Self::places(number).into_iter().zip(groups);
            let all = places.flat_map(|(place, group)| swarms(place).map(move |swarm| (*group, swarm)));
            let items = all.enumerate().map(|(n, (group, info_hash))| {
                let download = n % DOWNLOAD_ONE_IN == 0;
                let (state, want) =
                    if download { (SwarmState::Leeching, WANT) } else { (SwarmState::Seeding, 0) };
                AnnounceItem { group, info_hash, state, percent: 50, addresses: addresses.clone(), want }
            });
            let items: Vec<AnnounceItem> = items.collect();
            let body =
                |items: &[AnnounceItem]| minicbor::to_vec(AnnounceRequest { items: items.to_vec(), said: 1 });
            let bodies: Result<Vec<Vec<u8>>, _> = items.chunks(per_request).map(body).collect();
            Ok(bodies.map_err(|e| anyhow!("{e}"))?.into_iter().map(Bytes::from).collect())
        };
        self.members.iter().enumerate().map(of_member).collect()
    }

    /// Sends them over and over, on one connection per device. Counts `units` per answer.
    async fn run(
        &self,
        target: Target,
        pid: u32,
        bodies: &[Vec<Bytes>],
        units: u64,
        streams: usize,
        setting: &Setting,
    ) -> Result<Measured> {
        let load = Load::default();
        let mut tasks = JoinSet::new();
        for (number, ((person, _), bodies)) in self.members.iter().zip(bodies).enumerate() {
            let conn = Conn::open(target, source(number + 1), Some(&person.device)).await?;
            check(&conn, &bodies[0]).await?;
            for stream in 0..streams {
                let (conn, load) = (conn.clone(), load.clone());
                let bodies: Vec<Bytes> = bodies.iter().skip(stream).step_by(streams).cloned().collect();
                tasks.spawn(async move {
                    let uri = conn.uri(path::ANNOUNCE)?;
                    for body in bodies.iter().cycle() {
                        if load.over() {
                            break;
                        }
                        conn.post(&uri, body.clone()).await?;
                        load.add(units);
                    }
                    Ok(())
                });
            }
        }
        load.measure(tasks, &[pid], setting.warm, setting.window).await
    }
}

/// The first answer is looked at: everything was taken, and a download gets its peers.
async fn check(conn: &Conn, body: &Bytes) -> Result<()> {
    let answer = conn.post(&conn.uri(path::ANNOUNCE)?, body.clone()).await?;
    if answer == Bytes::from_static(b"hello") {
        return Ok(());
    }
    let answer: AnnounceResponse = minicbor::decode(&answer).map_err(|e| anyhow!("{e}"))?;
    for item in &answer.answers {
        ensure!(item.refused.is_none(), "an announce was refused: {:?}", item.refused);
    }
    let peers = answer.answers.first().map_or(0, |item| item.peers.len());
    ensure!(peers == usize::from(WANT), "a download was given {peers} peers of {WANT}");
    Ok(())
}

/// Says in another tracker's name who is online there, as that tracker would.
async fn come_online(keyring: &Keyring, target: Target, groups: &[GroupId]) -> Result<()> {
    let conn = Conn::open(target, HERE, Some(keyring.signing_key())).await?;
    let from = TrackerId([7; 16]);
    let swarms: Vec<(GroupId, InfoHash)> = groups
        .iter()
        .enumerate()
        .flat_map(|(number, group)| swarms(number).map(move |swarm| (*group, swarm)))
        .collect();
    let here = (0..ONLINE).map(|number| {
        let hash = |what: &[u8]| *blake3::hash(&[what, &number.to_be_bytes()].concat()).as_bytes();
        let [.., a, b, c] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        let (group, info_hash) = swarms[number % swarms.len()];
        PresenceChange::Here(PresenceEntry {
            device: DeviceId::from_slice(&hash(b"device")).unwrap_or(keyring.public()),
            user: UserId(hash(b"user")),
            group,
            info_hash,
            addresses: vec![SocketAddr::from(([10, a, b, c], 7600))],
            state: PresenceState::Seeding,
            percent: 100,
            said: 1,
        })
    });
    let changes: Vec<PresenceChange> = here.collect();
    for (index, changes) in changes.chunks(ONLINE_PER_REQUEST).enumerate() {
        let owner = Origin { tracker: from, incarnation: 1 };
        let update = PresenceUpdate { owner, full: index == 0, changes: changes.to_vec() };
        let deltas = minicbor::to_vec(&update).map_err(|e| anyhow!("{e}"))?;
        let request = PresenceRequest { from, deltas };
        conn.call::<_, Empty>(path::PEER_PRESENCE, &request).await?;
    }
    Ok(())
}

/// Bytes per connection that asked once and then waits.
async fn idle_connection(target: Target, pid: u32) -> Result<f64> {
    let before = resident(pid)?;
    let mut open = BTreeMap::new();
    for number in 0..IDLE_CONNECTIONS {
        let conn = Conn::open(target, source(1_000 + number), None).await?;
        conn.call::<_, HelloResponse>(path::HELLO, &Empty {}).await?;
        open.insert(number, conn);
    }
    Ok((resident(pid)? - before) / open.len() as f64)
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rest = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = rest.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.ok_or_else(|| anyhow!("this system does not tell how much memory a process has"))? * 1024.0)
}
