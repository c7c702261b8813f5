//! `konzert scan` and `konzert image sbom` from outside: every target, format, exit code, and wrong input. Needs no engine.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "bad_input/archives.rs"]
#[allow(dead_code, reason = "the archives that are wrong are another test's")]
mod archives;
#[path = "support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use archives::{RawTar, docker_archive, put};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::process::{self, Ran};
use support::{fleet, leftovers};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");
const OS_RELEASE: &[u8] = b"ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n";
const STATUS: &[u8] =
    b"Package: libsample1\nStatus: install ok installed\nArchitecture: amd64\nSource: samplelib\nVersion: 1.4.2-1\n";

/// A data directory with advisories, and a directory that commands run in.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// Advisories for Debian 13: one that is fixed and critical, one that is not fixed and low.
    fn new() -> Self {
        let place = Self::empty();
        let record = |id: &str, fixed: Option<&str>, vector: &str| {
            let mut events = vec![json!({"introduced": "0"})];
            events.extend(fixed.map(|fixed| json!({"fixed": fixed})));
            json!({
                "schema_version": "1.7.0", "id": id, "modified": now(), "aliases": [format!("{id}-ALIAS")], "summary": format!("about {id}"),
                "severity": [{"type": "CVSS_V3", "score": vector}],
                "references": [{"type": "ADVISORY", "url": "https://example.org/advisory"}],
                "affected": [{"package": {"ecosystem": "Debian:13", "name": "samplelib"},
                    "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
            })
        };
        let osv = place.dir.path().join("osv");
        std::fs::create_dir(&osv).unwrap();
        let critical =
            record("CVE-2026-1", Some("1.4.2-1+deb13u1"), "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H");
        let low = record("CVE-2026-2", None, "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N");
        put(&osv, "1.json", critical.to_string().as_bytes());
        put(&osv, "2.json", low.to_string().as_bytes());
        place.run(&["db", "import", "../osv"]).ok();
        place
    }

    fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("konzert-test-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("cwd")).unwrap();
        Self { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn cwd(&self) -> PathBuf {
        self.dir.path().join("cwd")
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.cwd()).arg("--data-dir").arg(self.data()).args(args);
        command.env_remove("KUBECONFIG").env_remove("KONZERT_LOG");
        process::run(command, None, "")
    }

    #[track_caller]
    fn ends(&self, args: &[&str], code: i32) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(code), "{ran}");
        ran
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        put(&self.cwd(), name, bytes)
    }

    /// Every form of the same image or system, by target.
    fn targets(&self) -> Vec<String> {
        let root = self.cwd().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
        put(&root, "etc/os-release", OS_RELEASE);
        put(&root, "var/lib/dpkg/status", STATUS);
        let layer = layer();
        self.file("docker.tar", &docker_archive(&layer).finish());
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&docker_archive(&layer).finish()).unwrap();
        self.file("docker.tar.gz", &gz.finish().unwrap());
        let mut tar = RawTar::default();
        for (path, bytes) in layout(&layer) {
            let to = self.cwd().join("oci").join(&path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            put(to.parent().unwrap(), to.file_name().unwrap().to_str().unwrap(), &bytes);
            tar = tar.file(&path, &bytes);
        }
        self.file("oci.tar", &tar.finish());
        self.run(&["image", "load", "docker.tar"]).ok();
        for format in ["cyclonedx", "spdx"] {
            let bill = self.run(&["image", "sbom", "bad:1", "--format", format]);
            self.file(&format!("{format}.json"), bill.ok().as_bytes());
        }
        let all = [
            "image:bad:1",
            "archive:docker.tar",
            "archive:docker.tar.gz",
            "archive:oci.tar",
            "oci:oci",
            "rootfs:root",
            "sbom:cyclonedx.json",
            "sbom:spdx.json",
        ];
        all.map(str::to_owned).to_vec()
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn layer() -> Vec<u8> {
    RawTar::default().file("etc/os-release", OS_RELEASE).file("var/lib/dpkg/status", STATUS).finish()
}

/// The files of an OCI layout with one image.
fn layout(layer: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut blob = |bytes: &[u8], media_type: &str| {
        let hex = hex::encode(Sha256::digest(bytes));
        files.push((format!("blobs/sha256/{hex}"), bytes.to_vec()));
        json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
    };
    let layer_descriptor = blob(layer, "application/vnd.oci.image.layer.v1.tar");
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
    });
    let config = blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer_descriptor]});
    let manifest = blob(manifest.to_string().as_bytes(), manifest_type);
    files.push(("oci-layout".into(), br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec()));
    files.push((
        "index.json".into(),
        json!({"schemaVersion": 2, "manifests": [manifest]}).to_string().into_bytes(),
    ));
    files
}

