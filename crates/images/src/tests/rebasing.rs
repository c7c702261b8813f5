//! Rebase, from real images to a mounted result.

use super::{TestStore, can_mount, in_mount_namespace, reference};
use crate::{
    ImageBuilder, ImageDigest, ImageRecord, LayerBuilder, LayerCompression, Platform, REBASED_FROM,
    REBASED_NEW_BASE, REBASED_OLD_BASE, RebaseRefusal,
};

fn base_layer(version: &str) -> LayerBuilder {
    LayerBuilder::new()
        .file("var/lib/dpkg/status", 0o644, format!("Package: zlib\nVersion: {version}\n"))
        .file("usr/lib/libz.so", 0o644, version)
        .file("etc/motd", 0o644, "welcome")
        .dir("app", 0o755)
}

fn base(store: &TestStore, version: &str) -> ImageRecord {
    ImageBuilder::from_scratch()
        .add_layer(base_layer(version))
        .env("PATH", "/usr/bin")
        .env("ZLIB_VERSION", version)
        .cmd(["sh"])
        .label("version", version)
        .commit(store, &reference(&format!("base:{version}")))
        .expect("commit")
}

fn app_on(store: &TestStore, base: &ImageRecord, layer: LayerBuilder) -> ImageRecord {
    ImageBuilder::from_image(base)
        .add_layer(layer)
        .env("PATH", "/app:/usr/bin")
        .entrypoint(["/app/run"])
        .label("team", "shop")
        .commit(store, &reference("app:1"))
        .expect("commit")
}

fn simple_app() -> LayerBuilder {
    LayerBuilder::new().file("app/run", 0o755, "run").file("etc/motd", 0o644, "welcome")
}

#[test]
fn a_safe_application_moves_to_the_new_base() {
    let store = TestStore::new();
    let (old, new) = (base(&store, "1"), base(&store, "2"));
    let app = app_on(&store, &old, simple_app());
    let plan = store.check_rebase(&app.digest, &old.digest, &new.digest).expect("plan");
    assert_eq!(plan.kept_layers, [app.layers[1].diff_id.clone()]);
    assert_eq!(plan.dropped_layers, [old.layers[0].diff_id.clone()]);
    let fields: Vec<&str> = plan.changes.iter().map(|c| c.field.as_str()).collect();
    assert_eq!(fields, ["Env ZLIB_VERSION", "Labels version"]);
    assert_eq!(plan.conflicts, Vec::<String>::new());

    let moved =
        store.rebase(&app.digest, &old.digest, &new.digest, &reference("app:1-fixed")).expect("rebase");
    let ids: Vec<&str> = moved.layers.iter().map(|l| l.diff_id.as_str()).collect();
    assert_eq!(ids, [new.layers[0].diff_id.as_str(), app.layers[1].diff_id.as_str()]);
    assert_eq!(moved.config.env, ["PATH=/app:/usr/bin", "ZLIB_VERSION=2"]);
    assert_eq!(moved.config.entrypoint, ["/app/run"]);
    assert_eq!(moved.config.cmd, ["sh"]);
    assert_eq!(
        (moved.config.labels["team"].as_str(), moved.config.labels["version"].as_str()),
        ("shop", "2")
    );
    assert_eq!(moved.names, ["app:1-fixed"]);
    for (key, value) in [
        ("org.opencontainers.image.base.name", "base:2"),
        ("org.opencontainers.image.base.digest", new.digest.as_str()),
        (REBASED_FROM, app.digest.as_str()),
        (REBASED_OLD_BASE, old.digest.as_str()),
        (REBASED_NEW_BASE, new.digest.as_str()),
    ] {
        assert_eq!(moved.annotations[key], value, "{key}");
    }
    let history = store.inspect(&moved.digest).expect("inspect").config["history"].clone();
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    assert_eq!(
        store.bases_of(&moved.digest).into_iter().map(|b| b.digest).collect::<Vec<_>>(),
        std::slice::from_ref(&new.digest)
    );
    assert_eq!(store.by_digest(&app.digest).expect("get").expect("kept").names, ["app:1"]);

    // The same elsewhere, and again here, gives the same image.
    let elsewhere = TestStore::new();
    let (old2, new2) = (base(&elsewhere, "1"), base(&elsewhere, "2"));
    let app2 = app_on(&elsewhere, &old2, simple_app());
    let twin = elsewhere.rebase(&app2.digest, &old2.digest, &new2.digest, &reference("x:1")).expect("rebase");
    assert_eq!(twin.digest, moved.digest);

    if can_mount("a_safe_application_moves_to_the_new_base (mounting it)") {
        in_mount_namespace(|| {
            let rootfs = store.prepare("moved", &moved.digest).expect("prepare").rootfs;
            assert_eq!(std::fs::read(rootfs.join("usr/lib/libz.so")).expect("read"), b"2");
            assert_eq!(std::fs::read(rootfs.join("app/run")).expect("read"), b"run");
            store.release("moved").expect("release");
        });
    }
}

