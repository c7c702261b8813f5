//! `ReapPolicy` (rules by which things are no longer needed) and `ReapRecord` (what was destroyed, why, and how to undo it).
//!
//! Invariant: a record is written before the object is deleted, so that it outlives the object in every case.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which things are no longer needed, and how many may go at once. Cluster-scoped.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "konzert.dev",
    version = "v1alpha1",
    kind = "ReapPolicy",
    plural = "reappolicies",
    singular = "reappolicy",
    shortname = "rp",
    derive = "PartialEq",
    printcolumn = r#"{"name":"DryRun","type":"boolean","jsonPath":".spec.dryRun"}"#,
    printcolumn = r#"{"name":"Cap","type":"integer","jsonPath":".spec.cap"}"#
)]
#[serde(rename_all = "camelCase", default)]
pub struct ReapPolicySpec {
    /// Honour `janitor/ttl` and `janitor/expires` annotations.
    pub ttl: bool,
    /// Finished Jobs older than this many seconds; absent turns the rule off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_jobs_after_seconds: Option<u64>,
    /// Finished bare pods older than this many seconds; absent turns the rule off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_pods_after_seconds: Option<u64>,
    /// `ReplicaSets` with no pods whose owner is gone, or that no Deployment keeps for its history.
    pub orphaned_replica_sets: bool,
    /// Images that no workload names, older than this many seconds; absent turns the rule off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused_images_after_seconds: Option<u64>,
    /// Namespaces that are never touched.
    pub protected_namespaces: Vec<String>,
    /// Most destroys in one run.
    pub cap: u32,
    /// Plan and report only.
    pub dry_run: bool,
}

impl Default for ReapPolicySpec {
    fn default() -> Self {
        Self {
            ttl: true,
            finished_jobs_after_seconds: Some(3600),
            finished_pods_after_seconds: Some(3600),
            orphaned_replica_sets: true,
            unused_images_after_seconds: Some(24 * 3600),
            protected_namespaces: vec!["kube-system".into(), "kube-public".into(), "kube-node-lease".into()],
            cap: 50,
            dry_run: false,
        }
    }
}

/// One destroyed thing. Cluster-scoped; the name is the id that `konzert reap undo` takes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "konzert.dev",
    version = "v1alpha1",
    kind = "ReapRecord",
    plural = "reaprecords",
    singular = "reaprecord",
    shortname = "rr",
    status = "ReapRecordStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Kind","type":"string","jsonPath":".spec.kind"}"#,
    printcolumn = r#"{"name":"Object","type":"string","jsonPath":".spec.name"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".spec.reason"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ReapRecordSpec {
    /// API version of the object; empty for an image.
    #[serde(default)]
    pub api_version: String,
    /// Kind of the object; `Image` for an image.
    pub kind: String,
    /// Namespace, empty for cluster-scoped things and images.
    #[serde(default)]
    pub namespace: String,
    /// Name of the object, or the image's reference.
    pub name: String,
    /// UID, or the image's digest.
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf",
        "message": "a record is about one object: make another one",
    }]))]
    pub uid: String,
    /// Which rule: `ttl`, `expired`, `finished-job`, `finished-pod`, `orphaned-replicaset`, `unused-image`.
    pub rule: String,
    /// The reason in a sentence, with the facts it rests on.
    pub reason: String,
    /// When it was decided, RFC 3339.
    pub at: String,
    /// The object as it was, cleaned of server-set fields, as JSON text; for an image where its kept manifest lies.
    pub manifest: String,
    /// Facts an undo needs that are not in the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub undo: BTreeMap<String, String>,
}

/// How far a destroy is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReapRecordStatus {
    /// `Planned`, `Destroyed`, `Failed`, `Skipped`, `Undone`.
    pub state: String,
    /// The error or the precondition that did not hold.
    #[serde(default)]
    pub message: String,
}
