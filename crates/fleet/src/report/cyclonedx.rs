//! `CycloneDX` 1.6 in JSON: components, what contains what, and the vulnerabilities of each.
//!
//! One target is the document's subject; several stand as components with their packages inside. What konzert knows and the
//! format has no field for stands in properties that begin with `konzert:`.

use std::collections::BTreeMap;

use konzert_advisories::{Finding, FindingState, Severity};
use konzert_api::own::ReportState;
use konzert_packages::Package;
use serde_json::{Map, Value, json};

use super::{Report, SetAside, Target, uuid_of};

pub(super) fn value(report: &Report) -> Value {
    let single = report.targets.len() == 1;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (number, target) in report.targets.iter().enumerate() {
        let mut parts = vec![];
        parts.extend(system(target, number));
        parts.extend(
            packages(target).enumerate().map(|(at, p)| component(target, p, &package_ref(number, at))),
        );
        let refs: Vec<&Value> = parts.iter().map(|part| &part["bom-ref"]).collect();
        dependencies.push(json!({"ref": target_ref(number), "dependsOn": refs}));
        if single {
            components = parts;
        } else {
            let mut whole = subject(target, number);
            whole["components"] = json!(parts);
            components.push(whole);
        }
    }
    let about = match &report.targets[..] {
        [one] => subject(one, 0),
        _ => json!({"type": "application", "bom-ref": "everything", "name": report.subject()}),
    };
    let composition = if report.is_unknown() { "incomplete" } else { "unknown" };
    let refs: Vec<String> = (0..report.targets.len()).map(target_ref).collect();
    let tool = json!({"type": "application", "name": "konzert", "version": report.version});
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": report.scanned_at,
            "tools": {"components": [tool]},
            "component": about,
            "properties": metadata(report),
        },
        "components": components,
        "dependencies": dependencies,
        "compositions": [{"aggregate": composition, "assemblies": refs}],
        "vulnerabilities": vulnerabilities(report),
    });
    document["serialNumber"] = json!(format!("urn:uuid:{}", uuid_of(&document.to_string())));
    document
}

/// Also those that the distribution answers for: they are there.
fn packages(target: &Target) -> impl Iterator<Item = &Package> {
    target.catalogue.packages.iter().chain(&target.catalogue.suppressed)
}

fn target_ref(number: usize) -> String {
    format!("target-{number}")
}

fn package_ref(target: usize, package: usize) -> String {
    format!("target-{target}-package-{package}")
}

fn metadata(report: &Report) -> Vec<Value> {
    if report.revision.is_empty() { Vec::new() } else { vec![property("database", &report.revision)] }
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": format!("konzert:{name}"), "value": value})
}

fn subject(target: &Target, number: usize) -> Value {
    let kind = if target.digest.is_empty() { "application" } else { "container" };
    let mut component = json!({"type": kind, "bom-ref": target_ref(number), "name": target.name});
    let mut properties: Vec<Value> = target.layers.iter().map(|layer| property("layer", layer)).collect();
    if !target.digest.is_empty() {
        component["version"] = json!(target.digest);
        component["purl"] = json!(target.purl());
    }
    let state = match target.state {
        ReportState::Complete => "complete",
        ReportState::Partial => "partial",
        ReportState::Unknown => "unknown",
    };
    properties.push(property("state", state));
    properties.extend(target.reasons.iter().map(|reason| property("reason", reason)));
    component["properties"] = json!(properties);
    component
}

fn system(target: &Target, number: usize) -> Option<Value> {
    let found = target.catalogue.distribution.as_ref()?;
    let mut component =
        json!({"type": "operating-system", "bom-ref": format!("target-{number}-system"), "name": found.id});
    if !found.version.is_empty() {
        component["version"] = json!(found.version);
    }
    if !found.pretty.is_empty() {
        component["description"] = json!(found.pretty);
    }
    Some(component)
}

fn component(target: &Target, package: &Package, reference: &str) -> Value {
    let purl = package.purl_with_source();
    let mut component = json!({
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "purl": purl,
    });
    if !package.vendor.is_empty() {
        component["supplier"] = json!({"name": package.vendor});
    }
    if !package.licences.is_empty() {
        let licences = package.licences.iter().map(|name| json!({"license": {"name": name}}));
        component["licenses"] = licences.collect();
    }
    let mut properties = vec![property("evidence", &package.evidence)];
    if let Some(layer) = target.layers.get(package.layer) {
        properties.push(property("layer", layer));
    }
    if let Some(owner) = &package.owned_by {
        properties.push(property("owned-by", owner));
    }
    component["properties"] = json!(properties);
    if !package.evidence.is_empty() {
        component["evidence"] = json!({"occurrences": [{"location": package.evidence}]});
    }
    component
}

