//! Every way in which a command can fail, with the exact first line that people and scripts know.
//!
//! [`Refusal`]'s `Display` is the reply's first line, [`Refusal::hint`] its optional second line,
//! [`Refusal::exit_code`] what a process that ran only this command ends with.

use std::path::PathBuf;

use peerage_link::recovery::CodeError;
use peerage_types::{ContentId, NameError};

use super::invite::InviteError;

/// Why a command was refused. A refused command leaves everything as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `create_user` with a taken name.
    #[error("User already exists!")]
    UserExists,
    /// `login` with an unknown name.
    #[error("User does not exist")]
    UserUnknown,
    /// `login` with a password that does not open the account.
    #[error("Wrong password")]
    WrongPassword,
    /// `login` with a plain name by somebody who lost it, with the right password for what they are called now.
    #[error("The name `{name}` belongs to another account since {since}; yours is `{yours}` now")]
    NameLost {
        /// The name.
        name: String,
        /// Since when, as people read it.
        since: String,
        /// `name#tag` of the account that the password opens.
        yours: String,
    },
    /// `login` with a wrong password, under a name that several accounts chose.
    #[error("Wrong password")]
    WrongPasswordOfMany {
        /// The name.
        name: String,
        /// `name#tag` of some that lost it.
        others: Vec<String>,
    },
    /// `change_password` or `recover` while another device did the same, and `login` with what came to nothing.
    #[error("Password change superseded: another device changed the password first")]
    PasswordSuperseded,
    /// `claim_name` with somebody else's name.
    #[error("This name is taken")]
    NameTaken,
    /// `claim_name` with the name in use.
    #[error("This is your name already")]
    NameYours,
    /// `revoke_device` of something that is none.
    #[error("No such device")]
    DeviceUnknown,
    /// `revoke_device` with the beginning of several ids.
    #[error("`{given}` begins several devices: {}", .choices.join(", "))]
    SeveralDevices {
        /// As given.
        given: String,
        /// Their tags.
        choices: Vec<String>,
    },
    /// `revoke_device` of the device in use.
    #[error("This is the device you are using")]
    ThisDevice,
    /// `revoke_device` a second time.
    #[error("This device was removed before")]
    DeviceGone,
    /// Any command on a device that another one has removed.
    #[error("This device was removed from your account")]
    DeviceRemoved,
    /// `recover` with a text that is no code.
    #[error("This is not a recovery code: {0}")]
    NoCode(CodeError),
    /// `recover` with another account's code, or an older one.
    #[error("Wrong recovery code")]
    WrongCode,
    /// `recover` of an account that has no code.
    #[error("This account has no recovery code")]
    NoRecovery,
    /// `recovery_code` while another device did the same.
    #[error("Another device made a recovery code at the same time")]
    CodeSuperseded,
    /// A second login in this program, or of this account on this machine.
    #[error("You are already logged in!")]
    AlreadyLoggedIn,
    /// A command that needs a session.
    #[error("Please login first")]
    NotLoggedIn,
    /// `create_group` with a taken name.
    #[error("Group already exists!")]
    GroupExists,
    /// No group has this name.
    #[error("No such group")]
    GroupUnknown,
    /// The caller is no member.
    #[error("You are not in this group")]
    NotMember,
    /// The caller has asked to join, and nobody has answered.
    #[error("You are not in this group")]
    NotMemberYet,
    /// The caller may not decide about members.
    #[error("You are not the owner of this group")]
    NotOwner,
    /// `join_group` while a request waits.
    #[error("You have already asked to join")]
    AlreadyRequested,
    /// `join_group` by a member.
    #[error("You are already in this group!")]
    AlreadyMember,
    /// `join` with an invite to another cluster's group.
    #[error("The group `{group}` is kept by other trackers than these")]
    OtherCluster {
        /// What the invite calls the group.
        group: String,
    },
    /// `join` with a text that is no invite.
    #[error("This is not an invite: {0}")]
    NoInvite(InviteError),
    /// `join` with a pre-approved invite that lets nobody in, or not this user.
    #[error("This invite cannot be used: {why}")]
    InviteOver {
        /// What the tracker said.
        why: String,
    },
    /// `join --wait` saw the request turned away, or the person put out again.
    #[error("Your request to join `{group}` was rejected")]
    JoinRejected {
        /// The group's name.
        group: String,
    },
    /// `join --wait` ran into its timeout.
    #[error("Nobody has answered your request to join `{group}` yet")]
    JoinTimeout {
        /// The group's name.
        group: String,
    },
    /// `withdraw_invite` of something that is none, or the beginning of several.
    #[error("No such invite")]
    InviteUnknown,
    /// `accept_request` or `reject_request` of somebody without a request.
    #[error("This user has not asked to join the group")]
    NotRequested,
    /// A name that several people in the group chose.
    #[error("`{name}` is what several people call themselves: {}", .choices.join(", "))]
    SeveralUsers {
        /// The name as given.
        name: String,
        /// `name#tag` of each.
        choices: Vec<String>,
    },
    /// `kick` of somebody who is no member.
    #[error("This user is not in the group")]
    NotInGroup,
    /// `kick` of the owner.
    #[error("The owner of a group cannot be kicked")]
    OwnerStays,
    /// `kick` of an admin.
    #[error("An admin of a group cannot be kicked")]
    AdminStays,
    /// `grant_admin` or `hand_over` to the owner.
    #[error("This user is the owner of the group")]
    IsOwner,
    /// `grant_admin` to an admin.
    #[error("This user is already an admin of the group")]
    AlreadyAdmin,
    /// `revoke_admin` of somebody who is none.
    #[error("This user is not an admin of the group")]
    NotAnAdmin,
    /// `upload_file` of a path that does not exist.
    #[error("No such file")]
    NoSuchPath {
        /// The path as given.
        path: PathBuf,
    },
    /// `upload_file` of a name that the group uses for something else.
    #[error("same name, other content: {ours} here, {theirs} in the group")]
    SameNameOtherContent {
        /// Content of the path that was to be shared.
        ours: ContentId,
        /// Content that the group knows under this name.
        theirs: ContentId,
    },
    /// `scrub` of what is not what was shared any more.
    #[error("`{file}` cannot be looked at: {why}")]
    ShareChanged {
        /// Its name in the group.
        file: String,
        /// For people.
        why: String,
    },
    /// `scrub` of something that is still being downloaded.
    #[error("`{file}` is not complete yet: there is nothing to look at")]
    NotComplete {
        /// Its name in the group.
        file: String,
    },
    /// `scrub` of something that is being read and checked.
    #[error("`{file}` is just being read and checked: it can be looked through when that has ended")]
    StillChecking {
        /// Its name in the group.
        file: String,
    },
    /// `get` of several names of which the group does not list all. The last of them may have been meant as a folder.
    #[error("{}: nothing was started", no_files(.words))]
    NotListed {
        /// What is no file of the group, as given.
        words: Vec<String>,
        /// The last word of all, if it is one of them.
        last: Option<String>,
    },
    /// `download_file`, `list_peers`, `stop_share` of a name the group does not list.
    #[error("No such file in the group")]
    FileUnknown,
    /// `download_file` while no sharer is online.
    #[error("Nobody is sharing this file right now")]
    NobodySharing,
    /// `stop_share` of something that this device does not share.
    #[error("You do not share this file")]
    NotSharing,
    /// `download_file` of something this device already shares.
    #[error("You already share this file")]
    AlreadyShared {
        /// Where it lies.
        path: PathBuf,
    },
    /// `download_file` of something that is on its way.
    #[error("This file is already being downloaded")]
    AlreadyDownloading {
        /// Where it goes.
        path: PathBuf,
    },
    /// Something else lies where the download should go.
    #[error("`{}` exists already ({why})", .path.display())]
    DestinationTaken {
        /// The path in the way.
        path: PathBuf,
        /// How we know that it is something else.
        why: String,
    },
    /// `download_file --only` of a single file.
    #[error("This is a single file, not a folder")]
    NotAFolder,
    /// `download_file --only` of a pattern that picks nothing.
    #[error("No file in the folder matches `{pattern}`")]
    NoMatch {
        /// The pattern as given.
        pattern: String,
        /// Paths that come near.
        close: Vec<String>,
    },
    /// `pause_download` of what is paused.
    #[error("This download is paused already")]
    AlreadyPaused,
    /// `forget_download`: it is not complete.
    #[error("This download is not complete")]
    DownloadRunning,
    /// `pause_download`, `resume_download` or `cancel_download` of what is complete.
    #[error("This download is complete")]
    DownloadComplete {
        /// Where it lies.
        path: PathBuf,
    },
    /// The destination's folder does not exist.
    #[error("No such folder: `{}`", .path.display())]
    NoSuchFolder {
        /// The missing folder.
        path: PathBuf,
    },
    /// `wait` reached its timeout.
    #[error("Timed out, {unfinished} not complete yet")]
    WaitTimeout {
        /// The downloads that are still running, as `[group] file`.
        unfinished: String,
    },
    /// `wait` saw a download without any source for a minute.
    #[error("No source for {file} for {seconds} s")]
    WaitNoSource {
        /// The download, as `[group] file`.
        file: String,
        /// How long nobody offered it.
        seconds: u64,
    },
    /// `wait` for a download that was never started here.
    #[error("No such download")]
    NoSuchDownload,
    /// `wait` for a download that ended early.
    #[error("{file}: {why}")]
    DownloadFailed {
        /// The download, as `[group] file`.
        file: String,
        /// What ended it.
        why: String,
    },
    /// A name that nobody can have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not one tracker of the list answered.
    #[error("No tracker reachable, tried {}", .tried.join(", "))]
    NoTracker {
        /// `host:port (reason)` of each.
        tried: Vec<String>,
    },
    /// A tracker was given a command's records, then none answered.
    #[error("No tracker answered any more: whether this took effect is open, tried {}", .tried.join(", "))]
    OutcomeOpen {
        /// `host:port (reason)` of each.
        tried: Vec<String>,
    },
    /// `revoke_device` while a tracker cannot say what the device wrote.
    #[error("Cannot see all that this device wrote: what only these trackers have would become void: {}", .trackers.join(", "))]
    HeadsUnknown {
        /// `host:port (reason)` of each tracker that does not say.
        trackers: Vec<String>,
    },
    /// The trackers hold another key than the one this machine trusts.
    #[error(
        "The tracker at {address} has another key than this machine trusts: expected {expected}, got {got}"
    )]
    WrongKey {
        /// The tracker's address.
        address: String,
        /// Key that is pinned, in text form.
        expected: String,
        /// Key that was presented.
        got: String,
        /// The tracker list, for the hint.
        list: PathBuf,
    },
    /// A tracker's limit.
    #[error("The tracker refused: {message}")]
    Limit {
        /// What the tracker said.
        message: String,
        /// Its advice.
        hint: Option<String>,
    },
    /// This machine could not do its part: disk, sockets.
    #[error("{0}")]
    Local(String),
    /// A tracker answered something that does not verify or make sense.
    #[error("The tracker's answer cannot be used: {0}")]
    Untrusted(String),
}

