//! What goes into a [`Replica`](crate::Replica) and what comes out.

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerage_ledger::{Origin, Receipt, Record, SEALED_MAX};
use peerage_types::limits::BUNDLE_RECORDS_MAX;
use peerage_types::{RecordId, Scope, Stamp, Time, TrackerId};

use crate::exchange::{Ask, Told};
use crate::row::{LogRow, VerifiedRow};
use crate::vector::Vector;

/// Another tracker of the list, as this process knows it: a slot that its shell gives to each entry of the list when it
/// first sees it, and never to another one. It means nothing to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// One submission that waits for its answer. The shell chooses the number and uses it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One batch of rows on its way to the own disk or to another tracker. The replica chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// One request of another tracker that waits for its answer. The shell chooses the number and uses it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// One question to the own store or to another tracker. The replica chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// Every deadline and maximum of a replica.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A push that is not acknowledged by then makes the other tracker a suspect; no submission waits longer
    /// for others once it is on the own disk.
    pub push_timeout: Duration,
    /// Between two pulls from one tracker.
    pub pull_interval: Duration,
    /// A pull without an answer by then has failed.
    pub pull_timeout: Duration,
    /// Rows in one push.
    pub push_rows_max: usize,
    /// Record bytes in one push (a single row may exceed it).
    pub push_bytes_max: usize,
    /// Rows in the answer to one pull.
    pub pull_rows_max: usize,
    /// Record bytes in the answer to one pull.
    pub pull_bytes_max: usize,
    /// Own rows kept in memory for pushing. Whoever is further behind pulls.
    pub tail_rows_max: usize,
    /// Record bytes of the rows kept for pushing.
    pub tail_bytes_max: usize,
    /// Rows whose ids are remembered, to recognise a record that was submitted twice at nearly the same time.
    pub recent_rows_max: usize,
    /// Alarms that are remembered, so as not to be raised again.
    pub alarms_max: usize,
    /// A tracker with an empty disk takes a snapshot when it lacks more rows than this: more than one answer holds.
    pub snapshot_rows_min_empty: u64,
    /// Any other one does when it lacks more rows than this.
    pub snapshot_rows_min: u64,
    /// Commits of own rows that are at the disk at once; what is accepted meanwhile waits, is signed together and makes
    /// the next one.
    pub commits_under_way_max: usize,
    /// Own rows in one of them, the last bundle's rest apart, as long as the disk is quick: when all who write wait for one
    /// commit, nobody has anything to do meanwhile.
    pub commit_rows_max: usize,
    /// The same while it is not: better few syncs with many rows each, if with several signatures.
    pub commit_rows_max_slow: usize,
    /// A disk that takes longer for a commit, the one before it included, is not quick.
    pub commit_quick: Duration,
    /// From the start to the first comparison of digests.
    pub compare_first: Duration,
    /// Between two comparisons.
    pub compare_interval: Duration,
    /// From the end of a comparison to the next one that another tracker may ask for.
    pub compare_pause: Duration,
    /// From the end of a comparison to the next one for damaged records.
    pub mend_pause: Duration,
    /// An answer about digests or a page of a snapshot that is not there by then has failed.
    pub exchange_timeout: Duration,
    /// A clock that is further off is worth a warning.
    pub skew_max: Duration,
    /// Between two warnings about one tracker's clock.
    pub skew_interval: Duration,
}

/// See [`Limits::commit_rows_max`].
const COMMIT_ROWS_MAX: usize = 240;
/// See [`Limits::commit_rows_max_slow`].
const COMMIT_ROWS_MAX_SLOW: usize = 2_000;
/// See [`Limits::push_rows_max`].
const PUSH_ROWS_MAX: usize = 2_000;
// A quick commit's receipts are under two signatures.
const _: () = assert!(COMMIT_ROWS_MAX + BUNDLE_RECORDS_MAX <= 2 * SEALED_MAX);
// All of a commit travels in the next push: nobody answers a second one within the deadline that its submissions have.
const _: () = assert!(COMMIT_ROWS_MAX_SLOW <= PUSH_ROWS_MAX);

