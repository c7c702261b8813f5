//! Targets of the scanner: package databases, executables and archives of images, advisories of every publisher, the advisory
//! database, VEX documents and ignore files. Each with its seeds; what is checked lies in the crates' own `fuzz` modules.

use konzert_advisories::{Database, parse_osv};
use konzert_packages::CATALOGUER_VERSION;
use serde_json::json;

const SEED: &str = "a seed is made of constants, in memory or in a directory for temporary files";

/// One rpm header blob.
pub(crate) fn rpm_header(bytes: &[u8]) {
    konzert_packages::fuzz::rpm_header(bytes);
}

/// rpm's `SQLite` database.
pub(crate) fn rpm_sqlite(bytes: &[u8]) {
    konzert_packages::fuzz::rpm_sqlite(bytes);
}

/// rpm's NDB database.
pub(crate) fn rpm_ndb(bytes: &[u8]) {
    konzert_packages::fuzz::rpm_ndb(bytes);
}

/// rpm's Berkeley database.
pub(crate) fn rpm_bdb(bytes: &[u8]) {
    konzert_packages::fuzz::rpm_bdb(bytes);
}

/// An executable.
pub(crate) fn executable(bytes: &[u8]) {
    konzert_packages::fuzz::executable(bytes);
}

/// A file of a layer: its path, a newline, its content.
pub(crate) fn file(bytes: &[u8]) {
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let path = String::from_utf8_lossy(&bytes[..at]);
    let facts = konzert_packages::fuzz::file(&path, &bytes[at + 1..]).expect("memory has no read errors");
    assert_eq!(facts.cataloguer, CATALOGUER_VERSION);
    let kept = serde_json::to_vec(&facts).expect("facts are plain data");
    let again = serde_json::from_slice(&kept).expect("what is kept can be read");
    assert_eq!(facts, again, "facts survive being kept");
}

/// The advisory database.
pub(crate) fn database(bytes: &[u8]) {
    konzert_advisories::fuzz::database(bytes);
}

/// One record of it.
pub(crate) fn record(bytes: &[u8]) {
    konzert_advisories::fuzz::record(bytes);
}

/// Advisories in whatever format they look like.
pub(crate) fn source(bytes: &[u8]) {
    konzert_advisories::fuzz::any_source(bytes);
}

/// `OpenVEX`.
pub(crate) fn vex(bytes: &[u8]) {
    konzert_advisories::fuzz::vex(bytes);
}

/// Ignore files.
pub(crate) fn ignores(bytes: &[u8]) {
    konzert_advisories::fuzz::ignores(bytes);
}

/// Index rows (tag, type, offset, count) and data.
fn header(name: &str) -> Vec<u8> {
    let strings = [(1000, name), (1001, "1.0"), (1002, "1.el9"), (1022, "x86_64"), (1044, "a-1.src.rpm")];
    let (mut index, mut data) = (Vec::new(), Vec::new());
    let mut row = |tag: u32, kind: u32, count: u32, content: &[u8]| {
        let offset = u32::try_from(data.len()).expect(SEED);
        index.extend([tag, kind, offset, count].iter().flat_map(|n| n.to_be_bytes()));
        data.extend_from_slice(content);
        data.resize(data.len().next_multiple_of(4), 0);
    };
    row(1003, 4, 1, &2_u32.to_be_bytes());
    row(1116, 4, 2, &[0; 8]);
    row(1117, 8, 2, b"tool\0other\0");
    row(1118, 8, 1, b"/usr/bin/\0");
    for (tag, text) in strings {
        row(tag, 6, 1, &[text.as_bytes(), &[0]].concat());
    }
    let lengths = [index.len() / 16, data.len()].map(|n| u32::try_from(n).expect(SEED).to_be_bytes());
    [&lengths[0][..], &lengths[1], &index, &data].concat()
}

pub(crate) fn rpm_headers() -> Vec<Vec<u8>> {
    vec![header("bash"), header("nodejs")]
}

