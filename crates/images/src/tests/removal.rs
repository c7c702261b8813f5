//! In use, removed, trashed, restored: what stays on disk and what goes.

use super::{TestStore, names_in, reference};
use crate::{ContentStore, Force, ImageBuilder, ImageError, LayerBuilder};

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).expect("a time")
}

fn blobs(store: &TestStore) -> usize {
    names_in(&store.root().join("blobs/sha256")).len()
}

#[test]
fn an_image_goes_with_its_last_name_and_takes_what_only_it_needs() {
    let store = TestStore::new();
    let base = store.image("base:1", "etc/x", "x");
    let layer = LayerBuilder::new().file("app", 0o755, "app");
    let app =
        ImageBuilder::from_image(&base).add_layer(layer).commit(&store, &reference("app:1")).expect("commit");
    store.tag(&app.digest, &reference("app:stable")).expect("tag");
    assert_eq!(blobs(&store), 6);

    let one = store.remove(&reference("app:1"), Force::No).expect("remove");
    assert_eq!((one.deleted, one.names.as_slice()), (false, &["app:1".to_owned()][..]));
    let gone = store.remove(&reference("app:stable"), Force::No).expect("remove");
    assert!(gone.deleted && gone.freed_bytes > 0, "{gone:?}");
    assert_eq!(blobs(&store), 3, "the base keeps its layer");
    assert!(store.get(&reference("app:1")).expect("get").is_none());
    assert!(matches!(store.remove(&app.digest, Force::No), Err(ImageError::NotFound { .. })));
    store.remove(&base.digest, Force::No).expect("remove");
    assert_eq!(store.content(), Vec::<String>::new());
}

#[test]
fn a_name_moves_and_references_by_digest_decide() {
    let store = TestStore::new();
    let (one, two) = (store.image("a:1", "f", "1"), store.image("b:1", "f", "2"));
    let moved = store.tag(&two.digest, &reference("docker.io/library/a:1")).expect("tag");
    assert_eq!(moved.names, ["a:1", "b:1"]);
    assert_eq!(store.by_digest(&one.digest).expect("get").expect("image").names, Vec::<String>::new());
    let both = reference(&format!("a:1@{}", one.digest));
    assert_eq!(store.get(&both).expect("get").map(|r| r.digest), Some(one.digest.clone()));
    assert!(store.get(&reference("c:1")).expect("get").is_none());
    let by_digest = reference(&format!("a@{}", one.digest));
    assert!(matches!(store.tag(&two.digest, &by_digest), Err(ImageError::TagNeeded { .. })));
}

#[test]
fn a_lease_protects_across_a_restart() {
    let store = TestStore::new();
    let image = store.image("a:1", "f", "1");
    store.retain(&image.digest, "campaign c1").expect("retain");
    store.retain(&image.digest, "campaign c1").expect("again");
    let reopened = ContentStore::open(&store.root()).expect("open");
    let refused = reopened.remove(&reference("a:1"), Force::No).expect_err("in use");
    assert!(
        matches!(&refused, ImageError::InUse { by, .. } if by[..] == ["lease campaign c1"]),
        "{refused:?}"
    );
    assert_eq!(refused.to_string(), "image a:1 is in use by lease campaign c1");
    assert!(matches!(store.trash(&image.digest, Force::No, at(1)), Err(ImageError::InUse { .. })));
    reopened.release_lease(&image.digest, "campaign c1").expect("release");
    assert!(store.remove(&image.digest, Force::No).expect("remove").deleted);

    let image = store.image("a:1", "f", "1");
    store.retain(&image.digest, "x").expect("retain");
    assert!(store.remove(&image.digest, Force::Yes).expect("forced").deleted);
}

#[test]
fn a_trashed_image_comes_back_as_it_was() {
    let store = TestStore::new();
    let image = store.image("a:1", "f", "content");
    store.tag(&image.digest, &reference("a:2")).expect("tag");
    let removed = store.trash(&image.digest, Force::No, at(100)).expect("trash");
    assert_eq!((removed.deleted, removed.freed_bytes), (true, 0));
    assert!(store.list().expect("list").is_empty());
    let reopened = ContentStore::open(&store.root()).expect("open");
    assert_eq!(reopened.trashed().expect("trash")[0].record.names, ["a:1", "a:2"]);
    assert_eq!(store.purge_trash(at(100)).expect("purge"), []);

    // A name that was given away meanwhile stays where it is.
    let other = store.image("a:2", "f", "other");
    let back = reopened.restore(&image.digest).expect("restore");
    assert_eq!(back.names, ["a:1"]);
    assert_eq!(store.get(&reference("a:2")).expect("get").map(|r| r.digest), Some(other.digest));
    assert_eq!(back.layers, image.layers);
    assert_eq!(reopened.restore(&image.digest).expect("again").digest, image.digest);
    store.unpack_layers(&back).expect("its content is there");

    store.trash(&image.digest, Force::No, at(200)).expect("trash");
    assert_eq!(store.purge_trash(at(201)).expect("purge"), std::slice::from_ref(&image.digest));
    assert!(matches!(store.restore(&image.digest), Err(ImageError::NotFound { .. })));
    assert_eq!(blobs(&store), 3);
}

#[test]
fn leftovers_of_a_kill_go_at_the_next_open_unless_somebody_works() {
    let store = TestStore::new();
    let image = store.image("a:1", "f", "1");
    let root = store.root();
    let litter = || {
        std::fs::create_dir_all(root.join("tmp/stage-x/sub")).expect("create");
        std::fs::File::create(root.join("blobs/sha256").join("0".repeat(64))).expect("create");
        std::fs::create_dir_all(root.join("layers").join("0".repeat(64)).join("fs")).expect("create");
    };
    litter();
    let work = store.disk.lock_work().expect("lock");
    ContentStore::open(&root).expect("open");
    assert_eq!(names_in(&root.join("tmp")), ["stage-x"], "somebody works");
    assert_eq!(blobs(&store), 4);
    drop(work);
    ContentStore::open(&root).expect("open");
    assert_eq!(names_in(&root.join("tmp")), Vec::<String>::new());
    assert_eq!(names_in(&root.join("layers")), Vec::<String>::new());
    assert_eq!(blobs(&store), 3);
    assert_eq!(store.by_digest(&image.digest).expect("get"), Some(image));
}

#[test]
fn a_damaged_index_is_an_error_that_names_it() {
    let store = TestStore::new();
    store.image("a:1", "f", "1");
    let index = store.root().join("index.json");
    let text = std::fs::read_to_string(&index).expect("read");
    for broken in [&text[..text.len() / 2], &text.replacen("\"version\":1", "\"version\":9", 1)] {
        std::io::Write::write_all(&mut std::fs::File::create(&index).expect("create"), broken.as_bytes())
            .expect("write");
        let error = store.list().expect_err("damaged");
        assert!(error.to_string().contains("index.json"), "{error}");
        assert!(store.remove(&reference("a:1"), Force::Yes).is_err());
        assert_eq!(blobs(&store), 3, "nothing is deleted on the word of a damaged index");
    }
}
