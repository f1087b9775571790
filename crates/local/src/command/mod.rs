//! Commands: which there are, and how words become one of them.

mod about;
mod parse;
mod rate;
mod spec;
mod split;

use std::path::PathBuf;
use std::time::Duration;

use peerage_node::client::{
    DownloadOptions, FilePriority, GroupRef, Invite, InviteTerms, LimitChange, Unsure, UserRef,
};
use peerage_types::Name;

pub use parse::{HERE, ParseError, as_folder, command_word, files_and_place, from_object, parse};
pub use spec::{Arg, Kind, Opt, SHORT_NAMES, SPECS, Spec, help_lines};
pub use split::{quote, split};

/// A parsed command line. [`SPECS`] says of each what it does.
#[expect(missing_docs, reason = "the variants are the commands of SPECS, the fields their arguments")]
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    CreateUser { user: Name, password: Password, code: Option<Password> },
    Login { user: UserRef, password: Password },
    ChangePassword { old: Password, new: Password },
    ClaimName { name: Name, password: Password },
    ListDevices,
    RevokeDevice { device: String, password: Password, unsure: Unsure },
    RecoveryCode { password: Password },
    Recover { user: UserRef, code: Password, password: Password },
    Logout,
    Whoami,
    CheckPort,
    CreateGroup { group: Name },
    JoinGroup { group: GroupRef },
    Invite { group: GroupRef, terms: Option<InviteTerms> },
    Invites { group: GroupRef },
    WithdrawInvite { group: GroupRef, invite: String },
    Join { invite: Invite },
    JoinAndWait { invite: Invite, timeout: Option<Duration> },
    LeaveGroup { group: GroupRef },
    ListGroups,
    ListMembers { group: GroupRef },
    ListRequests { group: GroupRef },
    AcceptRequest { group: GroupRef, user: UserRef },
    RejectRequest { group: GroupRef, user: UserRef },
    Kick { group: GroupRef, user: UserRef },
    GrantAdmin { group: GroupRef, user: UserRef },
    RevokeAdmin { group: GroupRef, user: UserRef },
    HandOver { group: GroupRef, user: UserRef },
    CloseGroup { group: GroupRef },
    Audit { group: GroupRef },
    ListFiles { group: GroupRef, part: Part },
    ListFolder { group: GroupRef, file: String },
    UploadFile { path: PathBuf, group: GroupRef },
    StopShare { group: GroupRef, file: String },
    DownloadFile { group: GroupRef, file: String, destination: String, options: DownloadOptions },
    PauseDownload { group: GroupRef, file: String },
    ResumeDownload { group: GroupRef, file: String },
    CancelDownload { group: GroupRef, file: String },
    SetPriority { group: GroupRef, file: String, priority: FilePriority, only: Vec<String> },
    Scrub { group: GroupRef, file: String },
    SetLimits { group: Option<GroupRef>, change: LimitChange },
    ShowLimits,
    ForgetDownload { group: GroupRef, file: String },
    ShowDownloads,
    ShowDownload { group: GroupRef, file: String },
    ListPeers { group: GroupRef, file: String },
    Wait { what: Option<(GroupRef, String)>, timeout: Option<Duration> },
    Several(Vec<Command>),
    Help,
    Exit,
}

/// Which part of a long listing is wanted, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Only what has this in its name, in upper or lower case.
    pub search: String,
    /// Ordered by this.
    pub sort: Sort,
    /// From the other end.
    pub reverse: bool,
    /// So many of the first are left out.
    pub from: usize,
    /// At most so many; all if nothing is said.
    pub limit: Option<usize>,
}

/// What a listing of files is ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// As the group has them.
    #[default]
    Listed,
    /// By name, in upper or lower case.
    Name,
    /// The smallest first.
    Size,
    /// Those with the fewest sharers online first.
    Sharers,
}

/// A password or recovery code on its way: never printed.
#[derive(PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}
