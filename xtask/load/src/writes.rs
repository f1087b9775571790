//! Durable writes: many writers, each with an account and a group of its own, one record per request or full bundles, the
//! next one when the last is acknowledged. The bare program gets the same records.

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
use crate::client::{Conn, HERE, Load, Measured};
use crate::cluster::{Cluster, submit};
use crate::lean::Lean;
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

/// How writers share connections.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// On one connection, each with a request under way.
    writers: usize,
}

impl Shape {
    /// 256 connections with one request under way: the dearest, a system call each way for every record.
    pub const ALONE: Self = Self { writers: 1 };
    /// 32 connections with 8 requests under way each, about as the announces are measured.
    pub const SHARED: Self = Self { writers: 8 };
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
        let cpu_seconds = used.map(|used| used / all as f64 * 100_000.0);
        Ok(Measured { per_second, cpu_seconds, load_cpu_seconds: None })
    }

    /// Records per second of these trackers together; the writers are spread over them.
    pub async fn rate(
        &self,
        cluster: &Cluster,
        sending: Sending,
        shape: Shape,
        setting: &Setting,
    ) -> Result<Measured> {
        let pids = cluster.pids();
        let mut founding = JoinSet::new();
        for (number, script) in self.scripts.iter().enumerate() {
            let target = cluster.targets[number / shape.writers % pids.len()];
            let (account, genesis) = (script.founding.clone(), script.genesis.clone());
            founding.spawn(async move {
                let conn = Conn::open(target, HERE, None).await?;
                submit(&conn, &account).await?;
                submit(&conn, &[genesis]).await
            });
        }
        while let Some(founded) = founding.join_next().await {
            founded??;
        }
        let load = Load::default();
        let mut tasks = JoinSet::new();
        for (number, scripts) in self.scripts.chunks(shape.writers).enumerate() {
            let target = cluster.targets[number % pids.len()];
            let conn = Lean::open(target, HERE, path::BUNDLE).await?;
            let of_script = |script: &Script| match sending {
                Sending::Single => Arc::clone(&script.single),
                Sending::Bundles => Arc::clone(&script.bundles),
            };
            let bodies = scripts.iter().map(of_script).collect();
            let size = if sending == Sending::Single { 1 } else { BUNDLE_RECORDS_MAX };
            tasks.spawn(write(conn, bodies, size, load.clone(), pids.len()));
        }
        load.measure(tasks, &pids, setting.warm, setting.window).await
    }
}

async fn write(
    mut conn: Lean,
    writers: Vec<Arc<Vec<Bytes>>>,
    size: usize,
    load: Load,
    disks: usize,
) -> Result<()> {
    let mut sent = vec![0; writers.len()];
    let next = |writer: usize| {
        if load.over() {
            return Ok(None);
        }
        let body = writers[writer].get(sent[writer]).cloned();
        sent[writer] += 1;
        body.map(Some).context("the signed records ran out: sign more of them")
    };
    let answered = |_, answer: &[u8]| {
        let answer: BundleResponse = minicbor::decode(answer).context("the answer to a bundle")?;
        ensure!(answer.durable_on as usize == disks, "durable on {} of {disks}", answer.durable_on);
        load.add(size as u64);
        Ok(())
    };
    conn.drive(writers.len(), next, answered).await
}
