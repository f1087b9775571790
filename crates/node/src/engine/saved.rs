//! What is remembered about a torrent from one run to the next.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use peerage_types::{InfoHash, UserId};
use peerage_wire::Bitfield;

use super::disk::{self, FileStamp};

const VERSION: u8 = 3;

/// The progress file `INFO_HASH.state`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Saved {
    #[n(0)]
    version: u8,
    #[n(1)]
    info_hash: InfoHash,
    /// The run of the machine in which this was written.
    #[n(2)]
    boot: Option<String>,
    /// The complete file's path, in the system's own encoding.
    #[n(3)]
    place: ByteVec,
    /// Verified pieces, as in a bitfield message.
    #[n(4)]
    have: ByteVec,
    /// Complete files at their final place, by their number in the metainfo.
    #[n(5)]
    pub(super) settled: Vec<(u32, FileStamp)>,
    /// Whether the content was known to be on the device before this was written, so that a power failure cannot
    /// have taken it.
    #[n(6)]
    pub(super) synced: bool,
    /// Content received per member.
    #[n(7)]
    pub(super) sources: BTreeMap<UserId, u64>,
    /// When bit rot was looked for last, milliseconds since the Unix epoch.
    #[n(8)]
    pub(super) scrubbed_unix_ms: u64,
    /// The piece at which the look that is going on goes on.
    #[n(9)]
    pub(super) scrub_next: u32,
    /// Pieces that a repair was about to write or was writing when this was written: their files may have changed since then
    /// through us, and only these.
    #[n(10)]
    #[cbor(default)]
    pub(super) repairing: Vec<u32>,
}

impl Saved {
    /// A picture of this moment.
    pub(super) fn new(info_hash: InfoHash, place: &Path, have: &Bitfield) -> Self {
        Self {
            version: VERSION,
            info_hash,
            boot: disk::boot_id(),
            place: encode_place(place),
            have: have.to_wire().to_vec().into(),
            settled: Vec::new(),
            synced: false,
            sources: BTreeMap::new(),
            scrubbed_unix_ms: 0,
            scrub_next: 0,
            repairing: Vec::new(),
        }
    }

    /// Reads what was saved for this torrent at this place. `None` when there is nothing, or nothing usable: a
    /// damaged file only costs checking again.
    pub(super) fn load(state_dir: &Path, info_hash: InfoHash, place: &Path) -> Option<Self> {
        let bytes = fs::read(path(state_dir, info_hash)).ok()?;
        let saved: Self = minicbor::decode(&bytes).ok()?;
        let fits =
            saved.version == VERSION && saved.info_hash == info_hash && saved.place == encode_place(place);
        fits.then_some(saved)
    }

    /// Replaces what was saved before.
    pub(super) fn store(&self, state_dir: &Path) -> io::Result<()> {
        let bytes = minicbor::to_vec(self).map_err(io::Error::other)?;
        // After a power failure, too, it must be known what a repair has written to.
        disk::replace(&path(state_dir, self.info_hash), &bytes, self.synced || !self.repairing.is_empty())
    }

    /// The verified pieces of a torrent with `pieces` of them; none if the saved ones do not fit.
    pub(super) fn have(&self, pieces: u32) -> Bitfield {
        Bitfield::from_wire(&self.have, pieces).unwrap_or_else(|_| Bitfield::new(pieces))
    }

    /// Whether a repair may have written to the file of these pieces.
    pub(super) fn was_repairing(&self, pieces: &Range<u32>) -> bool {
        self.repairing.iter().any(|piece| pieces.contains(piece))
    }

    /// Whether what was written then is certainly there now: either it was synced, or nothing but our process can
    /// have ended in between.
    pub(super) fn is_trusted(&self) -> bool {
        self.synced || (self.boot.is_some() && self.boot == disk::boot_id())
    }
}

/// The progress file's path.
pub(super) fn path(state_dir: &Path, info_hash: InfoHash) -> PathBuf {
    state_dir.join(format!("{}.state", info_hash.to_hex()))
}

/// The sidecar's path.
pub(super) fn sidecar_path(state_dir: &Path, info_hash: InfoHash) -> PathBuf {
    state_dir.join(format!("{}.leaves", info_hash.to_hex()))
}

/// Forgets everything about the torrent. What cannot be removed is only litter.
pub(super) fn forget(state_dir: &Path, info_hash: InfoHash) {
    for path in [path(state_dir, info_hash), sidecar_path(state_dir, info_hash)] {
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove");
        }
    }
}

fn encode_place(place: &Path) -> ByteVec {
    OsStr::as_encoded_bytes(place.as_os_str()).to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_for_one_place() {
        let dir = tempfile::tempdir().unwrap();
        let hash = InfoHash([3; 32]);
        let mut have = Bitfield::new(9);
        have.set(8);
        let mut saved = Saved::new(hash, Path::new("/a/b"), &have);
        saved.sources.insert(UserId([1; 32]), 5);
        saved.store(dir.path()).unwrap();
        assert_eq!(Saved::load(dir.path(), hash, Path::new("/a/b")), Some(saved.clone()));
        assert_eq!(Saved::load(dir.path(), hash, Path::new("/a/c")), None);
        assert_eq!(saved.have(9), have);
        assert_eq!(saved.have(20), Bitfield::new(20));
        assert_eq!(saved.is_trusted(), disk::boot_id().is_some());
        fs::write(path(dir.path(), hash), b"\x88\x01 cut").unwrap();
        assert_eq!(Saved::load(dir.path(), hash, Path::new("/a/b")), None);
        forget(dir.path(), hash);
        forget(dir.path(), hash);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn another_boot_is_not_trusted() {
        let mut saved = Saved::new(InfoHash([3; 32]), Path::new("/a"), &Bitfield::new(1));
        saved.boot = Some("another".to_owned());
        assert!(!saved.is_trusted());
        saved.synced = true;
        assert!(saved.is_trusted());
    }
}
