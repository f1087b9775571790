//! Signals that end the program cleanly, or make a tracker read its list again.

use tokio::signal;
use tokio::sync::mpsc;

/// What a program ends with that Ctrl-C ended, as shells have it: 128 and the signal's number.
pub const INTERRUPTED: u8 = 130;

/// What `work` comes to; `None` if Ctrl-C, SIGTERM or a hang-up comes first.
pub async fn or_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut interrupted = shutdown();
    tokio::select! {
        result = work => Some(result),
        _ = interrupted.recv() => None,
    }
}

/// What asks a program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    CtrlC,
    Terminate,
    HangUp,
}

/// Yields once for each Ctrl-C, SIGTERM or hang-up from now on.
pub fn shutdown() -> mpsc::Receiver<()> {
    watch(&[Ends::CtrlC, Ends::Terminate, Ends::HangUp])
}

/// Yields once for each SIGTERM or hang-up from now on; Ctrl-C stays with whoever reads the terminal.
pub fn terminate() -> mpsc::Receiver<()> {
    watch(&[Ends::Terminate, Ends::HangUp])
}

/// Yields once for each Ctrl-C or SIGTERM from now on; a hang-up means something else, see [`hang_up`].
pub fn stop() -> mpsc::Receiver<()> {
    watch(&[Ends::CtrlC, Ends::Terminate])
}

/// Yields once for each SIGHUP from now on; nothing where there is no such signal.
pub fn hang_up() -> mpsc::Receiver<()> {
    watch(&[Ends::HangUp])
}

fn watch(ends: &[Ends]) -> mpsc::Receiver<()> {
    let (tx, rx) = mpsc::channel(1);
    if ends.contains(&Ends::CtrlC) {
        let tx = tx.clone();
        tokio::spawn(async move { while signal::ctrl_c().await.is_ok() && tx.send(()).await.is_ok() {} });
    }
    #[cfg(unix)]
    for (end, kind) in [
        (Ends::Terminate, signal::unix::SignalKind::terminate()),
        (Ends::HangUp, signal::unix::SignalKind::hangup()),
    ] {
        if !ends.contains(&end) {
            continue;
        }
        let tx = tx.clone();
        match signal::unix::signal(kind) {
            Ok(mut stream) => {
                tokio::spawn(
                    async move { while stream.recv().await.is_some() && tx.send(()).await.is_ok() {} },
                );
            }
            Err(error) => tracing::warn!(%error, "cannot listen for signals"),
        }
    }
    // Keeps the channel open where nothing else would.
    tokio::spawn(async move { tx.closed().await });
    rx
}
