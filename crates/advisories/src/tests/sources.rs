//! The publishers' formats: what they say, and how refusals read.

use serde_json::json;

use super::osv;
use crate::priority::CveKey;
use crate::sources::{FileFacts, Item, Reading, detect, parse};
use crate::{Advisory, AdvisoryError, Bound, Severity, SourceKind, State, parse_osv};

fn read(text: &str) -> Result<(SourceKind, Vec<Item>, FileFacts), AdvisoryError> {
    let mut items = Vec::new();
    let mut sink = |item| items.push(item);
    let (kind, facts) = parse(text.as_bytes(), &mut Reading { name: "test", sink: &mut sink })?;
    Ok((kind, items, facts))
}

fn advisories(text: &str) -> Vec<Advisory> {
    let items = read(text).unwrap().1;
    let advisory = |item| match item {
        Item::Advisory(advisory) => Some(*advisory),
        _ => None,
    };
    items.into_iter().filter_map(advisory).collect()
}

#[test]
fn what_is_not_osv_is_named() {
    let deep = r#"{"id":"X","x":[1]}"#;
    let nested = format!(
        r#"{{"id":"X","modified":"2026-01-02T03:04:05Z","database_specific":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let rows = [
        ("[1,2]", "not an OSV advisory"),
        ("{}", "field id: missing"),
        (r#"{"id":"a b","modified":"2026-01-02T03:04:05Z"}"#, "field id"),
        (r#"{"id":"X"}"#, "field modified: missing"),
        (
            r#"{"id":"X","modified":"2026-01-02T03:04:05Z","affected":[{"package":{"ecosystem":"a","name":"b"},"ranges":[{"type":"ECOSYSTEM","events":[{"fixed":"1"}]}]}]}"#,
            "affected[0].ranges",
        ),
        (deep, "not an OSV advisory: field modified"),
        (nested.as_str(), "not an OSV advisory"),
        ("id: X\nmodified: [", "not an OSV advisory"),
        ("id: &a [*a, *a]", "not an OSV advisory"),
    ];
    for (text, want) in rows {
        let error = parse_osv(text.as_bytes(), "broken.json").unwrap_err().to_string();
        assert!(error.starts_with("broken.json") && error.contains(want), "{error}");
    }
    let huge = format!(r#"{{"id":"X","details":"{}"}}"#, "x".repeat(100 << 20));
    assert!(matches!(parse_osv(huge.as_bytes(), "huge"), Err(AdvisoryError::TooLarge { .. })));
}

#[test]
fn formats_are_told_by_content() {
    let rows = [
        (r#"{"schema_version":"1.7.0","id":"X"}"#, Some(SourceKind::Osv)),
        (r#"{"affected":[],"id":"X"}"#, Some(SourceKind::Osv)),
        ("---\nid: X\nmodified: 2026-01-01T00:00:00Z\n", Some(SourceKind::Osv)),
        (r#"{"openssl":{"CVE-2026-1":{"releases":{}}}}"#, Some(SourceKind::DebianTracker)),
        (r#"{"apkurl":"{{urlprefix}}","distroversion":"v3.20"}"#, Some(SourceKind::AlpineSecdb)),
        ("apkurl: x\ndistroversion: v3.20\npackages: []\n", Some(SourceKind::AlpineSecdb)),
        (r#"{"title":"CISA","catalogVersion":"2026"}"#, Some(SourceKind::Kev)),
        ("#model_version:v2025.03.14,score_date:2026-01-01\ncve,epss,percentile\n", Some(SourceKind::Epss)),
        ("cve,epss,percentile\n", Some(SourceKind::Epss)),
        ("hello", None),
        ("", None),
        ("[]", None),
        (r#"{"a":1,"b":{"c":2}}"#, None),
        ("{\"a\":", None),
    ];
    for (text, want) in rows {
        assert_eq!(detect(text.as_bytes()), want, "{text}");
    }
    assert!(matches!(read("hello"), Err(AdvisoryError::Unrecognised { .. })));
}

#[test]
fn yaml_says_the_same_as_json() {
    let yaml = "id: X-1\nmodified: \"2026-01-02T03:04:05Z\"\naliases: [CVE-2026-1]\naffected:\n- package: {name: a, ecosystem: PyPI}\n  ranges:\n  - type: ECOSYSTEM\n    events:\n    - introduced: \"0\"\n    - fixed: \"1.0\"\n";
    let json = json!({"id": "X-1", "modified": "2026-01-02T03:04:05Z", "aliases": ["CVE-2026-1"],
        "affected": [{"package": {"name": "a", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0"}]}]}]});
    assert_eq!(parse_osv(yaml.as_bytes(), "x").unwrap(), osv(&json));
}

#[test]
fn severity_is_the_vendors_word_before_cvss() {
    let v3 = json!({"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"});
    let v4 = json!({"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"});
    let mut value = json!({"id": "X-1", "modified": "2026-01-02T03:04:05Z", "severity": [v4, v3]});
    let read = osv(&value);
    assert_eq!((read.severity, read.score.unwrap().to_string().as_str()), (Severity::Critical, "9.8"));
    value["severity"] = json!([v4]);
    assert_eq!(osv(&value).score.unwrap().to_string(), "10.0");
    value["database_specific"] = json!({"severity": "Moderate"});
    let read = osv(&value);
    assert_eq!(read.severity, Severity::Medium);
    assert!(read.vector.starts_with("CVSS:4.0/"), "the vector is kept beside the word");
    let ubuntu = json!({"id": "UBUNTU-CVE-2026-1", "modified": "2026-01-02T03:04:05Z",
        "severity": [{"type": "Ubuntu", "score": "negligible"}]});
    assert_eq!(osv(&ubuntu).severity, Severity::Negligible);
    let alma =
        json!({"id": "ALSA-2026:1", "modified": "2026-01-02T03:04:05Z", "summary": "Important: x update"});
    assert_eq!(osv(&alma).severity, Severity::High);
}

#[test]
fn publishers_words_for_severity_and_state_of_a_package() {
    let rows = [
        (json!({"urgency": "unimportant"}), Some(Severity::Negligible), State::Affected),
        (json!({"urgency": "not yet assigned"}), None, State::Affected),
        (json!({"urgency": "end-of-life"}), None, State::EndOfLife),
        (json!({"severity": "Important"}), Some(Severity::High), State::Affected),
        (json!({"fix_state": "Will not fix"}), None, State::WillNotFix),
        (json!({"fix_state": "Fix deferred"}), None, State::Deferred),
        (json!({"fix_state": "Under investigation"}), None, State::UnderInvestigation),
        (json!({"fix_state": "Not affected"}), None, State::NotAffected),
    ];
    for (specific, severity, state) in rows {
        let read = osv(&json!({"id": "X-1", "modified": "2026-01-02T03:04:05Z", "affected": [
            {"package": {"ecosystem": "Debian:12", "name": "a"}, "ecosystem_specific": specific}]}));
        assert_eq!((read.affected[0].severity, read.affected[0].state), (severity, state), "{specific}");
    }
}

#[test]
fn git_ranges_and_single_ranges_without_a_list() {
    let git = json!({"type": "GIT", "repo": "x", "events": [{"introduced": "0"}, {"fixed": "abc"}]});
    let one = json!({"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}, {"limit": "3"}]});
    let package = json!({"ecosystem": "Debian:12", "name": "a"});
    let read = osv(&json!({"id": "X-1", "modified": "2026-01-02T03:04:05Z", "affected": [
        {"package": package, "ranges": [git]}, {"package": package, "ranges": one}, {"ranges": [git]}]}));
    assert_eq!(read.affected.len(), 1, "commits say nothing of a package's version");
    assert_eq!(read.affected[0].ranges[0][2], Bound::Limit("3".into()));
}

#[test]
fn the_debian_tracker_is_one_advisory_for_each_vulnerability() {
    let text = json!({
        "openssl": {"CVE-2026-1": {"description": "bad", "scope": "remote", "releases": {
            "bookworm": {"status": "resolved", "fixed_version": "3.0.2-1", "urgency": "high**", "repositories": {"bookworm": "3"}},
            "bullseye": {"status": "open", "urgency": "not yet assigned", "nodsa": "Minor issue", "nodsa_reason": ""},
            "trixie": {"status": "resolved", "fixed_version": "0", "urgency": "unimportant"},
            "sid": {"status": "open", "urgency": "low", "nodsa_reason": "postponed"}}}},
        "edk2": {"CVE-2026-1": {"releases": {
            "bookworm": {"status": "open", "urgency": "end-of-life"},
            "bullseye": {"status": "open", "urgency": "low", "nodsa_reason": "ignored"},
            "trixie": {"status": "undetermined", "urgency": "low"}}}},
    });
    let found = advisories(&text.to_string());
    assert_eq!(found.len(), 1);
    let said: Vec<_> = found[0]
        .affected
        .iter()
        .map(|a| {
            format!(
                "{} {} {:?} {:?} {}",
                a.package,
                a.ecosystem,
                a.state,
                a.severity,
                a.ranges.iter().flatten().count()
            )
        })
        .collect();
    let want = [
        "edk2 Debian:12 EndOfLife None 1",
        "edk2 Debian:11 WillNotFix Some(Low) 1",
        "edk2 Debian:13 UnderInvestigation Some(Low) 1",
        "openssl Debian:12 Affected Some(High) 2",
        "openssl Debian:11 Affected None 1",
        "openssl Debian:unstable Deferred Some(Low) 1",
        "openssl Debian:13 NotAffected Some(Negligible) 0",
    ];
    assert_eq!(said, want);
    let bad = r#"{"a":{"CVE-2026-1":{"releases":{"bookworm":{"status":"maybe"}}}}}"#;
    assert!(read(bad).unwrap_err().to_string().contains("field a.CVE-2026-1: a status"));
}

#[test]
fn alpine_secdb_zero_means_never_affected() {
    let text = json!({"apkurl": "x", "distroversion": "v3.20", "reponame": "main", "urlprefix": "https://dl-cdn.alpinelinux.org/alpine",
        "packages": [
            {"pkg": {"name": "openssl", "secfixes": {"3.1-r0": ["CVE-2026-1 XSA-9", "CVE-2026-2"], "0": ["CVE-2026-3"]}}},
            {"pkg": {"name": "libressl", "secfixes": {"4-r0": ["CVE-2026-1"]}}}]});
    let (_, _, facts) = read(&text.to_string()).unwrap();
    assert_eq!(facts.snapshot_of, ["alpine-secdb:v3.20/main"]);
    let found = advisories(&text.to_string());
    assert_eq!(
        found.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(),
        ["CVE-2026-1", "CVE-2026-2", "CVE-2026-3"]
    );
    assert_eq!((found[0].affected.len(), found[0].aliases[0].as_str()), (2, "XSA-9"));
    assert_eq!(
        (found[0].affected[0].ecosystem.as_str(), found[2].affected[0].state),
        ("Alpine:v3.20", State::NotAffected)
    );
    let wolfi = r#"{"apkurl":"x","urlprefix":"https://packages.wolfi.dev","reponame":"os","packages":[{"pkg":{"name":"a","secfixes":{"1-r0":["CVE-2026-1"]}}}]}"#;
    assert_eq!(advisories(wolfi)[0].affected[0].ecosystem, "Wolfi");
    let nameless = r#"{"apkurl":"x","packages":[]}"#;
    assert!(read(nameless).unwrap_err().to_string().contains("field distroversion"));
    let yaml = "apkurl: x\ndistroversion: v3.20\nreponame: main\npackages:\n- pkg:\n    name: a\n    secfixes:\n      1-r0:\n      - CVE-2026-1\n";
    assert_eq!(advisories(yaml).len(), 1);
}

#[test]
fn kev_and_epss_are_priorities() {
    let kev = json!({"catalogVersion": "x", "vulnerabilities": [
        {"cveID": "CVE-2026-1", "dateAdded": "2026-02-03", "dueDate": "2026-03-03", "knownRansomwareCampaignUse": "Known"}]});
    let (kind, items, _) = read(&kev.to_string()).unwrap();
    assert_eq!(kind, SourceKind::Kev);
    let Item::Exploited(key, known) = items[0] else { panic!("{items:?}") };
    assert_eq!(
        (key, known.ransomware, known.added.to_string().as_str()),
        (CveKey::parse("CVE-2026-1").unwrap(), true, "2026-02-03")
    );
    let bad =
        json!({"catalogVersion": "x", "vulnerabilities": [{"cveID": "CVE-2026-1", "dateAdded": "soon"}]});
    assert!(read(&bad.to_string()).unwrap_err().to_string().contains("vulnerabilities[0].dateAdded"));

    let epss = "#model_version:v1,score_date:2026-01-01\ncve,epss,percentile\nCVE-2026-1,0.5,0.99\n";
    let (_, items, _) = read(epss).unwrap();
    let Item::Likely(_, score) = items[0] else { panic!("{items:?}") };
    assert_eq!((score.score.millionths(), score.percentile.millionths()), (500_000, 990_000));
    for (line, want) in [
        ("CVE-2026-1,2,0", "line 2: a score"),
        ("x,0,0", "line 2: the first"),
        ("CVE-2026-1,0", "line 2: must have three"),
    ] {
        let error = read(&format!("cve,epss,percentile\n{line}\n")).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
