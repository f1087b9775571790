//! Progress drawing, on a terminal only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use peerage_local::reply::human;
use peerage_local::reply::model::{Download, Hashing, State};
use peerage_node::client::{HashReport, HashStep, Node};

/// How often bars are drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// Characters of a name beside its bar; of longer ones the end stays, where they differ.
const NAME_CHARS_MAX: usize = 22;

/// What is said once of a request that waits.
pub const WAITS_FOR_ANSWER: &str =
    "waiting for an answer to the request; Ctrl-C gives up waiting, the request stays";
/// What is over by then needs no word.
const SLOW: Duration = Duration::from_millis(500);

/// Says something on stderr if this is not over at once.
pub async fn say_if_slow<T>(text: &str, run: impl Future<Output = T>) -> T {
    tokio::pin!(run);
    tokio::select! {
        result = &mut run => return result,
        () = tokio::time::sleep(SLOW) => eprintln!("{text}"),
    }
    run.await
}

/// Whether to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing: a pipe.
    Quiet,
    /// Bars on stderr.
    Bars,
}

impl Progress {
    /// Runs something that hashes and reports how far it is.
    pub async fn hashing<T, F: Future<Output = T>>(self, run: impl FnOnce(HashReport) -> F) -> T {
        if self == Self::Quiet {
            return run(Arc::new(|_| {})).await;
        }
        // A large folder takes a moment to look through.
        let bar = ProgressBar::new_spinner();
        bar.set_prefix("hashing");
        let drawn = bar.clone();
        let _clear = ClearOnDrop(bar);
        // Hashing threads end a little later than a command that is given up: they must not draw over the prompt.
        let report = move |step| match step {
            _ if drawn.is_finished() => {}
            HashStep::Found(bytes) => {
                drawn.set_length(bytes);
                drawn.set_style(style());
            }
            HashStep::Done(bytes) => drawn.set_position(bytes),
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
                _ = tick.tick() => bars.downloads(&node.downloads_now().iter().map(Download::from).collect::<Vec<_>>()),
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

/// Bars on stderr, one for each thing that goes on.
#[derive(Default)]
pub struct Bars {
    all: MultiProgress,
    by_name: BTreeMap<String, ProgressBar>,
    /// A group and files of it: nothing else is drawn.
    only: Option<(String, BTreeSet<String>)>,
}

impl Bars {
    /// For these files of a group alone.
    pub fn of(group: &str, files: &[String]) -> Self {
        let only = Some((group.to_owned(), files.iter().cloned().collect()));
        Self { all: MultiProgress::default(), by_name: BTreeMap::new(), only }
    }

    /// Prints something without bars in between.
    pub fn aside(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Draws all downloads that are not complete, and those that complete meanwhile.
    pub fn downloads(&mut self, downloads: &[Download]) {
        let mut drawn = Vec::new();
        for d in downloads {
            let name = match &self.only {
                None => format!("[{}] {}", d.group, d.name),
                Some((group, files)) if d.group.eq_ignore_ascii_case(group) && files.contains(&d.name) => {
                    d.name.clone()
                }
                Some(_) => continue,
            };
            if d.state == State::D || self.by_name.contains_key(&name) {
                drawn.push((shortened(&name), name, d));
            }
        }
        let width = drawn.iter().map(|(short, ..)| short.chars().count()).max().unwrap_or(0);
        for (short, name, d) in drawn {
            let prefix = format!("{short:width$}");
            let bar = self.bar(name, &prefix, d.bytes_total);
            bar.set_prefix(prefix);
            bar.set_length(d.bytes_total);
            bar.set_position(d.bytes_done);
            match d.state {
                State::C if bar.is_finished() => {}
                State::C => bar.finish_with_message("complete"),
                State::D => bar.set_message(d.note.clone().unwrap_or_else(|| moving(d))),
            }
        }
    }

    /// Draws files that are being hashed.
    pub fn hashing(&mut self, files: &[Hashing]) {
        for file in files {
            let name = format!("hashing {}", file.path);
            let bar = self.bar(name.clone(), &name, file.total);
            // How much there is in a folder turns out when all of it was looked through.
            bar.set_length(file.total);
            bar.set_position(file.done);
        }
    }

    /// Draws a share that is looked through for damage.
    pub fn scrubbing(&mut self, file: &str, percent: u64) {
        let prefix = format!("looking through {}", shortened(file));
        let bar = self.bar(file.to_owned(), &prefix, 100);
        bar.set_position(percent);
        bar.tick();
    }

    fn bar(&mut self, name: String, prefix: &str, total: u64) -> &ProgressBar {
        self.by_name.entry(name).or_insert_with(|| {
            self.all.add(ProgressBar::new(total).with_style(style()).with_prefix(prefix.to_owned()))
        })
    }
}

/// Rate, where it comes from, and how long it will take.
fn moving(d: &Download) -> String {
    let left = d.bytes_total.saturating_sub(d.bytes_done).checked_div(d.bytes_per_second);
    let left = left.map(|seconds| format!(", {} left", human::duration(Duration::from_secs(seconds))));
    let peers = human::count(d.peers as u64, "peer");
    format!("{}/s, {peers}{}", human::bytes(d.bytes_per_second), left.unwrap_or_default())
}

fn shortened(name: &str) -> String {
    let skipped = name.chars().count().saturating_sub(NAME_CHARS_MAX);
    match skipped {
        0 => name.to_owned(),
        _ => std::iter::once('…').chain(name.chars().skip(skipped + 1)).collect(),
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // A terminal that cannot be cleared keeps its last picture.
        let _ = self.all.clear();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} [{bar:12}] {percent:>3}% {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
