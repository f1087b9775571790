//! One replica between scripted neighbours. The simulator (`peerage-sim`) lets several of them loose on each other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the report")]

mod exchanges;
mod rules;
mod script;
