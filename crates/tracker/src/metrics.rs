//! What is counted and measured while the tracker runs, and how Prometheus gets to read it.
//!
//! Counters and histograms live here for as long as the process, through every drill. What has a size at each moment (a
//! [`Level`], or what `observe` finds) is read when somebody asks and goes into a recorder of its own: what is gone since,
//! such as a tracker that left the list, then leaves nothing behind. Without `--metrics` nothing is recorded but levels,
//! which `cluster status` shows too. `docs/operators.md` lists the names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State as Extracted};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::observe::Observation;

/// Upper bounds in seconds: from what memory answers to what clients give up on.
const SECONDS_BUCKETS: [f64; 13] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// A cluster has 1 to 7 trackers.
const TRACKERS_BUCKETS: [f64; 7] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
/// Rows that share one fsync, up to `COMMIT_ROWS_MAX`.
const ROWS_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];

/// How many there are of something now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level(Arc<AtomicUsize>);

/// Counts in a [`Level`] until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Level);

impl Level {
    pub(crate) fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    pub(crate) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that is counted.
pub(crate) struct Metrics {
    recorder: Option<PrometheusRecorder>,
    started: Instant,
    /// Connections whose TLS handshake is under way.
    pub(crate) handshaking: Level,
    /// Connections that carry requests.
    pub(crate) connections: Level,
    /// Open event streams.
    pub(crate) streams: Level,
    /// How often one log position turned out to hold two records.
    equivocations: AtomicU64,
    commit_seconds: Histogram,
    commit_rows: Histogram,
    rows_written: Counter,
    durable_on: Histogram,
}

impl Metrics {
    /// `on`: somebody is going to read them.
    pub(crate) fn new(on: bool) -> Result<Self, BuildError> {
        let recorder = if on { Some(recorder()?) } else { None };
        let mut metrics = Self {
            recorder,
            started: Instant::now(),
            handshaking: Level::default(),
            connections: Level::default(),
            streams: Level::default(),
            equivocations: AtomicU64::new(0),
            commit_seconds: Histogram::noop(),
            commit_rows: Histogram::noop(),
            rows_written: Counter::noop(),
            durable_on: Histogram::noop(),
        };
        if let Some(recorder) = &metrics.recorder {
            (metrics.commit_seconds, metrics.commit_rows, metrics.rows_written, metrics.durable_on) =
                metrics::with_local_recorder(recorder, || {
                    describe();
                    (
                        metrics::histogram!("peerage_commit_seconds"),
                        metrics::histogram!("peerage_commit_rows"),
                        counter!("peerage_rows_written_total"),
                        metrics::histogram!("peerage_durable_on_trackers"),
                    )
                });
        }
        Ok(metrics)
    }

    /// Is anything recorded?
    pub(crate) fn is_on(&self) -> bool {
        self.recorder.is_some()
    }

    /// Since the process started.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A connection that came to nothing.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.record(|| counter!("peerage_connections_refused_total", "reason" => reason).increment(1));
    }

    /// One log position holds two records.
    pub(crate) fn equivocation(&self) {
        self.equivocations.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that happened.
    pub(crate) fn equivocations(&self) -> u64 {
        self.equivocations.load(Ordering::Relaxed)
    }

    /// One transaction of the writer is durable.
    pub(crate) fn committed(&self, rows: usize, took: Duration) {
        self.commit_seconds.record(took);
        self.commit_rows.record(rows as f64);
        self.rows_written.increment(rows as u64);
    }

    /// A bundle was acknowledged.
    pub(crate) fn acknowledged(&self, durable_on: u32) {
        self.durable_on.record(f64::from(durable_on));
    }

    fn request(&self, route: &str, status: u16, took: Duration) {
        self.record(|| {
            let route = route.to_owned();
            if status == StatusCode::TOO_MANY_REQUESTS.as_u16() {
                counter!("peerage_rate_limited_total", "kind" => route.clone()).increment(1);
            }
            counter!("peerage_requests_total", "route" => route.clone(), "status" => status.to_string())
                .increment(1);
            metrics::histogram!("peerage_request_seconds", "route" => route).record(took);
        });
    }

    fn record(&self, what: impl FnOnce()) {
        if let Some(recorder) = &self.recorder {
            metrics::with_local_recorder(recorder, what);
        }
    }

    /// Sorts what was recorded into buckets, which bounds the memory that it takes: every few seconds.
    pub(crate) fn upkeep(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.handle().run_upkeep();
        }
    }

