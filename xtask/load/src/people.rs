//! People with keys, and what they sign.

use anyhow::Result;
use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_types::{
    ClusterId, ContentId, FileName, GroupId, InfoHash, MetainfoId, PublicKey, RecordId, Scope, UserId,
};

pub struct Person {
    pub user: UserId,
    pub device: SigningKey,
    identity: SigningKey,
    cluster: ClusterId,
}

fn random_key() -> Result<SigningKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(SigningKey::from_bytes(&seed))
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

impl Person {
    pub fn new(cluster: ClusterId) -> Result<Self> {
        let (identity, device) = (random_key()?, random_key()?);
        Ok(Self { user: UserId::of_identity(&public(&identity)), device, identity, cluster })
    }

    /// Account, name and device. There is no password: nobody logs in by one here.
    pub fn founding(&self, name: &str) -> Result<Vec<Record>> {
        let bodies = [
            Body::AccountGenesis { identity: public(&self.identity) },
            Body::UserNameClaim { name: name.parse()? },
            Body::DeviceCert { device: public(&self.device), label: "bench".to_owned() },
        ];
        let mut records: Vec<Record> = Vec::new();
        for body in bodies {
            let prev = records.last().map(Record::id);
            records.push(self.sign(Scope::Account(self.user), prev, body, &self.identity));
        }
        Ok(records)
    }

    /// A new group of this person, named by its genesis.
    pub fn found(&self, name: &str) -> Result<Record> {
        let body = Body::GroupGenesis { name: name.parse()?, after: None, nonce: [0; 16] };
        Ok(self.sign(Scope::Group(GroupId([0; 32])), None, body, &self.device))
    }

    /// A record of this person's device in a group.
    pub fn say(&self, group: GroupId, prev: Option<RecordId>, body: Body) -> Record {
        self.sign(Scope::Group(group), prev, body, &self.device)
    }

    /// Records behind the genesis of an own group, as sharing file after file makes them: Manifest, Share. Each is
    /// signed when it is asked for.
    pub fn uploads(&self, genesis: RecordId) -> impl Iterator<Item = Result<Record>> {
        let mut prev = genesis;
        (0..).map(move |n| {
            let body = match n % 2 {
                0 => manifest(n)?,
                _ => Body::Share { manifest: prev, incarnation: 0 },
            };
            let record = self.say(genesis.into(), Some(prev), body);
            prev = record.id();
            Ok(record)
        })
    }

    fn sign(&self, scope: Scope, prev: Option<RecordId>, body: Body, key: &SigningKey) -> Record {
        Record::sign(Draft { cluster: self.cluster, scope, author: self.user, prev, body }, key)
    }
}

/// The `n`-th file of a group.
fn manifest(n: usize) -> Result<Body> {
    let hash = *blake3::hash(&n.to_be_bytes()).as_bytes();
    Ok(Body::Manifest {
        name: FileName::normalized(&format!("lecture {n:06}.mp4"))?,
        size: 700_000_000,
        content: ContentId(hash),
        info_hash: InfoHash(hash),
        info_hash_v1: Some(InfoHash(hash).truncated()),
        metainfo: MetainfoId(hash),
        metainfo_bytes: 40_000,
        piece_length: 1 << 20,
        folder_files: None,
    })
}

/// Maps in order on all processors.
pub fn in_parallel<T: Send, U: Send>(items: Vec<T>, map: impl Fn(T) -> Result<U> + Sync) -> Result<Vec<U>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(threads).max(1);
    let mut shares: Vec<Vec<T>> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        if index % share == 0 {
            shares.push(Vec::with_capacity(share));
        }
        if let Some(last) = shares.last_mut() {
            last.push(item);
        }
    }
    std::thread::scope(|scope| {
        let map = &map;
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(map).collect()))
            .collect();
        let mut mapped = Vec::new();
        for thread in threads {
            let part: Result<Vec<U>> = thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
            mapped.extend(part?);
        }
        Ok(mapped)
    })
}
