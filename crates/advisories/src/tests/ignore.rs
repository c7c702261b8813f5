//! Tables for the three forms.

use super::*;
use crate::{FindingState, Severity};

fn finding(id: &str, package: &str) -> Finding {
    Finding {
        advisory: id.into(),
        aliases: vec!["CVE-2026-1".into()],
        package: package.into(),
        ecosystem: "Debian:12".into(),
        installed: "1".into(),
        fixed: None,
        state: FindingState::Affected,
        severity: Severity::High,
        score: None,
        vector: String::new(),
        known_exploited: None,
        epss: None,
        layer: 0,
        evidence: "usr/lib/python3/a.dist-info/METADATA".into(),
        summary: String::new(),
    }
}

fn parse(text: &str) -> Result<Ignores, IgnoreError> {
    Ignores::parse(text.as_bytes(), ".ignores")
}

const TODAY: Date = Date::constant(2026, 6, 1);

fn purls(finding: &Finding) -> Vec<String> {
    vec![format!("pkg:deb/debian/{}@1?arch=amd64", finding.package)]
}

#[test]
fn our_own_form_ignores_by_alias_and_package_and_reports_what_is_idle() {
    let text = "ignores:\n- id: cve-2026-1\n  package: openssl\n  reason: not reachable\n  expires: 2026-06-01\n- id: DSA-7\n  reason: gone\n  expires: 2026-12-31\n- id: DSA-1\n  reason: old\n  expires: \"2026-05-31\"\n";
    let ignores = parse(text).unwrap();
    let out = ignores.apply(vec![finding("DSA-1", "openssl"), finding("DSA-1", "zlib")], TODAY, purls);
    assert_eq!(out.findings.iter().map(|f| f.package.as_str()).collect::<Vec<_>>(), ["zlib"]);
    assert_eq!((out.ignored.len(), out.ignored[0].1.reason.as_str()), (1, "not reachable"));
    assert_eq!(out.unused.iter().map(|r| (r.id.as_str(), r.line)).collect::<Vec<_>>(), [("DSA-7", 6)]);
    assert_eq!(out.expired.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["DSA-1"]);
}

#[test]
fn trivys_forms_are_understood() {
    let plain = "# comment\nCVE-2026-1 exp:2026-07-01 # why\n\nCVE-2020-9\n";
    let ignores = parse(plain).unwrap();
    assert_eq!(ignores.rules[0].expires, Some(Date::constant(2026, 7, 1)));
    assert!(ignores.apply(vec![finding("DSA-1", "a")], TODAY, purls).findings.is_empty());

    let yaml = "vulnerabilities:\n  - id: CVE-2026-1\n    paths:\n      - \"usr/lib/*/METADATA\"\n    purls:\n      - pkg:deb/debian/a\n    expired_at: 2026-07-01\n    statement: accepted\nmisconfigurations:\n  - id: AVD-1\n";
    let ignores = parse(yaml).unwrap();
    let rest = ignores.apply(vec![finding("DSA-1", "a"), finding("DSA-1", "b")], TODAY, purls).findings;
    assert_eq!(rest.iter().map(|f| f.package.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(ignores.rules[0].reason, "accepted");
}

#[test]
fn errors_name_line_and_field() {
    let rows = [
        ("ignores:\n- id: X\n  expires: 2026-01-01\n", "line 2: field reason: missing"),
        ("ignores:\n- id: X\n  reason: r\n", "line 2: field expires: missing"),
        ("ignores:\n- id: X\n  reason: r\n  expires: soon\n", "line 2: field expires"),
        ("ignores:\n- reason: r\n  expires: 2026-01-01\n", "line 2: field id"),
        ("CVE-2026-1\nCVE-2026-2 until tomorrow\n", "line 2: field exp"),
        ("CVE-2026-1 exp:never\n", "line 1: field exp"),
        ("{\"a\": 1}\n", "line 1: field id"),
    ];
    for (text, want) in rows {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(".ignores") && error.contains(want), "{error}");
    }
    let misspelt = parse("ignores:\n- id: X\n  reson: r\n  expires: 2026-01-01\n").unwrap_err();
    let cause = std::error::Error::source(&misspelt).unwrap().to_string();
    assert!(cause.contains("reson"), "{cause}");
    assert!(Ignores::parse(&[0xff], "x").is_err());
}

#[test]
fn stars_stand_for_anything() {
    for (pattern, text, want) in [
        ("a/*/c", "a/b/c", true),
        ("*", "", true),
        ("a*b*c", "axxbyyc", true),
        ("a*b", "ac", false),
        ("/a", "a", true),
        ("", "a", false),
    ] {
        assert_eq!(glob(pattern, text), want, "{pattern} {text}");
    }
    assert!(!glob(&"*a".repeat(2000), &"b".repeat(2000)));
}
