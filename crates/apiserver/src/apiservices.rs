//! `APIServices`: one local one for every group version that is served, as clients list them.
//!
//! Those of built-in groups are made at the start, those of custom kinds follow their definitions and go with them. Nothing is
//! read back from them: what is served is decided by the catalogue, and requests are never passed on to other servers.

use futures::future::try_join_all;
use konzert_api::{ApiError, meta};
use konzert_store::Page;
use serde_json::{Value, json};

use crate::decode::shape;
use crate::error::revision_gone;
use crate::options::FieldValidation;
use crate::registry::{DeleteOptions, Mode, Place, Registry};

/// Says that the server keeps the object as it is.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const CUSTOM_GROUP: (i64, i64) = (1000, 100);
const OTHER_GROUP: i64 = 15_000;
/// Which group comes first when a resource is in several; Kubernetes' numbers.
const GROUPS: &[(&str, i64)] = &[
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
];

fn place(registry: &Registry) -> Result<Place, ApiError> {
    let served = registry.served();
    served.place("apiregistration.k8s.io", "v1", "apiservices", None).ok_or_else(ApiError::no_such_resource)
}

/// Group and version priority of a built-in group.
fn priorities(group: &str, version: &str) -> (i64, i64) {
    let first = GROUPS.iter().find(|(name, _)| *name == group).map_or(OTHER_GROUP, |(_, priority)| *priority);
    let second = match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        _ => 15,
    };
    (first, second)
}

/// The objects for what is served now. `apiregistration.k8s.io` itself has none, as in Kubernetes.
fn wanted(registry: &Registry) -> Vec<Value> {
    let served = registry.served();
    let mut all = Vec::new();
    for group in served.catalogue.groups().iter().filter(|g| g.name != "apiregistration.k8s.io") {
        for version in &group.versions {
            let custom = served.catalogue.kinds_in(&group.name, version).all(konzert_api::Kind::is_custom);
            let (first, second) = if custom { CUSTOM_GROUP } else { priorities(&group.name, version) };
            let mut spec =
                json!({ "version": version, "groupPriorityMinimum": first, "versionPriority": second });
            if !group.name.is_empty() {
                spec["group"] = json!(group.name);
            }
            let label = if custom { "true" } else { "onstart" };
            all.push(json!({
                "metadata": { "name": format!("{version}.{}", group.name), "labels": { MANAGED: label } },
                "spec": spec,
            }));
        }
    }
    all
}

/// Makes what is missing and corrects what differs.
pub(crate) async fn ensure(registry: &Registry) -> Result<(), ApiError> {
    let place = place(registry)?;
    try_join_all(wanted(registry).into_iter().map(|object| ensure_one(registry, &place, object))).await?;
    Ok(())
}

async fn ensure_one(registry: &Registry, place: &Place, object: Value) -> Result<(), ApiError> {
    registry.ensure(place, object.clone()).await?;
    let name = meta::name(&object).to_owned();
    let make = |current: &Value| {
        let mut next = current.clone();
        if meta::label(current, MANAGED).is_some() {
            next["spec"] = object["spec"].clone();
            shape(&place.kind, &mut next, Vec::new(), FieldValidation::Strict)?;
        }
        Ok(next)
    };
    match registry.modify(place, &name, Mode::Whole, false, make).await {
        Err(error) if error.code != 404 => Err(error),
        _ => Ok(()),
    }
}

/// Brings the objects in line with what is served after the definitions changed. Failures are logged: the next change, or the
/// next start, tries again.
pub(crate) async fn sync(registry: &Registry) {
    let done = async {
        ensure(registry).await?;
        prune(registry).await
    };
    if let Err(error) = done.await {
        tracing::warn!(%error, "the APIServices could not be brought in line with what is served");
    }
}

/// Removes what the server made for group versions that are not served any more.
async fn prune(registry: &Registry) -> Result<(), ApiError> {
    let place = place(registry)?;
    let wanted: Vec<String> = wanted(registry).iter().map(|object| meta::name(object).to_owned()).collect();
    let list = registry.store.list(&place.prefix(), Page::default()).map_err(revision_gone)?;
    for entry in list.entries {
        let object = place.read(&entry.value)?;
        let name = meta::name(&object);
        let stale = meta::label(&object, MANAGED).is_some()
            && !meta::is_being_deleted(&object)
            && !wanted.iter().any(|wanted| wanted == name);
        if !stale {
            continue;
        }
        match registry.delete(&place, name, &DeleteOptions::default()).await {
            Err(error) if error.code != 404 => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
