//! The own account's records, kept so that no tracker can show an older account than this device has seen; and to
//! which account each name led when it was first used here.

use std::collections::BTreeMap;
use std::path::Path;

use peerage_ledger::{AccountView, Facts};
use peerage_link::api::SignedRow;
use peerage_types::{ClusterId, FoldedName, Scope, UserId};

use super::folder::{DataRoot, FolderError, create_private, read_file, write_atomic};
use super::rows::{Keys, Rows, SnapshotFault};

/// The records' file in an account's folder.
const FILE: &str = "account";
/// The names' file in a cluster's folder.
const NAMES_FILE: &str = "users";

/// Unites what a tracker shows of the own account with what is kept, and keeps that. Blocking.
pub fn unite(
    folder: &Path,
    user: UserId,
    told: &[SignedRow],
    keys: &Keys,
) -> Result<(Facts, AccountView), SnapshotFault> {
    let path = folder.join(FILE);
    let mut rows = Rows::default();
    let kept = read_file(&path).ok().flatten().unwrap_or_default();
    let kept = minicbor::decode::<Vec<SignedRow>>(&kept).unwrap_or_default();
    if let Err(error) = rows.add(&kept, Scope::Account(user), keys) {
        tracing::warn!(%error, "the kept account is unusable");
        rows = Rows::default();
    }
    rows.add(told, Scope::Account(user), keys)?;
    let view = AccountView::of(user, &rows.facts).ok_or(SnapshotFault::Incomplete)?;
    let signed = rows.signed();
    if signed != kept {
        let saved = minicbor::to_vec(&signed).map_err(|e| e.to_string());
        let saved = saved.and_then(|bytes| write_atomic(&path, &bytes).map_err(|e| e.to_string()));
        if let Err(error) = saved {
            tracing::warn!(%error, "the account cannot be kept");
        }
    }
    Ok((rows.facts, view))
}

/// The account that this name led to when it was last used on this machine.
pub fn pinned(root: &DataRoot, cluster: &ClusterId, name: &FoldedName) -> Option<UserId> {
    names(root, cluster).get(name.as_str()).copied()
}

/// Remembers where a name leads.
pub fn pin(root: &DataRoot, cluster: &ClusterId, name: &FoldedName, user: UserId) -> Result<(), FolderError> {
    let mut names = names(root, cluster);
    if names.insert(name.as_str().to_owned(), user) == Some(user) {
        return Ok(());
    }
    let folder = root.cluster(cluster);
    create_private(&folder)?;
    let bytes = minicbor::to_vec(&names).unwrap_or_default();
    write_atomic(&folder.join(NAMES_FILE), &bytes)
}

fn names(root: &DataRoot, cluster: &ClusterId) -> BTreeMap<String, UserId> {
    let bytes = read_file(&root.cluster(cluster).join(NAMES_FILE)).ok().flatten().unwrap_or_default();
    minicbor::decode(&bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_where_it_led() {
        let dir = tempfile::tempdir().unwrap();
        let root = DataRoot::resolve(Some(dir.path())).unwrap();
        let cluster = ClusterId([1; 16]);
        let name = |text: &str| text.parse::<peerage_types::Name>().unwrap().folded();
        assert_eq!(pinned(&root, &cluster, &name("ada")), None);
        pin(&root, &cluster, &name("Ada"), UserId([1; 32])).unwrap();
        assert_eq!(pinned(&root, &cluster, &name("aDA")), Some(UserId([1; 32])));
        assert_eq!(pinned(&root, &ClusterId([2; 16]), &name("ada")), None);
    }
}
