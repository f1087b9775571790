//! The engine that decides which block is asked of which peer: one [`Swarm`] owns one torrent.
//!
//! Sans-IO: `node` (or a simulation) feeds [`Input`]s with the time, then drains [`Swarm::poll`] until
//! [`Output::WakeAt`]. Nothing here touches a socket, file, clock or ambient randomness, and the same inputs
//! with the same seed give the same outputs.
//!
//! Data flow: peers' messages and finished blocks come in → `events` and `blocks` update who has what
//! (`picker`, `peers`) and what is under way (`partial`) → peers that could ask for more are queued as
//! *hungry* → `poll` lets `schedule` fill their pipelines to the depth that `pipeline` measured. The other way round
//! `uploads` decides who is served and, for a seeder, with what (`offers`).
//!
//! Cost: a block costs O(1) and allocates nothing in the steady state; what is proportional to the number of
//! peers happens once per piece; what is proportional to the number of pieces happens once per bitfield or
//! disconnect, and at most once per poll.
//!
//! Whoever waits for nothing is not looked at: deadlines are ordered in time (`timers`), those who wait for a slot by how
//! long they have waited (`uploads`). When a file is complete, `dwell` says how long others still need us.
//! Who sends wrong data is named by the shell, and kept out for a while by [`Bans`].

mod api;
mod bans;
mod blocks;
mod dwell;
mod engine;
mod events;
mod invariants;
mod layout;
mod offers;
mod partial;
mod peers;
mod picker;
mod pipeline;
mod priorities;
mod rng;
mod schedule;
mod stealing;
mod timers;
mod uploads;

pub use api::{
    CONNECTIONS_MAX, Config, Input, Limits, Output, PeerFault, PeerKey, PeerKind, PeerStats, Priority, Rank,
};
pub use bans::{BAN_FIRST, Bans};
pub use engine::Swarm;
pub use layout::Layout;
