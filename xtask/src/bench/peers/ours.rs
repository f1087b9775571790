//! Peerage itself, through the real program, and the bare program that shows what the machine can give.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use peerage_drive::{Client, ClientOptions, Tracker, free_addresses, quote};

use super::meter::{Figures, Files, Meter};
use super::program::Program;
use crate::bench::usage::Usage;

const END_TIMEOUT: Duration = Duration::from_secs(20);

/// A tracker, seeders that share the file in one group, leechers that download it.
pub fn peerage(program: &Path, files: &Files) -> Result<Figures> {
    let shape = files.shape;
    let mut addresses = free_addresses(1 + shape.seeders + shape.leechers)?.into_iter();
    let list = files.folder.join("tracker_info.txt");
    std::fs::write(&list, format!("{}\n", addresses.next().context("no address")?))?;
    let mut tracker = Tracker::start(program, &list, 1, &files.folder.join("tracker"))?;
    let start = |name: String, listen: SocketAddr| -> Result<Client> {
        let data = files.folder.join(&name);
        let options = ClientOptions { program: program.to_owned(), listen, list: list.clone(), data };
        let mut client = Client::start(&name, &options)?;
        client.must(&format!("create_user {name} bench-{name}"))?;
        client.must(&format!("login {name} bench-{name}"))?;
        Ok(client)
    };
    let mut seeders = Vec::new();
    for (index, address) in (0..shape.seeders).zip(&mut addresses) {
        seeders.push(start(format!("seed{index}"), address)?);
    }
    let mut leechers = Vec::new();
    for (index, address) in (0..shape.leechers).zip(&mut addresses) {
        leechers.push(start(format!("leech{index}"), address)?);
    }
    let (owner, others) = seeders.split_first_mut().context("no seeder")?;
    owner.must("create_group lab")?;
    let others = others.iter_mut().zip((1..).map(|index| format!("seed{index}")));
    let joining = others.chain(leechers.iter_mut().zip((0..).map(|index| format!("leech{index}"))));
    for (client, name) in joining {
        client.must("join_group lab")?;
        owner.must(&format!("accept_request lab {name}"))?;
    }
    for seeder in &mut seeders {
        seeder.must(&format!("upload_file {} lab", quote(&files.source.to_string_lossy())))?;
    }
    let pids = |clients: &[Client]| clients.iter().map(Client::pid).collect::<Vec<u32>>();
    let (seeder_pids, leecher_pids) = (pids(&seeders), pids(&leechers));
    let meter = Meter::start(files, &seeder_pids, &leecher_pids)?;
    for (index, leecher) in leechers.iter_mut().enumerate() {
        let target = files.leecher(index)?;
        leecher.must(&format!("download_file lab {} {}", files.name(), quote(&target.to_string_lossy())))?;
    }
    for leecher in &mut leechers {
        leecher.must(&format!("wait lab {} --timeout 100", files.name()))?;
    }
    let ended = Instant::now();
    let read = |pids: &[u32]| pids.iter().map(|pid| Usage::of(*pid)).collect::<Vec<_>>();
    let figures = meter.end(ended, &read(&seeder_pids), &read(&leecher_pids))?;
    for client in leechers.into_iter().chain(seeders) {
        client.close(END_TIMEOUT)?;
    }
    tracker.quit(END_TIMEOUT)?;
    Ok(figures)
}

/// TLS 1.3, SHA-256 of every 16 KiB, `pwrite`, and nothing else.
pub fn bare(program: &Path, files: &Files) -> Result<Figures> {
    let mut command = Command::new(program);
    command.arg("limit-send").arg(&files.source);
    let mut sender = Program::start(&mut command, &files.seeder(0)?)?;
    let address = sender.line(|line| line.strip_prefix("listening ").map(str::to_owned))?;
    let folder = files.leecher(0)?;
    let mut command = Command::new(program);
    command.arg("limit-receive").arg(address).arg(folder.join(files.name()));
    let mut receiver = Program::start(&mut command, &folder)?;
    receiver.expect("ready")?;
    let meter = Meter::start(files, &[sender.pid()], &[receiver.pid()])?;
    receiver.tell("go")?;
    receiver.expect("done")?;
    meter.end(Instant::now(), &[sender.usage()], &[receiver.usage()])
}
