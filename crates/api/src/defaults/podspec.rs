//! Defaults of a pod spec, in a pod or in a template.

use serde_json::{Map, Value, json};

use super::{object, objects, set, text};
use crate::quantity::Quantity;

/// Fills in a pod spec.
pub(crate) fn apply(spec: &mut Map<String, Value>) {
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "securityContext", json!({}));
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "schedulerName", "default-scheduler");
    same_account(spec);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        objects(spec, list).for_each(apply_container);
    }
    for volume in objects(spec, "volumes") {
        apply_volume(volume);
    }
    if let Some(overhead) = object(spec, "overhead") {
        canonical(overhead);
    }
    if let Some(resources) = object(spec, "resources") {
        for list in ["limits", "requests"] {
            if let Some(amounts) = object(resources, list) {
                canonical(amounts);
            }
        }
    }
}

/// In the network of the host, a port of a container is one of the host. Pods say so, templates of pods do not.
pub(crate) fn host_ports(spec: &mut Map<String, Value>) {
    if spec.get("hostNetwork") != Some(&Value::Bool(true)) {
        return;
    }
    for list in ["initContainers", "containers"] {
        for port in objects(spec, list).flat_map(|container| objects(container, "ports")) {
            if let Some(number) = port.get("containerPort").cloned() {
                set(port, "hostPort", number);
            }
        }
    }
}

/// The old name of `serviceAccountName` says the same.
fn same_account(spec: &mut Map<String, Value>) {
    for (from, to) in [("serviceAccountName", "serviceAccount"), ("serviceAccount", "serviceAccountName")] {
        let name = text(spec, from).to_owned();
        if !name.is_empty() {
            spec.insert(to.to_owned(), json!(name));
            return;
        }
    }
}

/// `Always` when the image has the tag `latest` or none at all.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, "latest")), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

fn apply_container(container: &mut Map<String, Value>) {
    let policy = pull_policy(text(container, "image"));
    set(container, "imagePullPolicy", policy);
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    set(container, "resources", json!({}));
    for port in objects(container, "ports") {
        set(port, "protocol", "TCP");
    }
    for env in objects(container, "env") {
        if let Some(reference) = object(env, "valueFrom").and_then(|from| object(from, "fieldRef")) {
            set(reference, "apiVersion", "v1");
        }
        if let Some(reference) = object(env, "valueFrom").and_then(|from| object(from, "resourceFieldRef")) {
            set(reference, "divisor", "0");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = object(container, probe) {
            apply_probe(probe);
        }
    }
    if let Some(lifecycle) = object(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(get) = object(lifecycle, hook).and_then(|hook| object(hook, "httpGet")) {
                apply_http_get(get);
            }
        }
    }
    if let Some(resources) = object(container, "resources") {
        for list in ["limits", "requests"] {
            if let Some(amounts) = object(resources, list) {
                canonical(amounts);
            }
        }
    }
}

fn apply_probe(probe: &mut Map<String, Value>) {
    for (key, number) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        // Zero means "not said" for these.
        if probe.get(key) == Some(&json!(0)) {
            probe.remove(key);
        }
        set(probe, key, number);
    }
    if let Some(get) = object(probe, "httpGet") {
        apply_http_get(get);
    }
    if let Some(grpc) = object(probe, "grpc") {
        set(grpc, "service", "");
    }
}

fn apply_http_get(get: &mut Map<String, Value>) {
    set(get, "path", "/");
    set(get, "scheme", "HTTP");
}

fn apply_volume(volume: &mut Map<String, Value>) {
    if !volume.keys().any(|key| key != "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = object(volume, source) {
            set(source, "defaultMode", 0o644);
        }
    }
    if let Some(empty_dir) = object(volume, "emptyDir")
        && let Some(limit) = empty_dir.get_mut("sizeLimit")
    {
        canonical_value(limit);
    }
    if let Some(host_path) = object(volume, "hostPath") {
        set(host_path, "type", "");
    }
    if let Some(template) = object(volume, "ephemeral").and_then(|e| object(e, "volumeClaimTemplate"))
        && let Some(spec) = object(template, "spec")
    {
        super::persistentvolumeclaim::apply_spec(spec);
    }
    if let Some(image) = object(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        set(image, "pullPolicy", policy);
    }
    if let Some(downward) = object(volume, "downwardAPI") {
        apply_field_refs(downward);
    }
    if let Some(projected) = object(volume, "projected") {
        for source in objects(projected, "sources") {
            if let Some(token) = object(source, "serviceAccountToken") {
                set(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = object(source, "downwardAPI") {
                apply_field_refs(downward);
            }
        }
    }
}

fn apply_field_refs(downward: &mut Map<String, Value>) {
    for item in objects(downward, "items") {
        if let Some(reference) = object(item, "fieldRef") {
            set(reference, "apiVersion", "v1");
        }
    }
}

/// Writes amounts in their canonical form; what is not a quantity is left for validation.
pub(crate) fn canonical(amounts: &mut Map<String, Value>) {
    amounts.values_mut().for_each(canonical_value);
}

pub(crate) fn canonical_value(value: &mut Value) {
    if let Ok(quantity) = Quantity::from_json(value) {
        *value = json!(quantity.to_string());
    }
}

/// Requests that were left out are the limits. Only in pods: a template keeps what its author wrote.
pub(crate) fn requests_from_limits(spec: &mut Map<String, Value>) {
    for list in ["initContainers", "containers"] {
        for container in objects(spec, list) {
            let Some(resources) = object(container, "resources") else { continue };
            let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { continue };
            if limits.is_empty() {
                continue;
            }
            if let Some(requests) = super::object_or_new(resources, "requests") {
                for (name, amount) in limits {
                    set(requests, &name, amount);
                }
            }
        }
    }
}

/// Fills in the template of a workload.
pub(crate) fn apply_template(spec: &mut Map<String, Value>) {
    if let Some(template) = super::object(spec, "template") {
        super::object_or_new(template, "metadata");
        if let Some(spec) = super::object(template, "spec") {
            apply(spec);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pull_policy;

    #[test]
    fn images_without_a_fixed_tag_are_always_pulled() {
        let table = [
            ("web", "Always"),
            ("web:latest", "Always"),
            ("host:5000/web", "Always"),
            ("web:1", "IfNotPresent"),
            ("host:5000/web:1", "IfNotPresent"),
            ("web@sha256:00", "IfNotPresent"),
            ("web:latest@sha256:00", "Always"),
        ];
        for (image, policy) in table {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
