//! Archives that want something else than to be loaded: each is refused with a named entry and a hint, and leaves
//! nothing behind, in the store and outside of it.

use std::io::Write;

use serde_json::json;

use super::archive::{
    Files, RawTar, TestLayer, archive_with_layer, blob, config, docker_files, gzip, manifest, oci_files,
    oci_files_of, pack, record, sha, zero_bomb, zstd,
};
use super::{TestStore, names_in};
use crate::{ContentStore, ImageError, Limits, StoreOptions};

/// Loads, expects an error, and that nothing is left; gives the text of the error and its causes.
fn refused(what: &str, archive: &[u8]) -> String {
    refused_by(&TestStore::new(), what, archive)
}

fn refused_by(store: &TestStore, what: &str, archive: &[u8]) -> String {
    let path = store.dir.path().join("archive.tar");
    let mut file = std::fs::File::create(&path).expect("create");
    file.write_all(archive).expect("write");
    let error = match store.load(&path, None, &|_| {}) {
        Ok(images) => panic!("{what} was loaded: {images:?}"),
        Err(error) => error,
    };
    assert!(error.hint().is_some(), "{what}: no hint for {error:?}");
    assert!(store.list().expect("list").is_empty(), "{what} left an image");
    assert_eq!(store.content(), Vec::<String>::new(), "{what} left files");
    assert_eq!(names_in(store.dir.path()), ["archive.tar", "images"], "{what} wrote outside");
    let mut text = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[test]
fn hostile_entries_in_a_layer_are_named() {
    let layer = RawTar::new;
    let long = "d/".repeat(300);
    for (what, tar, entry, fault) in [
        ("parent", layer().file("../evil", b"x"), "../evil", "climbs out"),
        ("parent inside", layer().file("a/../../evil", b"x"), "a/../../evil", "climbs out"),
        ("absolute", layer().file("/etc/evil", b"x"), "/etc/evil", "absolute path"),
        (
            "absolute symlink",
            layer().symlink("out", "/etc").file("out/evil", b"x"),
            "out/evil",
            "behind a symbolic link",
        ),
        (
            "climbing symlink",
            layer().symlink("d/out", "../..").file("d/out/evil", b"x"),
            "d/out/evil",
            "behind a symbolic link",
        ),
        (
            "chain of symlinks",
            layer().symlink("a", "b").symlink("b", "/etc").file("a/evil", b"x"),
            "a/evil",
            "behind a symbolic link",
        ),
        (
            "symlink loop",
            layer().symlink("a", "b").symlink("b", "a").file("a/x", b"x"),
            "a/x",
            "behind a symbolic link",
        ),
        ("hard link out", layer().hardlink("h", "../../etc/passwd"), "h", "outside the image"),
        ("absolute hard link", layer().hardlink("h", "/etc/passwd"), "h", "outside the image"),
        (
            "hard link through symlink",
            layer().symlink("out", "/etc").hardlink("h", "out/passwd"),
            "h",
            "outside the image",
        ),
        ("hard link to nothing", layer().hardlink("h", "missing"), "h", "not in the layer"),
        ("hard link to directory", layer().dir("d").hardlink("h", "d"), "h", "not in the layer"),
        ("file over directory", layer().file("d/x", b"x").file("d", b"x"), "d", "replaces a directory"),
        ("below a file", layer().file("f", b"x").file("f/x", b"x"), "f/x", "not a directory"),
        ("nested too deeply", layer().file(&format!("{long}x"), b"x"), "d/d/", "nested too deeply"),
        ("long component", layer().file(&"n".repeat(300), b"x"), "nnn", "too long"),
        ("whiteout of the parent", layer().file("d/.wh...", b""), "d/.wh...", "names nothing"),
        ("whiteout of nothing", layer().file(".wh.", b""), ".wh.", "names nothing"),
        ("root as a symlink", layer().symlink("./", "/etc"), "./", "not a usable path"),
        ("sparse", layer().entry("s", b'S', "", b""), "s", "sparse"),
        ("pax sparse", layer().pax(&record("GNU.sparse.major", "1")).file("s", b"x"), "s", "sparse"),
        ("unknown type", layer().entry("v", b'V', "", b""), "v", "type that images do not have"),
        ("pax path", layer().pax(&record("path", "../../evil")).file("ok", b"x"), "../../evil", "climbs out"),
    ] {
        let text = refused(what, &archive_with_layer(tar.finish()));
        assert!(text.contains(entry) && text.contains(fault), "{what}: {text}");
        assert!(text.contains("archive.tar"), "{what}: the archive is not named: {text}");
    }
}

#[test]
fn hostile_entries_of_the_archive_itself_are_named() {
    let good = || RawTar::new().file("index.json", b"{}");
    for (what, tar, entry) in [
        ("parent", good().file("../../evil", b"x"), "../../evil"),
        ("absolute", good().file("/tmp/evil", b"x"), "/tmp/evil"),
        ("symlink out", good().symlink("blobs", "/etc"), "blobs"),
        ("climbing symlink", good().symlink("a/b", "../../etc"), "a/b"),
        ("hard link out", good().hardlink("h", "../x"), "h"),
        ("device", good().entry("dev", b'3', "", b""), "dev"),
        ("pipe", good().entry("pipe", b'6', "", b""), "pipe"),
    ] {
        let text = refused(what, &tar.finish());
        assert!(text.contains(&format!("\"{entry}\"")), "{what}: {text}");
    }
}

#[test]
fn a_gigabyte_of_zeros_is_a_bomb() {
    let blob = zero_bomb();
    assert!(blob.len() < 2 << 20, "the bomb is small: {}", blob.len());
    let diff_id = format!("sha256:{}", "0".repeat(64));
    let layer = TestLayer { blob: blob.clone(), diff_id, media_type: crate::document::OCI_LAYER_GZIP };
    let text = refused("layer bomb", &pack(&oci_files(&[layer], None)));
    assert!(text.contains("bomb") && text.contains(&sha(&blob)), "{text}");
    let text = refused("archive bomb", &blob);
    assert!(text.contains("bomb"), "{text}");
}

#[test]
fn bounds_on_bytes_and_entries_hold() {
    let limits = Limits {
        archive_bytes: 1 << 20,
        archive_entries: 20,
        layer_bytes: 64 << 10,
        layer_entries: 10,
        ratio: 200,
        ratio_floor_bytes: 128 << 10,
    };
    let small = || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = StoreOptions { limits, ..StoreOptions::default() };
        let store = ContentStore::open_with(&dir.path().join("images"), options).expect("open");
        TestStore { store, dir }
    };
    let zeros = vec![0; 900 << 10];
    let many = |n: usize| (0..n).fold(RawTar::new(), |tar, i| tar.file(&format!("f{i}"), b"")).finish();
    for (what, archive, expected) in [
        ("zstd archive bomb", zstd(&RawTar::new().file("z", &zeros).finish()), "bomb"),
        ("gzip archive bomb", gzip(&RawTar::new().file("z", &zeros).finish()), "bomb"),
        ("large archive", RawTar::new().file("z", &vec![7; 2 << 20]).finish(), "limit of 1048576 bytes"),
        ("many files", many(21), "limit of 20 entries"),
        ("many entries", archive_with_layer(many(11)), "limit of 10 entries"),
        (
            "large layer",
            archive_with_layer(RawTar::new().file("z", &zeros[..80 << 10]).finish()),
            "limit of 65536 bytes",
        ),
    ] {
        let text = refused_by(&small(), what, &archive);
        assert!(text.contains(expected), "{what}: {text}");
    }
}

