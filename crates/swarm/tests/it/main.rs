//! The engine from outside: scripts of single events, a network of engines, bounds on work.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests stop at the first surprise"
)]

mod hostile;
mod model;
mod network;
mod script;
mod work;
