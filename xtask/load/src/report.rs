//! Named figures of one run, medians over runs, and what is printed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::client::Measured;

/// Figures by name; what a part did not measure is absent.
#[derive(Clone, Debug, Default)]
pub struct Figures(BTreeMap<String, f64>);

/// How to show a figure: name, label, unit, decimals.
const SHOWN: &[(&str, &str, &str, usize)] = &[
    ("bare_writes", "bare verify + group commit", "records/s", 0),
    ("bare_writes_cpu_s", "  its CPU-s per 100,000", "s", 2),
    ("bundled", "durable writes, 1 tracker, bundles of 16", "records/s", 0),
    ("bundled_of_bare", "  of the bare program", "", 2),
    ("bundled_cpu_s", "  tracker CPU-s per 100,000", "s", 2),
    ("shared_1", "one record each, 32 x 8, 1 tracker", "records/s", 0),
    ("shared_1_of_bare", "  of the bare program", "", 2),
    ("shared_1_cpu_s", "  tracker CPU-s per 100,000", "s", 2),
    ("shared_1_load_cpu_s", "  load generator's CPU-s per 100,000", "s", 2),
    ("writes_1", "one record each, 256 x 1, 1 tracker", "records/s", 0),
    ("writes_1_of_bare", "  of the bare program", "", 2),
    ("writes_1_cpu_s", "  tracker CPU-s per 100,000", "s", 2),
    ("writes_1_load_cpu_s", "  load generator's CPU-s per 100,000", "s", 2),
    ("shared_2", "one record each, 32 x 8, 2 trackers", "records/s", 0),
    ("shared_2_of_bare", "  of the bare program", "", 2),
    ("shared_2_cpu_s", "  CPU-s of all trackers per 100,000", "s", 2),
    ("shared_2_cpu_each_s", "  CPU-s per tracker", "s", 2),
    ("writes_2", "one record each, 256 x 1, 2 trackers", "records/s", 0),
    ("writes_2_of_bare", "  of the bare program", "", 2),
    ("writes_2_cpu_s", "  CPU-s of all trackers per 100,000", "s", 2),
    ("writes_2_cpu_each_s", "  CPU-s per tracker", "s", 2),
    ("shared_3", "one record each, 32 x 8, 3 trackers", "records/s", 0),
    ("shared_3_of_bare", "  of the bare program", "", 2),
    ("shared_3_cpu_s", "  CPU-s of all trackers per 100,000", "s", 2),
    ("shared_3_cpu_each_s", "  CPU-s per tracker", "s", 2),
    ("writes_3", "one record each, 256 x 1, 3 trackers", "records/s", 0),
    ("writes_3_of_bare", "  of the bare program", "", 2),
    ("writes_3_cpu_s", "  CPU-s of all trackers per 100,000", "s", 2),
    ("writes_3_cpu_each_s", "  CPU-s per tracker", "s", 2),
    ("hello", "bare hyper over TLS", "requests/s", 0),
    ("hello_cpu_s", "  its CPU-s per 100,000", "s", 2),
    ("announces", "announces, one swarm each", "requests/s", 0),
    ("announces_of_bare", "  of the bare program", "", 2),
    ("announces_cpu_s", "  tracker CPU-s per 100,000", "s", 2),
    ("entries", "announces, 200 swarms each", "swarm entries/s", 0),
    ("entries_of_announces", "  of the request rate", "", 1),
    ("entries_cpu_s", "  tracker CPU-s per 100,000", "s", 2),
    ("lag_quiet_p50_ms", "replication lag, quiet, p50", "ms", 1),
    ("lag_quiet_p99_ms", "replication lag, quiet, p99", "ms", 1),
    ("lag_busy_p50_ms", "replication lag, 16 others write, p50", "ms", 1),
    ("lag_busy_p99_ms", "replication lag, 16 others write, p99", "ms", 1),
    ("member_bytes", "memory per member online", "bytes", 0),
    ("connection_bytes", "memory per open connection", "bytes", 0),
    ("startup_records", "records at start", "", 0),
    ("startup_s", "from exec to listening", "s", 3),
    ("startup_peak_mib", "peak memory then", "MiB", 1),
];

