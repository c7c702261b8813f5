//! Counters of the server in the Prometheus text format.
//!
//! Labels come from tables and verbs, never from what a client wrote freely, so their number is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};

use konzert_store::StoreStats;
use parking_lot::Mutex;

const INFALLIBLE: &str = "writing to a String cannot fail";

/// What a request counts under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestLabels {
    pub(crate) verb: &'static str,
    /// Plural of a served kind, or empty.
    pub(crate) resource: String,
    pub(crate) code: u16,
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<RequestLabels, u64>>,
    in_flight: AtomicI64,
}

impl Metrics {
    /// Counts a request as running until the guard is dropped.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    pub(crate) fn count(&self, labels: RequestLabels) {
        *self.requests.lock().entry(labels).or_default() += 1;
    }

    /// The page.
    pub(crate) fn render(&self, store: StoreStats) -> String {
        let mut page = String::new();
        page.push_str("# HELP apiserver_request_total Requests by verb, resource and status code.\n");
        page.push_str("# TYPE apiserver_request_total counter\n");
        for (labels, count) in self.requests.lock().iter() {
            let RequestLabels { verb, resource, code } = labels;
            put(
                &mut page,
                "apiserver_request_total",
                &format!("{{verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"}}"),
                *count,
            );
        }
        let gauges: [(&str, &str, u64); 6] = [
            ("apiserver_current_inflight_requests", "Requests that are being worked on.", {
                u64::try_from(self.in_flight.load(Ordering::Relaxed)).unwrap_or(0)
            }),
            ("konzert_store_revision", "Current revision of the state store.", store.revision.0),
            ("konzert_store_objects", "Objects in the state store.", store.entries as u64),
            ("konzert_store_history_events", "Events kept for watches.", store.history_events as u64),
            ("konzert_store_history_bytes", "Bytes of values kept for watches.", store.history_bytes as u64),
            ("konzert_store_watchers", "Open watches.", store.watchers as u64),
        ];
        for (name, help, value) in gauges {
            writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge").expect(INFALLIBLE);
            put(&mut page, name, "", value);
        }
        page
    }
}

fn put(page: &mut String, name: &str, labels: &str, value: u64) {
    writeln!(page, "{name}{labels} {value}").expect(INFALLIBLE);
}

/// A running request.
pub(crate) struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
