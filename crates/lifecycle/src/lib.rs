//! Pod and container state machine: the pod's spec, what was observed, and the time go in; actions come out.
//!
//! The node agent owns one [`PodState`] per pod. It feeds observations in with [`PodState::apply`], asks [`decide`] for
//! a [`Plan`], notes every action with [`PodState::begin`], and carries the actions out. There is no I/O here, no
//! clock, no randomness and no task: the same inputs give the same plan.
//!
//! Invariants:
//! 1. At most one instance of a container name is alive: a new attempt starts only from `Waiting` or `Exited`.
//! 2. `begin` takes an action out of the next plan: asking again at the same moment ends in an empty plan.
//! 3. Every wait has a wake-up time or a pending effect, so a pod never hangs and nothing polls.
//! 4. A pod that is to go converges: kill, force at the deadline, report, remove, tear down, delete.
#![forbid(unsafe_code)]

mod action;
mod adopt;
mod backoff;
mod conditions;
mod container;
mod decide;
mod order;
mod probe;
mod state;
mod status;
mod stop;

#[cfg(test)]
mod tests;

pub use action::{Action, KillReason, Plan};
pub use adopt::{Found, FoundContainer, FoundState};
pub use backoff::BackOff;
pub use container::{
    Change, ContainerState, Hold, Hook, Run, Stop, Termination, TerminationReason, TransitionError,
    WaitReason,
};
pub use decide::decide;
pub use order::{Declared, Role, declared, find};
pub use probe::{ProbeKind, ProbeOutcome, ProbeRules, ProbeState, ProbeVerdict};
pub use state::{ContainerRecord, Event, Failure, PodState, SandboxState};
pub use status::{NodeFacts, is_ready, is_started, pod_status};
