//! Good archives of every kind give the same image.

use std::cell::RefCell;
use std::io::Write;

use serde_json::json;

use super::archive::{
    Files, RawTar, TestLayer, blob, config, docker_files, gzip, manifest, oci_files, pack, sha, zstd,
};
use super::{TestStore, reference};
use crate::{ImageDigest, ImageError, LoadProgress};

fn layers() -> [TestLayer; 3] {
    [
        TestLayer::plain(RawTar::new().dir("etc").file("etc/x", b"one").finish()),
        TestLayer::gzip(&RawTar::new().file("./etc/y", b"two").finish()),
        TestLayer::zstd(&RawTar::new().file("etc/.wh.x", b"").finish()),
    ]
}

fn load(store: &TestStore, archive: &[u8]) -> Vec<crate::ImageRecord> {
    store.load_reader(archive, None, &|_| {}).expect("load")
}

#[test]
fn every_form_of_a_layout_gives_the_same_image() {
    let files = oci_files(&layers(), Some("docker.io/library/web:1"));
    let tar = pack(&files);
    let reversed: Files = files.iter().rev().cloned().collect();
    let mut digests = Vec::new();
    for archive in [tar.clone(), gzip(&tar), zstd(&tar), pack(&reversed)] {
        let store = TestStore::new();
        let images = load(&store, &archive);
        let [image] = &images[..] else { panic!("{images:?}") };
        assert_eq!(image.names, ["web:1"]);
        assert_eq!(image.config.env, ["PATH=/bin"]);
        assert_eq!(image.config.cmd, ["/run"]);
        assert_eq!(image.config.exposed_ports, ["80/tcp"]);
        assert_eq!(image.layers.len(), 3);
        assert_eq!(image.created.map(jiff::Timestamp::as_second), Some(1_714_979_289));
        assert_eq!(store.get(&reference("web:1")).expect("get").as_ref(), Some(image));
        assert_eq!(store.by_digest(&image.digest).expect("get").as_ref(), Some(image));
        assert_eq!(super::names_in(&store.root().join("tmp")), Vec::<String>::new());
        digests.push(image.digest.clone());
    }
    let store = TestStore::new();
    let dir = store.dir.path().join("layout");
    std::fs::create_dir_all(dir.join("blobs/sha256")).expect("create");
    for (name, content) in &files {
        std::fs::File::create(dir.join(name)).and_then(|mut f| f.write_all(content)).expect("write");
    }
    digests.push(store.load(&dir, None, &|_| {}).expect("load")[0].digest.clone());
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
    assert_eq!(digests[0].hex(), sha(&files[2].1), "the digest is that of the manifest as it came");
}

#[test]
fn a_classic_docker_archive_is_loaded_with_its_tags() {
    let plain = [layers()[0].clone(), layers()[0].clone()];
    let store = TestStore::new();
    let images = load(&store, &pack(&docker_files(&plain, &["app:1", "team/app:2", "not a name"])));
    assert_eq!(images[0].names, ["app:1", "team/app:2"]);
    assert_eq!(images[0].layers.len(), 2);
    // Loading it again changes nothing, and the same archive elsewhere gives the same digest.
    let again = load(&store, &gzip(&pack(&docker_files(&plain, &["app:1"]))));
    assert_eq!(again[0].digest, images[0].digest);
    assert_eq!(store.list().expect("list").len(), 1);
    assert_eq!(load(&TestStore::new(), &pack(&docker_files(&plain, &[])))[0].digest, images[0].digest);
}

#[test]
fn docker_archives_link_equal_layers() {
    let layer = layers()[0].clone();
    let files = docker_files(&[layer.clone(), layer], &["app:1"]);
    let tar = files.iter().fold(RawTar::new(), |tar, (name, content)| {
        if name.starts_with("000") && name.contains("1/layer") {
            tar.symlink(name, &format!("../{:064}/layer.tar", 0))
        } else {
            tar.file(name, content)
        }
    });
    assert_eq!(load(&TestStore::new(), &tar.finish())[0].layers.len(), 2);
}

#[test]
fn a_layout_inside_docker_save_takes_the_tags_beside_it() {
    let mut files = oci_files(&layers(), Some("latest"));
    let config_path = &files[3].0;
    let list = json!([{"Config": config_path, "RepoTags": ["shop:7"], "Layers": []}]);
    files.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
    let images = load(&TestStore::new(), &pack(&files));
    assert_eq!(images[0].names, ["shop:7"], "a bare tag names nothing");
}

#[test]
fn the_image_of_this_platform_is_chosen_from_an_index() {
    let files = oci_files(&layers(), None);
    let mut own: serde_json::Value =
        serde_json::from_slice::<serde_json::Value>(&files[1].1).expect("json")["manifests"][0].clone();
    own["platform"] = json!({"os": "linux", "architecture": crate::Platform::host().architecture});
    // The other platform's manifest is not in the archive, as in archives of one platform.
    let other = json!({"mediaType": crate::document::OCI_MANIFEST, "digest": format!("sha256:{}", "5".repeat(64)), "size": 7,
        "platform": {"os": "linux", "architecture": "mips64le"}});
    let attestation = json!({"mediaType": crate::document::OCI_MANIFEST, "digest": format!("sha256:{}", "6".repeat(64)), "size": 7,
        "platform": {"os": "unknown", "architecture": "unknown"}, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}});
    let index = |manifests: serde_json::Value| {
        let inner = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        let (file, mut descriptor) = blob(crate::document::OCI_INDEX, inner.as_bytes());
        descriptor["annotations"] = json!({"io.containerd.image.name": "docker.io/library/multi:1"});
        let mut files = files.clone();
        files[1].1 = json!({"manifests": [descriptor]}).to_string().into_bytes();
        files.push(file);
        (pack(&files), ImageDigest::parse(descriptor["digest"].as_str().expect("text")).expect("digest"))
    };
    let (archive, index_digest) = index(json!([other.clone(), own, attestation]));
    let store = TestStore::new();
    let images = load(&store, &archive);
    assert_eq!(images[0].names, ["multi:1"]);
    let by_index = store.by_digest(&index_digest).expect("get").expect("found by the digest of its index");
    assert_eq!(by_index.digest, images[0].digest);

    let (archive, _) = index(json!([other]));
    let error = TestStore::new().load_reader(&archive[..], None, &|_| {}).expect_err("no such platform");
    assert!(
        matches!(error, ImageError::PlatformMissing { ref available, .. } if available[..] == ["linux/mips64le"]),
        "{error:?}"
    );
}

