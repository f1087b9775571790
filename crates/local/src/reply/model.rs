//! What listings are made of: the objects of `--json` and of the HTTP API. Fields are only ever added.
//!
//! Bytes are whole numbers; ids and hashes are lower-case hexadecimal; names are as commands take them.

use peerage_node::client::{
    AuditLine, DeviceLine, DownloadDetail as DetailLine, DownloadLine, FileLine, FilePriority, FolderLine,
    GroupLine, InviteLine, LimitLine, MemberLine, MyStanding, PeerLine, Role, Whoami,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::human;

/// Characters of a piece map.
pub const PIECE_MAP_CELLS: u32 = 40;

/// `whoami`: the account that is logged in, and this device.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Me {
    /// Name as others see it: the chosen one, or `name#tag` when somebody else had it first.
    pub user: String,
    /// The account.
    pub user_id: String,
    /// This installation's public key.
    pub device: String,
    /// `ip:port` where peers reach it.
    pub listen: String,
    /// `host:port` of the tracker in use.
    pub tracker: String,
    /// A name that was lost, a password change that came to nothing.
    pub notes: Vec<String>,
}

impl From<&Whoami> for Me {
    fn from(me: &Whoami) -> Self {
        Self {
            user: me.user.clone(),
            user_id: me.user_id.to_hex(),
            device: me.device.to_hex(),
            listen: me.listen.to_string(),
            tracker: me.tracker.clone(),
            notes: me.notes.clone(),
        }
    }
}

/// `list_devices`: one installation of the account.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Device {
    /// Its public key.
    pub device: String,
    /// The beginning of it in another form, as `revoke_device` takes it.
    pub tag: String,
    /// What the machine was called when it logged in first.
    pub label: String,
    /// When that was, milliseconds since 1970; nothing while no tracker has said so.
    pub since_unix_ms: Option<u64>,
    /// The device that asks.
    pub this: bool,
    /// Put out of the account.
    pub removed: bool,
}

impl From<&DeviceLine> for Device {
    fn from(d: &DeviceLine) -> Self {
        Self {
            device: d.device.to_hex(),
            tag: d.device.tag(),
            label: d.label.clone(),
            since_unix_ms: d.since_unix_ms,
            this: d.this,
            removed: d.removed,
        }
    }
}

/// `recovery_code`: shown only here.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecoveryCode {
    /// Eight groups of four letters and digits.
    pub code: String,
}

/// What the caller is in a group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Neither member nor waiting.
    None,
    /// Has asked to join.
    Requested,
    /// Member.
    Member,
    /// Owner.
    Owner,
}

/// `list_groups`: one group.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Group {
    /// Its name.
    pub group: String,
    /// How many members it has.
    pub members: u32,
    /// What the caller is in it.
    pub standing: Standing,
    /// How many ask to join, as far as this device has heard; nothing if the caller does not decide about them.
    pub requests: Option<u32>,
}

impl From<&GroupLine> for Group {
    fn from(g: &GroupLine) -> Self {
        let standing = match g.standing {
            MyStanding::None => Standing::None,
            MyStanding::Requested => Standing::Requested,
            MyStanding::Member => Standing::Member,
            MyStanding::Owner => Standing::Owner,
        };
        Self { group: g.name.clone(), members: g.members, standing, requests: g.requests }
    }
}

/// `invite`: a line that leads somebody to a group.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Invite {
    /// To be pasted.
    pub link: String,
    /// The group.
    pub group: String,
    /// Of a pre-approved one: what `withdraw_invite` takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of a pre-approved one: milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Of a pre-approved one: how many may come in by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// An entry of `invites`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ApprovedInvite {
    /// What `withdraw_invite` takes.
    pub id: String,
    /// Who made it.
    pub issuer: String,
    /// What has become of it.
    pub state: InviteState,
    /// Milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// How many may come in by it.
    pub uses: u32,
    /// Who has, in order.
    pub used: Vec<String>,
    /// The line to paste, on the device that made it and while it lets people in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// What has become of a pre-approved invite.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InviteState {
    /// It lets people in.
    Open,
    /// Somebody withdrew it.
    Withdrawn,
    /// Who made it decides about nobody any more.
    IssuerGone,
    /// As many as it allows have come in by it.
    UsedUp,
    /// Its time is over.
    Expired,
}

