//! The tracker list: one small text file that every tracker and every client is given.
//!
//! It exists in four dialects, all accepted and even mixed: `ip:port`, `ip port`, `ip port syncport` (the third
//! number is ignored), and address and port on alternating lines. `#` starts a comment. The last word of any
//! line, or a line of its own, may be `pin=<key>`: the cluster's public key in hex. Beside the list lies
//! `<list>.pin`, which the first tracker writes.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use peerage_types::PublicKey;
use peerage_types::limits::TRACKERS_MAX;

use crate::file;

mod watch;

pub use watch::{LOOK_INTERVAL, ListWatch};

/// A list of [`TRACKERS_MAX`] lines needs less than a kilobyte; this leaves room for comments.
pub const LIST_BYTES_MAX: usize = 64 * 1024;

/// Longest host name that DNS knows (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// One tracker's address, as its line spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerEntry {
    /// Host name or IP address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

impl fmt::Display for TrackerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The trackers of one cluster, in the order of the file. Holds 1 to [`TRACKERS_MAX`] different entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerList {
    /// In file order: `peerage tracker LIST 1` is the first.
    pub entries: Vec<TrackerEntry>,
    /// The cluster's public key, from the list itself or from `<list>.pin`.
    pub pin: Option<PublicKey>,
    /// The file this came from.
    pub path: PathBuf,
}

/// Why a tracker list cannot be used. The person who wrote or chose the file must act.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The file is missing or unreadable.
    #[error("cannot read the tracker list `{}`: {why}", path.display())]
    Read {
        /// The list.
        path: PathBuf,
        /// What the operating system says.
        why: io::Error,
    },
    /// One line says something else than it should.
    #[error("`{}`, line {line}: {fault} in `{text}`", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Counted from 1, comments and blank lines included.
        line: usize,
        /// What is wrong.
        fault: LineFault,
        /// The line, made safe for a terminal.
        text: String,
    },
    /// No tracker at all.
    #[error("`{}` names no tracker: write one `HOST:PORT` per line", .0.display())]
    Empty(PathBuf),
    /// A full mesh of more would be slow and is not supported.
    #[error("`{}` names more than {TRACKERS_MAX} trackers", .0.display())]
    TooMany(PathBuf),
    /// `<list>.pin` is no key.
    #[error("`{}` must hold one public key of 64 hex digits", .0.display())]
    PinFile(PathBuf),
    /// Two different keys claim to be the cluster's.
    #[error("`{}` pins the key {have}, but the cluster's key is {other}", path.display())]
    PinConflict {
        /// The file with the pin that was there first.
        path: PathBuf,
        /// The key in that file.
        have: PublicKey,
        /// The key that the other source names.
        other: PublicKey,
    },
    /// The pin file cannot be written.
    #[error("cannot write `{}`: {why}", path.display())]
    Write {
        /// The pin file.
        path: PathBuf,
        /// What the operating system says.
        why: io::Error,
    },
}

/// What is wrong with one line of a tracker list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Too few or too many words.
    #[error("expected `HOST:PORT`, `HOST PORT` or `HOST PORT SYNCPORT`")]
    Shape,
    /// Not 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
    /// Neither an address nor a host name.
    #[error("expected an IP address or a host name")]
    Host,
    /// An address line that no port line follows.
    #[error("no port follows")]
    PortMissing,
    /// `pin=` with something else than a key.
    #[error("expected `pin=` and 64 hex digits")]
    Pin,
    /// A second pin that differs from the first.
    #[error("another line pins another key")]
    SecondPin,
    /// The same tracker again: it would be counted twice.
    #[error("the tracker is already listed on line {0}")]
    Twice(usize),
}

impl TrackerList {
    /// Reads the list and, beside it, `<list>.pin`. Where both pin a key they must agree.
    ///
    /// # Errors
    /// [`ListError`], naming file, line and text.
    pub fn load(path: &Path) -> Result<Self, ListError> {
        let read = |path: &Path| file::read_bounded(path, LIST_BYTES_MAX).and_then(into_text);
        let text = read(path).map_err(|why| ListError::Read { path: path.to_owned(), why })?;
        let mut list = Self::parse(path, &text)?;
        let beside = read_pin(path)?;
        match (list.pin, beside) {
            (Some(other), Some(have)) if other != have => {
                return Err(ListError::PinConflict { path: pin_path(path), have, other });
            }
            (None, beside) => list.pin = beside,
            _ => {}
        }
        Ok(list)
    }

    /// Reads the text of a list; `path` is only named in errors and kept.
    ///
    /// # Errors
    /// [`ListError`], naming file, line and text.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ListError> {
        let mut parser = Parser::default();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let number = index + 1;
            parser.line(number, line).map_err(|fault| line_error(path, number, line, fault))?;
            if parser.entries.len() > TRACKERS_MAX {
                return Err(ListError::TooMany(path.to_owned()));
            }
        }
        if let Some((number, host)) = parser.pending {
            return Err(line_error(path, number, &host, LineFault::PortMissing));
        }
        if parser.entries.is_empty() {
            return Err(ListError::Empty(path.to_owned()));
        }
        let entries = parser.entries.into_iter().map(|(_, entry)| entry).collect();
        Ok(Self { entries, pin: parser.pin, path: path.to_owned() })
    }

    /// The entry with this number, counted from 1 as on the command line.
    pub fn entry(&self, number: usize) -> Option<&TrackerEntry> {
        self.entries.get(number.checked_sub(1)?)
    }
}

/// Where the pin of this list lies: `<list>.pin`.
pub fn pin_path(list: &Path) -> PathBuf {
    file::beside(list, "pin")
}

