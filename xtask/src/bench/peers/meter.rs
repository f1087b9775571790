//! What one run is measured by, alike for every program.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::bench::usage::Usage;

pub const MIB: u64 = 1024 * 1024;

/// How many move how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub seeders: usize,
    pub leechers: usize,
    pub bytes: u64,
}

impl Shape {
    pub fn name(&self) -> String {
        format!("{} -> {}", self.seeders, self.leechers)
    }

    /// GiB that all leechers get together.
    pub fn gib(&self) -> f64 {
        (self.bytes / MIB * self.leechers as u64) as f64 / 1024.0
    }
}

/// One run of one program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Of all leechers together.
    pub gib_per_second: f64,
    /// CPU seconds of all seeders, and of all leechers, for each GiB that was moved.
    pub seeders_cpu: f64,
    pub leechers_cpu: f64,
    /// The largest resident memory of one seeder and of one leecher during the transfer.
    pub seeder_peak_mib: f64,
    pub leecher_peak_mib: f64,
}

impl Figures {
    pub fn cpu(&self) -> f64 {
        self.seeders_cpu + self.leechers_cpu
    }

    pub fn peak_mib(&self) -> f64 {
        self.seeder_peak_mib.max(self.leecher_peak_mib)
    }
}

/// The files of one shape.
pub struct Files {
    pub shape: Shape,
    /// What is moved.
    pub source: PathBuf,
    /// For what a run makes; emptied after each.
    pub folder: PathBuf,
}

impl Files {
    /// Where number `index` puts its copy.
    pub fn leecher(&self, index: usize) -> Result<PathBuf> {
        self.subfolder(&format!("leecher-{index}"))
    }

    /// What seeder number `index` needs beside the source.
    pub fn seeder(&self, index: usize) -> Result<PathBuf> {
        self.subfolder(&format!("seeder-{index}"))
    }

    pub fn name(&self) -> String {
        self.source.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// All copies are what they should be; they are removed.
    pub fn check(&self) -> Result<()> {
        for index in 0..self.shape.leechers {
            let copy = self.leecher(index)?.join(self.name());
            ensure!(same(&self.source, &copy)?, "`{}` differs from its original", copy.display());
        }
        fs::remove_dir_all(&self.folder)?;
        Ok(fs::create_dir_all(&self.folder)?)
    }

    /// Touches as much memory as the copies will need, so that no program pays for what the host machine has not
    /// handed out lately.
    fn warm(&self) -> Result<()> {
        let path = self.folder.join("warm");
        let mut file = File::create(&path)?;
        let chunk = vec![1; MIB as usize];
        for _ in 0..self.shape.bytes / MIB * self.shape.leechers as u64 + 256 {
            file.write_all(&chunk)?;
        }
        Ok(fs::remove_file(path)?)
    }
}

/// From the start of the transfer to its end.
pub struct Meter {
    shape: Shape,
    started: Instant,
    seeders: Vec<Usage>,
    leechers: Vec<Usage>,
}

impl Meter {
    /// Warms memory, forgets what the processes have used so far, and starts the clock. Leechers that start with the
    /// transfer are left out.
    pub fn start(files: &Files, seeders: &[u32], leechers: &[u32]) -> Result<Self> {
        files.warm()?;
        seeders.iter().chain(leechers).for_each(|pid| reset_peak(*pid));
        let read = |pids: &[u32]| pids.iter().map(|pid| Usage::of(*pid)).collect();
        let (seeders, leechers) = (read(seeders), read(leechers));
        Ok(Self { shape: files.shape, started: Instant::now(), seeders, leechers })
    }

    /// The transfer ended at `ended`; these are the readings after it, in the same order.
    pub fn end(self, ended: Instant, seeders: &[Usage], leechers: &[Usage]) -> Result<Figures> {
        let seconds = ended.duration_since(self.started).as_secs_f64();
        let gib = self.shape.gib();
        let none = Usage { cpu_seconds: Some(0.0), peak_mib: None };
        let cpu = |after: &[Usage], before: &[Usage]| -> Option<f64> {
            let before = before.iter().chain(std::iter::repeat(&none));
            let all: Option<f64> =
                after.iter().zip(before).map(|(after, before)| after.cpu_since(before)).sum();
            Some(all? / gib)
        };
        let peak = |usages: &[Usage]| usages.iter().filter_map(|usage| usage.peak_mib).fold(0.0, f64::max);
        let unknown = || anyhow::anyhow!("/proc does not tell what the processes have used");
        Ok(Figures {
            gib_per_second: gib / seconds,
            seeders_cpu: cpu(seeders, &self.seeders).ok_or_else(unknown)?,
            leechers_cpu: cpu(leechers, &self.leechers).ok_or_else(unknown)?,
            seeder_peak_mib: peak(seeders),
            leecher_peak_mib: peak(leechers),
        })
    }
}

/// The peak counts from now on. Where the kernel cannot do that, it counts from the start of the process.
fn reset_peak(pid: u32) {
    drop(fs::write(format!("/proc/{pid}/clear_refs"), "5"));
}

/// Bytes that do not compress and do not repeat (xorshift64*); the same in every run.
pub fn pseudo_random_file(path: &Path, bytes: u64) -> Result<()> {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..bytes / 8 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.write_all(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes())?;
    }
    Ok(out.flush()?)
}

fn same(a: &Path, b: &Path) -> Result<bool> {
    use std::io::Read as _;
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
