//! The downloads of this device, running and complete; all outlive the program.

use std::path::{Path, PathBuf};

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use peerage_metainfo::Metainfo;
use peerage_swarm::Priority;
use peerage_types::{FileName, GroupId, MetainfoId, RecordId};
use peerage_wire::Bitfield;

use super::kept::Kept;

/// All downloads of this device, by info hash.
pub type Downloads = Kept<DownloadEntry>;

/// One download.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DownloadEntry {
    /// The group it comes from.
    #[n(0)]
    pub group: GroupId,
    /// The group's name, for showing it when the group is gone.
    #[n(1)]
    pub group_name: String,
    /// The file's name in the group.
    #[n(2)]
    pub name: String,
    /// Its metainfo file.
    #[n(3)]
    pub metainfo: MetainfoId,
    /// The Manifest that it was started from, and is shared on under.
    #[n(4)]
    pub manifest: RecordId,
    /// Bytes.
    #[n(5)]
    pub size: u64,
    /// The folder it goes to, absolute.
    #[n(6)]
    pub folder: String,
    /// Its name there.
    #[n(7)]
    pub file_name: FileName,
    /// How far it is.
    #[n(8)]
    pub state: DownloadState,
    /// When it was started, milliseconds since the Unix epoch.
    #[n(9)]
    pub started_unix_ms: u64,
    /// How long it took, once it is complete.
    #[n(10)]
    pub took_ms: Option<u64>,
    /// Bytes received from each member, once it is complete.
    #[n(11)]
    pub sources: Vec<(String, u64)>,
    /// Of a folder: which files are wanted, by their number in the metainfo, as in a bitfield message. Nothing for all.
    #[n(12)]
    pub wanted: Option<ByteVec>,
    /// Stopped by the user until they let it go on.
    #[n(13)]
    pub paused: bool,
    /// The beginning and the end of each file come first.
    #[n(14)]
    pub preview: bool,
    /// Files of other content at its place are overwritten.
    #[n(15)]
    pub into_existing: bool,
    /// Of a folder: how much each file is wanted, a byte each (1 low, 3 high, else normal). Nothing if all are alike.
    #[n(16)]
    pub levels: Option<ByteVec>,
    /// How many files a folder has; 0 for a single file.
    #[n(17)]
    pub files: u32,
    /// It does not become a share: when it is complete it is served until the others can do without, and no longer.
    #[n(18)]
    #[cbor(default)]
    pub leave: bool,
    /// It was served so long.
    #[n(19)]
    #[cbor(default)]
    pub left: bool,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum DownloadState {
    /// Bytes are missing.
    #[n(0)]
    Running,
    /// All bytes are here; the member does not count as a sharer yet.
    #[n(1)]
    Verified,
    /// All bytes are here, and what is to be done about sharing it is done.
    #[n(2)]
    Complete,
}

impl DownloadEntry {
    /// Where the complete file is or will be.
    pub fn path(&self) -> PathBuf {
        Path::new(&self.folder).join(self.file_name.as_str())
    }

    /// The wanted files of a folder; `None`: all. What does not fit the metainfo wants nothing.
    pub fn wanted(&self, metainfo: &Metainfo) -> Option<Bitfield> {
        let files = u32::try_from(metainfo.files().len()).unwrap_or(u32::MAX);
        let wanted = self.wanted.as_ref()?;
        Some(Bitfield::from_wire(wanted, files).unwrap_or_else(|_| Bitfield::new(files)))
    }

    /// How much each file is wanted; empty if all are alike.
    pub fn levels(&self) -> Vec<Priority> {
        let levels = self.levels.as_ref().map(|levels| levels.as_slice()).unwrap_or_default();
        let level = |byte: &u8| match byte {
            1 => Priority::Low,
            3 => Priority::First,
            _ => Priority::Normal,
        };
        levels.iter().map(level).collect()
    }

    /// The opposite of [`Self::levels`].
    pub fn set_levels(&mut self, levels: &[Priority]) {
        let byte = |level: &Priority| match level {
            Priority::Low => 1,
            Priority::First => 3,
            Priority::Skip | Priority::Normal => 2,
        };
        let bytes: Vec<u8> = levels.iter().map(byte).collect();
        self.levels = bytes.iter().any(|byte| *byte != 2).then(|| bytes.into());
    }