/// Name of the figure, is more better, the bound, what it says.
const AIMS: &[(&str, bool, f64, &str)] = &[
    ("bundled_of_bare", true, 0.60, "durable writes in full bundles, of the bare program"),
    (
        "shared_1_of_bare",
        true,
        0.60,
        "durable writes, one record per request, 32 connections x 8, of the bare program",
    ),
    (
        "writes_1_of_bare",
        true,
        0.60,
        "durable writes, one record per request, 256 connections, of the bare program",
    ),
    ("announces_of_bare", true, 0.55, "announces, of bare hyper over TLS"),
    ("entries_of_announces", true, 5.0, "batched swarm entries, of the request rate"),
    ("lag_busy_p99_ms", false, 50.0, "replication lag p99 under load, ms"),
    ("startup_s", false, 3.0, "start-up, s"),
];

impl Figures {
    pub fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    /// A rate and what it cost the servers.
    pub fn rate(&mut self, name: &str, measured: Measured) {
        self.set(name, measured.per_second);
        let cpu = [("cpu", measured.cpu_seconds), ("load_cpu", measured.load_cpu_seconds)];
        for (whose, seconds) in cpu {
            if let Some(seconds) = seconds {
                self.set(&format!("{name}_{whose}_s"), seconds);
            }
        }
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Figure by figure.
    pub fn median(runs: &[Self]) -> Self {
        let mut all: BTreeMap<&String, Vec<f64>> = BTreeMap::new();
        for (name, value) in runs.iter().flat_map(|run| &run.0) {
            all.entry(name).or_default().push(*value);
        }
        let median = |(name, mut values): (&String, Vec<f64>)| {
            values.sort_by(f64::total_cmp);
            (name.clone(), values[values.len() / 2])
        };
        Self(all.into_iter().map(median).collect())
    }

    /// One line per figure.
    pub fn table(&self) -> String {
        let shown = SHOWN.iter().filter_map(|(name, label, unit, decimals)| {
            let value = self.0.get(*name)?;
            Some(format!("{label:<42}{value:>12.decimals$} {unit}").trim_end().to_owned())
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    /// One line per aim.
    pub fn verdicts(&self) -> String {
        let lines = self.judged().map(|(holds, value, at_least, bound, what)| {
            let verdict = if holds { "holds:      " } else { "falls short:" };
            let side = if at_least { "at least" } else { "at most" };
            format!("{verdict} {what}: {value:.2} ({side} {bound})")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn json(&self, runs: u32) -> Value {
        let figures: Map<String, Value> =
            self.0.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let aims = self.judged().map(|(holds, value, at_least, bound, what)| {
            let side = if at_least { "at_least" } else { "at_most" };
            json!({ "aim": what, "holds": holds, "value": value, side: bound })
        });
        json!({ "runs": runs, "figures": figures, "aims": aims.collect::<Vec<_>>() })
    }

    fn judged(&self) -> impl Iterator<Item = (bool, f64, bool, f64, &'static str)> {
        AIMS.iter().filter_map(|(name, at_least, bound, what)| {
            let value = *self.0.get(*name)?;
            let holds = if *at_least { value >= *bound } else { value <= *bound };
            Some((holds, value, *at_least, *bound, *what))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ratio: f64, lag: f64) -> Figures {
        let mut figures = Figures::default();
        figures.set("writes_1_of_bare", ratio);
        figures.set("lag_busy_p99_ms", lag);
        figures
    }

    #[test]
    fn medians_are_judged() {
        let median = Figures::median(&[run(0.7, 80.0), run(0.1, 60.0), run(0.65, 20.0)]);
        assert_eq!(
            median.verdicts(),
            "holds:       durable writes, one record per request, 256 connections, of the bare program: 0.65 (at least 0.6)\n\
             falls short: replication lag p99 under load, ms: 60.00 (at most 50)"
        );
    }
}