#[test]
fn a_long_extension_header_is_not_read_into_memory() {
    let records = vec![b'x'; 2 << 20];
    let tar = RawTar::new().entry("pax", b'x', "", &records).file("f", b"x").finish();
    assert!(refused("long pax header", &archive_with_layer(tar)).contains("extension header"));
    let tar = RawTar::new().entry("././@LongLink", b'L', "", &records).file("f", b"x").finish();
    assert!(refused("long name", &tar).contains("extension header"));
}

#[test]
fn truncated_archives_are_refused_wherever_they_end() {
    let tar = RawTar::new().file("etc/x", &[1; 3000]).finish();
    for archive in [
        pack(&oci_files(&[TestLayer::plain(tar.clone())], Some("a:1"))),
        pack(&docker_files(&[TestLayer::plain(tar.clone())], &["a:1"])),
        gzip(&pack(&oci_files(&[TestLayer::gzip(&tar)], Some("a:1")))),
        zstd(&pack(&oci_files(&[TestLayer::zstd(&tar)], Some("a:1")))),
    ] {
        // A plain tar without its 1024 zero bytes at the end is complete.
        let end =
            if archive.starts_with(&[0x1f, 0x8b]) || archive.starts_with(&[0x28, 0xb5]) { 1 } else { 1536 };
        let last = archive.len() - end;
        for cut in (0..last).step_by(last / 23 + 1).chain([last]) {
            refused(&format!("{cut} of {} bytes", archive.len()), &archive[..cut]);
        }
    }
    let mut layer = TestLayer::gzip(&tar);
    layer.blob.truncate(layer.blob.len() - 20);
    assert!(refused("truncated layer", &pack(&oci_files(&[layer], None))).contains("cut off"));
}

