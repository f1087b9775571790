//! Replies: what a command answered, in words and as JSON.

pub mod human;
pub mod model;
mod outcome;

pub use outcome::{Done, Failed, Item, Outcome, detailed, json, note_stale, plain};
