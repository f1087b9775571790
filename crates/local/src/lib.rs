//! What a person or a program on this machine can ask of a node.
//!
//! ```text
//! line of the shell ─┐
//! subcommand ────────┼─ command (parse) ─ run (on the node) ─ reply (lines, JSON)
//! HTTP, web page ────┘
//! ```
//!
//! One table, [`command::SPECS`], says which commands there are; the shell's help and completion, the subcommands, the
//! HTTP API and its description are made of it.

pub mod client;
pub mod command;
pub mod desktop;
pub mod home;
pub mod http;
pub mod reply;
mod run;

pub use run::{IN_GROUP, list_part, run};
