//! Overlay mounts, as root in a mount namespace of the test's own.

use std::fs;
use std::io::Write;

use super::{TestStore, can_mount, in_mount_namespace, names_in, reference};
use crate::{ContentStore, Force, ImageBuilder, ImageError, LayerBuilder};

#[test]
fn a_snapshot_is_writable_and_apart_from_its_image() {
    if !can_mount("a_snapshot_is_writable_and_apart_from_its_image") {
        return;
    }
    let store = TestStore::new();
    let image = store.image("a:1", "etc/x", "image");
    in_mount_namespace(|| {
        let (one, two) = (store.prepare("one", &image.digest), store.prepare("two", &image.digest));
        let (one, two) = (one.expect("prepare"), two.expect("prepare"));
        assert_eq!(one.rootfs, store.root().canonicalize().expect("root").join("snapshots/one/rootfs"));
        fs::File::create(one.rootfs.join("etc/x")).and_then(|mut f| f.write_all(b"changed")).expect("write");
        assert_eq!(fs::read(two.rootfs.join("etc/x")).expect("read"), b"image");
        assert_eq!(store.prepare("one", &image.digest).expect("again"), one);
        assert_eq!(
            fs::read(one.rootfs.join("etc/x")).expect("read"),
            b"changed",
            "a mounted snapshot is kept"
        );

        let keys: Vec<String> = store.snapshots().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["one", "two"]);
        let error = store.remove(&reference("a:1"), Force::No).expect_err("in use");
        assert!(
            matches!(&error, ImageError::InUse { by, .. } if by[..] == ["snapshot one", "snapshot two"]),
            "{error:?}"
        );

        store.release("one").expect("release");
        store.release("one").expect("again");
        assert_eq!(names_in(&store.root().join("snapshots")), ["two"]);
        store.release("two").expect("release");
        assert!(store.remove(&reference("a:1"), Force::No).expect("remove").deleted);
        assert_eq!(store.content(), Vec::<String>::new());
    });
}

#[test]
fn a_restarted_engine_adopts_what_is_mounted_and_mounts_what_is_not() {
    if !can_mount("a_restarted_engine_adopts_what_is_mounted_and_mounts_what_is_not") {
        return;
    }
    let store = TestStore::new();
    let image = store.image("a:1", "f", "1");
    let other = store.image("b:1", "f", "2");
    in_mount_namespace(|| {
        let rootfs = store.prepare("k", &image.digest).expect("prepare").rootfs;
        fs::File::create(rootfs.join("new")).expect("write");
        let again = ContentStore::open(&store.root()).expect("open");
        assert_eq!(again.snapshots(), [("k".to_owned(), image.digest.clone())]);
        assert_eq!(again.prepare("k", &image.digest).expect("adopt").rootfs, rootfs);
        assert!(rootfs.join("new").exists());
        // As after a reboot: the mount is gone, what was written is still there.
        rustix::mount::unmount(&rootfs, rustix::mount::UnmountFlags::empty()).expect("unmount");
        assert!(!rootfs.join("new").exists());
        again.prepare("k", &image.digest).expect("mount again");
        assert!(rootfs.join("new").exists() && rootfs.join("f").exists());
        let taken = again.prepare("k", &other.digest).expect_err("another image");
        assert!(matches!(taken, ImageError::SnapshotTaken { .. }), "{taken:?}");
        again.release("k").expect("release");
    });
}

#[test]
fn an_image_forced_away_lives_on_in_its_snapshot() {
    if !can_mount("an_image_forced_away_lives_on_in_its_snapshot") {
        return;
    }
    let store = TestStore::new();
    let image = store.image("a:1", "f", "1");
    in_mount_namespace(|| {
        let rootfs = store.prepare("k", &image.digest).expect("prepare").rootfs;
        // A file held open makes the unmount busy.
        let held = fs::File::open(rootfs.join("f")).expect("open");
        assert!(store.remove(&image.digest, Force::Yes).expect("forced").deleted);
        ContentStore::open(&store.root()).expect("a sweep");
        assert_eq!(fs::read(rootfs.join("f")).expect("read"), b"1");
        store.release("k").expect("release");
        drop(held);
        assert_eq!(store.content(), Vec::<String>::new());
    });
}

