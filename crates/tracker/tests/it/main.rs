//! Trackers in this process, driven through the real client connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]

mod accounts;
mod cluster;
mod groups;
mod hostile;
mod metainfo;
mod presence;
mod start;
mod world;
