//! Small valid objects of the kinds outside the core groups.

use serde_json::{Value, json};

/// A name that the kind allows.
pub(crate) fn name(kind: &str) -> &'static str {
    match kind {
        "CustomResourceDefinition" => "things.test.dev",
        "APIService" => "v1.sample.dev",
        "IPAddress" => "10.0.0.7",
        _ => "sample",
    }
}

/// What the object holds besides its metadata.
pub(crate) fn sample(kind: &str) -> Value {
    let rule =
        json!({ "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"] });
    let hook = json!({
        "name": "w.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": { "url": "https://hook.example.com/check" }, "rules": [rule.clone()],
    });
    let constraints = json!({ "resourceRules": [rule] });
    match kind {
        "APIService" => json!({
            "spec": { "group": "sample.dev", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1 },
        }),
        "CSINode" => json!({ "spec": { "drivers": [] } }),
        "CSIStorageCapacity" => json!({ "storageClassName": "fast" }),
        "Ingress" => {
            json!({ "spec": { "defaultBackend": { "service": { "name": "web", "port": { "name": "http" } } } } })
        }
        "IngressClass" => json!({ "spec": { "controller": "example.com/controller" } }),
        "IPAddress" => {
            json!({ "spec": { "parentRef": { "resource": "services", "namespace": "d", "name": "x" } } })
        }
        "MutatingAdmissionPolicy" => json!({
            "spec": {
                "matchConstraints": constraints, "reinvocationPolicy": "Never",
                "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": "[]" } }],
            },
        }),
        "MutatingAdmissionPolicyBinding" => json!({ "spec": { "policyName": "p" } }),
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => json!({ "webhooks": [hook] }),
        "PriorityClass" => json!({ "value": 1 }),
        "RuntimeClass" => json!({ "handler": "runc" }),
        "ServiceCIDR" => json!({ "spec": { "cidrs": ["10.100.0.0/16"] } }),
        "StorageClass" => json!({ "provisioner": "example.com/disk" }),
        "ValidatingAdmissionPolicy" => json!({
            "spec": { "matchConstraints": constraints, "validations": [{ "expression": "true" }] },
        }),
        "ValidatingAdmissionPolicyBinding" => {
            json!({ "spec": { "policyName": "p", "validationActions": ["Deny"] } })
        }
        "VolumeAttachment" => json!({
            "spec": { "attacher": "d.example.com", "nodeName": "n", "source": { "persistentVolumeName": "v" } },
        }),
        "VolumeAttributesClass" => json!({ "driverName": "d.example.com", "parameters": { "iops": "1" } }),
        "CSIDriver" | "NetworkPolicy" => json!({ "spec": {} }),
        _ => json!({}),
    }
}
