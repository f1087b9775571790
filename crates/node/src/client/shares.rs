//! What this device shares, and where it lies. How the file looked when it was hashed is kept by the engine, which
//! offers it again only while size and modification time are the same.

use minicbor::{Decode, Encode};
use peerage_types::{GroupId, MetainfoId};

use super::kept::Kept;
use crate::engine::AddError;

/// All shares of this device, by info hash.
pub type Shares = Kept<ShareEntry>;

/// One share.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ShareEntry {
    /// The group it is shared in.
    #[n(0)]
    pub group: GroupId,
    /// Its name in the group.
    #[n(1)]
    pub name: String,
    /// Its metainfo file.
    #[n(2)]
    pub metainfo: MetainfoId,
    /// The file itself, absolute.
    #[n(3)]
    pub path: String,
}

/// Why a share did not come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotShared {
    /// Since the login no tracker has said that this user is in the group: it comes back as soon as one does.
    #[error("no tracker has said yet who is in the group; it is shared again as soon as one has")]
    Unconfirmed,
    /// What is kept about it cannot be read.
    #[error("what is known about it is damaged; share it again")]
    Damaged,
    /// Why the engine does not take it.
    #[error("{why}")]
    Refused {
        /// For people.
        why: String,
        /// Whether what lies there now is not what was shared.
        changed: bool,
    },
}

impl From<AddError> for NotShared {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Source { why, changed, .. } => Self::Refused { why, changed },
            error => Self::Refused { why: error.to_string(), changed: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use peerage_types::InfoHash;

    use super::*;

    #[test]
    fn survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let entry = ShareEntry {
            group: GroupId([1; 32]),
            name: "album \u{4e2d}".into(),
            metainfo: MetainfoId([2; 32]),
            path: "/srv/album".into(),
        };
        let open = || Shares::open(dir.path().to_owned(), "share").unwrap();
        open().put(InfoHash([9; 32]), entry.clone()).unwrap();
        assert_eq!(open().all(), vec![(InfoHash([9; 32]), entry)]);
    }
}
