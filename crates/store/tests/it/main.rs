//! The conformance suite of [`peerage_store::Store`], and what only SQLite has to show.

// Helpers outside `#[test]` functions fail a test by panicking, too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod conformance;
mod mending;
mod rows;
mod sqlite;
