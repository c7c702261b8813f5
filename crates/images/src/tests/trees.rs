//! Property: random trees, built, exported, loaded and mounted, are the same trees; whiteouts hide what they should.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use proptest::prelude::*;

use super::archive::{RawTar, TestLayer, blob, oci_files, pack, record};
use super::{TestStore, in_mount_namespace, reference};
use crate::{ImageBuilder, ImageRecord, LayerBuilder};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File { mode: u32, content: Vec<u8> },
    Dir { mode: u32 },
    Link(String),
}

#[derive(Clone, Debug)]
enum Step {
    Put(String, Node),
    Remove(String),
    Clear(String),
}

type Model = BTreeMap<String, Node>;

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(slash, _)| &path[..slash])
}

fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c.d"), Just("ümlaut"), Just("with space")];
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(0o644), Just(0o4755), Just(0o1777), Just(0o700)];
    let node = prop_oneof![
        4 => (mode.clone(), prop::collection::vec(any::<u8>(), 0..2000)).prop_map(|(mode, content)| Node::File { mode, content }),
        2 => mode.prop_map(|mode| Node::Dir { mode }),
        1 => prop_oneof![Just("/etc/passwd"), Just("../../.."), Just("a")].prop_map(|t| Node::Link(t.to_owned())),
    ];
    prop_oneof![
        8 => (path(), node).prop_map(|(path, node)| Step::Put(path, node)),
        2 => path().prop_map(Step::Remove),
        1 => path().prop_map(Step::Clear),
    ]
}

/// Keeps the steps that make one sound layer: nothing below a file, one node for each path.
fn sound(steps: Vec<Step>) -> Vec<Step> {
    let mut puts = Model::new();
    let mut kept = Vec::new();
    for step in steps {
        let fits = |path: &str| {
            let below_file =
                parents(path).any(|p| puts.get(p).is_some_and(|n| !matches!(n, Node::Dir { .. })));
            let over_dir = puts.keys().any(|known| known.starts_with(&format!("{path}/")));
            !below_file && !over_dir && !puts.contains_key(path)
        };
        match &step {
            Step::Put(path, node) if fits(path) => {
                for parent in parents(path) {
                    puts.entry(parent.to_owned()).or_insert(Node::Dir { mode: 0o755 });
                }
                puts.insert(path.clone(), node.clone());
                kept.push(step);
            }
            // A removed path and a put at or below it in one layer is legal, but what it means is tested by hand.
            Step::Remove(path) | Step::Clear(path) if fits(path) => {
                puts.insert(format!("{path}/.reserved"), Node::Link(String::new()));
                puts.insert(path.clone(), Node::Link(String::new()));
                for parent in parents(path) {
                    puts.entry(parent.to_owned()).or_insert(Node::Dir { mode: 0o755 });
                }
                kept.push(step);
            }
            _ => {}
        }
    }
    kept
}

fn layer(steps: &[Step]) -> LayerBuilder {
    steps.iter().fold(LayerBuilder::new(), |layer, step| match step {
        Step::Put(path, Node::File { mode, content }) => layer.file(path, *mode, content.clone()),
        Step::Put(path, Node::Dir { mode }) => layer.dir(path, *mode),
        Step::Put(path, Node::Link(target)) => layer.symlink(path, target),
        Step::Remove(path) => layer.whiteout(path),
        Step::Clear(path) => layer.opaque(path),
    })
}

fn drop_below(model: &mut Model, path: &str) {
    model.retain(|known, _| !known.starts_with(&format!("{path}/")));
}

/// A directory that is only implied; in the builder it takes the attributes of the one below.
fn imply(model: &mut Model, lower: &Model, path: &str) {
    for dir in parents(path) {
        if !matches!(model.get(dir), Some(Node::Dir { .. })) {
            let like = lower.get(dir).filter(|n| matches!(n, Node::Dir { .. })).cloned();
            model.insert(dir.to_owned(), like.unwrap_or(Node::Dir { mode: 0o755 }));
        }
    }
}

