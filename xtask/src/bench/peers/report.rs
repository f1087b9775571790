//! Medians, the table, and one line for each aim.

use serde_json::{Value, json};

use super::entries::{ENTRIES, Entry, Kind, Setup};
use super::meter::{Figures, Shape};
use super::others::Content;

/// What came of one program in one shape.
pub struct Row {
    pub entry: Entry,
    pub shape: Shape,
    pub runs: Vec<Figures>,
    /// Why it could not be measured.
    pub failed: Option<String>,
    /// It was given up: it is slower than this, GiB/s.
    pub below: Option<f64>,
}

/// A run of a program that took longer than this is its only one: it is far behind, and the others wait.
const SLOW_SECONDS: f64 = 20.0;

impl Row {
    /// Whether one run says enough.
    pub fn is_slow(&self) -> bool {
        self.runs.last().is_some_and(|run| self.shape.gib() / run.gib_per_second > SLOW_SECONDS)
    }

    /// Each figure's own median.
    pub fn median(&self) -> Option<Figures> {
        let of = |figure: fn(&Figures) -> f64| {
            let mut all: Vec<f64> = self.runs.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            // Of an even number the mean of the two in the middle.
            let upper = *all.get(all.len() / 2)?;
            let lower = all[(all.len() - 1) / 2];
            Some((lower + upper) / 2.0)
        };
        Some(Figures {
            gib_per_second: of(|f| f.gib_per_second)?,
            seeders_cpu: of(|f| f.seeders_cpu)?,
            leechers_cpu: of(|f| f.leechers_cpu)?,
            seeder_peak_mib: of(|f| f.seeder_peak_mib)?,
            leecher_peak_mib: of(|f| f.leecher_peak_mib)?,
        })
    }

    fn name(&self) -> String {
        let tuned = matches!(
            self.entry.kind,
            Kind::Libtorrent { .. } | Kind::Aria2 { .. } | Kind::Transmission { .. }
        );
        match (tuned, self.entry.is_tuned()) {
            (true, true) => format!("{} tuned", self.entry.program),
            (true, false) => format!("{} stock", self.entry.program),
            (false, _) => self.entry.program.to_owned(),
        }
    }
}

/// All rows.
#[derive(Default)]
pub struct Report {
    pub rows: Vec<Row>,
    /// What was the same for everybody.
    pub conditions: String,
}

impl Report {
    fn row(&self, shape: &str, kind: Kind) -> Option<Figures> {
        let row = self.rows.iter().find(|row| row.shape.name() == shape && row.entry.kind == kind)?;
        row.median()
    }

