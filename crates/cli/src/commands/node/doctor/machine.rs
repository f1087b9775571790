//! What doctor looks at on this machine: the data folder, who may read it, the disk.

use std::io;
use std::path::Path;

use super::Finding;

/// Less free disk space is a finding.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Files of the data folder that hold secrets.
const SECRET_FILES: [&str; 2] = ["node.json", "open.html"];

pub(super) fn writable(folder: &Path) -> Finding {
    let shown = folder.display();
    match tempfile::tempfile_in(folder) {
        Ok(_) => Finding::well("folder", format!("The data folder is `{shown}`.")),
        Err(error) => {
            let fix = format!("make it yours: sudo chown -R \"$USER\" '{shown}'");
            Finding::bad("folder", format!("The data folder `{shown}` cannot be written: {error}."), fix)
        }
    }
}

/// Whether others can read what only its owner should.
#[cfg(unix)]
pub(super) fn permissions(folder: &Path) -> Vec<Finding> {
    use std::os::unix::fs::PermissionsExt as _;
    let secret = SECRET_FILES.iter().map(|name| folder.join(name));
    let looked = std::iter::once(folder.to_owned()).chain(secret);
    let bad = looked.filter_map(|path| {
        let mode = match std::fs::metadata(&path) {
            Ok(found) => found.permissions().mode() & 0o777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => 0o777,
        };
        let shown = path.display();
        let what = format!("Others can reach `{shown}` (mode {mode:o}), which holds secrets.");
        (mode & 0o077 != 0).then(|| Finding::bad("permissions", what, format!("chmod go= '{shown}'")))
    });
    let bad: Vec<_> = bad.collect();
    match bad.is_empty() {
        true => vec![Finding::well("permissions", "Only you can read keys and token.")],
        false => bad,
    }
}

#[cfg(not(unix))]
pub(super) fn permissions(_: &Path) -> Vec<Finding> {
    Vec::new()
}

#[cfg(unix)]
pub(super) fn disk(folder: &Path) -> Option<Finding> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(room(folder, found.f_bavail.saturating_mul(found.f_frsize)))
}

#[cfg(not(unix))]
pub(super) fn disk(_: &Path) -> Option<Finding> {
    None
}

fn room(folder: &Path, free_bytes: u64) -> Finding {
    let what = format!("{} MiB are free where `{}` is.", free_bytes >> 20, folder.display());
    match free_bytes < FREE_BYTES_MIN {
        false => Finding::well("disk", what),
        true => {
            let fix = "free some space, or start with --data on another disk: downloads stop when it is full";
            Finding::bad("disk", what, fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_full_disk_cannot_be_provoked_everywhere() {
        let level = |free_bytes| room(Path::new("/"), free_bytes).level;
        assert_eq!((level(FREE_BYTES_MIN), level(FREE_BYTES_MIN - 1)), (Level::Well, Level::Bad));
    }
}