fn apply(model: &mut Model, steps: &[Step]) {
    let lower = model.clone();
    for step in steps {
        match step {
            Step::Remove(path) => {
                imply(model, &lower, path);
                drop_below(model, path);
                model.remove(path);
            }
            Step::Clear(path) => {
                imply(model, &lower, &format!("{path}/x"));
                drop_below(model, path);
            }
            Step::Put(..) => {}
        }
    }
    for step in steps {
        if let Step::Put(path, node) = step {
            imply(model, &lower, path);
            if !matches!(node, Node::Dir { .. }) {
                drop_below(model, path);
            }
            model.insert(path.clone(), node.clone());
        }
    }
}

fn read(dir: &Path, prefix: &str, found: &mut Model) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = format!("{prefix}{}", entry.file_name().to_str().expect("text"));
        // overlayfs lists a whiteout in a directory that only one layer has, but there is nothing to be found there.
        let meta = match entry.path().symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.expect("metadata"),
        };
        let mode = meta.permissions().mode() & 0o7777;
        let node = if meta.is_dir() {
            read(&entry.path(), &format!("{path}/"), found);
            Node::Dir { mode }
        } else if meta.is_symlink() {
            Node::Link(fs::read_link(entry.path()).expect("link").to_str().expect("text").to_owned())
        } else {
            assert!(meta.is_file(), "{path} is neither file, directory nor link");
            Node::File { mode, content: fs::read(entry.path()).expect("read") }
        };
        found.insert(path, node);
    }
}

/// The archive of a stored image, as another tool would write it.
fn export(store: &TestStore, image: &ImageRecord) -> Vec<u8> {
    let read = |digest: &crate::ImageDigest| {
        fs::read(store.root().join("blobs/sha256").join(digest.hex())).expect("blob")
    };
    let manifest = read(&image.digest);
    let (file, descriptor) = blob(crate::document::OCI_MANIFEST, &manifest);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor]});
    let mut files = vec![("index.json".to_owned(), index.to_string().into_bytes()), file];
    let others = std::iter::once(&image.config_digest).chain(image.layers.iter().map(|l| &l.blob_digest));
    files.extend(others.map(|digest| (format!("blobs/sha256/{}", digest.hex()), read(digest))));
    pack(&files)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_built_is_what_is_mounted(layers in prop::collection::vec(prop::collection::vec(step(), 0..12), 1..4)) {
        if !super::can_mount("what_was_built_is_what_is_mounted") {
            return Ok(());
        }
        let layers: Vec<Vec<Step>> = layers.into_iter().map(sound).collect();
        let (from, to) = (TestStore::new(), TestStore::new());
        let mut model = Model::new();
        let mut image: Option<ImageRecord> = None;
        for steps in &layers {
            apply(&mut model, steps);
            let builder = image.as_ref().map_or_else(ImageBuilder::from_scratch, ImageBuilder::from_image);
            image = Some(builder.add_layer(layer(steps)).commit(&from, &reference("t:1")).expect("commit"));
        }
        let image = image.expect("at least one layer");
        let loaded = to.load_reader(&export(&from, &image)[..], None, &|_| {}).expect("load").remove(0);
        prop_assert_eq!(&loaded.digest, &image.digest);
        let found = in_mount_namespace(|| {
            let snapshot = to.prepare("k", &loaded.digest).expect("prepare");
            let mut found = Model::new();
            read(&snapshot.rootfs, "", &mut found);
            to.release("k").expect("release");
            found
        });
        prop_assert_eq!(found, model);
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000), at in 0_usize..4000, flip in any::<u8>()) {
        let store = TestStore::new();
        drop(store.load_reader(&bytes[..], None, &|_| {}));
        let layer = TestLayer::gzip(&RawTar::new().file("a/b", &bytes).symlink("l", "a").finish());
        let mut archive = pack(&oci_files(&[layer], Some("a:1")));
        let at = at % archive.len();
        archive[at] ^= flip;
        drop(store.load_reader(&archive[..], None, &|_| {}));
        prop_assert_eq!(super::names_in(&store.root().join("tmp")).len(), 0);
    }
}