fn edited(edit: impl FnOnce(&mut Files)) -> Vec<u8> {
    let mut files = oci_files(&[TestLayer::plain(RawTar::new().file("f", b"x").finish())], Some("a:1"));
    edit(&mut files);
    pack(&files)
}

#[test]
fn content_that_does_not_fit_its_name_is_refused() {
    let layer = TestLayer::plain(RawTar::new().file("f", b"x").finish());
    let lie = TestLayer { diff_id: format!("sha256:{}", "1".repeat(64)), ..layer.clone() };
    let gzip_lie = TestLayer { diff_id: lie.diff_id.clone(), ..TestLayer::gzip(&layer.blob) };
    let flip = |n: usize| edited(|files| *files[n].1.last_mut().expect("content") ^= 1);
    let mut not_config = docker_files(std::slice::from_ref(&layer), &["a:1"]);
    not_config[0].1.push(b' ');
    for (what, archive, expected) in [
        ("layer", flip(4), "has the digest"),
        ("config", flip(3), "has the digest"),
        ("manifest", flip(2), "has the digest"),
        ("diff id", pack(&oci_files(std::slice::from_ref(&lie), None)), "but the image says"),
        ("diff id of gzip", pack(&oci_files(&[gzip_lie], None)), "but the image says"),
        ("diff id in docker archive", pack(&docker_files(&[lie], &["a:1"])), "but the image says"),
        ("docker config name", pack(&not_config), "has the digest"),
        ("missing layer", edited(|files| drop(files.remove(4))), "is missing"),
        ("missing config", edited(|files| drop(files.remove(3))), "is missing"),
        ("missing manifest", edited(|files| drop(files.remove(2))), "is missing"),
    ] {
        let text = refused(what, &archive);
        assert!(text.contains(expected), "{what}: {text}");
    }
}

/// A layout whose manifest is changed, with digests that fit.
fn with_manifest(change: impl FnOnce(&mut serde_json::Value, &mut serde_json::Value)) -> Vec<u8> {
    let layers = [TestLayer::plain(RawTar::new().file("f", b"x").finish())];
    let mut config_doc = config(&layers);
    let mut doc = manifest(config_doc.to_string().as_bytes(), &layers);
    change(&mut doc, &mut config_doc);
    let config = config_doc.to_string().into_bytes();
    if doc["config"]["size"] != json!(1) {
        doc["config"]["digest"] = json!(format!("sha256:{}", sha(&config)));
        doc["config"]["size"] = json!(config.len());
    }
    pack(&oci_files_of(&config, doc.to_string().as_bytes(), &layers, None))
}

