//! Keeps aggregated `ClusterRoles` current: after every change of a `ClusterRole`, those whose rules are due are written.
//!
//! What is due is decided by [`super::rbac::aggregate`], a pure function. A write that changes nothing is not made, so the
//! task comes to rest after its own changes.

use std::sync::Arc;
use std::time::Duration;

use konzert_api::{ApiError, meta};
use konzert_store::{Page, Revision};
use serde_json::Value;

use super::rbac::{GROUP, aggregate};
use crate::registry::{Mode, Place, Registry};

/// After a write that failed.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Follows until it is dropped.
pub(crate) async fn aggregation(registry: Arc<Registry>) {
    let Some(place) = registry.served().place(GROUP, "v1", "clusterroles", None) else { return };
    loop {
        let (roles, revision) = stored(&registry, &place);
        if let Err(error) = settle(&registry, &place, &roles).await {
            tracing::warn!(%error, "an aggregated role could not be brought up to date; trying again");
            tokio::time::sleep(RETRY_DELAY).await;
            continue;
        }
        // What was written in between is in the history, so nothing is missed; when it is too much, everything is read again.
        let Ok(mut changes) = registry.store.watch(&place.prefix(), revision) else { continue };
        if changes.next_event().await.is_none() && !changes.lagged() {
            return; // the store is closed
        }
    }
}

fn stored(registry: &Registry, place: &Place) -> (Vec<Value>, Revision) {
    match registry.store.list(&place.prefix(), Page::default()) {
        Ok(list) => {
            let roles = list.entries.iter().filter_map(|entry| place.read(&entry.value).ok()).collect();
            (roles, list.revision)
        }
        // A list of the present state has no revision that could be gone.
        Err(gone) => (Vec::new(), gone.current),
    }
}

async fn settle(registry: &Registry, place: &Place, roles: &[Value]) -> Result<(), ApiError> {
    for role in roles.iter().filter(|role| !meta::is_being_deleted(role)) {
        let Some(rules) = aggregate::due(role, roles) else { continue };
        let make = |current: &Value| {
            let mut next = current.clone();
            if next.get("aggregationRule").is_some() {
                next["rules"] = rules.clone();
            }
            Ok(next)
        };
        match registry.modify(place, meta::name(role), Mode::Internal, false, make).await {
            Ok(_) => {}
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
