//! `cargo xtask bench peers`: Peerage beside the programs that people use today, and beside a bare program that only
//! encrypts, hashes and writes. Everything on this machine, in memory, in one go; only ratios mean something.

mod entries;
mod install;
mod meter;
mod others;
mod ours;
mod place;
mod program;
mod report;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use self::entries::{ENTRIES, Entry};
use self::install::Programs;
use self::meter::{Files, MIB, Shape, pseudo_random_file};
use self::others::{GivenUp, Others};
use self::place::StaticTracker;
use self::program::PATIENCE;
use self::report::{Report, Row};
use crate::process;

/// Settings of one measurement.
#[derive(clap::Args)]
pub struct Peers {
    /// How many times each; medians are printed.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only these programs: bare, peerage, libtorrent, rqbit, aria2, transmission, sendme.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these shapes, seeders and leechers: 1-1, 3-1, 1-3.
    #[arg(long, value_delimiter = ',')]
    shapes: Vec<String>,
    /// 256 MiB instead of 2 GiB and 1 GiB, one run: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Where the files are made; memory-backed keeps the disk out of the figures.
    #[arg(long, default_value = "/dev/shm")]
    folder: PathBuf,
    /// One JSON object on stdout; the table goes to stderr.
    #[arg(long)]
    json: bool,
}

impl Peers {
    /// Installs, builds, measures and prints.
    pub fn run(&self) -> Result<()> {
        ensure!(self.runs > 0, "--runs must be at least 1");
        let known: Vec<&str> = ENTRIES.iter().map(|entry| entry.program).collect();
        if let Some(unknown) = self.only.iter().find(|name| !known.contains(&name.as_str())) {
            bail!("there is no program `{unknown}` here, expected some of {}", known.join(", "));
        }
        let programs = Programs::new();
        if !place::is_inside() {
            self.prepare(&programs)?;
            if let Some(mut command) = place::inside(std::env::current_exe()?.as_os_str()) {
                return process::run(command.args(std::env::args_os().skip(1)));
            }
        }
        let report = self.measure(&programs)?;
        let text = format!("{}\n{}", report.table(), report.verdicts());
        match self.json {
            true => {
                eprintln!("{text}");
                println!("{}", report.json());
            }
            false => println!("{text}"),
        }
        Ok(())
    }

    /// What needs the network, and what takes long.
    fn prepare(&self, programs: &Programs) -> Result<()> {
        let wanted: Vec<&str> =
            ENTRIES.iter().map(|entry| entry.program).filter(|name| self.wants(name)).collect();
        // libtorrent makes everybody's torrents.
        programs.install(&[&wanted[..], &["libtorrent"]].concat())?;
        let build = ["build", "--release", "--locked", "--package", "peerage-cli", "--package", "xtask-load"];
        process::run(Command::new(env!("CARGO")).args(build).arg("--quiet").current_dir(process::root()))
    }

    fn wants(&self, program: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == program)
    }

    fn shapes(&self) -> Result<Vec<Shape>> {
        let mib = |full: u64| if self.quick { 256 * MIB } else { full * MIB };
        let all = [(1, 1, 2048), (3, 1, 1024), (1, 3, 1024)];
        let all = all.map(|(seeders, leechers, full)| Shape { seeders, leechers, bytes: mib(full) });
        let name = |shape: &Shape| format!("{}-{}", shape.seeders, shape.leechers);
        if let Some(unknown) =
            self.shapes.iter().find(|wanted| !all.iter().any(|shape| name(shape) == **wanted))
        {
            bail!("there is no shape `{unknown}`, expected 1-1, 3-1 or 1-3");
        }
        let wanted = |shape: &Shape| self.shapes.is_empty() || self.shapes.contains(&name(shape));
        Ok(all.into_iter().filter(wanted).collect())
    }

    fn measure(&self, programs: &Programs) -> Result<Report> {
        let base = if self.folder.is_dir() { self.folder.clone() } else { std::env::temp_dir() };
        let folder = tempfile::TempDir::with_prefix_in("peerage-bench-", &base)
            .with_context(|| format!("cannot make a folder in `{}`", base.display()))?;
        let tracker = StaticTracker::start()?;
        let others = Others { programs, tracker: &tracker, folder: folder.path() };
        let control = match place::is_inside() {
            true => "CUBIC for every TCP connection (a route of a network namespace)",
            false => "the system's own congestion control: a network namespace is not allowed here",
        };
        let mut report = Report { conditions: self.conditions(control), ..Report::default() };
        for shape in self.shapes()? {
            let files = self.files(folder.path(), shape)?;
            if programs.has("libtorrent") {
                others.make_torrents(&files)?;
            }
            let fitting =
                |entry: &&Entry| self.wants(entry.program) && entry.fits(shape.seeders, shape.leechers);
            let mut rows: Vec<Row> = ENTRIES
                .iter()
                .filter(fitting)
                .map(|entry| Row {
                    entry: *entry,
                    shape,
                    runs: Vec::new(),
                    failed: missing(programs, entry),
                    below: None,
                })
                .collect();
            // Round by round, so that what the machine does meanwhile hits everybody alike.
            for round in 1..=if self.quick { 1 } else { self.runs } {
                for row in rows.iter_mut().filter(|row| row.failed.is_none() && !row.is_slow()) {
                    self.once(round, row, programs, &others, &files)?;
                }
            }
            report.rows.append(&mut rows);
            fs::remove_file(&files.source)?;
        }
        Ok(report)
    }

    fn once(
        &self,
        round: usize,
        row: &mut Row,
        programs: &Programs,
        others: &Others<'_>,
        files: &Files,
    ) -> Result<()> {
        let entry = row.entry;
        let who = format!("{} {} {}, run {round}", row.shape.name(), entry.program, entry.content);
        match entry.run(programs, others, files) {
            Ok(figures) => {
                eprintln!("{who}: {:.3} GiB/s, {:.2} CPU-s/GiB", figures.gib_per_second, figures.cpu());
                row.runs.push(figures);
            }
            Err(error) => {
                eprintln!("{who}: {error:#}");
                row.failed = Some(format!("{error:#}"));
                let given_up = error.is::<GivenUp>();
                row.below = given_up.then(|| row.shape.gib() / PATIENCE.as_secs_f64());
                // What it has left behind must not be in the way of the others.
                fs::remove_dir_all(&files.folder)?;
                fs::create_dir_all(&files.folder)?;
            }
        }
        Ok(())
    }

    fn conditions(&self, control: &str) -> String {
        format!(
            "loopback, files in {}, memory warmed before each run, pieces of {} KiB (Peerage: its own choice); {control}; \
             medians of {} runs, all programs in turn, those that need more than 20 s once",
            self.folder.display(),
            others::PIECE_BYTES / 1024,
            if self.quick { 1 } else { self.runs },
        )
    }

    fn files(&self, folder: &std::path::Path, shape: Shape) -> Result<Files> {
        let sources = folder.join(format!("source-{}-{}", shape.seeders, shape.leechers));
        let files = Files { shape, source: sources.join("source.bin"), folder: folder.join("run") };
        fs::create_dir_all(&sources)?;
        fs::create_dir_all(&files.folder)?;
        pseudo_random_file(&files.source, shape.bytes)?;
        Ok(files)
    }
}

fn missing(programs: &Programs, entry: &Entry) -> Option<String> {
    (!programs.has(entry.program)).then(|| format!("{} could not be installed", entry.program))
}
