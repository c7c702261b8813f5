//! A small world for the simulations in tests: it keeps objects and carries out actions as the API server would.
//!
//! Preconditions are honoured, finalizers and graces hold objects, and every change moves the resourceVersion on.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::action::{Action, Plan, Propagation, Resource, Target};

/// Why an action was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Exists,
    Gone,
    Conflict,
}

/// Objects by plural and name. One namespace is enough.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) objects: BTreeMap<(String, String), Value>,
    pub(crate) now: Timestamp,
    version: u64,
    born: u64,
    pub(crate) events: Vec<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { now: Timestamp::from_second(1_700_000_000).unwrap(), ..Self::default() }
    }

    pub(crate) fn pass_time(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub(crate) fn all<T: DeserializeOwned>(&self, plural: &str) -> Vec<Arc<T>> {
        let of_kind = self.objects.iter().filter(|((kind, _), _)| kind == plural);
        of_kind.map(|(_, value)| Arc::new(serde_json::from_value(value.clone()).unwrap())).collect()
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, plural: &str, name: &str) -> Option<T> {
        let value = self.objects.get(&(plural.to_owned(), name.to_owned()))?;
        Some(serde_json::from_value(value.clone()).unwrap())
    }

    pub(crate) fn create(&mut self, plural: &str, mut object: Value) -> Result<(), Refusal> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (plural.to_owned(), name);
        if self.objects.contains_key(&key) {
            return Err(Refusal::Exists);
        }
        self.born += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.born));
        object["metadata"]["namespace"] = json!("default");
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["creationTimestamp"] = json!(self.now.to_string());
        self.store(key, object);
        Ok(())
    }

    fn store(&mut self, key: (String, String), mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key, object);
    }

    /// Changes one object as its user or node would; bumps the generation when the spec changed.
    pub(crate) fn edit(&mut self, plural: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let key = (plural.to_owned(), name.to_owned());
        let Some(mut object) = self.objects.get(&key).cloned() else { return };
        let spec = object["spec"].clone();
        change(&mut object);
        if object["spec"] != spec {
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
        }
        self.settle(key, object);
    }

    /// Stores the object, or lets it go when nothing holds it any more.
    fn settle(&mut self, key: (String, String), object: Value) {
        let deleting = object["metadata"]["deletionTimestamp"].is_string();
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        let graceful = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() > 0;
        if deleting && !held && !graceful {
            self.objects.remove(&key);
        } else {
            self.store(key, object);
        }
    }

    /// Runs a plan up to its first refusal, or up to `limit` actions, as if the process had died then.
    pub(crate) fn run(&mut self, plan: Plan, limit: usize) -> Result<(), Refusal> {
        for action in plan.actions.into_iter().take(limit) {
            self.act(action)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), Refusal> {
        match action {
            Action::Create { resource, object } => self.create(&resource.plural, object),
            Action::CreateBatch { resource, objects, .. } => {
                for (object, note) in objects {
                    self.create(&resource.plural, object)?;
                    self.events.push(format!("{} {}", note.reason, note.message));
                }
                Ok(())
            }
            Action::Update { resource, object } => self.replace(&resource, object, "spec"),
            Action::UpdateStatus { resource, object } => self.replace(&resource, object, "status"),
            Action::Patch { target, operations } => self.patch(&target, &operations),
            Action::Delete { target, uid, resource_version, grace_seconds, propagation } => {
                self.check(&target, &uid, resource_version.as_deref())?;
                self.delete(&target, grace_seconds, propagation);
                Ok(())
            }
            Action::Event { note, .. } => {
                self.events.push(format!("{} {}", note.reason, note.message));
                Ok(())
            }
            Action::FinalizeNamespace { .. } | Action::Bind { .. } => panic!("not part of this world"),
        }
    }

    fn replace(&mut self, resource: &Resource, object: Value, part: &str) -> Result<(), Refusal> {
        let key = (resource.plural.to_string(), object["metadata"]["name"].as_str().unwrap().to_owned());
        let held = self.objects.get(&key).ok_or(Refusal::Gone)?;
        if held["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Err(Refusal::Conflict);
        }
        let mut next = held.clone();
        if part == "status" {
            next["status"] = object["status"].clone();
        } else {
            next = object;
        }
        self.settle(key, next);
        Ok(())
    }

    fn patch(&mut self, target: &Target, operations: &[Value]) -> Result<(), Refusal> {
        let key = (target.resource.plural.to_string(), target.name.clone());
        let held = self.objects.get(&key).ok_or(Refusal::Gone)?;
        let spec = held["spec"].clone();
        let mut next = held.clone();
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(operations.to_vec())).unwrap();
        if json_patch::patch(&mut next, &patch).is_err() {
            return Err(Refusal::Conflict);
        }
        if next["spec"] != spec {
            next["metadata"]["generation"] = json!(next["metadata"]["generation"].as_i64().unwrap() + 1);
        }
        self.settle(key, next);
        Ok(())
    }

    fn check(&self, target: &Target, uid: &str, version: Option<&str>) -> Result<(), Refusal> {
        let key = (target.resource.plural.to_string(), target.name.clone());
        let meta = &self.objects.get(&key).ok_or(Refusal::Gone)?["metadata"];
        let same_version = version.is_none_or(|version| meta["resourceVersion"] == version);
        if meta["uid"] == uid && same_version { Ok(()) } else { Err(Refusal::Conflict) }
    }

    /// As a DELETE without preconditions.
    pub(crate) fn delete(&mut self, target: &Target, grace: Option<u32>, propagation: Option<Propagation>) {
        let key = (target.resource.plural.to_string(), target.name.clone());
        let Some(mut object) = self.objects.get(&key).cloned() else { return };
        if !object["metadata"]["deletionTimestamp"].is_string() {
            object["metadata"]["deletionTimestamp"] = json!(self.now.to_string());
            let finalizer = match propagation {
                Some(Propagation::Foreground) => Some(crate::garbage::FOREGROUND),
                Some(Propagation::Orphan) => Some(crate::garbage::ORPHAN),
                _ => None,
            };
            if let Some(finalizer) = finalizer {
                let mut held = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                held.push(json!(finalizer));
                object["metadata"]["finalizers"] = json!(held);
            }
            let runs = object["spec"]["nodeName"].is_string()
                && !matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            object["metadata"]["deletionGracePeriodSeconds"] =
                json!(if runs { grace.unwrap_or(30) } else { 0 });
        }
        self.settle(key, object);
    }

    pub(crate) fn pods(&self) -> Vec<Arc<Pod>> {
        self.all("pods")
    }

    /// What the node does: the pod is bound, runs and is ready (or is not).
    pub(crate) fn run_pod(&mut self, name: &str, ready: bool) {
        let now = self.now.to_string();
        self.edit("pods", name, |pod| {
            pod["spec"]["nodeName"] = json!("node");
            let status = if ready { "True" } else { "False" };
            let before = pod["status"]["conditions"][0].clone();
            let since =
                if before["status"] == status { before["lastTransitionTime"].clone() } else { json!(now) };
            pod["status"] = json!({"phase": "Running",
                "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": since}]});
        });
    }

    /// What the node does: all containers have ended.
    pub(crate) fn end_pod(&mut self, name: &str, phase: &str) {
        let now = self.now.to_string();
        self.edit("pods", name, |pod| {
            pod["spec"]["nodeName"] = json!("node");
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            pod["status"] = json!({"phase": phase, "containerStatuses": [{"name": "c", "image": "i", "imageID": "i",
                "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": i32::from(phase == "Failed"), "finishedAt": now}}}]});
        });
    }

    /// What the node does: a pod that is being deleted has gone.
    pub(crate) fn finish_pod(&mut self, name: &str) {
        self.edit("pods", name, |pod| {
            if pod["metadata"]["deletionTimestamp"].is_string() {
                pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            }
        });
    }
}