fn json_of(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran}"))
}

#[test]
fn every_target_says_the_same() {
    let place = Place::new();
    for target in place.targets() {
        let report = json_of(&place.ends(&["scan", &target, "-o", "json"], 0));
        let found = &report["targets"][0];
        assert_eq!(found["state"], "Complete", "{target}: {found:#}");
        let rows: Vec<String> = found["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| format!("{} {} {} {}", f["advisory"], f["package"], f["installed"], f["fixed"]))
            .collect();
        let want = [
            r#""CVE-2026-1" "libsample1" "1.4.2-1" "1.4.2-1+deb13u1""#,
            r#""CVE-2026-2" "libsample1" "1.4.2-1" null"#,
        ];
        assert_eq!(rows, want, "{target}");
        assert_eq!(
            found["findings"][0]["purl"],
            "pkg:deb/debian/libsample1@1.4.2-1?arch=amd64&distro=debian-13"
        );
    }
    let digest =
        |target: &str| json_of(&place.run(&["scan", target, "-o", "json"]))["targets"][0]["digest"].clone();
    assert_eq!(
        digest("archive:docker.tar"),
        digest("image:bad:1"),
        "an archive has the digest it would be loaded under"
    );
    assert_eq!(digest("archive:oci.tar"), digest("oci:oci"));
}

#[test]
fn scanning_leaves_no_copy() {
    let place = Place::new();
    place.file("docker.tar", &docker_archive(&layer()).finish());
    let before = leftovers::files(&place.data());
    place.ends(&["scan", "archive:docker.tar"], 0);
    assert_eq!(leftovers::files(&place.data()), before);
}

#[test]
fn every_format_is_what_it_says() {
    let place = Place::new();
    place.targets();
    let get = |format: &str| place.ends(&["scan", "archive:docker.tar", "--format", format], 0);
    let table = get("table");
    for text in ["bad:1 (debian 13): complete", "CVE-2026-2", "next: upgrade libsample1 to 1.4.2-1+deb13u1"] {
        assert!(table.stdout.contains(text), "{text}: {table}");
    }
    assert_eq!(json_of(&get("json"))["schemaVersion"], "konzert.dev/scan-report/v1");
    assert_eq!(json_of(&get("sarif"))["runs"][0]["results"].as_array().unwrap().len(), 2);
    let bill = json_of(&get("cyclonedx"));
    assert_eq!((&bill["specVersion"], bill["vulnerabilities"].as_array().unwrap().len()), (&json!("1.6"), 2));
    assert_eq!(json_of(&get("spdx"))["spdxVersion"], "SPDX-2.3");
    assert_eq!(json_of(&get("openvex"))["statements"].as_array().unwrap().len(), 2);
    let yaml = place.ends(&["scan", "archive:docker.tar", "-o", "yaml"], 0);
    assert!(yaml.stdout.contains("schemaVersion: konzert.dev/scan-report/v1"), "{yaml}");
    place
        .run(&["scan", "archive:docker.tar", "-o", "json", "--format", "sarif"])
        .refused(&["different formats"]);
}

#[test]
fn exit_codes() {
    let place = Place::new();
    place.targets();
    let scan = |more: &[&str], code| place.ends(&[&["scan", "rootfs:root"][..], more].concat(), code);
    scan(&[], 0);
    scan(&["--fail-on", "critical"], 1);
    scan(&["--fail-on", "low"], 1);
    let only = ["--advisory", "CVE-2026-2-ALIAS", "--fail-on"];
    scan(&[&only[..], &["high"]].concat(), 0);
    scan(&[&only[..], &["low"]].concat(), 1);
    scan(&[&only[..], &["unknown"]].concat(), 1);
    let fixed = json_of(&scan(&["--only-fixed", "-o", "json"], 0));
    assert_eq!(fixed["summary"]["findings"], 1, "{fixed:#}");
    scan(&["--advisory", "CVE-1999-0"], 2);
    // What nobody has rated may be anything: it counts as low.
    let unrated = Place::empty();
    unrated.targets();
    let record = json!({"id": "CVE-2026-9", "modified": now(), "affected": [{
        "package": {"ecosystem": "Debian:13", "name": "samplelib"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]});
    unrated.file("unrated.json", record.to_string().as_bytes());
    unrated.run(&["db", "import", "unrated.json"]).ok();
    for (threshold, code) in [("unknown", 1), ("low", 1), ("medium", 0), ("critical", 0)] {
        unrated.ends(&["scan", "rootfs:root", "--fail-on", threshold], code);
    }
    // What is not known is not clean.
    let ignorant = Place::empty();
    ignorant.targets();
    assert!(ignorant.ends(&["scan", "rootfs:root"], 0).stdout.contains("unknown"));
    let ran = ignorant.ends(&["scan", "rootfs:root", "--fail-on", "critical"], 1);
    assert!(ran.stderr.contains("no advisories were imported"), "{ran}");
    std::fs::create_dir(place.cwd().join("nothing")).unwrap();
    place.ends(&["scan", "rootfs:nothing", "--fail-on", "critical"], 1);
    put(&place.cwd(), "root/etc/os-release", b"ID=debian\nVERSION_ID=\"9\"\n");
    let old = place.ends(&["scan", "rootfs:root", "--fail-on", "critical"], 1);
    assert!(old.stdout.contains("no security fixes since"), "{old}");
}

#[test]
fn how_old_sources_may_be_is_the_users_choice() {
    let place = Place::empty();
    place.targets();
    let old = (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48)).to_string();
    let record = json!({"id": "CVE-2026-9", "modified": old, "affected": [{
        "package": {"ecosystem": "Debian:13", "name": "elsewhere"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]});
    let file = place.file("old.json", record.to_string().as_bytes());
    let two_days_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(48);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(two_days_ago).unwrap();
    place.run(&["db", "import", "old.json"]).ok();
    for (age, state) in [("3d", "Complete"), ("72h", "Complete"), ("1d", "Unknown"), ("1h", "Unknown")] {
        let report = json_of(&place.ends(&["scan", "rootfs:root", "-o", "json", "--max-age", age], 0));
        assert_eq!(report["targets"][0]["state"], state, "{age}");
        let status = json_of(&place.ends(&["db", "status", "-o", "json", "--max-age", age], 0));
        assert_eq!(status["sources"][0]["stale"], state == "Unknown", "{age}: {status:#}");
    }
    for wrong in ["7", "0s", "soon"] {
        assert!(place.ends(&["scan", "rootfs:root", "--max-age", wrong], 2).stderr.contains("max-age"));
    }
    assert!(place.ends(&["up", "--max-age", "1y"], 2).stderr.contains("write it as"));
}

#[test]
fn ignores_and_vex_set_aside() {
    let place = Place::new();
    place.targets();
    let scan = |more: &[&str]| place.ends(&[&["scan", "rootfs:root", "-o", "json"][..], more].concat(), 0);
    let left = |ran: &Ran| json_of(ran)["summary"]["findings"].clone();
    place.file(".trivyignore", b"# known\nCVE-2026-1\nCVE-2025-77\nCVE-2026-2 exp:2020-01-01\n");
    let usual = scan(&[]);
    assert_eq!(left(&usual), 1);
    for note in [
        ".trivyignore: 3 ignores",
        ".trivyignore:3: the ignore of CVE-2025-77 matched nothing",
        "CVE-2026-2 expired on 2020-01-01",
    ] {
        assert!(usual.stderr.contains(note), "{note}: {usual}");
    }
    let report = json_of(&usual);
    assert_eq!(report["ignores"]["unused"][0]["id"], "CVE-2025-77");
    assert_eq!(report["ignores"]["expired"][0]["line"], 4);
    assert_eq!(report["targets"][0]["setAside"][0]["place"], ".trivyignore:2");
    assert_eq!(left(&scan(&["--no-ignore"])), 2);
    place.file(
        "own.yaml",
        b"ignores:\n  - id: CVE-2026-2\n    reason: not reachable\n    expires: 2999-01-01\n",
    );
    assert_eq!(
        left(&scan(&["--ignore-file", "own.yaml"])),
        1,
        "a named file takes the place of the usual ones"
    );
    let vex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/vex", "author": "a", "version": 1,
        "timestamp": "2026-01-01T00:00:00Z",
        "statements": [{"vulnerability": {"name": "CVE-2026-1"}, "status": "not_affected", "impact_statement": "not called",
            "products": [{"@id": "pkg:deb/debian/samplelib"}]}],
    });
    place.file("app.vex.json", vex.to_string().as_bytes());
    let ran = scan(&["--no-ignore", "--vex", "app.vex.json"]);
    assert_eq!(left(&ran), 1);
    assert_eq!(json_of(&ran)["targets"][0]["setAside"][0]["reason"], "not called");
    let args = ["scan", "rootfs:root", "--no-ignore", "--fail-on", "critical", "--vex", "app.vex.json"];
    place.ends(&args, 0);
    // Nothing left to state, and nothing printed.
    put(&place.cwd(), "root/var/lib/dpkg/status", &STATUS.to_ascii_lowercase());
    let none = place.ends(&["scan", "rootfs:root", "--format", "openvex"], 0);
    assert_eq!(none.stdout, "", "{none}");
}

#[test]
fn wrong_input_is_refused_and_leaves_nothing() {
    let place = Place::empty();
    place.file("docker.tar", &docker_archive(&layer()).finish());
    place.file("letter", b"not a document");
    place.file("list.json", b"[1]");
    place.file("bad.yaml", b"ignores:\n  - id: CVE-1\n    expires: 2999-01-01\n");
    place.file("bad.trivyignore", b"CVE-1\nCVE-2 exp:soon\n");
    place.file("bad.vex.json", br#"{"@context": "https://openvex.dev/ns/v0.2.0"}"#);
    let cases: [(&[&str], &[&str]); 23] = [
        (&["cellar"], &["cellar"]),
        (&["nginx:1.25"], &["nginx:1.25"]),
        (&["registry:ng inx"], &["ng inx", "not an image reference"]),
        (&["registry:x@sha256:12"], &["not a digest"]),
        (&["registry:x:1", "--platform", "linux"], &["\"linux\" is not a platform"]),
        (&["image:x:1", "--plain-http"], &["--plain-http", "image:x:1"]),
        (&["rootfs:"], &["rootfs:"]),
        (&["rootfs:/nowhere"], &["/nowhere"]),
        (&["rootfs:letter"], &["letter", "not a directory"]),
        (&["oci:/nowhere"], &["/nowhere", "No such file"]),
        (&["archive:."], &["a directory, not a file"]),
        (&["archive:/dev/null"], &["/dev/null", "not a file"]),
        (&["sbom:/nowhere.json"], &["/nowhere.json", "No such file"]),
        (&["sbom:."], &["a directory, not a file"]),
        (&["sbom:letter/x"], &["letter/x", "Not a directory"]),
        (&["oci:docker.tar"], &["docker.tar", "not a directory"]),
        (&["archive:letter"], &["letter"]),
        (&["archive:/nowhere.tar"], &["/nowhere.tar"]),
        (&["sbom:letter"], &["letter", "line 1"]),
        (&["sbom:list.json"], &["list.json"]),
        (&["archive:docker.tar", "--ignore-file", "bad.yaml"], &["bad.yaml", "line 2", "reason"]),
        (&["archive:docker.tar", "--ignore-file", "bad.trivyignore"], &["bad.trivyignore", "line 2", "exp"]),
        (&["archive:docker.tar", "--vex", "bad.vex.json"], &["bad.vex.json", "@id"]),
    ];
    for (args, names) in cases {
        place.run(&[&["scan"][..], args].concat()).refused(names);
        assert!(!place.data().exists(), "{args:?} made something");
    }
    place.run(&["image", "sbom", "ghost:1"]).refused(&["ghost:1"]);
    place.ends(&["image", "sbom", "ghost:1", "--format", "pdf"], 2);
    place.run(&["image", "sbom", "ghost:1", "-o", "yaml"]).refused(&["different formats", "JSON"]);
    place.ends(&["scan", "--format", "pdf"], 2);
}

#[test]
fn a_layer_that_is_not_what_the_configuration_says() {
    let place = Place::new();
    let (good, other) = (layer(), RawTar::default().file("etc/name", b"x").finish());
    let mut archive = docker_archive(&good).finish();
    let at = archive.windows(good.len()).position(|window| window == good).unwrap();
    archive.splice(at..at + good.len(), other.iter().copied().chain(std::iter::repeat(0)).take(good.len()));
    let path = place.file("swapped.tar", &archive);
    place.run(&["scan", &format!("archive:{path}")]).refused(&[&path, "layer.tar"]);
    let cut = place.file("cut.tar", &archive[..at + 700]);
    place.run(&["scan", &format!("archive:{cut}")]).refused(&[&cut, "layer.tar"]);
    assert!(Path::new(&cut).exists());
}

#[test]
fn images_of_a_store_know_their_base() {
    let place = Place::new();
    let store = fleet::images(&place.data());
    fleet::build_base(&store, "1.0", fleet::VULNERABLE);
    let bill = json_of(&place.ends(&["image", "sbom", "test/base:1.0"], 0));
    assert_eq!(bill["metadata"]["component"]["type"], "container");
    assert!(bill["components"].as_array().unwrap().iter().any(|c| c["name"] == "libsample1"), "{bill:#}");
    let ran = place.ends(&["scan", "image:test/base:1.0"], 0);
    assert!(ran.stdout.contains("unknown") && ran.stdout.contains("Debian:12"), "{ran}");
}