#[test]
fn malformed_documents_are_refused() {
    let index = |bytes: Vec<u8>| edited(|files| files[1].1 = bytes);
    let nested = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (what, archive, expected) in [
        ("empty file", Vec::new(), "has no files"),
        ("not an archive", b"hello, this is a text file and no archive at all".repeat(30), "not a tar file"),
        ("short text", b"hello".to_vec(), "cut off"),
        ("no image", RawTar::new().file("readme", b"x").finish(), "neither index.json nor manifest.json"),
        ("index not json", index(b"{".to_vec()), "index.json is malformed"),
        ("index of nothing", index(b"{\"manifests\":[]}".to_vec()), "lists no image"),
        ("deep json", index(nested.clone().into_bytes()), "index.json is malformed"),
        ("huge index", index(vec![b' '; 5 << 20]), "limit of 4194304 bytes"),
        (
            "bad digest",
            index(br#"{"manifests":[{"mediaType":"","digest":"sha256:../../x","size":1}]}"#.to_vec()),
            "malformed",
        ),
        ("docker list", RawTar::new().file("manifest.json", b"{}").finish(), "manifest.json is malformed"),
        (
            "docker path out",
            RawTar::new().file("manifest.json", br#"[{"Config":"../../etc/passwd","Layers":[]}]"#).finish(),
            "climbs out",
        ),
        ("config size", with_manifest(|m, _| m["config"]["size"] = json!(1)), "bytes, its descriptor says 1"),
        ("huge config", with_manifest(|_, c| c["x"] = json!("y".repeat(5 << 20))), "limit of 4194304 bytes"),
        ("layer type", with_manifest(|m, _| m["layers"][0]["mediaType"] = json!("text/html")), "text/html"),
        (
            "config type",
            with_manifest(|m, _| m["config"]["mediaType"] = json!("application/vnd.x")),
            "application/vnd.x",
        ),
        ("diff ids", with_manifest(|_, c| c["rootfs"]["diff_ids"] = json!([])), "0 diff ids for 1 layers"),
        ("diff id text", with_manifest(|_, c| c["rootfs"]["diff_ids"] = json!(["sha256:1"])), "malformed"),
        ("platform", with_manifest(|_, c| c["architecture"] = json!("s390x")), "it has linux/s390x"),
        (
            "layers",
            with_manifest(|m, _| m["layers"] = json!(vec![m["layers"][0].clone(); 501])),
            "limit of 500 layers",
        ),
    ] {
        let text = refused(what, &archive);
        assert!(text.contains(expected), "{what}: {text}");
    }
}

#[test]
fn indexes_that_go_round_or_fan_out_end() {
    let leaf = oci_files(&[TestLayer::plain(RawTar::new().finish())], None);
    let mut files = leaf.clone();
    let mut descriptor: serde_json::Value =
        serde_json::from_slice::<serde_json::Value>(&leaf[1].1).expect("json")["manifests"][0].clone();
    for _ in 0..6 {
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string();
        let (file, next) = blob(crate::document::OCI_INDEX, index.as_bytes());
        files.push(file);
        descriptor = next;
    }
    files[1].1 = json!({"manifests": [descriptor]}).to_string().into_bytes();
    assert!(refused("deep index", &pack(&files)).contains("limit of 4 levels"));

    let mut files = leaf.clone();
    let mut descriptor =
        serde_json::from_slice::<serde_json::Value>(&leaf[1].1).expect("json")["manifests"][0].clone();
    for _ in 0..3 {
        let index = json!({"schemaVersion": 2, "manifests": vec![descriptor; 100]}).to_string();
        let (file, next) = blob(crate::document::OCI_INDEX, index.as_bytes());
        files.push(file);
        descriptor = next;
    }
    files[1].1 = json!({"manifests": [descriptor]}).to_string().into_bytes();
    let text = refused("wide index", &pack(&files));
    assert!(text.contains("limit of"), "{text}");
}

#[test]
fn a_directory_cannot_lead_out_by_symbolic_links() {
    let store = TestStore::new();
    let layout = store.dir.path().join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).expect("create");
    for (name, content) in oci_files(&[TestLayer::plain(RawTar::new().finish())], None) {
        std::fs::File::create(layout.join(name)).and_then(|mut f| f.write_all(&content)).expect("write");
    }
    let index = layout.join("index.json");
    let outside = store.dir.path().join("secret.json");
    std::fs::rename(&index, &outside).expect("rename");
    std::os::unix::fs::symlink("../secret.json", &index).expect("symlink");
    let error = store.load(&layout, None, &|_| {}).expect_err("led out");
    let ImageError::Load { source, .. } = error else { panic!("{error:?}") };
    assert!(
        matches!(*source, ImageError::HostileEntry { ref entry, .. } if entry == "index.json"),
        "{source:?}"
    );

    std::fs::remove_file(&index).expect("remove");
    nix::unistd::mkfifo(&index, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    assert!(store.load(&layout, None, &|_| {}).is_err(), "a pipe was read");
    assert_eq!(store.content(), Vec::<String>::new());
}
