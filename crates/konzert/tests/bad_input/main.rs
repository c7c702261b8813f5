//! Wrong input of every kind: an error that names the thing, a hint, exit code 2 (or a 4xx Status), and nothing left behind.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise, and says what it skips"
)]

mod archives;
#[path = "../support/mod.rs"]
mod support;

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use archives::{RawTar, docker_archive, put, zero_bomb};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Client;
use kube::api::{Api, ListParams};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use support::engine::{Engine, LISTEN};
use support::process::{self, Ran};
use support::{cluster, fleet, have_root, leftovers};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");
const NOBODY: u32 = 65534;

/// Runs `konzert …` on a data directory, without an engine.
fn konzert(data: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(PROGRAM);
    command.arg("--data-dir").arg(data).args(args).env_remove("KUBECONFIG").env_remove("KONZERT_LOG");
    process::run(command, None, "")
}

/// A data directory that has an image and an advisory in it, and a directory for test files beside it.
struct Place {
    dir: tempfile::TempDir,
    before: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("konzert-test-").tempdir().unwrap();
        let data = dir.path().join("data");
        fleet::build_base(&fleet::images(&data), "1.0", fleet::VULNERABLE);
        konzert(&data, &["db", "status"]).ok();
        let before = leftovers::files(&data);
        Self { dir, before }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        put(self.dir.path(), name, bytes)
    }

    /// The command is refused, names what is wrong, and leaves the data directory as it was.
    #[track_caller]
    fn refuses(&self, args: &[&str], names: &[&str]) {
        let data = self.dir.path().join("data");
        let ran = konzert(&data, args);
        ran.refused(names);
        assert_eq!(leftovers::files(&data), self.before, "left behind by {ran}");
    }
}

#[test]
fn images_that_are_not_there() {
    let place = Place::new();
    for args in [
        ["image", "inspect", "ghost:1"],
        ["image", "rm", "ghost:1"],
        ["scan", "image:ghost:1", "--only-fixed"],
    ] {
        place.refuses(&args, &["ghost:1"]);
    }
    let digest = format!("sha256:{}", "a".repeat(64));
    place.refuses(&["image", "inspect", &digest], &[&digest]);
    place.refuses(&["image", "inspect", "sha256:short"], &["sha256:short"]);
    place.refuses(&["image", "inspect", "Not A Name"], &["Not A Name"]);
    place.refuses(&["image", "load", "/nowhere/app.tar"], &["/nowhere/app.tar"]);
    place.refuses(&["scan", "cellar"], &["cellar"]);
}

#[test]
fn archives_that_are_broken() {
    let place = Place::new();
    let whole = docker_archive(&RawTar::default().file("etc/name", &[7; 4000]).finish()).finish();
    let mut damaged = whole.clone();
    damaged[148..156].copy_from_slice(b"123456\0 ");
    let cases: [(&str, Vec<u8>); 6] = [
        ("empty.tar", Vec::new()),
        ("text.tar", b"this is a letter, not an archive\n".repeat(100)),
        ("cut.tar", whole[..whole.len() / 2].to_vec()),
        ("damaged.tar", damaged),
        ("other.tar", RawTar::default().file("readme", b"no image in here").finish()),
        ("cut.tar.gz", zero_bomb()[..400].to_vec()),
    ];
    for (name, bytes) in cases {
        let path = place.file(name, &bytes);
        place.refuses(&["image", "load", &path], &[&path]);
        place.refuses(&["scan", &format!("archive:{path}")], &[&path]);
    }
    let directory = place.dir.path().join("empty");
    std::fs::create_dir(&directory).unwrap();
    place.refuses(&["image", "load", directory.to_str().unwrap()], &[directory.to_str().unwrap()]);
}

