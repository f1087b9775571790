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
    Libtorrent { content: Content, tuned: bool },
    Aria2 { tuned: bool },
    Rqbit,
    Transmission { tuned: bool },
    Sendme,
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
const LIBTORRENT_STOCK: &str = "defaults over TCP, seed_mode";

const fn libtorrent(content: Content, tuned: bool) -> Entry {
    Entry {
        program: "libtorrent",
        kind: Kind::Libtorrent { content, tuned },
        content: match (content, tuned) {
            (Content::V1, true) => "v1, plaintext",
            (Content::V2, true) => "v2, plaintext",
            (Content::Hybrid, true) => "hybrid, plaintext",
            (Content::V1, false) => "v1, RC4 if asked",
            (Content::V2, false) => "v2, RC4 if asked",
            (Content::Hybrid, false) => "hybrid, RC4 if asked",
        },
        settings: if tuned { LIBTORRENT_TUNED } else { LIBTORRENT_STOCK },
    }
}

/// In the order in which they run: who is compared most stands closest.
pub const ENTRIES: [Entry; 12] = [
    Entry {
        program: "bare",
        kind: Kind::Bare,
        content: "bytes, TLS 1.3",
        settings: "TLS + SHA-256 + pwrite, two threads",
    },
    Entry { program: "peerage", kind: Kind::Peerage, content: "hybrid, TLS 1.3", settings: "defaults" },
    libtorrent(Content::V1, true),
    libtorrent(Content::Hybrid, true),
    libtorrent(Content::V2, true),
    libtorrent(Content::V1, false),
    libtorrent(Content::Hybrid, false),
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
        settings: "64 MiB cache, no encryption, no preallocation, TCP only",
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
            Kind::Libtorrent { tuned: false, .. }
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
            Kind::Libtorrent { content, tuned } => others.libtorrent(files, content, tuned),
            Kind::Aria2 { tuned } => others.aria2(files, tuned),
            Kind::Rqbit => others.rqbit(files),
            Kind::Transmission { tuned } => others.transmission(files, tuned),
            Kind::Sendme => others.sendme(files),
        }?;
        files.check()?;
        Ok(figures)
    }
}
