//! Everything that is measured: program, content, settings.

use anyhow::Result;

use super::install::Programs;
use super::meter::{Figures, Files};
use super::others::{Content, Others};
use super::ours;

/// How a program is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Peerage,
    Bare,
    Libtorrent { content: Content, setup: Setup },
    Aria2 { tuned: bool },
    Rqbit,
    Transmission { tuned: bool },
    Sendme,
}

/// How libtorrent is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// At its best, as far as we know.
    Tuned,
    /// Its defaults, but for uTP.
    Tcp,
    /// Its defaults.
    Stock,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The program, as `--only` names it.
    pub program: &'static str,
    pub kind: Kind,
    /// What is moved, and whether it is encrypted.
    pub content: &'static str,
    pub settings: &'static str,
}

const LIBTORRENT_TUNED: &str = "pread backend, 8 MiB send buffer, 1,500 requests, 256 MiB of queued disk bytes, TCP only, \
    no encryption, have_pieces + no_verify_files, malloc that keeps its memory";
const LIBTORRENT_TCP: &str = "defaults without uTP, seed_mode";
const LIBTORRENT_STOCK: &str = "defaults, so uTP where it can, seed_mode";

const fn libtorrent(content: Content, setup: Setup) -> Entry {
    Entry {
        program: "libtorrent",
        kind: Kind::Libtorrent { content, setup },
        content: match (content, setup) {
            (Content::V1, Setup::Tuned) => "v1, plaintext",
            (Content::V2, Setup::Tuned) => "v2, plaintext",
            (Content::Hybrid, Setup::Tuned) => "hybrid, plaintext",
            (Content::V1, Setup::Tcp) => "v1, TCP",
            (Content::V2, Setup::Tcp) => "v2, TCP",
            (Content::Hybrid, Setup::Tcp) => "hybrid, TCP",
            (Content::V1, Setup::Stock) => "v1, uTP",
            (Content::V2, Setup::Stock) => "v2, uTP",
            (Content::Hybrid, Setup::Stock) => "hybrid, uTP",
        },
        settings: match setup {
            Setup::Tuned => LIBTORRENT_TUNED,
            Setup::Tcp => LIBTORRENT_TCP,
            Setup::Stock => LIBTORRENT_STOCK,
        },
    }
}

/// In the order in which they run: who is compared most stands closest.
pub const ENTRIES: [Entry; 13] = [
    Entry {
        program: "bare",
        kind: Kind::Bare,
        content: "bytes, TLS 1.3",
        settings: "TLS + SHA-256 + pwrite, two threads",
    },
    Entry { program: "peerage", kind: Kind::Peerage, content: "hybrid, TLS 1.3", settings: "defaults" },
    libtorrent(Content::V1, Setup::Tuned),
    libtorrent(Content::Hybrid, Setup::Tuned),
    libtorrent(Content::V2, Setup::Tuned),
    libtorrent(Content::V1, Setup::Tcp),
    libtorrent(Content::Hybrid, Setup::Tcp),
    libtorrent(Content::V1, Setup::Stock),
    Entry {
        program: "rqbit",
        kind: Kind::Rqbit,
        content: "v1, plaintext",
        settings: "defaults without DHT, LSD and UPnP: it has nothing to tune here",
    },
    Entry {
        program: "aria2",
        kind: Kind::Aria2 { tuned: false },
        content: "v1, plaintext",
        settings: "defaults without DHT and LPD, no preallocation",
    },
    Entry {
        program: "aria2",
        kind: Kind::Aria2 { tuned: true },
        content: "v1, plaintext",
        settings: "64 MiB disk cache, any number of peers",
    },
    Entry {
        program: "transmission",
        kind: Kind::Transmission { tuned: true },
        content: "v1, plaintext",
        settings: "64 MiB cache, no encryption, no preallocation, TCP only, an address for each: it fills its requests, at \
            most 512 of 16 KiB, twice a second",
    },
    Entry {
        program: "sendme",
        kind: Kind::Sendme,
        content: "BLAKE3, QUIC",
        settings: "no relay; one provider only",
    },
];

impl Entry {
    /// Whether it is at its best tuning.
    pub fn is_tuned(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Libtorrent { setup: Setup::Tcp | Setup::Stock, .. }
                | Kind::Aria2 { tuned: false }
                | Kind::Transmission { tuned: false }
        )
    }

    /// Whether it takes part in this shape at all.
    pub fn fits(&self, seeders: usize, leechers: usize) -> bool {
        match self.kind {
            Kind::Bare => (seeders, leechers) == (1, 1),
            Kind::Sendme => seeders == 1,
            _ => true,
        }
    }

    /// One run.
    pub fn run(&self, programs: &Programs, others: &Others<'_>, files: &Files) -> Result<Figures> {
        let figures = match self.kind {
            Kind::Peerage => ours::peerage(&programs.peerage(), files),
            Kind::Bare => ours::bare(&programs.load(), files),
            Kind::Libtorrent { content, setup } => others.libtorrent(files, content, setup),
            Kind::Aria2 { tuned } => others.aria2(files, tuned),
            Kind::Rqbit => others.rqbit(files),
            Kind::Transmission { tuned } => others.transmission(files, tuned),
            Kind::Sendme => others.sendme(files),
        }?;
        files.check()?;
        Ok(figures)
    }
}