impl InviteState {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Withdrawn => "withdrawn",
            Self::IssuerGone => "ended with its issuer's office",
            Self::UsedUp => "used up",
            Self::Expired => "expired",
        }
    }
}

impl From<&InviteLine> for ApprovedInvite {
    fn from(line: &InviteLine) -> Self {
        let state = match line.state {
            peerage_node::client::InviteState::Open => InviteState::Open,
            peerage_node::client::InviteState::Withdrawn => InviteState::Withdrawn,
            peerage_node::client::InviteState::IssuerGone => InviteState::IssuerGone,
            peerage_node::client::InviteState::UsedUp => InviteState::UsedUp,
            peerage_node::client::InviteState::Expired => InviteState::Expired,
        };
        Self {
            id: line.id.clone(),
            issuer: line.issuer.clone(),
            state,
            expires_ms: line.expires_ms,
            uses: line.uses,
            used: line.used.clone(),
            link: line.link.as_ref().map(ToString::to_string),
        }
    }
}

/// What a member may do.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Decides everything.
    Owner,
    /// Accepts, rejects and kicks plain members.
    Admin,
    /// Shares and downloads.
    Member,
}

/// `list_members`: one member; who came first is first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Member {
    /// Their name.
    pub user: String,
    /// The account.
    pub user_id: String,
    /// What they may do.
    pub role: MemberRole,
    /// A device of theirs said two things at one place: it was copied, set back or stolen.
    pub forked: bool,
}

impl From<&MemberLine> for Member {
    fn from(m: &MemberLine) -> Self {
        let role = match m.role {
            Role::Owner => MemberRole::Owner,
            Role::Admin => MemberRole::Admin,
            Role::Member => MemberRole::Member,
        };
        Self { user: m.user.clone(), user_id: m.user_id.to_hex(), role, forked: m.forked }
    }
}

/// `list_requests`: somebody who has asked to join; who asked first is first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Request {
    /// Their name.
    pub user: String,
}

/// `audit`: one record of a group, in order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// When the first tracker took it, by that tracker's clock, as people read it (UTC).
    pub time: String,
    /// The same in milliseconds since 1970.
    pub unix_ms: u64,
    /// In whose name it stands.
    pub user: String,
    /// Their account.
    pub user_id: String,
    /// The public key that signed it.
    pub device: String,
    /// What its owner calls that device; nothing if they never certified it.
    pub label: Option<String>,
    /// Id of the record.
    pub record: String,
    /// What it says, in words.
    pub what: String,
    /// Whether it has effect, as every view of the group has it.
    pub counts: bool,
    /// Why it has none.
    pub why: Option<String>,
    /// The same device signed another record in this place of its chain: a restored backup, a copied folder, or a
    /// stolen key.
    pub fork: bool,
}

impl From<&AuditLine> for AuditEntry {
    fn from(a: &AuditLine) -> Self {
        Self {
            time: human::utc(a.unix_ms),
            unix_ms: a.unix_ms,
            user: a.user.clone(),
            user_id: a.user_id.to_hex(),
            device: a.device.to_hex(),
            label: a.label.clone(),
            record: a.record.to_hex(),
            what: a.what.clone(),
            counts: a.void.is_none(),
            why: a.void.clone(),
            fork: a.forked,
        }
    }
}

