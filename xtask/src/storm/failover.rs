//! `cargo xtask storm failover`: seven trackers, all but one killed one after another in random orders.
//!
//! After each kill every kind of write is done through the real program by members who were logged in before. Then
//! all trackers come back, and their digests must be equal within the time that is promised.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use peerage_drive::{Client, ClientOptions, free_addresses, quote};

use super::cluster::{Cluster, program};
use super::dice::Dice;

/// A command must get through another tracker within this time (99 of 100 do).
const FAILOVER_MAX: Duration = Duration::from_secs(2);
/// After the last tracker is back.
const HEAL_MAX: Duration = Duration::from_secs(10);
/// What another member wrote is seen by then.
const SEEN_MAX: Duration = Duration::from_secs(30);

/// Settings of one storm.
#[derive(clap::Args)]
pub struct Failover {
    /// Random orders.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Trackers; all but one are killed in each round.
    #[arg(long, default_value_t = 7)]
    trackers: usize,
    /// Makes the same choices again.
    #[arg(long)]
    seed: Option<u64>,
}

/// Members with their shells, and what their commands took.
struct Story {
    ada: Client,
    ben: Client,
    file: std::path::PathBuf,
    /// The first command of a member after a kill.
    first: Vec<Duration>,
    /// All commands.
    all: Vec<Duration>,
    writes: u64,
}

impl Failover {
    /// Builds the program, storms, and prints how long members had to wait.
    pub fn run(&self) -> Result<()> {
        ensure!((2..=7).contains(&self.trackers), "--trackers must be 2 to 7");
        ensure!(self.rounds > 0, "--rounds must be at least 1");
        let program = program()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.storm(&program))
    }

    async fn storm(&self, program: &Path) -> Result<()> {
        let seed = Dice::seed(self.seed);
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let mut cluster = Cluster::start(program, self.trackers, "failover").await?;
        let mut story = Story::begin(program, &cluster)?;
        let mut slowest_heal = Duration::ZERO;
        for round in 1..=self.rounds {
            let mut order: Vec<usize> = (0..self.trackers).collect();
            dice.shuffle(&mut order);
            let victims = &order[1..];
            for (step, victim) in victims.iter().enumerate() {
                cluster.trackers[*victim].kill();
                let tag = format!("{round}-{step}");
                story.everything(&tag).with_context(|| {
                    format!("round {round}, order {order:?}, after {} kills, seed {seed}", step + 1)
                })?;
            }
            for victim in victims {
                cluster.trackers[*victim].restart()?;
            }
            let healed =
                cluster.converged(HEAL_MAX).await.with_context(|| format!("round {round}, seed {seed}"))?;
            let scopes = cluster.compare().with_context(|| format!("round {round}, seed {seed}"))?;
            slowest_heal = slowest_heal.max(healed);
            println!(
                "round {round}: order {:?}; healed after {} ms, {scopes} scopes equal; slowest command so far {} ms",
                order.iter().map(|tracker| tracker + 1).collect::<Vec<_>>(),
                healed.as_millis(),
                story.all.iter().max().map_or(0, Duration::as_millis),
            );
        }
        let (first, all) = (percentiles(&mut story.first), percentiles(&mut story.all));
        println!(
            "{} rounds, {} of {} trackers killed in each: {} writes, none refused; first command after a kill p50 {} ms, p99 {} ms, max {} ms; all commands p50 {} ms, p99 {} ms, max {} ms; digests equal at most {} ms after the last tracker was back",
            self.rounds,
            self.trackers - 1,
            self.trackers,
            story.writes,
            first.0,
            first.1,
            first.2,
            all.0,
            all.1,
            all.2,
            slowest_heal.as_millis(),
        );
        story.end()?;
        if u128::from(first.1 as u64) > FAILOVER_MAX.as_millis() {
            bail!("fail-over takes longer than {} ms", FAILOVER_MAX.as_millis());
        }
        Ok(())
    }
}

/// Median, 99th percentile and maximum in milliseconds.
fn percentiles(times: &mut [Duration]) -> (u128, u128, u128) {
    times.sort_unstable();
    let at = |percent: usize| {
        times.get(times.len() * percent / 100).or(times.last()).map_or(0, Duration::as_millis)
    };
    (at(50), at(99), times.last().map_or(0, Duration::as_millis))
}

