//! What is put together from packages is what matching an image as a whole finds, whatever the advisories did before.

use konzert_advisories::{Database, find_packages, parse_osv};
use konzert_api::own::FindingRef;
use konzert_images::ContentStore;
use konzert_packages::{Format, Package, PackageKind};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "linux-libc-dev", "c"];

/// An advisory of a small world: packages, ids and names of vulnerabilities meet often.
#[derive(Clone, Debug)]
struct Said {
    id: &'static str,
    alias: &'static str,
    ecosystem: &'static str,
    name: &'static str,
    fixed: Option<u8>,
    severity: &'static str,
}

fn said() -> impl Strategy<Value = Said> {
    let ids = select(vec!["DSA-1", "DSA-2", "GHSA-1", "CVE-1-1", "CVE-1-2", "PYSEC-1", "ALSA-1"]);
    let aliases = select(vec!["CVE-1-1", "CVE-1-2", "CVE-1-3"]);
    let ecosystem = select(vec!["Debian:12", "PyPI", "AlmaLinux:9"]);
    let fixed = prop::option::of(0..4u8);
    (ids, aliases, ecosystem, select(NAMES.to_vec()), fixed, select(vec!["LOW", "HIGH", ""])).prop_map(
        |(id, alias, ecosystem, name, fixed, severity)| Said { id, alias, ecosystem, name, fixed, severity },
    )
}

fn database(all: &[Said]) -> Arc<Database> {
    let advisory = |said: &Said| {
        let mut events = vec![json!({"introduced": "0"})];
        events.extend(said.fixed.map(|fixed| json!({"fixed": fixed.to_string()})));
        let record = json!({"id": said.id, "modified": "2026-01-01T00:00:00Z", "related": [said.alias],
            "database_specific": {"severity": said.severity}, "affected": [{
            "package": {"ecosystem": said.ecosystem, "name": said.name},
            "ranges": [{"type": "ECOSYSTEM", "events": events}]}]});
        parse_osv(record.to_string().as_bytes(), "test").unwrap()
    };
    Arc::new(Database::new(all.iter().map(advisory)))
}

fn package() -> impl Strategy<Value = Package> {
    let kind = select(vec![
        (PackageKind::Deb, Format::Dpkg, "Debian:12"),
        (PackageKind::Pypi, Format::Python, "PyPI"),
        (PackageKind::Rpm, Format::Rpm, "AlmaLinux:9"),
    ]);
    let owner = prop::option::weighted(0.4, select(vec!["a".to_owned(), "elsewhere".to_owned()]));
    (kind, select(NAMES.to_vec()), 0..4u8, 0..3usize, owner, prop::bool::weighted(0.1)).prop_map(
        |((kind, format, ecosystem), name, version, layer, owned_by, third_party)| Package {
            ecosystem: ecosystem.to_owned(),
            layer,
            owned_by: owned_by.filter(|_| kind == PackageKind::Pypi),
            third_party,
            ..Package::new(kind, format, name, &version.to_string())
        },
    )
}

fn digest(number: usize) -> ImageDigest {
    ImageDigest::try_from(format!("sha256:{number:064x}")).unwrap()
}

/// Puts an image where reading it would have put it.
fn put(scanner: &ImageScanner, digest: &ImageDigest, packages: &[Package], base_layers: usize) {
    let mut memory = scanner.memory.lock();
    let (packages, bytes) = memory.pool.insert(digest, packages.to_vec());
    let read = Arc::new(Read { packages, subject: Subject::default(), base_layers });
    memory.remember(digest, &read, bytes);
}

fn in_whole(database: &Database, packages: &[Package], base_layers: usize) -> Vec<FindingRef> {
    let found = find_packages(database, packages, &MatchOptions::default()).findings;
    let noted: Vec<Arc<[Noted]>> =
        found.into_iter().map(|finding| Arc::from([Noted::new(finding)])).collect();
    // Only the making of references is shared with what is tested; the order is that of the whole.
    noted.iter().flat_map(|one| listed(&put_together(std::slice::from_ref(one), base_layers))).collect()
}

