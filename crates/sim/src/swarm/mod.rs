//! Swarms: thousands of machines, each with the real [`peerage_swarm::Swarm`], and what becomes of a file that one of
//! them has.
//!
//! # What is modelled
//!
//! * Every message of the engine, with the delay of two access lines; every block of 16 KiB. Between an uplink and the
//!   receiver's downlink a connection has at most `transfer`'s window under way, so a slow receiver does not block
//!   others. An uplink sends one block of each connection in turn: what TCP connections do that share a bottleneck.
//! * What `node` does around the engine: whom a tracker names, dialling, the cap on connections, parting of complete
//!   peers, hashing and writing, leaves that come late, bans, a request queue for each connection that knows nothing of
//!   the others.
//! * People: flash crowds, churn, a seeder that goes, slow lines, free riders, poisoners.
//!
//! A transfer is a row of blocks and not a rate that is shared anew with each change (*fluid*), because the engine counts
//! blocks: depth, stealing, endgame and cancels would have to be invented otherwise. A block costs three events in a
//! ring of ticks of half a millisecond; with 1,000 peers, 300 pieces of 16 blocks and 96 connections each that makes
//! 45 million events, most of them HAVEs, in about a minute of one core.
//!
//! # What is not
//!
//! Lost packets and TCP's slow start; small messages never wait behind blocks in a socket's buffer; the processor costs
//! nothing; TLS and message headers (0.3 %) are not counted; one access line per machine and an ideal core.
//!
//! Data flow: `world` takes events off `queue`, hands them to an engine or to `transfer`, drains the engines that were
//! touched once per tick, as `node` drains after a batch, and `measure` holds what came of it against a bound.

mod measure;
mod options;
mod peer;
mod queue;
mod svg;
mod transfer;
mod world;

pub use measure::{Bound, Report, Sample};
pub use options::{Known, Options, Tie};
pub use svg::draw;

/// Simulates one swarm until everybody has the file or nothing goes on any more.
pub fn run(options: Options) -> Report {
    let mut world = world::World::new(options);
    world.run();
    world.report()
}
