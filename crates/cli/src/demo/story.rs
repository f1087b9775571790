//! What happens in the demo, in order.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerage_drive::quote;

use super::display::Display;
use super::report::{self, Row};
use super::world::{GROUP, MEMBERS, Member, Registry, World};

/// How often the members are asked how far they are.
const POLL: Duration = Duration::from_millis(100);
/// Without a byte from anyone for this long the transfer has failed.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Plays it; true if all copies are identical.
pub fn play(path: Option<&std::path::Path>, registry: &Registry) -> Result<bool> {
    let mut world = World::start(path, registry)?;
    say(&format!("2 trackers and {} members run in {}", MEMBERS.len(), world.folder().display()));
    let file_name = world.source.file_name().context("the file has no name")?.to_string_lossy().into_owned();
    make_group(&mut world)?;
    let (owner, leechers) = world.members.split_first_mut().context("nobody takes part")?;
    say(&format!("{} shares {} ({})", owner.name, file_name, report::bytes(world.bytes)));
    let started = Instant::now();
    owner.client.must(&format!("upload_file {} {GROUP}", quote(&world.source.to_string_lossy())))?;
    say(&format!("hashed and signed in {:.1} s; nothing was uploaded", started.elapsed().as_secs_f64()));

    for member in leechers.iter_mut() {
        let to = quote(&member.folder.to_string_lossy());
        member.client.must(&format!("download_file {GROUP} {} {to}", quote(&file_name)))?;
    }
    let mut killed_at = None;
    let mut display = Display::new(leechers.iter().map(|m| m.name), world.bytes);
    let mut last = (0, Instant::now());
    let (_never, pause) = channel::<()>();
    let mut rows = loop {
        let rows = leechers.iter_mut().map(progress).collect::<Result<Vec<_>>>()?;
        let done: u64 = rows.iter().map(|r| r.bytes_done).sum();
        display.show(&rows);
        if killed_at.is_none() && done * 2 >= world.bytes * rows.len() as u64 {
            world.trackers[0].kill();
            killed_at = Some(done * 100 / (world.bytes * rows.len() as u64));
            display.say("tracker 1 killed; everything goes on through tracker 2");
        }
        if rows.iter().all(|r| r.complete) {
            break rows;
        }
        if done > last.0 {
            last = (done, Instant::now());
        }
        ensure!(last.1.elapsed() < STALL_MAX, "no byte has arrived for {} s", STALL_MAX.as_secs());
        let _timed_out = pause.recv_timeout(POLL);
    };
    display.finish();

    say("every command still works with one tracker:");
    let files = owner.client.must(&format!("list_files {GROUP}"))?;
    let online = files.items().first().and_then(|f| f["sharers_online"].as_u64()).unwrap_or_default();
    say(&format!("  list_files {GROUP} → {file_name}, {online} sharers online"));
    let original = report::digest(&world.source)?;
    for (row, member) in rows.iter_mut().zip(leechers.iter()) {
        row.digest = report::digest(&member.folder.join(&file_name))?;
    }
    report::print(owner.name, &file_name, world.bytes, &original, &rows, killed_at);
    let identical = rows.iter().all(|row| row.digest == original);
    world.close()?;
    Ok(identical)
}

/// Accounts, a group, requests and acceptances.
fn make_group(world: &mut World) -> Result<()> {
    for member in &mut world.members {
        let password = password()?;
        member.client.must(&format!("create_user {} {password}", member.name))?;
        member.client.must(&format!("login {} {password}", member.name))?;
    }
    say(&format!("accounts: {} (no tracker has seen a password)", MEMBERS.join(", ")));
    let (owner, others) = world.members.split_first_mut().context("nobody takes part")?;
    owner.client.must(&format!("create_group {GROUP}"))?;
    for member in others.iter_mut() {
        member.client.must(&format!("join_group {GROUP}"))?;
        owner.client.must(&format!("accept_request {GROUP} {}", member.name))?;
    }
    say(&format!("group `{GROUP}`: {} asked and were accepted by {}", MEMBERS[1..].join(", "), owner.name));
    Ok(())
}

fn password() -> Result<String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

fn progress(member: &mut Member) -> Result<Row> {
    let reply = member.client.must("show_downloads")?;
    let item = reply.items().first().with_context(|| format!("{} shows no download", member.name))?;
    let number = |field: &str| item[field].as_u64().unwrap_or_default();
    let sources = item["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(Row {
        name: member.name,
        complete: item["state"] == "C",
        bytes_done: number("bytes_done"),
        bytes_per_second: item["bytes_per_second"].as_f64().unwrap_or_default(),
        seconds: item["seconds"].as_f64().unwrap_or_default(),
        sources: sources
            .iter()
            .map(|s| (s["user"].as_str().unwrap_or("?").to_owned(), s["bytes"].as_u64().unwrap_or_default()))
            .collect(),
        digest: String::new(),
    })
}

fn say(line: &str) {
    println!("• {line}");
}
