//! What commands answer: plain data, for whoever prints it. In one file although it is long: a list of small types, one or
//! two for each command, and hardly any code.

use std::net::SocketAddr;
use std::path::PathBuf;

use peerage_ledger::Role;
use peerage_link::api::Reach;
use peerage_types::{ContentId, DeviceId, GroupId, RecordId, UserId};
use peerage_wire::Bitfield;

use super::commands::set_priority::FilePriority;

/// `login`.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The name as others see it: the chosen one, or `name#tag` when somebody else had it first.
    pub user: String,
    /// Shares that were resumed.
    pub shares: usize,
    /// Downloads that were resumed.
    pub downloads: usize,
    /// Shares that could not be resumed, each with the reason.
    pub broken: Vec<String>,
    /// What became of the account meanwhile: a lost name, a password change that came to nothing.
    pub notes: Vec<String>,
}

/// `whoami`.
#[derive(Debug, Clone)]
pub struct Whoami {
    /// The name as others see it.
    pub user: String,
    /// The account.
    pub user_id: UserId,
    /// This installation.
    pub device: DeviceId,
    /// Where peers reach this device.
    pub listen: SocketAddr,
    /// The tracker in use, `host:port`.
    pub tracker: String,
    /// As in [`LoggedIn::notes`].
    pub notes: Vec<String>,
}

/// `check_port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortCheck {
    /// Where this device listens for peers.
    pub listen: SocketAddr,
    /// The port that peers are told.
    pub port: u16,
    /// Where the tracker connected to, `ip:port`.
    pub address: String,
    /// That tracker, `host:port`.
    pub tracker: String,
    /// What became of its connection.
    pub reach: Reach,
}

/// One line of `list_devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceLine {
    /// The device; its tag is what people tell it by.
    pub device: DeviceId,
    /// What it was called when it logged in first.
    pub label: String,
    /// When that was, milliseconds since the Unix epoch; `None` while no tracker has said it.
    pub since_unix_ms: Option<u64>,
    /// The device that asks.
    pub this: bool,
    /// No longer a device of the account.
    pub removed: bool,
}

/// One line of `list_groups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLine {
    /// Name as commands take it.
    pub name: String,
    /// How many members it has.
    pub members: u32,
    /// What the caller is in it.
    pub standing: MyStanding,
    /// How many ask to join, if the caller decides about them; as far as known here.
    pub requests: Option<u32>,
}

/// What the caller is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MyStanding {
    /// Neither member nor waiting.
    None,
    /// Has asked to join.
    Requested,
    /// Member.
    Member,
    /// Owner.
    Owner,
}

/// `leave_group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The group goes on; `heir` is its new owner when the leaver owned it.
    Left {
        /// Name of the new owner.
        heir: Option<String>,
    },
    /// The leaver was the last member.
    Deleted,
}

/// One line of `list_members`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberLine {
    /// Name as commands take it.
    pub user: String,
    /// The account.
    pub user_id: UserId,
    /// What they may do.
    pub role: Role,
    /// A device of theirs said two different things at one place of its chain.
    pub forked: bool,
}

/// One line of `audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// When the first tracker took it, milliseconds since the Unix epoch, by that tracker's clock.
    pub unix_ms: u64,
    /// Name as commands take it.
    pub user: String,
    /// The account.
    pub user_id: UserId,
    /// The key that signed.
    pub device: DeviceId,
    /// What the device's owner calls it; nothing if they never certified it.
    pub label: Option<String>,
    /// The record.
    pub record: RecordId,
    /// What it says, in words.
    pub what: String,
    /// Why it has no effect, if it has none.
    pub void: Option<String>,
    /// Another record of the same device names the same predecessor.
    pub forked: bool,
}

/// What somebody decided about this person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Let in.
    Accepted,
    /// Turned away.
    Rejected,
    /// Removed.
    Kicked,
    /// Made an admin.
    Admin,
    /// Made a plain member again.
    NoAdmin,
    /// Made the owner.
    Owner,
    /// The group was closed.
    Closed,
}

/// One line of `list_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    /// Name as commands take it: the file's, or `name#tag`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// How many files a folder has; nothing for a single file.
    pub files: Option<u32>,
    /// Members who share it, online or not.
    pub sharers: u32,
    /// Members of these who offer all of it at this moment.
    pub sharers_online: u32,
    /// Content identity.
    pub content: ContentId,
    /// This device shares it.
    pub mine: bool,
    /// This device serves it and nobody else online has all of it; nothing while no tracker says who is online.
    pub last_holder: Option<bool>,
    /// Pieces of this device's copy went bad on the disk and are being fetched again.
    pub damaged: bool,
    /// How much of this device's copy the look for bit rot that is going on has read, 0 to 100; nothing while there is none.
    pub scrub_percent: Option<u8>,
}