fn listed(findings: &Findings) -> Vec<FindingRef> {
    findings.iter().map(|finding| (**finding).clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn composing_is_matching_in_whole(
        world in prop::collection::vec(said(), 0..8),
        changes in prop::collection::vec((prop::collection::vec(any::<bool>(), 8), prop::collection::vec(said(), 0..3)), 1..6),
        images in prop::collection::vec((prop::collection::vec(package(), 0..8), 0..3usize), 1..5),
        memory_bytes in select(vec![0, 6000, 1 << 20]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let scanner = ImageScanner::new(Arc::new(ContentStore::open(dir.path()).unwrap()));
        scanner.memory.lock().pool = Pool::new(memory_bytes);
        for (number, (packages, base_layers)) in images.iter().enumerate() {
            put(&scanner, &digest(number), packages, *base_layers);
        }
        let mut databases: Vec<Arc<Database>> = Vec::new();
        for (kept, new) in &changes {
            let old = world.iter().zip(kept).filter(|(_, kept)| **kept).map(|(said, _)| said.clone());
            let all: Vec<Said> = old.chain(new.iter().cloned()).collect();
            databases.push(database(&all));
        }
        // There and back: also an older database may be asked for again.
        for database in databases.iter().chain(databases.iter().rev()) {
            scanner.follow(database);
            for (number, (packages, base_layers)) in images.iter().enumerate() {
                let read = scanner.read(&digest(number)).unwrap().unwrap();
                let composed = scanner.findings(&digest(number), &read, database);
                prop_assert_eq!(listed(&composed), in_whole(database, packages, *base_layers));
            }
            let stranger = databases.first().unwrap();
            let read = scanner.read(&digest(0)).unwrap().unwrap();
            let composed = scanner.findings(&digest(0), &read, stranger);
            prop_assert_eq!(listed(&composed), in_whole(stranger, &images[0].0, images[0].1), "not followed");
        }
    }
}

/// The counts of the target: what a change of 200 advisories costs a thousand images that share most packages.
fn fleet(images: usize) -> (tempfile::TempDir, ImageScanner, Vec<ImageDigest>) {
    let dir = tempfile::tempdir().unwrap();
    let scanner = ImageScanner::new(Arc::new(ContentStore::open(dir.path()).unwrap()));
    let named = |name: String, layer| Package {
        ecosystem: "Debian:12".into(),
        layer,
        ..Package::new(PackageKind::Deb, Format::Dpkg, &name, "1")
    };
    for number in 0..images {
        let base = (0..300).map(|n| named(format!("base-{n}"), 0));
        let own = (0..100).map(|n| named(format!("own-{}", (number * 37 + n * 7) % 3000), 1));
        put(&scanner, &digest(number), &base.chain(own).collect::<Vec<_>>(), 1);
    }
    let digests = (0..images).map(digest).collect();
    (dir, scanner, digests)
}

fn fleet_database(fixed: impl Fn(usize) -> usize) -> Arc<Database> {
    let advisory = |kind: usize| {
        let record = json!({"id": format!("DSA-{kind}"), "modified": "2026-01-01T00:00:00Z", "affected": [{
            "package": {"ecosystem": "Debian:12", "name": format!("own-{kind}")},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed(kind).to_string()}]}]}]});
        parse_osv(record.to_string().as_bytes(), "test").unwrap()
    };
    Arc::new(Database::new((0..3000).map(advisory)))
}

#[test]
fn a_change_matches_the_packages_it_touches_and_nothing_else() {
    let (_dir, scanner, digests) = fleet(40);
    let trust = |_: &str| Trust::Fresh;
    let ask = |database: &Arc<Database>| {
        scanner.verdicts(
            &digests,
            Asked { database, trust: &trust, now: Timestamp::UNIX_EPOCH, depth: Depth::Findings },
        )
    };
    ask(&fleet_database(|_| 2));
    let (images, packages) = (scanner.matches(), scanner.package_matches());
    // Each of the 3,000 kinds may be in it; those that are not in an image are not matched.
    let own: BTreeSet<usize> = (0..40).flat_map(|i| (0..100).map(move |n| (i * 37 + n * 7) % 3000)).collect();
    let touched = own.iter().filter(|kind| *kind % 15 == 0).count() as u64;
    ask(&fleet_database(|kind| if kind % 15 == 0 { 3 } else { 2 }));
    let matched = scanner.package_matches() - packages;
    // Two threads may come to the same package at the same time.
    assert!((touched..=touched * MAX_THREADS as u64).contains(&matched), "{matched} of {touched}");
    assert!(scanner.matches() - images <= 40);
}

#[test]
#[ignore = "a measurement: cargo test --release -p konzert-fleet many_images -- --ignored --nocapture"]
fn many_images_after_two_hundred_advisories() {
    let (_dir, scanner, digests) = fleet(1000);
    let trust = |_: &str| Trust::Fresh;
    for database in [fleet_database(|_| 2), fleet_database(|kind| if kind % 15 == 0 { 3 } else { 2 })] {
        let begun = jiff::Timestamp::now();
        let (images, packages) = (scanner.matches(), scanner.package_matches());
        let asked =
            Asked { database: &database, trust: &trust, now: Timestamp::UNIX_EPOCH, depth: Depth::Findings };
        let found: usize = scanner.verdicts(&digests, asked).values().map(|v| v.findings.len()).sum();
        let took = jiff::Timestamp::now().duration_since(begun);
        let (images, packages) = (scanner.matches() - images, scanner.package_matches() - packages);
        eprintln!("{took:#}: {images} images put together, {packages} packages matched, {found} findings");
    }
}
