//! Signals that end the program cleanly.

use tokio::signal;
use tokio::sync::mpsc;

/// Yields once for each Ctrl-C or SIGTERM from now on.
pub fn shutdown() -> mpsc::Receiver<()> {
    watch(true)
}

/// Yields once for each SIGTERM or hang-up from now on; Ctrl-C stays with whoever reads the terminal.
pub fn terminate() -> mpsc::Receiver<()> {
    watch(false)
}

fn watch(ctrl_c: bool) -> mpsc::Receiver<()> {
    let (tx, rx) = mpsc::channel(1);
    if ctrl_c {
        let tx = tx.clone();
        tokio::spawn(async move { while signal::ctrl_c().await.is_ok() && tx.send(()).await.is_ok() {} });
    }
    #[cfg(unix)]
    for kind in [signal::unix::SignalKind::terminate(), signal::unix::SignalKind::hangup()] {
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