pub(crate) fn sqlite_files() -> Vec<Vec<u8>> {
    let make = |page_size: u32| {
        let dir = tempfile::tempdir().expect(SEED);
        let path = dir.path().join("rpmdb.sqlite");
        let database = rusqlite::Connection::open(&path).expect(SEED);
        let schema = format!(
            "PRAGMA page_size = {page_size}; CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL);"
        );
        database.execute_batch(&schema).expect(SEED);
        for blob in rpm_headers() {
            database.execute("INSERT INTO Packages (blob) VALUES (?1)", [blob]).expect(SEED);
        }
        drop(database);
        std::fs::read(&path).expect(SEED)
    };
    vec![make(512), make(4096)]
}

/// A page of header and slots, then blobs in blocks of sixteen bytes.
pub(crate) fn ndb_files() -> Vec<Vec<u8>> {
    let words = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let blob = header("bash");
    let length = u32::try_from(blob.len()).expect(SEED);
    let mut file = [b"RpmP".to_vec(), words(&[0, 1, 1, 2, 0, 0, 0])].concat();
    file.extend([b"Slot".to_vec(), words(&[1, 4096 / 16, (length + 28).div_ceil(16)])].concat());
    while file.len() < 4096 {
        file.extend([b"Slot".to_vec(), words(&[0, 0, 0])].concat());
    }
    file.extend([b"BlbS".to_vec(), words(&[1, 1, length]), blob].concat());
    vec![file]
}

/// A meta page, a hash page and a chain of overflow pages.
pub(crate) fn bdb_files() -> Vec<Vec<u8>> {
    const PAGE: usize = 512;
    const ROOM: usize = PAGE - 26;
    let blob = header("bash");
    let chunks: Vec<&[u8]> = blob.chunks(ROOM).collect();
    let mut file = vec![0; PAGE * (2 + chunks.len())];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    let number = |n: usize| u32::try_from(n).expect(SEED).to_le_bytes();
    put(12, &0x0006_1561_u32.to_le_bytes());
    put(20, &number(PAGE));
    put(32, &number(1 + chunks.len()));
    let (key, value) = (PAGE - 5, PAGE - 17);
    put(PAGE + 20, &[2, 0]);
    put(PAGE + 25, &[13]);
    put(PAGE + 26, &number(key)[..2]);
    put(PAGE + 28, &number(value)[..2]);
    put(PAGE + key, &[1]);
    put(PAGE + value, &[3]);
    put(PAGE + value + 4, &number(2));
    put(PAGE + value + 8, &number(blob.len()));
    for (index, chunk) in chunks.iter().enumerate() {
        let at = PAGE * (2 + index);
        let next = if index + 1 < chunks.len() { 3 + index } else { 0 };
        put(at + 16, &number(next));
        put(at + 22, &number(chunk.len())[..2]);
        put(at + 25, &[7]);
        put(at + 26, chunk);
    }
    vec![file]
}

/// 64-bit little-endian: header, one section, the names of sections, the section table.
fn elf(section: &str, content: &[u8]) -> Vec<u8> {
    let names = [b"\0", section.as_bytes(), b"\0.shstrtab\0"].concat();
    let mut file = vec![0; 64];
    let at = |len: usize| (len as u64).to_le_bytes();
    let content_at = file.len();
    file.extend_from_slice(content);
    let names_at = file.len();
    file.extend_from_slice(&names);
    let table_at = file.len();
    let row = |name: usize, offset: usize, size: usize| {
        let mut row = [0; 64];
        row[..4].copy_from_slice(&at(name)[..4]);
        row[24..32].copy_from_slice(&at(offset));
        row[32..40].copy_from_slice(&at(size));
        row
    };
    file.extend([0; 64]);
    file.extend(row(1, content_at, content.len()));
    file.extend(row(section.len() + 2, names_at, names.len()));
    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    file[40..48].copy_from_slice(&at(table_at));
    file[58..64].copy_from_slice(&[64, 0, 3, 0, 2, 0]);
    file
}