impl Default for Limits {
    fn default() -> Self {
        Self {
            push_timeout: Duration::from_secs(1),
            pull_interval: Duration::from_secs(1),
            pull_timeout: Duration::from_secs(5),
            push_rows_max: PUSH_ROWS_MAX,
            push_bytes_max: 4 * 1024 * 1024,
            pull_rows_max: 2_000,
            pull_bytes_max: 4 * 1024 * 1024,
            tail_rows_max: 8_192,
            tail_bytes_max: 16 * 1024 * 1024,
            recent_rows_max: 8_192,
            alarms_max: 1_024,
            snapshot_rows_min_empty: 2_000,
            snapshot_rows_min: 50_000,
            commits_under_way_max: 2,
            commit_rows_max: COMMIT_ROWS_MAX,
            commit_rows_max_slow: COMMIT_ROWS_MAX_SLOW,
            commit_quick: Duration::from_millis(40),
            compare_first: Duration::from_secs(300),
            compare_interval: Duration::from_secs(3_600),
            compare_pause: Duration::from_secs(600),
            mend_pause: Duration::from_secs(10),
            exchange_timeout: Duration::from_secs(10),
            skew_max: Duration::from_secs(5),
            skew_interval: Duration::from_secs(60),
        }
    }
}

/// What a replica starts from.
pub struct Config {
    /// This tracker.
    pub tracker: TrackerId,
    /// Random and new at each boot: an origin never says two things, even after a restored backup.
    pub incarnation: u64,
    /// All other trackers of the list, as it is now.
    pub peers: Vec<PeerId>,
    /// The cluster key, which signs receipts.
    pub signing_key: SigningKey,
    /// What the own disk holds.
    pub vector: Vector,
    /// The clock's last persisted reading.
    pub last_stamp: Stamp,
    /// Deadlines and maxima; `Limits::default()` outside tests.
    pub limits: Limits,
}

