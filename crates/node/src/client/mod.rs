//! The member's side of the trackers: accounts, groups, shares and downloads behind one method per command.
//!
//! ```text
//!  commands ──► Session ──► Trackers (fail-over) ──► any tracker
//!     │            │  └───► Groups (verified snapshots) ──► roster, views
//!     │            └──────► OutboxFile (until two trackers have it)
//!     └──► Engine (bytes) ◄── announce (peers) ── tasks (events, completions)
//! ```
//! A [`Node`] lives as long as the program, a session from login to logout. Commands run one at a time; what happens
//! by itself arrives as a [`Notice`].

mod announce;
mod bundle;
mod catch_up;
mod cluster;
mod commands;
mod content;
mod destination;
mod dial_back;
mod downloads;
mod exchange;
mod folder;
mod forged;
mod forks;
mod format;
mod group_state;
mod hand_over;
mod invite;
mod kept;
mod last_held;
mod learn;
mod names;
mod node;
mod outbox;
mod own;
mod own_account;
mod own_list;
mod passwords;
mod pin;
mod refusal;
mod reply;
mod roster;
mod rows;
mod seen;
mod session;
mod shares;
mod snapshot;
mod tasks;
mod trackers;
mod transfers;
mod unlock;
mod usernames;

pub use crate::engine::{RATE_MIN, Rates, Scrubbed};
pub use cluster::{StartError, Trusted, trust, trusted_key};
pub use commands::download_file::DownloadOptions;
pub use commands::invite::{InviteLine, InviteTerms, Joined};
pub use commands::limits::{LimitChange, LimitLine};
pub use commands::pause_download::Cancelled;
pub use commands::revoke_device::Unsure;
pub use commands::set_priority::{FilePriority, PrioritySet};
pub use commands::upload_file::{HashReport, HashStep};
pub use folder::{FolderError, data_folder};
pub use format::{FORMAT, FormatError, look_at_format, settle_format};
pub use invite::{Invite, InviteError, InviteKey};
pub use names::{GroupRef, UserRef};
pub use node::{Node, NodeConfig};
pub use own_list::INVITE_LIST;
pub use peerage_ledger::{InviteState, Role};
pub use peerage_link::api::Reach;
pub use refusal::Refusal;
pub use reply::{
    Activity, AuditLine, Change, Changed, CloseReport, Decision, DeviceLine, DownloadDetail, DownloadLine,
    FileLine, FolderLine, GroupLine, LastHeld, Left, LoggedIn, MemberLine, MyStanding, Notice, PeerLine,
    PieceMap, PortCheck, Started, Uploaded, Whoami,
};
