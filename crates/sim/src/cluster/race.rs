//! One name, claimed by a thousand people while trackers cannot see each other.

use super::person::Person;
use super::world::World;
use super::{Broken, Options, Rule, Violation, views};
use crate::rng::Rng;

/// Trackers on both sides of the partition together.
const TRACKERS: usize = 4;
/// Claims at a time.
const WAVE: usize = 20;

/// What became of a name race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Race {
    /// Accounts that claimed the name and got in.
    pub claimants: usize,
    /// Accounts that were refused at once, because their tracker knew of an earlier claim, and took another name.
    pub refused: usize,
    /// Different winners over all trackers after healing.
    pub winners: usize,
    /// Claimants whose account, on every tracker, shows that the name is somebody else's.
    pub told: usize,
}

/// `claims` people create an account under one name on four trackers that are split in two. On each side one tracker
/// lets everybody in, so that all claims get into the log, the other one refuses whom it knows to be late.
///
/// # Errors
/// The first violation, among them that somebody was neither told nor refused.
pub fn name_race(seed: u64, claims: usize) -> Result<Race, Violation> {
    let options = Options::new(seed, 0);
    let mut world = World::with(options, Rng::new(seed), TRACKERS);
    let mut race = Race { claimants: 0, refused: 0, winners: 0, told: 0 };
    let result = run(&mut world, claims, &mut race);
    world.finish(result).0.map(|_| race)
}

fn run(world: &mut World, claims: usize, race: &mut Race) -> Result<(), Broken> {
    for at in 0..TRACKERS {
        world.nodes[at].lax = at.is_multiple_of(2);
        world.start(at)?;
    }
    for (near, far) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.network.block(near, far);
        world.network.block(far, near);
    }
    for number in 0..claims {
        // A tenth asks the trackers that look.
        let home = if number.is_multiple_of(10) { 1 + number / 10 % 2 * 2 } else { number % 2 * 2 };
        world.people.push(Person::new(&mut world.rng, false, home));
        world.create_account_named(number, "Nemo")?;
        if number % WAVE == WAVE - 1 {
            world.rest(100)?;
        }
    }
    world.rest(20_000)?;
    world.heal()?;
    world.settle()?;
    // Whoever was refused takes another name.
    for number in 0..claims {
        let user = world.people[number].user;
        if world.account_at(0, user).is_none() {
            race.refused += 1;
            world.create_account_named(number, &format!("nemo-{number}"))?;
        }
    }
    world.settle()?;
    race.claimants = claims - race.refused;
    let name: peerage_types::Name = "nemo".parse().map_err(|e| format!("{e}"))?;
    let mut winners = std::collections::BTreeSet::new();
    for at in 0..TRACKERS {
        let node = &mut world.nodes[at];
        let image = node.disk.image();
        let Some(run) = &node.run else { continue };
        winners.extend(run.serving.user_named(&name.folded(), image).map(|winner| winner.user));
    }
    race.winners = winners.len();
    for number in 0..claims {
        let user = world.people[number].user;
        let mut told = !winners.contains(&user);
        for at in 0..TRACKERS {
            let Some(view) = world.account_at(at, user) else {
                return Rule::OneWinner.broken(format!("{user:?} has no account on tracker {at}"));
            };
            told &= view.names.iter().any(|claim| claim.name.folded() == name.folded());
        }
        race.told += usize::from(told);
    }
    world.checks.kept(&world.nodes)?;
    views::names_agree(&mut world.nodes)?;
    world.everybody_can_log_in()
}