    /// The text for Prometheus. `None`: no tracker runs at the moment.
    pub(crate) fn render(&self, observed: Option<&Observation>) -> String {
        let mut text = self.recorder.as_ref().map(|r| r.handle().render()).unwrap_or_default();
        if let Ok((recorder, handle)) = fresh() {
            metrics::with_local_recorder(&recorder, || {
                describe_levels();
                self.levels(observed.is_some());
                if let Some(observed) = observed {
                    gauges(observed);
                }
            });
            text.push_str(&handle.render());
        }
        text
    }

    fn levels(&self, running: bool) {
        gauge!("peerage_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("peerage_uptime_seconds").set(self.uptime().as_secs_f64());
        gauge!("peerage_running").set(f64::from(u8::from(running)));
        let connections = |state: &'static str, level: &Level| {
            gauge!("peerage_connections", "state" => state).set(level.now() as f64);
        };
        connections("handshake", &self.handshaking);
        connections("open", &self.connections);
        gauge!("peerage_event_streams").set(self.streams.now() as f64);
        counter!("peerage_equivocations_total").absolute(self.equivocations());
    }
}

/// Measures every request of the router that it is a layer of.
pub(crate) async fn measure(
    Extracted(metrics): Extracted<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    // The route's pattern, not the path: whoever asks cannot make up new ones.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics.request(route, response.status().as_u16(), started.elapsed());
    response
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let full = |name: &str| Matcher::Full(name.to_owned());
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(seconds, &SECONDS_BUCKETS)?
        .set_buckets_for_metric(full("peerage_durable_on_trackers"), &TRACKERS_BUCKETS)?
        .set_buckets_for_metric(full("peerage_commit_rows"), &ROWS_BUCKETS)?
        .build_recorder())
}

fn fresh() -> Result<(PrometheusRecorder, PrometheusHandle), BuildError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    Ok((recorder, handle))
}

fn describe() {
    describe_counter!("peerage_requests_total", "Requests by route and HTTP status");
    describe_histogram!("peerage_request_seconds", "From the request's header to the answer's");
    describe_counter!("peerage_connections_refused_total", "Connections that came to nothing, by reason");
    describe_counter!("peerage_rate_limited_total", "Requests beyond a limit, by route");
    describe_histogram!("peerage_commit_seconds", "One transaction of the log, fsync included");
    describe_histogram!("peerage_commit_rows", "Rows in one transaction");
    describe_counter!("peerage_rows_written_total", "Log rows written, own and other trackers'");
    describe_histogram!("peerage_durable_on_trackers", "On how many disks an acknowledged bundle was");
}

