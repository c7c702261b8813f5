//! The real kubectl against the engine: what people type every day, with its output and its exit codes.
//!
//! Needs the environment variable `KONZERT_KUBECTL`, the path of a kubectl; `cargo xtask test` fetches one and sets it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise, and says what it skips"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::engine::{Engine, NODE};
use support::process::{self, Ran, Running};
use support::{fleet, have_root, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");

/// kubectl with an engine of its own.
struct Kubectl {
    program: PathBuf,
    engine: Engine,
}

impl Kubectl {
    /// `None` when the test cannot be run here, which was said.
    fn new(what: &str) -> Option<Self> {
        let Some(program) = std::env::var_os("KONZERT_KUBECTL") else {
            eprintln!(
                "SKIPPED: {what}: set KONZERT_KUBECTL to the path of a kubectl, or run `cargo xtask test`"
            );
            return None;
        };
        have_root(what).then(|| Self { program: program.into(), engine: Engine::up(Path::new(PROGRAM)) })
    }

    /// The same, with the images `test/app:1.0` and `test/app:2.0` loaded.
    fn with_images(what: &str) -> Option<Self> {
        let new = Self::new(what)?;
        let images = fleet::images(&new.engine.data());
        let base = fleet::build_base(&images, "1.0", fleet::VULNERABLE);
        let built = fleet::build_apps(&images, &base, Path::new(PROGRAM), "serve", &["app"]);
        images.tag(&built[0].digest, &"test/app:2.0".parse().unwrap()).unwrap();
        Some(new)
    }

    fn start(&self, line: &str, input: &str) -> Running {
        let mut command = Command::new(&self.program);
        command.args(line.split_whitespace());
        // Nothing from the user's own configuration, and no cache from another engine.
        command.env("KUBECONFIG", self.engine.kubeconfig()).env("HOME", self.engine.scratch());
        process::start(command, Some(&self.engine.net), input)
    }

    fn run(&self, line: &str) -> Ran {
        self.start(line, "").end()
    }

    /// The output of a command that succeeds.
    fn ok(&self, line: &str) -> String {
        self.run(line).ok()
    }

    fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} -o json")).json()
    }

    /// What a command that fails with exit code 1 says on stderr.
    fn fails(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(1), "{ran}");
        ran.stderr
    }

    fn apply(&self, manifest: &Value) -> String {
        self.start("apply -f -", &manifest.to_string()).end().ok()
    }
}

/// Every part is in the text; how wide columns are does not matter.
#[track_caller]
fn has(text: &str, parts: &[&str]) {
    let squeezed = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(squeezed(text).contains(&squeezed(part)), "{part:?} is not in:\n{text}");
    }
}

/// The line of a table that starts with `name`, as words.
#[track_caller]
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let found = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|w| w.first() == Some(&name));
    found.unwrap_or_else(|| panic!("no row {name} in:\n{table}"))
}

