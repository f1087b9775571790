//! End-to-end tests: real processes on loopback, driven through their pipes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside #[test] functions")]

mod accounts;
mod capture;
mod changed;
mod child;
mod command_line;
mod demo;
mod docs;
mod doctor;
mod double;
mod durable;
mod failover;
mod folders;
mod format;
mod get;
mod hostile;
mod invites;
mod last_holder;
mod learn;
mod leave;
mod limits;
mod membership;
mod node;
mod operators;
mod packaging;
mod page;
mod partition;
mod reach;
mod refusals;
mod registration;
mod resume;
mod roles;
mod rot;
mod scrub;
mod sparse;
mod stranger;
mod transcript;
mod witness;
mod world;
