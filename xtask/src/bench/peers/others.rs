//! The programs that people use today, each driven as its own users would script it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use peerage_drive::free_addresses;
use serde_json::json;

use super::entries::Setup;
use super::install::{self, Programs};
use super::meter::{Figures, Files, MIB, Meter};
use super::place::{self, StaticTracker};
use super::program::{PATIENCE, Program, TimedOut, wait_over, wait_until};

/// Bytes of a piece in the torrents of all others.
pub const PIECE_BYTES: u32 = 1024 * 1024;

/// What a torrent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    V1,
    V2,
    Hybrid,
}

impl Content {
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
        }
    }
}

/// What the other programs need.
pub struct Others<'a> {
    pub programs: &'a Programs,
    pub tracker: &'a StaticTracker,
    /// For scripts and torrents.
    pub folder: &'a Path,
}

impl Others<'_> {
    /// The torrent of a shape's source.
    pub fn torrent(&self, files: &Files, content: Content) -> PathBuf {
        self.folder.join(format!("{}.{}.torrent", files.name(), content.name()))
    }

    fn script(&self) -> Result<PathBuf> {
        install::script(self.folder, "libtorrent_session.py", include_str!("libtorrent.py"))
    }

    /// Makes the torrents of a shape's source.
    pub fn make_torrents(&self, files: &Files) -> Result<()> {
        for content in [Content::V1, Content::V2, Content::Hybrid] {
            let job = json!({
                "make": "torrent", "content": content.name(), "piece_bytes": PIECE_BYTES,
                "source": files.source, "folder": files.source.parent(), "announce": self.tracker.url,
                "torrent": self.torrent(files, content),
            });
            let mut command = Command::new(self.programs.python());
            crate::process::run(command.arg(self.script()?).arg(job.to_string()))?;
        }
        Ok(())
    }

    pub fn libtorrent(&self, files: &Files, content: Content, setup: Setup) -> Result<Figures> {
        let script = self.script()?;
        let start = |make: &str, folder: &Path, own: &Path, port: u16, peers: &[u16]| {
            let job = json!({
                "make": make, "tuned": setup == Setup::Tuned, "utp": setup == Setup::Stock, "port": port, "peers": peers, "folder": folder,
                "torrent": self.torrent(files, content),
            });
            let mut command = Command::new(self.programs.python());
            command.arg(&script).arg(job.to_string());
            if setup == Setup::Tuned {
                // Freed memory stays with the process.
                let keep = "33554432";
                command.env("MALLOC_TRIM_THRESHOLD_", "1073741824").env("MALLOC_MMAP_THRESHOLD_", keep);
            }
            Program::start(&mut command, own)
        };
        let ports = ports(files)?;
        let source = files.source.parent().context("the source is in no folder")?;
        let mut seeders = Vec::new();
        for (index, port) in (0..files.shape.seeders).zip(&ports) {
            seeders.push(start("seed", source, &files.seeder(index)?, *port, &[])?);
        }
        let mut leechers = Vec::new();
        for (index, port) in (0..files.shape.leechers).zip(&ports[files.shape.seeders..]) {
            let (folder, others): (_, Vec<u16>) =
                (files.leecher(index)?, ports.iter().filter(|other| *other != port).copied().collect());
            leechers.push(start("get", &folder, &folder, *port, &others)?);
        }
        for program in seeders.iter().chain(&leechers) {
            program.expect("ready")?;
        }
        let meter = Meter::start(files, &pids(&seeders), &pids(&leechers))?;
        for leecher in &mut leechers {
            leecher.tell("go")?;
        }
        for leecher in &leechers {
            leecher.expect("done").map_err(|error| unfinished(files, error))?;
        }
        end(meter, Instant::now(), &mut seeders, &mut leechers)
    }

    pub fn aria2(&self, files: &Files, tuned: bool) -> Result<Figures> {
        let ports = ports(files)?;
        self.tracker.set(ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect());
        let start = |folder: &Path, own: &Path, port: u16, more: &[&str]| {
            let mut command = Command::new("aria2c");
            command.args(["--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false"]);
            command.args(["--bt-enable-lpd=false", "--file-allocation=none", "--disable-ipv6=true"]);
            command.arg(format!("--listen-port={port}")).arg("--dir").arg(folder).args(more);
            if tuned {
                command.args(["--disk-cache=64M", "--max-upload-limit=0", "--bt-max-peers=0"]);
                command.args(["--bt-min-crypto-level=plain", "--bt-require-crypto=false"]);
            }
            Program::start(command.arg(self.torrent(files, Content::V1)), own)
        };
        let source = files.source.parent().context("the source is in no folder")?;
        let mut seeders = Vec::new();
        for (index, port) in (0..files.shape.seeders).zip(&ports) {
            let seed = ["--bt-seed-unverified=true", "--seed-ratio=0.0", "--check-integrity=false"];
            seeders.push(start(source, &files.seeder(index)?, *port, &seed)?);
        }
        for port in &ports[..files.shape.seeders] {
            is_listening(*port, "aria2 does not listen")?;
        }
        let meter = Meter::start(files, &pids(&seeders), &[])?;
        let mut leechers = Vec::new();
        for (index, port) in (0..files.shape.leechers).zip(&ports[files.shape.seeders..]) {
            let folder = files.leecher(index)?;
            let hook = format!("--on-bt-download-complete={}", done_script(&folder)?.display());
            leechers.push(start(&folder, &folder, *port, &["--seed-ratio=0.0", &hook])?);
        }
        let ended = wait_done(files, "aria2 does not finish", &mut leechers)?;
        end(meter, ended, &mut seeders, &mut leechers)
    }

    pub fn rqbit(&self, files: &Files) -> Result<Figures> {
        let ports = ports(files)?;
        let apis = free_addresses(ports.len())?;
        let start = |folder: &Path, own: &Path, at: usize, more: &[&str]| {
            let mut command = Command::new(self.programs.cargo("rqbit"));
            command.args(["--disable-dht", "--disable-upnp-port-forward", "--disable-lsd"]);
            command.arg("--http-api-listen-addr").arg(apis[at].to_string());
            command.arg("--listen-port").arg(ports[at].to_string());
            command.args(["download", "--overwrite"]).args(more).arg("-o").arg(folder);
            command.arg(self.torrent(files, Content::V1)).env("HOME", own);
            Program::start(&mut command, own)
        };
        let source = files.source.parent().context("the source is in no folder")?;
        let mut seeders = Vec::new();
        for index in 0..files.shape.seeders {
            seeders.push(start(source, &files.seeder(index)?, index, &[])?);
        }
        for api in &apis[..files.shape.seeders] {
            wait_until("rqbit does not become a seeder", || {
                let stats = place::get(api.port(), "/torrents/0/stats/v1").unwrap_or_default();
                stats.contains("\"finished\":true") && stats.contains("\"state\":\"live\"")
            })?;
        }
        let meter = Meter::start(files, &pids(&seeders), &[])?;
        let mut leechers = Vec::new();
        for index in 0..files.shape.leechers {
            let at = files.shape.seeders + index;
            let others = ports.iter().filter(|port| **port != ports[at]);
            let peers = others.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
            let folder = files.leecher(index)?;
            leechers.push(start(&folder, &folder, at, &["-e", "--initial-peers", &peers])?);
        }
        let ended = wait_over(&mut leechers).map_err(|error| unfinished(files, error))?;
        end(meter, ended, &mut seeders, &mut leechers)
    }

    pub fn transmission(&self, files: &Files, tuned: bool) -> Result<Figures> {
        let (ports, rpcs) = (ports(files)?, ports(files)?);
        let addresses = ports.iter().enumerate();
        let addresses = addresses.map(|(at, port)| SocketAddr::from((place::outside(at), *port)));
        self.tracker.set(addresses.collect());
        let start = |folder: &Path, own: &Path, at: usize| {
            let done = done_script(own)?;
            let settings = json!({
                "bind-address-ipv4": place::outside(at), "peer-port": ports[at], "rpc-port": rpcs[at],
                "rpc-bind-address": "127.0.0.1", "rpc-whitelist-enabled": false, "dht-enabled": false,
                "lpd-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
                "encryption": u8::from(!tuned), "preallocation": 0, "cache-size-mb": if tuned { 64 } else { 4 },
                "script-torrent-done-enabled": true, "script-torrent-done-filename": done,
                "upload-slots-per-torrent": 14, "speed-limit-up-enabled": false, "speed-limit-down-enabled": false,
            });
            fs::write(own.join("settings.json"), settings.to_string())?;
            let mut command = Command::new("transmission-daemon");
            command.arg("--foreground").arg("--config-dir").arg(own).arg("--download-dir").arg(folder);
            Program::start(&mut command, own)
        };
        let remote = |at: usize, args: &[&str]| {
            let mut command = Command::new("transmission-remote");
            let out = command.arg(format!("127.0.0.1:{}", rpcs[at])).args(args).output();
            out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
        };
        let torrent = self.torrent(files, Content::V1);
        let torrent = torrent.to_string_lossy();
        let add = |at: usize| {
            let answered = || remote(at, &["--add", &torrent]).contains("success");
            wait_until("transmission does not take the torrent", answered)
        };
        let source = files.source.parent().context("the source is in no folder")?;
        let mut seeders = Vec::new();
        for index in 0..files.shape.seeders {
            seeders.push(start(source, &files.seeder(index)?, index)?);
            add(index)?;
            wait_until("transmission does not become a seeder", || {
                let info = remote(index, &["--torrent", "1", "--info"]);
                info.contains("Percent Done: 100%") && !info.contains("Verifying")
            })?;
        }
        let mut leechers = Vec::new();
        for index in 0..files.shape.leechers {
            let folder = files.leecher(index)?;
            leechers.push(start(&folder, &folder, files.shape.seeders + index)?);
            let at = files.shape.seeders + index;
            wait_until("transmission does not answer", || remote(at, &["--list"]).contains("Sum:"))?;
        }
        let meter = Meter::start(files, &pids(&seeders), &pids(&leechers))?;
        for index in 0..files.shape.leechers {
            add(files.shape.seeders + index)?;
        }
        let ended = wait_done(files, "transmission does not finish", &mut leechers)?;
        end(meter, ended, &mut seeders, &mut leechers)
    }

    pub fn sendme(&self, files: &Files) -> Result<Figures> {
        let program = self.programs.cargo("sendme");
        let alone = ["--relay", "disabled", "--no-progress"];
        let own = files.seeder(0)?;
        let mut command = Command::new(&program);
        command.arg("send").args(alone).args(["--ticket-type", "addresses"]).arg(&files.source);
        let mut seeders = vec![Program::start(&mut command, &own)?];
        let ticket =
            seeders[0].line(|line| line.trim().strip_prefix("sendme receive ").map(str::to_owned))?;
        let meter = Meter::start(files, &pids(&seeders), &[])?;
        let mut leechers = Vec::new();
        for index in 0..files.shape.leechers {
            let mut command = Command::new(&program);
            command.arg("receive").args(alone).arg(&ticket);
            leechers.push(Program::start(&mut command, &files.leecher(index)?)?);
        }
        let ended = wait_over(&mut leechers).map_err(|error| unfinished(files, error))?;
        end(meter, ended, &mut seeders, &mut leechers)
    }
}

