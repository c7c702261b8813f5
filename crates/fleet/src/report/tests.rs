//! Every writer: what it says, that it says the same twice, and that its format's published schema accepts it.

use std::path::{Path, PathBuf};

use konzert_advisories::ignore::Ignores;
use konzert_advisories::openvex::Document;
use konzert_packages::{Distribution, Format, PackageKind};
use serde_json::{Value, json};

use super::*;

/// A finding of a package.
fn finding(package: &Package, advisory: &str, severity: Severity, fixed: Option<&str>) -> Finding {
    serde_json::from_value(json!({
        "advisory": advisory, "aliases": [format!("{advisory}-alias")], "package": package.name,
        "ecosystem": package.ecosystem, "installed": package.version, "fixed": fixed, "state": "affected",
        "severity": severity, "layer": package.layer, "evidence": package.evidence, "summary": format!("about {advisory}"),
    }))
    .unwrap()
}

fn package(kind: PackageKind, name: &str, version: &str, layer: usize) -> Package {
    let mut package = Package::new(kind, Format::Dpkg, name, version);
    if kind == PackageKind::Deb {
        "Debian:12".clone_into(&mut package.ecosystem);
        "debian-12".clone_into(&mut package.distro);
        "amd64".clone_into(&mut package.arch);
        "var/lib/dpkg/status".clone_into(&mut package.evidence);
        package.source_name = "openssl".to_owned();
    } else {
        package.evidence = format!("usr/lib/python3/{name} #1.dist-info/METADATA");
        package.licences = vec!["MIT".to_owned()];
    }
    package.layer = layer;
    package
}

fn target() -> Target {
    let ssl = package(PackageKind::Deb, "libssl3", "3.0.11-1~deb12u2", 0);
    let requests = package(PackageKind::Pypi, "requests", "2.0.0", 1);
    let mut worst = finding(&ssl, "CVE-2026-1", Severity::Critical, Some("3.0.14-1"));
    worst.known_exploited =
        Some(serde_json::from_value(json!({"added": "2026-01-02", "due": "2026-02-02"})).unwrap());
    worst.epss = Some(serde_json::from_value(json!({"score": 0.943_21, "percentile": 0.99})).unwrap());
    worst.score = Some(serde_json::from_value(json!(9.8)).unwrap());
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H".clone_into(&mut worst.vector);
    let findings = vec![
        worst,
        finding(&requests, "GHSA-1", Severity::Medium, None),
        finding(&ssl, "CVE-2026-2", Severity::Low, Some("3.0.15-1")),
    ];
    let aside = |id: &str, by, place: &str, state| {
        let mut finding = finding(&ssl, id, Severity::High, None);
        finding.state = state;
        SetAside { finding, by, place: place.to_owned(), reason: format!("{id} does not matter here") }
    };
    let set_aside = vec![
        aside("CVE-2026-3", "vex", "", konzert_advisories::FindingState::NotAffected),
        aside("CVE-2026-4", "ignore", ".trivyignore:3", konzert_advisories::FindingState::Affected),
    ];
    let distribution =
        Some(Distribution { id: "debian".into(), version: "12".into(), ..Distribution::default() });
    let catalogue =
        Catalogue { distribution, packages: vec![ssl, requests], complete: true, ..Catalogue::default() };
    Target {
        kind: TargetKind::Image,
        name: "shop/app:1.0".to_owned(),
        digest: format!("sha256:{}", "a".repeat(64)),
        layers: vec![format!("sha256:{}", "b".repeat(64)), format!("sha256:{}", "c".repeat(64))],
        base_layers: 1,
        support: Some(Support::Supported { until: "2026-06-10".parse().unwrap() }),
        state: ReportState::Partial,
        reasons: vec!["opt/app.jar was not read".to_owned()],
        catalogue,
        findings,
        set_aside,
        kernel_dropped: 2,
        owned_by_distribution: 1,
        running: Vec::new(),
    }
}

