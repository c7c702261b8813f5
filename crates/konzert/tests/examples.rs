//! The manifests in `examples/` are accepted as they are, without a warning, and mean what their comments say.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::{Path, PathBuf};

use kube::Client;
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use serde_json::Value;
use support::engine::Engine;
use support::have_root;

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// Every manifest below `examples/`, but those of a program: they need its CRDs and are tested with it.
fn manifests() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let alone = |dir: &std::fs::DirEntry| dir.path().is_dir() && !dir.path().join("Cargo.toml").exists();
    for dir in std::fs::read_dir(EXAMPLES).unwrap().flatten().filter(alone) {
        let files = std::fs::read_dir(dir.path()).unwrap().flatten().map(|file| file.path());
        found.extend(files.filter(|path| path.extension().is_some_and(|e| e == "yaml")));
    }
    // Namespaces come first where a directory has one of its own.
    found.sort_by_key(|path| (!path.ends_with("namespace.yaml"), path.clone()));
    found
}

async fn create(client: &Client, file: &Path, document: &Value) {
    let word = |name: &str| document[name].as_str().unwrap().to_owned();
    let (group, version) = match word("apiVersion").split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), word("apiVersion")),
    };
    let (resource, capabilities) =
        pinned_kind(client, &GroupVersionKind { group, version, kind: word("kind") }).await.unwrap();
    let namespace = document["metadata"]["namespace"].as_str();
    let within = match (&capabilities.scope, namespace) {
        (Scope::Namespaced, Some(namespace)) => format!("/namespaces/{namespace}"),
        (Scope::Cluster, None) => String::new(),
        mixed => panic!(
            "{}: {mixed:?}: a namespace where there is none, or none where one is needed",
            file.display()
        ),
    };
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    let path = format!("{root}/{}{within}/{}?fieldValidation=Strict", resource.api_version, resource.plural);
    let request = http::Request::post(path).header("content-type", "application/json");
    let answer = client.request_text(request.body(document.to_string().into_bytes()).unwrap()).await;
    answer.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

#[test]
fn every_example_is_accepted_as_it_is() {
    if !have_root("the examples") {
        return;
    }
    let files = manifests();
    assert!(files.len() >= 8, "{files:?}");
    let engine = Engine::up(Path::new(PROGRAM));
    engine.ask(async |client| {
        for file in &files {
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap();
            for document in &documents {
                create(&client, file, document).await;
            }
        }
    });
    let campaigns = engine.konzert(["patch", "status", "cve-0000-0001", "-o", "json"]).json();
    assert_eq!(campaigns["spec"]["paused"], true);
    let policy = Path::new(EXAMPLES).join("hygiene/reap-policy.yaml");
    let plan = engine.konzert(["reap", "--plan", "--policy", policy.to_str().unwrap(), "-o", "json"]).json();
    assert!(plan["destroys"].is_array(), "{plan:#}");
    engine.purge();
}
