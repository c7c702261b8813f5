//! The index over many images: what a change of the advisories costs, and that its answer is that of matching everything.

use konzert_advisories::{AdvisoryError, Database, parse_osv};
use konzert_images::{ContentStore, ImageBuilder, LayerBuilder, Reference};
use serde_json::json;

use super::*;

/// A store of images, each with its own package `p<n>` on a base with the package `base`.
struct World {
    _dir: tempfile::TempDir,
    store: Arc<ContentStore>,
    digests: Vec<ImageDigest>,
}

fn status(names: &[String]) -> String {
    let stanza = |name: &String| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n")
    };
    names.iter().map(stanza).collect()
}

impl World {
    fn new(images: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(ContentStore::open(dir.path()).unwrap());
        let name = |text: String| Reference::parse(&text).unwrap();
        let base = LayerBuilder::new().file("etc/os-release", 0o644, "ID=debian\nVERSION_ID=12\n").file(
            "var/lib/dpkg/status",
            0o644,
            status(&["base".into()]),
        );
        let base =
            ImageBuilder::from_scratch().add_layer(base).commit(&store, &name("base:1".into())).unwrap();
        let build = |n: usize| {
            let own = status(&["base".into(), format!("p{n}")]);
            let layer = LayerBuilder::new().file("var/lib/dpkg/status", 0o644, own);
            let image = ImageBuilder::from_image(&base).add_layer(layer);
            image.commit(&store, &name(format!("app{n}:1"))).unwrap().digest
        };
        let digests = (0..images).map(build).collect();
        Self { _dir: dir, store, digests }
    }
}

fn database(packages: &[&str]) -> Arc<Database> {
    let advisory = |package: &&str| -> Result<_, AdvisoryError> {
        let record = json!({"id": format!("DSA-{package}"), "modified": "2026-01-01T00:00:00Z", "affected": [{
            "package": {"ecosystem": "Debian:12", "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]}]}]});
        parse_osv(record.to_string().as_bytes(), "test")
    };
    Arc::new(Database::new(packages.iter().map(|package| advisory(package).unwrap())))
}

fn ask(scanner: &ImageScanner, digests: &[ImageDigest], database: &Arc<Database>) -> Vec<usize> {
    let asked =
        Asked { database, trust: &|_| Trust::Fresh, now: Timestamp::UNIX_EPOCH, depth: Depth::Findings };
    let verdicts = scanner.verdicts(digests, asked);
    digests.iter().map(|digest| verdicts[digest].findings.len()).collect()
}

#[test]
fn a_new_advisory_matches_only_the_images_that_have_its_package() {
    let world = World::new(12);
    let scanner = ImageScanner::new(world.store.clone());
    let old = database(&["elsewhere"]);
    assert_eq!(ask(&scanner, &world.digests, &old), [0; 12]);
    assert_eq!((scanner.reads(), scanner.matches()), (13, 12), "the base once, and every layer on it");
    let new = database(&["elsewhere", "p3"]);
    let mut want = [0; 12];
    want[3] = 1;
    assert_eq!(ask(&scanner, &world.digests, &new), want);
    assert_eq!((scanner.reads(), scanner.matches()), (13, 13));
    assert_eq!(ask(&scanner, &world.digests, &new), want);
    assert_eq!(scanner.matches(), 13, "nothing changed");
    let all = database(&["base", "p3"]);
    want = [1; 12];
    want[3] = 2;
    assert_eq!(ask(&scanner, &world.digests, &all), want);
    assert_eq!((scanner.reads(), scanner.matches()), (13, 25));
    let whole = ImageScanner::new(world.store.clone());
    assert_eq!(ask(&whole, &world.digests, &all), want);
    assert_eq!(whole.reads(), 0, "a restart reads no layer again");
}

#[test]
fn callers_with_different_databases_get_their_own_answers() {
    let world = World::new(3);
    let scanner = ImageScanner::new(world.store.clone());
    let (old, new) = (database(&["p0"]), database(&["p0", "base"]));
    for _ in 0..2 {
        assert_eq!(ask(&scanner, &world.digests, &old), [1, 0, 0]);
        assert_eq!(ask(&scanner, &world.digests, &new), [2, 1, 1]);
    }
}

#[test]
fn who_has_it_is_answered_by_the_index() {
    let world = World::new(8);
    let scanner = ImageScanner::new(world.store.clone());
    let database = database(&["p5", "base"]);
    let concerned = |id: &str| scanner.concerned(&world.digests, &BTreeSet::from([id.to_owned()]), &database);
    assert_eq!(concerned("DSA-p5"), [world.digests[5].clone()]);
    assert_eq!(concerned("DSA-base").len(), 8);
    assert!(concerned("DSA-none").is_empty());
    assert_eq!(scanner.matches(), 0, "no image had to be matched");
}

#[test]
fn packages_of_a_base_are_kept_once() {
    let world = World::new(10);
    let scanner = ImageScanner::new(world.store.clone());
    ask(&scanner, &world.digests, &database(&[]));
    let memory = scanner.memory.lock();
    let base: BTreeSet<*const Shared> = world
        .digests
        .iter()
        .flat_map(|digest| &memory.images.peek(digest).unwrap().packages)
        .filter(|shared| shared.package.name == "base")
        .map(Arc::as_ptr)
        .collect();
    assert_eq!(base.len(), 1);
}

#[test]
fn an_image_that_cannot_be_read_is_unknown_until_the_store_changes() {
    let world = World::new(1);
    let record = world.store.by_digest(&world.digests[0]).unwrap().unwrap();
    let blob = world.store.root().join("blobs/sha256").join(record.layers[1].blob_digest.hex());
    let good = std::fs::read(&blob).unwrap();
    std::fs::remove_file(&blob).unwrap();
    let scanner = ImageScanner::new(world.store.clone());
    let database = database(&["base"]);
    let state = || {
        let asked = Asked {
            database: &database,
            trust: &|_| Trust::Fresh,
            now: Timestamp::UNIX_EPOCH,
            depth: Depth::Findings,
        };
        scanner.verdicts(&world.digests, asked)[&world.digests[0]].clone()
    };
    let unread = state();
    assert_eq!(unread.state, ReportState::Unknown);
    assert!(!unread.reasons.is_empty());
    std::io::Write::write_all(&mut std::fs::File::create(&blob).unwrap(), &good).unwrap();
    assert_eq!(state(), unread, "not tried again for nothing");
    scanner.forget_failures();
    assert_eq!((state().state, state().findings.len()), (ReportState::Complete, 1));
}