#[test]
fn a_name_can_be_given_to_a_single_image() {
    let one = pack(&oci_files(&layers(), Some("a:1")));
    let store = TestStore::new();
    let images = store.load_reader(&one[..], Some(&reference("mine:2")), &|_| {}).expect("load");
    assert_eq!(images[0].names, ["mine:2"]);

    let two = [TestLayer::plain(RawTar::new().file("other", b"").finish())];
    let config = config(&two).to_string().into_bytes();
    let manifest_bytes = manifest(&config, &two).to_string().into_bytes();
    let mut files = oci_files(&layers(), Some("a:1"));
    let (file, mut descriptor) = blob(crate::document::OCI_MANIFEST, &manifest_bytes);
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "b:1"});
    let mut index: serde_json::Value = serde_json::from_slice(&files[1].1).expect("json");
    index["manifests"].as_array_mut().expect("array").push(descriptor);
    files[1].1 = index.to_string().into_bytes();
    files.extend([file, blob("", &config).0, blob("", &two[0].blob).0]);
    let archive = pack(&files);
    let error = store.load_reader(&archive[..], Some(&reference("mine:2")), &|_| {}).expect_err("two images");
    assert!(matches!(error, ImageError::AmbiguousName { count: 2 }), "{error:?}");
    let names: Vec<String> = load(&store, &archive).into_iter().flat_map(|i| i.names).collect();
    assert!(names.contains(&"a:1".to_owned()) && names.contains(&"b:1".to_owned()), "{names:?}");
}

#[test]
fn progress_reaches_the_end() {
    let store = TestStore::new();
    let layer = TestLayer::plain(RawTar::new().file("big", &vec![3; 3 << 20]).finish());
    let path = store.dir.path().join("a.tar");
    let archive = pack(&oci_files(&[layer], Some("a:1")));
    std::fs::File::create(&path).and_then(|mut f| f.write_all(&archive)).expect("write");
    let seen = RefCell::new(Vec::new());
    store.load(&path, None, &|p| seen.borrow_mut().push(p)).expect("load");
    let seen = seen.into_inner();
    let total = archive.len() as u64;
    assert!(seen.contains(&LoadProgress::Reading { bytes: total, total: Some(total) }), "{seen:?}");
    assert!(seen.contains(&LoadProgress::Verifying { layer: 1, layers: 1 }));
    assert_eq!(seen.last(), Some(&LoadProgress::Loaded { image: "a:1".to_owned() }));
}

#[test]
fn scanners_get_the_facts_of_a_layer() {
    let tar = RawTar::new()
        .file("./var/lib/dpkg/status", b"Package: old\nVersion: 1\n")
        .file("var/lib/dpkg/status", b"Package: x\nVersion: 2\n")
        .file("opt/store/1", b"{}")
        .hardlink("opt/node_modules/a/package.json", "opt/store/1")
        .file("etc/alpine-release", b"3.20.1")
        .hardlink("etc/debian_version", "etc/alpine-release")
        .symlink("etc/os-release", "../usr/lib/os-release")
        .file("opt/.wh.gone", b"")
        .file("srv/.wh..wh..opq", b"")
        .file("unwanted", b"u")
        .finish();
    let store = TestStore::new();
    let image = load(&store, &pack(&oci_files(&[TestLayer::gzip(&tar)], None))).remove(0);
    let diff_id = &image.layers[0].diff_id;
    let facts = store.layer_facts(diff_id).expect("read");
    assert_eq!(facts.diff_id, diff_id.as_str());
    let names: Vec<&str> = facts.files.keys().map(String::as_str).collect();
    let want = [
        "etc/alpine-release",
        "etc/debian_version",
        "opt/node_modules/a/package.json",
        "var/lib/dpkg/status",
    ];
    assert_eq!(names, want);
    let packages: Vec<&str> =
        facts.files["var/lib/dpkg/status"].packages.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(packages, ["x"]);
    assert_eq!(facts.links["etc/os-release"], "../usr/lib/os-release");
    assert_eq!(facts.removed, ["opt/gone"]);
    assert_eq!(facts.opaque, ["srv"]);
    assert_eq!(
        facts.files["opt/node_modules/a/package.json"].warnings,
        ["opt/node_modules/a/package.json was not read: it is a hard link to opt/store/1"]
    );
    let unknown = crate::LayerDiffId::parse(&format!("sha256:{}", "0".repeat(64))).expect("diff id");
    assert!(matches!(store.layer_facts(&unknown), Err(ImageError::LayerNotFound { .. })));
}
