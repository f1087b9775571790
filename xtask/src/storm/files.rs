//! How many files and sockets this process and its children may have open.

use anyhow::{Result, bail};

/// Raises the soft limit to `wanted`. The trackers that are started inherit it.
///
/// # Errors
/// When the system allows fewer, with what to do.
#[cfg(unix)]
pub fn allow(wanted: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < wanted) {
        let maximum = maximum.unwrap_or_default();
        bail!(
            "this needs {wanted} open files, the system allows {maximum}: raise the hard limit (`ulimit -Hn {wanted}` \
             as root, or limits.conf) or ask for fewer with --stalled"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
    Ok(())
}

/// Other systems have no such limit that matters here.
#[cfg(not(unix))]
pub fn allow(_: u64) -> Result<()> {
    Ok(())
}