pub(crate) fn executables() -> Vec<Vec<u8>> {
    let modules =
        "path\texample.com/app\nmod\texample.com/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.7.0\th1:x=\n";
    let framed = [&[b'<'; 16][..], modules.as_bytes(), &[b'>'; 16]].concat();
    let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
    info.resize(32, 0);
    for text in [b"go1.22.3".as_slice(), &framed] {
        let length = u8::try_from(text.len()).expect(SEED);
        // A varint of one or two bytes.
        info.extend(if length < 128 { vec![length] } else { vec![length, 1] });
        info.extend_from_slice(text);
    }
    vec![elf(".go.buildinfo", &info), elf(".dep-v0", b"x\x9c\x03\0\0\0\0\x01")]
}

pub(crate) fn files() -> Vec<Vec<u8>> {
    let jar = || {
        // Local header, name, content, central directory, end record: stored, without a checksum.
        let (name, content) =
            (b"META-INF/MANIFEST.MF", b"Implementation-Title: a\nImplementation-Version: 1\n");
        let sizes =
            [0, content.len(), content.len()].map(|n| u32::try_from(n).expect(SEED).to_le_bytes()).concat();
        let lengths = [20_u8, 0, 0, 0];
        let local = [&b"PK\x03\x04\x0a\0\0\0\0\0\0\0\0\0"[..], &sizes, &lengths, name, content].concat();
        let rest = [0; 14];
        let central =
            [&b"PK\x01\x02\x0a\0\x0a\0\0\0\0\0\0\0\0\0"[..], &sizes, &lengths, &rest, name].concat();
        let places =
            [central.len(), local.len()].map(|n| u32::try_from(n).expect(SEED).to_le_bytes()).concat();
        let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &places, &[0, 0]].concat();
        [local, central, end].concat()
    };
    let spdx = json!({"spdxVersion": "SPDX-2.3", "packages": [{"name": "a", "versionInfo": "1", "externalRefs": [
        {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:npm/%40a/b@1.0"}]}]});
    let cyclonedx = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
        {"type": "library", "name": "a", "version": "1", "purl": "pkg:deb/debian/a@1?arch=amd64&distro=debian-12"}]});
    let node = json!({"name": "@a/b", "version": "1.0.0", "license": "MIT"});
    let deps = json!({"libraries": {"Json/13.0.1": {"type": "package"}}});
    let composer = json!({"packages": [{"name": "a/b", "version": "v1.0.0", "license": ["MIT"]}]});
    let texts: Vec<(&str, String)> = vec![
        ("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1:1-1\nSource: b (2)\nArchitecture: amd64\n".into()),
        ("var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\nArchitecture: all\n".into()),
        ("lib/apk/db/installed", "P:a\nV:1.0-r0\nA:x86_64\no:b\nF:usr\nR:x\n\n".into()),
        ("var/lib/rpmmanifest/container-manifest-2", "a\t1-1.cm2\t1\t1\tMicrosoft\t(none)\t1\tx86_64\t0\ta-1-1.cm2.src.rpm\n".into()),
        ("usr/lib/python3/dist-packages/a-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: a\nVersion: 1\n".into()),
        ("app/node_modules/a/package.json", node.to_string()),
        ("app/Cargo.lock", "version = 3\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n".into()),
        ("usr/lib/ruby/gems/3.1.0/specifications/a-1.0.gemspec", "Gem::Specification.new do |s|\n  s.name = \"a\"\n  s.version = \"1.0\"\nend\n".into()),
        ("app/vendor/composer/installed.json", composer.to_string()),
        ("app/a.deps.json", deps.to_string()),
        ("usr/share/sbom/a.spdx.json", spdx.to_string()),
        ("usr/share/sbom/a.cdx.json", cyclonedx.to_string()),
        ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n".into()),
        ("etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n".into()),
        ("etc/apk/repositories", "https://dl-cdn.alpinelinux.org/alpine/v3.20/main\n".into()),
    ];
    let text = texts.into_iter().map(|(path, content)| [path.as_bytes(), b"\n", content.as_bytes()].concat());
    text.chain([[&b"app/a.jar\n"[..], &jar()].concat()]).collect()
}

fn osv() -> serde_json::Value {
    json!({"id": "DSA-1-1", "modified": "2026-01-01T00:00:00Z", "aliases": ["CVE-2026-1"], "upstream": ["CVE-2026-2"],
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [{"package": {"ecosystem": "Debian:12", "name": "a"}, "versions": ["1"],
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1:2-1~deb12u1"}]}],
            "ecosystem_specific": {"severity": "high"}}]})
}

pub(crate) fn databases() -> Vec<Vec<u8>> {
    let advisory = parse_osv(osv().to_string().as_bytes(), "seed").expect(SEED);
    vec![Database::new([advisory]).bytes().to_vec()]
}

pub(crate) fn sources() -> Vec<Vec<u8>> {
    let tracker = json!({"a": {"CVE-2026-1": {"description": "d", "releases": {"bookworm": {
        "status": "open", "repositories": {"bookworm": "1"}, "urgency": "low", "nodsa": "Minor issue"}}}}});
    let secdb = json!({"distroversion": "v3.20", "reponame": "main", "urlprefix": "https://dl-cdn.alpinelinux.org/alpine",
        "packages": [{"pkg": {"name": "a", "secfixes": {"1.0-r1": ["CVE-2026-1", "CVE-2026-2 GHSA-x"], "0": ["CVE-2026-3"]}}}]});
    let kev = json!({"title": "CISA Catalog of Known Exploited Vulnerabilities", "catalogVersion": "1", "vulnerabilities": [
        {"cveID": "CVE-2026-1", "dateAdded": "2026-01-01", "dueDate": "2026-02-01", "knownRansomwareCampaignUse": "Known"}]});
    let epss = "#model_version:v2025.03.14,score_date:2026-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2026-1,0.5,0.9\n";
    let yaml = "id: PYSEC-1\nmodified: 2026-01-01T00:00:00Z\naffected:\n- package: {ecosystem: PyPI, name: a}\n  ranges:\n  - type: ECOSYSTEM\n    events: [{introduced: '0'}, {fixed: 1.0rc1}]\n";
    let documents = [osv(), tracker, secdb, kev].map(|document| document.to_string().into_bytes());
    documents.into_iter().chain([epss, yaml].map(|text| text.as_bytes().to_vec())).collect()
}

pub(crate) fn vex_documents() -> Vec<Vec<u8>> {
    let document = json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/vex/1", "author": "a",
        "timestamp": "2026-01-01T00:00:00Z", "version": 1, "statements": [{
            "vulnerability": {"name": "CVE-2026-1", "aliases": ["GHSA-1"]}, "status": "not_affected",
            "justification": "vulnerable_code_not_present",
            "products": [{"@id": "pkg:oci/a@sha256:1", "subcomponents": [{"@id": "pkg:deb/debian/a@1"}]}]}]});
    vec![document.to_string().into_bytes()]
}

pub(crate) fn ignore_files() -> Vec<Vec<u8>> {
    let plain = "# why\nCVE-2026-1 exp:2027-01-01\nCVE-2026-2\n";
    let yaml = "vulnerabilities:\n  - id: CVE-2026-1\n    paths: [usr/lib]\n    purls: [pkg:npm/a]\n    expired_at: 2027-01-01\n    statement: why\n";
    let own = "ignore:\n- id: CVE-2026-1\n  package: a\n  reason: why\n  expires: 2027-01-01\n";
    [plain, yaml, own].map(|text| text.as_bytes().to_vec()).to_vec()
}
