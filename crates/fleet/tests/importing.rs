//! Imports from everything a user may have, and refusals that change nothing.
#![expect(clippy::unwrap_used, reason = "a test whose files cannot be made must fail")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use konzert_fleet::{AdvisoryStore, FleetError};

fn record(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"Debian:12","name":"a"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}}]}}]}}]}}"#
    )
}

struct Place {
    dir: tempfile::TempDir,
    store: AdvisoryStore,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = AdvisoryStore::open(&dir.path().join("advisories")).unwrap();
        Self { dir, store }
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(&path).unwrap().write_all(content).unwrap();
        path
    }

    fn import(&self, path: &Path) -> Result<u64, FleetError> {
        self.store.import(path, &mut |_| {}).map(|report| report.read)
    }
}

#[test]
fn a_file_a_directory_a_zip_and_a_tar_are_read() {
    let place = Place::new();
    let file = place.write("one.json", record("A-1").as_bytes());
    assert_eq!(place.import(&file).unwrap(), 1);

    place.write("dir/a.json", record("A-2").as_bytes());
    place.write("dir/deeper/b.json", record("A-3").as_bytes());
    place.write("dir/README.md", b"not a record");
    place.write("dir/.hidden.json", b"not a record");
    assert_eq!(place.import(&place.dir.path().join("dir")).unwrap(), 2);

    let zip_path = place.dir.path().join("all.bin");
    let mut zip = zip::ZipWriter::new(File::create(&zip_path).unwrap());
    for id in ["A-4", "A-5"] {
        zip.start_file(format!("{id}.json"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(record(id).as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    assert_eq!(place.import(&zip_path).unwrap(), 2);

    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let content = record("A-6");
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, "x/A-6.json", content.as_bytes()).unwrap();
    let tar_path = place.write("all.tar.gz", &tar.into_inner().unwrap().finish().unwrap());
    assert_eq!(place.import(&tar_path).unwrap(), 1);

    let status = place.store.status().unwrap();
    assert_eq!((status.advisories, status.ecosystems[0].name.as_str()), (6, "Debian:12"));
}

#[test]
fn one_bad_record_refuses_the_whole_import_and_is_named() {
    let place = Place::new();
    place.import(&place.write("good.json", record("A-1").as_bytes())).unwrap();
    let before = place.store.status().unwrap().revision;
    place.write("dir/a.json", record("A-2").as_bytes());
    place.write("dir/b.json", b"{\"id\": 7}");
    let refused = place.import(&place.dir.path().join("dir")).unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("b.json"), "{cause}");
    assert!(refused.is_user_error() && refused.hint().is_some());
    assert_eq!(place.store.status().unwrap().revision, before);
}

#[test]
fn what_holds_no_advisories_is_refused() {
    let place = Place::new();
    let empty = place.dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let rows = [
        empty,
        place.write("text.json", b"hello"),
        place.write("cut.zip", b"PK\x03\x04 cut off"),
        place.write("cut.tar.gz", &[0x1f, 0x8b, 8, 0, 1]),
        place.dir.path().join("missing"),
    ];
    for path in rows {
        let refused = place.import(&path).unwrap_err();
        assert!(refused.is_user_error(), "{}: {refused}", path.display());
        assert!(refused.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{refused}");
    }
    assert_eq!(place.store.status().unwrap().advisories, 0);
}

#[test]
fn a_second_import_of_the_same_changes_nothing_and_two_at_once_lose_nothing() {
    let place = Place::new();
    let file = place.write("one.json", record("A-1").as_bytes());
    place.import(&file).unwrap();
    assert_eq!(place.store.import(&file, &mut |_| {}).unwrap().changed, 0);
    let threads: Vec<_> = (10..18)
        .map(|n| {
            let path = place.write(&format!("{n}.json"), record(&format!("B-{n}")).as_bytes());
            // A store of its own, as another process would have.
            let store = AdvisoryStore::open(&place.dir.path().join("advisories")).unwrap();
            std::thread::spawn(move || store.import(&path, &mut |_| {}).unwrap())
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(place.store.database().unwrap().len(), 9);
}

#[test]
fn a_damaged_database_is_named_and_never_taken_for_an_empty_one() {
    let place = Place::new();
    place.import(&place.write("one.json", record("A-1").as_bytes())).unwrap();
    place.write("advisories/advisories.db", b"konzert-advisories 1 00\n{}");
    let error = place.store.database().unwrap_err();
    assert!(error.to_string().contains("advisories.db") && error.hint().is_some(), "{error}");
}

#[tokio::test]
async fn an_import_by_anybody_is_noticed() {
    let place = Place::new();
    let mut changes = place.store.changes().unwrap();
    let other = AdvisoryStore::open(&place.dir.path().join("advisories")).unwrap();
    let file = place.write("one.json", record("A-1").as_bytes());
    other.import(&file, &mut |_| {}).unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(20), changes.next()).await.unwrap().unwrap();
    assert_eq!(place.store.database().unwrap().len(), 1);
}

#[test]
fn every_format_is_told_by_content_compressed_or_not() {
    let place = Place::new();
    let yaml =
        "id: Y-1\nmodified: \"2026-01-01T00:00:00Z\"\naffected:\n- package: {ecosystem: PyPI, name: a}\n";
    assert_eq!(place.import(&place.write("one.txt", yaml.as_bytes())).unwrap(), 1);
    let epss = b"cve,epss,percentile\nCVE-2026-0001,0.5,0.9\nCVE-2026-0002,0.1,0.2\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(epss).unwrap();
    assert_eq!(place.import(&place.write("epss.csv.gz", &gz.finish().unwrap())).unwrap(), 2);
    let zst = zstd::encode_all(record("Z-1").as_bytes(), 1).unwrap();
    assert_eq!(place.import(&place.write("one.zst", &zst)).unwrap(), 1);
    let tracker = br#"{"a":{"CVE-2026-0001":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#;
    assert_eq!(place.import(&place.write("tracker", tracker)).unwrap(), 1);
    let status = place.store.status().unwrap();
    assert_eq!((status.advisories, status.priorities, status.sources.len()), (3, 2, 4));
    // A snapshot that names it no more.
    let other = br#"{"a":{"CVE-2026-0009":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#;
    let report = place.store.import(&place.write("tracker", other), &mut |_| {}).unwrap();
    assert_eq!((report.changed, report.total), (2, 3));
}

#[test]
fn old_sources_are_stale() {
    let place = Place::new();
    let file = place.write("one.json", record("A-1").as_bytes());
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(24 * 400);
    File::open(&file).unwrap().set_modified(long_ago).unwrap();
    place.import(&file).unwrap();
    let status = place.store.status().unwrap();
    assert!(status.sources[0].stale && status.ecosystems[0].stale, "{status:?}");
    let patient = AdvisoryStore::with_max_age(
        &place.dir.path().join("advisories"),
        jiff::SignedDuration::from_hours(24 * 3650),
    );
    assert!(!patient.unwrap().status().unwrap().ecosystems[0].stale);
}

#[test]
fn a_database_of_the_first_format_is_named_and_made_anew_by_an_import() {
    let place = Place::new();
    let old = format!("konzert-advisories 1 {}\n{}", "0".repeat(64), "x".repeat(400));
    place.write("advisories/advisories.db", old.as_bytes());
    let error = place.store.database().unwrap_err();
    assert!(error.hint().unwrap().contains("import the advisories again"), "{error}");
    assert_eq!(place.import(&place.write("one.json", record("A-1").as_bytes())).unwrap(), 1);
    assert_eq!(place.store.database().unwrap().len(), 1);
}

#[test]
fn a_reader_keeps_the_database_it_has() {
    let place = Place::new();
    place.import(&place.write("one.json", record("A-1").as_bytes())).unwrap();
    let before = place.store.database().unwrap();
    place.import(&place.write("two.json", record("A-2").as_bytes())).unwrap();
    assert_eq!((before.len(), place.store.database().unwrap().len()), (1, 2));
    assert_eq!(before.get("A-1").unwrap().id, "A-1");
}
