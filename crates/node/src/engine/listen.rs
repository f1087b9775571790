//! Takes connections from outside. The first byte says what somebody wants to speak.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Registry;
use super::handshake;
use super::shared::EngineShared;
use super::torrent::Msg;

/// A TLS record that carries a handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Length of `BitTorrent protocol`: a standard client without TLS (BEP 3).
const BITTORRENT: u8 = 0x13;
/// Whoever dials speaks first, at once; the silent must not hold a place for long.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(2);
/// After a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs until it is dropped.
pub(super) async fn run(listener: TcpListener, engine: Arc<EngineShared>, registry: Arc<Registry>) {
    loop {
        let (tcp, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer's connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Too many strangers at once: whoever has stalled the longest makes room.
        let pass = engine.doors.enter(addr.ip());
        let (engine, registry) = (Arc::clone(&engine), Arc::clone(&registry));
        tokio::spawn(async move {
            let deadline = engine.config.handshake_timeout;
            tokio::select! {
                () = pass.shown_out() => tracing::debug!(%addr, "refused: others need the place"),
                greeted = timeout(deadline, greet(tcp, addr, &engine, &registry)) => if greeted.is_err() {
                    tracing::debug!(%addr, "refused: the handshake takes too long");
                },
            }
        });
    }
}

async fn greet(tcp: TcpStream, addr: SocketAddr, engine: &EngineShared, registry: &Registry) {
    let mut first = [0];
    match timeout(FIRST_BYTE_MAX, tcp.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    match first[0] {
        TLS_HANDSHAKE => {}
        BITTORRENT => {
            tracing::info!(%addr, "refused a standard BitTorrent client: no group here lets them in");
            return;
        }
        other => {
            tracing::debug!(%addr, "refused: a connection starts with byte {other:#04x}, expected TLS");
            return;
        }
    }
    let (stream, device) = match handshake::accept_tls(engine, tcp).await {
        Ok(accepted) => accepted,
        Err(error) => return tracing::debug!(%addr, %error, "refused"),
    };
    match handshake::accept(stream, device, addr, |hash| registry.by_short_hash(hash)).await {
        Ok((torrent, admitted)) => torrent.tell(Msg::Admitted(Box::new(admitted))),
        Err(error) => tracing::debug!(%addr, device = %device.tag(), %error, "refused"),
    }
}
