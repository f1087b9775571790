//! Replies: what a command answered, in words and as JSON; and what happens by itself.

pub mod human;
pub mod model;
mod notice;
mod outcome;
mod words;

pub use notice::{close_lines, notice_group, notice_kind, notice_line};
pub use outcome::{Done, Failed, Item, Outcome, Shown, detailed, json, note_stale, plain, shown};
pub(crate) use words::Known;
pub use words::{as_subcommands, outside_shell};
