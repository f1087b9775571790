//! Where the runs take place: a network namespace of their own in which all sockets use the same congestion control,
//! and a tracker for the programs that find each other in no other way.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// An address of this machine for each of several programs, none of them the loopback's: Transmission refuses those as
/// peers, and takes programs of one address for one peer, whatever their ports.
pub fn outside(index: usize) -> Ipv4Addr {
    let [a, b, c, first] = OUTSIDE;
    Ipv4Addr::new(a, b, c, first + u8::try_from(index).unwrap_or(0))
}

/// The first one; all of its 256 neighbours are addresses of the namespace.
const OUTSIDE: [u8; 4] = [10, 77, 0, 1];
/// Set inside the namespace.
const INSIDE: &str = "PEERAGE_BENCH_INSIDE";
/// BBR halves loopback speed, so everybody gets CUBIC, whether they would choose it or not.
const SETUP: &str = "set -e; ip link set lo up; ip addr add 10.77.0.1/24 dev lo; \
    for to in 127.0.0.1 127.0.0.0/8 10.77.0.1 10.77.0.0/24; do \
    ip route replace local $to dev lo table local congctl cubic; done; exec \"$@\"";

/// Whether this process is in the namespace already.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// `command` to be run in a namespace of its own; `None` where that is not allowed.
pub fn inside(program: &std::ffi::OsStr) -> Option<Command> {
    let build = |program: &std::ffi::OsStr| {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", SETUP, "sh"]).arg(program).env(INSIDE, "1");
        command
    };
    let probe = build("true".as_ref()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success()).then(|| build(program))
}

/// A BitTorrent tracker (BEP 3, BEP 23) that gives everybody the same list, without who asks.
pub struct StaticTracker {
    pub url: String,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl StaticTracker {
    /// Runs until the process ends.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/announce", listener.local_addr()?);
        let peers = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let listed = Arc::clone(&peers);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let peers = listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Whoever hangs up too early asks again.
                drop(answer(stream, &peers));
            }
        });
        Ok(Self { url, peers })
    }

    /// Whom to list from now on.
    pub fn set(&self, peers: Vec<SocketAddr>) {
        *self.peers.lock().unwrap_or_else(PoisonError::into_inner) = peers;
    }
}

fn answer(mut stream: TcpStream, peers: &[SocketAddr]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = [0; 4096];
    let n = stream.read(&mut request)?;
    let asks = String::from_utf8_lossy(&request[..n]);
    let is_other = |peer: &&SocketAddr| !asks.contains(&format!("port={}&", peer.port()));
    let peers: Vec<&SocketAddr> = peers.iter().filter(is_other).collect();
    let mut body = format!("d8:intervali1e12:min intervali1e5:peers{}:", peers.len() * 6).into_bytes();
    for peer in peers {
        if let SocketAddr::V4(peer) = peer {
            body.extend(peer.ip().octets());
            body.extend(peer.port().to_be_bytes());
        }
    }
    body.push(b'e');
    let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

/// The body of `http://127.0.0.1:PORT/PATH`, once somebody answers.
pub fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("nobody answers")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