#[test]
fn objects_without_pods() {
    let Some(k) = Kubectl::new("kubectl on plain objects") else { return };
    has(&k.ok("version"), &["Server Version: v1.37"]);
    assert_eq!(row(&k.ok("get nodes"), NODE)[1], "Ready");
    has(&k.ok(&format!("describe node {NODE}")), &["Name:", NODE, "Allocatable:"]);
    let resources = k.ok("api-resources");
    assert_eq!(row(&resources, "deployments"), ["deployments", "deploy", "apps/v1", "true", "Deployment"]);
    assert_eq!(row(&resources, "reappolicies")[1..3], ["rp", "konzert.dev/v1alpha1"]);
    has(&k.ok("api-versions"), &["apps/v1", "batch/v1", "konzert.dev/v1alpha1"]);
    has(&k.ok("explain pod.spec.containers"), &["KIND:", "Pod", "FIELD: containers", "image\t<string>"]);
    has(&k.ok("explain patchcampaign.spec"), &["PatchCampaign", "soakSeconds"]);

    assert_eq!(k.ok("create namespace studio"), "namespace/studio created\n");
    assert_eq!(row(&k.ok("get namespace studio"), "studio")[1], "Active");
    let created = k.ok("create configmap score -n studio --from-literal=key=C --from-literal=tempo=allegro");
    assert_eq!(created, "configmap/score created\n");
    assert_eq!(row(&k.ok("get configmap score -n studio"), "score")[1], "2");
    assert_eq!(k.json("get cm score -n studio")["data"], json!({"key": "C", "tempo": "allegro"}));
    has(&k.ok("get cm score -n studio -o yaml"), &["kind: ConfigMap", "tempo: allegro"]);
    assert_eq!(k.ok("get cm score -n studio -o name"), "configmap/score\n");
    assert_eq!(k.ok("get cm score -n studio -o jsonpath={.data.key}"), "C");
    has(&k.ok("describe cm score -n studio"), &["Name:         score", "tempo:\n----\nallegro"]);
    k.ok("create secret generic stage-door -n studio --from-literal=code=1234");
    assert_eq!(row(&k.ok("get secret stage-door -n studio"), "stage-door")[1..3], ["Opaque", "1"]);
    has(&k.ok("describe secret stage-door -n studio"), &["code:  4 bytes"]);

    assert_eq!(k.ok("label cm score -n studio hall=large"), "configmap/score labeled\n");
    assert_eq!(k.ok("get cm -n studio -l hall=large -o name"), "configmap/score\n");
    assert_eq!(k.ok("annotate cm score -n studio by=someone"), "configmap/score annotated\n");
    assert_eq!(k.json("get cm score -n studio")["metadata"]["annotations"]["by"], "someone");
    assert_eq!(k.ok("label cm score -n studio hall-"), "configmap/score unlabeled\n");
    assert_eq!(k.ok("get cm -n studio -l hall=large -o name"), "");
    k.ok(r#"patch cm score -n studio --type=merge -p {"data":{"key":"D"}}"#);
    k.ok(r#"patch cm score -n studio --type=json -p [{"op":"add","path":"/data/da","value":"capo"}]"#);
    assert_eq!(
        k.json("get cm score -n studio")["data"],
        json!({"key": "D", "tempo": "allegro", "da": "capo"})
    );

    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "box-office", "namespace": "studio"},
        "spec": {"selector": {"app": "none"}, "ports": [{"port": 80}]},
    });
    assert_eq!(k.apply(&service), "service/box-office created\n");
    assert_eq!(k.apply(&service), "service/box-office unchanged\n");
    let listed = k.ok("get svc box-office -n studio");
    assert_eq!(row(&listed, "box-office")[1], "ClusterIP");
    assert!(row(&listed, "box-office")[2].starts_with("10.96."), "{listed}");
    assert_eq!(k.ok("delete cm score -n studio"), "configmap \"score\" deleted from studio namespace\n");
    has(
        &k.fails("get cm score -n studio"),
        &["Error from server (NotFound): configmaps \"score\" not found"],
    );
    assert_eq!(k.ok("delete namespace studio"), "namespace \"studio\" deleted\n");
    has(&k.fails("get namespace studio"), &["NotFound"]);
    has(&k.ok("get secrets -n studio --ignore-not-found"), &[]);
    k.engine.purge();
}

