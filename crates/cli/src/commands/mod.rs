//! The program's subcommands, one file each.

pub mod client;
pub mod cluster;
pub mod node;
pub mod tracker;
pub mod trust;
