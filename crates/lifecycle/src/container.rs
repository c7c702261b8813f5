//! One container: its states and the one function that moves between them.
//!
//! A change that does not fit the state is refused with [`TransitionError`]; late answers of effects end there.

use jiff::Timestamp;

use crate::action::KillReason;

/// Where a container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Nothing exists; `hold` says why not yet.
    Waiting {
        /// What the container waits for; `None` is its turn.
        hold: Option<Hold>,
    },
    /// The image is looked up.
    CheckingImage {
        /// Instance number.
        attempt: u32,
        /// Reference that is looked up.
        image: String,
    },
    /// The image is here and its root file system prepared; the sandbox may be missing.
    ImageReady {
        /// Instance number.
        attempt: u32,
        /// Reference in the spec at that time.
        image: String,
        /// Manifest digest.
        image_id: String,
    },
    /// The runtime was asked to create and start it.
    Creating {
        /// Instance number.
        attempt: u32,
        /// Reference in the spec at that time.
        image: String,
        /// Manifest digest.
        image_id: String,
    },
    /// It runs.
    Running(Run),
    /// It runs and was told to stop.
    Stopping {
        /// The instance.
        run: Run,
        /// Why and until when.
        stop: Stop,
    },
    /// The last instance ended.
    Exited(Termination),
}

/// A running instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Runtime id.
    pub id: String,
    /// Instance number, equal to the restart count.
    pub attempt: u32,
    /// Reference it was started from.
    pub image: String,
    /// Manifest digest it was started from.
    pub image_id: String,
    /// When its process started.
    pub started_at: Timestamp,
    /// Where its postStart hook stands.
    pub hook: Hook,
}

/// Where a postStart hook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Not run yet.
    Due,
    /// Running.
    Running,
    /// Done, or there is none.
    Done,
}

/// An ordered stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: KillReason,
    /// When the order was given.
    pub since: Timestamp,
    /// When SIGKILL follows.
    pub deadline: Timestamp,
    /// When SIGKILL was sent last.
    pub forced_at: Option<Timestamp>,
}

/// Why a container is not created yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Reason shown in the status.
    pub reason: WaitReason,
    /// What exactly is wrong.
    pub message: String,
    /// Image the trouble belongs to; a new image in the spec ends the hold.
    pub image: String,
    /// When the trouble was seen.
    pub since: Timestamp,
    /// When to try again.
    pub until: Timestamp,
}

/// Reasons of a waiting container, as users know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// The image is not in the content store and could not be pulled.
    ErrImagePull,
    /// Same, between two attempts.
    ImagePullBackOff,
    /// Not in the store and the policy is `Never`.
    ErrImageNeverPull,
    /// The reference cannot be parsed.
    InvalidImageName,
    /// A referenced object or key is missing, or the spec asks for what cannot be done.
    CreateContainerConfigError,
    /// Preparing the container failed on this host.
    CreateContainerError,
}

impl WaitReason {
    /// The word in `state.waiting.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ErrImagePull => "ErrImagePull",
            Self::ImagePullBackOff => "ImagePullBackOff",
            Self::ErrImageNeverPull => "ErrImageNeverPull",
            Self::InvalidImageName => "InvalidImageName",
            Self::CreateContainerConfigError => "CreateContainerConfigError",
            Self::CreateContainerError => "CreateContainerError",
        }
    }
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// Instance number.
    pub attempt: u32,
    /// Runtime id; empty when it never got one.
    pub id: String,
    /// Exit code, 128 + signal for signals.
    pub exit_code: i32,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Reason shown in the status.
    pub reason: TerminationReason,
    /// Termination message.
    pub message: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// Reasons of a terminated container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationReason {
    /// Exit code 0.
    Completed,
    /// Any other exit code.
    Error,
    /// The kernel killed it for memory.
    OomKilled,
    /// Its process could not be started.
    StartError,
    /// It was gone when the node came back.
    ContainerStatusUnknown,
}

