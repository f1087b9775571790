//! The member's side: sessions, shares, transports, disk
