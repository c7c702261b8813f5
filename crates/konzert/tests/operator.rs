//! The operator of `examples/operator`, unchanged, over TCP: watcher, server-side apply, finalizer and its own definition.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use konzert_example_operator::{Ensemble, EnsembleSpec, install, run};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use support::engine::Engine;
use support::{PATIENCE, fleet, have_root};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");

/// Asks until the answer is the expected one.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

fn ensemble(name: &str, piece: &str, players: i32) -> Ensemble {
    Ensemble::new(name, EnsembleSpec { piece: piece.to_owned(), players, image: "test/app:1.0".to_owned() })
}

async fn programme(client: &Client) -> serde_json::Value {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map = api.get_opt("programme").await.unwrap();
    json!(map.and_then(|map| map.data))
}

async fn concert(client: Client) {
    let ensembles: Api<Ensemble> = Api::default_namespaced(client.clone());
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let ready = async |name: &str| ensembles.get(name).await.unwrap().status.map(|status| status.ready);
    ensembles.create(&PostParams::default(), &ensemble("duo", "Passacaglia", 2)).await.unwrap();
    ensembles.create(&PostParams::default(), &ensemble("solo", "Chaconne", 1)).await.unwrap();
    until("two players are ready", async || (ready("duo").await == Some(2)).then_some(())).await;
    until("one player is ready", async || (ready("solo").await == Some(1)).then_some(())).await;
    assert_eq!(programme(&client).await, json!({ "duo": "Passacaglia", "solo": "Chaconne" }));

    // What the operator does not speak of stays; what it speaks of comes back.
    let by_hand = json!({ "spec": { "replicas": 1, "minReadySeconds": 1 } });
    deployments.patch("duo", &PatchParams::default(), &Patch::Merge(by_hand)).await.unwrap();
    until("the change by hand is reverted", async || {
        let spec = deployments.get("duo").await.unwrap().spec;
        (spec.replicas == Some(2) && spec.min_ready_seconds == Some(1)).then_some(())
    })
    .await;

    let other = json!({ "spec": { "piece": "Dance" } });
    ensembles.patch("duo", &PatchParams::default(), &Patch::Merge(other)).await.unwrap();
    let wished = json!({ "duo": "Dance", "solo": "Chaconne" });
    until("the programme follows", async || (programme(&client).await == wished).then_some(())).await;

    ensembles.delete("duo", &DeleteParams::default()).await.unwrap();
    until("the ensemble is gone", async || ensembles.get_opt("duo").await.unwrap().is_none().then_some(()))
        .await;
    assert_eq!(
        programme(&client).await,
        json!({ "solo": "Chaconne" }),
        "the finalizer took its line away first"
    );
    until("its players are gone", async || deployments.get_opt("duo").await.unwrap().is_none().then_some(()))
        .await;
}

#[test]
fn an_operator_runs_unchanged() {
    if !have_root("the operator example") {
        return;
    }
    let engine = Engine::up(Path::new(PROGRAM));
    let images = fleet::images(&engine.data());
    let base = fleet::build_base(&images, "1.0", fleet::VULNERABLE);
    fleet::build_apps(&images, &base, Path::new(PROGRAM), "serve", &["app"]);
    engine.ask(async |client| {
        install(&client).await.unwrap();
        install(&client).await.unwrap();
        tokio::select! {
            () = run(client.clone()) => panic!("the operator ended"),
            () = concert(client.clone()) => {}
        }
    });
    engine.purge();
}
