//! Durable writes: many writers, each with a connection, an account and a group of its own, one record per request or
//! full bundles, the next one when the last is acknowledged. The bare program gets the same records.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use peerage_ledger::Record;
use peerage_link::api::{BundleRequest, BundleResponse, path};
use peerage_link::keyring::Keyring;
use peerage_types::limits::BUNDLE_RECORDS_MAX;
use tokio::task::JoinSet;

use crate::bare::Submission;
use crate::client::{Conn, Load, Measured, source};
use crate::cluster::{Cluster, submit};
use crate::people::{Person, in_parallel};
use crate::usage::Usage;
use crate::{Setting, bare};

/// Writers at once.
const WRITERS: usize = 256;

/// What one writer says, signed before anything is measured.
struct Script {
    founding: Vec<Record>,
    genesis: Record,
    /// One record each.
    single: Arc<Vec<Bytes>>,
    /// The same records, as many in each as a bundle takes.
    bundles: Arc<Vec<Bytes>>,
}

/// How writers send their records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// One in each request.
    Single,
    /// In full bundles.
    Bundles,
}

/// All writers.
pub struct Writers {
    scripts: Vec<Script>,
    submissions: Vec<Vec<Submission>>,
}

impl Writers {
    /// Signs enough for `setting.window`.
    pub fn sign(keyring: &Keyring, setting: &Setting) -> Result<Self> {
        let seconds = (setting.warm + setting.window).as_secs_f64();
        let each = (setting.writes_per_second_max * seconds / WRITERS as f64).ceil() as usize;
        let numbers: Vec<usize> = (0..WRITERS).collect();
        let signed = in_parallel(numbers, |number| {
            let person = Person::new(keyring.cluster())?;
            let genesis = person.found(&format!("group-{number}"))?;
            let records: Vec<Record> = person.uploads(genesis.id()).take(each).collect::<Result<_>>()?;
            let submissions: Vec<Submission> = records.iter().map(Submission::of).collect();
            let body = |records: &[Record]| {
                minicbor::to_vec(BundleRequest::new(records.iter().map(Record::bytes))).map(Bytes::from)
            };
            let bodies = |size| records.chunks(size).map(body).collect::<Result<Vec<_>, _>>();
            let single = Arc::new(bodies(1).map_err(|e| anyhow!("{e}"))?);
            let bundles = Arc::new(bodies(BUNDLE_RECORDS_MAX).map_err(|e| anyhow!("{e}"))?);
            let founding = person.founding(&format!("writer-{number}"))?;
            Ok((Script { founding, genesis, single, bundles }, submissions))
        })?;
        let (scripts, submissions) = signed.into_iter().unzip();
        Ok(Self { scripts, submissions })
    }

    /// Records per second of the bare program, and what it cost this process.
    pub fn bare(&self, base: &Path, setting: &Setting) -> Result<Measured> {
        let before = Usage::of(std::process::id());
        let (per_second, all) = bare::rate(base, &self.submissions, setting.warm, setting.window)?;
        let used = Usage::of(std::process::id()).cpu_since(&before);
        Ok(Measured { per_second, cpu_seconds: used.map(|used| used / all as f64 * 100_000.0) })
    }

    /// Records per second of these trackers together; the writers are spread over them.
    pub async fn rate(&self, cluster: &Cluster, sending: Sending, setting: &Setting) -> Result<Measured> {
        let pids = cluster.pids();
        let mut opening = JoinSet::new();
        for (number, script) in self.scripts.iter().enumerate() {
            let target = cluster.targets[number % pids.len()];
            let (founding, genesis) = (script.founding.clone(), script.genesis.clone());
            opening.spawn(async move {
                let conn = Conn::open(target, source(number + 1), None).await?;
                submit(&conn, &founding).await?;
                submit(&conn, &[genesis]).await?;
                Ok::<_, anyhow::Error>((number, conn))
            });
        }
        let mut conns = Vec::new();
        while let Some(opened) = opening.join_next().await {
            conns.push(opened??);
        }
        let load = Load::default();
        let mut tasks = JoinSet::new();
        for (number, conn) in conns {
            let script = &self.scripts[number];
            let (bodies, size) = match sending {
                Sending::Single => (Arc::clone(&script.single), 1),
                Sending::Bundles => (Arc::clone(&script.bundles), BUNDLE_RECORDS_MAX),
            };
            let (load, disks) = (load.clone(), pids.len());
            tasks.spawn(async move { write(&conn, &bodies, size, &load, disks).await });
        }
        load.measure(tasks, &pids, setting.warm, setting.window).await
    }
}

async fn write(conn: &Conn, bodies: &[Bytes], size: usize, load: &Load, disks: usize) -> Result<()> {
    let uri = conn.uri(path::BUNDLE)?;
    for body in bodies {
        if load.over() {
            return Ok(());
        }
        let answer = conn.post(&uri, body.clone()).await?;
        let answer: BundleResponse = minicbor::decode(&answer).context("the answer to a bundle")?;
        ensure!(answer.durable_on as usize == disks, "durable on {} of {disks}", answer.durable_on);
        load.add(size as u64);
    }
    Err(anyhow!("the signed records ran out: sign more of them"))
}
