//! The member's side: sessions, shares, transports, disk.
//!
//! [`engine`] moves bytes between members' devices and knows nothing of trackers or accounts; [`client`] talks
//! to the trackers, owns an engine for each login, and tells it who is a member and where peers are.

pub mod client;
pub mod engine;
