//! Several trackers with simulated disks, clocks and network, and people whose clients work on them.
//!
//! The trackers run the real `replica` and settle the real `ledger`'s views; the clients keep real outboxes and act
//! on what the tracker shows that they ask. Faults: loss, delay, duplication, reordering, one-way and two-way
//! partitions, clogged links, slow and full disks, clocks off by up to an hour and jumping, crashes, power cuts that
//! drop what was not synced, old backups put in place, disks lost for good, records that vanish from a disk or change
//! there behind its back, snapshots that break off on either side, trackers that join and leave, clients that crash,
//! people who sign what they may not, and at times a tracker whose operator lets everything in. Checked at each step:
//!
//! 1. no disk loses what it acknowledged, and no answer claims more disks than hold the bundle;
//! 2. equal vectors mean equal facts, and equal facts equal views, in whatever order they came;
//! 3. a name has one winner, the first claim, and a loser is never promoted;
//! 4. nobody who was kicked is in without a higher incarnation;
//! 5. nothing that a view says lacks the word of somebody entitled to it;
//! 6. digests say what can be read, and what comes from others is put where it belongs and lowers nothing;
//! 7. a snapshot claims nothing that it did not bring, and nobody is served over what a log lacks;
//!
//! and beneath them: a log never has a gap, one place in it never means two records, nobody who sends a record again gets
//! it another place in a log that has reached it, stamps rise within an origin and across the restarts of one tracker, and a running replica answers about a second after its own disk at the latest.
//!
//! After healing everything converges: vectors and names are equal, outboxes are empty, after two comparisons of each
//! tracker records and digests are equal too, nothing acknowledged is lost of which an acknowledging disk lives, what
//! strangers forged has left no mark, and every tracker's next write is durable on all.

mod acts;
mod admission;
mod checks;
mod clients;
mod commits;
mod disk;
mod event;
mod exchanges;
mod faults;
mod forge;
mod healed;
mod image;
mod network;
mod node;
mod oracle;
mod person;
mod race;
mod serving;
mod shell;
mod submission;
mod views;
mod world;

use peerage_types::Time;

pub use self::race::{Race, name_race};

/// Rows that one bundle makes at most: an account with its first device.
const BUNDLE_ROWS_MAX: u64 = 4;

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Logs: no gaps, one record per place, no further place for what was reached, rising stamps.
    Log,
    /// What was acknowledged stays.
    Durability,
    /// Equal facts, equal views.
    EqualViews,
    /// One winner per name, nobody promoted.
    OneWinner,
    /// A kick holds until a higher incarnation is let in.
    Kicks,
    /// Nothing takes effect without authority.
    Authority,
    /// What a disk lost comes back while another one has it, and digests say what can be read.
    Repair,
    /// A snapshot lowers nothing and claims nothing that it did not bring; what a log lacks it does not pass over.
    Snapshots,
    /// Answers come, outboxes drain, trackers become equal.
    Liveness,
    /// The simulator itself met something impossible.
    Simulator,
}

impl Rule {
    fn broken<T>(self, what: impl Into<String>) -> Result<T, Broken> {
        Err(Broken { rule: self, what: what.into() })
    }
}

/// A rule that was broken, in words.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    rule: Rule,
    what: String,
}

/// What the simulator itself cannot do.
impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self { rule: Rule::Simulator, what }
    }
}

/// A deliberate bug in the simulated tracker's shell or store, by which the checkers are tested. Production code knows nothing
/// of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// Disks report a batch as persisted when it is written, before the sync.
    AckBeforeSync,
    /// The first tracker settles views by arrival instead of by receipt.
    ArrivalOrder,
    /// A name goes to whoever arrived first at the tracker that is asked.
    NameByArrival,
    /// Kicks are not among the facts that views are settled from.
    ForgottenKick,
    /// Admission and views take anybody's Accept.
    UncheckedAccept,
    /// The vector of a snapshot is claimed before its pages are durable.
    EarlyAdopt,
    /// A snapshot takes the place of what the tracker had reached.
    SnapshotReplaces,
    /// Whoever asks below the floor is answered as if nothing were missing.
    BelowFloor,
    /// A digest is carried along and never made true to what can be read.
    CarriedDigest,
    /// What comes again from others counts as known, because the vector covers it.
    DeafRepair,
    /// What a snapshot brought beyond the vector is accepted anew as often as it is sent.
    AnewAgain,
}

