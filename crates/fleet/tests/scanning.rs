//! The continuous scan against a real API server in this process: what is written, what is told, and what is not done again.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use konzert_api::own::{ImageReport, ReportState};
use konzert_fleet::Scanner;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use support::{ADVISORY, Cluster};

/// A scanner at work.
struct Loop {
    scanner: Arc<Scanner>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Loop {
    fn start(cluster: &Cluster) -> Self {
        let scanner = cluster.scanner();
        let (stop, stopped) = watch::channel(false);
        Self { task: tokio::spawn(scanner.clone().run(stopped)), scanner, stop }
    }

    fn metric(&self, name: &str) -> u64 {
        let mut page = String::new();
        self.scanner.metrics().render(Timestamp::now(), &mut page);
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().unwrap()
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

fn reported(reports: &[ImageReport]) -> Vec<(String, u32, u32)> {
    let row = |report: &ImageReport| {
        let status = report.status.as_ref()?;
        Some((report.spec.image.clone(), status.running, status.affected))
    };
    let mut rows: Vec<_> = reports.iter().filter_map(row).collect();
    rows.sort();
    rows
}

fn told(events: &[Event]) -> Vec<(String, String, String)> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let from_us = |e: &&Event| e.reporting_component.as_deref() == Some("konzert-scanner");
    let row = |e: &Event| (text(&e.involved_object.name), text(&e.reason), text(&e.message));
    let mut rows: Vec<_> = events.iter().filter(from_us).map(row).collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_scanner_reads_nothing_writes_nothing_and_says_nothing_again() {
    let cluster = Cluster::new().await;
    let web = cluster.app("web", "1.0");
    cluster.run_pod("a", &web).await;
    cluster.announce();
    let first = Loop::start(&cluster);
    let want = vec![("web:1.0".to_owned(), 1, 1)];
    cluster.eventually("a finding", |reports: &[ImageReport]| reported(reports) == want).await;
    cluster.eventually("an event", |events: &[Event]| told(events).len() == 1).await;
    assert_eq!(first.metric("konzert_scan_reads_total"), 3);
    first.end().await;
    let reports: Api<ImageReport> = Api::all(cluster.client.clone());
    let before = reports.list(&kube::api::ListParams::default()).await.unwrap().items;
    let second = Loop::start(&cluster);
    // Something that has to be written shows that the second one is at work.
    let other = cluster.app("api", "1.0");
    cluster.run_pod("b", &other).await;
    let want = vec![("api:1.0".to_owned(), 1, 1), ("web:1.0".to_owned(), 1, 1)];
    cluster.eventually("the other report", |reports: &[ImageReport]| reported(reports) == want).await;
    cluster.eventually("the other event", |events: &[Event]| told(events).len() == 2).await;
    assert_eq!(second.metric("konzert_scan_reads_total"), 1, "only the layer that is new");
    let after = reports.get(&before[0].name_any()).await.unwrap();
    assert_eq!(after.resource_version(), before[0].resource_version());
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workloads_are_told_what_they_got_and_what_they_lost() {
    let cluster = Cluster::new().await;
    let web = cluster.app("web", "1.0");
    cluster.run_pod("a", &web).await;
    let work = Loop::start(&cluster);
    cluster
        .eventually("a report", |reports: &[ImageReport]| {
            reported(reports) == vec![("web:1.0".to_owned(), 1, 0)]
        })
        .await;
    cluster.announce();
    let found = ("a".to_owned(), "VulnerabilityFound".to_owned(), found_note());
    cluster.eventually("the finding", |events: &[Event]| told(events) == vec![found.clone()]).await;
    assert_eq!(work.metric("konzert_exposed_containers"), 1);
    cluster.revoke();
    cluster
        .eventually("its end", |events: &[Event]| {
            told(events).iter().any(|(_, reason, _)| reason == "VulnerabilityFixed")
        })
        .await;
    let clean = |reports: &[ImageReport]| {
        reports.iter().filter_map(|r| r.status.as_ref()).all(|s| s.findings.is_empty() && s.affected == 0)
    };
    cluster.eventually("no finding stays in the report", clean).await;
    assert_eq!(work.metric("konzert_exposed_containers"), 0);
    work.end().await;
}

fn found_note() -> String {
    "DSA-1 (unknown) in lib 1.0-1, fixed in 2.0-1".to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advisory_about_something_else_touches_no_report() {
    let cluster = Cluster::new().await;
    let web = cluster.app("web", "1.0");
    cluster.run_pod("a", &web).await;
    cluster.announce();
    let work = Loop::start(&cluster);
    cluster
        .eventually("a report", |reports: &[ImageReport]| {
            reported(reports) == vec![("web:1.0".to_owned(), 1, 1)]
        })
        .await;
    let reports: Api<ImageReport> = Api::all(cluster.client.clone());
    let before = reports.list(&kube::api::ListParams::default()).await.unwrap().items;
    assert_eq!(work.metric("konzert_scan_matches_total"), 1);
    cluster.import("other.json", &Cluster::advisory("DSA-2", "CVE-0000-0002", "elsewhere"));
    // What comes after it is seen after it.
    let other = cluster.app("api", "1.0");
    cluster.run_pod("b", &other).await;
    cluster.eventually("the other report", |reports: &[ImageReport]| reports.len() == 2).await;
    let after = reports.get(&before[0].name_any()).await.unwrap();
    assert_eq!(after.resource_version(), before[0].resource_version());
    assert_eq!(work.metric("konzert_scan_matches_total"), 2);
    let exposed = work.scanner.exposed(&[ADVISORY.into()]).await.unwrap();
    assert_eq!(exposed.len(), 2);
    assert!(work.scanner.exposed(&["CVE-0000-0002".into()]).await.unwrap().is_empty());
    // The question alone, asked of a scanner that knows nothing yet: no image has the package, so that none is matched.
    let asked =
        Scanner::new(cluster.client.clone(), Some(cluster.images.clone()), cluster.advisories.clone());
    let found = asked.who_has(&["CVE-0000-0002".into()]).await.unwrap();
    assert_eq!((found.containers.len(), found.exposed, found.images, asked.matches()), (0, 0, 2, 0));
    assert_eq!((found.unknown, &found.incomplete[..]), (0, &[][..]));
    let found = asked.who_has(&[ADVISORY.into()]).await.unwrap();
    assert_eq!((found.exposed, asked.matches()), (2, 2));
    let digest = konzert_images::ImageDigest::parse(&format!("sha256:{}", "f".repeat(64))).unwrap();
    cluster.run_pod("c", &konzert_images::ImageRecord { digest, ..other.clone() }).await;
    let found = asked.who_has(&["CVE-0000-0002".into()]).await.unwrap();
    assert_eq!((found.exposed, found.unknown), (0, 1), "nothing is known of what is not here");
    assert!(!found.incomplete[0].reasons.is_empty() && found.incomplete[0].containers == 1);
    work.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_comes_later_is_scanned_when_it_comes() {
    let cluster = Cluster::new().await;
    let web = cluster.app("web", "1.0");
    cluster.announce();
    let trashed = cluster.images.trash(&web.digest, konzert_images::Force::Yes, Timestamp::now()).unwrap();
    assert!(trashed.deleted);
    cluster.run_pod("a", &web).await;
    let work = Loop::start(&cluster);
    let state = |reports: &[ImageReport], state: ReportState| {
        reports.iter().filter_map(|r| r.status.as_ref()).map(|s| s.state).eq([state])
    };
    cluster.eventually("unknown", |reports: &[ImageReport]| state(reports, ReportState::Unknown)).await;
    cluster.images.restore(&web.digest).unwrap();
    cluster.eventually("complete", |reports: &[ImageReport]| state(reports, ReportState::Complete)).await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client.clone());
    pods.delete("a", &DeleteParams::default().grace_period(0)).await.unwrap();
    cluster.eventually("no report", <[ImageReport]>::is_empty).await;
    work.end().await;
}