/// A row that found its place on the disk taken: by another record, or by its own under another stamp.
#[derive(Clone, Debug)]
pub struct Twin {
    /// The record that holds the place.
    pub ours: RecordId,
    /// The row.
    pub row: VerifiedRow,
    /// Its record has a place, this or another one: only the alarm is left to be raised.
    pub placed: bool,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A client's bundle, verified and admitted. It is answered when it is as durable as it can be now.
    Submit {
        /// Named in the answer.
        ticket: Ticket,
        /// Records that the store lacks, or has without a place that the vector covers; they enter the log together.
        records: Vec<Arc<Record>>,
        /// Lowest receipts of the others: the bundle was submitted before.
        known: Vec<Receipt>,
    },
    /// The list names one more tracker. One that is known already changes nothing.
    PeerAdded {
        /// Its slot.
        peer: PeerId,
    },
    /// The list does not name this tracker any more: nobody waits for it, and it does not count.
    PeerRemoved {
        /// Its slot.
        peer: PeerId,
    },
    /// The disk holds this batch and all batches before it.
    Persisted {
        /// The last of them.
        batch: BatchId,
    },
    /// Rows that the disk took, but not at their place. Before [`Input::Persisted`] for the batch in which they were.
    TwinsKept {
        /// Which, and what holds their places.
        twins: Vec<Twin>,
    },
    /// Another tracker pushes.
    PushReceived {
        /// Which one, if it is known to be one of the list.
        from: Option<PeerId>,
        /// Its rows.
        rows: Vec<VerifiedRow>,
        /// Named in the [`Output::PushReply`].
        reply: ReplyId,
    },
    /// Our push was answered.
    PushAcked {
        /// By whom.
        peer: PeerId,
        /// Which push.
        batch: BatchId,
        /// What its disk holds.
        vector: Vector,
    },
    /// Our push did not get through.
    PushFailed {
        /// To whom.
        peer: PeerId,
        /// Which push.
        batch: BatchId,
    },
    /// Another tracker pulls.
    PullReceived {
        /// Which one, if it is known to be one of the list.
        from: Option<PeerId>,
        /// What its disk holds.
        vector: Vector,
        /// Named in the [`Output::PullReply`].
        reply: ReplyId,
    },
    /// Our pull was answered.
    PullAnswered {
        /// By whom.
        peer: PeerId,
        /// What we lack, contiguous per origin.
        rows: Vec<VerifiedRow>,
        /// There is more than it sent.
        more: bool,
        /// It cannot serve all that we lack from its log: a snapshot brings it.
        snapshot: bool,
        /// What its disk holds.
        vector: Vector,
        /// Its wall clock when it answered, milliseconds since the Unix epoch.
        unix_ms: u64,
    },
    /// Our pull did not get through.
    PullFailed {
        /// To whom.
        peer: PeerId,
    },
    /// The store read what [`Output::LoadRows`] asked for. If it could not, the shell refuses the pull itself.
    RowsLoaded {
        /// The pull that it is for.
        reply: ReplyId,
        /// Contiguous per origin.
        rows: Vec<LogRow>,
        /// There is more than fits.
        more: bool,
        /// The asker lacks rows that the log does not hold: see [`Output::Adopt`].
        snapshot: bool,
    },
    /// Compare digests with every other tracker now; a round that runs already is finished first.
    CompareNow {
        /// Named in [`Output::Compared`]; `None` when nobody waits for it.
        ticket: Option<Ticket>,
        /// Records that the store has and cannot read: they are fetched whatever the digests say.
        damaged: Vec<RecordId>,
    },
    /// The own store answers an [`Output::Look`].
    Looked {
        /// Which.
        exchange: ExchangeId,
        /// `None`: it could not be read.
        told: Option<Told>,
    },
    /// The own store was scrubbed as [`Output::Scrub`] asked.
    Scrubbed {
        /// Which.
        exchange: ExchangeId,
        /// Where to go on, and how many digests were put right; `None`: it could not be read.
        found: Option<(Option<Scope>, u64)>,
    },
    /// Another tracker answers an [`Output::Ask`].
    Told {
        /// Who.
        peer: PeerId,
        /// Which.
        exchange: ExchangeId,
        /// Its rows verified; `None`: it did not answer, or not what was asked.
        told: Option<Told<VerifiedRow>>,
    },
    /// Somebody waits for what other trackers have: ask all of them at once.
    PullNow,
    /// The process ends in good order: what has its number goes to the disk, however much that has to do. Drain once more.
    Stopping,
    /// The time of the last [`Output::WakeAt`] has come.
    Timeout,
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Output {
    /// Write rows, vector and clock in one durable transaction, batches in their order, then
    /// [`Input::Persisted`]. A batch that cannot be written ends the process.
    Persist {
        /// Ascending.
        batch: BatchId,
        /// Each continues its origin without a gap.
        rows: Vec<VerifiedRow>,
        /// The clock's reading.
        last_stamp: Stamp,
    },
    /// Write genuine rows wherever they stand, below the vector or above it, in one durable transaction that leaves the
    /// vector alone; in its turn among the batches, then [`Input::Persisted`].
    Keep {
        /// Ascending, one sequence with [`Output::Persist`].
        batch: BatchId,
        /// Of any origins.
        rows: Vec<VerifiedRow>,
    },
    /// Raise the vector to cover this one, durably; in its turn among the batches, then [`Input::Persisted`]. Of the
    /// origins that it moves, the log holds only some rows up to there (the lowest receipts): who lacks others cannot be
    /// served from it.
    Adopt {
        /// Ascending, one sequence with [`Output::Persist`].
        batch: BatchId,
        /// Every record in it has been kept.
        vector: Vector,
    },
    /// Make the digests of some scopes true to what can be read, behind this one, then [`Input::Scrubbed`].
    Scrub {
        /// Named in the answer.
        exchange: ExchangeId,
        /// Scopes up to this one are done.
        after: Option<Scope>,
    },
    /// Put a question to the own store, then [`Input::Looked`].
    Look {
        /// Named in the answer.
        exchange: ExchangeId,
        /// The question.
        ask: Ask,
    },
    /// Put a question to another tracker, then [`Input::Told`].
    Ask {
        /// To whom.
        peer: PeerId,
        /// Named in the answer.
        exchange: ExchangeId,
        /// The question.
        ask: Ask,
    },
    /// A round of comparisons is over.
    Compared {
        /// Who waited for it.
        tickets: Vec<Ticket>,
        /// Own scopes whose digest did not fit what could be read.
        corrected: u64,
        /// One for each other tracker.
        peers: Vec<Comparison>,
    },
    /// Send rows to another tracker, then [`Input::PushAcked`] or [`Input::PushFailed`].
    Push {
        /// To whom.
        peer: PeerId,
        /// Named in the answer.
        batch: BatchId,
        /// Own rows, in order.
        rows: Vec<LogRow>,
    },
    /// Ask another tracker for what we lack, then [`Input::PullAnswered`] or [`Input::PullFailed`].
    Pull {
        /// Whom.
        peer: PeerId,
        /// What our disk holds.
        vector: Vector,
    },
    /// Read rows beyond a vector from the store, contiguous per origin, then [`Input::RowsLoaded`].
    LoadRows {
        /// The pull that it is for.
        reply: ReplyId,
        /// What the other tracker has.
        after: Vector,
        /// At most so many rows.
        limit_rows: usize,
        /// At most so many record bytes, but at least one row.
        limit_bytes: usize,
    },
    /// Answer a push: what it brought is on our disk.
    PushReply {
        /// Which.
        reply: ReplyId,
        /// What our disk holds.
        vector: Vector,
    },
    /// Answer a pull.
    PullReply {
        /// Which.
        reply: ReplyId,
        /// Contiguous per origin.
        rows: Vec<LogRow>,
        /// There is more.
        more: bool,
        /// A snapshot must bring the rest.
        snapshot: bool,
        /// What our disk holds.
        vector: Vector,
    },
    /// Answer a submission.
    Answer {
        /// Which.
        ticket: Ticket,
        /// The highest stamp of its records.
        stamp: Stamp,
        /// On how many trackers' disks it is known to be, this one included.
        durable_on: u32,
        /// How many trackers there are.
        of: u32,
        /// Where its records stand: whoever has this much of the log has them.
        places: Vector,
    },
    /// These rows are on the disk: views may change. None at all: only the vector moved, by [`Output::Adopt`].
    Applied {
        /// In the order in which they were persisted.
        rows: Vec<VerifiedRow>,
    },
    /// A tracker does not take part in acknowledgements any more.
    Suspect {
        /// Which.
        peer: PeerId,
    },
    /// It does again.
    Recovered {
        /// Which.
        peer: PeerId,
    },
    /// Another tracker's wall clock is off.
    ClockSkew {
        /// Which.
        peer: PeerId,
        /// How far it is ahead (negative: behind) of ours, in milliseconds, the network's delay included.
        ms: i64,
    },
    /// One origin gave one number to two records, or to one at two times: two trackers run from one copied disk, or the
    /// key leaked. Both records are kept; the second one enters our own log. Told once of each.
    Equivocation {
        /// Whose log.
        origin: Origin,
        /// Which number.
        seq: u64,
        /// The record that we hold under it (`None`: the number is one of our own, not given out yet), and the
        /// other.
        ids: (Option<RecordId>, RecordId),
    },
    /// Nothing left to do now: come back with the next input, at the latest at this time with
    /// [`Input::Timeout`].
    WakeAt(Option<Time>),
}

/// What a replica knows about itself and the others, for logs, metrics and people.
#[derive(Clone, Debug)]
pub struct Status {
    /// This run of this tracker.
    pub origin: Origin,
    /// Rows on their way to the disk.
    pub staged_rows: usize,
    /// Submissions without an answer.
    pub waiting: usize,
    /// One per other tracker.
    pub peers: Vec<PeerReport>,
    /// Log positions that were seen to hold two records, since the start: see [`Output::Equivocation`].
    pub equivocations: u64,
    /// From whom a snapshot is being taken.
    pub snapshot_from: Option<PeerId>,
}

/// What a comparison of digests with one tracker found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// With whom.
    pub peer: PeerId,
    /// What.
    pub outcome: Outcome,
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both hold the same, but for rows that are on their way.
    Equal,
    /// They did not.
    Differed {
        /// Records that our disk had lost and has again. Not the other record of a place that it keeps.
        repaired: u64,
        /// Records that the other one lost; it was told, and fetches them itself.
        lacks: u64,
    },
    /// There was nothing to compare with.
    Failed(CompareFault),
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareFault {
    /// The environment: it is down, out of reach or too slow.
    #[error("it does not answer")]
    Unreachable,
    /// It answered something else than it was asked.
    #[error("its answers do not fit together")]
    Confused,
    /// It left the list meanwhile.
    #[error("it left the list")]
    Removed,
    /// The environment: the own database cannot be read.
    #[error("this tracker cannot read its own database")]
    OwnStore,
}

/// What a replica knows about another tracker.
#[derive(Clone, Debug)]
pub struct PeerReport {
    /// Which.
    pub peer: PeerId,
    /// It missed a deadline and has not recovered.
    pub suspected: bool,
    /// Rows that we have and it, as far as we know, has not.
    pub lacks_rows: u64,
    /// Rows that it has and we have not.
    pub ahead_rows: u64,
    /// Its wall clock against ours, in milliseconds, at the last pull.
    pub skew_ms: Option<i64>,
}
