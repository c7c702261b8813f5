//! Where mutation starts: small real inputs of every target.

use k8s_pb::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_pb::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use k8s_pb::apimachinery::pkg::apis::meta::v1::{DeleteOptions, LabelSelector, ObjectMeta};
use prost::Message as _;
use serde_json::{Value, json};

fn bytes(values: &[Value]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_string().into_bytes()).collect()
}

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "a", "namespace": "default", "labels": { "app": "web" }, "finalizers": ["a.dev/b"] },
        "spec": {
            "containers": [{
                "name": "main", "image": "example:1", "command": ["serve"],
                "ports": [{ "containerPort": 80, "protocol": "TCP" }],
                "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }],
                "resources": { "limits": { "cpu": "250m", "memory": "64Mi" } },
                "livenessProbe": { "httpGet": { "path": "/", "port": "http" }, "periodSeconds": 5 },
                "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
            }],
            "volumes": [{ "name": "v", "emptyDir": { "sizeLimit": "1Gi" } }],
            "tolerations": [{ "key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 }],
        },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d", "generation": 1 },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": 1 } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": pod()["spec"] },
        },
    })
}

fn definition_object() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "cars.test.dev" },
        "spec": {
            "group": "test.dev", "scope": "Namespaced",
            "names": { "plural": "cars", "singular": "car", "kind": "Car", "listKind": "CarList" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": { "status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                } },
                "additionalPrinterColumns": [{ "name": "Color", "type": "string", "jsonPath": ".spec.color" }],
                "selectableFields": [{ "jsonPath": ".spec.color" }],
                "schema": { "openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "properties": {
                        "spec": {
                            "type": "object",
                            "x-kubernetes-validations": [{ "rule": "self.replicas <= 5", "message": "too many" }],
                            "properties": {
                                "color": { "type": "string", "enum": ["red", "blue"], "default": "red", "maxLength": 10 },
                                "replicas": { "type": "integer", "minimum": 0, "maximum": 10 },
                                "email": { "type": "string", "pattern": "^[a-z]+@[a-z]+$", "format": "email" },
                                "wheels": {
                                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["at"],
                                    "items": { "type": "object", "required": ["at"], "properties": { "at": { "type": "string" } } },
                                },
                                "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                                "size": { "x-kubernetes-int-or-string": true },
                                "map": { "type": "object", "additionalProperties": { "type": "number", "nullable": true } },
                            },
                            "oneOf": [{ "required": ["color"] }, { "required": ["email"] }],
                        },
                        "status": { "type": "object", "properties": { "replicas": { "type": "integer" } } },
                    },
                } },
            }],
        },
    })
}

/// Bodies of several kinds.
pub(crate) fn objects() -> Vec<Vec<u8>> {
    bytes(&[
        pod(),
        deployment(),
        definition_object(),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
            "spec": { "type": "NodePort", "ports": [{ "port": 80, "targetPort": "http", "nodePort": 30000 }], "clusterIP": "None" },
        }),
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j" },
            "spec": { "completions": 3, "parallelism": 2, "backoffLimit": 1, "template": { "spec": pod()["spec"] } },
        }),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "type": "Opaque", "data": { "k": "dg==" } }),
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" },
            "spec": { "taints": [{ "key": "k", "effect": "NoSchedule" }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }], "nodeInfo": { "kubeletVersion": "v1" } },
        }),
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": "e" }, "reason": "R", "type": "Normal", "count": 2,
            "involvedObject": { "kind": "Pod", "name": "a" }, "lastTimestamp": "2026-01-01T00:00:00Z",
        }),
    ])
}

/// The same objects in YAML, and what only YAML has.
pub(crate) fn yaml() -> Vec<Vec<u8>> {
    let mut all = objects();
    all.extend(lines(&[
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n  k: w\n",
        "kind: ConfigMap\nbase: &b {a: 1}\nmore:\n  <<: *b\n  text: |\n    lines\n    more\n",
        "a: [x, 'y', \"z\\n\", 0x1f, 1e3, ~, yes, 2001-01-01]\n? [c]\n: d\n",
        "--- !!map\na: !!str 1\nb: !custom {}\n...\n",
    ]));
    all
}

/// Enveloped messages.
pub(crate) fn protobuf() -> Vec<Vec<u8>> {
    let metadata = ObjectMeta {
        name: Some("a".to_owned()),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        ..ObjectMeta::default()
    };
    let container =
        Container { name: Some("main".to_owned()), image: Some("web:1".to_owned()), ..Container::default() };
    let spec = PodSpec { containers: vec![container], ..PodSpec::default() };
    let pod = Pod { metadata: Some(metadata.clone()), spec: Some(spec.clone()), status: None };
    let deployment = Deployment {
        metadata: Some(metadata.clone()),
        spec: Some(DeploymentSpec {
            replicas: Some(2),
            selector: Some(LabelSelector {
                match_labels: metadata.labels.clone(),
                ..LabelSelector::default()
            }),
            template: Some(PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }),
            ..DeploymentSpec::default()
        }),
        status: None,
    };
    let options = DeleteOptions { grace_period_seconds: Some(5), ..DeleteOptions::default() };
    vec![
        enveloped("v1", "Pod", &pod.encode_to_vec()),
        enveloped("apps/v1", "Deployment", &deployment.encode_to_vec()),
        enveloped("meta.k8s.io/v1", "DeleteOptions", &options.encode_to_vec()),
        enveloped("v1", "PodList", &[0x12, 0x00]),
        // An extension with an envelope of its own.
        enveloped("apps/v1", "ControllerRevision", b"\x12\x0b\x0a\x09k8s\0\x0a\x03\x0a\x01v\x12"),
    ]
}

