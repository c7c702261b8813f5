//! Hygiene of a fleet: which containers run, what is wrong with them, patching all of them, destroying what is left over.
//!
//! Written against the Kubernetes API only, so that it works on any cluster; the content store of this machine is an extra
//! source of image contents, not a condition. Decisions live in `konzert-advisories`, `konzert-campaigns` and
//! `konzert-reaping`; this crate looks, asks them, and does what they say.
//!
//! Invariants: everything that changes a cluster has a UID precondition, a cap, a record written first, and an undo; what
//! could not be read is unknown, never clean; nothing polls.
#![deny(unsafe_code)]

mod advisories;
mod changes;
mod download;
mod error;
mod feeds;
mod importing;
mod inventory;
mod looking;
mod mapped;
pub mod patch;
pub mod reap;
pub mod report;
mod scan;

pub use advisories::{
    AdvisoryStore, DEFAULT_MAX_AGE, DatabaseStatus, EcosystemStatus, ImportReport, SourceStatus,
};
pub use download::DownloadError;
pub use error::FleetError;
pub use feeds::feed_addresses;
pub use inventory::{RunningContainer, WorkloadRef, inventory};
pub use looking::{Decisions, Looked, Scope, inventory_report, scan_report};
pub use scan::{
    ContainerReport, Findings, FleetReport, ImageScan, IncompleteImage, ScanMetrics, Scanner, incomplete,
};

/// Ends a task when it becomes true, or when its sender is gone.
pub type Shutdown = tokio::sync::watch::Receiver<bool>;

/// Completes when the task must end.
pub(crate) async fn ended(shutdown: &mut Shutdown) {
    // An error means that the sender is gone, which is an end too.
    drop(shutdown.wait_for(|end| *end).await);
}
