//! `PatchCampaign`: one vulnerability, all containers. The spec is the wish; the status is the journal from which an
//! executor resumes after a restart at any point.
//!
//! Invariant: a workload's entry names its UID and both images before its first change is written.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to patch, and how carefully. Cluster-scoped.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "konzert.dev",
    version = "v1alpha1",
    kind = "PatchCampaign",
    plural = "patchcampaigns",
    singular = "patchcampaign",
    shortname = "pc",
    status = "PatchCampaignStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Wave","type":"integer","jsonPath":".status.wave"}"#,
    printcolumn = r#"{"name":"Patched","type":"integer","jsonPath":".status.patched"}"#,
    printcolumn = r#"{"name":"Exposed","type":"integer","jsonPath":".status.exposedAfter"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PatchCampaignSpec {
    /// Advisory ids or aliases to remove.
    pub advisories: Vec<String>,
    /// Only these namespaces; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Label selector on the workloads; empty means all.
    #[serde(default)]
    pub selector: String,
    /// Cumulative size of each wave: a count (`1`) or a share of the workloads (`10%`).
    pub waves: Vec<String>,
    /// How long a wave must stay healthy before the next one, in seconds.
    pub soak_seconds: u32,
    /// How long a wave may take to become ready, in seconds.
    pub ready_seconds: u32,
    /// Most workloads that one campaign may change.
    pub max_workloads: u32,
    /// Do nothing until this is false again.
    #[serde(default)]
    pub paused: bool,
    /// Roll back the wave under way and stop.
    #[serde(default)]
    pub aborted: bool,
    /// Put every patched workload back to the image it had.
    #[serde(default)]
    pub undo: bool,
}

/// Where the campaign is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchCampaignStatus {
    /// Phase of the whole campaign.
    pub phase: CampaignPhase,
    /// One sentence for people: what happens, or why it stopped.
    #[serde(default)]
    pub message: String,
    /// The wave under way, from 1; 0 before the first.
    pub wave: u32,
    /// How many waves there are.
    pub waves: u32,
    /// Workloads in state `Patched`.
    pub patched: u32,
    /// Running containers that had the advisory when the campaign was planned.
    pub exposed_before: u32,
    /// Running containers that still have it by the last scan.
    pub exposed_after: u32,
    /// Every workload that was looked at, patched or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadProgress>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// RFC 3339; when the wave under way became ready, from which the soak counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave_ready_at: Option<String>,
    /// RFC 3339; when the wave under way was started, from which the ready deadline counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave_started_at: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// Phases of a campaign; `Completed`, `RolledBack`, `Refused`, `Aborted` and `Undone` are final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CampaignPhase {
    /// Not planned yet.
    #[default]
    Pending,
    /// A wave is under way.
    Running,
    /// Waits because `spec.paused`.
    Paused,
    /// A wave failed its gate and is being put back.
    RollingBack,
    /// Every workload that could be patched is, and the re-scan agrees.
    Completed,
    /// A wave failed and was put back; later waves were not started.
    RolledBack,
    /// Nothing was changed: no remedy, or over the cap.
    Refused,
    /// Stopped by `spec.aborted`.
    Aborted,
    /// Put back by `spec.undo`.
    Undone,
}

/// One workload in a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadProgress {
    /// `Deployment`, `Pod`, ...
    pub kind: String,
    /// Namespace of the workload.
    pub namespace: String,
    /// Name of the workload.
    pub name: String,
    /// UID the plan was made for; a change is refused for any other.
    pub uid: String,
    /// From 1; 0 when the workload is not patched at all.
    pub wave: u32,
    /// How far it is.
    pub state: WorkloadState,
    /// Containers whose image changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ImageChange>,
    /// Why it is in this state; the reason when there is no remedy.
    #[serde(default)]
    pub message: String,
}

/// State of one workload in a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadState {
    /// Its wave has not come yet.
    #[default]
    Waiting,
    /// The new image was written to the workload.
    Patching,
    /// Runs the new image, ready, re-scanned.
    Patched,
    /// The old image was written back.
    RolledBack,
    /// No safe remedy; `message` says why.
    NotPatchable,
    /// Gone or replaced (UID differs) since the plan.
    Gone,
}

/// One image swap in a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageChange {
    /// Container name in the pod template.
    pub container: String,
    /// Image reference before, as written in the spec.
    pub before: String,
    /// Digest that ran before.
    pub before_digest: String,
    /// Image reference after, pinned by digest.
    pub after: String,
    /// Digest after.
    pub after_digest: String,
    /// `rebase`, `tag`, `upgrade`.
    pub remedy: String,
    /// Evidence from the scan of what ran afterwards; empty until then.
    #[serde(default)]
    pub evidence: String,
}