/// One line of `list_folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderLine {
    /// Path in the folder, with slashes.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// How much it is wanted, while the folder is being downloaded here.
    pub priority: Option<FilePriority>,
}

/// A file that nobody else who is online has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastHeld {
    /// The group's name.
    pub group: String,
    /// Its name in the group.
    pub name: String,
}

/// `upload_file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Name in the group.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Content identity.
    pub content: ContentId,
    /// The group already had this file and got one more sharer.
    pub joined_existing: bool,
    /// What was left out of a folder, a sentence each.
    pub skipped: Vec<String>,
}

/// `download_file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Name in the group.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Where the complete file will be.
    pub path: PathBuf,
    /// Other peers that offered it at the start.
    pub peers: usize,
}

/// One line of `show_downloads`.
#[derive(Debug, Clone, PartialEq)]
pub struct DownloadLine {
    /// The group's name.
    pub group: String,
    /// The file's name in the group.
    pub name: String,
    /// All bytes are here and verified.
    pub complete: bool,
    /// Verified share of the bytes, 0 to 100; 100 only when complete.
    pub percent: f64,
    /// Verified bytes.
    pub bytes_done: u64,
    /// All bytes.
    pub bytes_total: u64,
    /// Rate at this moment.
    pub bytes_per_second: u64,
    /// Peers connected for it.
    pub peers: usize,
    /// Where it lies or will lie.
    pub path: PathBuf,
    /// How long it has been running or took, in seconds.
    pub seconds: f64,
    /// Bytes received from each member, kept when they disconnect.
    pub sources: Vec<(String, u64)>,
    /// What it is at.
    pub activity: Activity,
    /// What keeps it from going on, for example.
    pub note: Option<String>,
    /// Of a folder: files that are fetched, and files there are.
    pub files: Option<(u32, u32)>,
}

/// What a download is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Somebody is connected who may send something.
    Downloading,
    /// What lies there already is being hashed.
    Checking,
    /// Nobody is connected.
    NoSharer,
    /// The disk is full; goes on by itself when there is room.
    NoRoom,
    /// Until it is resumed.
    Paused,
    /// Something ended it, or it has not begun again yet.
    Stopped,
    /// Complete, but pieces that went bad on the disk are being fetched again.
    Repairing,
    /// All bytes are here.
    Complete,
}

/// `show_download`: what only this device knows about one of its downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadDetail {
    /// Bytes of a piece; the last of a file may have fewer. `None`: its metainfo is damaged.
    pub piece_bytes: Option<u32>,
    /// What it is at.
    pub activity: Activity,
    /// What keeps it from going on, for example.
    pub note: Option<String>,
    /// Received at this moment.
    pub bytes_per_second_down: u64,
    /// Sent to others at this moment.
    pub bytes_per_second_up: u64,
    /// Verified pieces; `None` while it is not running.
    pub pieces: Option<PieceMap>,
    /// Who is connected for it.
    pub peers: Vec<PeerLine>,
}

/// One line of `list_peers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLine {
    /// Name of the member.
    pub user: String,
    /// Address in use, or the first announced.
    pub address: String,
    /// Verified share of the file there, 0 to 100.
    pub percent: u8,
    /// Has all of it.
    pub seeding: bool,
    /// Connected to us for this file.
    pub connected: bool,
    /// Bytes of content that it sent us over the present connection.
    pub bytes_from: u64,
    /// Bytes of content that we sent it over the present connection.
    pub bytes_to: u64,
    /// Pieces it has; `None` while we are not connected to it and it has only some.
    pub pieces: Option<PieceMap>,
}

/// Which pieces a peer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceMap(pub Bitfield);

impl PieceMap {
    /// The map in `width` characters or fewer: `#` all pieces of this stretch, `+` some, `.` none.
    pub fn cells(&self, width: u32) -> String {
        let len = self.0.len();
        let cells = len.min(width);
        let cell = |i: u32| {
            let at = |i: u32| (u64::from(len) * u64::from(i) / u64::from(cells.max(1))) as u32;
            let (from, to) = (at(i), at(i + 1));
            match (from..to).filter(|p| self.0.get(*p)).count() as u32 {
                0 => '.',
                n if n == to - from => '#',
                _ => '+',
            }
        };
        (0..cells).map(cell).collect()
    }
}