#[test]
fn unsafe_applications_stay_where_they_are() {
    let store = TestStore::new();
    let (old, new) = (base(&store, "1"), base(&store, "2"));
    for (layer, expected) in [
        (LayerBuilder::new().file("var/lib/dpkg/status", 0o644, "x"), "package database var/lib/dpkg/status"),
        (
            LayerBuilder::new().file("var/lib/dpkg/status.d/app", 0o644, "x"),
            "package database var/lib/dpkg/status.d/app",
        ),
        (
            LayerBuilder::new().file("lib/apk/db/installed", 0o644, "x"),
            "package database lib/apk/db/installed",
        ),
        (LayerBuilder::new().whiteout("var/lib"), "package database var/lib/dpkg/status"),
        (LayerBuilder::new().opaque("var"), "package database var/lib/dpkg/status"),
        (LayerBuilder::new().file("etc/motd", 0o644, "other"), "overwrites or removes etc/motd"),
        (LayerBuilder::new().file("etc/motd", 0o600, "welcome"), "overwrites or removes etc/motd"),
        (LayerBuilder::new().symlink("etc/motd", "x"), "overwrites or removes etc/motd"),
        (LayerBuilder::new().whiteout("etc/motd"), "overwrites or removes etc/motd"),
        (LayerBuilder::new().whiteout("etc"), "overwrites or removes etc"),
        (LayerBuilder::new().opaque("etc"), "overwrites or removes etc/motd"),
        (LayerBuilder::new().file("app", 0o755, "x"), "overwrites or removes app"),
        (LayerBuilder::new().file("etc/motd/x", 0o644, "x"), "overwrites or removes etc/motd"),
        // The same file as the old base's would hide the fix.
        (LayerBuilder::new().file("usr/lib/libz.so", 0o644, "1"), "hide usr/lib/libz.so of the new base"),
    ] {
        let app = app_on(&store, &old, layer);
        let before = store.list().expect("list").len();
        let refusal =
            store.rebase(&app.digest, &old.digest, &new.digest, &reference("no:1")).expect_err(expected);
        assert!(refusal.to_string().contains(expected), "{refusal} is not {expected}");
        assert!(refusal.hint().is_some());
        assert_eq!(store.list().expect("list").len(), before, "nothing is stored");
    }
}

#[test]
fn images_that_do_not_belong_together_are_refused() {
    let store = TestStore::new();
    let (old, new) = (base(&store, "1"), base(&store, "2"));
    let app = app_on(&store, &old, simple_app());
    let arm = Platform { os: "linux".to_owned(), architecture: "riscv64".to_owned(), variant: None };
    let foreign = ImageBuilder::from_scratch()
        .platform(arm)
        .add_layer(base_layer("3"))
        .commit(&store, &reference("foreign:1"))
        .expect("commit");
    let empty = ImageBuilder::from_scratch().commit(&store, &reference("empty:1")).expect("commit");
    let unknown = ImageDigest::parse(&format!("sha256:{}", "0".repeat(64))).expect("digest");
    let check =
        |a: &ImageDigest, o: &ImageDigest, n: &ImageDigest| store.check_rebase(a, o, n).expect_err("refusal");
    let (a, o, n) = (&app.digest, &old.digest, &new.digest);
    assert!(matches!(check(a, n, o), RebaseRefusal::NotABase { .. }));
    assert!(matches!(check(a, a, n), RebaseRefusal::NotABase { .. }));
    assert!(matches!(check(a, &empty.digest, n), RebaseRefusal::NotABase { .. }));
    assert!(matches!(check(a, o, o), RebaseRefusal::SameBase { .. }));
    assert!(matches!(check(a, o, &foreign.digest), RebaseRefusal::PlatformDiffers { .. }));
    assert!(matches!(check(a, o, &unknown), RebaseRefusal::Image(_)));
}

#[test]
fn bases_match_by_diff_id_and_the_longest_comes_first() {
    let store = TestStore::new();
    let plain = base(&store, "1");
    let recompressed = ImageBuilder::from_scratch()
        .add_layer(base_layer("1").compression(LayerCompression::Gzip))
        .commit(&store, &reference("base:gz"))
        .expect("commit");
    assert_ne!(plain.layers[0].blob_digest, recompressed.layers[0].blob_digest);
    let middle = app_on(&store, &plain, simple_app());
    let top = ImageBuilder::from_image(&middle)
        .add_layer(LayerBuilder::new().file("app/top", 0o644, "x"))
        .commit(&store, &reference("top:1"))
        .expect("commit");
    let names: Vec<Vec<String>> = store.bases_of(&top.digest).into_iter().map(|b| b.names).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(names[0], ["app:1"]);
    let new = base(&store, "2");
    store
        .rebase(&top.digest, &recompressed.digest, &new.digest, &reference("top:2"))
        .expect("a recompressed base matches");
}
