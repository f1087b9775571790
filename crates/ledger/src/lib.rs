//! Facts are signed records: what they look like, who may state them, and what a set of them means.
//!
//! Bytes from outside become a [`Record`] only through [`Record::decode`], or [`Unverified`] for many at once, which
//! check everything that needs no context. A tracker adds a [`Receipt`]; record and lowest receipt together are a [`Fact`], and a scope's
//! facts form a grow-only set ([`Facts`]), so that merging two trackers is a set union. Views
//! ([`AccountView`], [`GroupView`], names) are pure functions of those sets: authority is decided there and
//! never stored. [`admit_account`] and [`admit_group`] ask, for a client's submission only, whether it would
//! take effect.
//!
//! Nothing here does I/O, reads a clock or draws random numbers.

mod account;
mod admit;
mod body;
mod facts;
mod fork;
#[doc(hidden)]
pub mod fuzzing;
mod lineage;
mod names;
mod receipt;
mod record;
mod refusal;
mod seal;
mod signature;
mod view;

pub use account::{AccountView, Accounts, Device, NameClaim};
pub use admit::{
    ACCOUNT_NAMES_MAX, ACCOUNT_RECORDS_MAX, admit_account, admit_group, admit_invite_at, admit_to_more_groups,
};
pub use body::{Body, HEADS_MAX, Kind, LABEL_BYTES_MAX, device_label, invite_proof};
pub use facts::{Fact, Facts, Rank};
pub use fork::Fork;
pub use names::{
    Claim, GroupClaim, Holder, NameTable, Winner, settle_group_name, settle_user_name, shown_name,
};
pub use receipt::{Order, Origin, Receipt};
pub use record::{Draft, FOUNDING, Record, RecordFault, Unverified, VERSION};
pub use refusal::Refusal;
pub use seal::{SEALED_MAX, Seal, SealFault, Sealed};
pub use signature::{CheckedKey, KeyCache, SignatureCheck};
pub use view::{
    Admin, AuditEntry, FileView, GroupView, InviteState, InviteView, Member, Request, Role, ShareView,
    Standing, Void, audit, outline,
};
