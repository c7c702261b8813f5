//! Every built-in kind, from a minimal manifest to a row of a table.

use serde_json::{Value, json};

use super::{facts, now};
use crate::openapi::{OpenApiKind, openapi_v3};
use crate::{Catalogue, Kind, Scope, meta, schema};

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "a", "image": "web:1"}]}
    })
}

fn workload() -> Value {
    json!({"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()}})
}

fn job_spec() -> Value {
    let mut template = template();
    template["spec"]["restartPolicy"] = json!("Never");
    json!({"template": template})
}

/// The least that a manifest of the kind must say; `None` for kinds that need nothing but a name.
fn least(kind: &Kind) -> Option<Value> {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    Some(match kind.kind() {
        "Pod" => json!({"spec": {"containers": [{"name": "a", "image": "web:1"}]}}),
        "Service" => json!({"spec": {"ports": [{"port": 80}]}}),
        "Event" if kind.group().is_empty() => json!({"involvedObject": {"namespace": "d"}}),
        "Event" => json!({
            "regarding": {"namespace": "d"}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal",
            "reportingController": "x", "reportingInstance": "y", "action": "Test", "reason": "Test"
        }),
        "Binding" => json!({"target": {"name": "n"}}),
        "PersistentVolume" => json!({
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/v"}}
        }),
        "PersistentVolumeClaim" => json!({
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        }),
        "PodTemplate" => json!({"template": template()}),
        "ReplicationController" => json!({"spec": {"template": template()}}),
        "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" => workload(),
        "ControllerRevision" => json!({"data": {"spec": null}, "revision": 1}),
        "Job" => json!({"spec": job_spec()}),
        "CronJob" => json!({"spec": {"schedule": "@daily", "jobTemplate": {"spec": job_spec()}}}),
        "HorizontalPodAutoscaler" => json!({"spec": {"maxReplicas": 3, "scaleTargetRef": target}}),
        "LimitRange" => json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
        "ResourceQuota" => json!({"spec": {"hard": {"pods": "10"}}}),
        "PodDisruptionBudget" => {
            json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}})
        }
        "EndpointSlice" => json!({"addressType": "IPv4", "endpoints": []}),
        "Namespace" | "Node" | "ConfigMap" | "Secret" | "ServiceAccount" | "Endpoints" | "Lease" => json!({}),
        _ => return None,
    })
}

fn manifest(kind: &Kind) -> Option<Value> {
    let mut object = least(kind)?;
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind());
    object["metadata"] = json!({"name": "x"});
    if kind.scope() == Scope::Namespaced {
        object["metadata"]["namespace"] = json!("d");
    }
    Some(object)
}

#[test]
fn every_kind_of_these_groups_goes_all_the_way() {
    const GROUPS: &[&str] = &["", "apps", "autoscaling", "batch", "events.k8s.io", "policy"];
    for kind in Catalogue::builtin().kinds() {
        let name = format!("{} {}", kind.api_version(), kind.kind());
        let Some(mut object) = manifest(kind) else {
            assert!(!GROUPS.contains(&kind.group()), "no manifest for {name}");
            continue;
        };
        assert_eq!(schema::unknown_fields(kind.gvk(), &object), Vec::<String>::new(), "{name}");
        kind.decode(&object).unwrap_or_else(|e| panic!("{name}: {e}"));
        kind.default(&mut object);
        let mut twice = object.clone();
        kind.default(&mut twice);
        assert_eq!(object, twice, "defaults of {name} are idempotent");
        meta::stamp_new(&mut object, "u-1", now());
        kind.prepare_create(&mut object, &facts());
        let mut errors = kind.validate(&object);
        errors.extend(kind.validate_create(&object));
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let mut same = object.clone();
        kind.prepare_update(&object, &mut same);
        assert_eq!(same, object, "an update that changes nothing changes nothing of {name}");
        let errors = kind.validate_update(&object, &object);
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let errors = kind.validate_status(&object, &object);
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let unknown = schema::unknown_fields(kind.gvk(), &object);
        assert_eq!(unknown, Vec::<String>::new(), "defaults of {name} are fields of its schema");
        kind.decode(&object).unwrap_or_else(|e| panic!("{name} after defaults: {e}"));
        assert_eq!(kind.cells(&object, now()).len(), kind.columns().len(), "{name}");
        for part in kind.subresources().into_iter().filter_map(|s| kind.part(s)) {
            let mut same = object.clone();
            kind.prepare_part(part, &object, &mut same);
            assert_eq!((&same, (part.validate)(&object, &same)), (&object, Vec::new()), "{name}");
        }
    }
}

#[test]
fn every_kind_has_a_schema() {
    for kind in Catalogue::builtin().kinds() {
        let document = openapi_v3(&[OpenApiKind::from(kind)]);
        let message =
            schema::schema().by_gvk(kind.group(), kind.version(), kind.kind()).expect("in the table");
        let pointer = format!("/components/schemas/{}/properties", message.name);
        assert!(document.pointer(&pointer).is_some(), "{} {}", kind.api_version(), kind.kind());
    }
}

#[test]
fn what_is_stored_as_another_kind_survives_the_way_back() {
    for kind in Catalogue::builtin().kinds() {
        let Some(stored_as) = kind.stored_as() else { continue };
        let stored_kind = Catalogue::builtin()
            .by_kind(&stored_as.gvk.group, &stored_as.gvk.version, &stored_as.gvk.kind)
            .expect("what is stored is a kind");
        assert_eq!((stored_kind.plural(), stored_kind.scope()), (kind.plural(), kind.scope()));
        let mut object = manifest(kind).expect("a manifest");
        kind.default(&mut object);
        let mut stored = object.clone();
        (stored_as.to_stored)(&mut stored);
        stored["apiVersion"] = json!(stored_kind.api_version());
        assert_eq!(schema::unknown_fields(stored_kind.gvk(), &stored), Vec::<String>::new());
        let mut back = stored.clone();
        (stored_as.from_stored)(&mut back);
        back["apiVersion"] = json!(kind.api_version());
        assert_eq!(back, object);
    }
}

#[test]
fn what_is_not_ours_keeps_its_nulls() {
    let all = Catalogue::builtin();
    let kind = all.by_kind("apps", "v1", "ControllerRevision").expect("a kind");
    let mut object = json!({"metadata": {"creationTimestamp": null}, "data": {"a": null}});
    kind.default(&mut object);
    assert_eq!(object, json!({"metadata": {}, "data": {"a": null}, "revision": 0}));
}