    /// What a program is slower than that was given up.
    fn below(&self, shape: &str, kind: Kind) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.shape.name() == shape && row.entry.kind == kind)?;
        row.below
    }

    /// Other programs than our own.
    fn others(&self, shape: &str) -> impl Iterator<Item = (&Row, Figures)> {
        let ours = |row: &&Row| matches!(row.entry.kind, Kind::Peerage | Kind::Bare);
        let rows = self.rows.iter().filter(move |row| row.shape.name() == shape && !ours(row));
        rows.filter_map(|row| Some((row, row.median()?)))
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n", self.conditions);
        let mut shapes: Vec<Shape> = Vec::new();
        for row in &self.rows {
            if !shapes.contains(&row.shape) {
                shapes.push(row.shape);
            }
        }
        let most = self.rows.iter().map(|row| row.runs.len()).max().unwrap_or(0);
        for shape in shapes {
            let name = shape.name();
            let own = self.row(&name, Kind::Peerage).map(|own| own.gib_per_second);
            text += &format!(
                "\n{} MiB, seeders -> leechers: {name}\n{:<18} {:<22} {:>6} {:>9}   {:>22} {:>15}\n",
                shape.bytes / super::meter::MIB,
                "program",
                "content",
                "GiB/s",
                "Peerage x",
                "CPU-s/GiB seed + leech",
                "peak MiB s / l"
            );
            for row in self.rows.iter().filter(|row| row.shape == shape) {
                text += &match row.median() {
                    Some(f) => format!(
                        "{:<18} {:<22} {:>6.3} {:>9}   {:>22} {:>15}{}\n",
                        row.name(),
                        row.entry.content,
                        f.gib_per_second,
                        own.map_or("-".to_owned(), |own| format!("{:.2}", own / f.gib_per_second)),
                        format!("{:.2} + {:.2} = {:.2}", f.seeders_cpu, f.leechers_cpu, f.cpu()),
                        format!("{:.0} / {:.0}", f.seeder_peak_mib, f.leecher_peak_mib),
                        match row.runs.len() {
                            runs if runs < most => format!("   runs: {runs}"),
                            _ => String::new(),
                        },
                    ),
                    None => format!(
                        "{:<18} {:<22} no figure: {}\n",
                        row.name(),
                        row.entry.content,
                        row.failed.as_deref().unwrap_or("not asked for")
                    ),
                };
            }
        }
        text += "\nsettings\n";
        let measured = |entry: &&Entry| self.rows.iter().any(|row| row.entry == **entry);
        for entry in ENTRIES.iter().filter(measured) {
            text += &format!("{:<12} {:<20} {}\n", entry.program, entry.content, entry.settings);
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let median = row.median().map(|f| {
                json!({
                    "gib_per_second": f.gib_per_second, "seeders_cpu_seconds_per_gib": f.seeders_cpu,
                    "leechers_cpu_seconds_per_gib": f.leechers_cpu, "seeder_peak_mib": f.seeder_peak_mib,
                    "leecher_peak_mib": f.leecher_peak_mib,
                })
            });
            json!({
                "program": row.name(), "content": row.entry.content, "settings": row.entry.settings,
                "seeders": row.shape.seeders, "leechers": row.shape.leechers, "bytes": row.shape.bytes,
                "runs": row.runs.len(), "median": median, "failed": row.failed,
                "gib_per_second_below": row.below,
            })
        });
        let aims = self
            .aims()
            .into_iter()
            .map(|aim| json!({ "aim": aim.what, "verdict": aim.verdict, "figure": aim.figure }));
        json!({ "conditions": self.conditions, "rows": rows.collect::<Vec<_>>(), "aims": aims.collect::<Vec<_>>() })
    }

    /// One line for each aim.
    pub fn verdicts(&self) -> String {
        let lines =
            self.aims().into_iter().map(|aim| format!("{}: {} ({})\n", aim.what, aim.verdict, aim.figure));
        lines.collect()
    }

    fn aims(&self) -> Vec<Aim> {
        let one = "1 -> 1";
        let mut aims = Vec::new();
        let own = self.row(one, Kind::Peerage);
        let ratio = |other: Option<Figures>| Some(own?.gib_per_second / other?.gib_per_second);
        let fastest = self.others(one).max_by(|a, b| a.1.gib_per_second.total_cmp(&b.1.gib_per_second));
        let name = fastest.as_ref().map_or("the fastest other program".to_owned(), |(row, _)| label(row));
        aims.push(Aim::least(
            format!("1 -> 1: at least 1.05 x {name}"),
            ratio(fastest.map(|f| f.1)),
            1.05,
            "x",
        ));
        let hybrid = Kind::Libtorrent { content: Content::Hybrid, setup: Setup::Tuned };
        let what = "1 -> 1: at least 1.9 x tuned libtorrent on hybrid content".to_owned();
        aims.push(Aim::least(what, ratio(self.row(one, hybrid)), 1.9, "x"));
        let stock = |content, setup| Kind::Libtorrent { content, setup };
        for (name, kinds) in [
            ("rqbit", &[Kind::Rqbit][..]),
            ("aria2", &[Kind::Aria2 { tuned: false }, Kind::Aria2 { tuned: true }]),
            ("sendme", &[Kind::Sendme]),
            ("stock libtorrent (v1, uTP)", &[stock(Content::V1, Setup::Stock)]),
            ("stock libtorrent (v1) over TCP", &[stock(Content::V1, Setup::Tcp)]),
            (
                "stock libtorrent (its defaults over TCP) on the same hybrid content",
                &[stock(Content::Hybrid, Setup::Tcp)],
            ),
        ] {
            let best = kinds.iter().filter_map(|kind| self.row(one, *kind));
            let best = best.max_by(|a, b| a.gib_per_second.total_cmp(&b.gib_per_second));
            let what = format!("1 -> 1: at least 2.5 x {name}");
            let given_up = kinds.iter().filter_map(|kind| self.below(one, *kind)).reduce(f64::max);
            aims.push(match (ratio(best), own.zip(given_up)) {
                (None, Some((own, below))) => Aim::least(
                    format!("{what}, which was given up"),
                    Some(own.gib_per_second / below),
                    2.5,
                    "x or more",
                ),
                (ratio, _) => Aim::least(what, ratio, 2.5, "x"),
            });
        }
        let bare = ratio(self.row(one, Kind::Bare));
        aims.push(Aim::least("1 -> 1: at least 80 % of the bare program".to_owned(), bare, 0.8, "x"));
        aims.extend(self.cpu_aims(own));
        for shape in ["3 -> 1", "1 -> 3"] {
            let own = self.row(shape, Kind::Peerage);
            let fastest = self.others(shape).max_by(|a, b| a.1.gib_per_second.total_cmp(&b.1.gib_per_second));
            let name = fastest.as_ref().map_or("every other program".to_owned(), |(row, _)| label(row));
            let ratio = own.zip(fastest).map(|(own, (_, other))| own.gib_per_second / other.gib_per_second);
            aims.push(Aim::least(format!("{shape}: ahead of {name}"), ratio, 1.0, "x"));
        }
        let own = self.rows.iter().filter(|row| row.entry.kind == Kind::Peerage).filter_map(Row::median);
        let peak = own.map(|own| own.peak_mib()).reduce(f64::max);
        aims.push(Aim::most("at most 150 MiB resident per node".to_owned(), peak, 150.0, "MiB"));
        aims
    }

    fn cpu_aims(&self, own: Option<Figures>) -> [Aim; 2] {
        let thriftiest = |content: Content| {
            let of = |row: &Row| match row.entry.kind {
                Kind::Libtorrent { content, .. } => Some(content),
                Kind::Rqbit | Kind::Aria2 { .. } | Kind::Transmission { .. } => Some(Content::V1),
                Kind::Peerage | Kind::Bare | Kind::Sendme => None,
            };
            let fitting = self.others("1 -> 1").filter(move |(row, _)| of(row) == Some(content));
            fitting.min_by(|a, b| a.1.cpu().total_cmp(&b.1.cpu()))
        };
        let aim = |what: &str, other: Option<(&Row, Figures)>, most: f64| {
            let name =
                other.as_ref().map_or("the thriftiest other program".to_owned(), |(row, _)| label(row));
            let ratio = own.zip(other).map(|(own, (_, other))| own.cpu() / other.cpu());
            Aim::most(format!("1 -> 1: CPU seconds per GiB {what} {name}"), ratio, most, "x")
        };
        [aim("below", thriftiest(Content::Hybrid), 1.0), aim("at most 1.1 x", thriftiest(Content::V1), 1.1)]
    }
}

