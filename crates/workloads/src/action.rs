//! What a decision asks for: one `Action` enum for every controller, carried out without further choices.
//!
//! Invariants: every action that destroys carries the UID it means; every action that overwrites carries the state it was
//! decided on (a `resourceVersion` in the object, or `test` operations in the patch). Actions of one plan run in order, and
//! the first one that fails ends the plan.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};

/// Whether a resource lives in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Scope {
    /// Objects belong to a namespace.
    Namespaced,
    /// Objects belong to the cluster.
    Cluster,
}

/// A resource of the API: enough to write its address and its type header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// API version, such as `v1`.
    pub version: Cow<'static, str>,
    /// Kind, such as `Pod`.
    pub kind: Cow<'static, str>,
    /// Plural name in addresses, such as `pods`.
    pub plural: Cow<'static, str>,
    /// Namespaced or cluster-scoped.
    pub scope: Scope,
}

impl Resource {
    const fn fixed(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        scope: Scope,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            scope,
        }
    }

    /// The `apiVersion` of objects of this resource.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// Pods.
pub const POD: Resource = Resource::fixed("", "v1", "Pod", "pods", Scope::Namespaced);
/// Namespaces.
pub const NAMESPACE: Resource = Resource::fixed("", "v1", "Namespace", "namespaces", Scope::Cluster);
/// Nodes.
pub const NODE: Resource = Resource::fixed("", "v1", "Node", "nodes", Scope::Cluster);
/// Services.
pub const SERVICE: Resource = Resource::fixed("", "v1", "Service", "services", Scope::Namespaced);
/// Service accounts.
pub const SERVICE_ACCOUNT: Resource =
    Resource::fixed("", "v1", "ServiceAccount", "serviceaccounts", Scope::Namespaced);
/// Replica sets.
pub const REPLICA_SET: Resource =
    Resource::fixed("apps", "v1", "ReplicaSet", "replicasets", Scope::Namespaced);
/// Deployments.
pub const DEPLOYMENT: Resource =
    Resource::fixed("apps", "v1", "Deployment", "deployments", Scope::Namespaced);
/// Jobs.
pub const JOB: Resource = Resource::fixed("batch", "v1", "Job", "jobs", Scope::Namespaced);
/// Endpoint slices.
pub const ENDPOINT_SLICE: Resource =
    Resource::fixed("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", Scope::Namespaced);

/// One object of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Target {
    /// Its resource.
    pub resource: Resource,
    /// Its namespace; `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Target {
    /// The object that `meta` describes.
    pub fn of(resource: &Resource, meta: &ObjectMeta) -> Self {
        Self {
            resource: resource.clone(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

/// How dependents of a deleted object are treated (meta/v1 `DeletionPropagation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Propagation {
    /// The object goes at once, its dependents later.
    Background,
    /// Dependents go first, the object waits for them.
    Foreground,
    /// Dependents stay without their owner.
    Orphan,
}

/// `Normal` or `Warning`, as core/v1 events say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum EventType {
    /// For information.
    Normal,
    /// Something needs a look.
    Warning,
}

/// A core/v1 event to be recorded about an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct EventNote {
    /// `Normal` or `Warning`.
    pub kind: EventType,
    /// Short machine-readable reason.
    pub reason: Cow<'static, str>,
    /// For people.
    pub message: String,
}

impl EventNote {
    /// A `Normal` event.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: EventType::Normal, reason: Cow::Borrowed(reason), message: message.into() }
    }

    /// A `Warning` event.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: EventType::Warning, reason: Cow::Borrowed(reason), message: message.into() }
    }
}

