//! Every built-in kind through the same cycle: create, get, list, no-op update, patch, conflict, delete.

use konzert_api::{Catalogue, Kind, StorageClass};
use serde_json::{Value, json};

use crate::samples;
use crate::support::{self, Server};

/// A small valid object of each kind.
fn sample(kind: &str) -> Value {
    let container = json!({ "name": "main", "image": "example:1" });
    let template = |policy: &str| {
        json!({
            "metadata": { "labels": { "app": "x" } },
            "spec": { "containers": [container.clone()], "restartPolicy": policy },
        })
    };
    match kind {
        "Pod" => json!({ "spec": { "containers": [container] } }),
        "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" => {
            json!({ "spec": { "selector": { "matchLabels": { "app": "x" } }, "template": template("Always") } })
        }
        "ReplicationController" => json!({ "spec": { "template": template("Always") } }),
        "PodTemplate" => json!({ "template": template("Always") }),
        "ControllerRevision" => json!({ "data": { "spec": null }, "revision": 1 }),
        "Job" => json!({ "spec": { "template": template("Never") } }),
        "CronJob" => {
            json!({ "spec": { "schedule": "@daily", "jobTemplate": { "spec": { "template": template("Never") } } } })
        }
        "Service" => json!({ "spec": { "selector": { "app": "x" }, "ports": [{ "port": 80 }] } }),
        "PersistentVolume" => json!({ "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "hostPath": { "path": "/v" },
        } }),
        "PersistentVolumeClaim" => json!({ "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
        } }),
        "HorizontalPodAutoscaler" => {
            json!({ "spec": { "maxReplicas": 3, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "x" } } })
        }
        "LimitRange" => json!({ "spec": { "limits": [{ "type": "Container", "max": { "cpu": "1" } }] } }),
        "ResourceQuota" => json!({ "spec": { "hard": { "pods": "10" } } }),
        "Event" => json!({
            "involvedObject": { "kind": "Pod", "name": "a", "namespace": "default" },
            "reason": "Tested", "message": "m", "type": "Normal",
        }),
        "EndpointSlice" => json!({ "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.1"] }] }),
        "RoleBinding" | "ClusterRoleBinding" => {
            json!({ "roleRef": { "kind": "ClusterRole", "name": "view" }, "subjects": [{ "kind": "User", "name": "a" }] })
        }
        "CertificateSigningRequest" => crate::access::request("a", "b", "example.com/own").0,
        "Lease" => json!({ "spec": { "holderIdentity": "me", "leaseDurationSeconds": 40 } }),
        "CustomResourceDefinition" => json!({
            "spec": {
                "group": "test.dev", "scope": "Namespaced",
                "names": { "plural": "things", "kind": "Thing" },
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                }],
            },
        }),
        other => samples::sample(other),
    }
}

fn collection(kind: &Kind) -> String {
    let root = if kind.group().is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group()) };
    let namespace = if kind.namespaced() { "namespaces/default/" } else { "" };
    format!("{root}/{}/{namespace}{}", kind.version(), kind.plural())
}

/// Events of the newer version must say more.
fn new_event() -> Value {
    json!({
        "regarding": { "kind": "Pod", "name": "a", "namespace": "default" }, "reason": "Tested", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "x", "reportingInstance": "y", "action": "Test",
    })
}

async fn cycle(server: &Server, kind: &Kind) {
    let path = collection(kind);
    let name = samples::name(kind.kind());
    let mut object = if kind.group() == "events.k8s.io" { new_event() } else { sample(kind.kind()) };
    object["metadata"] = json!({ "name": name, "labels": { "cycle": "yes" } });
    let one = format!("{path}/{name}");

    let created = server.post(&path, &object).await.expect(201);
    assert_eq!(created["kind"], kind.kind());
    assert_eq!(created["apiVersion"], kind.api_version());
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(created["metadata"][field].is_string(), "{} {field}", kind.kind());
    }
    let clash = server.post(&path, &object).await.expect(409);
    assert_eq!(clash["reason"], "AlreadyExists");
    assert_eq!(server.get(&one).await.expect(200), created);

    let list = server.get(&format!("{path}?labelSelector=cycle%3Dyes")).await.expect(200);
    assert_eq!(list["kind"], *kind.list_kind());
    assert_eq!(list["items"], json!([created]), "{}", kind.kind());

    let unchanged = server.put(&one, &created).await.expect(200);
    assert_eq!(unchanged, created, "a no-op update of {} wrote something", kind.kind());

    let patch = json!({ "metadata": { "labels": { "more": "1" } } });
    let patched = server.patch(&one, "merge", &patch).await.expect(200);
    let labels = &patched["metadata"]["labels"];
    assert_eq!((&labels["cycle"], &labels["more"]), (&json!("yes"), &json!("1")));
    assert_ne!(patched["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);

    let mut stale = created.clone();
    stale["metadata"]["labels"]["late"] = json!("1");
    let conflict = server.put(&one, &stale).await.expect(409);
    assert_eq!(conflict["reason"], "Conflict");
    assert!(conflict["message"].as_str().unwrap().contains("the object has been modified"), "{conflict}");

    server.delete(&one, &json!({ "propagationPolicy": "Background" })).await.expect(200);
    if kind.kind() == "Namespace" {
        let held = server.get(&one).await.expect(200);
        assert_eq!(held["status"]["phase"], "Terminating");
    } else if kind.kind() != "CustomResourceDefinition" {
        let gone = server.get(&one).await.expect(404);
        assert_eq!(gone["reason"], "NotFound");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_goes_through_the_same_cycle() {
    let server = support::server().await;
    let stored = |kind: &&Kind| kind.acts_on().is_none() && kind.storage() != StorageClass::Virtual;
    for kind in Catalogue::builtin().kinds().filter(stored) {
        cycle(&server, kind).await;
    }
}

#[tokio::test]
async fn what_is_durable_survives_and_what_is_volatile_does_not() {
    let server = support::server().await;
    server.post(support::CONFIG_MAPS, &support::config_map("kept")).await.expect(201);
    let lease = json!({ "metadata": { "name": "lost" }, "spec": {} });
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = server.post(leases, &lease).await.expect(201);
    let revision = |o: &Value| o["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    let server = server.restart().await;
    server.get(&format!("{}/kept", support::CONFIG_MAPS)).await.expect(200);
    server.get(&format!("{leases}/lost")).await.expect(404);
    let after = server.post(support::CONFIG_MAPS, &support::config_map("later")).await.expect(201);
    assert!(revision(&after) > revision(&lease), "revisions went back");
}

#[tokio::test]
async fn opening_again_writes_nothing() {
    let server = support::server().await;
    let before: Vec<_> = server.store.list("/", konzert_store::Page::default()).unwrap().entries;
    let server = server.restart().await;
    let after: Vec<_> = server.store.list("/", konzert_store::Page::default()).unwrap().entries;
    assert_eq!(before, after);
    assert!(!before.is_empty());
}
