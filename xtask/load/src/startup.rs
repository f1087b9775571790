//! Starting with many records: a database of correctly signed ones, made once and kept, and a tracker on it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use peerage_drive::{Tracker, free_addresses};
use peerage_ledger::{Origin, Receipt, Record};
use peerage_link::keyring::Keyring;
use peerage_replica::{LogRow, VerifiedRow};
use peerage_store::{SqliteStore, Store};
use peerage_types::{Stamp, TrackerId};

use crate::Setting;
use crate::people::{Person, in_parallel};
use crate::report::Figures;
use crate::usage::Usage;

/// Records of one person: account, group and uploads. A thousand people have a million.
const RECORDS_EACH: usize = 1_000;
/// Account, name, device and group.
const FOUNDING: usize = 4;
/// People whose records are signed, checked and written together.
const PEOPLE_AT_ONCE: usize = 8;
/// What the database depends on: another format makes another file.
const FORMAT: &[&str] = &[
    include_str!("../../../crates/store/src/sqlite/schema.rs"),
    include_str!("../../../crates/store/src/sqlite/append.rs"),
    include_str!("../../../crates/ledger/src/record.rs"),
    include_str!("../../../crates/ledger/src/receipt.rs"),
    include_str!("../../../crates/ledger/src/seal.rs"),
    include_str!("../../../crates/ledger/src/body.rs"),
];
const END_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// From exec until it says that it listens, and its peak memory then.
pub fn measure(program: &Path, base: &Path, setting: &Setting) -> Result<Figures> {
    let folder = database(base, setting.startup_records)?;
    let list = folder.join("trackers.txt");
    std::fs::write(&list, format!("{}\n", free_addresses(1)?[0]))?;
    let started = Instant::now();
    let mut tracker = Tracker::start(program, &list, 1, &folder.join("data"))?;
    let seconds = started.elapsed().as_secs_f64();
    let peak = Usage::of(tracker.pid()).peak_mib;
    tracker.quit(END_TIMEOUT)?;
    let mut figures = Figures::default();
    figures.set("startup_records", setting.startup_records as f64);
    figures.set("startup_s", seconds);
    if let Some(peak) = peak {
        figures.set("startup_peak_mib", peak);
    }
    Ok(figures)
}

/// The folder with list, keyring and a database of so many records; made when it is not there.
fn database(base: &Path, records: usize) -> Result<PathBuf> {
    let mut hash = blake3::Hasher::new();
    FORMAT.iter().for_each(|source| _ = hash.update(source.as_bytes()));
    let format = &hash.finalize().to_hex()[..12];
    let folder = base.join(format!("records-{records}-{format}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("making a database of {records} records, once …");
    let unfinished = tempfile::TempDir::with_prefix_in("unfinished-", base)?;
    fill(unfinished.path(), records)?;
    std::fs::rename(unfinished.path(), &folder).context("cannot keep the database")?;
    Ok(folder)
}

fn fill(folder: &Path, records: usize) -> Result<()> {
    let keyring = Keyring::load_or_create(&folder.join("trackers.txt"))?;
    let data = folder.join("data");
    std::fs::create_dir(&data)?;
    private(&data)?;
    let store = SqliteStore::open(&data.join("tracker.db"))?;
    let people: Vec<usize> = (0..records / RECORDS_EACH).collect();
    for people in people.chunks(PEOPLE_AT_ONCE) {
        let rows = in_parallel(people.to_vec(), |number| rows_of(&keyring, number))?;
        let rows: Vec<VerifiedRow> = rows.into_iter().flatten().collect();
        let last = rows.last().map(|row| row.receipt().stamp).unwrap_or_default();
        store.append(&rows, last)?;
    }
    Ok(())
}

#[cfg(unix)]
fn private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?)
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<()> {
    Ok(())
}

/// The records of one person with their receipts, at their place in the log.
fn rows_of(keyring: &Keyring, number: usize) -> Result<Vec<VerifiedRow>> {
    let person = Person::new(keyring.cluster())?;
    let genesis = person.found(&format!("group-{number}"))?;
    let mut records = person.founding(&format!("person-{number}"))?;
    let uploads: Vec<Record> =
        person.uploads(genesis.id()).take(RECORDS_EACH - FOUNDING).collect::<Result<_>>()?;
    records.push(genesis);
    records.extend(uploads);
    let row = |(index, record): (usize, &Record)| {
        let seq = (number * RECORDS_EACH + index + 1) as u64;
        let origin = Origin { tracker: TrackerId([1; 16]), incarnation: 1 };
        let stamp = Stamp::new(1_780_000_000_000 + seq, 0);
        let receipt = Receipt::sign(origin, seq, stamp, record.id(), keyring.signing_key());
        let row = LogRow { receipt, record: record.shared_bytes() };
        VerifiedRow::verify(&row, &keyring.cluster(), &keyring.public()).map_err(|e| anyhow!("{e}"))
    };
    records.iter().enumerate().map(row).collect()
}
