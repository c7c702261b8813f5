//! SARIF 2.1.0: a rule for each advisory, a result for each finding, at the file that proves the package.
//!
//! Code scanning services read `security-severity` (0.0 to 10.0) before the level. A target of which not everything is known is a
//! notification of the invocation, which then was not successful.

use std::collections::BTreeMap;

use konzert_advisories::{Finding, Severity};
use konzert_api::own::ReportState;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Report, SetAside, Target, sentence};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Code scanning services cut longer texts.
const MAX_TEXT: usize = 1000;

pub(super) fn value(report: &Report) -> Value {
    let everything = || {
        let set_aside = |t: &'_ Target| t.set_aside.iter().map(|s| s.finding.clone()).collect::<Vec<_>>();
        report.targets.iter().flat_map(move |t| t.findings.iter().cloned().chain(set_aside(t)))
    };
    let mut worst: BTreeMap<String, Finding> = BTreeMap::new();
    for finding in everything() {
        let known = worst.entry(finding.advisory.clone()).or_insert_with(|| finding.clone());
        if finding.severity > known.severity {
            *known = finding;
        }
    }
    let index: BTreeMap<&str, usize> = worst.keys().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let mut results = Vec::new();
    for target in &report.targets {
        results.extend(target.findings.iter().map(|f| result(target, f, index[f.advisory.as_str()])));
        results.extend(target.set_aside.iter().map(|aside| {
            let mut result = result(target, &aside.finding, index[aside.finding.advisory.as_str()]);
            result["suppressions"] = json!([suppression(aside)]);
            result
        }));
    }
    let notifications: Vec<Value> = report.targets.iter().flat_map(notifications).collect();
    let rules: Vec<Value> = worst.values().map(|finding| rule(report, finding)).collect();
    let driver = json!({
        "name": "konzert",
        "informationUri": "https://konzert.dev",
        "version": report.version,
        "rules": rules,
    });
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": !report.is_unknown(),
                "endTimeUtc": report.scanned_at,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
            "properties": {"advisoryDatabase": report.revision},
        }],
    })
}

fn rule(report: &Report, finding: &Finding) -> Value {
    let advisory = report.advisories.get(&finding.advisory);
    let summary = if finding.summary.is_empty() { &finding.advisory } else { &finding.summary };
    let details = advisory.map(|a| a.details.as_str()).filter(|d| !d.is_empty()).unwrap_or(summary);
    let references = advisory.map(|a| a.references.as_slice()).unwrap_or_default();
    let aliases = if finding.aliases.is_empty() { "none".to_owned() } else { finding.aliases.join(", ") };
    let help = format!(
        "{}\nSeverity: {}\nAlso known as: {aliases}\n{}",
        cut(details),
        finding.severity,
        references.join("\n")
    );
    let mut rule = json!({
        "id": finding.advisory,
        "name": "VulnerablePackage",
        "shortDescription": {"text": sentence(&cut(summary))},
        "fullDescription": {"text": sentence(&cut(details))},
        "defaultConfiguration": {"level": level(finding.severity)},
        "help": {"text": help.trim_end()},
        "properties": {
            "tags": ["vulnerability", "security", finding.severity.as_str()],
            "precision": "very-high",
            "security-severity": security_severity(finding),
        },
    });
    if let Some(address) = references.iter().find(|r| is_address(r)) {
        rule["helpUri"] = json!(address);
    }
    rule
}

fn result(target: &Target, finding: &Finding, rule: usize) -> Value {
    let fix = match &finding.fixed {
        Some(fixed) => format!("Upgrade to {fixed}."),
        None => "Nothing fixed is published.".to_owned(),
    };
    let text = format!(
        "{} {} in {} has {} ({}, {}). {fix}",
        finding.package,
        finding.installed,
        target.name,
        finding.advisory,
        finding.severity,
        finding.state.as_str()
    );
    let evidence = if finding.evidence.is_empty() { "unknown" } else { &finding.evidence };
    let layer = target.layers.get(finding.layer);
    let place = match layer {
        Some(layer) => format!("{}: {evidence} in layer {layer}", target.name),
        None => format!("{}: {evidence}", target.name),
    };
    let purl = target.package_of(finding).map(konzert_packages::Package::purl);
    json!({
        "ruleId": finding.advisory,
        "ruleIndex": rule,
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(evidence), "uriBaseId": "ROOTPATH"},
                "region": {"startLine": 1},
            },
            "logicalLocations": [{"fullyQualifiedName": purl.clone().unwrap_or_else(|| finding.package.clone()), "kind": "module"}],
            "message": {"text": place},
        }],
        "partialFingerprints": {"konzert/v1": fingerprint(target, finding)},
        "properties": {
            "target": target.name,
            "layer": layer,
            "origin": target.origin(finding.layer),
            "purl": purl,
            "fixedVersion": finding.fixed,
            "state": finding.state,
            "knownExploited": finding.known_exploited,
            "epss": finding.epss,
        },
    })
}

/// The same finding in a later image of the same name is the same result.
fn fingerprint(target: &Target, finding: &Finding) -> String {
    let name = target.name.split('@').next().unwrap_or_default();
    let parts = [name, &finding.advisory, &finding.package, &finding.evidence];
    hex::encode(&Sha256::digest(parts.join("\n").as_bytes())[..16])
}

fn suppression(aside: &SetAside) -> Value {
    let place = if aside.place.is_empty() { String::new() } else { format!(" ({})", aside.place) };
    json!({"kind": "external", "status": "accepted", "justification": format!("{}{place}", aside.reason)})
}

fn notifications(target: &Target) -> Vec<Value> {
    if target.state == ReportState::Complete {
        return Vec::new();
    }
    let notification = |reason: &String| {
        let text = format!("{} is not known in full: {reason}", target.name);
        json!({"level": "error", "message": {"text": text}})
    };
    target.reasons.iter().map(notification).collect()
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Negligible | Severity::Unknown => "note",
    }
}

/// The vendor's word counts: a score outside its band is moved to the band's edge.
fn security_severity(finding: &Finding) -> String {
    let (low, high) = match finding.severity {
        Severity::Critical => (90, 100),
        Severity::High => (70, 89),
        Severity::Medium => (40, 69),
        Severity::Low => (1, 39),
        Severity::Negligible | Severity::Unknown => (0, 0),
    };
    let tenths = finding.score.map_or(high, |score| score.tenths().clamp(low, high));
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(MAX_TEXT).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

fn is_address(text: &str) -> bool {
    let clean = text.bytes().all(|b| b.is_ascii_graphic() && !br#"<>"{}|\^`"#.contains(&b));
    clean && (text.starts_with("https://") || text.starts_with("http://"))
}

/// A path as a relative reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.trim_start_matches('/').bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let escaped = format!("%{byte:02X}");
            out.push_str(&escaped);
        }
    }
    out
}