fn enveloped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    use k8s_pb::apimachinery::pkg::runtime::{TypeMeta, Unknown};
    let type_meta = TypeMeta { api_version: Some(api_version.to_owned()), kind: Some(kind.to_owned()) };
    let unknown = Unknown { type_meta: Some(type_meta), raw: Some(raw.to_vec()), ..Unknown::default() };
    [b"k8s\0".to_vec(), unknown.encode_to_vec()].concat()
}

/// Documents and RFC 6902 patches.
pub(crate) fn json_patches() -> Vec<Vec<u8>> {
    bytes(&[
        json!({ "doc": pod(), "patch": [
            { "op": "test", "path": "/metadata/name", "value": "a" },
            { "op": "add", "path": "/metadata/labels/x~1y", "value": "z" },
            { "op": "add", "path": "/spec/containers/-", "value": { "name": "b" } },
            { "op": "copy", "from": "/spec", "path": "/status/copy" },
            { "op": "move", "from": "/spec/containers/0/ports", "path": "/spec/containers/0/p" },
            { "op": "replace", "path": "/spec/volumes/0", "value": null },
            { "op": "remove", "path": "/metadata/finalizers/0" },
        ] }),
        json!({ "doc": {}, "patch": [{ "op": "add", "path": "", "value": [] }] }),
    ])
}

/// Documents and RFC 7386 patches.
pub(crate) fn merge_patches() -> Vec<Vec<u8>> {
    bytes(&[
        json!({ "doc": pod(), "patch": { "metadata": { "labels": { "app": null, "x": "y" } }, "spec": { "volumes": [] } } }),
        json!({ "doc": [1], "patch": { "a": { "b": { "c": null } } } }),
    ])
}

/// Documents and strategic merge patches with every directive.
pub(crate) fn strategic_patches() -> Vec<Vec<u8>> {
    bytes(&[
        json!({ "doc": deployment(), "patch": { "spec": {
            "strategy": { "$retainKeys": ["type"], "type": "Recreate" },
            "template": { "spec": {
                "$setElementOrder/containers": [{ "name": "side" }, { "name": "main" }],
                "containers": [
                    { "name": "main", "image": "example:2", "ports": [{ "containerPort": 80, "$patch": "delete" }] },
                    { "name": "side", "image": "s" },
                ],
                "volumes": [{ "name": "v", "$patch": "delete" }],
            } },
        } } }),
        json!({ "doc": pod(), "patch": {
            "metadata": { "$deleteFromPrimitiveList/finalizers": ["a.dev/b"], "labels": { "$patch": "replace", "z": "1" } },
            "spec": { "tolerations": [{ "$patch": "replace" }, { "key": "n" }], "nodeSelector": null },
        } }),
        json!({ "doc": pod(), "patch": { "$patch": "delete" } }),
    ])
}

/// Definitions and objects of their kinds.
pub(crate) fn definitions() -> Vec<Vec<u8>> {
    bytes(&[json!({ "doc": definition_object(), "patch": {
        "apiVersion": "test.dev/v1", "kind": "Car", "metadata": { "name": "c" },
        "spec": { "color": "red", "replicas": 3, "wheels": [{ "at": "l" }], "size": "x", "map": { "a": null }, "odd": 1 },
    } })])
}

/// Label and field selectors.
pub(crate) fn selectors() -> Vec<Vec<u8>> {
    lines(&[
        "app=web,n!=7",
        "app in (web, db),!gone,n notin (1),x",
        "a.dev/b==c, n > 5, n<9",
        "metadata.name=a,status.phase!=Running",
        "spec.nodeName=a\\,b\\=c",
    ])
}

/// Quantities.
pub(crate) fn quantities() -> Vec<Vec<u8>> {
    lines(&["0", "1.5", "250m", "64Mi", "1e3", "-12.0E-2", "9223372036854775807", ".5Gi", "100n", "+7k"])
}

/// Continue tokens: base64 of `{"v":"meta.k8s.io/v1","rv":7,"start":"ns/name\u0000"}` and alike.
pub(crate) fn continue_tokens() -> Vec<Vec<u8>> {
    lines(&[
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nywic3RhcnQiOiJucy9uYW1lXHUwMDAwIn0",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYSJ9",
    ])
}

/// Paths with queries, and what may be in `Accept`.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    lines(&[
        "/api/v1/namespaces/default/pods?limit=500&labelSelector=a%3Db&fieldSelector=status.phase%3DRunning\n\
         application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        "/apis/apps/v1/deployments?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&\
         allowWatchBookmarks=1&timeoutSeconds=5\napplication/json;q=0.5, */*;q=0.1",
        "/api/v1/namespaces/n/pods/p/log?follow&tailLines=5&sinceTime=2026-01-01T00:00:00Z&timeout=1m30s\ntext/plain",
        "/apis/g.dev/v1/w/x?dryRun=All&fieldValidation=Strict&propagationPolicy=Orphan&gracePeriodSeconds=-1\n",
        "/openapi/v3/apis/apps/v1?hash=AB\napplication/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    ])
}