fn report(targets: Vec<Target>) -> Report {
    let advisory = |id: &str| {
        let value = json!({
            "id": id, "modified": "2026-03-01T00:00:00Z", "published": "2026-02-01T00:00:00Z", "summary": format!("about {id}"),
            "details": "A long\ntext", "references": ["https://example.org/a b", "https://example.org/advisory"],
            "severity": "critical", "affected": [],
        });
        (id.to_owned(), serde_json::from_value(value).unwrap())
    };
    let rules = Ignores::parse(b"CVE-2025-9\nCVE-2025-8 exp:2025-12-31\n", ".trivyignore").unwrap().rules;
    let row = |at: usize| IdleRule { file: ".trivyignore".to_owned(), rule: rules[at].clone() };
    Report {
        version: "0.1.0".to_owned(),
        scanned_at: "2026-05-01T12:00:00.5Z".parse().unwrap(),
        revision: "d".repeat(64),
        sources: Vec::new(),
        targets,
        advisories: [advisory("CVE-2026-1")].into(),
        unused: vec![row(0)],
        expired: vec![row(1)],
    }
}

fn plain() -> Target {
    let catalogue = Catalogue { complete: true, ..target().catalogue };
    Target {
        kind: TargetKind::Rootfs,
        name: "/srv/a root".to_owned(),
        digest: String::new(),
        layers: Vec::new(),
        base_layers: 0,
        state: ReportState::Complete,
        reasons: Vec::new(),
        findings: Vec::new(),
        set_aside: Vec::new(),
        catalogue,
        ..target()
    }
}

fn written(report: &Report, format: ReportFormat) -> Value {
    let text = report.write(format).unwrap();
    assert_eq!(report.write(format).unwrap(), text, "the same report gives the same bytes");
    serde_json::from_str(&text).unwrap()
}

/// Where schemas are said to be by the one that refers to the others.
const BASE: &str = "http://cyclonedx.org/schema/";

/// The directory of published schemas; says loudly when there is none.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where schemas are")]
fn schemas_dir(name: &str) -> Option<PathBuf> {
    let dir = std::env::var("KONZERT_SCHEMAS").map(PathBuf::from);
    let dir = dir.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/schemas"));
    if dir.join(name).is_file() {
        return Some(dir);
    }
    eprintln!(
        "SKIPPED: validation against {name}: not in {}; `cargo xtask test` fetches it, or set KONZERT_SCHEMAS",
        dir.display()
    );
    None
}

/// Nothing is fetched: every schema that another refers to lies beside it.
#[track_caller]
fn accepts(name: &str, document: &Value) {
    let Some(dir) = schemas_dir(name) else { return };
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let address = format!("{BASE}{}", path.file_name().unwrap().to_str().unwrap());
            compiler.add_resource(&address, value).unwrap();
        }
    }
    let index = compiler.compile(&format!("{BASE}{name}"), &mut schemas).unwrap_or_else(|e| panic!("{e:#}"));
    if let Err(error) = schemas.validate(document, index) {
        panic!("{name}: {error:#}\n{document:#}");
    }
    // A check that cannot fail is none.
    assert!(schemas.validate(&json!({"version": 7}), index).is_err(), "{name} refuses nothing");
}

fn cases() -> [Report; 4] {
    [report(vec![target()]), report(vec![plain()]), report(vec![target(), plain()]), report(Vec::new())]
}

