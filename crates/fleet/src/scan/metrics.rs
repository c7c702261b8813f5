//! What the scanner counts, as text for Prometheus.
//!
//! Holds no client, so that whoever serves the text keeps nothing alive. Labels of images are bounded; ages are those of the
//! moment of asking.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use konzert_api::own::ReportState;
use parking_lot::Mutex;

use super::images::ImageScanner;
use super::noted::Findings;
use crate::advisories::AdvisoryStore;

const INFALLIBLE: &str = "writing to a String cannot fail";
/// Images with lines of their own; the others are counted together.
const MAX_IMAGES: usize = 1000;
/// Sources with lines of their own.
const MAX_SOURCES: usize = 200;

/// Counters of a scanner.
#[derive(Debug)]
pub struct ScanMetrics {
    advisories: AdvisoryStore,
    images: Option<Arc<ImageScanner>>,
    report_writes: AtomicU64,
    events_left_out: AtomicU64,
    fleet: Mutex<FleetGauges>,
}

/// What runs, as of the last look.
#[derive(Debug, Default)]
pub(crate) struct FleetGauges {
    pub(crate) images: Vec<ImageGauge>,
    /// From the change of the database until the last report was written; zero before the first change.
    pub(crate) last_update: Duration,
}

/// One running image.
#[derive(Debug)]
pub(crate) struct ImageGauge {
    pub(crate) digest: String,
    pub(crate) image: String,
    pub(crate) state: ReportState,
    pub(crate) findings: Findings,
    pub(crate) containers: usize,
}

impl ScanMetrics {
    pub(crate) fn new(advisories: AdvisoryStore, images: Option<Arc<ImageScanner>>) -> Self {
        Self {
            advisories,
            images,
            report_writes: AtomicU64::new(0),
            events_left_out: AtomicU64::new(0),
            fleet: Mutex::default(),
        }
    }

    pub(crate) fn count_report(&self) {
        self.report_writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_left_out(&self, events: usize) {
        self.events_left_out.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_images(&self, images: Vec<ImageGauge>) {
        self.fleet.lock().images = images;
    }

    pub(crate) fn set_last_update(&self, took: Duration) {
        self.fleet.lock().last_update = took;
    }

    /// Appends the metrics in the Prometheus text format.
    pub fn render(&self, now: Timestamp, page: &mut String) {
        let mut page = Page(page);
        let of_images = |count: fn(&ImageScanner) -> u64| self.images.as_deref().map_or(0, count);
        let counters: [(&str, &str, u64); 5] = [
            ("konzert_scan_reads_total", "Layers read to catalogue them.", of_images(ImageScanner::reads)),
            (
                "konzert_scan_matches_total",
                "Images matched against advisories.",
                of_images(ImageScanner::matches),
            ),
            (
                "konzert_scan_package_matches_total",
                "Packages matched against advisories; one that images share is matched once.",
                of_images(ImageScanner::package_matches),
            ),
            (
                "konzert_scan_report_writes_total",
                "Image reports written.",
                self.report_writes.load(Ordering::Relaxed),
            ),
            (
                "konzert_scan_events_left_out_total",
                "Changes of exposure beyond the bound on events.",
                self.events_left_out.load(Ordering::Relaxed),
            ),
        ];
        for (name, help, value) in counters {
            page.head(name, "counter", help);
            page.put(name, &[], value);
        }
        put_fleet(&mut page, &self.fleet.lock());
        self.put_database(&mut page, now);
    }

    fn put_database(&self, page: &mut Page<'_>, now: Timestamp) {
        // A database that cannot be read has no figures; the loop and `db status` say what is wrong with it.
        let Ok(database) = self.advisories.database() else { return };
        page.head("konzert_advisories", "gauge", "Advisories in the database.");
        page.put("konzert_advisories", &[], database.len());
        let name = "konzert_advisory_source_age_seconds";
        page.head(name, "gauge", "Age of what a source of advisories says.");
        for source in database.sources().iter().take(MAX_SOURCES) {
            page.put(name, &[("source", &source.location)], now.duration_since(source.as_of).as_secs());
        }
    }
}

fn put_fleet(page: &mut Page<'_>, fleet: &FleetGauges) {
    let name = "konzert_scan_update_seconds";
    page.head(
        name,
        "gauge",
        "Time from the last change of the advisories until its last report was written.",
    );
    page.put(name, &[], fleet.last_update.as_secs_f64());
    let count = |wanted: &dyn Fn(&ImageGauge) -> bool| -> usize {
        fleet.images.iter().filter(|image| wanted(image)).map(|image| image.containers).sum()
    };
    for (name, help, value) in [
        ("konzert_containers", "Running containers.", count(&|_| true)),
        (
            "konzert_exposed_containers",
            "Running containers with findings.",
            count(&|image| !image.findings.is_empty()),
        ),
        (
            "konzert_unknown_containers",
            "Running containers of which nothing, or not everything, is known.",
            count(&|image| image.state != ReportState::Complete),
        ),
    ] {
        page.head(name, "gauge", help);
        page.put(name, &[], value);
    }
    page.head("konzert_images", "gauge", "Running images by the state of their report.");
    for (state, label) in [
        (ReportState::Complete, "complete"),
        (ReportState::Partial, "partial"),
        (ReportState::Unknown, "unknown"),
    ] {
        let images = fleet.images.iter().filter(|image| image.state == state).count();
        page.put("konzert_images", &[("state", label)], images);
    }
    let name = "konzert_image_vulnerabilities";
    page.head(name, "gauge", "Findings in a running image by severity and state.");
    for image in fleet.images.iter().take(MAX_IMAGES) {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for finding in image.findings.iter() {
            *counts.entry((&finding.severity, &finding.state)).or_default() += 1;
        }
        for ((severity, state), findings) in counts {
            let (digest, image) = (image.digest.as_str(), image.image.as_str());
            let labels = [("image", image), ("digest", digest), ("severity", severity), ("state", state)];
            page.put(name, &labels, findings);
        }
    }
    let name = "konzert_images_left_out";
    page.head(name, "gauge", "Running images without lines of their own.");
    page.put(name, &[], fleet.images.len().saturating_sub(MAX_IMAGES));
}

/// The text of the page.
struct Page<'a>(&'a mut String);

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(INFALLIBLE);
    }

    fn put(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0, "{name}{labels} {value}").expect(INFALLIBLE);
    }
}

/// As the text format wants label values.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use konzert_api::own::FindingRef;

    use super::*;

    #[test]
    fn findings_are_counted_by_severity_and_state() {
        let finding = |severity: &str| FindingRef {
            advisory: "CVE-1".into(),
            aliases: Vec::new(),
            package: "p".into(),
            installed: "1".into(),
            fixed: String::new(),
            state: "affected".into(),
            severity: severity.into(),
            origin: String::new(),
        };
        let image = ImageGauge {
            digest: "sha256:1".into(),
            image: "we\"b\n".into(),
            state: ReportState::Partial,
            findings: Arc::new(["high", "low", "high"].map(|severity| Arc::new(finding(severity))).to_vec()),
            containers: 3,
        };
        let mut text = String::new();
        put_fleet(
            &mut Page(&mut text),
            &FleetGauges { images: vec![image], last_update: Duration::from_millis(250) },
        );
        for line in [
            "konzert_image_vulnerabilities{image=\"we\\\"b\\n\",digest=\"sha256:1\",severity=\"high\",state=\"affected\"} 2",
            "konzert_exposed_containers 3",
            "konzert_unknown_containers 3",
            "konzert_images{state=\"partial\"} 1",
            "konzert_scan_update_seconds 0.25",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }
}