/// `list_files`: one file of a group.
#[derive(Debug, Serialize, JsonSchema)]
pub struct File {
    /// Its name, or `name#tag` for a second content of the same name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// How many files a folder has; nothing for a single file.
    pub files: Option<u32>,
    /// Members who share it, online or not.
    pub sharers: u32,
    /// Those of them who offer all of it now.
    pub sharers_online: u32,
    /// Content identity.
    pub content: String,
    /// This device shares it.
    pub mine: bool,
    /// This device serves it and nobody else online has all of it; nothing while no tracker says who is online.
    pub last_holder: Option<bool>,
    /// Pieces of this device's copy went bad on the disk and are being fetched again.
    pub damaged: bool,
}

impl From<&FileLine> for File {
    fn from(f: &FileLine) -> Self {
        Self {
            name: f.name.clone(),
            size: f.size,
            files: f.files,
            sharers: f.sharers,
            sharers_online: f.sharers_online,
            content: f.content.to_hex(),
            mine: f.mine,
            last_holder: f.last_holder,
            damaged: f.damaged,
        }
    }
}

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// On its way.
    D,
    /// Complete.
    C,
}

/// What came from one member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceBytes {
    /// The member.
    pub user: String,
    /// Bytes of content.
    pub bytes: u64,
}

/// `show_downloads`: one download.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Download {
    /// The group.
    pub group: String,
    /// The file's name in it.
    pub name: String,
    /// `D` while downloading, `C` when complete.
    pub state: State,
    /// 0 to 100 with one decimal, rounded down; 100 only when complete.
    pub percent: f64,
    /// Verified bytes.
    pub bytes_done: u64,
    /// All bytes.
    pub bytes_total: u64,
    /// At this moment.
    pub bytes_per_second: u64,
    /// Since it was started; frozen when complete.
    pub seconds: f64,
    /// Connected for it now.
    pub peers: usize,
    /// Content received from each member, kept when they disconnect.
    pub sources: Vec<SourceBytes>,
    /// Where the complete file lies or will lie.
    pub path: String,
    /// What keeps it from going on.
    pub note: Option<String>,
    /// Of a folder: how many files it has.
    #[serde(default)]
    pub files: Option<u32>,
    /// How many of them are downloaded.
    #[serde(default)]
    pub files_selected: Option<u32>,
}

impl From<&DownloadLine> for Download {
    fn from(d: &DownloadLine) -> Self {
        let sources = d.sources.iter().map(|(user, bytes)| SourceBytes { user: user.clone(), bytes: *bytes });
        Self {
            group: d.group.clone(),
            name: d.name.clone(),
            state: if d.complete { State::C } else { State::D },
            percent: d.percent,
            bytes_done: d.bytes_done,
            bytes_total: d.bytes_total,
            bytes_per_second: d.bytes_per_second,
            seconds: d.seconds,
            peers: d.peers,
            sources: sources.collect(),
            path: d.path.to_string_lossy().into_owned(),
            note: d.note.clone(),
            files: d.files.map(|(_, all)| all),
            files_selected: d.files.map(|(selected, _)| selected),
        }
    }
}

/// `scrub`: what a look for bit rot found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Scrub {
    /// Pieces that were read.
    pub pieces: u32,
    /// Those that are not what was shared, although nobody changed the file.
    pub damaged: u32,
}

/// `set_limits`, `show_limits`: how fast everything or a group may be.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Limit {
    /// The group; nothing for everything together.
    pub group: Option<String>,
    /// Received bytes per second at most; nothing for no limit.
    pub down: Option<u64>,
    /// Sent bytes per second at most; nothing for no limit.
    pub up: Option<u64>,
}

impl From<&LimitLine> for Limit {
    fn from(l: &LimitLine) -> Self {
        Self { group: l.group.clone(), down: l.rates.down, up: l.rates.up }
    }
}

/// A file that is being made ready to share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hashing {
    /// Its path as it was given.
    pub path: String,
    /// Bytes that are hashed.
    pub done: u64,
    /// All bytes.
    pub total: u64,
}