#[test]
fn images_with_no_and_with_very_many_layers_are_mounted() {
    if !can_mount("images_with_no_and_with_very_many_layers_are_mounted") {
        return;
    }
    let store = TestStore::new();
    let none = ImageBuilder::from_scratch().commit(&store, &reference("none:1")).expect("commit");
    let many = (0..130).fold(ImageBuilder::from_scratch(), |builder, n| {
        builder.add_layer(LayerBuilder::new().file("top", 0o644, n.to_string()).file(
            format!("f{n}"),
            0o644,
            "x",
        ))
    });
    let many = many.commit(&store, &reference("many:1")).expect("commit");
    in_mount_namespace(|| {
        let rootfs = store.prepare("none", &none.digest).expect("prepare").rootfs;
        assert_eq!(names_in(&rootfs), Vec::<String>::new());
        fs::create_dir(rootfs.join("d")).expect("writable");
        let rootfs = store.prepare("many", &many.digest).expect("prepare").rootfs;
        assert_eq!(names_in(&rootfs).len(), 131);
        assert_eq!(fs::read(rootfs.join("top")).expect("read"), b"129", "the last layer is on top");
        // The same by the way of older kernels.
        let dir = store.root().join("snapshots/many");
        crate::snapshot::tests_remount_by_options(&store, &dir, &many);
        assert_eq!(fs::read(rootfs.join("top")).expect("read"), b"129");
        store.release("many").expect("release");
        store.release("none").expect("release");
    });
}

#[test]
fn a_layer_may_come_twice() {
    if !can_mount("a_layer_may_come_twice") {
        return;
    }
    let store = TestStore::new();
    let twice = || LayerBuilder::new().file("f", 0o644, "twice");
    let image = ImageBuilder::from_scratch()
        .add_layer(twice())
        .add_layer(LayerBuilder::new().whiteout("f").file("g", 0o644, "g"))
        .add_layer(twice())
        .commit(&store, &reference("a:1"))
        .expect("commit");
    in_mount_namespace(|| {
        // Broke with ELOOP: overlayfs takes no directory twice.
        let rootfs = store.prepare("k", &image.digest).expect("prepare").rootfs;
        assert_eq!(names_in(&rootfs), ["f", "g"]);
        assert_eq!(fs::read(rootfs.join("f")).expect("read"), b"twice");
        store.release("k").expect("release");
    });
}

#[test]
fn a_failed_prepare_leaves_no_snapshot() {
    let store = TestStore::new();
    let image = store.image("a:1", "f", "1");
    for key in ["", "..", "a/b", "-x", ".hidden", &"k".repeat(200)] {
        assert!(matches!(store.prepare(key, &image.digest), Err(ImageError::BadKey { .. })), "{key:?}");
        assert!(matches!(store.release(key), Err(ImageError::BadKey { .. })), "{key:?}");
    }
    fs::remove_file(store.root().join("blobs/sha256").join(image.layers[0].blob_digest.hex()))
        .expect("remove");
    assert!(store.prepare("k", &image.digest).is_err());
    assert_eq!(names_in(&store.root().join("snapshots")), Vec::<String>::new());
    assert_eq!(names_in(&store.root().join("tmp")), Vec::<String>::new());
    store.remove(&image.digest, Force::No).expect("not in use");
    assert!(matches!(store.prepare("k", &image.digest), Err(ImageError::NotFound { .. })));
}

#[test]
fn a_layer_from_an_earlier_boot_is_unpacked_again() {
    if !can_mount("a_layer_from_an_earlier_boot_is_unpacked_again") {
        return;
    }
    let store = TestStore::new();
    let image = store.image("a:1", "f", "1");
    let file = store.unpack_layers(&image).expect("unpack")[0].join("f");
    let boot = store.root().join("layers").join(image.layers[0].diff_id.hex()).join("boot");
    fs::File::create(&file).expect("lose the content");
    store.unpack_layers(&image).expect("unpack");
    assert_eq!(fs::read(&file).expect("read"), b"", "not unpacked twice in one boot");
    fs::File::create(&boot).and_then(|mut f| f.write_all(b"earlier")).expect("write");
    store.unpack_layers(&image).expect("unpack");
    assert_eq!(fs::read(&file).expect("read"), b"1");
}