impl TerminationReason {
    /// The word in `state.terminated.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::OomKilled => "OOMKilled",
            Self::StartError => "StartError",
            Self::ContainerStatusUnknown => "ContainerStatusUnknown",
        }
    }

    /// The reason of a word from a stored status; unknown words count as `Error`.
    pub fn parse(word: &str) -> Self {
        match word {
            "Completed" => Self::Completed,
            "OOMKilled" => Self::OomKilled,
            "StartError" => Self::StartError,
            "ContainerStatusUnknown" => Self::ContainerStatusUnknown,
            _ => Self::Error,
        }
    }
}

/// What moves a container from one state to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The image check began for this instance.
    CheckImage {
        /// Instance number.
        attempt: u32,
        /// Reference.
        image: String,
    },
    /// The image is there.
    ImageReady {
        /// Instance number.
        attempt: u32,
        /// Manifest digest.
        image_id: String,
    },
    /// Image check or creation failed; try again later.
    Refused {
        /// Instance number.
        attempt: u32,
        /// Why and until when.
        hold: Hold,
    },
    /// Creation began.
    Create,
    /// The process runs.
    Started {
        /// Instance number.
        attempt: u32,
        /// Runtime id.
        id: String,
        /// Start time.
        started_at: Timestamp,
        /// Whether a hook is due.
        hook: Hook,
    },
    /// The hook began or ended.
    Hook {
        /// Instance number.
        attempt: u32,
        /// Its new standing.
        hook: Hook,
    },
    /// Told to stop.
    Stop(Stop),
    /// SIGKILL was sent.
    Force {
        /// When.
        at: Timestamp,
    },
    /// The instance ended.
    Exited(Termination),
}

/// A change that does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("container {name}: {change} does not fit the state {state}")]
pub struct TransitionError {
    /// Container name.
    pub name: String,
    /// State it was in.
    pub state: String,
    /// Change that was refused.
    pub change: String,
}

impl ContainerState {
    /// The state after `change`, or `None` when the change does not fit.
    #[must_use]
    pub fn next(&self, change: &Change) -> Option<Self> {
        use ContainerState as S;
        Some(match (self.clone(), change.clone()) {
            (S::Waiting { .. } | S::Exited(_), Change::CheckImage { attempt, image }) => {
                S::CheckingImage { attempt, image }
            }
            (S::CheckingImage { attempt, image }, Change::ImageReady { attempt: of, image_id })
                if attempt == of =>
            {
                S::ImageReady { attempt, image, image_id }
            }
            (
                S::CheckingImage { attempt, .. } | S::Creating { attempt, .. },
                Change::Refused { attempt: of, hold },
            ) if attempt == of => S::Waiting { hold: Some(hold) },
            (S::ImageReady { attempt, image, image_id }, Change::Create) => {
                S::Creating { attempt, image, image_id }
            }
            (
                S::Creating { attempt, image, image_id },
                Change::Started { attempt: of, id, started_at, hook },
            ) if attempt == of => S::Running(Run { id, attempt, image, image_id, started_at, hook }),
            (S::Running(run), Change::Hook { attempt, hook }) if run.attempt == attempt => {
                S::Running(Run { hook, ..run })
            }
            (S::Stopping { run, stop }, Change::Hook { attempt, hook }) if run.attempt == attempt => {
                S::Stopping { run: Run { hook, ..run }, stop }
            }
            (S::Running(run), Change::Stop(stop)) => S::Stopping { run, stop },
            (S::Stopping { run, stop }, Change::Force { at }) => {
                S::Stopping { run, stop: Stop { forced_at: Some(at), ..stop } }
            }
            (S::Creating { attempt, .. }, Change::Exited(end)) if attempt == end.attempt => S::Exited(end),
            (S::Running(run) | S::Stopping { run, .. }, Change::Exited(end))
                if run.attempt == end.attempt =>
            {
                S::Exited(end)
            }
            _ => return None,
        })
    }

    /// The live instance, running or stopping.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Running(run) | Self::Stopping { run, .. } => Some(run),
            _ => None,
        }
    }

    /// Whether a process or an effect may be alive, so that the pod cannot be torn down.
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::CheckingImage { .. } | Self::Creating { .. } | Self::Running(_) | Self::Stopping { .. }
        )
    }
}