#[test]
fn archives_that_want_out() {
    let place = Place::new();
    let layer = RawTar::default;
    let good = layer().file("etc/name", b"x").finish();
    let cases = [
        ("layer-parent", docker_archive(&layer().file("../escaped", b"x").finish()), "../escaped"),
        (
            "layer-deep",
            docker_archive(&layer().file("a/../../../escaped", b"x").finish()),
            "a/../../../escaped",
        ),
        ("layer-absolute", docker_archive(&layer().file("/escaped", b"x").finish()), "/escaped"),
        (
            "layer-symlink",
            docker_archive(&layer().symlink("out", "/").file("out/escaped", b"x").finish()),
            "out/escaped",
        ),
        (
            "layer-climb",
            docker_archive(&layer().symlink("d/out", "../..").file("d/out/escaped", b"x").finish()),
            "d/out/escaped",
        ),
        ("outer-parent", docker_archive(&good).file("../escaped", b"x"), "../escaped"),
        ("outer-absolute", docker_archive(&good).file("/escaped", b"x"), "/escaped"),
        ("outer-symlink", docker_archive(&good).symlink("out", "/").file("out/escaped", b"x"), "out"),
    ];
    for (name, archive, entry) in cases {
        let path = place.file(&format!("{name}.tar"), &archive.finish());
        place.refuses(&["image", "load", &path], &[&path, entry]);
        place.refuses(&["scan", &format!("archive:{path}")], &[&path, entry]);
    }
    let escaped = |dir: &Path| dir.join("escaped").exists();
    assert!(
        ![Path::new("/"), Path::new("/tmp"), place.dir.path()].iter().any(|dir| escaped(dir)),
        "something got out"
    );
}

#[test]
fn a_gigabyte_of_zeros() {
    let place = Place::new();
    let bomb = zero_bomb();
    assert!(bomb.len() < 8 << 20, "the bomb itself is small: {} bytes", bomb.len());
    for (name, bytes) in [("layer-bomb.tar", docker_archive(&bomb).finish()), ("outer-bomb.tar.gz", bomb)] {
        let path = place.file(name, &bytes);
        place.refuses(&["image", "load", &path], &[&path, "bomb"]);
        place.refuses(&["scan", &format!("archive:{path}")], &[&path, "bomb"]);
    }
}

#[test]
fn advisories_that_are_not_osv() {
    let place = Place::new();
    let osv = r#"{"schema_version": "1.7.0", "id": "GOOD-1", "modified": "2026-01-01T00:00:00Z"}"#;
    let cases = [
        ("text.json", "a letter, not JSON"),
        ("list.json", "[1, 2, 3]"),
        ("other.json", r#"{"name": "konzert", "version": "1.0"}"#),
        ("cut.json", &osv[..40]),
    ];
    for (name, text) in cases {
        let path = place.file(name, text.as_bytes());
        place.refuses(&["db", "import", &path], &[name]);
    }
    // One wrong file among right ones: it is named, and none is imported.
    let directory = place.dir.path().join("many");
    std::fs::create_dir(&directory).unwrap();
    put(&directory, "GOOD-1.json", osv.as_bytes());
    put(&directory, "WRONG-1.json", b"{}");
    place.refuses(&["db", "import", directory.to_str().unwrap()], &["WRONG-1.json"]);
    place.refuses(&["db", "import", "/nowhere/all.zip"], &["/nowhere/all.zip"]);
    let status = konzert(&place.dir.path().join("data"), &["db", "status", "-o", "json"]).json();
    assert_eq!(status["advisories"], 0, "{status:#}");
}

#[test]
fn command_lines_that_make_no_sense() {
    let place = Place::new();
    let data = place.dir.path().join("data");
    for args in [
        &["patch", "CVE-1", "--soak", "soon"][..],
        &["scan", "--fail-on", "loud"],
        &["encore"],
        &["up", "--listen", "here"],
    ] {
        let ran = konzert(&data, args);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains(args.last().unwrap()), "{ran}");
    }
    let nowhere = place.dir.path().join("nowhere");
    let missing = konzert(&nowhere, &["down"]);
    missing.refused(&[nowhere.to_str().unwrap()]);
    assert!(!nowhere.exists(), "asking creates nothing");
    let file = place.file("not-a-kubeconfig", b"[1, 2");
    place.refuses(&["--kubeconfig", &file, "status"], &["not-a-kubeconfig"]);
    place.refuses(&["patch"], &["nothing to patch"]);
}

#[test]
fn an_address_that_is_taken() {
    if !have_root("a port in use") {
        return;
    }
    let engine = Engine::new(Path::new(PROGRAM));
    let taken = engine.net.run(|| TcpListener::bind(LISTEN).unwrap());
    engine.konzert(["up", "--listen", LISTEN]).refused(&[LISTEN]);
    engine.konzert(["up", "--listen", "192.0.2.1:6443"]).refused(&["192.0.2.1:6443"]);
    let left = leftovers::files(&engine.data());
    assert!(left.is_empty(), "left behind: {left:?}");
    drop(taken);
    assert_eq!(leftovers::of_network(&engine.net), Vec::<String>::new());
}

