//! Replication between trackers as a pure state machine.
//!
//! A tracker's shell feeds [`Replica`] with submissions, with what the disk finished and with what the other
//! trackers said; it carries out what [`Replica::poll`] asks for. Data flows one way: submitted or received rows
//! are *staged*, persisted in one transaction, and only then applied to views, acknowledged and passed on.
//!
//! Beside the log there is what trackers share without keeping it ([`Presence`]), the running digest by which
//! they compare scopes ([`Digest`], [`Ask`]), and the client's side of the acknowledgement rule ([`Outbox`]).
//!
//! Nothing here does I/O, reads a clock or draws random numbers.

mod compare;
mod digest;
mod exchange;
mod hlc;
mod io;
mod log;
mod outbox;
mod peer;
mod presence;
mod replica;
mod row;
mod snapshot;
mod vector;
mod walk;

pub use digest::Digest;
pub use exchange::{
    Ask, FACTS_PAGE_MAX, Place, ROWS_PAGE_BYTES_MAX, ROWS_PAGE_MAX, SCOPES_PAGE_MAX, SCRUB_RECORDS_MAX, Told,
};
pub use hlc::{ADOPT_AHEAD_MAX, Hlc};
pub use io::Config;
pub use io::{
    BatchId, CompareFault, Comparison, ExchangeId, Input, Limits, Outcome, Output, PeerId, PeerReport,
    ReplyId, Status, Ticket, Twin,
};
pub use outbox::{Bundle, BundleId, Outbox, OutboxError, durable_enough};
pub use presence::{
    ANNOUNCE_INTERVAL, DEVICE_SWARMS_MAX, PRESENCE_ENTRIES_MAX, Presence, PresenceApplied, PresenceChange,
    PresenceEntry, PresenceFull, PresenceState, PresenceUpdate, SwarmKey, SwarmSummary,
};
pub use replica::Replica;
pub use row::{LogRow, RowFault, VerifiedRow};
pub use vector::Vector;