impl Story {
    fn begin(program: &Path, cluster: &Cluster) -> Result<Self> {
        let addresses = free_addresses(2)?;
        let shell = |name: &str, listen| -> Result<Client> {
            let (list, data) = (cluster.list.path.clone(), cluster.folder().join(name));
            let mut client =
                Client::start(name, &ClientOptions { program: program.into(), listen, list, data })?;
            client.must(&format!("create_user {name} storm-{name}"))?;
            client.must(&format!("login {name} storm-{name}"))?;
            Ok(client)
        };
        let (mut ada, ben) = (shell("ada", addresses[0])?, shell("ben", addresses[1])?);
        ada.must("create_group lab")?;
        let file = cluster.folder().join("notes.txt");
        std::fs::write(&file, vec![b'n'; 100_000])?;
        Ok(Self { ada, ben, file, first: Vec::new(), all: Vec::new(), writes: 0 })
    }

    /// Each kind of write once, and what the other member sees of it.
    fn everything(&mut self, tag: &str) -> Result<()> {
        let (ada, ben) = (true, false);
        let file = self.file.with_file_name(format!("notes-{tag}.txt"));
        std::fs::write(&file, format!("notes of {tag}\n").repeat(5_000))?;
        let name = format!("notes-{tag}.txt");
        let group = format!("g-{tag}");
        self.write(ada, &format!("create_group {group}"), true)?;
        self.write(ben, &format!("join_group {group}"), true)?;
        self.seen(ada, &format!("list_requests {group}"), "ben")?;
        self.write(ada, &format!("reject_request {group} ben"), false)?;
        self.write(ben, &format!("join_group {group}"), false)?;
        self.seen(ada, &format!("list_requests {group}"), "ben")?;
        self.write(ada, &format!("accept_request {group} ben"), false)?;
        self.write(ada, &format!("upload_file {} {group}", quote(&file.to_string_lossy())), false)?;
        self.seen(ben, &format!("list_files {group}"), &name)?;
        let copy = file.with_file_name(format!("copy-{tag}.txt"));
        self.write(ben, &format!("download_file {group} {name} {}", quote(&copy.to_string_lossy())), false)?;
        self.ben.must(&format!("wait {group} {name} --timeout 60"))?;
        ensure!(std::fs::read(&copy)? == std::fs::read(&file)?, "the copy of {name} differs");
        self.write(ben, &format!("stop_share {group} {name}"), false)?;
        self.write(ada, &format!("kick {group} ben"), false)?;
        self.write(ben, &format!("create_user helper-{tag} storm-helper"), false)?;
        self.write(ben, "logout", false)?;
        self.write(ben, "login ben storm-ben", false)?;
        self.write(ada, &format!("leave_group {group}"), false)?;
        Ok(())
    }

    fn shell(&mut self, ada: bool) -> &mut Client {
        if ada { &mut self.ada } else { &mut self.ben }
    }

    fn write(&mut self, ada: bool, line: &str, first: bool) -> Result<()> {
        let started = Instant::now();
        self.shell(ada).must(line)?;
        let took = started.elapsed();
        self.writes += 1;
        self.all.push(took);
        if first {
            self.first.push(took);
        }
        Ok(())
    }

    /// Asks until the answer lists something: another member's write may take its way over another tracker.
    fn seen(&mut self, ada: bool, line: &str, what: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let reply = self.shell(ada).must(line)?;
            let listed = reply.items().iter().any(|item| {
                item.as_object()
                    .is_some_and(|fields| fields.values().any(|value| value.as_str() == Some(what)))
            });
            if listed {
                return Ok(());
            }
            ensure!(started.elapsed() < SEEN_MAX, "`{line}` does not list `{what}`: {}", reply.json);
        }
    }

    fn end(self) -> Result<()> {
        for client in [self.ada, self.ben] {
            let status = client.close(Duration::from_secs(20))?;
            ensure!(status.success(), "a shell ended with {status}");
        }
        Ok(())
    }
}
