//! Images and manifests for whole-system tests. The program in the images is the konzert binary itself, which is static
//! and has a small server, a waiting worker and a task in it.

use std::io::Write as _;
use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use konzert_images::{ContentStore, Force, ImageBuilder, ImageRecord, LayerBuilder, Reference};
use serde_json::{Value, json};

/// A version of the sample library that the sample advisory names, and the first one that it does not.
pub(crate) const VULNERABLE: &str = "1.4.2-1";
pub(crate) const FIXED: &str = "1.4.2-1+deb12u1";

/// The content store below a data directory, which an engine may be using at the same time.
pub(crate) fn images(data: &Path) -> ContentStore {
    std::fs::create_dir_all(data).unwrap();
    ContentStore::open(&data.join("images")).unwrap()
}

/// Builds `test/base:<tag>` with a package database that has the sample library in it.
pub(crate) fn build_base(store: &ContentStore, tag: &str, samplelib: &str) -> ImageRecord {
    let status = format!(
        "Package: libsample1\nStatus: install ok installed\nArchitecture: amd64\nSource: samplelib\nVersion: {samplelib}\n"
    );
    let layer = LayerBuilder::new()
        .file("etc/os-release", 0o644, &b"ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n"[..])
        .file("etc/passwd", 0o644, &b"root:x:0:0:root:/root:/bin/app\n"[..])
        .file("var/lib/dpkg/status", 0o644, status)
        .file("usr/lib/libsample.so.1", 0o644, samplelib)
        .dir("tmp", 0o1777);
    let builder = ImageBuilder::from_scratch().add_layer(layer).env("PATH", "/bin").env("SAMPLE_BASE", tag);
    builder.commit(store, &reference(&format!("test/base:{tag}"))).unwrap()
}

/// Builds `test/<name>:1.0` on a base for every name; it runs `/bin/app sample <mode> <name>`.
pub(crate) fn build_apps(
    store: &ContentStore,
    base: &ImageRecord,
    program: &Path,
    mode: &str,
    names: &[&str],
) -> Vec<ImageRecord> {
    // The program is large: it is read and hashed once, for an image that is only there to be built on.
    let loaded = loaded_part(program);
    let stage = ImageBuilder::from_image(base)
        .add_layer(LayerBuilder::new().file_from("bin/app", 0o755, loaded.path()))
        .entrypoint(["/bin/app", "sample"])
        .commit(store, &reference("test/stage:1.0"))
        .unwrap();
    let build = |name: &&str| {
        ImageBuilder::from_image(&stage)
            .add_layer(LayerBuilder::new().file("etc/app/name", 0o644, *name))
            .cmd([mode, name])
            .commit(store, &reference(&format!("test/{name}:1.0")))
            .unwrap()
    };
    let built = names.iter().map(build).collect();
    store.remove(&stage.digest, Force::No).unwrap();
    built
}

/// The part of a static 64-bit ELF program that is loaded when it runs. Debug information lies behind it, and would be a
/// third of every layer.
fn loaded_part(program: &Path) -> tempfile::NamedTempFile {
    let mut bytes = std::fs::read(program).unwrap();
    let number = |at: usize, size: usize| {
        let mut raw = [0; 8];
        raw[..size].copy_from_slice(&bytes[at..at + size]);
        usize::try_from(u64::from_le_bytes(raw)).unwrap()
    };
    let (headers, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    let ends =
        (0..count).map(|index| headers + index * size).map(|at| number(at + 0x08, 8) + number(at + 0x20, 8));
    let end = ends.max().unwrap();
    bytes.truncate(end);
    // There is no section table any more: neither its place nor its size.
    for field in [0x28..0x30, 0x3a..0x40] {
        bytes[field].fill(0);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    file
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// A Deployment of servers that are ready when they answer, and can be replaced without a lost request.
pub(crate) fn server_deployment(namespace: &str, name: &str, replicas: u32) -> Deployment {
    typed(json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 3,
                    "containers": [{
                        "name": name,
                        "image": format!("test/{name}:1.0"),
                        "imagePullPolicy": "Never",
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
                    }],
                },
            },
        },
    }))
}

/// The Service of a Deployment of servers, on port 80.
pub(crate) fn service(namespace: &str, name: &str) -> Service {
    typed(json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]},
    }))
}

/// A bare pod that waits, or does what `args` say.
pub(crate) fn pod(namespace: &str, name: &str, image: &str, args: &[&str]) -> Pod {
    let container = json!({"name": "main", "image": image, "imagePullPolicy": "Never", "args": args});
    typed(json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"terminationGracePeriodSeconds": 2, "restartPolicy": "Never", "containers": [container]},
    }))
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}
