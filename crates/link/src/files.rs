//! How many files and sockets the system lets this process have open.

/// Raises the soft limit to `wanted`, as far as the system allows; says so when that is less. Everything works with
/// fewer: at the limit what stalls makes room first, and what cannot be opened is tried again.
#[cfg(unix)]
pub fn allow(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    } else if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "few open files are allowed: raise the hard limit (ulimit -Hn) to serve more connections at once"
        );
    }
}

/// Other systems have no such limit that matters here.
#[cfg(not(unix))]
pub fn allow(_: u64) {}
