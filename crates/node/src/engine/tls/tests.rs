//! Against rustls' own stream, in both roles, over sockets that drip, cut and change what passes.

use std::sync::atomic::{AtomicBool, Ordering};

use ed25519_dalek::SigningKey;
use peerage_link::tls::{ClientKey, ExpectedKey, TlsError, client_config, server_config, server_name};
use peerage_types::PublicKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::*;
use crate::engine::socket::ALPN;
use crate::engine::tests::soon;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey(key(seed).verifying_key().to_bytes())
}

fn pool() -> Arc<Pool> {
    Pool::new(BUF_BYTES, BUF_BYTES)
}

/// What happens to the bytes on the way to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Straight,
    /// One byte at a time, in both directions.
    Drip,
    /// Once armed: these many bytes pass, then the connection ends.
    Cut(usize),
    /// Once armed: one bit of this byte is changed.
    Flip(usize),
    /// All that the other side sends after its first flight comes at once, when it has ended.
    Lump,
}

struct Ends {
    ours: PeerStream,
    theirs: TlsStream<TcpStream>,
    armed: Arc<AtomicBool>,
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (a, b) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async { listener.accept().await });
    let (a, b) = (a.unwrap(), b.unwrap().0);
    a.set_nodelay(true).unwrap();
    b.set_nodelay(true).unwrap();
    (a, b)
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, armed: Arc<AtomicBool>) {
    let mut buf = vec![0; 64 * 1024];
    let (mut first, mut lump, mut passed, mut flipped) = (true, Vec::new(), 0, false);
    while let Ok(n @ 1..) = from.read(&mut buf).await {
        let mut bytes = buf[..n].to_vec();
        let armed = armed.load(Ordering::Relaxed);
        match way {
            Way::Drip => {
                for byte in bytes {
                    if to.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
                continue;
            }
            Way::Lump if !first => {
                lump.extend(bytes);
                continue;
            }
            Way::Cut(at) if armed => {
                let left = at - passed;
                if n > left {
                    let _ = to.write_all(&bytes[..left]).await;
                    return;
                }
                passed += n;
            }
            Way::Flip(at) if armed && !flipped && at < n => {
                bytes[at] ^= 1;
                flipped = true;
            }
            _ => first = false,
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.write_all(&lump).await;
}

/// Our stream and rustls' own, through a relay.
async fn meet(we_dial: bool, way: Way) -> Ends {
    let (ours, near) = tcp_pair().await;
    let (far, theirs) = tcp_pair().await;
    let armed = Arc::new(AtomicBool::new(false));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let back = if way == Way::Drip { Way::Drip } else { Way::Straight };
    tokio::spawn(pass(near_read, far_write, back, Arc::clone(&armed)));
    tokio::spawn(pass(far_read, near_write, way, Arc::clone(&armed)));
    let server = |seed| server_config(&key(seed), ClientKey::Required, &[ALPN]);
    let client = |seed, other| client_config(Some(&key(seed)), ExpectedKey::Exactly(public(other)), &[ALPN]);
    if we_dial {
        let accepting = TlsAcceptor::from(server(2)).accept(theirs);
        let (ours, theirs) = tokio::join!(connect(ours, client(1, 2), server_name(), pool()), accepting);
        return Ends { ours: ours.unwrap(), theirs: TlsStream::Server(theirs.unwrap()), armed };
    }
    let connecting = TlsConnector::from(client(2, 1)).connect(server_name(), theirs);
    let (ours, theirs) = tokio::join!(accept(ours, server(1), pool()), connecting);
    let (ours, shown) = ours.unwrap();
    assert_eq!(shown, Some(public(2)));
    Ends { ours, theirs: TlsStream::Client(theirs.unwrap()), armed }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Reads to the end through the large path.
async fn read_all(stream: &mut PeerStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let read = std::future::poll_fn(|cx| {
            stream.poll_each(cx, usize::MAX, |bytes| {
                all.extend_from_slice(bytes);
                io::Result::Ok(())
            })
        });
        if read.await?.is_none() {
            return Ok(all);
        }
    }
}

/// `len` bytes there and back, then a proper end on both sides.
async fn there_and_back(mut ends: Ends, len: usize) {
    let data = noise(len);
    let (mut their_read, mut their_write) = tokio::io::split(ends.theirs);
    let theirs = async {
        let mut got = vec![0; len];
        soon(their_read.read_exact(&mut got)).await.unwrap();
        their_write.write_all(&got).await.unwrap();
        their_write.shutdown().await.unwrap();
        assert_eq!(soon(their_read.read(&mut [0])).await.unwrap(), 0, "we end properly, too");
        got
    };
    let ours = async {
        // Slices of all lengths, as headers and blocks come.
        let mut at = 0;
        for step in [1, 13, 16_384, 3, 1_024, 1_025, 70_000, 13].into_iter().cycle() {
            let end = (at + step).min(len);
            ends.ours.write_all(&data[at..end]).await.unwrap();
            at = end;
            if at == len {
                break;
            }
        }
        ends.ours.flush().await.unwrap();
        let got = soon(read_all(&mut ends.ours)).await.unwrap();
        ends.ours.shutdown().await.unwrap();
        got
    };
    let (theirs, ours) = tokio::join!(theirs, ours);
    assert!(theirs == data && ours == data);
}

#[tokio::test]
async fn speaks_with_rustls_in_both_roles() {
    for we_dial in [true, false] {
        there_and_back(meet(we_dial, Way::Straight).await, 3_000_000).await;
        there_and_back(meet(we_dial, Way::Drip).await, 20_000).await;
    }
}

#[tokio::test]
async fn a_vectored_write_arrives_in_order() {
    let mut ends = meet(true, Way::Straight).await;
    let data = noise(700_000);
    let cuts = [0, 13, 13, 20, 262_157, 262_170, 300_000, 300_005, 700_000];
    let slices: Vec<_> = cuts.windows(2).map(|cut| cut[0]..cut[1]).collect();
    let mut sent = 0;
    let write = async {
        while sent < data.len() {
            let left: Vec<_> = slices
                .iter()
                .filter(|slice| slice.end > sent)
                .map(|slice| IoSlice::new(&data[slice.start.max(sent)..slice.end]))
                .collect();
            sent += ends.ours.write_vectored(&left).await.unwrap();
        }
        ends.ours.flush().await.unwrap();
    };
    let mut got = vec![0; 700_000];
    let (read, ()) = tokio::join!(soon(ends.theirs.read_exact(&mut got)), write);
    read.unwrap();
    assert!(got == data);
}

#[tokio::test]
async fn what_comes_right_behind_the_handshake_is_not_lost() {
    let (ours, near) = tcp_pair().await;
    let (far, theirs) = tcp_pair().await;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::spawn(pass(near_read, far_write, Way::Straight, Arc::default()));
    tokio::spawn(pass(far_read, near_write, Way::Lump, Arc::default()));
    let data = noise(100_000);
    let config = client_config(Some(&key(2)), ExpectedKey::Exactly(public(1)), &[ALPN]);
    let client = async {
        let mut theirs = TlsConnector::from(config).connect(server_name(), theirs).await.unwrap();
        theirs.write_all(&data).await.unwrap();
        theirs.shutdown().await.unwrap();
        theirs
    };
    let config = server_config(&key(1), ClientKey::Required, &[ALPN]);
    let (_theirs, ours) = tokio::join!(client, accept(ours, config, pool()));
    let mut ours = ours.unwrap().0;
    let mut first = [0; 9];
    soon(ours.read_exact(&mut first)).await.unwrap();
    let rest = soon(read_all(&mut ours)).await.unwrap();
    assert!([&first[..], &rest].concat() == data);
}

#[tokio::test]
async fn keys_change_on_both_sides() {
    for we_dial in [true, false] {
        let mut ends = meet(we_dial, Way::Straight).await;
        ends.ours.layer.tx_records_max = 5;
        let data = noise(50_000);
        for _ in 0..20 {
            match &mut ends.theirs {
                TlsStream::Client(stream) => stream.get_mut().1.refresh_traffic_keys().unwrap(),
                TlsStream::Server(stream) => stream.get_mut().1.refresh_traffic_keys().unwrap(),
            }
            let mut got = vec![0; data.len()];
            ends.theirs.write_all(&data).await.unwrap();
            ends.theirs.flush().await.unwrap();
            soon(ends.ours.read_exact(&mut got)).await.unwrap();
            assert!(got == data && ends.ours.layer.update_due, "rustls asks for new keys of ours");
            ends.ours.write_all(&got).await.unwrap();
            ends.ours.flush().await.unwrap();
            soon(ends.theirs.read_exact(&mut got)).await.unwrap();
            assert!(got == data && !ends.ours.layer.update_due);
        }
    }
}

#[tokio::test]
async fn key_updates_without_end_are_a_fault() {
    let mut ends = meet(false, Way::Straight).await;
    let TlsStream::Client(theirs) = &mut ends.theirs else { unreachable!("it dials") };
    for _ in 0..40 {
        theirs.get_mut().1.refresh_traffic_keys().unwrap();
        theirs.flush().await.unwrap();
    }
    let error = soon(read_all(&mut ends.ours)).await.unwrap_err();
    assert_eq!(error.to_string(), "more than 32 TLS records without data, one after another");
    ends.ours.shutdown().await.unwrap();
    let heard = soon(theirs.read(&mut [0])).await.unwrap_err().to_string();
    assert_eq!(heard, "received fatal alert: UnexpectedMessage");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_not_a_stream_that_ended() {
    for at in [0, 3, 5, 5_000, 30_000] {
        let mut ends = meet(true, Way::Cut(at)).await;
        ends.armed.store(true, Ordering::Relaxed);
        let data = noise(60_000);
        // The relay may be gone before all is written.
        let _ = ends.theirs.write_all(&data).await;
        let _ = ends.theirs.flush().await;
        let error = soon(read_all(&mut ends.ours)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {at}");
    }
}

#[tokio::test]
async fn nothing_of_a_changed_record_is_seen() {
    let cases = [
        (0, "a TLS record of type 22, expected application data (23)"),
        (5, "a TLS record that is not from the other side, or was changed on its way"),
        (800, "a TLS record that is not from the other side, or was changed on its way"),
    ];
    for (at, expected) in cases {
        let mut ends = meet(false, Way::Flip(at)).await;
        ends.armed.store(true, Ordering::Relaxed);
        ends.theirs.write_all(&noise(1_000)).await.unwrap();
        ends.theirs.flush().await.unwrap();
        let read = std::future::poll_fn(|cx| {
            ends.ours.poll_each(cx, usize::MAX, |_| -> io::Result<()> { panic!("it saw something") })
        });
        assert_eq!(soon(read).await.unwrap_err().to_string(), expected, "byte {at}");
    }
}

#[tokio::test]
async fn the_wrong_device_is_named_and_told() {
    let (ours, theirs) = tcp_pair().await;
    let accepting = TlsAcceptor::from(server_config(&key(3), ClientKey::Required, &[ALPN])).accept(theirs);
    let config = client_config(Some(&key(1)), ExpectedKey::Exactly(public(2)), &[ALPN]);
    let (ours, theirs) = tokio::join!(connect(ours, config, server_name(), pool()), accepting);
    let error = ours.map(|_| ()).unwrap_err();
    assert_eq!(TlsError::of_io(&error), Some(TlsError::WrongKey { expected: public(2), got: public(3) }));
    let heard = theirs.map(|_| ()).unwrap_err().to_string();
    assert!(heard.starts_with("received fatal alert"), "{heard}");
}

#[test]
fn only_records_of_a_possible_length_are_waited_for() {
    let check = |bytes: &[u8], expected: &str| {
        let got = match Layer::frame(bytes) {
            Ok(Some(len)) => format!("{len} bytes"),
            Ok(None) => "more".to_owned(),
            Err(fault) => fault.to_string(),
        };
        assert_eq!(got, expected);
    };
    check(&[], "more");
    check(&[23, 3, 3, 0x40], "more");
    check(&[21], "a TLS record of type 21, expected application data (23)");
    check(&[23, 3, 3, 0x41, 0], "more");
    check(&[23, 3, 3, 0x41, 1], "a TLS record of 16641 bytes, expected 17 to 16640");
    check(&[23, 3, 3, 0, 16], "a TLS record of 16 bytes, expected 17 to 16640");
    check(&[&[23, 3, 3, 0, 17][..], &[0; 30]].concat(), "22 bytes");
}
