//! Seeded simulation of the sans-IO crates, with invariant checkers.
//!
//! One seed makes a whole world: sizes, delays, faults and what clients do. The same seed gives the same trace,
//! which its hash shows, so a violation that names its seed can be looked at again and again. Every run has a
//! fault phase and then a healed phase, in which everything must finish.

pub mod cluster;
mod rng;
pub mod swarm;
mod trace;