/// The unpacked files of a one-layer image made of a raw tar.
fn unpack(store: &TestStore, tar: Vec<u8>) -> std::path::PathBuf {
    let archive = pack(&oci_files(&[TestLayer::plain(tar)], None));
    let image = store.load_reader(&archive[..], None, &|_| {}).expect("load").remove(0);
    store.unpack_layers(&image).expect("unpack").remove(0)
}

#[test]
fn one_layer_may_name_a_path_twice_and_the_last_one_counts() {
    if !super::can_mount("one_layer_may_name_a_path_twice_and_the_last_one_counts") {
        return;
    }
    let store = TestStore::new();
    let outside = store.dir.path().join("outside");
    fs::create_dir(&outside).expect("create");
    let tar = RawTar::new()
        .file("f", b"first")
        .file("f", b"second")
        .symlink("l", outside.to_str().expect("text"))
        .dir("l")
        .file("l/x", b"inside")
        .file("g", b"file")
        .symlink("g", "f")
        .symlink("usr-lib", "lib")
        .dir("lib")
        .file("usr-lib/y", b"y")
        .hardlink("h", "f");
    let root = unpack(&store, tar.finish());
    assert_eq!(fs::read(root.join("f")).expect("read"), b"second");
    assert_eq!(
        fs::metadata(root.join("f")).expect("stat").ino(),
        fs::metadata(root.join("h")).expect("stat").ino()
    );
    assert!(root.join("l").symlink_metadata().expect("stat").is_dir());
    assert_eq!(fs::read(root.join("l/x")).expect("read"), b"inside");
    assert_eq!(super::names_in(&outside), Vec::<String>::new());
    assert_eq!(fs::read_link(root.join("g")).expect("link"), Path::new("f"));
    assert_eq!(fs::read(root.join("lib/y")).expect("a link inside the layer is followed"), b"y");
}

#[test]
fn special_entries_become_what_overlayfs_needs_and_nothing_else() {
    if !super::can_mount("special_entries_become_what_overlayfs_needs_and_nothing_else") {
        return;
    }
    let store = TestStore::new();
    let xattrs = [("user.k", "v\n"), ("trusted.overlay.x", "y"), ("security.other", "1")];
    let xattrs = xattrs.map(|(name, value)| record(&format!("SCHILY.xattr.{name}"), value));
    let tar = RawTar::new()
        .file(".wh.gone", b"")
        .file("dir/.wh..wh..opq", b"")
        .file("both/x", b"x")
        .file(".wh.both", b"")
        .file(".wh.later", b"")
        .file("later/y", b"y")
        .file(".wh..wh.plnk", b"")
        .entry("dev/null", b'3', "", b"")
        .entry("pipe", b'6', "", b"")
        .pax(&xattrs.concat())
        .file("f", b"x");
    let root = unpack(&store, tar.finish());
    assert_eq!(super::names_in(&root), ["both", "dir", "f", "gone", "later", "pipe"]);
    let gone = root.join("gone").symlink_metadata().expect("stat");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(root.join("pipe").symlink_metadata().expect("stat").file_type().is_fifo());
    let attribute = |path: &str, name: &str| {
        let mut value = vec![0; 16];
        let n = rustix::fs::lgetxattr(root.join(path), name, value.as_mut_slice()).ok()?;
        value.truncate(n);
        Some(value)
    };
    for dir in ["dir", "both", "later"] {
        assert_eq!(attribute(dir, "trusted.overlay.opaque").as_deref(), Some(&b"y"[..]), "{dir}");
    }
    assert_eq!(attribute("f", "user.k").as_deref(), Some(&b"v\n"[..]), "a value may have a line break");
    assert_eq!(attribute("f", "trusted.overlay.x"), None);
    assert_eq!(attribute("f", "security.other"), None);
}