/// The key in `<list>.pin`, if that file exists.
///
/// # Errors
/// [`ListError::Read`] and [`ListError::PinFile`].
pub fn read_pin(list: &Path) -> Result<Option<PublicKey>, ListError> {
    let path = pin_path(list);
    let text = match file::read_bounded(&path, LIST_BYTES_MAX).and_then(into_text) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(ListError::Read { path, why }),
    };
    PublicKey::from_hex(text.trim()).map(Some).ok_or(ListError::PinFile(path))
}

/// Writes `<list>.pin` unless it is there already. Safe against a second tracker that does the same.
///
/// # Errors
/// [`ListError::PinConflict`] if the file pins another key, which then stays.
pub fn write_pin(list: &Path, key: &PublicKey) -> Result<(), ListError> {
    let path = pin_path(list);
    file::create_once(&path, format!("{key}\n").as_bytes(), file::Readable::ByAll)
        .map_err(|why| ListError::Write { path: path.clone(), why })?;
    match read_pin(list)? {
        Some(have) if have != *key => Err(ListError::PinConflict { path, have, other: *key }),
        _ => Ok(()),
    }
}

/// Writes `<list>.pin` whatever it held before: a person decided to trust this key.
///
/// # Errors
/// [`ListError::Write`].
pub fn replace_pin(list: &Path, key: &PublicKey) -> Result<(), ListError> {
    let path = pin_path(list);
    file::replace(&path, format!("{key}\n").as_bytes(), file::Readable::ByAll)
        .map_err(|why| ListError::Write { path, why })
}

#[derive(Default)]
struct Parser {
    /// With the line on which each begins.
    entries: Vec<(usize, TrackerEntry)>,
    pin: Option<PublicKey>,
    /// An address that waits for its port on the next line.
    pending: Option<(usize, String)>,
}

impl Parser {
    fn line(&mut self, number: usize, line: &str) -> Result<(), LineFault> {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        let words = match words.split_last() {
            Some((last, rest)) if last.starts_with("pin=") => {
                self.take_pin(last)?;
                rest
            }
            _ => &words[..],
        };
        match (self.pending.take(), words) {
            (pending, []) => self.pending = pending,
            (Some((begun, host)), [port]) => self.add(begun, host, parse_port(port)?)?,
            (Some(_), _) => return Err(LineFault::Port),
            (None, [word]) => match split_port(word)? {
                (host, Some(port)) => self.add(number, host, port)?,
                (host, None) => self.pending = Some((number, host)),
            },
            (None, [host, port]) => self.add(number, parse_host(host)?, parse_port(port)?)?,
            (None, [host, port, sync]) => {
                parse_port(sync)?;
                self.add(number, parse_host(host)?, parse_port(port)?)?;
            }
            (None, _) => return Err(LineFault::Shape),
        }
        Ok(())
    }

    fn take_pin(&mut self, word: &str) -> Result<(), LineFault> {
        let key = word.strip_prefix("pin=").and_then(PublicKey::from_hex).ok_or(LineFault::Pin)?;
        match self.pin.replace(key) {
            Some(before) if before != key => Err(LineFault::SecondPin),
            _ => Ok(()),
        }
    }

    fn add(&mut self, line: usize, host: String, port: u16) -> Result<(), LineFault> {
        let entry = TrackerEntry { host, port };
        if let Some((first, _)) = self.entries.iter().find(|(_, known)| *known == entry) {
            return Err(LineFault::Twice(*first));
        }
        self.entries.push((line, entry));
        Ok(())
    }
}

/// Splits `host:port` or `[v6]:port`; a bare address (also a bare IPv6 address) has no port.
fn split_port(word: &str) -> Result<(String, Option<u16>), LineFault> {
    if word.starts_with('[') {
        return match word.rsplit_once("]:") {
            Some((host, port)) => Ok((parse_host(&format!("{host}]"))?, Some(parse_port(port)?))),
            None => Ok((parse_host(word)?, None)),
        };
    }
    if word.parse::<Ipv6Addr>().is_ok() {
        return Ok((parse_host(word)?, None));
    }
    match word.split_once(':') {
        Some((host, port)) => Ok((parse_host(host)?, Some(parse_port(port)?))),
        None if word.bytes().all(|b| b.is_ascii_digit()) => Err(LineFault::Host),
        None => Ok((parse_host(word)?, None)),
    }
}

fn parse_port(word: &str) -> Result<u16, LineFault> {
    let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    match word.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(LineFault::Port),
    }
}

/// An IP address in its canonical spelling, or a host name in lower case, so that one tracker written twice is
/// noticed.
fn parse_host(word: &str) -> Result<String, LineFault> {
    if let Some(inner) = word.strip_prefix('[') {
        let v6 = inner.strip_suffix(']').ok_or(LineFault::Host)?;
        return v6.parse::<Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| LineFault::Host);
    }
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |part: &str| !part.is_empty() && !part.starts_with('-') && part.bytes().all(allowed);
    let last = word.rsplit('.').next().unwrap_or_default();
    // `300.1.1.1` is a mistyped address, not a name: no top-level domain is a number (RFC 3696, 2).
    let number = last.bytes().all(|b| b.is_ascii_digit()) && word.parse::<Ipv4Addr>().is_err();
    match word.len() <= HOST_BYTES_MAX && word.split('.').all(label) && !number {
        true => Ok(word.to_ascii_lowercase()),
        false => Err(LineFault::Host),
    }
}

fn line_error(path: &Path, line: usize, text: &str, fault: LineFault) -> ListError {
    const SHOWN_CHARS_MAX: usize = 80;
    let text = text.trim().chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    ListError::Line { path: path.to_owned(), line, fault, text }
}

fn into_text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
