//! Trackers in this process, driven through the real client connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

mod abuse;
mod accounts;
mod cluster;
mod fresh;
mod groups;
mod hostile;
mod mending;
mod metainfo;
mod presence;
mod proxy;
mod raw;
mod reach;
mod start;
mod world;
