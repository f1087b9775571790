//! `cargo xtask bench transfer`: a tracker, a seeder and a leecher as real processes on loopback.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerage_drive::{Client, ClientOptions, Tracker, free_addresses, quote};
use serde_json::json;

use super::usage::Usage;
use crate::process;

const MIB: u64 = 1024 * 1024;
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings of one measurement.
#[derive(clap::Args)]
pub struct Transfer {
    /// File size in MiB.
    #[arg(long, default_value_t = 2048)]
    mib: u64,
    /// How many times; the median is printed last.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Where the files are made; memory-backed keeps the disk out of the figure.
    #[arg(long, default_value = "/dev/shm")]
    folder: PathBuf,
    /// One JSON object on stdout instead of a table.
    #[arg(long)]
    json: bool,
}

struct Figures {
    seconds: f64,
    seeder: Side,
    leecher: Side,
}

struct Side {
    cpu_seconds: Option<f64>,
    peak_mib: Option<f64>,
}

impl Transfer {
    /// Builds the release binary, measures and prints.
    pub fn run(&self) -> Result<()> {
        ensure!(self.runs > 0 && self.mib > 0, "--runs and --mib must be at least 1");
        process::cargo("build", &["build", "--release", "--locked", "--package", "peerage-cli"], &[])?;
        let program = process::root().join("target/release/peerage");
        let base = if self.folder.is_dir() { self.folder.clone() } else { std::env::temp_dir() };
        let folder = Folder::new(&base)?;
        let source = folder.0.join("source.bin");
        pseudo_random_file(&source, self.mib * MIB)?;
        let mut runs = Vec::new();
        for number in 1..=self.runs {
            let figures = self.once(&program, &folder.0.join(number.to_string()), &source)?;
            if !self.json {
                println!("run {number}: {}", self.line(&figures));
            }
            runs.push(figures);
        }
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let median = &runs[runs.len() / 2];
        if self.json {
            let side = |s: &Side| json!({ "cpu_seconds_per_gib": s.cpu_seconds.map(|c| c / self.gib()), "peak_mib": s.peak_mib });
            println!(
                "{}",
                json!({ "mib": self.mib, "runs": self.runs, "mib_per_second": self.mib as f64 / median.seconds,
                        "seeder": side(&median.seeder), "leecher": side(&median.leecher) })
            );
        } else {
            println!("median: {}", self.line(median));
        }
        Ok(())
    }

    fn gib(&self) -> f64 {
        self.mib as f64 / 1024.0
    }

    fn line(&self, figures: &Figures) -> String {
        let side = |s: &Side| {
            let show = |x: Option<f64>| x.map_or("n/a".to_owned(), |x| format!("{x:.2}"));
            format!(
                "{} CPU-s/GiB, peak {} MiB",
                show(s.cpu_seconds.map(|c| c / self.gib())),
                show(s.peak_mib)
            )
        };
        let rate = self.mib as f64 / figures.seconds;
        format!("{rate:.0} MiB/s; seeder {}; leecher {}", side(&figures.seeder), side(&figures.leecher))
    }

    fn once(&self, program: &Path, folder: &Path, source: &Path) -> Result<Figures> {
        fs::create_dir_all(folder.join("copy"))?;
        let addresses = free_addresses(3)?;
        let list = folder.join("tracker_info.txt");
        fs::write(&list, format!("{}\n", addresses[0]))?;
        let mut tracker = Tracker::start(program, &list, 1, &folder.join("tracker"))?;
        let start = |name: &str, listen| {
            let (program, data) = (program.to_owned(), folder.join(name));
            Client::start(name, &ClientOptions { program, listen, list: list.clone(), data })
        };
        let mut seeder = start("seeder", addresses[1])?;
        let mut leecher = start("leecher", addresses[2])?;
        for (client, name) in [(&mut seeder, "ada"), (&mut leecher, "ben")] {
            client.must(&format!("create_user {name} bench-{name}"))?;
            client.must(&format!("login {name} bench-{name}"))?;
        }
        seeder.must("create_group lab")?;
        leecher.must("join_group lab")?;
        seeder.must("accept_request lab ben")?;
        seeder.must(&format!("upload_file {} lab", quote(&source.to_string_lossy())))?;
        let before = (Usage::of(seeder.pid()), Usage::of(leecher.pid()));
        let started = Instant::now();
        let target = folder.join("copy");
        leecher.must(&format!("download_file lab source.bin {}", quote(&target.to_string_lossy())))?;
        leecher.must("wait lab source.bin --timeout 600")?;
        let seconds = started.elapsed().as_secs_f64();
        let after = (Usage::of(seeder.pid()), Usage::of(leecher.pid()));
        ensure!(same(source, &target.join("source.bin"))?, "the copy differs from the original");
        let side = |before: &Usage, after: &Usage| Side {
            cpu_seconds: after.cpu_since(before),
            peak_mib: after.peak_mib,
        };
        let figures =
            Figures { seconds, seeder: side(&before.0, &after.0), leecher: side(&before.1, &after.1) };
        leecher.close(END_TIMEOUT)?;
        seeder.close(END_TIMEOUT)?;
        tracker.quit(END_TIMEOUT)?;
        fs::remove_dir_all(folder)?;
        Ok(figures)
    }
}

/// A folder that disappears with the benchmark, also when it fails.
struct Folder(PathBuf);

impl Folder {
    fn new(base: &Path) -> Result<Self> {
        let path = base.join(format!("peerage-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("xtask: cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Bytes that do not compress and do not repeat (xorshift64*); the same in every run.
fn pseudo_random_file(path: &Path, bytes: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..bytes / 8 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.write_all(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes())?;
    }
    out.flush()?;
    Ok(())
}

fn same(a: &Path, b: &Path) -> Result<bool> {
    use std::io::Read;
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let n = a.read(&mut left)?;
        if n == 0 {
            return Ok(b.read(&mut right)? == 0);
        }
        if b.read_exact(&mut right[..n]).is_err() || left[..n] != right[..n] {
            return Ok(false);
        }
    }
}