#[test]
fn a_data_directory_that_is_taken() {
    if !have_root("a data directory in use") {
        return;
    }
    let engine = Engine::up(Path::new(PROGRAM));
    let data = engine.data();
    let pid = engine.pid().to_string();
    let state = || (std::fs::read(engine.kubeconfig()).unwrap(), leftovers::files(&data));
    let before = state();
    for args in [&["up", "--listen", "127.0.0.1:6444"][..], &["up", "--detach", "--listen", "127.0.0.1:6444"]]
    {
        engine.konzert(args.iter().copied()).refused(&[data.to_str().unwrap(), &pid]);
    }
    assert_eq!(state(), before, "the refused engine changed the directory");
    engine.konzert(["status"]).ok();
    engine.purge();
}

#[test]
fn without_root() {
    if !have_root("running as somebody else") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("konzert-test-").tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // The build directory need not be readable for others.
    let program = dir.path().join("konzert");
    std::fs::copy(PROGRAM, &program).unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(args)
            .arg("--data-dir")
            .arg(home.join("data"))
            .env("TMPDIR", &home)
            .env_remove("KUBECONFIG");
        command.uid(NOBODY).gid(NOBODY);
        process::run(command, None, "")
    };
    for args in [&["up"][..], &["up", "--detach"], &["quickstart"]] {
        as_nobody(args).refused(&["needs root"]);
    }
    assert_eq!(leftovers::files(&home), Vec::<String>::new(), "nothing left behind");
    assert!(!home.join("data").exists(), "no data directory either");
    let mut default_place = Command::new(&program);
    default_place.args(["db", "status", "--data-dir", "/root/konzert"]).uid(NOBODY).gid(NOBODY);
    process::run(default_place, None, "").refused(&["/root/konzert"]);
}

#[test]
fn without_control_groups() {
    if !have_root("a machine without cgroups") {
        return;
    }
    let engine = Engine::new(Path::new(PROGRAM));
    let ran = engine.net.run(|| {
        // Only this thread, and what it starts, sees the machine without them.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        while umount2("/sys/fs/cgroup", MntFlags::MNT_DETACH).is_ok() {}
        process::run(engine.command(["up", "--listen", LISTEN]), None, "")
    });
    ran.refused(&["cgroup"]);
    assert!(!engine.data().exists(), "nothing is made before the check");
}

// ---- the API

/// The Status with which a request is refused, or what happened instead.
async fn status_of(client: &Client, method: &str, path: &str, body: String) -> Result<Value, String> {
    let mut request = http::Request::builder().method(method).uri(path);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    match client.request_text(request.body(body.into_bytes()).unwrap()).await {
        Ok(answer) => Err(format!("accepted: {answer}")),
        Err(kube::Error::Api(status)) => Ok(serde_json::to_value(status).unwrap()),
        Err(error) => Err(format!("{error:?}")),
    }
}

/// A request, and the refusal it deserves.
struct Wrong {
    method: &'static str,
    path: &'static str,
    body: String,
    code: u64,
    says: &'static str,
}

fn post(path: &'static str, body: &dyn ToString, code: u64, says: &'static str) -> Wrong {
    Wrong { method: "POST", path, body: body.to_string(), code, says }
}

fn get(path: &'static str, code: u64, says: &'static str) -> Wrong {
    Wrong { method: "GET", path, body: String::new(), code, says }
}

fn wrong_requests() -> Vec<Wrong> {
    let maps = "/api/v1/namespaces/default/configmaps?fieldValidation=Strict";
    let pods = "/api/v1/namespaces/default/pods?fieldValidation=Strict";
    let map = |fields: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        object
    };
    let pod = |containers: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": containers}});
    let twice = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"k":"1","k":"2"}}"#;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let port = json!([{"name": "a", "image": "b", "ports": [{"containerPort": 99_999}]}]);
    vec![
        post(maps, &"{\"kind\": ", 400, "unexpected end of JSON input"),
        post(maps, &"[]", 400, ""),
        post(maps, &deep, 400, ""),
        post(maps, &map(json!({"kind": "Secret"})), 400, "Secret"),
        post(maps, &map(json!({"loud": 1})), 400, "unknown field \"loud\""),
        post(maps, &twice, 400, "duplicate field \"data.k\""),
        post(maps, &map(json!({"metadata": {}})), 422, "name"),
        post(pods, &pod(port), 422, "spec.containers[0].ports[0].containerPort"),
        post(pods, &pod(json!([{"name": "a", "image": "b", "loud": true}])), 400, "spec.containers[0].loud"),
        post(pods, &pod(json!("none")), 400, "spec.containers"),
        post("/api/v1/namespaces/nowhere/pods", &pod(json!([{"name": "a", "image": "b"}])), 404, "nowhere"),
        get("/api/v1/namespaces/default/pods/ghost", 404, "ghost"),
        get("/api/v1/oboes", 404, ""),
        get("/api/v1/pods?labelSelector=%3D%3D", 400, ""),
        get("/api/v1/pods?fieldSelector=spec.colour%3Dred", 400, "spec.colour"),
        get("/api/v1/pods?resourceVersion=loud", 400, "loud"),
    ]
}