/// What a program that calls a script at the end is given: it leaves a mark in `folder`.
fn done_script(folder: &Path) -> Result<PathBuf> {
    let script = folder.join("done.sh");
    fs::write(&script, format!("#!/bin/sh\ntouch '{}'\n", folder.join("done").display()))?;
    crate::process::run(Command::new("chmod").arg("+x").arg(&script))?;
    Ok(script)
}

/// Waits for the marks of all leechers.
fn wait_done(files: &Files, otherwise: &str, leechers: &mut [Program]) -> Result<Instant> {
    let marks: Vec<PathBuf> = (0..files.shape.leechers)
        .map(|index| Ok(files.leecher(index)?.join("done")))
        .collect::<Result<_>>()?;
    wait_until(otherwise, || {
        for leecher in leechers.iter_mut() {
            leecher.usage();
        }
        marks.iter().all(|mark| mark.exists())
    })
    .map_err(|error| unfinished(files, error))?;
    Ok(Instant::now())
}

/// Says how far the leechers had come, if it is only that time was up.
fn unfinished(files: &Files, error: anyhow::Error) -> anyhow::Error {
    if !error.is::<TimedOut>() {
        return error;
    }
    let bytes = (0..files.shape.leechers).filter_map(|index| allocated(&files.leecher(index).ok()?));
    let (mib, all) = (bytes.sum::<u64>() / MIB, files.shape.bytes / MIB * files.shape.leechers as u64);
    GivenUp(format!("{mib} of {all} MiB after {} s, then given up", PATIENCE.as_secs())).into()
}

/// A transfer that took longer than [`PATIENCE`].
#[derive(Debug)]
pub struct GivenUp(String);

impl std::fmt::Display for GivenUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for GivenUp {}

/// Bytes below a folder that take up room.
fn allocated(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(folder).ok()?.flatten();
    let bytes = entries.filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        if meta.is_dir() { allocated(&entry.path()) } else { Some(meta.blocks() * 512) }
    });
    Some(bytes.sum())
}

fn ports(files: &Files) -> Result<Vec<u16>> {
    let addresses = free_addresses(files.shape.seeders + files.shape.leechers)?;
    Ok(addresses.iter().map(SocketAddr::port).collect())
}

fn pids(programs: &[Program]) -> Vec<u32> {
    programs.iter().map(Program::pid).collect()
}

fn is_listening(port: u16, otherwise: &str) -> Result<()> {
    wait_until(otherwise, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
}

fn end(meter: Meter, at: Instant, seeders: &mut [Program], leechers: &mut [Program]) -> Result<Figures> {
    let read = |programs: &mut [Program]| programs.iter_mut().map(Program::usage).collect::<Vec<_>>();
    let (seeders, leechers) = (read(seeders), read(leechers));
    meter.end(at, &seeders, &leechers)
}
