//! `cargo xtask storm names`: one name claimed on every side of a partition at once, many times.
//!
//! After healing there is one winner on all trackers, the losers are told, and everybody can log in anywhere: the
//! winner with the name, the losers with `name#tag`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use peerage_drive::{Client, ClientOptions, Mesh, free_addresses};

use super::cluster::{Folder, program};
use super::dice::Dice;

/// From healing until everybody knows who won.
const TOLD_MAX: Duration = Duration::from_secs(60);
const CLOSE_MAX: Duration = Duration::from_secs(20);

/// Settings of one storm.
#[derive(clap::Args)]
pub struct Names {
    /// Names.
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Trackers; each is parted from all others, and one account claims the name on each.
    #[arg(long, default_value_t = 2)]
    trackers: usize,
    /// Makes the same choices again.
    #[arg(long)]
    seed: Option<u64>,
}

/// What became of one name.
struct Outcome {
    /// Which side won, from 0.
    winner: usize,
    /// How each account is shown.
    shown: Vec<String>,
    told_after: Duration,
}

impl Names {
    /// Builds the program, storms, and prints who won.
    pub fn run(&self) -> Result<()> {
        ensure!((2..=7).contains(&self.trackers), "--trackers must be 2 to 7");
        ensure!(self.rounds > 0, "--rounds must be at least 1");
        let program = program()?;
        let seed = Dice::seed(self.seed);
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let folder = Folder::new("names")?;
        let mesh = Mesh::start(&program, &folder.0, self.trackers)?;
        let mut claimants = self.shells(&program, &folder.0, &mesh, "claimant")?;
        let mut visitors = self.shells(&program, &folder.0, &mesh, "visitor")?;
        let mut wins = vec![0; self.trackers];
        let mut slowest = Duration::ZERO;
        for round in 1..=self.rounds {
            let name = format!("race-{round}");
            let mut sides: Vec<usize> = (0..self.trackers).collect();
            dice.shuffle(&mut sides);
            let outcome = race(&mesh, &mut claimants, &sides, &name);
            let outcome = outcome.with_context(|| format!("round {round}, seed {seed}"))?;
            wins[outcome.winner] += 1;
            slowest = slowest.max(outcome.told_after);
            everybody_logs_in(&mut visitors, &name, &outcome)
                .with_context(|| format!("round {round}, seed {seed}"))?;
            if round % 10 == 0 {
                println!("round {round}: wins by tracker {wins:?}");
            }
        }
        for client in claimants.into_iter().chain(visitors) {
            client.close(CLOSE_MAX)?;
        }
        println!(
            "{} names claimed on {} sides of a partition: one winner each (by tracker: {wins:?}), {} losers told, at most {} ms after healing; everybody logged in through every tracker",
            self.rounds,
            self.trackers,
            self.rounds as usize * (self.trackers - 1),
            slowest.as_millis(),
        );
        Ok(())
    }

    /// One shell for each tracker, which knows only that one.
    fn shells(&self, program: &Path, folder: &Path, mesh: &Mesh, who: &str) -> Result<Vec<Client>> {
        let shell = |number: usize| -> Result<Client> {
            let name = format!("{who}-{number}");
            let options = ClientOptions {
                program: program.to_owned(),
                listen: free_addresses(1)?[0],
                list: mesh.list_of(&[number])?,
                data: folder.join(&name),
            };
            Ok(Client::start(&name, &options)?)
        };
        (1..=self.trackers).map(shell).collect()
    }
}

fn password(side: usize) -> String {
    format!("password-of-{side}")
}

/// Everybody claims the name while nobody sees the others; then they do.
fn race(mesh: &Mesh, claimants: &mut [Client], sides: &[usize], name: &str) -> Result<Outcome> {
    for side in 1..=claimants.len() {
        mesh.part(&[side]);
        for other in (1..=claimants.len()).filter(|other| *other != side) {
            mesh.cut_link(side, other);
        }
    }
    for side in sides {
        claimants[*side].must(&format!("create_user {name} {}", password(*side)))?;
        claimants[*side].must(&format!("login {name} {}", password(*side)))?;
    }
    mesh.heal();
    let healed = Instant::now();
    let (winner, shown) = loop {
        let shown = claimants.iter_mut().map(shown_name).collect::<Result<Vec<_>>>()?;
        let winners: Vec<usize> = (0..shown.len()).filter(|side| shown[*side] == name).collect();
        match winners[..] {
            [winner] => break (winner, shown),
            [] => bail!("nobody has the name `{name}`: {shown:?}"),
            _ if healed.elapsed() > TOLD_MAX => bail!("several still have the name `{name}`: {winners:?}"),
            _ => {}
        }
    };
    let told = format!("another account claimed `{name}` first");
    for side in (0..claimants.len()).filter(|side| *side != winner) {
        while !claimants[side].stderr().contains(&told) {
            ensure!(healed.elapsed() < TOLD_MAX, "the loser on side {} was not told", side + 1);
            // A command in between: what the shell has to say comes out with it.
            claimants[side].must("whoami")?;
        }
    }
    let told_after = healed.elapsed();
    for claimant in claimants {
        claimant.must("logout")?;
    }
    Ok(Outcome { winner, shown, told_after })
}

fn shown_name(client: &mut Client) -> Result<String> {
    let reply = client.must("whoami")?;
    let user = reply.items().first().and_then(|item| item["user"].as_str()).map(str::to_owned);
    user.with_context(|| format!("`whoami` names nobody: {}", reply.json))
}

/// Every account through every tracker, on a machine that never saw it.
fn everybody_logs_in(visitors: &mut [Client], name: &str, outcome: &Outcome) -> Result<()> {
    for visitor in visitors {
        for (side, shown) in outcome.shown.iter().enumerate() {
            visitor.must(&format!("login {shown} {}", password(side)))?;
            ensure!(shown_name(visitor)? == *shown, "`{shown}` is somebody else after the login");
            visitor.must("logout")?;
            if side != outcome.winner {
                let plain = visitor.ask(&format!("login {name} {}", password(side)))?;
                ensure!(!plain.ok(), "a loser's password opened the winner's account `{name}`");
            }
        }
    }
    Ok(())
}
