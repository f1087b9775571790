//! Replication lag: from handing a record to one tracker until a session on another one is told of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use peerage_link::api::{BundleRequest, BundleResponse, Event, path};
use peerage_link::http::TrackerConn;
use peerage_link::keyring::Keyring;
use peerage_link::list::TrackerEntry;
use peerage_link::tls::{self, ExpectedKey};
use peerage_types::GroupId;
use tokio::task::JoinSet;

use crate::Setting;
use crate::client::{Conn, HERE, Load, source};
use crate::cluster::{Cluster, submit};
use crate::people::Person;
use crate::report::Figures;

/// Writers beside the one that is measured, in the busy case.
const BUSY_WRITERS: usize = 16;
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const EVENT_DEADLINE: Duration = Duration::from_secs(20);

/// Of a cluster that runs and is in touch, with nothing else to do and while others write, too.
pub async fn measure(cluster: &Cluster, keyring: &Keyring, setting: &Setting) -> Result<Figures> {
    let mut figures = Figures::default();
    let quiet = samples(cluster, keyring, "quiet", setting.lag_samples).await?;
    figures.set("lag_quiet_p50_ms", percentile(&quiet, 50));
    figures.set("lag_quiet_p99_ms", percentile(&quiet, 99));
    let load = Load::default();
    let mut writers = JoinSet::new();
    for number in 0..BUSY_WRITERS {
        let person = Person::new(keyring.cluster())?;
        let (target, load) = (cluster.targets[0], load.clone());
        writers.spawn(async move { keep_writing(&person, number, target, &load).await });
    }
    let busy = samples(cluster, keyring, "busy", setting.lag_samples).await;
    // Ends the writers, and tells what went wrong with them.
    load.measure(writers, &[], Duration::ZERO, Duration::ZERO).await?;
    let busy = busy?;
    figures.set("lag_busy_p50_ms", percentile(&busy, 50));
    figures.set("lag_busy_p99_ms", percentile(&busy, 99));
    Ok(figures)
}

async fn keep_writing(
    person: &Person,
    number: usize,
    target: crate::client::Target,
    load: &Load,
) -> Result<()> {
    let conn = Conn::open(target, source(2_000 + number), None).await?;
    submit(&conn, &person.founding(&format!("busy-{number}"))?).await?;
    let genesis = person.found(&format!("busy-{number}"))?;
    submit(&conn, std::slice::from_ref(&genesis)).await?;
    for record in person.uploads(genesis.id()) {
        if load.over() {
            break;
        }
        submit(&conn, &[record?]).await?;
    }
    Ok(())
}

/// One record after the other; milliseconds, sorted.
async fn samples(cluster: &Cluster, keyring: &Keyring, name: &str, count: usize) -> Result<Vec<f64>> {
    let person = Person::new(keyring.cluster())?;
    let here = Conn::open(cluster.targets[0], HERE, None).await?;
    submit(&here, &person.founding(&format!("lag-{name}"))?).await?;
    let genesis = person.found(&format!("lag-{name}"))?;
    submit(&here, std::slice::from_ref(&genesis)).await?;
    let group = GroupId::from(genesis.id());

    let there = cluster.targets[1];
    let entry = TrackerEntry { host: there.addr.ip().to_string(), port: there.addr.port() };
    let config = tls::client_config(Some(&person.device), ExpectedKey::Exactly(there.key), &[tls::ALPN_H2]);
    let session = TrackerConn::connect(&entry, config, CONNECT_DEADLINE).await?;
    let mut events = session.events(path::EVENTS).await?;
    let mut samples = Vec::with_capacity(count);
    for record in person.uploads(genesis.id()).take(count) {
        let record = record?;
        let request = BundleRequest::new([record.bytes()]);
        let started = Instant::now();
        let acknowledged = here.call::<_, BundleResponse>(path::BUNDLE, &request);
        let visible = async {
            while events.next().await? != (Event::Files { group }) {}
            anyhow::Ok(started.elapsed())
        };
        let visible = tokio::time::timeout(EVENT_DEADLINE, visible);
        let (acknowledged, visible) = tokio::join!(acknowledged, visible);
        acknowledged?;
        let visible = visible.context("the other tracker never told of a record")??;
        samples.push(visible.as_secs_f64() * 1_000.0);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
