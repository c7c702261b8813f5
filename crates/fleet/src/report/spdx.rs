//! SPDX 2.3 in JSON: what is in each target. Findings are external references of category `SECURITY` of their package.
//!
//! Licences are as the package databases write them, which is rarely an SPDX expression, so that they stand in the comments on
//! licences and the declared one is `NOASSERTION`.

use std::collections::BTreeMap;

use konzert_advisories::Finding;
use konzert_api::own::ReportState;
use konzert_packages::Package;
use serde_json::{Value, json};

use super::{Report, Target, uuid_of};

pub(super) fn value(report: &Report) -> Value {
    let mut packages = Vec::new();
    let mut relationships = Vec::new();
    for (number, target) in report.targets.iter().enumerate() {
        let root = format!("SPDXRef-Target-{number}");
        relationships.push(relationship("SPDXRef-DOCUMENT", "DESCRIBES", &root));
        packages.push(subject(target, &root));
        if let Some(system) = system(target, number) {
            relationships.push(relationship(&root, "CONTAINS", &format!("SPDXRef-System-{number}")));
            packages.push(system);
        }
        let found = findings(target);
        let all = target.catalogue.packages.iter().chain(&target.catalogue.suppressed);
        for (at, package) in all.enumerate() {
            let id = format!("SPDXRef-Package-{number}-{at}");
            relationships.push(relationship(&root, "CONTAINS", &id));
            let key = (package.name.as_str(), package.version.as_str());
            packages.push(part(target, package, &id, found.get(&key).map_or(&[][..], Vec::as_slice)));
        }
    }
    let name = report.subject();
    let content = json!([&packages, &relationships, report.scanned_at]).to_string();
    let unknown = report.targets.iter().filter(|t| t.state != ReportState::Complete);
    let reasons: Vec<String> =
        unknown.flat_map(|t| t.reasons.iter().map(|reason| format!("{}: {reason}", t.name))).collect();
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("https://konzert.dev/spdx/{}", uuid_of(&content)),
        "creationInfo": {
            // SPDX 2.3, 6.9: to the second.
            "created": seconds(report.scanned_at),
            "creators": [format!("Tool: konzert-{}", report.version)],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !reasons.is_empty() {
        document["comment"] = json!(format!("Not everything is known. {}", reasons.join("; ")));
    }
    document
}

fn seconds(at: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or_default().to_string()
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

fn findings(target: &Target) -> BTreeMap<(&str, &str), Vec<&Finding>> {
    let mut found: BTreeMap<(&str, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in &target.findings {
        found.entry((&finding.package, &finding.installed)).or_default().push(finding);
    }
    found
}

fn subject(target: &Target, id: &str) -> Value {
    let purpose = if target.digest.is_empty() { "SOURCE" } else { "CONTAINER" };
    let mut package = json!({
        "SPDXID": id,
        "name": target.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": purpose,
    });
    if let Some(hex) = target.digest.strip_prefix("sha256:") {
        package["versionInfo"] = json!(target.digest);
        package["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": hex}]);
        package["externalRefs"] = json!([purl(&target.purl())]);
    }
    package
}

fn system(target: &Target, number: usize) -> Option<Value> {
    let found = target.catalogue.distribution.as_ref()?;
    let mut package = json!({
        "SPDXID": format!("SPDXRef-System-{number}"),
        "name": found.id,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "OPERATING_SYSTEM",
    });
    if !found.version.is_empty() {
        package["versionInfo"] = json!(found.version);
    }
    Some(package)
}

fn part(target: &Target, package: &Package, id: &str, findings: &[&Finding]) -> Value {
    let layer = target.layers.get(package.layer).map(|layer| format!(" in layer {layer}"));
    let mut references = vec![purl(&package.purl_with_source())];
    references.extend(findings.iter().map(|finding| {
        let fixed = finding.fixed.as_ref().map(|v| format!(", fixed in {v}")).unwrap_or_default();
        json!({
            "referenceCategory": "SECURITY",
            "referenceType": "advisory",
            "referenceLocator": format!("https://osv.dev/vulnerability/{}", finding.advisory),
            "comment": format!("{} ({}{fixed})", finding.advisory, finding.severity),
        })
    }));
    let mut value = json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "LIBRARY",
        "sourceInfo": format!("found in {}{}", package.evidence, layer.unwrap_or_default()),
        "externalRefs": references,
    });
    if !package.licences.is_empty() {
        value["licenseComments"] = json!(format!("as the package says: {}", package.licences.join(", ")));
    }
    if !package.vendor.is_empty() {
        value["supplier"] = json!(format!("Organization: {}", package.vendor));
    }
    value
}

fn purl(locator: &str) -> Value {
    json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator})
}
