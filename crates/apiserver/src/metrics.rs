//! Counters of the server in the Prometheus text format, under the names that dashboards of Kubernetes know.
//!
//! Labels come from tables and verbs, never from what a client wrote freely, so their number is bounded. What the process
//! uses is read from `/proc` when somebody asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use konzert_store::StoreStats;
use parking_lot::Mutex;

/// Another part of the process that has something for the page. Holds no client of this server, which would keep both alive.
pub trait MetricsSource: Send + Sync {
    /// Appends lines in the Prometheus text format, under names of its own.
    fn render(&self, page: &mut String);
}

const INFALLIBLE: &str = "writing to a String cannot fail";
/// Upper bounds of the histogram of durations, in seconds.
const BUCKETS: [f64; 14] = [0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 15.0, 30.0, 60.0];
/// Linux counts CPU time for processes in hundredths of a second, whatever the kernel's own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a request counts under.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestLabels {
    /// `GET`, `LIST`, `WATCH`, `POST`, …
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    /// Plural of a served kind, or empty.
    pub(crate) resource: String,
    pub(crate) subresource: &'static str,
    /// `cluster`, `namespace` or `resource`; empty for other paths.
    pub(crate) scope: &'static str,
}

impl RequestLabels {
    fn render(&self) -> String {
        let Self { verb, group, version, resource, subresource, scope } = self;
        format!(
            "component=\"apiserver\",verb=\"{verb}\",group=\"{group}\",version=\"{version}\",resource=\"{resource}\",\
             subresource=\"{subresource}\",scope=\"{scope}\""
        )
    }
}

/// Durations of requests of one kind.
#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        if let Some(at) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[at] += 1;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    ReadOnly,
    Mutating,
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<RequestLabels, BTreeMap<u16, u64>>>,
    durations: Mutex<BTreeMap<RequestLabels, Histogram>>,
    long_running: Mutex<BTreeMap<RequestLabels, Arc<AtomicI64>>>,
    reading: AtomicI64,
    writing: AtomicI64,
    others: Others,
}

/// Metrics of other parts.
#[derive(Default)]
struct Others(Mutex<Vec<Arc<dyn MetricsSource>>>);

impl std::fmt::Debug for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Others").field(&self.0.lock().len()).finish()
    }
}

/// What is looked up elsewhere when the page is made.
pub(crate) struct Gauges {
    pub(crate) store: StoreStats,
    /// Stored objects by `resource.group`.
    pub(crate) objects: Vec<(String, usize)>,
}

impl Metrics {
    /// Adds what another part has for the page.
    pub(crate) fn add(&self, source: Arc<dyn MetricsSource>) {
        self.others.0.lock().push(source);
    }

    /// Counts a request as running until the guard is dropped.
    pub(crate) fn begin(&self, kind: RequestKind) -> InFlight<'_> {
        let counter = match kind {
            RequestKind::ReadOnly => &self.reading,
            RequestKind::Mutating => &self.writing,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        InFlight(counter)
    }

    pub(crate) fn count(&self, labels: RequestLabels, code: u16, took: Duration) {
        self.durations.lock().entry(labels.clone()).or_default().add(took);
        *self.requests.lock().entry(labels).or_default().entry(code).or_default() += 1;
    }

    /// Counts a stream as open until the guard is dropped.
    pub(crate) fn stream(&self, labels: &RequestLabels) -> LongRunning {
        let counter = self.long_running.lock().entry(labels.clone()).or_default().clone();
        counter.fetch_add(1, Ordering::Relaxed);
        LongRunning(counter)
    }

    /// The page.
    pub(crate) fn render(&self, gauges: &Gauges) -> String {
        let mut page = Page::default();
        self.put_requests(&mut page);
        page.head("apiserver_current_inflight_requests", "gauge", "Requests that are being worked on.");
        for (kind, counter) in [("readOnly", &self.reading), ("mutating", &self.writing)] {
            page.put(
                "apiserver_current_inflight_requests",
                &format!("request_kind=\"{kind}\""),
                counter.load(Ordering::Relaxed),
            );
        }
        page.head("apiserver_longrunning_requests", "gauge", "Open watches and followed logs.");
        for (labels, counter) in self.long_running.lock().iter() {
            page.put("apiserver_longrunning_requests", &labels.render(), counter.load(Ordering::Relaxed));
        }
        page.head("apiserver_storage_objects", "gauge", "Stored objects by kind.");
        for (resource, count) in &gauges.objects {
            page.put("apiserver_storage_objects", &format!("resource=\"{resource}\""), count);
        }
        put_store(&mut page, &gauges.store);
        put_process(&mut page);
        let others = self.others.0.lock().clone();
        for other in others {
            other.render(&mut page.0);
        }
        page.0
    }

