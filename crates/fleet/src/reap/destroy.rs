//! One destroy: look again, record, delete with preconditions, complete the record.

use std::collections::BTreeMap;

use jiff::Timestamp;
use konzert_api::own::{ReapRecord, ReapRecordSpec, ReapRecordStatus};
use konzert_images::{ContentStore, Force, ImageError};
use konzert_reaping::Destroy;
use kube::Client;
use kube::api::{
    Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

use super::restore::cleaned;
use super::snapshot::object_path;
use crate::FleetError;
use crate::error::{api_code, parse_digest};

/// Carries one decision out; an object that is gone or changed is recorded as skipped.
pub(super) async fn destroy(
    client: &Client,
    images: Option<&ContentStore>,
    decision: &Destroy,
    now: Timestamp,
) -> Result<ReapRecord, FleetError> {
    match images {
        Some(store) if decision.kind == "Image" => image(client, store, decision, now).await,
        _ => object(client, decision, now).await,
    }
}

/// A typed enough handle on any built-in kind.
pub(super) fn handle(client: &Client, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

async fn object(client: &Client, decision: &Destroy, now: Timestamp) -> Result<ReapRecord, FleetError> {
    let path = object_path(&decision.namespace, &decision.name);
    let what = format!("{} {path}", decision.kind.to_lowercase());
    let api = handle(client, &decision.api_version, &decision.kind, &decision.namespace);
    let found = api.get_opt(&decision.name).await.map_err(FleetError::api(format!("read {what}")))?;
    let found = found.filter(|object| object.metadata.uid.as_deref() == Some(&decision.uid));
    let manifest = found.as_ref().map(cleaned).transpose()?.unwrap_or_default();
    let record = open_record(client, decision, manifest, now).await?;
    let Some(found) = found else {
        return close_record(client, record, "Skipped", "it is gone, or another object has its name").await;
    };
    let mut params =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    params.preconditions = Some(Preconditions {
        uid: Some(decision.uid.clone()),
        resource_version: found.metadata.resource_version,
    });
    match api.delete(&decision.name, &params).await {
        Ok(_) => close_record(client, record, "Destroyed", "").await,
        Err(error) if api_code(&error) == Some(404) => {
            close_record(client, record, "Skipped", "it was gone already").await
        }
        Err(error) if api_code(&error) == Some(409) => {
            close_record(client, record, "Skipped", "it changed after the decision").await
        }
        Err(error) => close_record(client, record, "Failed", &error.to_string()).await,
    }
}

/// An image goes to the trash, from which an undo brings it back.
async fn image(
    client: &Client,
    store: &ContentStore,
    decision: &Destroy,
    now: Timestamp,
) -> Result<ReapRecord, FleetError> {
    let digest = parse_digest(&decision.uid)?;
    let record = open_record(client, decision, json!({"digest": decision.uid}).to_string(), now).await?;
    match store.trash(&digest, Force::No, now) {
        Ok(_) => close_record(client, record, "Destroyed", "").await,
        Err(error @ (ImageError::InUse { .. } | ImageError::NotFound { .. })) => {
            close_record(client, record, "Skipped", &error.to_string()).await
        }
        Err(error) => close_record(client, record, "Failed", &error.to_string()).await,
    }
}

async fn open_record(
    client: &Client,
    decision: &Destroy,
    manifest: String,
    now: Timestamp,
) -> Result<ReapRecord, FleetError> {
    let mut record = ReapRecord::new(
        "",
        ReapRecordSpec {
            api_version: decision.api_version.clone(),
            kind: decision.kind.clone(),
            namespace: decision.namespace.clone(),
            name: decision.name.clone(),
            uid: decision.uid.clone(),
            rule: decision.rule.to_owned(),
            reason: decision.reason.clone(),
            at: now.to_string(),
            manifest,
            undo: BTreeMap::new(),
        },
    );
    record.metadata.name = None;
    record.metadata.generate_name = Some("rr-".to_owned());
    let created = Api::<ReapRecord>::all(client.clone()).create(&PostParams::default(), &record).await;
    let created = created.map_err(FleetError::api("write a reap record"))?;
    close_record(client, created, "Planned", "").await
}

/// Writes how far a destroy is.
pub(super) async fn close_record(
    client: &Client,
    record: ReapRecord,
    state: &str,
    message: &str,
) -> Result<ReapRecord, FleetError> {
    let name = record.metadata.name.unwrap_or_default();
    let status = ReapRecordStatus { state: state.to_owned(), message: message.to_owned() };
    let api = Api::<ReapRecord>::all(client.clone());
    let patch = Patch::Merge(json!({"status": status}));
    let written = api.patch_status(&name, &PatchParams::default(), &patch).await;
    written.map_err(FleetError::api(format!("update reap record {name}")))
}