fn label(row: &Row) -> String {
    format!("{} ({})", row.name(), row.entry.content)
}

struct Aim {
    what: String,
    verdict: &'static str,
    figure: String,
}

impl Aim {
    fn least(what: String, got: Option<f64>, least: f64, unit: &str) -> Self {
        Self::new(what, got.map(|got| (got, got >= least)), unit)
    }

    fn most(what: String, got: Option<f64>, most: f64, unit: &str) -> Self {
        Self::new(what, got.map(|got| (got, got <= most)), unit)
    }

    fn new(what: String, got: Option<(f64, bool)>, unit: &str) -> Self {
        match got {
            Some((got, holds)) => Self {
                what,
                verdict: if holds { "holds" } else { "falls short" },
                figure: format!("{got:.2} {unit}"),
            },
            None => Self { what, verdict: "not measured", figure: "-".to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_of_each_aim_whether_it_holds() {
        let shape = Shape { seeders: 1, leechers: 1, bytes: 1 << 30 };
        let row = |index: usize, rates: &[f64]| {
            let run = |rate: &f64| Figures {
                gib_per_second: *rate,
                leechers_cpu: 1.0 / rate,
                ..Figures::default()
            };
            Row {
                entry: ENTRIES[index],
                shape,
                runs: rates.iter().map(run).collect(),
                failed: None,
                below: None,
            }
        };
        let mut report = Report { rows: vec![row(0, &[1.0]), row(1, &[0.9, 0.1, 0.8])], ..Report::default() };
        report.rows.push(row(2, &[0.7]));
        report.rows.push(row(3, &[0.5, 0.7]));
        report.rows.push(row(5, &[0.5]));
        report.rows.push(row(6, &[0.3, 0.4, 0.3, 0.5]));
        report.rows.push(Row { below: Some(0.02), failed: Some("given up".to_owned()), ..row(7, &[]) });
        let verdicts = report.verdicts();
        for line in [
            "1 -> 1: at least 1.05 x libtorrent tuned (v1, plaintext): holds (1.14 x)",
            "1 -> 1: at least 1.9 x tuned libtorrent on hybrid content: falls short (1.33 x)",
            "1 -> 1: at least 2.5 x sendme: not measured (-)",
            "1 -> 1: at least 2.5 x stock libtorrent (v1, uTP), which was given up: holds (40.00 x or more)",
            "1 -> 1: at least 2.5 x stock libtorrent (v1) over TCP: falls short (1.60 x)",
            "1 -> 1: at least 2.5 x stock libtorrent (its defaults over TCP) on the same hybrid content: falls short (2.29 x)",
            "1 -> 1: at least 80 % of the bare program: holds (0.80 x)",
            "1 -> 3: ahead of every other program: not measured (-)",
        ] {
            assert!(verdicts.lines().any(|got| got == line), "{line} is not in\n{verdicts}");
        }
    }
}