    fn put_requests(&self, page: &mut Page) {
        page.head("apiserver_request_total", "counter", "Requests by verb, kind and status code.");
        for (labels, codes) in self.requests.lock().iter() {
            let labels = labels.render();
            for (code, count) in codes {
                page.put("apiserver_request_total", &format!("{labels},code=\"{code}\""), count);
            }
        }
        let name = "apiserver_request_duration_seconds";
        page.head(name, "histogram", "Time until the answer was ready, streams until their first byte.");
        for (labels, histogram) in self.durations.lock().iter() {
            let labels = labels.render();
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
                below += count;
                page.put(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), below);
            }
            page.put(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), histogram.count);
            page.put(&format!("{name}_sum"), &labels, histogram.seconds);
            page.put(&format!("{name}_count"), &labels, histogram.count);
        }
    }
}

fn put_store(page: &mut Page, store: &StoreStats) {
    let gauges: [(&str, &str, u64); 5] = [
        ("konzert_store_revision", "Current revision of the state store.", store.revision.0),
        ("konzert_store_objects", "Objects in the state store.", store.entries as u64),
        ("konzert_store_history_events", "Events kept for watches.", store.history_events as u64),
        ("konzert_store_history_bytes", "Bytes of values kept for watches.", store.history_bytes as u64),
        ("konzert_store_watchers", "Open watches.", store.watchers as u64),
    ];
    for (name, help, value) in gauges {
        page.head(name, "gauge", help);
        page.put(name, "", value);
    }
}

/// What `/proc` says of this process; nothing where there is no `/proc`.
fn put_process(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (field, name, help) in [
        ("VmRSS:", "process_resident_memory_bytes", "Resident memory."),
        ("VmSize:", "process_virtual_memory_bytes", "Virtual memory."),
    ] {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        if let Some(kib) = kib {
            page.head(name, "gauge", help);
            page.put(name, "", kib * 1024);
        }
    }
    if let Some(seconds) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat))
    {
        page.head("process_cpu_seconds_total", "counter", "CPU time in user and kernel mode.");
        page.put("process_cpu_seconds_total", "", seconds);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.head("process_open_fds", "gauge", "Open file descriptors.");
        page.put("process_open_fds", "", open.count());
    }
}

/// User and system time, fields 14 and 15 of `/proc/PID/stat`; the name in field 2 may hold anything but ends with `)`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// The text of the page.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(INFALLIBLE);
    }

    fn put(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        if labels.is_empty() {
            writeln!(self.0, "{name} {value}").expect(INFALLIBLE);
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}").expect(INFALLIBLE);
        }
    }
}

/// A running request.
pub(crate) struct InFlight<'a>(&'a AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open stream.
pub(crate) struct LongRunning(Arc<AtomicI64>);

impl Drop for LongRunning {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parts_add_to_the_page() {
        struct Other;
        impl MetricsSource for Other {
            fn render(&self, page: &mut String) {
                page.push_str("other_total 7\n");
            }
        }
        let metrics = Metrics::default();
        metrics.add(Arc::new(Other));
        let page = metrics.render(&Gauges { store: StoreStats::default(), objects: Vec::new() });
        assert!(page.ends_with("\nother_total 7\n"), "{page}");
    }

    #[test]
    fn cpu_time_of_a_process_with_an_odd_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("rubbish"), None);
    }

    #[test]
    fn durations_fall_into_cumulative_buckets() {
        let metrics = Metrics::default();
        let labels = RequestLabels { verb: "GET", resource: "pods".to_owned(), ..RequestLabels::default() };
        for millis in [2, 30, 70_000] {
            metrics.count(labels.clone(), 200, Duration::from_millis(millis));
        }
        let mut page = Page::default();
        metrics.put_requests(&mut page);
        let line = |end: &str| page.0.lines().find(|line| line.contains(end)).unwrap().to_owned();
        assert!(line("le=\"0.001\"").ends_with(" 0"));
        assert!(line("le=\"0.025\"").ends_with(" 1"));
        assert!(line("le=\"60\"").ends_with(" 2"));
        assert!(line("le=\"+Inf\"").ends_with(" 3"));
        assert!(line("code=\"200\"").ends_with(" 3"));
    }
}