/// What one advisory is in: findings with the reference of their package, and how each was decided.
#[derive(Default)]
struct Hits<'a> {
    findings: Vec<(String, &'a Finding)>,
    set_aside: Vec<(String, &'a SetAside)>,
}

fn vulnerabilities(report: &Report) -> Vec<Value> {
    // Decided ones are statements of their own: one document says different things of one advisory.
    let mut open: BTreeMap<(&str, &str), Hits<'_>> = BTreeMap::new();
    for (number, target) in report.targets.iter().enumerate() {
        for finding in &target.findings {
            let hits = open.entry((&finding.advisory, finding.state.as_str())).or_default();
            hits.findings.push((reference(target, number, finding), finding));
        }
        for aside in &target.set_aside {
            let hits = open.entry((&aside.finding.advisory, aside.by)).or_default();
            hits.set_aside.push((reference(target, number, &aside.finding), aside));
        }
    }
    open.into_values().filter_map(|hits| vulnerability(report, &hits)).collect()
}

fn reference(target: &Target, number: usize, finding: &Finding) -> String {
    let same = |p: &Package| p.name == finding.package && p.version == finding.installed;
    let exact = packages(target).position(|p| same(p) && p.evidence == finding.evidence);
    let at = exact.or_else(|| packages(target).position(same));
    at.map_or_else(|| target_ref(number), |at| package_ref(number, at))
}

fn vulnerability(report: &Report, hits: &Hits<'_>) -> Option<Value> {
    let asides = hits.set_aside.iter().map(|(reference, aside)| (reference, &aside.finding));
    let all: Vec<(&String, &Finding)> =
        hits.findings.iter().map(|(reference, finding)| (reference, *finding)).chain(asides).collect();
    let (_, first) = all.first()?;
    let mut refs: BTreeMap<&String, &Finding> = BTreeMap::new();
    for (reference, finding) in &all {
        refs.entry(reference).or_insert(finding);
    }
    let affects = refs.iter().map(|(reference, finding)| {
        json!({"ref": reference, "versions": [{"version": finding.installed, "status": "affected"}]})
    });
    let aliases = first.aliases.iter().map(|id| json!({"id": id, "source": {"name": publisher(id)}}));
    let mut value = Map::new();
    value.insert("id".into(), json!(first.advisory));
    value.insert("source".into(), json!({"name": publisher(&first.advisory)}));
    value.insert("references".into(), aliases.collect());
    value.insert("ratings".into(), json!([rating(first)]));
    if !first.summary.is_empty() {
        value.insert("description".into(), json!(first.summary));
    }
    if let Some(advisory) = report.advisories.get(&first.advisory) {
        if !advisory.details.is_empty() {
            value.insert("detail".into(), json!(advisory.details));
        }
        let addresses = advisory.references.iter().map(|url| json!({"url": url}));
        value.insert("advisories".into(), addresses.collect());
        if let Some(published) = advisory.published {
            value.insert("published".into(), json!(published));
        }
        if advisory.modified > jiff::Timestamp::UNIX_EPOCH {
            value.insert("updated".into(), json!(advisory.modified));
        }
    }
    let fixes: std::collections::BTreeSet<&String> =
        all.iter().filter_map(|(_, f)| f.fixed.as_ref()).collect();
    if !fixes.is_empty() {
        let fixes: Vec<&str> = fixes.into_iter().map(String::as_str).collect();
        value.insert("recommendation".into(), json!(format!("Upgrade to {}.", fixes.join(" or "))));
    }
    value.insert("analysis".into(), analysis(hits, first));
    value.insert("affects".into(), affects.collect());
    let mut properties = Vec::new();
    if let Some(known) = first.known_exploited {
        properties.push(property("known-exploited-since", &known.added.to_string()));
    }
    if let Some(epss) = first.epss {
        properties.push(property("epss", &json!(epss.score).to_string()));
    }
    value.insert("properties".into(), json!(properties));
    Some(Value::Object(value))
}

fn analysis(hits: &Hits<'_>, first: &Finding) -> Value {
    match hits.set_aside.first() {
        Some((_, aside)) if aside.by == "vex" && first.state == FindingState::Fixed => {
            json!({"state": "resolved", "detail": aside.reason})
        }
        Some((_, aside)) if aside.by == "vex" => json!({"state": "not_affected", "detail": aside.reason}),
        Some((_, aside)) => {
            let place = &aside.place;
            json!({"state": "exploitable", "response": ["will_not_fix"], "detail": format!("{} ({place})", aside.reason)})
        }
        None if first.state == FindingState::WillNotFix => {
            json!({"state": "exploitable", "detail": "the publisher decided against a fix"})
        }
        None => json!({"state": "in_triage"}),
    }
}

fn rating(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Negligible => "info",
        other => other.as_str(),
    };
    let mut rating = json!({"severity": severity});
    if let Some(score) = finding.score {
        rating["score"] = json!(score);
        rating["vector"] = json!(finding.vector);
        rating["method"] = json!(match finding.vector.split('/').next().unwrap_or_default() {
            "CVSS:3.0" => "CVSSv3",
            "CVSS:3.1" => "CVSSv31",
            "CVSS:4.0" => "CVSSv4",
            _ => "other",
        });
    }
    rating
}

/// Who gives ids of this form.
fn publisher(id: &str) -> &str {
    match id.split('-').next().unwrap_or_default() {
        "CVE" => "CVE",
        "GHSA" => "GitHub",
        "DSA" | "DLA" | "DEBIAN" | "TEMP" => "Debian",
        "USN" | "UBUNTU" => "Ubuntu",
        "ALPINE" => "Alpine",
        "RUSTSEC" => "RustSec",
        "PYSEC" => "PyPA",
        "GO" => "Go",
        _ => "OSV",
    }
}
