//! The node agent: carries out pod plans with runtime, images and network, and tells the API what came of it.
//!
//! [`Node::start`] registers the node and runs one actor per pod. An actor feeds observations to the state machine of
//! `konzert-lifecycle`, which decides; the effects here have no choices. The API is spoken to through `kube::Client`
//! only. What this crate does not do: attach and terminals, cluster DNS, service account tokens,
//! persistent volumes, eviction; asking for them is an error with a name, never silence.
//!
//! Invariants:
//! 1. Idle is idle: watches, runtime events, inotify and timers that lead to an action; no polling, no renewals.
//! 2. After kill -9 of the engine nothing restarts: running containers are adopted by their labels, readiness stays
//!    until it is disproved, restart counts go on, and what has no pod any more is removed.
//! 3. Of one pod, one actor changes the state and one status write is in flight: the API sees one order.
//! 4. Names from the API become paths only after a check; links inside volumes and images are never followed out.
//! 5. A mount is undone before its directory is deleted, and nothing is deleted through a mount.
#![forbid(unsafe_code)]

mod adapters;
mod agent;
mod cleanup;
mod config;
mod fault;
mod files;
mod http;
mod logs;
mod node;
mod notify;
mod orphans;
mod pod;
mod ports;
mod probes;
mod pulls;
mod recorder;
mod register;
mod services;
mod sources;
mod spec;
#[cfg(test)]
mod tests;
mod volumes;

pub use config::{NodeConfig, host_address};
pub use logs::{LogError, LogQuery, LogStream};
pub use node::{LogReader, Node, NodeError, destroy_all};
