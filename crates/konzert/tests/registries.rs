//! Registries from outside: `konzert image pull`, `konzert scan registry:` and pods, against one on the loopback interface.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../images/tests/support/registry.rs"]
mod registry;
#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{LocalObjectReference, Pod, Secret};
use konzert_images::ContentStore;
use kube::Api;
use kube::api::ObjectMeta;
use registry::{Access, MANIFEST, Manners, Registry};
use serde_json::{Value, json};
use support::engine::Engine;
use support::process::{self, Ran};
use support::{cluster, fleet, have_root, leftovers};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");

/// A data directory and a registry.
struct Place {
    dir: tempfile::TempDir,
    registry: Registry,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::Builder::new().prefix("konzert-test-").tempdir().unwrap(),
            registry: Registry::new(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host)
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, None)
    }

    fn run_with(&self, args: &[&str], credentials: Option<&Path>) -> Ran {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.dir.path()).arg("--data-dir").arg(self.data()).args(args);
        command.env_remove("KUBECONFIG").env_remove("KONZERT_LOG").env("HOME", self.dir.path());
        match credentials {
            Some(file) => command.env("REGISTRY_AUTH_FILE", file),
            None => command.env_remove("REGISTRY_AUTH_FILE"),
        };
        process::run(command, None, "")
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), content.as_bytes()).unwrap();
        path
    }

    /// Debian 13 with a package that an advisory names, in two layers.
    fn serve(&self) -> Value {
        let advisory = json!({
            "schema_version": "1.7.0", "id": "CVE-2026-1", "modified": jiff::Timestamp::now().to_string(),
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected": [{"package": {"ecosystem": "Debian:13", "name": "samplelib"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.4.2-2"}]}]}],
        });
        let osv = self.file("osv/1.json", &advisory.to_string());
        self.run(&["db", "import", osv.to_str().unwrap()]).ok();
        let release = tar_of("etc/os-release", b"ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n");
        let status = b"Package: libsample1\nStatus: install ok installed\nArchitecture: amd64\nSource: samplelib\nVersion: 1.4.2-1\n";
        let layers = [release, tar_of("var/lib/dpkg/status", status)];
        self.registry.put_image("1.0", &layers, &json!({"Cmd": ["/bin/app"]}))
    }

    /// Files of the store; locks and what was kept of facts are none of an image.
    fn stored(&self) -> Vec<String> {
        let files = leftovers::files(&self.data().join("images"));
        let ours = |file: &String| !file.starts_with("locks/") && !file.starts_with("facts/");
        files.into_iter().filter(ours).collect()
    }
}

fn tar_of(path: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, path, content).unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn an_image_is_pulled_and_scanned() {
    let place = Place::new();
    let manifest = place.serve();
    let name = place.name("team/app:1.0");
    let pulled = place.run(&["image", "pull", &name, "-o", "json"]).json();
    assert_eq!(pulled["names"], json!([name]));
    assert_eq!(pulled["digest"], manifest["digest"]);
    assert!(place.run(&["image", "ls"]).ok().contains(&name));
    assert!(place.run(&["image", "pull", &name]).ok().contains("NAME"));
    let scanned = place.run(&["scan", &format!("image:{name}"), "--fail-on", "high", "-o", "json"]);
    assert_eq!(scanned.code, Some(1), "{scanned}");
}

#[test]
fn a_registry_is_scanned_without_storing_anything() {
    let place = Place::new();
    let manifest = place.serve();
    let target = format!("registry:{}", place.name("team/app:1.0"));
    let args = ["scan", &target, "--fail-on", "high", "-o", "json"];
    let first = place.run(&args);
    assert_eq!(first.code, Some(1), "{first}");
    let report: Value = serde_json::from_str(&first.stdout).unwrap();
    let found = &report["targets"][0];
    assert_eq!((&found["kind"], &found["digest"]), (&json!("registry"), &manifest["digest"]));
    assert_eq!((&found["state"], found["findings"].as_array().unwrap().len()), (&json!("Complete"), 1));
    assert_eq!(place.stored(), Vec::<String>::new());
    let blobs = |paths: Vec<String>| paths.iter().filter(|path| path.contains("/blobs/")).count();
    assert_eq!(blobs(place.registry.paths()), 3);
    // What is known of a layer does not come again: only the configuration does.
    let second = place.run(&args);
    assert_eq!(second.code, Some(1), "{second}");
    assert_eq!(blobs(place.registry.paths()), 1);
    assert!(place.run(&["scan", &target]).ok().contains("CVE-2026-1"));
}

#[test]
fn a_layer_that_is_not_as_promised_is_never_clean() {
    let wrong = tar_of("var/lib/dpkg/status", b"");
    for (what, cuts) in [("another layer", 0), ("a cut layer", 100)] {
        let place = Place::new();
        let manifest = place.serve();
        let layers = [tar_of("a", b"a")];
        place.registry.put_image("1.0", &layers, &json!({}));
        if cuts == 0 {
            place.registry.put_blob_as(&registry::digest(&layers[0]), &wrong);
        }
        // Configurations break off, too, when they are long enough; these are not.
        place.registry.behave(Manners { cut_at: Some(250), cuts, ..Manners::default() });
        let name = place.name("team/app:1.0");
        for args in [
            vec!["scan".to_owned(), format!("registry:{name}")],
            vec!["image".to_owned(), "pull".to_owned(), name],
        ] {
            let ran = place.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{what}: {ran}");
            assert!(
                ran.stderr.contains("error: cannot pull") && ran.stderr.contains("hint: "),
                "{what}: {ran}"
            );
        }
        assert_eq!(place.stored(), Vec::<String>::new(), "{what} of {manifest}");
    }
}

