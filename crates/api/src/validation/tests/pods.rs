//! Pods: what their fields may say, and what may change through which door.

use serde_json::{Value, json};

use super::{check, create, kind, lines, pod, put};
use crate::Subresource;

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn fields() {
    check(
        "Pod",
        &pod(),
        &[
            (
                "/spec/initContainers/0/restartPolicy",
                json!("Never"),
                "spec.initContainers[0].restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ),
            (
                "/spec/containers/0/restartPolicy",
                json!("Always"),
                "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers",
            ),
            (
                "/spec/containers/0/resources",
                json!({"limits": {"gpus": "1"}}),
                "spec.containers[0].resources.limits[gpus]: Invalid value: \"gpus\": must be a standard resource type or fully qualified\nspec.containers[0].resources.limits[gpus]: Invalid value: \"gpus\": must be a standard resource for containers\nspec.containers[0].resources.requests[gpus]: Invalid value: \"gpus\": must be a standard resource type or fully qualified\nspec.containers[0].resources.requests[gpus]: Invalid value: \"gpus\": must be a standard resource for containers",
            ),
            ("/spec/containers/0/resources", json!({"limits": {"example.com/gpu": 1}}), ""),
            (
                "/spec/containers/0/securityContext",
                json!({"runAsUser": -1, "seccompProfile": {"type": "Localhost"}}),
                "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive\nspec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
            ),
            (
                "/spec/containers/0/volumeMounts/0/mountPropagation",
                json!("Bidirectional"),
                "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
            ),
            (
                "/spec/containers/0/env",
                json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.hostname"}}}]),
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.hostname\": error converting fieldPath: field label not supported: spec.hostname",
            ),
            (
                "/spec/containers/0/envFrom",
                json!([{"configMapRef": {"name": "C"}}]),
                format!(
                    "spec.containers[0].envFrom[0].configMapRef.name: Invalid value: \"C\": {}",
                    crate::validation::names::dns1123_subdomain("C")[0]
                )
                .leak(),
            ),
            (
                "/spec/topologySpreadConstraints",
                json!([{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            ),
            (
                "/spec/affinity",
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "a", "operator": "In"}]}
                ]}}}),
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
            (
                "/spec/affinity",
                json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 101, "podAffinityTerm": {"topologyKey": "zone"}}
                ]}}),
                "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100",
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "nfs": {"server": "s"}}),
                "spec.volumes[0].nfs.path: Required value\nspec.containers[0].volumeMounts[0].name: Not found: \"v\"",
            ),
            (
                "/spec/dnsPolicy",
                json!("None"),
                "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
            ),
            (
                "/spec/containers/0/ports/0/hostPort",
                json!(99_999),
                "spec.containers[0].ports[0].hostPort: Invalid value: 99999: must be between 1 and 65535, inclusive",
            ),
            (
                "/metadata/annotations",
                json!({"controller.kubernetes.io/pod-deletion-cost": "x"}),
                "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"x\": must be a 32bit integer",
            ),
        ],
    );
    let mut gated = create("Pod", pod());
    put(&mut gated, "/spec/ephemeralContainers", json!([{"name": "e", "image": "x"}]));
    let errors = lines(&kind("Pod").validate_create(&gated));
    assert_eq!(errors, "spec.ephemeralContainers: Forbidden: cannot be set on create");
}

/// What comes out when a pod is changed through a subresource like this.
fn change(subresource: Subresource, old: &Value, pointer: &str, value: Value) -> (Value, String) {
    let kind = kind("Pod");
    let mut new = old.clone();
    put(&mut new, pointer, value);
    kind.default(&mut new);
    let part = kind.part(subresource).expect("a part of a pod");
    kind.prepare_part(part, old, &mut new);
    let mut errors = kind.validate(&new);
    errors.extend((part.validate)(old, &new));
    (new, lines(&errors))
}

