//! Content identity: what is the same whatever the group, the piece length and the spelling of the metainfo.

use peerage_types::ContentId;
use sha2::{Digest, Sha256};

use crate::model::FileEntry;

const DOMAIN: &[u8] = b"peerage 2026 content id\0";

/// SHA-256 over this encoding, integers big-endian:
///
/// ```text
/// "peerage 2026 content id" 00
/// kind        u8    0 = single file, 1 = folder
/// file count  u64
/// each file, in the order of its path (component by component, as raw bytes):
///   component count  u32
///   each component:  length u32, UTF-8 bytes
///   size             u64
///   root             32 bytes, the BEP 52 `pieces root`; zeros when the file is empty
/// ```
///
/// A single file's only component is its name; a folder's own name is no part of its paths.
pub(crate) fn content_id(single_file: bool, files: &[FileEntry]) -> ContentId {
    let mut hash = Sha256::new_with_prefix(DOMAIN);
    hash.update([u8::from(!single_file)]);
    hash.update((files.len() as u64).to_be_bytes());
    for file in files {
        let components = file.path.components();
        hash.update((components.len() as u32).to_be_bytes());
        for component in components {
            hash.update((component.as_str().len() as u32).to_be_bytes());
            hash.update(component.as_str());
        }
        hash.update(file.size.to_be_bytes());
        hash.update(file.root.map_or([0; 32], |root| root.0));
    }
    ContentId(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use peerage_types::{SafePath, Sha256};

    use super::*;

    /// The expected values come from Python's `hashlib` over the encoding written out by hand.
    #[test]
    fn golden() {
        let empty = FileEntry { path: SafePath::new(["a", "é"]).unwrap(), size: 0, root: None };
        let full = FileEntry { path: SafePath::new(["b"]).unwrap(), size: 258, root: Some(Sha256([7; 32])) };
        assert_eq!(
            content_id(true, std::slice::from_ref(&full)).to_hex(),
            "047a771d40a1b57473dd7f900d5d4c65dc90a523a8540149b1373c156eaed798"
        );
        assert_eq!(
            content_id(false, std::slice::from_ref(&full)).to_hex(),
            "b6a79091cd4a39e6f74e66eb33afe6b82e3ceefa145b3a09418fc2b9af07809d"
        );
        assert_eq!(
            content_id(false, &[empty, full]).to_hex(),
            "8b0ab818b229df7f220053f377e8912c0efbf539cc06932ce6036c6c45ef1aa5"
        );
    }
}
