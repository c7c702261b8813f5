//! The decisions of the workload controllers: observed state and an instant in, a [`Plan`] out.
//!
//! One file per controller. Nothing here reads a clock, draws a number or talks to anybody; whoever runs a plan has no
//! choices left. Semantics follow Kubernetes 1.37.
#![forbid(unsafe_code)]

pub mod action;
mod claim;
pub mod deployment;
pub mod endpointslice;
pub mod garbage;
pub mod job;
mod names;
pub mod namespace;
pub mod pods;
mod ranking;
pub mod replicaset;
pub mod selector;
pub mod serviceaccount;
#[cfg(test)]
mod sim;
mod template;

pub use action::{
    Action, EventNote, EventType, FailedAction, Failure, Plan, Propagation, Resource, Scope, Target,
};
