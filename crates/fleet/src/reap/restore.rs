//! Undo: brings back what a record destroyed, from the manifest in the record.

use konzert_api::own::ReapRecord;
use konzert_images::ContentStore;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::Value;

use super::destroy::{close_record, handle};
use crate::FleetError;
use crate::error::{api_code, parse_digest};

/// Metadata that a server sets, and refuses or ignores from a client.
const SERVER_SET: [&str; 8] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "selfLink",
];
/// Labels that a Job controller sets on the pods of one particular Job.
const JOB_LABELS: [&str; 4] =
    ["controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name"];

/// An object as a user would write it, as JSON text.
pub(super) fn cleaned(object: &DynamicObject) -> Result<String, FleetError> {
    let mut value = serde_json::to_value(object).map_err(|e| FleetError::Undo {
        record: object.metadata.name.clone().unwrap_or_default(),
        problem: e.to_string(),
    })?;
    clean(&mut value);
    Ok(value.to_string())
}

fn clean(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in SERVER_SET {
            metadata.remove(field);
        }
    }
    match value["kind"].as_str() {
        Some("Job") if value["spec"]["manualSelector"] != Value::Bool(true) => {
            remove(&mut value["spec"], "selector");
            for labels in ["/spec/template/metadata/labels", "/metadata/labels"] {
                let Some(labels) = value.pointer_mut(labels) else { continue };
                for label in JOB_LABELS {
                    remove(labels, label);
                }
            }
        }
        // A pod that comes back is placed anew.
        Some("Pod") => remove(&mut value["spec"], "nodeName"),
        _ => {}
    }
}

fn remove(value: &mut Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
}

/// Brings back what the record `id` destroyed.
pub async fn undo(client: Client, images: Option<&ContentStore>, id: &str) -> Result<ReapRecord, FleetError> {
    let records: Api<ReapRecord> = Api::all(client.clone());
    let record = records.get_opt(id).await.map_err(FleetError::api(format!("read reap record {id}")))?;
    let record = record.ok_or_else(|| FleetError::Unknown { kind: "reap record", name: id.to_owned() })?;
    let refuse = |problem: String| FleetError::Undo { record: id.to_owned(), problem };
    let state = record.status.as_ref().map(|s| s.state.clone()).unwrap_or_default();
    if state != "Destroyed" {
        return Err(refuse(format!("nothing was destroyed, its state is {state:?}")));
    }
    if record.spec.kind == "Image" {
        let store = images.ok_or_else(|| refuse("no content store on this machine".to_owned()))?;
        let digest = parse_digest(&record.spec.uid)?;
        store.restore(&digest).map_err(FleetError::image(format!("restore image {}", record.spec.name)))?;
        return close_record(&client, record, "Undone", "").await;
    }
    let mut object: DynamicObject = serde_json::from_str(&record.spec.manifest)
        .map_err(|e| refuse(format!("its manifest cannot be read: {e}")))?;
    drop_past_expiry(&mut object);
    // Owners that are gone would make the garbage collector take it away again.
    object.metadata.owner_references = None;
    let api = handle(&client, &record.spec.api_version, &record.spec.kind, &record.spec.namespace);
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => close_record(&client, record, "Undone", "").await,
        Err(error) if api_code(&error) == Some(409) => {
            Err(refuse(format!("{} {} exists again", record.spec.kind.to_lowercase(), record.spec.name)))
        }
        Err(error) => {
            Err(FleetError::api(format!("create {} {}", record.spec.kind, record.spec.name))(error))
        }
    }
}

/// An absolute expiry that brought the object here would destroy it again at once; a TTL starts anew by itself.
fn drop_past_expiry(object: &mut DynamicObject) {
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(konzert_reaping::EXPIRES);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_keeps_what_a_user_wrote_and_nothing_else() {
        let mut job = json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "j", "uid": "u", "resourceVersion": "7", "labels": {"a": "b", "job-name": "j"}},
            "spec": {"selector": {"matchLabels": {"controller-uid": "u"}},
                "template": {"metadata": {"labels": {"controller-uid": "u", "x": "y"}}, "spec": {}}},
            "status": {"succeeded": 1}});
        clean(&mut job);
        assert_eq!(
            job,
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "labels": {"a": "b"}},
                "spec": {"template": {"metadata": {"labels": {"x": "y"}}, "spec": {}}}})
        );
    }
}