#[test]
fn mistakes_are_named() {
    let Some(k) = Kubectl::new("kubectl with wrong input") else { return };
    let broken = |manifest: &str| {
        let ran = k.start("apply -f -", manifest).end();
        assert_eq!(ran.code, Some(1), "{ran}");
        ran.stderr
    };
    has(&broken("kind: [not closed"), &["error: error parsing", "yaml"]);
    let unknown = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\nvolume: loud\n";
    has(&broken(unknown), &["unknown field \"volume\""]);
    let nested = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b, loud: true}]}";
    has(&broken(nested), &["unknown field \"spec.containers[0].loud\""]);
    let invalid = "apiVersion: v1\nkind: Pod\nmetadata: {name: Not_A_Name}\nspec: {containers: []}";
    has(
        &broken(invalid),
        &["is invalid", "metadata.name: Invalid value: \"Not_A_Name\"", "spec.containers: Required value"],
    );
    let custom = "apiVersion: konzert.dev/v1alpha1\nkind: ReapPolicy\nmetadata: {name: a}\nspec: {cap: many}";
    has(&broken(custom), &["spec.cap", "Invalid"]);
    let text = k.start("apply -n nowhere -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}").end();
    assert_eq!(text.code, Some(1), "{text}");
    has(&text.stderr, &["namespaces \"nowhere\" not found"]);
    has(&k.fails("create configmap a --from-literal=x=y -n nowhere"), &["namespaces \"nowhere\" not found"]);
    k.ok("create configmap twice");
    has(&k.fails("create configmap twice"), &["configmaps \"twice\" already exists"]);
    has(&k.fails("get oboes"), &["the server doesn't have a resource type \"oboes\""]);
    has(&k.fails("logs nobody"), &["pods \"nobody\" not found"]);
    assert_eq!(
        k.ok("get pods,configmaps --field-selector metadata.name=a -o name"),
        "",
        "nothing was created"
    );
    has(
        &broken("apiVersion: v1\nkind: Oboe\nmetadata: {name: a}"),
        &["no matches for kind \"Oboe\" in version \"v1\""],
    );
    k.engine.purge();
}

fn deployment(image: &str) -> Value {
    let mut deployment = serde_json::to_value(fleet::server_deployment("default", "app", 2)).unwrap();
    deployment["apiVersion"] = "apps/v1".into();
    deployment["kind"] = "Deployment".into();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    deployment
}

#[test]
fn a_deployment_from_apply_to_delete() {
    let Some(k) = Kubectl::with_images("kubectl on a Deployment") else { return };
    let watch = k.start("get deployment -w", "");
    assert_eq!(k.apply(&deployment("test/app:1.0")), "deployment.apps/app created\n");
    has(
        &k.ok("rollout status deployment/app --timeout=60s"),
        &["deployment \"app\" successfully rolled out"],
    );
    assert_eq!(row(&k.ok("get deploy app"), "app")[1..4], ["2/2", "2", "2"]);
    has(&k.ok("get deploy app -o wide"), &["test/app:1.0", "app=app"]);
    until("the watch shows the rollout", || {
        watch.stdout().lines().any(|l| l.starts_with("app ") && l.contains("2/2")).then_some(())
    });
    has(&watch.stdout(), &["NAME", "READY", "0/2"]);
    drop(watch);
    has(&k.ok("get pods -o wide"), &["1/1", "Running", NODE, "10.244."]);
    has(
        &k.ok("describe deploy app"),
        &["Replicas:", "2 desired | 2 updated | 2 total | 2 available", "ScalingReplicaSet"],
    );
    has(&k.ok("get rs"), &["DESIRED", "CURRENT", "READY"]);

    assert_eq!(k.ok("scale deploy app --replicas=3"), "deployment.apps/app scaled\n");
    has(&k.ok("rollout status deploy/app --timeout=60s"), &["successfully rolled out"]);
    assert_eq!(k.json("get pods -l app=app")["items"].as_array().unwrap().len(), 3);
    // The image is not part of what was scaled; apply keeps what others own only when it does not say otherwise.
    assert_eq!(k.apply(&deployment("test/app:2.0")), "deployment.apps/app configured\n");
    has(&k.ok("rollout status deploy/app --timeout=60s"), &["successfully rolled out"]);
    assert_eq!(k.json("get deploy app")["spec"]["replicas"], 2);
    has(&k.ok("get deploy app -o wide"), &["test/app:2.0"]);
    has(&k.ok("rollout history deploy/app"), &["REVISION", "1 ", "2 "]);
    assert_eq!(k.ok("rollout undo deploy/app"), "deployment.apps/app rolled back\n");
    has(&k.ok("rollout status deploy/app --timeout=60s"), &["successfully rolled out"]);
    assert_eq!(k.ok("get deploy app -o jsonpath={.spec.template.spec.containers[0].image}"), "test/app:1.0");
    k.ok("set image deploy/app app=test/app:2.0");
    has(&k.ok("rollout status deploy/app --timeout=60s"), &["successfully rolled out"]);
    k.ok("rollout restart deploy/app");
    has(&k.ok("rollout status deploy/app --timeout=60s"), &["successfully rolled out"]);

    k.ok("create deployment solo --image=test/app:1.0 --replicas=1");
    k.ok("wait --for=condition=Available deployment/solo --timeout=60s");
    has(&k.ok("events"), &["Normal", "Started", "SuccessfulCreate"]);
    has(&k.ok("get events"), &["Scheduled", "pod/app-"]);
    assert_eq!(
        k.ok("delete deploy app solo"),
        "deployment.apps \"app\" deleted from default namespace\ndeployment.apps \"solo\" deleted from default namespace\n"
    );
    k.ok("wait --for=delete pod -l app=app --timeout=60s");
    k.ok("wait --for=delete pod -l app=solo --timeout=60s");
    assert_eq!(
        k.ok("get rs,pods -o name"),
        "",
        "the garbage collector took everything the Deployments owned"
    );
    k.engine.purge();
}