/// One effect, complete with its preconditions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Action {
    /// POST one object.
    Create {
        /// Where to.
        resource: Resource,
        /// The whole object.
        object: Value,
    },
    /// POST many objects of one resource, each followed by its event when it succeeded. Batches start with one object and double, so that a
    /// refusal (a quota, an admission rule) costs one request and not all of them; a failure in one batch ends the plan.
    CreateBatch {
        /// Where to.
        resource: Resource,
        /// Whole objects, with the event to record when the object exists.
        objects: Vec<(Value, EventNote)>,
        /// What the events are about.
        regarding: Box<ObjectReference>,
    },
    /// PUT the object; its `metadata.resourceVersion` is the precondition.
    Update {
        /// Where to.
        resource: Resource,
        /// The whole object.
        object: Value,
    },
    /// PUT to the `status` subresource; `metadata.resourceVersion` is the precondition.
    UpdateStatus {
        /// Where to.
        resource: Resource,
        /// The whole object.
        object: Value,
    },
    /// JSON patch (RFC 6902); the `test` operations are the precondition.
    Patch {
        /// What to patch.
        target: Target,
        /// RFC 6902 operations.
        operations: Vec<Value>,
    },
    /// DELETE with preconditions. Neighbouring deletes of one plan may run at the same time.
    Delete {
        /// What to delete.
        target: Target,
        /// It must still be this object.
        uid: String,
        /// And, when given, still in this state.
        resource_version: Option<String>,
        /// `None` leaves the grace period to the object.
        grace_seconds: Option<u32>,
        /// `None` leaves it to the finalizers and the default of the kind.
        propagation: Option<Propagation>,
    },
    /// PUT to `namespaces/<name>/finalize` with these finalizers.
    FinalizeNamespace {
        /// The whole object with `spec.finalizers` as they shall be.
        object: Value,
    },
    /// POST to `pods/<name>/binding`.
    Bind {
        /// Namespace of the pod.
        namespace: String,
        /// Name of the pod.
        pod: String,
        /// UID of the pod.
        uid: String,
        /// Name of the node.
        node: String,
    },
    /// Record an event.
    Event {
        /// What it is about.
        regarding: Box<ObjectReference>,
        /// What to say.
        note: EventNote,
    },
}

/// What a decision wants: actions in order, and when to be asked again if nothing changes before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Run in order; the first failure ends the plan.
    pub actions: Vec<Action>,
    /// Ask again at this instant. `None`: only a change of the world matters.
    pub requeue_at: Option<Timestamp>,
}

impl Plan {
    /// Nothing to do.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Asks to be asked again at `at`, or earlier if that was wanted already.
    pub fn requeue(&mut self, at: Timestamp) {
        self.requeue_at = Some(self.requeue_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Adds a `DELETE` that means exactly this object.
    pub fn delete(&mut self, resource: &Resource, meta: &ObjectMeta, propagation: Option<Propagation>) {
        self.actions.push(Action::Delete {
            target: Target::of(resource, meta),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: None,
            grace_seconds: None,
            propagation,
        });
    }

    /// Adds a JSON patch that applies to exactly this object only.
    pub fn patch(&mut self, resource: &Resource, meta: &ObjectMeta, operations: Vec<Value>) {
        let mut guarded = vec![json!({"op": "test", "path": "/metadata/uid", "value": meta.uid})];
        guarded.extend(operations);
        self.actions.push(Action::Patch { target: Target::of(resource, meta), operations: guarded });
    }

    /// Adds an event about an object.
    pub fn event(&mut self, regarding: ObjectReference, note: EventNote) {
        self.actions.push(Action::Event { regarding: Box::new(regarding), note });
    }
}

/// What went wrong when the last plan for this key was carried out. A decision may publish it in a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which action failed.
    pub action: FailedAction,
    /// The reason the API gave, such as `AlreadyExists` or `Forbidden`.
    pub reason: String,
    /// The message the API gave.
    pub message: String,
}

/// The kind of action that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum FailedAction {
    /// An object could not be created.
    Create,
    /// An object could not be deleted.
    Delete,
    /// Anything else.
    Write,
}

/// The object as JSON with its type header, as the API wants it.
pub fn with_header<T: Serialize>(resource: &Resource, object: &T) -> Value {
    let mut value = serde_json::to_value(object).expect("API objects always serialise to JSON");
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), Value::String(resource.api_version()));
        map.insert("kind".to_owned(), Value::String(resource.kind.to_string()));
    }
    value
}

/// A reference for events about the object.
pub fn reference(resource: &Resource, meta: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(resource.api_version()),
        kind: Some(resource.kind.to_string()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}
