//! Progress drawing, on a terminal only.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use peerage_local::reply::human;
use peerage_node::client::{DownloadLine, HashReport, Node};

/// How often bars are drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// Whether to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing: a pipe.
    Quiet,
    /// Bars on stderr.
    Bars,
}

impl Progress {
    /// Runs something that hashes `path` and reports bytes done.
    pub async fn hashing<T, F: Future<Output = T>>(
        self,
        path: &Path,
        run: impl FnOnce(HashReport) -> F,
    ) -> T {
        if self == Self::Quiet {
            return run(Arc::new(|_| {})).await;
        }
        let bar = match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => ProgressBar::new(meta.len()).with_style(style()),
            _ => ProgressBar::new_spinner(),
        };
        bar.set_prefix("hashing");
        let drawn = bar.clone();
        let _clear = ClearOnDrop(bar);
        // Hashing threads end a little later than a command that is given up: they must not draw over the prompt.
        let report = move |bytes| {
            if !drawn.is_finished() {
                drawn.set_position(bytes);
            }
        };
        run(Arc::new(report)).await
    }

    /// Runs something that waits for downloads, and shows them meanwhile.
    pub async fn downloads<T>(self, node: &Node, run: impl Future<Output = T>) -> T {
        if self == Self::Quiet {
            return run.await;
        }
        tokio::pin!(run);
        let mut bars = Bars::default();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                result = &mut run => return result,
                _ = tick.tick() => bars.draw(&node.downloads_now()),
            }
        }
    }
}

/// Takes the bar off the screen when the work is done or given up.
struct ClearOnDrop(ProgressBar);

impl Drop for ClearOnDrop {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    by_file: BTreeMap<(String, String), ProgressBar>,
}

impl Bars {
    fn draw(&mut self, downloads: &[DownloadLine]) {
        for d in downloads {
            let key = (d.group.clone(), d.name.clone());
            if d.complete && !self.by_file.contains_key(&key) {
                continue;
            }
            let bar = self.by_file.entry(key).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new(d.bytes_total).with_style(style()));
                bar.set_prefix(format!("[{}] {}", d.group, d.name));
                bar
            });
            bar.set_position(d.bytes_done);
            bar.set_message(d.note.clone().unwrap_or_else(|| {
                format!(
                    "{}/s from {}",
                    human::bytes(d.bytes_per_second),
                    human::count(d.peers as u64, "peer")
                )
            }));
            if d.complete && !bar.is_finished() {
                bar.finish_with_message("complete");
            }
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // A terminal that cannot be cleared keeps its last picture.
        let _ = self.all.clear();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3}% {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
