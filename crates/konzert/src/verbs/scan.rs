//! `konzert scan`: tests the fleet, an image or an archive against advisories.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use konzert_advisories::Severity;
use konzert_api::own::{FindingRef, ReportState};
use konzert_fleet::{AdvisoryStore, ContainerReport, FleetReport, ImageScan, Scanner};
use konzert_images::ContentStore;

use super::db::fleet_failure;
use super::image::{find, image_failure, load_progress};
use crate::cli::{Global, Scan, Threshold};
use crate::config::{self, Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};

pub(crate) async fn run(global: &Global, args: &Scan, printer: &Printer) -> Outcome {
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let advisories = AdvisoryStore::open(&places.advisories()).map_err(fleet_failure)?;
    let images = Arc::new(ContentStore::open(&places.images()).map_err(image_failure)?);
    match args.target.split_once(':') {
        None if args.target == "fleet" => fleet(global, args, images, advisories, printer).await,
        Some(("image", name)) => {
            let record = find(&images, name)?;
            let scanner = Scanner::offline(images, advisories);
            report(args, vec![scanner.scan_image(&record).await.map_err(fleet_failure)?], printer)
        }
        Some(("archive", file)) => archive(args, Path::new(file), advisories, printer).await,
        _ => Err(Failure::usage(
            format!("cannot scan {:?}", args.target),
            "the target is `fleet`, `image:NAME:TAG` or `archive:FILE`",
        )),
    }
}

/// An archive is read into a store of its own that goes away afterwards.
async fn archive(args: &Scan, file: &Path, advisories: AdvisoryStore, printer: &Printer) -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Arc::new(ContentStore::open(dir.path()).map_err(image_failure)?);
    let (load, path) = (store.clone(), file.to_owned());
    let progress = RefCell::new(printer.progress(&format!("reading {}", file.display())));
    let work = move || load.load(&path, None, &|at| progress.borrow_mut().update(&load_progress(&at)));
    let records = tokio::task::spawn_blocking(work).await?.map_err(image_failure)?;
    let scanner = Scanner::offline(store, advisories);
    let mut scans = Vec::new();
    for record in &records {
        scans.push(scanner.scan_image(record).await.map_err(fleet_failure)?);
    }
    report(args, scans, printer)
}

async fn fleet(
    global: &Global,
    args: &Scan,
    images: Arc<ContentStore>,
    advisories: AdvisoryStore,
    printer: &Printer,
) -> Outcome {
    let client = config::client(global).await?;
    let scanner = Scanner::new(client, Some(images), advisories);
    let mut found = scanner.scan_fleet().await.map_err(fleet_failure)?;
    if !args.advisory.is_empty() {
        found.containers = scanner.exposed(&args.advisory).await.map_err(fleet_failure)?;
        found.exposed = found.containers.len();
    }
    for container in &mut found.containers {
        narrow(args, &mut container.findings);
    }
    printer.result(&found, fleet_table)?;
    let all = found.containers.iter().flat_map(|c| &c.findings);
    Ok(verdict(args, all, found.unknown > 0))
}

fn report(args: &Scan, mut scans: Vec<ImageScan>, printer: &Printer) -> Outcome {
    for scan in &mut scans {
        narrow(args, &mut scan.findings);
    }
    printer.result(&scans, |scans| scans.iter().map(image_table).collect::<Vec<_>>().join("\n"))?;
    let unknown = scans.iter().any(|s| s.state != ReportState::Complete);
    Ok(verdict(args, scans.iter().flat_map(|s| &s.findings), unknown))
}

fn narrow(args: &Scan, findings: &mut Vec<FindingRef>) {
    let asked = |f: &FindingRef, id: &String| {
        f.advisory.eq_ignore_ascii_case(id) || f.aliases.iter().any(|a| a.eq_ignore_ascii_case(id))
    };
    findings.retain(|f| {
        (!args.only_fixed || !f.fixed.is_empty())
            && (args.advisory.is_empty() || args.advisory.iter().any(|id| asked(f, id)))
    });
}

/// With a threshold, what is unknown never passes as clean.
fn verdict<'a>(args: &Scan, mut findings: impl Iterator<Item = &'a FindingRef>, unknown: bool) -> Exit {
    let Some(threshold) = args.fail_on else { return Exit::Done };
    let at_least = severity(threshold);
    let hit = findings.any(|f| Severity::parse(&f.severity).unwrap_or_default() >= at_least);
    if hit || unknown { Exit::Findings } else { Exit::Done }
}

/// The severity a threshold stands for.
pub(crate) fn severity(threshold: Threshold) -> Severity {
    match threshold {
        Threshold::Low => Severity::Low,
        Threshold::Medium => Severity::Medium,
        Threshold::High => Severity::High,
        Threshold::Critical => Severity::Critical,
    }
}

fn fleet_table(found: &FleetReport) -> String {
    let rows: Vec<Vec<String>> = found.containers.iter().map(container_row).collect();
    let mut text =
        columns(&["NAMESPACE", "WORKLOAD", "POD", "CONTAINER", "IMAGE", "STATE", "FINDINGS"], &rows);
    let summary = format!(
        "\n{} containers of {} images: {} exposed, {} unknown\n",
        found.containers.len(),
        found.images,
        found.exposed,
        found.unknown
    );
    text.push_str(&summary);
    if found.exposed > 0 {
        text.push_str("next: `konzert patch --plan ADVISORY` shows what can be patched\n");
    }
    if found.database.is_empty() {
        text.push_str("next: there are no advisories yet; import some with `konzert db import`\n");
    }
    text
}

fn container_row(report: &ContainerReport) -> Vec<String> {
    let c = &report.container;
    vec![
        c.namespace.clone(),
        format!("{}/{}", c.workload.kind.to_lowercase(), c.workload.name),
        c.pod.clone(),
        c.container.clone(),
        c.image.clone(),
        format!("{:?}", report.state).to_lowercase(),
        summary(&report.findings),
    ]
}

fn summary(findings: &[FindingRef]) -> String {
    match findings {
        [] => "0".to_owned(),
        [one] => format!("{} ({})", one.advisory, one.severity),
        [first, ..] => format!("{} ({}) and {} more", first.advisory, first.severity, findings.len() - 1),
    }
}

fn image_table(scan: &ImageScan) -> String {
    let rows: Vec<Vec<String>> = scan
        .findings
        .iter()
        .map(|f| {
            let fixed = if f.fixed.is_empty() { "not fixed yet".to_owned() } else { f.fixed.clone() };
            vec![
                f.severity.clone(),
                f.advisory.clone(),
                f.package.clone(),
                f.installed.clone(),
                fixed,
                f.origin.clone(),
            ]
        })
        .collect();
    let mut text = format!(
        "{} ({}): {}, {} packages, {} findings\n",
        scan.image,
        if scan.distribution.is_empty() { "no distribution known" } else { &scan.distribution },
        format!("{:?}", scan.state).to_lowercase(),
        scan.packages,
        scan.findings.len()
    );
    for reason in &scan.reasons {
        let line = format!("  {reason}\n");
        text.push_str(&line);
    }
    if !rows.is_empty() {
        text.push_str(&columns(&["SEVERITY", "ADVISORY", "PACKAGE", "INSTALLED", "FIXED IN", "FROM"], &rows));
    }
    text
}