fn describe_levels() {
    describe_gauge!("peerage_build_info", "Always 1; the label says which version");
    describe_gauge!("peerage_uptime_seconds", "Since the process started");
    describe_gauge!("peerage_running", "0 while a drill keeps this tracker away");
    describe_gauge!("peerage_connections", "Connections by state");
    describe_gauge!("peerage_event_streams", "Members who listen for events, one per stream");
    describe_counter!(
        "peerage_equivocations_total",
        "Log positions that held two records: look into it at once"
    );
    describe_gauge!("peerage_trackers", "Trackers in this one's list, itself included");
    describe_gauge!("peerage_records", "Different records on the disk");
    describe_gauge!("peerage_log_rows", "Log rows on the disk, of all trackers");
    describe_gauge!("peerage_scopes", "Accounts and groups");
    describe_gauge!("peerage_staged_rows", "Rows on their way to the disk");
    describe_gauge!("peerage_waiting_submissions", "Bundles without an answer yet");
    describe_gauge!("peerage_presence_entries", "Devices in swarms, each pair counted");
    describe_gauge!("peerage_database_bytes", "Database files, write-ahead logs included");
    describe_gauge!("peerage_disk_free_bytes", "Left for us on the disk of the database");
    describe_gauge!("peerage_disk_full", "1 while nothing can be written");
    describe_gauge!("peerage_neighbour_suspected", "1 while nobody waits for this tracker");
    describe_gauge!("peerage_neighbour_lacks_rows", "Rows that we have and it, as far as we know, has not");
    describe_gauge!("peerage_neighbour_ahead_rows", "Rows that it has and we have not");
    describe_gauge!("peerage_neighbour_clock_skew_seconds", "Its clock against ours; positive: ahead");
}

fn gauges(observed: &Observation) {
    let flag = |on: bool| f64::from(u8::from(on));
    let set = |name: &'static str, value: f64| gauge!(name).set(value);
    set("peerage_trackers", f64::from(observed.trackers));
    set("peerage_records", observed.counts.records as f64);
    set("peerage_log_rows", observed.counts.rows as f64);
    set("peerage_scopes", observed.counts.scopes as f64);
    set("peerage_staged_rows", observed.replica.staged_rows as f64);
    set("peerage_waiting_submissions", observed.replica.waiting as f64);
    set("peerage_presence_entries", observed.presence as f64);
    set("peerage_database_bytes", observed.database_bytes as f64);
    set("peerage_disk_full", flag(observed.disk_full));
    if let Some(free) = observed.disk_free_bytes {
        set("peerage_disk_free_bytes", free as f64);
    }
    for (entry, peer) in &observed.neighbours {
        let set = |name: &'static str, value: f64| gauge!(name, "tracker" => entry.clone()).set(value);
        set("peerage_neighbour_suspected", flag(peer.suspected));
        set("peerage_neighbour_lacks_rows", peer.lacks_rows as f64);
        set("peerage_neighbour_ahead_rows", peer.ahead_rows as f64);
        if let Some(ms) = peer.skew_ms {
            set("peerage_neighbour_clock_skew_seconds", ms as f64 / 1_000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_count_what_is_there() {
        let level = Level::default();
        let two = (level.enter(), level.enter());
        assert_eq!(level.now(), 2);
        drop(two);
        assert_eq!(level.now(), 0);
    }

    #[test]
    fn renders_what_was_recorded() {
        let metrics = Metrics::new(true).unwrap();
        metrics.request("/v1/bundle", 200, Duration::from_millis(3));
        metrics.refused("handshake_timeout");
        metrics.committed(5, Duration::from_millis(2));
        metrics.acknowledged(2);
        let _open = metrics.connections.enter();
        let text = metrics.render(None);
        for line in [
            "peerage_requests_total{route=\"/v1/bundle\",status=\"200\"} 1",
            "peerage_request_seconds_bucket{route=\"/v1/bundle\",le=\"0.0025\"} 0",
            "peerage_request_seconds_bucket{route=\"/v1/bundle\",le=\"0.005\"} 1",
            "peerage_connections_refused_total{reason=\"handshake_timeout\"} 1",
            "peerage_rows_written_total 5",
            "peerage_commit_rows_bucket{le=\"16\"} 1",
            "peerage_durable_on_trackers_bucket{le=\"1\"} 0",
            "peerage_durable_on_trackers_bucket{le=\"2\"} 1",
            "peerage_connections{state=\"open\"} 1",
            "peerage_running 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let off = Metrics::new(false).unwrap();
        off.refused("handshake_timeout");
        assert!(!off.render(None).contains("refused"));
    }
}
