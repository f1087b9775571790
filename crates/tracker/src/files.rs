//! How many files and sockets the system lets this process have open.

use crate::limits::OPEN_FILES;

/// Raises the soft limit to what the connection caps may need, as far as the system allows; says so when that is
/// less. A tracker with fewer works: at the limit what stalls makes room first.
#[cfg(unix)]
pub(crate) fn allow() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= OPEN_FILES) {
        return;
    }
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    } else if wanted < OPEN_FILES {
        tracing::warn!(
            allowed = wanted,
            wanted = OPEN_FILES,
            "few open files are allowed: raise the hard limit (ulimit -Hn) to serve more connections at once"
        );
    }
}

/// Other systems have no such limit that matters here.
#[cfg(not(unix))]
pub(crate) fn allow() {}
