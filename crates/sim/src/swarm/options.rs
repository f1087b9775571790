//! What a run is made of.

use std::time::Duration;

/// Who breaks ties between pieces of equal rarity, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// Ring distance from a shard of one's own.
    Ring,
    /// At random.
    Random,
    /// The lowest index, the same for everybody.
    Sequential,
}

impl Tie {
    /// All of them, with their names on the command line.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Ring, "ring"), (Self::Random, "random"), (Self::Sequential, "sequential")];
}

/// Whom a tracker names to somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A few who follow at each of sixteen places on the ring of device ids, as our trackers do.
    Spread,
    /// Those who follow on the ring.
    Ring,
    /// Anybody.
    Random,
}

impl Known {
    /// All of them, with their names on the command line.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Spread, "spread"), (Self::Ring, "ring"), (Self::Random, "random")];
}

/// One run. The same options give the same run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who lacks everything at the beginning.
    pub peers: u32,
    /// Pieces of the file.
    pub pieces: u32,
    /// Blocks of 16 KiB in a piece.
    pub piece_blocks: u32,
    /// Makes everything that is left to chance.
    pub seed: u64,
    /// Uplink of the seeder, and of everybody if they are equal, bytes per second.
    pub up: u64,
    /// Everybody's downlink, bytes per second.
    pub down: u64,
    /// Uplinks between a quarter of `up` and 1.75 times that.
    pub unequal: bool,
    /// Largest one-way delay of one access line; a path has two of them.
    pub latency_max: Duration,
    /// Connections that one peer has at the most.
    pub connections: u32,
    /// How peers find each other.
    pub known: Known,
    /// How equally rare pieces are chosen.
    pub tie: Tie,
    /// Peers that are served at the same time while the uplink is the bottleneck.
    pub upload_slots: u32,
    /// The same if some take little.
    pub upload_slots_max: u32,
    /// Standard clients that are served at the same time.
    pub standard_slots: u32,
    /// What one of them gets before it is another's turn.
    pub upload_turn_bytes: u64,
    /// Whether seeders say which piece they would like to send.
    pub suggest: bool,
    /// The seeder goes when it has sent this many hundredths of the file.
    pub seeder_leaves_percent: Option<u32>,
    /// Leechers that go at a random moment and come back, in percent.
    pub churn_percent: u32,
    /// Leechers that go for good when they are complete, in percent.
    pub leave_when_complete_percent: u32,
    /// Whether those stay until their engine says that they may leave.
    pub dwell: bool,
    /// Uplink of the seeder, if it is another than `up`.
    pub seeder_up: Option<u64>,
    /// Leechers with a tenth of the uplink and of the downlink, in percent.
    pub slow_percent: u32,
    /// Leechers that send nothing, in percent.
    pub free_rider_percent: u32,
    /// Leechers that speak none of our extensions and serve others tit for tat, in percent.
    pub standard_percent: u32,
    /// Poisoners beside the leechers, in percent of these.
    pub poisoner_percent: u32,
    /// Peers beside the leechers that claim to have pieces and never send one, in percent of these.
    pub liar_percent: u32,
    /// Peers beside the leechers that send one block every half a minute, in percent of these.
    pub dripper_percent: u32,
    /// Whether an idle peer takes blocks over from slow ones, and copies blocks in the endgame.
    pub steal: bool,
    /// Leechers come one by one within this time; zero is a flash crowd.
    pub arrivals: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            peers: 64,
            pieces: 300,
            piece_blocks: 16,
            seed: 0,
            up: 2_500_000,
            down: 12_500_000,
            unequal: false,
            latency_max: Duration::from_millis(20),
            connections: peerage_swarm::CONNECTIONS_MAX,
            known: Known::Spread,
            tie: Tie::Ring,
            upload_slots: peerage_swarm::Limits::default().upload_slots,
            upload_slots_max: peerage_swarm::Limits::default().upload_slots_max,
            standard_slots: peerage_swarm::Limits::default().standard_slots,
            upload_turn_bytes: peerage_swarm::Limits::default().upload_turn_bytes,
            suggest: true,
            seeder_leaves_percent: None,
            churn_percent: 0,
            leave_when_complete_percent: 0,
            dwell: true,
            seeder_up: None,
            slow_percent: 0,
            free_rider_percent: 0,
            standard_percent: 0,
            poisoner_percent: 0,
            liar_percent: 0,
            dripper_percent: 0,
            steal: true,
            arrivals: Duration::ZERO,
        }
    }
}
