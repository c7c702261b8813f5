//! Fifty pods run, and an advisory comes: every report says so, and no image is read for it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Pod};
use konzert_api::own::{ImageReport, ReportState};
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::json;
use support::engine::Engine;
use support::{PATIENCE, cluster, fleet, have_root};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");
const NAMESPACE: &str = "shop";
const APPS: [&str; 5] = ["cart", "stock", "mail", "search", "pay"];
const PODS_EACH: usize = 10;
const ADVISORY: &str = "CVE-0000-0007";

/// Looks until it is as wanted.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(last) => assert!(Instant::now() < deadline, "{what}: {last}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reports with this many running containers and findings in each.
async fn reports(client: &Client, findings: u32) -> Vec<ImageReport> {
    let api: Api<ImageReport> = Api::all(client.clone());
    let containers = u32::try_from(PODS_EACH).unwrap();
    eventually("the reports", async || {
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let right = |report: &ImageReport| {
            report.status.as_ref().is_some_and(|s| s.running == containers && s.affected == findings)
        };
        if all.len() == APPS.len() && all.iter().all(right) { Ok(all) } else { Err(format!("{all:#?}")) }
    })
    .await
}

/// The value of a metric without labels.
async fn metric(client: &Client, name: &str) -> f64 {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let page = client.request_text(request).await.unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().unwrap()
}

async fn run_pods(client: Client) {
    cluster::create_namespace(&client, NAMESPACE).await;
    for app in APPS {
        for number in 0..PODS_EACH {
            let (name, image) = (format!("{app}-{number}"), format!("test/{app}:1.0"));
            cluster::create(&client, &fleet::pod(NAMESPACE, &name, &image, &[])).await;
        }
    }
    let api: Api<Pod> = Api::namespaced(client, NAMESPACE);
    eventually("fifty running pods", async || {
        let pods = api.list(&ListParams::default()).await.unwrap().items;
        let running = pods.iter().filter(|pod| cluster::phase(pod) == "Running").count();
        if running == APPS.len() * PODS_EACH { Ok(()) } else { Err(format!("{running} run")) }
    })
    .await;
}

fn write(path: &Path, record: &serde_json::Value) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), record.to_string().as_bytes())
        .unwrap();
}

fn advisory(id: &str, alias: &str, package: &str) -> serde_json::Value {
    json!({"id": id, "modified": "2026-01-01T00:00:00Z", "aliases": [alias], "affected": [{
        "package": {"ecosystem": "Debian:12", "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fleet::FIXED}]}],
        "ecosystem_specific": {"severity": "high"}}]})
}

#[test]
fn an_advisory_updates_the_reports_of_fifty_pods_without_reading_an_image() {
    if !have_root("fifty pods and an advisory") {
        return;
    }
    let mut engine = Engine::up(Path::new(PROGRAM));
    let images = fleet::images(&engine.data());
    let base = fleet::build_base(&images, "1.0", fleet::VULNERABLE);
    fleet::build_apps(&images, &base, Path::new(PROGRAM), "wait", &APPS);
    let (other, file) = (engine.scratch().join("other.json"), engine.scratch().join("advisory.json"));
    write(&other, &advisory("TEST-1", "CVE-0000-0001", "elsewhere"));
    write(&file, &advisory("TEST-7", ADVISORY, "samplelib"));
    engine.konzert(["db", "import", other.to_str().unwrap()]).ok();
    engine.ask(run_pods);
    let reads = engine.ask(async |client| {
        let before = reports(&client, 0).await;
        let complete = |r: &ImageReport| r.status.as_ref().is_some_and(|s| s.state == ReportState::Complete);
        assert!(before.iter().all(complete), "{before:#?}");
        metric(&client, "konzert_scan_reads_total").await
    });
    // The base, the program, and the name of each app.
    assert!((reads - 7.0).abs() < f64::EPSILON, "{reads} layers were read");

    let begun = Instant::now();
    engine.konzert(["db", "import", file.to_str().unwrap()]).ok();
    let imported = begun.elapsed();
    let (waited, within) = engine.ask(async |client| {
        reports(&client, 1).await;
        let waited = begun.elapsed();
        let after = metric(&client, "konzert_scan_reads_total").await;
        assert!((after - reads).abs() < f64::EPSILON, "{after} layers were read, {reads} before");
        let events: Api<Event> = Api::namespaced(client.clone(), NAMESPACE);
        eventually("an event for each pod", async || {
            let all = events.list(&ListParams::default()).await.unwrap().items;
            let found = all.iter().filter(|e| e.reason.as_deref() == Some("VulnerabilityFound"));
            let about = |e: &Event| e.message.as_deref().is_some_and(|m| m.contains("TEST-7"));
            if found.filter(|e| about(e)).count() == 50 {
                Ok(())
            } else {
                Err(format!("{} events", all.len()))
            }
        })
        .await;
        (waited, metric(&client, "konzert_scan_update_seconds").await)
    });
    eprintln!(
        "MEASURED: the import took {} ms, all reports were there after {} ms, {:.1} ms after the database changed",
        imported.as_millis(),
        waited.as_millis(),
        within * 1000.0
    );
    let scan = engine.konzert(["scan", "--advisory", ADVISORY, "-o", "json"]).json();
    assert_eq!(scan["containers"].as_array().map(Vec::len), Some(50), "{scan:#}");

    // A restarted engine reads no layer again and does not write the reports again.
    let version = |report: &ImageReport| report.metadata.resource_version.clone();
    let before: Vec<_> = engine.ask(async |client| reports(&client, 1).await).iter().map(version).collect();
    engine.stop();
    engine.start();
    let (after, reads) = engine.ask(async |client| {
        let all = eventually("fifty containers on the page", async || {
            let containers = metric(&client, "konzert_containers").await;
            if (containers - 50.0).abs() < f64::EPSILON { Ok(()) } else { Err(format!("{containers}")) }
        });
        all.await;
        (reports(&client, 1).await, metric(&client, "konzert_scan_reads_total").await)
    });
    assert!(reads.abs() < f64::EPSILON, "{reads} layers were read again");
    assert_eq!(after.iter().map(version).collect::<Vec<_>>(), before);
    engine.purge();
}
