//! Tables for statements and products.

use serde_json::json;

use super::*;
use crate::Severity;

fn finding(id: &str, package: &str) -> Finding {
    Finding {
        advisory: id.into(),
        aliases: vec!["CVE-2026-1".into()],
        package: package.into(),
        ecosystem: "Debian:12".into(),
        installed: "1.0+a".into(),
        fixed: None,
        state: FindingState::Affected,
        severity: Severity::High,
        score: None,
        vector: String::new(),
        known_exploited: None,
        epss: None,
        layer: 0,
        evidence: "var/lib/dpkg/status".into(),
        summary: String::new(),
    }
}

fn document(statements: &serde_json::Value) -> Result<Document, VexError> {
    let value = json!({"@context": CONTEXT, "@id": "x", "author": "me", "timestamp": "2026-01-01T00:00:00Z",
        "version": 1, "statements": statements});
    Document::parse(value.to_string().as_bytes(), "vex.json")
}

fn left(statements: &serde_json::Value) -> Vec<FindingState> {
    let image = [
        "registry/app:1".to_owned(),
        "sha256:abc".to_owned(),
        "pkg:oci/app@sha256:abc?arch=amd64".to_owned(),
    ];
    let purls =
        |f: &Finding| vec![format!("pkg:deb/debian/{}@1.0%2Ba?arch=amd64&distro=debian-12", f.package)];
    let out = apply(&[document(statements).unwrap()], vec![finding("DSA-1", "openssl")], &image, purls);
    assert_eq!(out.findings.len() + out.suppressed.len(), 1);
    out.findings.iter().map(|f| f.state).collect()
}

#[test]
fn products_and_parts_are_matched_by_purl_name_and_digest() {
    let part = |purl: &str| json!([{"@id": "registry/app:1", "subcomponents": [{"@id": purl}]}]);
    let rows = [
        (json!([{"@id": "registry/app:1"}]), true),
        (json!([{"@id": "pkg:oci/app"}]), true),
        (json!([{"@id": "pkg:oci/app@sha256:abc"}]), true),
        (json!([{"@id": "pkg:oci/app@sha256:def"}]), false),
        (json!([{"hashes": {"sha-256": "abc"}}]), true),
        (json!([{"identifiers": {"purl": "pkg:deb/debian/openssl"}}]), true),
        (part("pkg:deb/debian/openssl"), true),
        (part("pkg:deb/debian/openssl@1.0+a"), true),
        (part("pkg:deb/debian/openssl@1.0%2Ba?distro=debian-12"), true),
        (part("pkg:deb/debian/openssl?distro=debian-11"), false),
        (part("pkg:deb/debian/openssl@2"), false),
        (part("pkg:deb/debian/zlib"), false),
        (json!([{"@id": "registry/other:1", "subcomponents": [{"@id": "pkg:deb/debian/openssl"}]}]), false),
        (json!([]), false),
    ];
    for (products, applies) in rows {
        let said =
            json!([{"vulnerability": {"name": "CVE-2026-1"}, "products": products, "status": "fixed"}]);
        assert_eq!(left(&said).is_empty(), applies, "{products}");
    }
}

#[test]
fn the_latest_statement_holds_and_states_are_passed_on() {
    let at = |status: &str, time: &str| {
        json!({"vulnerability": {"name": "CVE-2026-1"}, "status": status, "timestamp": time,
        "products": [{"@id": "registry/app:1"}], "impact_statement": "not built"})
    };
    let (early, late) = ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
    assert_eq!(left(&json!([at("not_affected", early), at("affected", late)])), [FindingState::Affected]);
    assert_eq!(left(&json!([at("affected", late), at("not_affected", early)])), [FindingState::Affected]);
    assert!(left(&json!([at("affected", early), at("not_affected", late)])).is_empty());
    assert_eq!(left(&json!([at("under_investigation", late)])), [FindingState::UnderInvestigation]);
    let other = json!([{"vulnerability": {"name": "CVE-2026-9"}, "status": "fixed", "products": [{"@id": "registry/app:1"}]}]);
    assert_eq!(left(&other), [FindingState::Affected]);
}

#[test]
fn not_affected_needs_a_reason_and_errors_name_the_field() {
    let said = json!([{"vulnerability": {"name": "CVE-2026-1"}, "products": [], "status": "not_affected"}]);
    assert!(document(&said).unwrap_err().to_string().contains("statements[0].justification"));
    assert!(
        document(&json!([{"vulnerability": {"name": ""}, "status": "fixed"}]))
            .unwrap_err()
            .to_string()
            .contains("vulnerability.name")
    );
    assert!(matches!(
        document(&json!([{"vulnerability": {"name": "x"}, "status": "well"}])),
        Err(VexError::Syntax { .. })
    ));
}

#[test]
fn documents_round_trip() {
    let said = json!([{"vulnerability": {"name": "CVE-2026-1", "aliases": ["DSA-1"]}, "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        "products": [{"@id": "pkg:oci/app", "subcomponents": [{"@id": "pkg:deb/debian/openssl"}]}]}]);
    let read = document(&said).unwrap();
    let text = serde_json::to_string(&read).unwrap();
    assert_eq!(Document::parse(text.as_bytes(), "again").unwrap(), read);
    assert!(text.contains("@context") && text.contains("vulnerable_code_not_in_execute_path"));
}
