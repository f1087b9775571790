//! The log: stderr, off unless asked for. Nothing that is logged anywhere holds a password or a key.

use tracing_subscriber::EnvFilter;

/// `PEERAGE_LOG` (as `info` or `peerage_node=debug`) wins over `-v` (info), `-vv` (debug), `-vvv` (trace).
pub fn start(verbosity: u8) {
    let given = std::env::var("PEERAGE_LOG").unwrap_or_default();
    let ours = match verbosity {
        0 => "error",
        1 => "warn,peerage_node=info,peerage_tracker=info,peerage_link=info,peerage=info",
        2 => "info,peerage_node=debug,peerage_tracker=debug,peerage_link=debug,peerage=debug",
        _ => "trace,rustls=info,h2=info,hyper=info,rustyline=info",
    };
    let directives = if given.is_empty() { ours } else { &given };
    let filter = EnvFilter::builder().parse_lossy(directives);
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    match to_journal() {
        true => log.without_time().init(),
        false => log.init(),
    }
}

/// Whether stderr is the journal, which notes the time itself. systemd names its socket in `JOURNAL_STREAM`, as
/// `DEVICE:INODE`; a child whose stderr leads elsewhere inherits the variable too.
#[cfg(unix)]
fn to_journal() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/dev/stderr")
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(not(unix))]
fn to_journal() -> bool {
    false
}
