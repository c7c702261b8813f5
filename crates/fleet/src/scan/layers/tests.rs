//! Kept facts over restarts, damage and bounds.

use konzert_images::{Force, ImageBuilder, ImageRecord, LayerBuilder, Reference};

use super::*;

fn image(store: &ContentStore, name: &str, version: &str) -> ImageRecord {
    let status =
        format!("Package: lib\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n");
    let layer = LayerBuilder::new().file("etc/os-release", 0o644, "ID=debian\nVERSION_ID=12\n").file(
        "var/lib/dpkg/status",
        0o644,
        status,
    );
    ImageBuilder::from_scratch().add_layer(layer).commit(store, &Reference::parse(name).unwrap()).unwrap()
}

fn write(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_restart_reads_no_layer_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Arc::new(ContentStore::open(dir.path()).unwrap());
    let layer = image(&open(), "a:1", "1").layers[0].diff_id.clone();
    let first = LayerCache::new(open());
    let facts = first.facts(&layer).unwrap();
    assert_eq!(first.facts(&layer).unwrap(), facts);
    assert_eq!(first.reads(), 1);
    let second = LayerCache::new(open());
    assert_eq!(second.facts(&layer).unwrap(), facts);
    assert_eq!(second.reads(), 0);
    assert_eq!(facts.files.len(), 2);
}

#[test]
fn damaged_facts_are_read_again_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(dir.path()).unwrap());
    let layer = image(&store, "a:1", "1").layers[0].diff_id.clone();
    let other = image(&store, "b:1", "2").layers[0].diff_id.clone();
    let cache = || LayerCache::new(store.clone());
    let facts = cache().facts(&layer).unwrap();
    cache().facts(&other).unwrap();
    let path = dir.path().join(DIR).join(file_name(&layer));
    let good = std::fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let of_another_layer = std::fs::read(dir.path().join(DIR).join(file_name(&other))).unwrap();
    let no_json = zstd::encode_all(&b"{"[..], 1).unwrap();
    let no_facts = [&MAGIC[..], &Sha256::digest(&no_json), &no_json].concat();
    let no_zstd = [&MAGIC[..], &Sha256::digest(b"x"), b"x"].concat();
    let damages: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("cut in the header", good[..20].to_vec()),
        ("cut in the body", good[..good.len() - 1].to_vec()),
        ("another magic", flipped(0)),
        ("a flipped bit", flipped(good.len() - 1)),
        ("another layer's", of_another_layer),
        ("not JSON", no_facts),
        ("not compressed", no_zstd),
    ];
    for (what, bytes) in damages {
        write(&path, &bytes);
        assert!(load(&path, &layer).is_err(), "{what}");
        let cache = cache();
        assert_eq!(cache.facts(&layer).unwrap(), facts, "{what}");
        assert_eq!(cache.reads(), 1, "{what}");
        assert_eq!(load(&path, &layer).unwrap().as_ref(), Some(&*facts), "{what}: repaired");
    }
}

#[test]
fn what_no_image_has_goes_and_the_rest_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(dir.path()).unwrap());
    let (kept, gone) = (image(&store, "a:1", "1"), image(&store, "b:1", "2"));
    let cache = LayerCache::new(store.clone());
    for record in [&kept, &gone] {
        cache.facts(&record.layers[0].diff_id).unwrap();
    }
    let facts = dir.path().join(DIR);
    write(&facts.join(format!("{}.v0", kept.layers[0].diff_id.hex())), b"of an older cataloguer");
    write(&facts.join(".facts-new"), b"being written");
    store.remove(&gone.digest, Force::No).unwrap();
    let age = |layer: &LayerDiffId, days: u64| {
        let file = File::options().write(true).open(facts.join(file_name(layer))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(24 * days)).unwrap();
    };
    let names = || {
        let all = std::fs::read_dir(&facts).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        all.collect::<BTreeSet<String>>()
    };
    for layer in [&kept.layers[0].diff_id, &gone.layers[0].diff_id] {
        age(layer, 6);
    }
    sweep(&facts, &store.layers().unwrap(), DISK_BYTES).unwrap();
    assert!(names().contains(&file_name(&gone.layers[0].diff_id)), "not after a few days");
    for layer in [&kept.layers[0].diff_id, &gone.layers[0].diff_id] {
        age(layer, 8);
    }
    sweep(&facts, &store.layers().unwrap(), DISK_BYTES).unwrap();
    assert_eq!(names(), BTreeSet::from([".facts-new".to_owned(), file_name(&kept.layers[0].diff_id)]));
    sweep(&facts, &store.layers().unwrap(), 1).unwrap();
    assert_eq!(names(), BTreeSet::new());
}
