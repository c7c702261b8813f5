//! What an engine has from its first moment: system namespaces with their default `ServiceAccount`, the priority classes of
//! the system, the Service in front of the API server, a record of the service network, one `APIService` per group version,
//! our own definitions, and the default roles and bindings.
//!
//! Everything here is idempotent; an engine that has it all writes nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures::future::try_join_all;
use konzert_api::{ApiError, meta, own};
use serde_json::{Value, json};

use crate::apiservices;
use crate::auth::rbac::{self, defaults};
use crate::decode::shape;
use crate::error::ApiServerError;
use crate::options::FieldValidation;
use crate::registry::{Mode, Place, Registry, now};

/// Name of the API server's Service, its endpoints and the network of services.
const API_NAME: &str = "kubernetes";
/// Where an API server usually listens; where it really does is in the endpoints.
const API_PORT: u16 = 6443;
/// Priority classes that every cluster has: name, value, what for.
const SYSTEM_CLASSES: &[(&str, i64, &str)] = konzert_api::validation::SYSTEM_PRIORITY_CLASSES;
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Makes what is missing. Independent objects are written together, so that the store commits them together.
pub(crate) async fn ensure(registry: &Registry, service_cidr: (Ipv4Addr, u8)) -> Result<(), ApiServerError> {
    let namespaces = try_join_all(NAMESPACES.iter().map(|name| namespace(registry, name)));
    let definitions = try_join_all(own::definitions().into_iter().map(|d| definition(registry, d)));
    let (namespaces, definitions, policy) = tokio::join!(namespaces, definitions, policy(registry));
    namespaces?;
    definitions?;
    policy?;
    let accounts = try_join_all(NAMESPACES.iter().map(|name| service_account(registry, name)));
    let classes = try_join_all(SYSTEM_CLASSES.iter().map(|class| priority_class(registry, class)));
    let (accounts, classes, network, service, apis) = tokio::join!(
        accounts,
        classes,
        service_network(registry, service_cidr),
        api_service(registry),
        apiservices::ensure(registry),
    );
    accounts?;
    classes?;
    network?;
    service?;
    apis.map_err(failed("the APIServices"))
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

fn place(registry: &Registry, group: &str, plural: &str, namespace: Option<&str>) -> Result<Place, ApiError> {
    registry.served().place(group, "v1", plural, namespace).ok_or_else(ApiError::no_such_resource)
}

async fn priority_class(
    registry: &Registry,
    (name, value, description): &(&str, i64, &str),
) -> Result<(), ApiServerError> {
    let made = async {
        let place = place(registry, "scheduling.k8s.io", "priorityclasses", None)?;
        let object = json!({ "metadata": { "name": name }, "value": value, "description": description });
        registry.ensure(&place, object).await
    };
    made.await.map(drop).map_err(failed(format!("priority class {name}")))
}

/// The network that addresses of services come from, as clients look it up.
async fn service_network(
    registry: &Registry,
    (address, prefix): (Ipv4Addr, u8),
) -> Result<(), ApiServerError> {
    let made = async {
        let place = place(registry, "networking.k8s.io", "servicecidrs", None)?;
        let network = u32::from(address) & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let cidr = format!("{}/{prefix}", Ipv4Addr::from(network));
        let object = json!({ "metadata": { "name": API_NAME }, "spec": { "cidrs": [cidr] } });
        registry.ensure(&place, object).await?;
        let ready = |current: &Value| {
            let mut next = current.clone();
            if current.pointer("/status/conditions").is_none() {
                next["status"] = json!({ "conditions": [{
                    "type": "Ready",
                    "status": "True",
                    "reason": "",
                    "message": "Kubernetes default Service CIDR is ready",
                    "lastTransitionTime": meta::format_time(now()),
                }] });
            }
            Ok(next)
        };
        registry.modify(&place, API_NAME, Mode::Status, false, ready).await
    };
    made.await.map(drop).map_err(failed("the default ServiceCIDR"))
}

/// The Service in front of the API server, with the first address of the service network.
async fn api_service(registry: &Registry) -> Result<(), ApiServerError> {
    let address = registry.hooks.services.api_address();
    let made = async {
        let place = place(registry, "", "services", Some("default"))?;
        let object = json!({
            "metadata": {
                "name": API_NAME,
                "labels": { "component": "apiserver", "provider": "kubernetes" },
            },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": address.to_string(),
                "ipFamilyPolicy": "SingleStack",
                "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": API_PORT }],
            },
        });
        registry.ensure(&place, object).await
    };
    match made.await {
        // An older release let anybody have the address; the engine works without the Service.
        Err(error) if error.code == 422 => {
            tracing::warn!(%address, %error, "the Service default/kubernetes cannot have its address");
            Ok(())
        }
        made => made.map(drop).map_err(failed("the service default/kubernetes")),
    }
}

/// Says in an `EndpointSlice` where the API server listens. An address that pods cannot reach (loopback, all addresses at
/// once) is not said: the slice is empty then, and the Service refuses connections.
pub(crate) async fn advertise(registry: &Registry, address: SocketAddr) -> Result<(), ApiServerError> {
    let set = async {
        let place = place(registry, "discovery.k8s.io", "endpointslices", Some("default"))?;
        let endpoints = match address.ip() {
            IpAddr::V4(ip) if is_reachable(ip) => {
                json!([{ "addresses": [ip.to_string()], "conditions": { "ready": true } }])
            }
            _ => json!([]),
        };
        let ports = json!([{ "name": "https", "port": address.port(), "protocol": "TCP" }]);
        let object = json!({
            "metadata": { "name": API_NAME, "labels": { "kubernetes.io/service-name": API_NAME } },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports,
        });
        registry.ensure(&place, object).await?;
        let make = |current: &Value| {
            let mut next = current.clone();
            next["endpoints"] = endpoints.clone();
            next["ports"] = ports.clone();
            Ok(next)
        };
        registry.modify(&place, API_NAME, Mode::Whole, false, make).await
    };
    set.await.map(drop).map_err(failed("the endpoints of service default/kubernetes"))
}

fn is_reachable(ip: Ipv4Addr) -> bool {
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_link_local() || ip.is_multicast())
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