#[test]
fn a_pod_its_logs_and_its_end() {
    let Some(k) = Kubectl::with_images("kubectl on a pod") else { return };
    let pod = |name: &str, args: &[&str]| {
        let mut pod = serde_json::to_value(fleet::pod("default", name, "test/app:1.0", args)).unwrap();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod
    };
    let watch = k.start("get pods -w", "");
    k.apply(&pod("singer", &["serve", "aria"]));
    k.ok("wait --for=condition=Ready pod/singer --timeout=60s");
    until("the watch shows the pod", || watch.stdout().contains("Running").then_some(()));
    has(&watch.stdout(), &["NAME", "STATUS", "RESTARTS"]);
    drop(watch);
    assert_eq!(row(&k.ok("get pod singer"), "singer")[1..4], ["1/1", "Running", "0"]);
    has(
        &k.ok("describe pod singer"),
        &[
            "Name:             singer",
            "Image:",
            "Container ID:  konzert://",
            "Ready          True",
            "Started",
        ],
    );
    assert_eq!(k.ok("logs singer"), "aria serves on port 8080\n");
    assert_eq!(k.ok("logs singer -c main --tail=1"), "aria serves on port 8080\n");
    has(&k.ok("logs singer --timestamps"), &["Z aria serves"]);
    has(&k.fails("logs singer -c chorus"), &["container chorus is not valid for pod singer"]);
    let follow = k.start("logs -f singer", "");
    until("the first line of the log", || follow.stdout().contains("aria serves").then_some(()));
    assert_eq!(k.ok("delete pod singer"), "pod \"singer\" deleted from default namespace\n");
    let followed = follow.end();
    assert_eq!(followed.stdout, "aria serves on port 8080\naria ends\n", "followed to the end: {followed}");
    has(&k.fails("get pod singer"), &["NotFound"]);

    k.apply(&pod("encore", &["task", "encore"]));
    k.ok("wait --for=jsonpath={.status.phase}=Succeeded pod/encore --timeout=60s");
    assert_eq!(row(&k.ok("get pod encore"), "encore")[1..3], ["0/1", "Completed"]);
    assert_eq!(k.ok("logs encore"), "encore done\n");
    assert_eq!(k.ok("logs -f encore"), "encore done\n", "a log that has ended is followed to its end");

    k.ok("run stranger --image=registry.invalid/stranger:9 --image-pull-policy=IfNotPresent --restart=Never");
    until("the image is refused", || k.ok("get pod stranger").contains("ImagePull").then_some(()));
    has(&k.ok("describe pod stranger"), &["registry.invalid/stranger:9", "konzert image load"]);
    k.ok("delete pod stranger --now");
    k.ok("delete pod encore --grace-period=0 --force");
    assert_eq!(k.ok("get pods -o name"), "");

    k.ok("create job rehearsal --image=test/app:1.0 -- /bin/app sample task rehearsal");
    k.ok("wait --for=condition=Complete job/rehearsal --timeout=60s");
    has(&k.ok("logs job/rehearsal"), &["rehearsal done"]);
    assert_eq!(k.ok("get jobs rehearsal -o jsonpath={.status.succeeded}"), "1");
    k.ok("delete job rehearsal");
    k.ok("wait --for=delete pod -l job-name=rehearsal --timeout=60s");
    k.engine.purge();
}
