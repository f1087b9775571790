//! Wire format tests: golden bytes, round trips, hostile input, the fuzz corpus.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests stop at the first surprise"
)]

mod bitfield;
mod codec;
mod corpus;
mod handshake;
mod records;
