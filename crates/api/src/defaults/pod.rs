//! Defaults of pods, and what the server sets when one is created: phase, quality of service, tolerations.

use serde_json::{Map, Value, json};

use super::{podspec, set, spec_mut, text};
use crate::catalogue::CreateFacts;
use crate::quantity::Quantity;

/// How long a pod stays on a node that went away.
const NODE_GONE_SECONDS: i64 = 300;

pub(crate) fn apply(pod: &mut Value) {
    let Some(spec) = spec_mut(pod) else { return };
    podspec::apply(spec);
    podspec::host_ports(spec);
    podspec::requests_from_limits(spec);
    set(spec, "enableServiceLinks", true);
    first_address(pod);
}

/// The first address of the pod stands in a field of its own, too. Where the two differ, that field is right: older clients
/// know no other.
fn first_address(pod: &mut Value) {
    let Some(status) = pod.get_mut("status").and_then(Value::as_object_mut) else { return };
    let one = text(status, "podIP").to_owned();
    let first = status.get("podIPs").and_then(|all| all.get(0)?.get("ip")?.as_str().map(str::to_owned));
    match first {
        Some(first) if one.is_empty() => {
            status.insert("podIP".to_owned(), first.into());
        }
        first if !one.is_empty() && first.as_ref() != Some(&one) => {
            status.insert("podIPs".to_owned(), json!([{ "ip": one }]));
        }
        _ => {}
    }
}

pub(crate) fn prepare_create(pod: &mut Value, _facts: &CreateFacts) {
    if let Some(spec) = spec_mut(pod) {
        admit(spec);
    }
    let qos = qos_class(pod);
    if let Some(map) = pod.as_object_mut() {
        map.insert("status".to_owned(), json!({ "phase": "Pending", "qosClass": qos }));
    }
}

/// What admission adds to every pod.
fn admit(spec: &mut Map<String, Value>) {
    if text(spec, "serviceAccountName").is_empty() {
        spec.insert("serviceAccountName".to_owned(), json!("default"));
        spec.insert("serviceAccount".to_owned(), json!("default"));
    }
    // A negative period has always meant the shortest one.
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), json!(1));
    }
    set(spec, "priority", 0);
    set(spec, "preemptionPolicy", "PreemptLowerPriority");
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(tolerations) = tolerations.as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covered = tolerations.iter().any(|t| {
            let text = |name: &str| t.get(name).and_then(Value::as_str).unwrap_or_default();
            (text("key") == key || text("key").is_empty()) && matches!(text("effect"), "" | "NoExecute")
        });
        if !covered {
            tolerations.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": NODE_GONE_SECONDS,
            }));
        }
    }
}

/// `Guaranteed` when every container limits cpu and memory and requests just that, `BestEffort` when none asks for
/// anything, else `Burstable`.
pub(crate) fn qos_class(pod: &Value) -> &'static str {
    let lists = ["/spec/containers", "/spec/initContainers"];
    let mut containers: Vec<&Value> =
        lists.iter().filter_map(|at| pod.pointer(at)).filter_map(Value::as_array).flatten().collect();
    // What is said for the whole pod counts instead of what its containers say.
    if pod.pointer("/spec/resources").and_then(Value::as_object).is_some_and(|r| !r.is_empty()) {
        containers = vec![&pod["spec"]];
    }
    let amount = |container: &Value, list: &str, name: &str| {
        let value = container.get("resources")?.get(list)?.get(name)?;
        Quantity::from_json(value).ok().filter(|q| !q.is_zero())
    };
    let names = ["cpu", "memory"];
    let any = containers.iter().any(|c| {
        names.iter().any(|n| amount(c, "requests", n).is_some() || amount(c, "limits", n).is_some())
    });
    let guaranteed = containers.iter().all(|c| {
        names.iter().all(|n| {
            let limit = amount(c, "limits", n);
            limit.is_some() && amount(c, "requests", n).is_none_or(|request| Some(request) == limit)
        })
    });
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The quality of service is decided once.
pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    let class = old.pointer("/status/qosClass").cloned();
    if let (Some(class), Some(status)) = (class, new.get_mut("status").and_then(Value::as_object_mut)) {
        set(status, "qosClass", class);
    }
}

/// A change through `/ephemeralcontainers`: everything else stays.
pub(crate) fn only_ephemeral(old: &Value, new: &mut Value) {
    let containers = new.pointer("/spec/ephemeralContainers").cloned();
    new.clone_from(old);
    if let Some(spec) = spec_mut(new) {
        match containers {
            Some(containers) => spec.insert("ephemeralContainers".to_owned(), containers),
            None => spec.remove("ephemeralContainers"),
        };
    }
}

/// A change through `/resize`: resources and resize policies of containers that are there; everything else stays.
pub(crate) fn only_resources(old: &Value, new: &mut Value) {
    let wished = new.get("spec").cloned().unwrap_or_default();
    new.clone_from(old);
    let Some(spec) = spec_mut(new) else { return };
    for list in ["initContainers", "containers"] {
        let found: Vec<Value> = wished.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
        for container in super::objects(spec, list) {
            let same = |other: &&Value| other.get("name") == container.get("name");
            let Some(other) = found.iter().find(same) else { continue };
            for key in ["resources", "resizePolicy"] {
                match other.get(key) {
                    Some(value) => container.insert(key.to_owned(), value.clone()),
                    None => container.remove(key),
                };
            }
        }
    }
}
