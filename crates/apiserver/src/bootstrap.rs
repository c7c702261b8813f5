//! What an engine has from its first moment: system namespaces with their default `ServiceAccount`, our own definitions, and
//! the default roles and bindings.
//!
//! Everything here is idempotent; an engine that has it all writes nothing.

use futures::future::try_join_all;
use konzert_api::{ApiError, own};
use serde_json::{Value, json};

use crate::auth::rbac::{self, defaults};
use crate::decode::shape;
use crate::error::ApiServerError;
use crate::options::FieldValidation;
use crate::registry::{Mode, Place, Registry};

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Makes what is missing. Independent objects are written together, so that the store commits them together.
pub(crate) async fn ensure(registry: &Registry) -> Result<(), ApiServerError> {
    let namespaces = try_join_all(NAMESPACES.iter().map(|name| namespace(registry, name)));
    let definitions = try_join_all(own::definitions().into_iter().map(|d| definition(registry, d)));
    let (namespaces, definitions, policy) = tokio::join!(namespaces, definitions, policy(registry));
    namespaces?;
    definitions?;
    policy?;
    try_join_all(NAMESPACES.iter().map(|name| service_account(registry, name))).await?;
    Ok(())
}

/// The default roles and bindings.
async fn policy(registry: &Registry) -> Result<(), ApiServerError> {
    let roles = defaults::cluster_roles().into_iter().map(|role| ("clusterroles", role));
    let bindings =
        defaults::cluster_role_bindings().into_iter().map(|binding| ("clusterrolebindings", binding));
    try_join_all(roles.chain(bindings).map(|(plural, wanted)| default_access(registry, plural, wanted)))
        .await
        .map(drop)
}

/// Creates a default role or binding, or adds what an older release did not have yet.
async fn default_access(registry: &Registry, plural: &str, mut wanted: Value) -> Result<(), ApiServerError> {
    let name = konzert_api::meta::name(&wanted).to_owned();
    let what = format!("{plural} {name}");
    let Some(place) = registry.served().place(rbac::GROUP, "v1", plural, None) else {
        return Err(failed(what)(ApiError::no_such_resource()));
    };
    let written = async {
        let Some(entry) = registry.store.get(&place.key(&name)) else {
            return registry.ensure(&place, wanted).await.map(drop);
        };
        shape(&place.kind, &mut wanted, Vec::new(), FieldValidation::Strict)?;
        if defaults::reconciled(&place.read(&entry.value)?, &wanted).is_none() {
            return Ok(());
        }
        let make =
            |current: &Value| Ok(defaults::reconciled(current, &wanted).unwrap_or_else(|| current.clone()));
        registry.modify(&place, &name, Mode::Whole, false, make).await.map(drop)
    };
    written.await.map_err(failed(what))
}

fn failed(what: impl Into<String>) -> impl FnOnce(ApiError) -> ApiServerError {
    let what = what.into();
    move |source| ApiServerError::Bootstrap { what, source }
}

async fn namespace(registry: &Registry, name: &str) -> Result<(), ApiServerError> {
    let place = registry.served().namespaces();
    let object = json!({ "metadata": { "name": name } });
    registry.ensure(&place, object).await.map(drop).map_err(failed(format!("namespace {name}")))
}

async fn service_account(registry: &Registry, namespace: &str) -> Result<(), ApiServerError> {
    let what = format!("the default service account of namespace {namespace}");
    let place = registry
        .served()
        .place("", "v1", "serviceaccounts", Some(namespace))
        .ok_or_else(ApiError::no_such_resource)
        .map_err(failed(what.clone()))?;
    let object = json!({ "metadata": { "name": "default" } });
    registry.ensure(&place, object).await.map(drop).map_err(failed(what))
}

async fn definition(registry: &Registry, definition: impl serde::Serialize) -> Result<(), ApiServerError> {
    let wanted = serde_json::to_value(definition)
        .map_err(ApiError::internal)
        .map_err(failed("a definition of our own"))?;
    let name = konzert_api::meta::name(&wanted).to_owned();
    let place = registry.served().definitions_place();
    install(registry, &place, &name, wanted).await.map_err(failed(format!("definition {name}")))
}

/// Creates the definition, or brings the specification of an older release up to date.
async fn install(registry: &Registry, place: &Place, name: &str, wanted: Value) -> Result<(), ApiError> {
    registry.ensure(place, wanted.clone()).await?;
    let make = |current: &Value| {
        let mut next = current.clone();
        next["spec"] = wanted["spec"].clone();
        shape(&place.kind, &mut next, Vec::new(), FieldValidation::Strict)?;
        Ok(next)
    };
    registry.modify(place, name, Mode::Whole, false, make).await.map(drop)
}
