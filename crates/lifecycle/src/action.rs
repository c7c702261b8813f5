//! What the node agent is told to do. Actions are values; they are carried out elsewhere.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PodStatus;

use crate::probe::ProbeKind;

/// One effect for the node agent. `name` is the container's name, `attempt` its instance number (0 first).
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make directories, volumes, cgroup and network of the pod.
    EnsureSandbox,
    /// Look the image up and prepare its root file system.
    CheckImage {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Reference as written in the spec.
        image: String,
    },
    /// Create and start a container on the prepared image.
    CreateContainer {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Manifest digest found by the image check.
        image_id: String,
    },
    /// Run the postStart hook.
    PostStart {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
    },
    /// Run one probe once.
    RunProbe {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Which of the three probes.
        kind: ProbeKind,
    },
    /// Stop gracefully: preStop hook, then the stop signal. The machine asks for [`Action::ForceKill`] at the deadline.
    Kill {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Time the container has, counted from now.
        grace: SignedDuration,
        /// Why, for the event and the log.
        reason: KillReason,
    },
    /// SIGKILL to everything in the container.
    ForceKill {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
    },
    /// Remove an exited instance: shim directory, cgroup, snapshot.
    RemoveContainer {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Runtime id of the instance.
        id: String,
    },
    /// Give up on the pod; carried out by [`crate::PodState::begin`] alone.
    FailPod {
        /// `status.reason`, for example `DeadlineExceeded`.
        reason: &'static str,
        /// `status.message`.
        message: String,
    },
    /// Unmount volumes, remove network, cgroup and the pod's directory.
    TeardownSandbox,
    /// Write the status subresource.
    ReportStatus(Box<PodStatus>),
    /// Delete the API object with grace 0 and a UID precondition.
    DeletePodObject,
}

/// Why a container is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KillReason {
    /// The pod is being deleted.
    PodDeleted,
    /// The pod is over (deadline passed, or only sidecars are left).
    PodFinished,
    /// The liveness probe failed too often.
    Liveness(String),
    /// The startup probe failed too often.
    Startup(String),
    /// The postStart hook failed.
    PostStart(String),
    /// The image in the spec is another one now.
    ImageChanged,
}

impl KillReason {
    /// Sentence for the `Killing` event of container `name`.
    pub fn message(&self, name: &str) -> String {
        match self {
            Self::PodDeleted | Self::PodFinished => format!("Stopping container {name}"),
            Self::Liveness(_) => format!("Container {name} failed liveness probe, will be restarted"),
            Self::Startup(_) => format!("Container {name} failed startup probe, will be restarted"),
            Self::PostStart(why) => format!("PostStartHook of container {name} failed: {why}"),
            Self::ImageChanged => format!("Container {name} definition changed, will be restarted"),
        }
    }
}

/// Answer of [`crate::decide`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// What to do now, in order; independent of each other, so they may run in parallel.
    pub actions: Vec<Action>,
    /// When to ask again although nothing happened.
    pub wake_at: Option<Timestamp>,
    /// Nothing is left of the pod on this node; its state can be dropped.
    pub done: bool,
}
