//! Carries out plans. It has no choices left: order, batches and preconditions are all in the plan.
//!
//! The answer to every write goes into the cache of its kind before the next action runs (see `cache`).

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use konzert_workloads::action::{NAMESPACE, POD};
use konzert_workloads::{
    Action, EventNote, FailedAction, Failure, Plan, Propagation, Resource, Scope, Target,
};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::Request;
use serde_json::{Value, json};

use crate::events::Recorder;
use crate::world::World;

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecuteError {
    /// The API refused a write, or could not be reached.
    #[error("{action:?} of {kind} {name} failed")]
    Refused {
        action: FailedAction,
        kind: String,
        name: String,
        #[source]
        source: kube::Error,
    },
    /// The object has changed since the decision; nothing is wrong.
    #[error("{kind} {name} has changed meanwhile")]
    Outdated { kind: String, name: String },
    /// An address or body could not be written.
    #[error("no request for {kind} {name}")]
    Request {
        kind: String,
        name: String,
        #[source]
        source: kube::core::request::Error,
    },
    /// An object could not be written as JSON, or a patch is none.
    #[error("{kind} {name} is not valid JSON")]
    Body {
        kind: String,
        name: String,
        #[source]
        source: serde_json::Error,
    },
}

impl ExecuteError {
    /// What the next decision should know about it. A race is no failure.
    pub(crate) fn as_failure(&self) -> Option<Failure> {
        let Self::Refused { action, source, .. } = self else { return None };
        let (reason, message) = match source {
            kube::Error::Api(status) => (status.reason.clone(), status.message.clone()),
            other => ("Unreachable".to_owned(), other.to_string()),
        };
        Some(Failure { action: *action, reason, message })
    }

    /// Whether trying again is all that is needed.
    pub(crate) fn is_race(&self) -> bool {
        matches!(self, Self::Outdated { .. })
    }
}

pub(crate) struct Executor {
    pub(crate) client: kube::Client,
    pub(crate) world: Arc<World>,
    pub(crate) recorder: Recorder,
    pub(crate) write_concurrency: usize,
}

impl Executor {
    /// Runs the plan; gives back when to ask again.
    pub(crate) async fn run(
        &self,
        source: &'static str,
        plan: Plan,
    ) -> Result<Option<Timestamp>, ExecuteError> {
        let mut actions = plan.actions.into_iter().peekable();
        while let Some(action) = actions.next() {
            if matches!(action, Action::Delete { .. }) {
                let mut deletes = vec![action];
                while let Some(next) = actions.next_if(|next| matches!(next, Action::Delete { .. })) {
                    deletes.push(next);
                }
                self.all(deletes.into_iter().map(|delete| Box::pin(self.one(source, delete)))).await?;
            } else {
                Box::pin(self.one(source, action)).await?;
            }
        }
        Ok(plan.requeue_at)
    }

