//! From the import of an advisory until the reports of fifty running pods say so, in an engine with real containers.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Pod;
use konzert_api::own::ImageReport;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::numbers::{Samples, shown};
use crate::report::Row;
use crate::support::engine::Engine;
use crate::support::{PATIENCE, cluster, fleet};

const APPS: [&str; 5] = ["one", "two", "three", "four", "five"];
const PODS_EACH: usize = 10;
const NAMESPACE: &str = "bench";
/// Advisories imported one after the other; every report changes with each.
const IMPORTS: u32 = 10;

/// Measures it.
pub(crate) fn measure(program: &Path) -> anyhow::Result<Vec<Row>> {
    let engine = Engine::up(program);
    let images = fleet::images(&engine.data());
    let base = fleet::build_base(&images, "1.0", fleet::VULNERABLE);
    fleet::build_apps(&images, &base, program, "wait", &APPS);
    engine.ask(run_pods)?;
    // The images are read when they start; what is measured comes after that.
    engine.ask(async |client| reported(&client, 0).await)?;
    let (mut after_import, mut after_change) = (Vec::new(), Vec::new());
    let mut reads = None;
    for number in 1..=IMPORTS {
        let path = engine.scratch().join(format!("advisory-{number}.json"));
        write_advisory(&path, number)?;
        let begun = Instant::now();
        engine.konzert(["db", "import", &path.to_string_lossy()]).ok();
        let (seen, within, read) = engine.ask(async |client| reported(&client, number).await)?;
        after_import.push((seen - begun).as_secs_f64() * 1000.0);
        after_change.push(within * 1000.0);
        if *reads.get_or_insert(read) < read {
            bail!("layers were read again for an advisory");
        }
    }
    engine.purge();
    let (all, inner) = (Samples::new(after_import), Samples::new(after_change));
    Ok(vec![
        Row::of("scan_import_to_report_ms", "konzert db import until 50 pods' reports are right", &all, "ms")
            .note("target < 1 000 ms; the import command included"),
        Row::of(
            "scan_change_to_report_ms",
            "database changed until the last report is written",
            &inner,
            "ms",
        )
        .note(format!("{} layers read in all", shown(reads.unwrap_or_default()))),
    ])
}

async fn run_pods(client: Client) -> anyhow::Result<()> {
    cluster::create_namespace(&client, NAMESPACE).await;
    for app in APPS {
        for number in 0..PODS_EACH {
            let (name, image) = (format!("{app}-{number}"), format!("test/{app}:1.0"));
            cluster::create(&client, &fleet::pod(NAMESPACE, &name, &image, &[])).await;
        }
    }
    let api: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pods = api.list(&ListParams::default()).await?.items;
        if pods.iter().filter(|pod| cluster::phase(pod) == "Running").count() == APPS.len() * PODS_EACH {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("fifty pods do not run");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn write_advisory(path: &Path, number: u32) -> anyhow::Result<()> {
    let record = json!({"id": format!("BENCH-{number}"), "modified": "2026-01-01T00:00:00Z", "affected": [{
        "package": {"ecosystem": "Debian:12", "name": "samplelib"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fleet::FIXED}]}]}]});
    std::fs::File::create(path)?.write_all(record.to_string().as_bytes())?;
    Ok(())
}

/// Waits for the reports; returns when they were there, the seconds since the change as the engine counts them, and how many
/// layers were read.
async fn reported(client: &Client, findings: u32) -> anyhow::Result<(Instant, f64, f64)> {
    let api: Api<ImageReport> = Api::all(client.clone());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reports = api.list(&ListParams::default()).await?.items;
        let right =
            |report: &ImageReport| report.status.as_ref().is_some_and(|status| status.affected == findings);
        if reports.len() == APPS.len() && reports.iter().all(right) {
            break;
        }
        if Instant::now() > deadline {
            bail!("the reports do not say {findings} findings");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seen = Instant::now();
    // The engine notes the time after the last report, which is when this program sees it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let within = metric(client, "konzert_scan_update_seconds").await?;
    Ok((seen, within, metric(client, "konzert_scan_reads_total").await?))
}

async fn metric(client: &Client, name: &str) -> anyhow::Result<f64> {
    let page = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("{name} is not on the page of metrics"))?.parse()?)
}