#[test]
fn sarif_is_sarif() {
    for report in cases() {
        accepts("sarif-2.1.0.json", &written(&report, ReportFormat::Sarif));
    }
    let value = written(&cases()[0], ReportFormat::Sarif);
    let run = &value["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 5, "open and set aside");
    assert_eq!(run["tool"]["driver"]["rules"][0]["helpUri"], "https://example.org/advisory");
    assert_eq!(run["invocations"][0]["executionSuccessful"], false, "partial is no success");
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    let result = &run["results"][0];
    insta::assert_snapshot!(format!("{} {}", result["level"], result["message"]["text"]), @r#""error" "libssl3 3.0.11-1~deb12u2 in shop/app:1.0 has CVE-2026-1 (critical, affected). Upgrade to 3.0.14-1.""#);
    let uri = &run["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(uri, "usr/lib/python3/requests%20%231.dist-info/METADATA");
    assert_eq!(run["results"][3]["suppressions"][0]["status"], "accepted");
}

#[test]
fn cyclonedx_is_cyclonedx() {
    for report in cases() {
        accepts("bom-1.6.SNAPSHOT.schema.json", &written(&report, ReportFormat::CycloneDx));
    }
    let value = written(&cases()[0], ReportFormat::CycloneDx);
    assert_eq!(
        value["components"][1]["purl"],
        "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl"
    );
    let states: Vec<String> = value["vulnerabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| format!("{} {}", v["id"].as_str().unwrap(), v["analysis"]["state"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(states.join("\n"), @r"
    CVE-2026-1 in_triage
    CVE-2026-2 in_triage
    CVE-2026-3 not_affected
    CVE-2026-4 exploitable
    GHSA-1 in_triage
    ");
}

#[test]
fn spdx_is_spdx() {
    for report in cases() {
        accepts("spdx-schema-v2.3.json", &written(&report, ReportFormat::Spdx));
    }
    let value = written(&cases()[0], ReportFormat::Spdx);
    assert_eq!(value["creationInfo"]["created"], "2026-05-01T12:00:00Z");
    assert!(value["comment"].as_str().unwrap().contains("was not read"));
}

/// No package registry carries `OpenVEX`'s schema: this is what it asks of a document, written down by hand.
#[track_caller]
fn is_openvex(document: &Value) {
    let only = |value: &Value, known: &[&str]| {
        let object = value.as_object().unwrap();
        assert!(object.keys().all(|key| known.contains(&key.as_str())), "{value:#}");
    };
    only(
        document,
        &[
            "@context",
            "@id",
            "author",
            "role",
            "timestamp",
            "last_updated",
            "version",
            "tooling",
            "statements",
        ],
    );
    assert_eq!(document["@context"], "https://openvex.dev/ns/v0.2.0");
    assert!(document["@id"].as_str().unwrap().starts_with("https://"));
    assert!(document["author"].is_string() && document["version"].as_u64().unwrap() >= 1);
    document["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let statements = document["statements"].as_array().unwrap();
    assert!(!statements.is_empty());
    let mut seen = Vec::new();
    for statement in statements {
        assert!(!seen.contains(&statement), "statements are unique");
        seen.push(statement);
        only(
            statement,
            &[
                "vulnerability",
                "products",
                "status",
                "justification",
                "impact_statement",
                "action_statement",
                "timestamp",
            ],
        );
        only(&statement["vulnerability"], &["@id", "name", "description", "aliases"]);
        assert!(!statement["vulnerability"]["name"].as_str().unwrap().is_empty());
        match statement["status"].as_str().unwrap() {
            "not_affected" => {
                assert!(statement["justification"].is_string() != statement["impact_statement"].is_string());
            }
            "affected" => assert!(statement["action_statement"].is_string()),
            other => assert!(["fixed", "under_investigation"].contains(&other), "{other}"),
        }
        for product in statement["products"].as_array().unwrap() {
            only(product, &["@id", "identifiers", "hashes", "subcomponents"]);
            assert!(product["@id"].as_str().unwrap().starts_with("pkg:"));
            for part in product["subcomponents"].as_array().unwrap() {
                only(part, &["@id", "identifiers", "hashes"]);
            }
        }
    }
}

#[test]
fn openvex_is_openvex_and_reads_back() {
    let lines = |report: &Report| {
        let value = written(report, ReportFormat::OpenVex);
        is_openvex(&value);
        let back = Document::parse(value.to_string().as_bytes(), "x").unwrap();
        let line = |s: &konzert_advisories::openvex::Statement| {
            let action = s.action_statement.as_deref().or(s.impact_statement.as_deref()).unwrap_or_default();
            format!("{} {:?}: {action}", s.vulnerability.name, s.status)
        };
        back.statements.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let twice = report(vec![target(), target()]);
    assert_eq!(lines(&twice), lines(&cases()[0]), "one statement for two targets");
    insta::assert_snapshot!(lines(&cases()[0]), @r"
    CVE-2026-1 Affected: Upgrade libssl3 to 3.0.14-1.
    CVE-2026-2 Affected: Upgrade libssl3 to 3.0.15-1.
    CVE-2026-3 NotAffected: CVE-2026-3 does not matter here
    CVE-2026-4 Affected: No fix is published yet: watch the advisory.
    GHSA-1 Affected: No fix is published yet: watch the advisory.
    ");
    assert_eq!(report(vec![plain()]).write(ReportFormat::OpenVex), None, "nothing to state is no document");
}

#[test]
fn bills_read_back_as_the_same_packages() {
    for format in [ReportFormat::CycloneDx, ReportFormat::Spdx] {
        let text = report(vec![target()]).write(format).unwrap();
        let back = konzert_packages::read_document(text.as_bytes(), "x").unwrap().catalogue;
        let rows = |c: &Catalogue| {
            let row = |p: &Package| (p.purl_with_source(), p.source_name.clone(), p.ecosystem.clone());
            c.packages.iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(rows(&back), rows(&target().catalogue), "{format:?}");
        assert!(back.complete, "{format:?}: {:?}", back.warnings);
    }
}

#[test]
fn json_says_everything() {
    let value = written(&cases()[0], ReportFormat::Json);
    insta::assert_snapshot!(format!("{:#}", value["summary"]), @r#"
    {
      "bySeverity": {
        "critical": 1,
        "low": 1,
        "medium": 1
      },
      "findings": 3,
      "fixable": 2,
      "knownExploited": 1,
      "targets": 1,
      "unknown": 1
    }
    "#);
    let finding = &value["targets"][0]["findings"][0];
    assert_eq!((&finding["origin"], &finding["epss"]["score"]), (&json!("base"), &json!(0.943_21)));
    assert_eq!(value["ignores"]["expired"][0]["id"], "CVE-2025-8");
    assert_eq!(value["ignores"]["unused"][0]["file"], ".trivyignore");
    assert_eq!(value["targets"][0]["setAside"][1]["place"], ".trivyignore:3");
    assert_eq!(value["targets"][0]["state"], "Partial");
}

#[test]
fn the_table_says_what_to_do_next() {
    let section = &sections(&cases()[0])[0];
    let mut text = section.before.join("\n");
    for row in &section.rows {
        text.push('\n');
        text.push_str(&row.join(" | "));
    }
    for line in &section.after {
        text.push('\n');
        text.push_str(line);
    }
    insta::assert_snapshot!(text, @r"
    shop/app:1.0 (debian 12): partial, 2 packages, 3 findings (1 critical, 1 medium, 1 low)
      opt/app.jar was not read
    libssl3 | 3.0.11-1~deb12u2 | 3.0.14-1 | critical | CVE-2026-1 | exploited, due 2026-02-02; EPSS 94.3 % | base
     |  | 3.0.15-1 | low | CVE-2026-2 | - | base
    requests | 2.0.0 | not fixed yet | medium | GHSA-1 | - | application
    next: upgrade libssl3 to 3.0.15-1 (2 advisories, worst critical, 1 exploited)
    next: 2 of them come from the base image: rebase on a fixed one with `konzert patch --plan`
    nothing fixed yet: requests
    set aside: 1 by VEX, 1 by ignores
    not counted: 2 findings in kernel packages, 1 language packages that the distribution answers for; `--all` shows them
    ");
}
