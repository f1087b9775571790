//! Password records that were made on this machine, kept for trackers that lost them.
//!
//! No tracker shows an AuthRecord to anybody, because it would let them guess the password, so no other member can bring
//! one back when a whole cluster was set back to a backup. The file is sealed under the identity key, which only the
//! password opens: who steals the disk can guess as little as before.

use std::path::Path;

use ed25519_dalek::SigningKey;
use minicbor::bytes::ByteVec;
use peerage_ledger::{Body, Record};
use peerage_link::vault;
use peerage_types::{ClusterId, RecordId};

use super::folder::{FolderError, read_file, write_atomic};
use super::outbox::RecordBytes;

/// The file's name in an account's folder.
const FILE: &str = "passwords";
/// As many are kept; the oldest go.
const KEPT_MAX: usize = 8;

/// Adds a record that was made just now. That it cannot be kept is no reason to refuse a command.
pub(super) fn keep(folder: &Path, identity: &SigningKey, record: &Record) {
    let mut records = read(folder, identity);
    records.push(record.bytes().to_vec().into());
    let excess = records.len().saturating_sub(KEPT_MAX);
    records.drain(..excess);
    if let Err(error) = write(folder, identity, &records) {
        tracing::warn!(%error, "the password record cannot be kept");
    }
}

/// The password record that counts and those before it, oldest first, as far as they were made on this machine.
pub(super) fn kept(
    folder: &Path,
    identity: &SigningKey,
    counts: Option<RecordId>,
    cluster: &ClusterId,
) -> Vec<RecordBytes> {
    let records = read(folder, identity);
    let records: Vec<Record> =
        records.iter().filter_map(|bytes| Record::decode(bytes, cluster).ok()).collect();
    let (mut chain, mut next) = (Vec::new(), counts);
    while let Some(record) = next.and_then(|id| records.iter().find(|record| record.id() == id)) {
        chain.push(record.shared_bytes());
        next = match record.body() {
            Body::AuthRecord { previous, .. } => *previous,
            _ => None,
        };
    }
    chain.reverse();
    chain
}

fn read(folder: &Path, identity: &SigningKey) -> Vec<ByteVec> {
    let sealed = read_file(&folder.join(FILE)).ok().flatten();
    let text = sealed.and_then(|sealed| vault::open_own(identity, &sealed).ok());
    text.and_then(|text| minicbor::decode(&text).ok()).unwrap_or_default()
}

fn write(folder: &Path, identity: &SigningKey, records: &[ByteVec]) -> Result<(), FolderError> {
    let path = folder.join(FILE);
    let other = |why: String| FolderError::Io { path: path.clone(), source: std::io::Error::other(why) };
    let text = minicbor::to_vec(records.to_vec()).map_err(|e| other(e.to_string()))?;
    let sealed = vault::seal_own(identity, &text).map_err(|e| other(e.to_string()))?;
    write_atomic(&path, &sealed)
}

#[cfg(test)]
mod tests {
    use peerage_ledger::Draft;
    use peerage_types::{Scope, UserId};

    use super::super::unlock::public;
    use super::*;

    #[test]
    fn the_chain_that_counts_comes_back_in_order() {
        let (dir, cluster) = (tempfile::tempdir().unwrap(), ClusterId([1; 16]));
        let identity = SigningKey::from_bytes(&[7; 32]);
        let user = UserId::of_identity(&public(&identity));
        let record = |n: u8, previous: Option<RecordId>| {
            let body =
                Body::AuthRecord { opaque_key: 1, password_file: vec![n; 192], vault: vec![n; 61], previous };
            let draft = Draft { cluster, scope: Scope::Account(user), author: user, prev: None, body };
            Record::sign(draft, &identity)
        };
        let first = record(1, None);
        let second = record(2, Some(first.id()));
        let elsewhere = record(3, Some(second.id()));
        keep(dir.path(), &identity, &first);
        keep(dir.path(), &identity, &second);
        let of = |counts: &Record| kept(dir.path(), &identity, Some(counts.id()), &cluster);
        assert_eq!(of(&second), [first.shared_bytes(), second.shared_bytes()]);
        assert_eq!(of(&first), [first.shared_bytes()]);
        assert!(of(&elsewhere).is_empty(), "another device changed it");
        let stranger = SigningKey::from_bytes(&[8; 32]);
        assert!(kept(dir.path(), &stranger, Some(first.id()), &cluster).is_empty());
        // Old ones go.
        (0..20).for_each(|n| keep(dir.path(), &identity, &record(n, None)));
        assert!(of(&second).is_empty());
    }
}