/// Something that happened by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A download is complete and shared on.
    Completed {
        /// The group's name.
        group: String,
        /// The file's name.
        name: String,
        /// Where it lies.
        path: PathBuf,
    },
    /// A download that was not to be shared on (`--leave`) is not served any more: the others can do without.
    Left {
        /// The group's name.
        group: String,
        /// The file's name.
        name: String,
    },
    /// A shared file changed or vanished; it is no longer offered.
    ShareBroken {
        /// The file's name.
        name: String,
        /// What happened to it.
        why: String,
    },
    /// Pieces of a share went bad on the disk: they are not offered any more and are fetched again.
    Damaged {
        /// The file's name.
        name: String,
        /// What happened to it.
        why: String,
    },
    /// All that was damaged of a share is right again.
    Repaired {
        /// The file's name.
        name: String,
    },
    /// A group name leads to another group than before, although the former one has not ended.
    GroupNameMoved {
        /// The name.
        name: String,
        /// Where it led.
        before: GroupId,
        /// Where it leads.
        now: GroupId,
    },
    /// A tracker was given records of a group that it does not show, and goes on as if they did not exist.
    KeptBack {
        /// Its `host:port`.
        tracker: String,
        /// The group's name.
        group: String,
        /// How many records.
        records: usize,
    },
    /// A tracker shows records that somebody forged. They have no effect.
    Forged {
        /// Its `host:port`.
        tracker: String,
        /// The group's name.
        group: String,
        /// How many records.
        records: usize,
    },
    /// A device of a member said two different things at one place of its chain.
    Forked {
        /// The group's name.
        group: String,
        /// Whose device.
        user: String,
    },
    /// A tracker acknowledged something and lost it, and all trackers refuse it now: it is sent no more.
    GivenUp {
        /// The command.
        what: String,
        /// What they refuse it with.
        why: String,
        /// Where its records are kept.
        path: PathBuf,
    },
    /// A tracker does not know a group that this device knows.
    Unknown {
        /// Its `host:port`.
        tracker: String,
        /// The group's name.
        group: String,
        /// It leaves the group out of its list; else it denies it by name.
        listed: bool,
    },
    /// A tracker names a group for a name that came after the one that this device knows under it.
    LaterGroup {
        /// The tracker's `host:port`.
        tracker: String,
        /// The name.
        name: String,
        /// The group that it names.
        named: GroupId,
    },
    /// Owner or admins of a group decided about this person.
    Decided {
        /// The group's name.
        group: String,
        /// What they decided.
        decision: Decision,
    },
    /// Somebody asks to join a group in which this person decides.
    Requested {
        /// The group's name.
        group: String,
        /// Who asks.
        user: String,
    },
    /// A download does not go on before something is done about it, such as room made on the disk.
    Stopped {
        /// The group's name.
        group: String,
        /// The file's name.
        name: String,
        /// What keeps it.
        why: String,
    },
    /// No tracker answers any more; or one does again.
    Trackers {
        /// Whether one does.
        reachable: bool,
    },
    /// Another tracker took over.
    TrackerChanged {
        /// `host:port` of the tracker now in use.
        now: String,
    },
    /// Something became of the account: its name, its password, its devices.
    Account(String),
    /// Anything else worth a line.
    Warning(String),
}

/// What became different about a group, so that whoever shows it looks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The group's name.
    pub group: String,
    /// What is different.
    pub what: Changed,
}

/// What there is to look at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Who is in it, and with which role.
    Members,
    /// Who asks to join.
    Requests,
    /// Which files there are, and who shares them.
    Files,
    /// Who is online with what.
    Online,
}

/// What `close` could not finish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Commands whose records are on one tracker only so far, such as `upload_file notes.txt`; they are kept and sent
    /// again at the next start.
    pub not_on_two_trackers: Vec<String>,
    /// Downloads that were cut short, as `[group] file`; they resume at the next login.
    pub downloads_cut_short: Vec<String>,
    /// Files that nobody else who was online has.
    pub last_held: Vec<LastHeld>,
}

impl CloseReport {
    /// Nothing is left over.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piece_maps_fit_their_width() {
        let mut have = Bitfield::new(8);
        for piece in [0, 1, 2, 7] {
            have.set(piece);
        }
        assert_eq!(PieceMap(have.clone()).cells(32), "###....#");
        assert_eq!(PieceMap(have).cells(4), "#+.+");
        assert_eq!(PieceMap(Bitfield::new(0)).cells(4), "");
    }
}