#[test]
fn wrong_names_and_missing_images() {
    let place = Place::new();
    for (name, said) in [("", "empty"), ("A b", "A b"), ("../x", "../x"), ("x@sha256:1", "sha256:1")] {
        place.run(&["image", "pull", name]).refused(&[said]);
    }
    place.run(&["image", "pull", "x", "--platform", "linux"]).refused(&["linux"]);
    assert!(!place.data().exists(), "wrong input leaves nothing behind");
    for (name, words) in
        [(place.name("gone:1"), "has no gone"), ("ghost.invalid/x:1".to_owned(), "ghost.invalid")]
    {
        for args in [["image", "pull", &name], ["scan", &format!("registry:{name}"), "--no-ignore"]] {
            let ran = place.run(&args);
            assert_eq!(ran.code, Some(3), "{ran}");
            assert!(ran.stderr.contains(words) && ran.stderr.contains("hint: "), "{ran}");
        }
    }
}

#[test]
fn credentials_come_from_files() {
    let place = Place::new();
    place.serve();
    place.registry.behave(Manners { access: Access::Token(Some("dTpw".to_owned())), ..Manners::default() });
    let name = place.name("team/app:1.0");
    let denied = place.run(&["image", "pull", &name]);
    assert_eq!(denied.code, Some(3), "{denied}");
    assert!(
        denied.stderr.contains("denies access") && denied.stderr.contains("REGISTRY_AUTH_FILE"),
        "{denied}"
    );
    let auths = json!({"auths": {&place.registry.host: {"auth": "dTpw"}}}).to_string();
    let file = place.file("auth.json", &auths);
    place.run_with(&["image", "pull", &name], Some(&file)).ok();
    place.file(".docker/config.json", &auths);
    place.run(&["scan", &format!("registry:{name}")]).ok();
    place
        .run_with(&["image", "pull", &name], Some(&place.dir.path().join("gone.json")))
        .refused(&["gone.json"]);
    let broken = place.file("broken.json", "{\"auths\": {\"secret");
    place.run_with(&["image", "pull", &name], Some(&broken)).refused(&["broken.json"]);
}

#[test]
fn a_pod_whose_image_is_only_in_a_registry_runs() {
    if !have_root("pods with images of a registry") {
        return;
    }
    let engine = Engine::up(Path::new(PROGRAM));
    let listener = engine.net.run(|| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let registry = Registry::on(listener);
    serve_app(&registry, &engine.scratch().join("elsewhere"));
    registry.behave(Manners { access: Access::Basic("dTpw".to_owned()), ..Manners::default() });
    let name = format!("{}/team/app:1.0", registry.host);
    let config = json!({"auths": {&registry.host: {"auth": "dTpw"}}}).to_string();
    engine.ask(async |client| {
        let mut denied = fleet::pod("default", "denied", &name, &[]);
        denied.spec.as_mut().unwrap().containers[0].image_pull_policy = Some("IfNotPresent".into());
        cluster::create(&client, &denied).await;
        let waits = |pod: Option<&Pod>| waiting(pod).is_some_and(|(reason, _)| reason.contains("ImagePull"));
        let seen =
            cluster::wait(Api::namespaced(client.clone(), "default"), "denied", "refused", waits).await;
        let (_, message) = waiting(seen.as_ref()).unwrap();
        assert!(message.contains("denies access"), "{message}");

        let secret = Secret {
            metadata: ObjectMeta {
                name: Some("door".into()),
                namespace: Some("default".into()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/dockerconfigjson".into()),
            data: Some([(".dockerconfigjson".to_owned(), ByteString(config.into_bytes()))].into()),
            ..Secret::default()
        };
        cluster::create(&client, &secret).await;
        let mut pod = fleet::pod("default", "app", &name, &[]);
        let spec = pod.spec.as_mut().unwrap();
        spec.image_pull_secrets = Some(vec![LocalObjectReference { name: "door".into() }]);
        spec.containers[0].image_pull_policy = Some("Always".into());
        cluster::create(&client, &pod).await;
        let runs =
            |pod: Option<&Pod>| pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref()) == Some("Running");
        cluster::wait(Api::<Pod>::namespaced(client, "default"), "app", "running", runs).await;
    });
    assert!(engine.konzert(["image", "ls"]).ok().contains(&name));
    engine.purge();
}

/// Puts an image with this program into the registry, and leaves nothing of it in the engine's store.
fn serve_app(registry: &Registry, dir: &Path) {
    let store: ContentStore = fleet::images(dir);
    let base = fleet::build_base(&store, "1", fleet::FIXED);
    let built = fleet::build_apps(&store, &base, Path::new(PROGRAM), "wait", &["app"]);
    for blob in std::fs::read_dir(dir.join("images/blobs/sha256")).unwrap().flatten() {
        registry.put_blob(&std::fs::read(blob.path()).unwrap());
    }
    let manifest = store.inspect(&built[0].digest).unwrap().manifest;
    registry.put_manifest("1.0", MANIFEST, &manifest);
}

/// Why the first container of a pod waits.
fn waiting(pod: Option<&Pod>) -> Option<(String, String)> {
    let statuses = pod?.status.as_ref()?.container_statuses.as_ref()?;
    let waiting = statuses.first()?.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.clone()?, waiting.message.clone().unwrap_or_default()))
}
