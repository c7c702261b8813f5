//! Continuous reaping by the `ReapPolicy` objects of a cluster.
//!
//! Wakes when a policy or a candidate changes, and when the next thing becomes due; without a policy nothing happens at all.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konzert_api::own::ReapPolicy;
use konzert_images::ContentStore;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use super::{execute, snapshot};
use crate::{FleetError, Shutdown, ended};

/// Changes that come in a burst are taken together.
const BURST: Duration = Duration::from_millis(200);
/// Pause after an error.
const RETRY: Duration = Duration::from_secs(5);

/// Runs until the shutdown.
pub async fn run(
    client: Client,
    images: Arc<ContentStore>,
    mut shutdown: Shutdown,
) -> Result<(), FleetError> {
    let work = async {
        let mut policies = changes::<ReapPolicy>(client.clone());
        let mut candidates: SelectAll<BoxStream<'static, ()>> = SelectAll::new();
        let mut next: Option<Timestamp> = None;
        loop {
            let due = sleep_until(next);
            tokio::select! {
                Some(()) = policies.next() => {}
                Some(()) = candidates.next() => {}
                () = due => {}
            }
            tokio::time::sleep(BURST).await;
            match once(&client, &images).await {
                Ok(Run::NoPolicy) => {
                    candidates.clear();
                    next = None;
                }
                Ok(Run::Next(at)) => {
                    if candidates.is_empty() {
                        candidates = watch_candidates(&client);
                    }
                    next = at;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "reaping failed");
                    next = Timestamp::now().checked_add(RETRY).ok();
                }
            }
        }
    };
    tokio::select! {
        () = ended(&mut shutdown) => Ok(()),
        () = work => Ok(()),
    }
}

enum Run {
    NoPolicy,
    Next(Option<Timestamp>),
}

async fn once(client: &Client, images: &ContentStore) -> Result<Run, FleetError> {
    let listed = Api::<ReapPolicy>::all(client.clone()).list(&ListParams::default()).await;
    let policies = listed.map_err(FleetError::api("list reap policies"))?.items;
    if policies.is_empty() {
        return Ok(Run::NoPolicy);
    }
    let mut next = None;
    for policy in policies {
        let now = Timestamp::now();
        for record in execute(client.clone(), Some(images), &policy.spec, now).await? {
            let spec = &record.spec;
            tracing::info!(
                kind = spec.kind,
                name = spec.name,
                rule = spec.rule,
                reason = spec.reason,
                "reaped"
            );
        }
        let left = konzert_reaping::plan(&policy.spec, &snapshot::take(client, Some(images)).await?, now);
        next = [next, left.next].into_iter().flatten().min();
    }
    Ok(Run::Next(next))
}

async fn sleep_until(at: Option<Timestamp>) {
    match at {
        None => std::future::pending().await,
        Some(at) => {
            let left = at.duration_since(Timestamp::now());
            tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
        }
    }
}

fn watch_candidates(client: &Client) -> SelectAll<BoxStream<'static, ()>> {
    let mut all = SelectAll::new();
    all.push(changes::<Pod>(client.clone()));
    all.push(changes::<Job>(client.clone()));
    all.push(changes::<ReplicaSet>(client.clone()));
    all.push(changes::<Deployment>(client.clone()));
    all
}

/// Fires for each change of a kind; metadata is enough to wake up.
fn changes<K>(client: Client) -> BoxStream<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    watcher(Api::<PartialObjectMeta<K>>::all(client), watcher::Config::default())
        .default_backoff()
        .filter_map(|event| async move { event.is_ok().then_some(()) })
        .boxed()
}
