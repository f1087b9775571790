//! Files, downloads, and who has them.

use peerage_node::client::{
    Activity as At, DownloadDetail as DetailLine, DownloadLine, FileLine, FilePriority, FolderLine,
    LimitLine, PeerLine,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Characters of a piece map.
pub const PIECE_MAP_CELLS: u32 = 40;

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
    /// How much of this device's copy the look for bit rot that is going on has read, 0 to 100; nothing while there is none.
    pub scrub_percent: Option<u8>,
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
            scrub_percent: f.scrub_percent,
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

/// What a download is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Somebody is connected who may send something.
    Downloading,
    /// What lies there already is being hashed.
    Checking,
    /// Nobody is connected.
    NoSharer,
    /// The disk is full; it goes on by itself when there is room.
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

impl From<At> for Activity {
    fn from(at: At) -> Self {
        match at {
            At::Downloading => Self::Downloading,
            At::Checking => Self::Checking,
            At::NoSharer => Self::NoSharer,
            At::NoRoom => Self::NoRoom,
            At::Paused => Self::Paused,
            At::Stopped => Self::Stopped,
            At::Repairing => Self::Repairing,
            At::Complete => Self::Complete,
        }
    }
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
    /// What it is at.
    pub activity: Activity,
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
            activity: d.activity.into(),
            note: d.note.clone(),
            files: d.files.map(|(_, all)| all),
            files_selected: d.files.map(|(selected, _)| selected),
        }
    }
}

/// `download_file`: what was started.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Started {
    /// The group, as it was given.
    pub group: String,
    /// The file's name in it.
    pub name: String,
    /// Bytes that are wanted.
    pub size: u64,
    /// Where the complete file will lie.
    pub path: String,
    /// Others who offered it then.
    pub peers: usize,
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
    /// What it is at.
    pub activity: Activity,
    /// What keeps it from going on.
    pub note: Option<String>,
    /// Received at this moment.
    pub bytes_per_second_down: u64,
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
            activity: d.activity.into(),
            note: d.note.clone(),
            bytes_per_second_down: d.bytes_per_second_down,
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
