//! `konzert scan fleet`: every running container.
//!
//! What the scanner keeps current is enough for the table and its twins. VEX, ignores, `--all` and the formats of others need the
//! findings in full, so that the images are looked at here; the table has the same shape either way.

use std::sync::Arc;

use konzert_advisories::Severity;
use konzert_api::own::FindingRef;
use konzert_fleet::report::{Report, Target};
use konzert_fleet::{
    ContainerReport, Decisions, Findings, FleetReport, Looked, Scanner, Scope, incomplete, inventory,
};
use konzert_images::ContentStore;

use super::{Shape, judge, print, severity, tell_idle};
use crate::cli::{Format, Global, Scan};
use crate::config::{self, Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};
use crate::verbs::{db, fleet_failure, image_failure};

/// Images whose reasons are printed on stderr.
const MAX_TOLD: usize = 20;

pub(super) async fn run(
    global: &Global,
    args: &Scan,
    decisions: &Decisions,
    shape: Shape,
    printer: &Printer,
) -> Outcome {
    let client = config::client(global).await?;
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let images = Arc::new(ContentStore::open(&places.images()).map_err(image_failure)?);
    let decided = !decisions.vex.is_empty() || !decisions.ignores.is_empty() || decisions.scope == Scope::All;
    if let Shape::Ours(format) = shape
        && !decided
    {
        let advisories = db::open(&places, args.max_age)?;
        let found = live(args, Scanner::new(client, Some(images), advisories)).await?;
        return end(args, &found, format, printer);
    }
    let running = inventory(&client).await.map_err(fleet_failure)?;
    let scope = decisions.scope;
    let work = move || Looked::running(&images, running, scope);
    let report = judge(global, args, tokio::task::spawn_blocking(work).await?, decisions)?;
    let Shape::Ours(format) = shape else { return print(args, &report, shape, printer) };
    tell_idle(&report, printer);
    end(args, &containers(args, &report), format, printer)
}

async fn live(args: &Scan, scanner: Arc<Scanner>) -> Result<FleetReport, Failure> {
    let found = match &args.advisory[..] {
        [] => scanner.scan_fleet().await,
        // The index answers it: only images that may have it are matched.
        ids => scanner.who_has(ids).await,
    };
    let mut found = found.map_err(fleet_failure)?;
    if args.only_fixed {
        for container in &mut found.containers {
            Arc::make_mut(&mut container.findings).retain(|f| !f.fixed.is_empty());
        }
        found.exposed = found.containers.iter().filter(|c| !c.findings.is_empty()).count();
    }
    Ok(found)
}

/// Prints the report, says on stderr what is not known, and how the run ends.
fn end(args: &Scan, found: &FleetReport, format: Format, printer: &Printer) -> Outcome {
    match format {
        Format::Table => printer.data(&fleet_table(found)),
        Format::Json => printer.data(&serde_json::to_string_pretty(found)?),
        Format::Yaml => printer.data(&serde_saphyr::to_string(found)?),
    }
    for note in notes(found) {
        printer.note(&note);
    }
    Ok(verdict(args, found))
}

/// Why images are not known to be clean; each reason of an image once, whatever runs it.
fn notes(found: &FleetReport) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for image in found.incomplete.iter().take(MAX_TOLD) {
        let state = format!("{:?}", image.state).to_lowercase();
        notes.extend(image.reasons.iter().map(|reason| format!("{}: {state}: {reason}", image.image)));
    }
    match found.incomplete.len().saturating_sub(MAX_TOLD) {
        0 => {}
        more => notes.push(format!("{more} more images are not known to be clean; `-o json` lists them all")),
    }
    notes
}

/// The same report by container. Asked for an advisory, only containers that have it.
fn containers(args: &Scan, report: &Report) -> FleetReport {
    let mut containers = Vec::new();
    for target in &report.targets {
        let references = target.findings.iter().map(|f| Arc::new(reference(target, f)));
        let findings: Findings = Arc::new(references.collect());
        containers.extend(target.running.iter().map(|container| ContainerReport {
            container: container.clone(),
            state: target.state,
            reasons: target.reasons.clone(),
            findings: findings.clone(),
        }));
    }
    let incomplete = incomplete(&containers);
    if !args.advisory.is_empty() {
        containers.retain(|c| !c.findings.is_empty());
    }
    let key = |c: &ContainerReport| {
        (c.container.namespace.clone(), c.container.pod.clone(), c.container.container.clone())
    };
    containers.sort_by_key(key);
    FleetReport {
        images: report.targets.len(),
        database: report.revision.clone(),
        exposed: containers.iter().filter(|c| !c.findings.is_empty()).count(),
        unknown: incomplete.iter().map(|image| image.containers).sum(),
        incomplete,
        containers,
    }
}

fn reference(target: &Target, finding: &konzert_advisories::Finding) -> FindingRef {
    FindingRef {
        advisory: finding.advisory.clone(),
        aliases: finding.aliases.clone(),
        package: finding.package.clone(),
        installed: finding.installed.clone(),
        fixed: finding.fixed.clone().unwrap_or_default(),
        state: finding.state.as_str().to_owned(),
        severity: finding.severity.as_str().to_owned(),
        origin: target.origin(finding.layer).to_owned(),
    }
}

/// With a threshold, what is unknown never passes as clean.
fn verdict(args: &Scan, found: &FleetReport) -> Exit {
    let Some(threshold) = args.fail_on else { return Exit::Done };
    let at_least = severity(threshold);
    let mut findings = found.containers.iter().flat_map(|c| c.findings.iter());
    let hit = findings.any(|f| Severity::parse(&f.severity).unwrap_or_default().reaches(at_least));
    if hit || found.unknown > 0 { Exit::Findings } else { Exit::Done }
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

fn summary(findings: &[Arc<FindingRef>]) -> String {
    match findings {
        [] => "0".to_owned(),
        [one] => format!("{} ({})", one.advisory, one.severity),
        [first, ..] => format!("{} ({}) and {} more", first.advisory, first.severity, findings.len() - 1),
    }
}