    /// Runs writes side by side; waits for all that were started, and reports the first failure.
    async fn all<F>(&self, writes: impl Iterator<Item = F>) -> Result<(), ExecuteError>
    where
        F: Future<Output = Result<(), ExecuteError>>,
    {
        let mut writes = writes;
        let mut running = FuturesUnordered::new();
        running.extend(writes.by_ref().take(self.write_concurrency.max(1)));
        let mut first = None;
        while let Some(result) = running.next().await {
            match result {
                Ok(()) if first.is_none() => running.extend(writes.next()),
                Ok(()) => {}
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn one(&self, source: &'static str, action: Action) -> Result<(), ExecuteError> {
        match action {
            Action::Create { resource, object } => self.create(&resource, &object).await,
            Action::CreateBatch { resource, objects, regarding } => {
                self.create_batch(source, &resource, &objects, &regarding).await
            }
            Action::Update { resource, object } => self.replace(&resource, &object, None).await,
            Action::UpdateStatus { resource, object } => {
                self.replace(&resource, &object, Some("status")).await
            }
            Action::FinalizeNamespace { object } => self.replace(&NAMESPACE, &object, Some("finalize")).await,
            Action::Patch { target, operations } => self.patch(&target, operations).await,
            Action::Delete { target, uid, resource_version, grace_seconds, propagation } => {
                let parameters = DeleteParams {
                    dry_run: false,
                    grace_period_seconds: grace_seconds,
                    propagation_policy: propagation.map(policy),
                    preconditions: Some(Preconditions { resource_version, uid: Some(uid.clone()) }),
                };
                self.delete(&target, &uid, &parameters).await
            }
            Action::Bind { namespace, pod, uid, node } => self.bind(&namespace, &pod, &uid, &node).await,
            Action::Event { regarding, note } => {
                self.recorder.record(source, *regarding, note);
                Ok(())
            }
        }
    }

    async fn create(&self, resource: &Resource, object: &Value) -> Result<(), ExecuteError> {
        let target = target_of(resource, object);
        let body = body(&target, object)?;
        let request = Request::new(collection(resource, target.namespace.as_deref()))
            .create(&PostParams::default(), body)
            .map_err(|source| request_error(&target, source))?;
        let text = self.client.request_text(request).await;
        let text = text.map_err(|source| refused(FailedAction::Create, &target, source))?;
        self.world.written(resource, &text);
        Ok(())
    }

    async fn create_batch(
        &self,
        source: &'static str,
        resource: &Resource,
        objects: &[(Value, EventNote)],
        regarding: &ObjectReference,
    ) -> Result<(), ExecuteError> {
        let mut left = objects;
        let mut size = 1;
        while !left.is_empty() {
            let (batch, rest) = left.split_at(size.min(left.len()));
            let writes = batch.iter().map(|(object, note)| async move {
                self.create(resource, object).await?;
                self.recorder.record(source, regarding.clone(), note.clone());
                Ok(())
            });
            self.all(writes.map(Box::pin)).await?;
            left = rest;
            size *= 2;
        }
        Ok(())
    }

    async fn replace(
        &self,
        resource: &Resource,
        object: &Value,
        subresource: Option<&str>,
    ) -> Result<(), ExecuteError> {
        let target = target_of(resource, object);
        let body = body(&target, object)?;
        let address = Request::new(collection(resource, target.namespace.as_deref()));
        let parameters = PostParams::default();
        let request = match subresource {
            Some(part) => address.replace_subresource(part, &target.name, &parameters, body),
            None => address.replace(&target.name, &parameters, body),
        };
        let request = request.map_err(|source| request_error(&target, source))?;
        let text = self.client.request_text(request).await;
        let text = text.map_err(|source| refused(FailedAction::Write, &target, source))?;
        self.world.written(resource, &text);
        Ok(())
    }

    async fn patch(&self, target: &Target, operations: Vec<Value>) -> Result<(), ExecuteError> {
        let operations = serde_json::from_value(Value::Array(operations)).map_err(|source| {
            ExecuteError::Body { kind: target.resource.kind.to_string(), name: target.name.clone(), source }
        })?;
        let request = Request::new(collection(&target.resource, target.namespace.as_deref()))
            .patch(&target.name, &PatchParams::default(), &Patch::Json::<()>(operations))
            .map_err(|source| request_error(target, source))?;
        match self.client.request_text(request).await {
            Ok(text) => {
                self.world.written(&target.resource, &text);
                Ok(())
            }
            // A failed test is how a JSON patch says that the object has changed.
            Err(kube::Error::Api(status)) if status.code == 422 => Err(outdated(target)),
            Err(source) => Err(refused(FailedAction::Write, target, source)),
        }
    }

    async fn delete(
        &self,
        target: &Target,
        uid: &str,
        parameters: &DeleteParams,
    ) -> Result<(), ExecuteError> {
        let request = Request::new(collection(&target.resource, target.namespace.as_deref()))
            .delete(&target.name, parameters)
            .map_err(|source| request_error(target, source))?;
        let space = target.namespace.as_deref().unwrap_or_default();
        match self.client.request_text(request).await {
            Ok(text) if remains(&text) => self.world.written(&target.resource, &text),
            Ok(_) => self.world.erased(&target.resource, space, &target.name, uid),
            // What is gone already needs no deleting; the watch tells the cache.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => return Err(refused(FailedAction::Delete, target, source)),
        }
        Ok(())
    }

    async fn bind(&self, namespace: &str, pod: &str, uid: &str, node: &str) -> Result<(), ExecuteError> {
        let target = Target { resource: POD, namespace: Some(namespace.to_owned()), name: pod.to_owned() };
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": pod, "namespace": namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let request = Request::new(collection(&POD, Some(namespace)))
            .create_subresource("binding", pod, &PostParams::default(), body(&target, &binding)?)
            .map_err(|source| request_error(&target, source))?;
        let answer = self.client.request_text(request).await;
        answer.map(drop).map_err(|source| refused(FailedAction::Write, &target, source))
    }
}

/// Whether the answer to a delete shows an object that stays for a while.
fn remains(answer: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(answer) else { return false };
    let meta = &value["metadata"];
    let held = meta["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    let graceful = meta["deletionGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds > 0);
    value["kind"] != "Status" && meta["deletionTimestamp"].is_string() && (held || graceful)
}

fn policy(propagation: Propagation) -> PropagationPolicy {
    match propagation {
        Propagation::Background => PropagationPolicy::Background,
        Propagation::Foreground => PropagationPolicy::Foreground,
        Propagation::Orphan => PropagationPolicy::Orphan,
    }
}

/// The address of a collection.
pub(crate) fn collection(resource: &Resource, namespace: Option<&str>) -> String {
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    let version = resource.api_version();
    match namespace.filter(|_| resource.scope == Scope::Namespaced) {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{}", resource.plural),
        None => format!("{root}/{version}/{}", resource.plural),
    }
}

fn target_of(resource: &Resource, object: &Value) -> Target {
    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    Target {
        resource: resource.clone(),
        namespace: text("namespace"),
        name: text("name").unwrap_or_default(),
    }
}

fn body(target: &Target, object: &Value) -> Result<Vec<u8>, ExecuteError> {
    serde_json::to_vec(object).map_err(|source| ExecuteError::Body {
        kind: target.resource.kind.to_string(),
        name: target.name.clone(),
        source,
    })
}

fn request_error(target: &Target, source: kube::core::request::Error) -> ExecuteError {
    ExecuteError::Request { kind: target.resource.kind.to_string(), name: target.name.clone(), source }
}

fn outdated(target: &Target) -> ExecuteError {
    ExecuteError::Outdated { kind: target.resource.kind.to_string(), name: target.name.clone() }
}

/// A conflict, or an object that is gone, is a race; everything else is a refusal.
fn refused(action: FailedAction, target: &Target, source: kube::Error) -> ExecuteError {
    let race = match &source {
        kube::Error::Api(status) => match action {
            FailedAction::Create => false,
            FailedAction::Delete | FailedAction::Write => matches!(status.code, 404 | 409),
        },
        _ => false,
    };
    if race {
        return outdated(target);
    }
    ExecuteError::Refused {
        action,
        kind: target.resource.kind.to_string(),
        name: target.name.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use konzert_workloads::action::DEPLOYMENT;

    #[test]
    fn addresses_follow_the_api_conventions() {
        assert_eq!(collection(&POD, Some("shop")), "/api/v1/namespaces/shop/pods");
        assert_eq!(collection(&DEPLOYMENT, Some("shop")), "/apis/apps/v1/namespaces/shop/deployments");
        assert_eq!(collection(&NAMESPACE, None), "/api/v1/namespaces");
    }

    #[test]
    fn only_an_object_with_grace_or_finalizers_stays_after_a_delete() {
        let cases = [
            (json!({"kind": "Status", "status": "Success"}), false),
            (json!({"kind": "Pod", "metadata": {"name": "a"}}), false),
            (
                json!({"kind": "Pod", "metadata": {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 30}}),
                true,
            ),
            (
                json!({"kind": "Pod", "metadata": {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 0}}),
                false,
            ),
            (json!({"kind": "Job", "metadata": {"deletionTimestamp": "t", "finalizers": ["x"]}}), true),
        ];
        for (answer, expected) in cases {
            assert_eq!(remains(&answer.to_string()), expected, "{answer}");
        }
        assert!(!remains("not json"));
    }
}
