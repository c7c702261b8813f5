//! An operator for any Kubernetes: watches a custom resource, applies what it asks for, and cleans up with a finalizer.
//!
//! An [`Ensemble`] becomes a Deployment of its players, and one line in the `programme` `ConfigMap` of its namespace. Every
//! write is a server-side apply: the Deployment belongs to the operator, while the `programme` is shared, with a field manager for
//! each ensemble, so that ensembles neither know nor overwrite each other. When an ensemble goes, an apply without its
//! line takes the line away.
//!
//! Guarantees: an ensemble is only gone when its line is; a change of the Deployment by hand is reverted. Assumes that names of
//! ensembles are unique in a namespace, which the API sees to.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::{conditions, wait, watcher};
use kube::{Client, CustomResource, CustomResourceExt as _, Resource as _, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Field manager of what the operator owns alone.
const MANAGER: &str = "ensemble-operator";
/// Holds an ensemble until its line in the programme is gone.
const FINALIZER: &str = "examples.konzert.dev/programme";
/// The shared `ConfigMap`.
const PROGRAMME: &str = "programme";
const RETRY: Duration = Duration::from_secs(2);

/// Musicians who play a piece together.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "examples.konzert.dev",
    version = "v1",
    kind = "Ensemble",
    namespaced,
    status = "EnsembleStatus",
    printcolumn = r#"{"name":"Piece","type":"string","jsonPath":".spec.piece"}"#,
    printcolumn = r#"{"name":"Ready","type":"integer","jsonPath":".status.ready"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleSpec {
    /// What they play.
    #[schemars(length(min = 1, max = 64))]
    pub piece: String,
    /// How many they are.
    #[schemars(range(min = 1, max = 100))]
    pub players: i32,
    /// The image that a player runs.
    pub image: String,
}

/// What has become of an ensemble.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleStatus {
    /// Players who are ready.
    pub ready: i32,
    /// The generation that this speaks of.
    pub observed_generation: i64,
}

/// Why an ensemble could not be brought to its wished state.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The API said no.
    #[error("the API refused a write or could not be reached")]
    Api(#[from] kube::Error),
    /// The finalizer step failed; its source says why.
    #[error("the finalizer of an ensemble failed")]
    Finalizer(#[source] Box<kube::runtime::finalizer::Error<OperatorError>>),
}

/// Installs the definition and waits until it is served.
pub async fn install(client: &Client) -> anyhow::Result<()> {
    let definition = Ensemble::crd();
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = definition.name_any();
    api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&definition)).await?;
    wait::await_condition(api, &name, conditions::is_crd_established()).await?;
    Ok(())
}

/// Reconciles all ensembles until the future is dropped.
pub async fn run(client: Client) {
    let ensembles: Api<Ensemble> = Api::all(client.clone());
    let deployments: Api<Deployment> = Api::all(client.clone());
    Controller::new(ensembles, watcher::Config::default())
        .owns(deployments, watcher::Config::default())
        .run(reconcile, |_, error, _| failed(error), Arc::new(client))
        .for_each(async |result| match result {
            Ok((ensemble, _)) => tracing::info!(%ensemble, "reconciled"),
            Err(error) => tracing::debug!(%error, "will be tried again"),
        })
        .await;
}

fn failed(error: &OperatorError) -> Action {
    tracing::warn!(%error, source = ?std::error::Error::source(error), "an ensemble is not as wished yet");
    Action::requeue(RETRY)
}

async fn reconcile(ensemble: Arc<Ensemble>, client: Arc<Client>) -> Result<Action, OperatorError> {
    let namespace = ensemble.namespace().unwrap_or_default();
    let api: Api<Ensemble> = Api::namespaced((*client).clone(), &namespace);
    let step = async |event| match event {
        Event::Apply(ensemble) => apply(&client, &ensemble).await,
        Event::Cleanup(ensemble) => set_programme(&client, &ensemble, None).await,
    };
    let done = finalizer(&api, FINALIZER, ensemble, step).await;
    done.map_err(|error| OperatorError::Finalizer(Box::new(error)))
}

async fn apply(client: &Client, ensemble: &Ensemble) -> Result<Action, OperatorError> {
    let (namespace, name) = (ensemble.namespace().unwrap_or_default(), ensemble.name_any());
    let ours = PatchParams::apply(MANAGER).force();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let deployment = deployments.patch(&name, &ours, &Patch::Apply(deployment(ensemble))).await?;
    set_programme(client, ensemble, Some(&ensemble.spec.piece)).await?;
    let status = EnsembleStatus {
        ready: deployment.status.and_then(|status| status.ready_replicas).unwrap_or_default(),
        observed_generation: ensemble.meta().generation.unwrap_or_default(),
    };
    if ensemble.status.as_ref() != Some(&status) {
        let api: Api<Ensemble> = Api::namespaced(client.clone(), &namespace);
        let patch = json!({ "apiVersion": Ensemble::api_version(&()), "kind": Ensemble::kind(&()), "status": status });
        api.patch_status(&name, &ours, &Patch::Apply(patch)).await?;
    }
    Ok(Action::await_change())
}

/// What the operator has an opinion on, and nothing else.
fn deployment(ensemble: &Ensemble) -> Value {
    let (name, spec) = (ensemble.name_any(), &ensemble.spec);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "ownerReferences": ensemble.controller_owner_ref(&()) .map(|owner| vec![owner]) },
        "spec": {
            "replicas": spec.players,
            "selector": { "matchLabels": { "ensemble": name } },
            "template": {
                "metadata": { "labels": { "ensemble": name } },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{ "name": "player", "image": spec.image, "env": [{ "name": "PIECE", "value": spec.piece }] }],
                },
            },
        },
    })
}

/// Writes the ensemble's own line of the programme, or takes it away.
async fn set_programme(
    client: &Client,
    ensemble: &Ensemble,
    piece: Option<&str>,
) -> Result<Action, OperatorError> {
    let (namespace, name) = (ensemble.namespace().unwrap_or_default(), ensemble.name_any());
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let line: Value = piece.map_or_else(|| json!({}), |piece| json!({ &name: piece }));
    let patch =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": PROGRAMME }, "data": line });
    let own = PatchParams::apply(&format!("{MANAGER}/{name}"));
    api.patch(PROGRAMME, &own, &Patch::Apply(patch)).await?;
    Ok(Action::await_change())
}