    /// Files that are fetched and files there are; nothing for a single file.
    pub fn counts(&self) -> Option<(u32, u32)> {
        let all = Some(self.files).filter(|files| *files > 0)?;
        let wanted = self.wanted.as_ref().and_then(|wanted| Bitfield::from_wire(wanted, all).ok());
        Some((wanted.map_or(all, |wanted| wanted.count()), all))
    }

    /// How messages name it.
    pub fn label(&self) -> String {
        format!("[{}] {}", self.group_name, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_complete_ones() {
        let dir = tempfile::tempdir().unwrap();
        let key = peerage_types::InfoHash([1; 32]);
        let entry = DownloadEntry {
            group: GroupId([1; 32]),
            group_name: "films".into(),
            name: "a b.mkv".into(),
            metainfo: MetainfoId([2; 32]),
            manifest: RecordId([3; 32]),
            size: 5,
            folder: "/d".into(),
            file_name: "c.mkv".parse().unwrap(),
            state: DownloadState::Running,
            started_unix_ms: 5,
            took_ms: None,
            sources: vec![("ada".into(), 5)],
            wanted: Some(vec![0x80].into()),
            paused: false,
            preview: true,
            into_existing: false,
            levels: Some(vec![1, 3].into()),
            files: 2,
            leave: true,
            left: false,
        };
        let downloads = Downloads::open(dir.path().to_owned(), "download").unwrap();
        downloads.put(key, entry.clone()).unwrap();
        downloads.update(&key, |d| d.state = DownloadState::Complete).unwrap();
        let again = Downloads::open(dir.path().to_owned(), "download").unwrap().get(&key).unwrap();
        assert_eq!(again, DownloadEntry { state: DownloadState::Complete, ..entry });
        assert_eq!(
            (again.label().as_str(), again.path().as_path()),
            ("[films] a b.mkv", Path::new("/d/c.mkv"))
        );
    }

    /// What was kept before `leave` and `left` came.
    #[derive(Encode)]
    #[cbor(array)]
    struct Older {
        #[n(0)]
        group: GroupId,
        #[n(1)]
        group_name: &'static str,
        #[n(2)]
        name: &'static str,
        #[n(3)]
        metainfo: MetainfoId,
        #[n(4)]
        manifest: RecordId,
        #[n(5)]
        size: u64,
        #[n(6)]
        folder: &'static str,
        #[n(7)]
        file_name: &'static str,
        #[n(8)]
        state: DownloadState,
        #[n(9)]
        started_unix_ms: u64,
        #[n(10)]
        took_ms: Option<u64>,
        #[n(11)]
        sources: Vec<(String, u64)>,
        #[n(12)]
        wanted: Option<ByteVec>,
        #[n(13)]
        paused: bool,
        #[n(14)]
        preview: bool,
        #[n(15)]
        into_existing: bool,
        #[n(16)]
        levels: Option<ByteVec>,
        #[n(17)]
        files: u32,
    }

    /// A data folder outlives the program that made it.
    #[test]
    fn older_ones_are_not_lost() {
        let older = Older {
            group: GroupId([1; 32]),
            group_name: "films",
            name: "a.mkv",
            metainfo: MetainfoId([2; 32]),
            manifest: RecordId([3; 32]),
            size: 5,
            folder: "/d",
            file_name: "a.mkv",
            state: DownloadState::Complete,
            started_unix_ms: 5,
            took_ms: Some(7),
            sources: Vec::new(),
            wanted: None,
            paused: false,
            preview: false,
            into_existing: false,
            levels: None,
            files: 0,
        };
        let dir = tempfile::tempdir().unwrap();
        let key = peerage_types::InfoHash([1; 32]);
        let mut bytes = minicbor::to_vec(&older).unwrap();
        let path = dir.path().join(format!("{key}.download"));
        std::fs::write(&path, &bytes).unwrap();
        let read = || Downloads::open(dir.path().to_owned(), "download").unwrap().get(&key).unwrap();
        let entry = read();
        assert_eq!((entry.took_ms, entry.leave, entry.left), (Some(7), false, false));
        // And with `leave` alone: one element more.
        assert_eq!(bytes[0], 0x92, "an array of 18");
        bytes[0] += 1;
        bytes.push(0xf5);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!((read().leave, read().left), (true, false));
    }
}