/// `list_peers`: who has how much of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Peer {
    /// The member.
    pub user: String,
    /// `ip:port` in use, or the first announced.
    pub address: String,
    /// How much it has, 0 to 100, rounded down.
    pub percent: u8,
    /// Has everything.
    pub seeding: bool,
    /// Connected to this device for this file.
    pub connected: bool,
    /// Content received over the present connection.
    pub bytes_from: u64,
    /// Content sent over the present connection.
    pub bytes_to: u64,
    /// Pieces it has; nothing while that is not known, as for the two that follow.
    pub pieces: Option<u32>,
    /// Pieces there are.
    pub pieces_total: Option<u32>,
    /// Up to 40 characters, first piece first: `#` all of this stretch, `+` some, `.` none.
    pub piece_map: Option<String>,
}

impl From<&PeerLine> for Peer {
    fn from(p: &PeerLine) -> Self {
        Self {
            user: p.user.clone(),
            address: p.address.clone(),
            percent: p.percent,
            seeding: p.seeding,
            connected: p.connected,
            bytes_from: p.bytes_from,
            bytes_to: p.bytes_to,
            pieces: p.pieces.as_ref().map(|map| map.0.count()),
            pieces_total: p.pieces.as_ref().map(|map| map.0.len()),
            piece_map: p.pieces.as_ref().map(|map| map.cells(PIECE_MAP_CELLS)),
        }
    }
}

/// `show_download`: what only this device knows about one of its downloads.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DownloadDetail {
    /// Verified pieces; nothing while it is not running, as for the two that follow.
    pub pieces: Option<u32>,
    /// Pieces there are.
    pub pieces_total: Option<u32>,
    /// Up to 400 characters, first piece first: `#` all of this stretch, `+` some, `.` none.
    pub piece_map: Option<String>,
    /// Bytes of a piece; the last of a file may have fewer.
    pub piece_bytes: Option<u32>,
    /// Sent to others at this moment.
    pub bytes_per_second_up: u64,
    /// Who is connected for it.
    pub connected: Vec<Peer>,
}

/// Characters of the piece map of an own download.
pub const OWN_MAP_CELLS: u32 = 400;

impl From<&DetailLine> for DownloadDetail {
    fn from(d: &DetailLine) -> Self {
        Self {
            pieces: d.pieces.as_ref().map(|map| map.0.count()),
            pieces_total: d.pieces.as_ref().map(|map| map.0.len()),
            piece_map: d.pieces.as_ref().map(|map| map.cells(OWN_MAP_CELLS)),
            piece_bytes: d.piece_bytes,
            bytes_per_second_up: d.bytes_per_second_up,
            connected: d.peers.iter().map(Peer::from).collect(),
        }
    }
}

/// `list_folder`: one file in a shared folder.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FolderFile {
    /// Its path in the folder, with slashes. With one before it, it is a pattern for `download_file --only`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// How much it is wanted, while the folder is being downloaded here.
    pub priority: Option<Wanted>,
}

/// As `set_priority` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// Before everything else.
    High,
    /// Like most.
    Normal,
    /// When nothing else is left.
    Low,
    /// Not at all.
    Skip,
}

impl Wanted {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Skip => "skip",
        }
    }
}

impl From<&FolderLine> for FolderFile {
    fn from(line: &FolderLine) -> Self {
        let priority = line.priority.map(|priority| match priority {
            FilePriority::High => Wanted::High,
            FilePriority::Normal => Wanted::Normal,
            FilePriority::Low => Wanted::Low,
            FilePriority::Skip => Wanted::Skip,
        });
        Self { path: line.path.clone(), size: line.size, priority }
    }
}

/// `help`: one command.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommandHelp {
    /// Its name.
    pub name: &'static str,
    /// Its arguments as a usage line shows them.
    pub usage: &'static str,
    /// What it does.
    pub summary: &'static str,
}
