//! The ledger from outside: scripts for each rule, laws for generated histories, golden bytes, the fuzz corpus.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests stop at the first surprise"
)]

mod account;
mod admins;
mod admit;
mod corpus;
mod files;
mod golden;
mod group;
mod history;
mod invites;
mod laws;
mod names;
mod reference;
mod script;
mod world;
