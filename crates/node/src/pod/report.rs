//! Telling the API: status writes, the last words of a container, the deletion of the object.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use konzert_lifecycle::{Event, find};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Map, Value, json};

use crate::logs;
use crate::pod::context::{ExitNote, PodContext};
use crate::recorder::is_missing;

const MAX_MESSAGE: u64 = 4096;
const FALLBACK_LINES: u64 = 80;
const FALLBACK_BYTES: usize = 2048;

/// Fields of the status that the node owns: what it leaves out is removed.
const OWNED: [&str; 12] = [
    "conditions",
    "containerStatuses",
    "hostIP",
    "hostIPs",
    "initContainerStatuses",
    "message",
    "observedGeneration",
    "phase",
    "podIP",
    "podIPs",
    "reason",
    "startTime",
];

/// The merge patch that makes the owned fields of the served status equal to `status`, for this uid only.
pub(crate) fn status_patch(uid: &str, status: &PodStatus) -> Value {
    let full = serde_json::to_value(status).unwrap_or_default();
    let fields: Map<_, _> = OWNED
        .into_iter()
        .map(|name| (name.to_owned(), full.get(name).cloned().unwrap_or(Value::Null)))
        .collect();
    json!({"metadata": {"uid": uid}, "status": fields})
}

/// Writes the status. An object that is gone, or is another one of the same name, counts as written.
pub(crate) async fn write_status(context: &PodContext, status: &PodStatus) -> Event {
    let api = Api::<Pod>::namespaced(context.shared.client.clone(), &context.namespace);
    let patch = status_patch(&context.uid, status);
    let written = api.patch_status(&context.name, &PatchParams::default(), &Patch::Merge(patch)).await;
    let taken = match written {
        Ok(_) => true,
        Err(error) if is_missing(&error) => true,
        Err(error) => {
            tracing::warn!(%error, pod = context.name, namespace = context.namespace, "status is not written yet");
            is_another(&api, context).await
        }
    };
    Event::Reported { taken }
}

/// Whether the name belongs to another pod, or to none, by now.
async fn is_another(api: &Api<Pod>, context: &PodContext) -> bool {
    match api.get_opt(&context.name).await {
        Ok(Some(pod)) => pod.metadata.uid.as_deref() != Some(context.uid.as_str()),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Deletes the object for good, if it is still the same one.
pub(crate) async fn delete_object(context: &PodContext) -> Option<Event> {
    let api = Api::<Pod>::namespaced(context.shared.client.clone(), &context.namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(context.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(&context.name, &params).await {
        // A finalizer may keep the object; the node's part is over all the same.
        Ok(_) => Some(Event::PodGone),
        Err(error) if is_missing(&error) => Some(Event::PodGone),
        Err(_) if is_another(&api, context).await => Some(Event::PodGone),
        Err(error) => {
            tracing::warn!(%error, pod = context.name, "the object of a stopped pod is not deleted yet");
            Some(Event::DeleteFailed)
        }
    }
}

/// The termination message: the file the container may have written, or the end of its log when the policy says so.
pub(crate) async fn last_words(context: &PodContext, note: &ExitNote) -> Option<String> {
    let pod = context.pod();
    let policy = find(&pod, &note.name).and_then(|of| of.spec.termination_message_policy.clone());
    let file = context.dirs.attempt(&note.name, note.attempt).join("termination-log");
    let log = context.dirs.log(&note.name, note.attempt);
    let fall_back = policy.as_deref() == Some("FallbackToLogsOnError") && note.exit.code != 0;
    let read = move || {
        let said = logs::bounded(&file, MAX_MESSAGE).unwrap_or_default();
        if said.is_empty() && fall_back {
            return logs::last_text(&log, FALLBACK_LINES, FALLBACK_BYTES).unwrap_or_default();
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    let text = tokio::task::spawn_blocking(read).await.unwrap_or_default();
    Some(text).filter(|text| !text.is_empty())
}
