//! Our own JSON; `docs/scan-report.md` is its description, and a field is only ever added to it.

use std::collections::BTreeMap;

use konzert_api::own::ReportState;
use konzert_packages::Distribution;
use serde_json::{Value, json};

use super::{Report, SetAside, Target};

/// Name of the schema.
const SCHEMA: &str = "konzert.dev/scan-report/v1";

pub(super) fn value(report: &Report) -> Value {
    let sources: Vec<Value> = report
        .sources
        .iter()
        .map(|s| json!({"location": s.location, "asOf": s.as_of, "records": s.records}))
        .collect();
    let mut by_severity: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in report.findings() {
        *by_severity.entry(finding.severity.as_str()).or_default() += 1;
    }
    let unknown = report.targets.iter().filter(|t| t.state != ReportState::Complete).count();
    json!({
        "schemaVersion": SCHEMA,
        "tool": {"name": "konzert", "version": report.version},
        "scannedAt": report.scanned_at,
        "database": {"revision": report.revision, "sources": sources},
        "summary": {
            "targets": report.targets.len(),
            "unknown": unknown,
            "findings": report.findings().count(),
            "fixable": report.findings().filter(|f| f.fixed.is_some()).count(),
            "knownExploited": report.findings().filter(|f| f.known_exploited.is_some()).count(),
            "bySeverity": by_severity,
        },
        "targets": report.targets.iter().map(target).collect::<Vec<_>>(),
        "ignores": {"unused": report.unused, "expired": report.expired},
    })
}

fn target(target: &Target) -> Value {
    let findings: Vec<Value> = target
        .findings
        .iter()
        .map(|finding| {
            let mut value = json!(finding);
            value["origin"] = json!(target.origin(finding.layer));
            value["purl"] = json!(target.package_of(finding).map(konzert_packages::Package::purl));
            value
        })
        .collect();
    let set_aside: Vec<&SetAside> = target.set_aside.iter().collect();
    json!({
        "kind": target.kind,
        "name": target.name,
        "digest": target.digest,
        "layers": target.layers,
        "baseLayers": target.base_layers,
        "distribution": target.catalogue.distribution,
        "support": target.support,
        "listsUnfixed": target.catalogue.distribution.as_ref().map(Distribution::feed_covers_unfixed),
        "state": target.state,
        "reasons": target.reasons,
        "packages": target.catalogue.packages.len(),
        "findings": findings,
        "setAside": set_aside,
        "notCounted": {
            "kernelFindings": target.kernel_dropped,
            "packagesOfDistribution": target.owned_by_distribution + target.catalogue.suppressed.len(),
        },
        "running": target.running,
    })
}
