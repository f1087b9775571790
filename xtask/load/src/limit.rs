//! The bare program for transfers: TLS 1.3 with the tracker's and peers' own settings, SHA-256 of every 16 KiB side by
//! side, `pwrite`. One thread sends; on the other side one receives and decrypts, one hashes and writes. No protocol,
//! no verification, no choice of pieces: what is left is what the machine can give.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context as _, Result, bail};
use ed25519_dalek::SigningKey;
use peerage_link::tls::{ClientKey, ExpectedKey, client_config, server_config, server_name};
use rustls::{ClientConnection, ServerConnection};

/// Bytes of one read from the file, and of one read from the socket.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes that are hashed and written at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// Pieces between the two threads of the receiver.
const PIECES_MAX: usize = 8;
const BLOCK_BYTES: usize = 16 * 1024;

/// Sends a file to the first who connects.
pub fn send(source: &Path) -> Result<()> {
    let file = File::open(source).with_context(|| source.display().to_string())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening {}", listener.local_addr()?);
    let (mut tcp, _) = listener.accept()?;
    tcp.set_nodelay(true)?;
    let key = SigningKey::from_bytes(&[1; 32]);
    let mut tls = ServerConnection::new(server_config(&key, ClientKey::Required, &[]))?;
    tls.set_buffer_limit(Some(2 * CHUNK_BYTES));
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let n = file.read_at(&mut chunk, at)?;
        if n == 0 {
            break;
        }
        at += n as u64;
        tls.writer().write_all(&chunk[..n])?;
        while tls.wants_write() {
            tls.write_tls(&mut tcp)?;
        }
    }
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut tcp)?;
    }
    // The figures are read while we still exist.
    Ok(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).map(|_| ())?)
}

/// Receives it, once told to.
pub fn receive(from: SocketAddr, target: &Path) -> Result<()> {
    let tcp = TcpStream::connect(from)?;
    tcp.set_nodelay(true)?;
    let mut write_half = tcp.try_clone()?;
    let mut tcp = BufReader::with_capacity(CHUNK_BYTES, tcp);
    let key = SigningKey::from_bytes(&[2; 32]);
    let mut tls = ClientConnection::new(client_config(Some(&key), ExpectedKey::Learn, &[]), server_name())?;
    let file = File::create(target).with_context(|| target.display().to_string())?;
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    let (full, pieces) = sync_channel::<(Vec<u8>, usize)>(PIECES_MAX);
    let (spare, spares) = sync_channel::<Vec<u8>>(PIECES_MAX + 2);
    for _ in 0..PIECES_MAX + 2 {
        spare.send(vec![0; PIECE_BYTES])?;
    }
    let writer = thread::spawn(move || -> Result<()> {
        let mut at = 0;
        for (piece, len) in pieces {
            let blocks: Vec<&[u8]> = piece[..len].chunks(BLOCK_BYTES).collect();
            let mut leaves = vec![[0; 32]; blocks.len()];
            tape_sha256::hash_many(&blocks, &mut leaves);
            std::hint::black_box(&leaves);
            file.write_all_at(&piece[..len], at)?;
            at += len as u64;
            // The other side may have ended.
            drop(spare.send(piece));
        }
        Ok(())
    });
    let mut piece = spares.recv()?;
    let mut len = 0;
    loop {
        while tls.wants_write() {
            tls.write_tls(&mut write_half)?;
        }
        if tls.read_tls(&mut tcp)? == 0 {
            bail!("the sender has ended too early");
        }
        let state = tls.process_new_packets()?;
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            let n = tls.reader().read(&mut piece[len..])?;
            (len, left) = (len + n, left - n);
            if len == PIECE_BYTES {
                full.send((std::mem::replace(&mut piece, spares.recv()?), len))?;
                len = 0;
            }
        }
        if state.peer_has_closed() {
            break;
        }
    }
    full.send((piece, len))?;
    drop(full);
    writer.join().map_err(|_| anyhow::anyhow!("the writer has ended badly"))??;
    println!("done");
    Ok(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).map(|_| ())?)
}
