//! Building is deterministic.

use std::io::Write;

use super::{TestStore, reference};
use crate::{ImageBuilder, ImageError, LayerBuilder, LayerCompression};

fn build(store: &TestStore, layer: LayerBuilder) -> Result<crate::ImageRecord, ImageError> {
    ImageBuilder::from_scratch()
        .add_layer(layer)
        .env("A", "1")
        .env("A", "2")
        .cmd(["/run"])
        .label("l", "v")
        .annotation("x", "y")
        .expose("80/tcp")
        .commit(store, &reference("built:1"))
}

#[test]
fn the_same_content_gives_the_same_image_in_any_order_and_from_any_source() {
    let (one, two) = (TestStore::new(), TestStore::new());
    let source = one.dir.path().join("source");
    let content = vec![42; 3_000_000];
    std::fs::File::create(&source).and_then(|mut f| f.write_all(&content)).expect("write");
    for compression in [LayerCompression::None, LayerCompression::Gzip] {
        let long = format!("long/{}", "n".repeat(150));
        let a = LayerBuilder::new()
            .compression(compression)
            .file_from("/bin/app", 0o4755, &source)
            .file(&long, 0o600, "x")
            .symlink("bin/sh", "app");
        let b = LayerBuilder::new()
            .compression(compression)
            .symlink("bin/sh", "app")
            .file(&long, 0o600, "x")
            .dir("bin", 0o755)
            .file("bin/app", 0o4755, content.clone());
        let (a, b) = (build(&one, a).expect("build"), build(&two, b).expect("build"));
        assert_eq!(a.digest, b.digest, "{compression:?}");
        assert_eq!(a.config.env, ["A=2"]);
        assert_eq!(a.created, Some(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(
            a.layers[0].diff_id.as_str() == a.layers[0].blob_digest.as_str(),
            compression == LayerCompression::None
        );
    }
    let other = build(&two, LayerBuilder::new().file("bin/app", 0o755, content)).expect("build");
    assert_ne!(other.digest, one.list().expect("list")[0].digest, "the mode counts");
}

#[test]
fn a_known_image_has_a_known_digest() {
    let store = TestStore::new();
    let layer =
        LayerBuilder::new().owner(1000, 1000).file("app/run", 0o755, "#!\n").whiteout("old").opaque("etc");
    let platform =
        crate::Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None };
    let image = ImageBuilder::from_scratch()
        .platform(platform)
        .add_layer(layer)
        .entrypoint(["/app/run"])
        .commit(&store, &reference("known:1"))
        .expect("commit");
    insta::assert_snapshot!(image.digest, @"sha256:495bad4b80a864b2d2de0f60286ff8e1b7fee5a39c5e75d0e7790b82b73ccae3");
}

#[test]
fn an_image_on_a_base_has_its_layers_configuration_and_name() {
    let store = TestStore::new();
    let base = ImageBuilder::from_scratch()
        .add_layer(
            LayerBuilder::new().dir("tmp", 0o1777).owner(7, 8).dir("srv", 0o750).file("etc/x", 0o644, "x"),
        )
        .env("PATH", "/bin")
        .label("base", "1")
        .commit(&store, &reference("base:1"))
        .expect("commit");
    let app = ImageBuilder::from_image(&base)
        .add_layer(LayerBuilder::new().file("tmp/t", 0o644, "t").file("srv/s", 0o644, "s"))
        .env("OWN", "1")
        .working_dir("/srv")
        .user("7:8")
        .stop_signal("SIGINT")
        .commit(&store, &reference("app:1"))
        .expect("commit");
    assert_eq!(app.layers[0], base.layers[0]);
    assert_eq!(app.config.env, ["PATH=/bin", "OWN=1"]);
    assert_eq!(app.config.labels["base"], "1");
    assert_eq!(app.annotations["org.opencontainers.image.base.name"], "base:1");
    assert_eq!(app.annotations["org.opencontainers.image.base.digest"], base.digest.as_str());
    // Directories that the layer only implies keep what the base gave them.
    let tree = store.tree(&app.layers).expect("tree");
    assert_eq!(tree.get(b"tmp").map(|n| n.mode), Some(0o1777));
    assert_eq!(tree.get(b"srv").map(|n| (n.mode, n.uid, n.gid)), Some((0o750, 7, 8)));
    let inspected = store.inspect(&app.digest).expect("inspect");
    assert_eq!(inspected.config["history"].as_array().map(Vec::len), Some(2));
    assert_eq!(inspected.config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(2));
    assert_eq!(store.bases_of(&app.digest), [base]);
}

#[test]
fn unusable_paths_are_named() {
    let store = TestStore::new();
    for (layer, path) in [
        (LayerBuilder::new().file("../x", 0o644, ""), "../x"),
        (LayerBuilder::new().dir("/", 0o755), "/"),
        (LayerBuilder::new().file("a/.wh.b", 0o644, ""), "a/.wh.b"),
        (LayerBuilder::new().file("a", 0o644, "").file("a/b", 0o644, ""), "a/b"),
        (LayerBuilder::new().whiteout(".."), ".."),
    ] {
        let error = build(&store, layer).expect_err(path);
        assert!(matches!(&error, ImageError::BadLayerPath { path: p, .. } if p == path), "{error:?}");
    }
    let missing = build(&store, LayerBuilder::new().file_from("a", 0o644, &store.dir.path().join("nothing")));
    assert!(
        matches!(missing, Err(ImageError::Io { ref path, .. }) if path.ends_with("nothing")),
        "{missing:?}"
    );
    assert_eq!(store.content(), Vec::<String>::new());
}

#[test]
fn an_image_without_layers_is_an_image() {
    let store = TestStore::new();
    let empty =
        ImageBuilder::from_scratch().cmd(["/x"]).commit(&store, &reference("empty:1")).expect("commit");
    assert_eq!(empty.layers.len(), 0);
    let app = store.image("app:1", "etc/alpine-release", "3.20.1");
    assert_eq!(store.bases_of(&app.digest), []);
    let facts = store.layer_facts(&app.layers[0].diff_id).expect("read");
    assert_eq!(facts.files["etc/alpine-release"].text, "3.20.1");
}