impl Sabotage {
    /// All of them, each with the rule that it breaks and its name.
    pub const ALL: [(Self, Rule, &'static str); 11] = [
        (Self::AckBeforeSync, Rule::Durability, "ack-before-sync"),
        (Self::ArrivalOrder, Rule::EqualViews, "arrival-order"),
        (Self::NameByArrival, Rule::OneWinner, "name-by-arrival"),
        (Self::ForgottenKick, Rule::Kicks, "forgotten-kick"),
        (Self::UncheckedAccept, Rule::Authority, "unchecked-accept"),
        (Self::EarlyAdopt, Rule::Snapshots, "early-adopt"),
        (Self::SnapshotReplaces, Rule::Snapshots, "snapshot-replaces"),
        (Self::BelowFloor, Rule::Snapshots, "below-floor"),
        (Self::CarriedDigest, Rule::Repair, "carried-digest"),
        (Self::DeafRepair, Rule::Repair, "deaf-repair"),
        (Self::AnewAgain, Rule::Log, "anew-again"),
    ];
}

/// Which world to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Client operations and faults before healing.
    pub operations: u32,
    /// A deliberate bug.
    pub sabotage: Option<Sabotage>,
    /// Keep a line for everything that happens.
    pub lines: bool,
}

impl Options {
    /// A world without deliberate bugs.
    pub fn new(seed: u64, operations: u32) -> Self {
        Self { seed, operations, sabotage: None, lines: false }
    }
}

/// What a run without a violation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The seed that made it.
    pub seed: u64,
    /// Trackers in the cluster.
    pub trackers: usize,
    /// Events until the end of the healed phase.
    pub events: u64,
    /// Simulated time, in milliseconds.
    pub elapsed: Time,
    /// Bundles that clients put into their outboxes.
    pub bundles: u64,
    /// Submissions that were answered as durable.
    pub answers: u64,
    /// Submissions that were refused.
    pub refusals: u64,
    /// Records that somebody signed without the right to.
    pub forged: u64,
    /// Of the strangers' ones: on the disks at the end, without effect.
    pub forged_inert: u64,
    /// Log rows on every disk at the end.
    pub rows: usize,
    /// How often a tracker crashed.
    pub crashes: u64,
    /// Of these, in good order.
    pub stopped: u64,
    /// Of the crashes, by power cuts that took something not yet synced.
    pub torn: u64,
    /// Trackers that joined the running cluster.
    pub joined: u64,
    /// Trackers that left it for good.
    pub retired: u64,
    /// Digests that were compared with another tracker's, to the end.
    pub comparisons: u64,
    /// Those beside them that came to nothing: the other tracker was down or out of reach, or left the list.
    pub comparisons_failed: u64,
    /// Comparisons that found a difference.
    pub differed: u64,
    /// Records that a disk had lost and that came back.
    pub repaired: u64,
    /// Digests of scopes that vouched for what was gone, and were put right.
    pub corrected: u64,
    /// Records that were harmed on a disk behind its back.
    pub harmed: u64,
    /// Snapshots that trackers began to take.
    pub snapshots_begun: u64,
    /// Snapshots that were complete, and their vector on the disk.
    pub snapshots_adopted: u64,
    /// Records beyond a vector that somebody sent to that tracker again.
    pub sent_again: u64,
    /// Crashes of trackers in the middle of taking one.
    pub snapshots_cut: u64,
    /// Crashes of trackers of whom one was being taken.
    pub sources_lost: u64,
    /// Pulls that asked for something below the floor of a log.
    pub floors: u64,
    /// Origins that a pull could not be told on because a row was missing or damaged.
    pub holes: u64,
    /// Different views that were judged by the simple rules.
    pub judged: u64,
    /// Views that two trackers made of equal facts.
    pub compared: u64,
    /// Hash over everything that happened.
    pub trace: u64,
}

/// A rule was broken. The seed shows it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed} at {} ms breaks {rule:?}: {what}", .at.0)]
pub struct Violation {
    /// The seed that made the world.
    pub seed: u64,
    /// When, in simulated milliseconds.
    pub at: Time,
    /// Which rule.
    pub rule: Rule,
    /// How, and by whom.
    pub what: String,
}

/// Runs one world: `operations` client operations and faults, then the healed phase.
///
/// # Errors
/// The first violation.
pub fn run(seed: u64, operations: u32) -> Result<Report, Violation> {
    run_with(Options::new(seed, operations)).0
}

/// Like [`run`], also with a deliberate bug, and with a line for everything that happened if these are asked for.
pub fn run_with(options: Options) -> (Result<Report, Violation>, Vec<String>) {
    world::World::new(options).run(options.operations)
}
