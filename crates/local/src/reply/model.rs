//! What listings are made of: the objects of `--json` and of the HTTP API. Fields are only ever added.
//!
//! Bytes are whole numbers; ids and hashes are lower-case hexadecimal; names are as commands take them.

mod account;
mod files;
mod groups;

pub use account::{CommandHelp, Device, Me, PortCheck, RecoveryCode};
pub use files::{
    Activity, Download, DownloadDetail, File, FolderFile, Hashing, Limit, OWN_MAP_CELLS, PIECE_MAP_CELLS,
    Peer, Scrub, SourceBytes, Started, State, Wanted,
};
pub use groups::{
    ApprovedInvite, AuditEntry, Group, Invite, InviteState, Member, MemberRole, Request, Standing,
};