#[test]
fn ephemeral_containers_are_only_added() {
    let sub = Subresource::EphemeralContainers;
    let list = "/spec/ephemeralContainers";
    let old = create("Pod", pod());
    let debug = json!({"name": "debug", "image": "tools:1", "targetContainerName": "a"});
    let (with, errors) = change(sub, &old, list, json!([debug]));
    assert_eq!(errors, "");
    assert_eq!(with["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"], "File");
    assert_eq!(with["metadata"]["generation"], 2);
    let (same, _) = change(sub, &old, "/spec/nodeName", json!("elsewhere"));
    assert_eq!(same, old, "nothing else changes through this door");

    let (_, errors) = change(sub, &with, list, json!([]));
    assert_eq!(
        errors,
        "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debug\" may not be removed\n"
    );
    let (_, errors) = change(sub, &with, "/spec/ephemeralContainers/0/image", json!("other:1"));
    assert_eq!(
        errors,
        "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debug\" may not be changed\n"
    );
    let wrong =
        json!([{"name": "a", "image": "x", "targetContainerName": "none", "ports": [{"containerPort": 1}]}]);
    let (_, errors) = change(sub, &old, list, wrong);
    let expected = "spec.ephemeralContainers[0].name: Duplicate value: \"a\"\nspec.ephemeralContainers[0].targetContainerName: Not found: \"none\"\nspec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container";
    assert_eq!(errors, expected);
}

#[test]
fn a_resize_changes_cpu_and_memory_only() {
    let resize = |old: &Value, pointer: &str, value: Value| change(Subresource::Resize, old, pointer, value);
    let mut wished = pod();
    wished["spec"]["containers"][0]["resources"] = json!({
        "requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}
    });
    let old = create("Pod", wished);
    let at = "/spec/containers/0/resources";
    let (new, errors) = resize(&old, &format!("{at}/requests/cpu"), json!("1500m"));
    assert_eq!(
        (new["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str(), errors.as_str()),
        (Some("1500m"), "")
    );
    assert_eq!(new["metadata"]["generation"], 2);
    let (same, _) = resize(&old, "/spec/containers/0/image", json!("other:1"));
    assert_eq!(same, old, "nothing else changes through this door");

    let table = [
        (
            format!("{at}/limits/memory"),
            json!("512Mi"),
            "spec.containers[0].resources.requests: Invalid value: \"1Gi\": must be less than or equal to memory limit of 512Mi\nspec.containers[0].resources.limits[memory]: Forbidden: memory limits cannot be decreased unless resizePolicy is RestartContainer",
        ),
        (
            format!("{at}/requests"),
            json!({"cpu": "2", "memory": "1Gi", "example.com/x": "1"}),
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources\nspec: Forbidden: only cpu and memory resources are mutable",
        ),
        (
            "/spec/initContainers/0/resources".to_owned(),
            json!({"requests": {"cpu": "1"}}),
            "spec: Forbidden: resources for non-sidecar init containers are immutable",
        ),
    ];
    for (pointer, value, expected) in table {
        assert_eq!(resize(&old, &pointer, value).1, expected, "{pointer}");
    }
    let (_, errors) = resize(&old, at, json!({}));
    let expected = "spec: Invalid value: \"BestEffort\": Pod QOS Class may not change as a result of resizing\nspec.containers[0].resources.requests: Forbidden: resource requests cannot be removed\nspec.containers[0].resources.limits: Forbidden: resource limits cannot be removed";
    assert_eq!(errors, expected);
}

#[test]
fn a_gate_only_opens() {
    let mut gated = pod();
    gated["spec"]["schedulingGates"] = json!([{"name": "x.y/gate"}]);
    super::check_update(
        "Pod",
        &gated,
        &[
            ("/spec/schedulingGates", json!([]), ""),
            ("/spec/nodeSelector", json!({"a": "b"}), ""),
            (
                "/spec/schedulingGates",
                json!([{"name": "x.y/gate"}, {"name": "x.y/more"}]),
                "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'x.y/more'",
            ),
        ],
    );
}
