//! A TCP relay on loopback that can be cut and healed: the fault between two real processes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What one read takes at most, bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Open connections of one proxy; further ones are refused. Two trackers keep one.
const CONNECTIONS_MAX: usize = 64;

/// Passes connections on to one address. Ends with its last connection when dropped.
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Mutex<Line>>,
    passed: Arc<Passed>,
}

/// What is passed on.
struct Passed {
    /// Bytes so far.
    to_target: AtomicU64,
    from_target: AtomicU64,
    /// Longest piece that gets through.
    piece_bytes_max: AtomicUsize,
}

impl Default for Passed {
    fn default() -> Self {
        let none = AtomicU64::new;
        Self { to_target: none(0), from_target: none(0), piece_bytes_max: AtomicUsize::new(usize::MAX) }
    }
}

struct Line {
    target: SocketAddr,
    cut: bool,
    ended: bool,
    /// Both ends of each connection, so that a cut reaches them.
    open: Vec<[TcpStream; 2]>,
}

impl Proxy {
    /// Listens on a free port of loopback and passes on to `target`, which need not listen yet.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let line = Line { target, cut: false, ended: false, open: Vec::new() };
        let line = Arc::new(Mutex::new(line));
        let accepting = Arc::clone(&line);
        let passed = Arc::<Passed>::default();
        let counting = Arc::clone(&passed);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if lock(&accepting).ended {
                    return;
                }
                // Whoever is refused sees the connection close, as with a dead process.
                if let Ok(stream) = stream {
                    drop(relay(&accepting, stream, &counting));
                }
            }
        });
        Ok(Self { address, line, passed })
    }

    /// Where to connect instead of to the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went to the target so far.
    pub fn bytes_to_target(&self) -> u64 {
        self.passed.to_target.load(Ordering::Relaxed)
    }

    /// Bytes that came from it.
    pub fn bytes_from_target(&self) -> u64 {
        self.passed.from_target.load(Ordering::Relaxed)
    }

    /// Ends all connections and refuses new ones, until [`Proxy::heal`].
    pub fn cut(&self) {
        let mut line = lock(&self.line);
        line.cut = true;
        line.hang_up();
    }

    /// Swallows whatever is sent in one piece of more than so many bytes, and all that comes behind it on that connection,
    /// as a path does that drops large packets without a word: TCP sends them again and again, and nothing overtakes them.
    pub fn swallow_above(&self, piece_bytes_max: usize) {
        self.passed.piece_bytes_max.store(piece_bytes_max, Ordering::Relaxed);
    }

    /// Accepts connections again.
    pub fn heal(&self) {
        lock(&self.line).cut = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut line = lock(&self.line);
        line.ended = true;
        line.hang_up();
        drop(line);
        // Wakes the accepting thread, which then ends; if it cannot, it ends with the process.
        drop(TcpStream::connect(self.address));
    }
}

impl Line {
    fn hang_up(&mut self) {
        for stream in self.open.drain(..).flatten() {
            // It fails only for one that has ended by itself.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn relay(line: &Arc<Mutex<Line>>, near: TcpStream, passed: &Arc<Passed>) -> io::Result<()> {
    let target = {
        let line = lock(line);
        if line.cut {
            return Ok(());
        }
        line.target
    };
    let far = TcpStream::connect(target)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let mut line = lock(line);
    line.open.retain(|[near, _]| near.peer_addr().is_ok());
    // It may have been cut while we connected.
    if line.cut || line.ended || line.open.len() >= CONNECTIONS_MAX {
        return Ok(());
    }
    let (near_out, far_out) = (near.try_clone()?, far.try_clone()?);
    line.open.push([near.try_clone()?, far.try_clone()?]);
    drop(line);
    let (there, back) = (Arc::clone(passed), Arc::clone(passed));
    thread::spawn(move || pump(near, far_out, &there.to_target, &there.piece_bytes_max));
    thread::spawn(move || pump(far, near_out, &back.from_target, &back.piece_bytes_max));
    Ok(())
}

/// Carries one direction until either end closes, then closes both.
fn pump(mut from: TcpStream, mut to: TcpStream, passed: &AtomicU64, piece_bytes_max: &AtomicUsize) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut lost = false;
    while let Ok(len @ 1..) = from.read(&mut chunk) {
        lost |= len > piece_bytes_max.load(Ordering::Relaxed);
        if lost {
            continue;
        }
        // Before it goes on: whoever has got it finds it counted.
        passed.fetch_add(len as u64, Ordering::Relaxed);
        if to.write_all(&chunk[..len]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        drop(stream.shutdown(Shutdown::Both));
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    // Flags and whole entries: every state of it is a good one.
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let out = stream.try_clone().unwrap();
                let all = AtomicUsize::new(usize::MAX);
                thread::spawn(move || pump(stream, out, &AtomicU64::new(0), &all));
            }
        });
        address
    }

    fn ask(stream: &mut TcpStream) -> io::Result<[u8; 4]> {
        stream.write_all(b"ping")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn cut_and_healed() {
        let proxy = Proxy::start(echo()).unwrap();
        let connect = || TcpStream::connect(proxy.address()).unwrap();
        let mut first = connect();
        assert_eq!(&ask(&mut first).unwrap(), b"ping");
        proxy.cut();
        assert!(ask(&mut first).is_err());
        assert!(ask(&mut connect()).is_err());
        proxy.heal();
        assert!(ask(&mut first).is_err());
        assert_eq!(&ask(&mut connect()).unwrap(), b"ping");
        assert_eq!((proxy.bytes_to_target(), proxy.bytes_from_target()), (8, 8));
    }
}