impl Refusal {
    /// The next thing to try; printed on a line of its own.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::UserExists => "choose another user id, or log in with `login <user_id> <passwd>`",
            Self::UserUnknown => "create the account first: `create_user <user_id> <passwd>`",
            Self::WrongPassword => {
                "try again, or `recover <user_id> <recovery_code> <new_passwd>`; nobody else can reset a password, \
                 not even who runs the trackers"
            }
            Self::NameLost { yours, .. } => {
                return Some(format!(
                    "`login {yours} <passwd>`; then `claim_name <name> <passwd>` gives you another name"
                ));
            }
            Self::WrongPasswordOfMany { name, others } => {
                return Some(format!(
                    "`{name}` is the account that claimed it first; who claimed it later logs in with a tag: {}",
                    others.join(", ")
                ));
            }
            Self::PasswordSuperseded => {
                "the password that was set there counts; log in with it, and change it again if you like"
            }
            Self::NameTaken => "choose another one",
            Self::DeviceUnknown | Self::DeviceGone | Self::SeveralDevices { .. } => {
                "`list_devices` shows them; the beginning of a tag or id is enough"
            }
            Self::ThisDevice => "remove it from another device; to stop sharing here, `logout` is enough",
            Self::DeviceRemoved => "`login <user_id> <passwd>` makes this a new device",
            Self::NoCode(_) => "compare it with what you wrote down; hyphens and case do not matter",
            Self::WrongCode => "only the newest code of the account opens it",
            Self::NoRecovery => {
                "nobody can set a new password for it; `recovery_code <passwd>` makes a code while you know the old one"
            }
            Self::CodeSuperseded => "use the code that was shown there, or make another one",
            Self::AlreadyLoggedIn => {
                "here or in another program on this machine; `logout` there, or choose another folder with --data"
            }
            Self::NotOwner => "`list_members <group_id>` shows who is, and who else decides as an admin",
            Self::AdminStays => "its owner first runs `revoke_admin <group_id> <user_id>`",
            Self::OwnerStays | Self::IsOwner | Self::AlreadyAdmin | Self::NotAnAdmin | Self::NotInGroup => {
                "`list_members <group_id>` shows who is what"
            }
            Self::NotLoggedIn => "`login <user_id> <passwd>`",
            Self::GroupExists => "ask to join it: `join_group <group_id>`",
            Self::GroupUnknown => "`list_groups` shows the groups there are",
            Self::NotMember => "ask to join: `join_group <group_id>`, its owner then accepts you",
            Self::NotMemberYet | Self::AlreadyRequested => {
                "your request waits for the owner or an admin, who runs `accept_request <group_id> <user_id>`; \
                 `list_groups` shows what has become of it"
            }
            Self::AlreadyMember => "`list_files <group_id>` shows what there is",
            Self::SeveralUsers { .. } => "name the one you mean with the tag that they tell you",
            Self::OtherCluster { .. } => {
                "each data folder belongs to one set of trackers: `peerage up --data DIR <invite>` with another folder"
            }
            Self::NoInvite(_) => "copy all of it, from `peerage:` to its end",
            Self::JoinRejected { .. } => "whoever is turned away may ask again: `join_group <group_id>`",
            Self::JoinTimeout { .. } => {
                "the request stays; the same command goes on waiting, `list_groups` shows what has become of it"
            }
            Self::InviteOver { .. } => {
                "ask for a new one, or ask to be let in as everybody may: `join_group <group_id>`"
            }
            Self::InviteUnknown => "`invites <group_id>` shows them; the beginning of an id is enough",
            Self::NotRequested => "`list_requests <group_id>` shows who has asked",
            Self::NoSuchPath { path } => {
                return Some(format!("looked for `{}` in {}", path.display(), here()));
            }
            Self::SameNameOtherContent { .. } => "rename your file and share it under the new name",
            Self::NotComplete { .. } => "`wait <group_id> <file_name>` returns when it is complete",
            Self::StillChecking { .. } => "`scrub <group_id> <file_name>` again in a moment",
            Self::NotListed { last: Some(word), .. } => {
                return Some(format!("`./{word}` for a folder; `list_files <group_id>` shows what there is"));
            }
            Self::NotListed { last: None, .. } => "`list_files <group_id>` shows what there is",
            Self::ShareChanged { .. } => {
                "nothing was overwritten; to share the new content: `stop_share <group_id> <file_name>`, then `upload_file <file_path> <group_id>`; to get the old one back: `download_file <group_id> <file_name> <destination_path> --into-existing`"
            }
            Self::FileUnknown => "`list_files <group_id>` shows what there is",
            Self::NobodySharing => {
                "try again when a sharer is online; `list_files <group_id>` shows how many are"
            }
            Self::AlreadyShared { path } => return Some(format!("it is at `{}`", path.display())),
            Self::AlreadyDownloading { path } => {
                return Some(format!("to `{}`; `wait` returns when it is complete", path.display()));
            }
            Self::DestinationTaken { .. } => {
                "choose another file name, move the existing one away, or let `--into-existing` overwrite it"
            }
            Self::NotAFolder => "leave `--only` out",
            Self::NoMatch { close, .. } => {
                let close: Vec<String> = close.iter().map(|path| format!("`{path}`")).collect();
                return Some(format!("there is {}", close.join(", ")));
            }
            Self::DownloadRunning => {
                "`cancel_download <group_id> <file_name>` ends it and removes what has arrived"
            }
            Self::AlreadyPaused => "`resume_download <group_id> <file_name>` lets it go on",
            Self::DownloadComplete { .. } => "`stop_share <group_id> <file_name>` stops sharing it",
            Self::NoSuchFolder { .. } => "create the folder first",
            Self::NoSuchDownload => "`show_downloads` shows what there is",
            Self::WaitTimeout { .. } => {
                "`show_downloads` shows how far they are; they go on in the background"
            }
            Self::WaitNoSource { .. } => "it goes on by itself as soon as a sharer is online",
            Self::NoTracker { .. } => {
                "start one with `peerage tracker TRACKER_INFO 1`, or check the addresses in the list"
            }
            Self::OutcomeOpen { .. } => {
                "when a tracker is back, look before you repeat it: `list_groups`, `list_members`, `list_files` or `audit`"
            }
            Self::HeadsUnknown { .. } => {
                "try again when they answer; if the device is in wrong hands: \
                 `revoke_device <device_id> <passwd> --force`"
            }
            Self::WrongKey { list, .. } => {
                return Some(format!(
                    "if the trackers were set up anew and you expect this, run: peerage trust {}",
                    list.display()
                ));
            }
            Self::Limit { hint, .. } => return hint.clone(),
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// 1 failed, 2 usage, 3 not logged in or not allowed, 4 no tracker reachable.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Name(_) | Self::NoCode(_) | Self::NoInvite(_) => 2,
            Self::NameLost { .. }
            | Self::WrongPasswordOfMany { .. }
            | Self::PasswordSuperseded
            | Self::DeviceRemoved
            | Self::WrongCode
            | Self::NoRecovery
            | Self::NotLoggedIn
            | Self::WrongPassword
            | Self::NotMember
            | Self::NotMemberYet
            | Self::NotOwner
            | Self::InviteOver { .. }
            | Self::JoinRejected { .. }
            | Self::OwnerStays
            | Self::AdminStays => 3,
            Self::NoTracker { .. } | Self::OutcomeOpen { .. } | Self::HeadsUnknown { .. } => 4,
            _ => 1,
        }
    }

    /// When some of the names that were given are no files of the group: all of them, in their order, and which it lists.
    pub fn unless_listed(names: &[String], is_listed: impl Fn(&str) -> bool) -> Option<Self> {
        let words: Vec<String> = names.iter().filter(|name| !is_listed(name)).cloned().collect();
        let last = words.last().filter(|word| names.last() == Some(*word)).cloned();
        (!words.is_empty()).then_some(Self::NotListed { words, last })
    }

    /// A fault of this machine, with what was being done.
    pub(crate) fn local(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Local(format!("{what}: {error}"))
    }
}

fn no_files(words: &[String]) -> String {
    let all: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match all.len() {
        1 => format!("{} is no file of the group", all.concat()),
        _ => format!("{} are no files of the group", all.join(", ")),
    }
}

fn here() -> String {
    std::env::current_dir().map_or_else(|_| "the current folder".to_owned(), |d| d.display().to_string())
}

#[cfg(test)]
mod tests;
