//! Destroys what is no longer needed: looks, asks `konzert-reaping`, records, destroys, and can undo it.
//!
//! Guarantees: the record with the full manifest is written before the delete; the delete carries the UID and the
//! resource version that were decided on; an object that changed meanwhile is skipped, not destroyed.

mod destroy;
mod restore;
mod run;
mod snapshot;

use jiff::Timestamp;
use konzert_api::own::{ReapPolicySpec, ReapRecord};
use konzert_images::ContentStore;
use kube::Client;
use kube::api::{Api, ListParams};
use serde::Serialize;

pub use restore::undo;
pub use run::run;

use crate::FleetError;

/// What a run would destroy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReapPlan {
    /// In the order in which they go.
    pub destroys: Vec<PlannedDestroy>,
    /// Due, but left for the next run by the cap.
    pub over_cap: usize,
    /// Annotations that could not be read.
    pub problems: Vec<String>,
}

/// One planned destroy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDestroy {
    /// Kind; `Image` for an image.
    pub kind: String,
    /// Namespace; empty for cluster-scoped things and images.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, or the image's digest.
    pub uid: String,
    /// The rule that decided.
    pub rule: String,
    /// A sentence with the facts.
    pub reason: String,
    /// Since when, RFC 3339.
    pub due: String,
}

/// What [`execute`] would do; changes nothing.
pub async fn plan(
    client: Client,
    images: Option<&ContentStore>,
    policy: &ReapPolicySpec,
    now: Timestamp,
) -> Result<ReapPlan, FleetError> {
    let decided = konzert_reaping::plan(policy, &snapshot::take(&client, images).await?, now);
    let destroys = decided.destroys.into_iter().map(|d| PlannedDestroy {
        kind: d.kind,
        namespace: d.namespace,
        name: d.name,
        uid: d.uid,
        rule: d.rule.to_owned(),
        reason: d.reason,
        due: d.due.to_string(),
    });
    Ok(ReapPlan { destroys: destroys.collect(), over_cap: decided.over_cap, problems: decided.problems })
}

/// Destroys what is due; returns the records, also of what was skipped.
pub async fn execute(
    client: Client,
    images: Option<&ContentStore>,
    policy: &ReapPolicySpec,
    now: Timestamp,
) -> Result<Vec<ReapRecord>, FleetError> {
    let decided = konzert_reaping::plan(policy, &snapshot::take(&client, images).await?, now);
    if policy.dry_run {
        return Ok(Vec::new());
    }
    let mut records = Vec::with_capacity(decided.destroys.len());
    for one in decided.destroys {
        records.push(destroy::destroy(&client, images, &one, now).await?);
    }
    Ok(records)
}

/// Every record, newest first.
pub async fn log(client: Client) -> Result<Vec<ReapRecord>, FleetError> {
    let listed = Api::<ReapRecord>::all(client).list(&ListParams::default()).await;
    let mut records = listed.map_err(FleetError::api("list reap records"))?.items;
    records.sort_by(|a, b| b.spec.at.cmp(&a.spec.at));
    Ok(records)
}