#[test]
fn manifests_that_are_wrong() {
    if !have_root("wrong manifests") {
        return;
    }
    let engine = Engine::up(Path::new(PROGRAM));
    let mut problems = Vec::new();
    engine.ask(async |client| {
        for Wrong { method, path, body, code, says } in wrong_requests() {
            let shown: String = body.chars().take(120).collect();
            let answer = status_of(&client, method, path, body).await;
            let message = |status: &Value| status["message"].as_str().unwrap_or_default().to_owned();
            if !answer.as_ref().is_ok_and(|status| status["code"] == code && message(status).contains(says)) {
                problems.push(format!("{method} {path} {shown}\nexpected {code} {says:?}, got {answer:#?}"));
            }
        }
        let left = Api::<Pod>::namespaced(client, "default").list(&ListParams::default()).await.unwrap();
        assert!(left.items.is_empty(), "a refused pod is there: {left:#?}");
    });
    assert!(problems.is_empty(), "{} refusals are wrong:\n{}", problems.len(), problems.join("\n\n"));
    engine.purge();
}

#[test]
fn a_manifest_that_is_too_large() {
    if !have_root("a manifest that is too large") {
        return;
    }
    let engine = Engine::up(Path::new(PROGRAM));
    let path = "/api/v1/namespaces/default/configmaps";
    let large = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "x".repeat(4 << 20)}});
    let refused = engine.ask(async |client| status_of(&client, "POST", path, large.to_string()).await);
    // Who is still sending when the answer comes may lose the answer with the connection; accepted it must not be.
    match refused {
        Ok(status) => assert_eq!(status["code"], 413, "{status:#}"),
        Err(error) => assert!(error.contains("SendRequest"), "{error}"),
    }
    let left = engine
        .ask(async |client| Api::<ConfigMap>::namespaced(client, "default").get_opt("a").await.unwrap());
    assert_eq!(left, None);
    engine.purge();
}

#[test]
fn pods_whose_image_is_not_there() {
    if !have_root("pods with unknown images") {
        return;
    }
    let engine = Engine::up(Path::new(PROGRAM));
    for (policy, reasons) in
        [("IfNotPresent", &["ErrImagePull", "ImagePullBackOff"][..]), ("Never", &["ErrImageNeverPull"])]
    {
        let (reason, message) = engine.ask(async |client| {
            let name = format!("stranger-{}", policy.to_lowercase());
            let mut pod = fleet::pod("default", &name, "ghost.invalid/stranger:9", &[]);
            pod.spec.as_mut().unwrap().containers[0].image_pull_policy = Some(policy.into());
            cluster::create(&client, &pod).await;
            let waits =
                |pod: Option<&Pod>| waiting(pod).is_some_and(|(reason, _)| reason != "ContainerCreating");
            let seen = cluster::wait(Api::namespaced(client, "default"), &name, "refused", waits).await;
            waiting(seen.as_ref()).unwrap()
        });
        assert!(reasons.contains(&reason.as_str()), "{policy}: {reason}: {message}");
        assert!(
            message.contains("ghost.invalid/stranger:9") && message.contains("konzert image load"),
            "{message}"
        );
    }
    engine.purge();
}

/// Why the first container of a pod waits.
fn waiting(pod: Option<&Pod>) -> Option<(String, String)> {
    let statuses = pod?.status.as_ref()?.container_statuses.as_ref()?;
    let waiting = statuses.first()?.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.clone()?, waiting.message.clone().unwrap_or_default()))
}
