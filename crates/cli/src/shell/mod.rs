//! The classroom's shell: one line, one command, one reply.
//!
//! [`pipe`] and [`terminal`] read lines, [`run`] runs them on the node.

mod complete;
pub mod pipe;
mod run;
pub mod terminal;
