//! The tracker: HTTP API over TLS, OPAQUE server and the async shell of the replica.
//!
//! [`run()`] is the whole interface. Requests come in through `accept` and `routes`; what they read are `views`, loaded
//! from the store and kept up to date by applied rows; what they write goes through `admission` to the one task that
//! owns the replica (`replica_shell`), from there to the writer thread and to the other trackers (`neighbour`), and
//! comes back as applied rows and notices to connected sessions. `reload` follows the tracker list. Presence goes beside all that, in memory only.
//!
//! Absent on purpose: files, passwords, private keys of people, sessions (the TLS client key is the session), and any
//! decision about authority that is not a ledger view.

mod accept;
mod activity;
mod admission;
pub mod backup;
mod body;
mod clock;
mod config;
mod error;
mod folder;
mod gate;
mod ground;
mod invitations;
mod keeper;
mod lanes;
mod limits;
mod mend;
mod metainfo_slots;
mod metrics;
mod monitor;
mod names;
mod neighbour;
mod neighbours;
mod notices;
mod observe;
mod places;
mod presence_shell;
mod rate;
mod reload;
mod replica_shell;
mod ripples;
mod routes;
mod run;
mod session;
mod state;
mod verifier;
mod views;
mod writer;

pub use config::{Resume, Started, TrackerConfig, TrackerError};
pub use folder::FolderError;
pub use reload::{Reload, Reloaded};
pub use run::{run, run_behind};
