//! Live progress: bars on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::report::{self, Row};

/// Between two progress lines when the output is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

pub struct Display {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    total: u64,
    last_line: Option<Instant>,
}

impl Display {
    pub fn new(names: impl Iterator<Item = &'static str>, total: u64) -> Self {
        let bars = std::io::stdout().is_terminal().then(|| {
            let all = MultiProgress::new();
            let template = "  {prefix:8} {percent:>3}% |{bar:40}| {bytes}/{total_bytes} {msg}";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = |name| all.add(ProgressBar::new(total)).with_style(style.clone()).with_prefix(name);
            let bars = names.map(bar).collect();
            (all, bars)
        });
        Self { bars, total, last_line: None }
    }

    pub fn show(&mut self, rows: &[Row]) {
        if let Some((_, bars)) = &self.bars {
            for (bar, row) in bars.iter().zip(rows) {
                bar.set_position(row.bytes_done);
                let sources: Vec<String> = row.sources.iter().map(|(user, _)| user.clone()).collect();
                bar.set_message(format!(
                    "{}/s from {}",
                    report::bytes(row.bytes_per_second as u64),
                    sources.join(", ")
                ));
            }
            return;
        }
        let complete = rows.iter().all(|row| row.complete);
        if complete || self.last_line.is_none_or(|at| at.elapsed() >= LINE_INTERVAL) {
            self.last_line = Some(Instant::now());
            let parts: Vec<String> = rows
                .iter()
                .map(|r| format!("{} {}%", r.name, r.bytes_done * 100 / self.total.max(1)))
                .collect();
            println!("  {}", parts.join("  "));
        }
    }

    pub fn say(&self, line: &str) {
        match &self.bars {
            Some((all, _)) => drop(all.println(format!("• {line}"))),
            None => println!("• {line}"),
        }
    }

    pub fn finish(&self) {
        for bar in self.bars.iter().flat_map(|(_, bars)| bars) {
            bar.finish();
        }
    }
}
