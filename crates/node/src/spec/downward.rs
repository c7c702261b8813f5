//! The downward API: fields and resources of a pod as text.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use konzert_api::quantity::Quantity;

use crate::fault::ConfigFault;

/// Facts that are not in the API object yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Situation {
    pub(crate) pod_ips: Vec<String>,
    pub(crate) host_ips: Vec<String>,
    /// The node's allocatable resources, which stand in for limits that are not set.
    pub(crate) allocatable: BTreeMap<String, Quantity>,
}

/// The value of a `fieldRef`.
pub(crate) fn field(pod: &Pod, situation: &Situation, path: &str) -> Result<String, ConfigFault> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return Err(ConfigFault::FieldPath { path: path.to_owned() }),
        };
        return Ok(text(map.and_then(|map| map.get(key))));
    }
    Ok(match path {
        "metadata.name" => text(meta.name.as_ref()),
        "metadata.namespace" => text(meta.namespace.as_ref()),
        "metadata.uid" => text(meta.uid.as_ref()),
        "metadata.labels" => listing(meta.labels.as_ref()),
        "metadata.annotations" => listing(meta.annotations.as_ref()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => text(situation.host_ips.first()),
        "status.hostIPs" => situation.host_ips.join(","),
        "status.podIP" => text(situation.pod_ips.first()),
        "status.podIPs" => situation.pod_ips.join(","),
        _ => return Err(ConfigFault::FieldPath { path: path.to_owned() }),
    })
}

/// `metadata.labels['key']` → (`metadata.labels`, `key`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once('[')?;
    let key = rest.strip_suffix(']')?;
    let bare = |quote| key.strip_prefix(quote).and_then(|key: &str| key.strip_suffix(quote));
    Some((map, bare('\'').or_else(|| bare('"'))?))
}

/// `key="value"` lines, sorted, values escaped.
fn listing(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The value of a `resourceFieldRef`, rounded up to whole divisors.
pub(crate) fn resource(
    own: &Container,
    pod: &Pod,
    situation: &Situation,
    selector: &ResourceFieldSelector,
) -> Result<String, ConfigFault> {
    let container = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => konzert_lifecycle::find(pod, name)
            .map(|found| found.spec)
            .ok_or_else(|| ConfigFault::Container { name: name.to_owned() })?,
        None => own,
    };
    let unknown = || ConfigFault::Resource { resource: selector.resource.clone() };
    let (side, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let resources = container.resources.as_ref();
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    let map = match side {
        "limits" if known => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" if known => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(unknown()),
    };
    let value = match map.and_then(|map| map.get(name)) {
        Some(quantity) => parse(&selector.resource, &quantity.0)?,
        None if side == "limits" => {
            situation.allocatable.get(name).copied().unwrap_or(Quantity::from_integer(0))
        }
        None => Quantity::from_integer(0),
    };
    let divisor = match &selector.divisor {
        Some(text) => parse("divisor", &text.0)?,
        None => Quantity::from_integer(1),
    };
    let divisor = if divisor.is_zero() { Quantity::from_integer(1) } else { divisor };
    Ok(divide(value, divisor, name == "cpu"))
}

fn divide(value: Quantity, divisor: Quantity, milli: bool) -> String {
    let of = |quantity: Quantity| i128::from(if milli { quantity.milli_value() } else { quantity.value() });
    let (value, divisor) = (of(value), of(divisor).max(1));
    ((value + divisor - 1) / divisor).to_string()
}

/// Reads a quantity from the field called `field`.
pub(crate) fn parse(field: &str, text: &str) -> Result<Quantity, ConfigFault> {
    Quantity::parse(text)
        .ok()
        .ok_or_else(|| ConfigFault::Quantity { field: field.to_owned(), text: text.to_owned() })
}
