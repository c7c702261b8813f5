//! Kubernetes events about workloads whose exposure changed.
//!
//! For people: written after the reports, bounded for each change of the world, and a refusal (a namespace that is being
//! deleted) is no failure. The same note about the same workload is one event with a count.

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use sha2::{Digest as _, Sha256};

use super::exposures::{Change, ChangeKind};
use crate::error::api_code;
use crate::inventory::WorkloadRef;

/// Events that one change of the world may cause; an advisory about a base image concerns everything.
pub(crate) const MAX_EVENTS: usize = 250;
/// Written at the same time.
const WRITERS: usize = 8;
const COMPONENT: &str = "konzert-scanner";
/// Longest base of an event name: 253 less a dot and sixteen hex digits.
const MAX_BASE: usize = 236;

/// Writes the events; returns how many were left out.
pub(crate) async fn write(client: &Client, changes: &[Change], now: Timestamp) -> usize {
    let all = changes.iter().take(MAX_EVENTS);
    let writes: Vec<_> = all.map(|change| write_one(client.clone(), event(change, now), now)).collect();
    futures::stream::iter(writes).buffer_unordered(WRITERS).collect::<()>().await;
    let left_out = changes.len().saturating_sub(MAX_EVENTS);
    if left_out > 0 {
        tracing::info!(left_out, "more workloads changed their exposure than get an event");
    }
    left_out
}

async fn write_one(client: Client, event: Event, now: Timestamp) {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client, &namespace);
    let name = event.metadata.name.clone().unwrap_or_default();
    let written = match api.create(&PostParams::default(), &event).await {
        Err(error) if api_code(&error) == Some(409) => count_up(&api, &name, now).await,
        other => other.map(drop),
    };
    if let Err(error) = written {
        tracing::debug!(%error, name, "an event was not written");
    }
}

async fn count_up(api: &Api<Event>, name: &str, now: Timestamp) -> Result<(), kube::Error> {
    let Some(known) = api.get_opt(name).await? else { return Ok(()) };
    let count = known.count.unwrap_or(1).saturating_add(1);
    let patch = serde_json::json!({"count": count, "lastTimestamp": stamp(now)});
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

fn event(change: &Change, now: Timestamp) -> Event {
    let WorkloadRef { kind, namespace, name, uid } = &change.workload;
    let (reason, type_) = match change.kind {
        ChangeKind::Found => ("VulnerabilityFound", "Warning"),
        ChangeKind::Fixed => ("VulnerabilityFixed", "Normal"),
    };
    let unique = Sha256::digest([uid.as_str(), reason, &change.note].join("\n"));
    let mut end = name.len().min(MAX_BASE);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", &name[..end], hex::encode(&unique[..8]))),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: api_version(kind).map(str::to_owned),
            kind: Some(kind.clone()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            ..ObjectReference::default()
        },
        reason: Some(reason.to_owned()),
        message: Some(change.note.clone()),
        type_: Some(type_.to_owned()),
        count: Some(1),
        first_timestamp: Some(stamp(now)),
        last_timestamp: Some(stamp(now)),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: None }),
        reporting_component: Some(COMPONENT.to_owned()),
        ..Event::default()
    }
}

/// Kubernetes writes these times in whole seconds.
fn stamp(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Of the kinds that own pods in every cluster; others are found by their UID.
fn api_version(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" | "Node" | "ReplicationController" => Some("v1"),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => Some("apps/v1"),
        "Job" | "CronJob" => Some("batch/v1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_about_its_workload_and_has_a_name_of_its_content() {
        let workload = WorkloadRef {
            kind: "Deployment".into(),
            namespace: "shop".into(),
            name: "w".repeat(253),
            uid: "u".into(),
        };
        let change = |note: &str| Change {
            workload: workload.clone(),
            kind: ChangeKind::Found,
            note: note.to_owned(),
        };
        let one = event(&change("CVE-1"), Timestamp::UNIX_EPOCH);
        let name = one.metadata.name.clone().unwrap();
        assert!(name.len() <= 253);
        assert_eq!(event(&change("CVE-1"), Timestamp::MAX).metadata.name, Some(name.clone()));
        assert_ne!(event(&change("CVE-2"), Timestamp::UNIX_EPOCH).metadata.name, Some(name));
        assert_eq!(one.involved_object.api_version.as_deref(), Some("apps/v1"));
        assert_eq!(
            (one.reason.as_deref(), one.type_.as_deref()),
            (Some("VulnerabilityFound"), Some("Warning"))
        );
    }
}
