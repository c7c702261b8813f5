//! The catalogue: rows are complete, unique and answer alike; no object makes any of them fail.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::meta;
use crate::{crd, own};

mod walk;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a timestamp")
}

fn facts() -> CreateFacts {
    CreateFacts { uid: "u-1".to_owned(), now: now() }
}

fn kind(name: &str) -> Kind {
    let catalogue = Catalogue::builtin();
    let found = catalogue.kinds().find(|k| k.kind() == name).cloned();
    found.unwrap_or_else(|| panic!("no kind {name}"))
}

fn own_kinds() -> Vec<Arc<CustomKind>> {
    let kinds = own::definitions().into_iter().map(|definition| {
        let value = serde_json::to_value(definition).expect("definitions are JSON");
        crd::custom_kinds(&value).expect("our own definitions are accepted")
    });
    kinds.flatten().map(Arc::new).collect()
}

fn all() -> Catalogue {
    Catalogue::builtin().with_custom(own_kinds())
}

#[test]
fn every_kind_of_the_engine_has_a_row() {
    let names: Vec<String> = all().kinds().map(|k| format!("{} {}", k.api_version(), k.plural())).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    v1 namespaces
    v1 nodes
    v1 pods
    v1 configmaps
    v1 secrets
    v1 serviceaccounts
    v1 services
    v1 events
    v1 bindings
    v1 endpoints
    v1 limitranges
    v1 persistentvolumes
    v1 persistentvolumeclaims
    v1 podtemplates
    v1 replicationcontrollers
    v1 resourcequotas
    apiregistration.k8s.io/v1 apiservices
    discovery.k8s.io/v1 endpointslices
    coordination.k8s.io/v1 leases
    events.k8s.io/v1 events
    apps/v1 replicasets
    apps/v1 deployments
    apps/v1 statefulsets
    apps/v1 daemonsets
    apps/v1 controllerrevisions
    autoscaling/v2 horizontalpodautoscalers
    autoscaling/v1 horizontalpodautoscalers
    batch/v1 jobs
    batch/v1 cronjobs
    networking.k8s.io/v1 ingresses
    networking.k8s.io/v1 ingressclasses
    networking.k8s.io/v1 networkpolicies
    networking.k8s.io/v1 ipaddresses
    networking.k8s.io/v1 servicecidrs
    node.k8s.io/v1 runtimeclasses
    scheduling.k8s.io/v1 priorityclasses
    storage.k8s.io/v1 csidrivers
    storage.k8s.io/v1 csinodes
    storage.k8s.io/v1 csistoragecapacities
    storage.k8s.io/v1 storageclasses
    storage.k8s.io/v1 volumeattachments
    storage.k8s.io/v1 volumeattributesclasses
    admissionregistration.k8s.io/v1 validatingwebhookconfigurations
    admissionregistration.k8s.io/v1 mutatingwebhookconfigurations
    admissionregistration.k8s.io/v1 validatingadmissionpolicies
    admissionregistration.k8s.io/v1 validatingadmissionpolicybindings
    admissionregistration.k8s.io/v1 mutatingadmissionpolicies
    admissionregistration.k8s.io/v1 mutatingadmissionpolicybindings
    policy/v1 poddisruptionbudgets
    authentication.k8s.io/v1 selfsubjectreviews
    authentication.k8s.io/v1 tokenreviews
    authorization.k8s.io/v1 localsubjectaccessreviews
    authorization.k8s.io/v1 selfsubjectaccessreviews
    authorization.k8s.io/v1 selfsubjectrulesreviews
    authorization.k8s.io/v1 subjectaccessreviews
    certificates.k8s.io/v1 certificatesigningrequests
    rbac.authorization.k8s.io/v1 clusterrolebindings
    rbac.authorization.k8s.io/v1 clusterroles
    rbac.authorization.k8s.io/v1 rolebindings
    rbac.authorization.k8s.io/v1 roles
    apiextensions.k8s.io/v1 customresourcedefinitions
    konzert.dev/v1alpha1 imagereports
    konzert.dev/v1alpha1 patchcampaigns
    konzert.dev/v1alpha1 reappolicies
    konzert.dev/v1alpha1 reaprecords
    ");
}

#[test]
fn rows_are_complete() {
    for kind in all().kinds() {
        let cells = kind.cells(&json!({}), now());
        assert_eq!(cells.len(), kind.columns().len(), "{}", kind.kind());
        assert_eq!(kind.plural(), kind.plural().to_lowercase());
        assert_eq!(kind.singular(), kind.kind().to_lowercase());
        assert_eq!(kind.list_kind(), format!("{}List", kind.kind()));
        let minimal =
            json!({"apiVersion": kind.api_version(), "kind": kind.kind(), "metadata": {"name": "x"}});
        kind.decode(&minimal).unwrap_or_else(|e| panic!("{}: {e}", kind.kind()));
    }
}

#[test]
fn a_wrong_type_is_a_bad_request() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": "two"}
    });
    let error = kind("Deployment").decode(&deployment).unwrap_err();
    assert_eq!(error.code, 400);
    let start = r#"Deployment in version "v1" cannot be handled as a Deployment: "#;
    assert!(error.message.starts_with(start), "{}", error.message);
}

#[test]
fn kinds_are_found_by_path_and_by_name() {
    let all = all();
    assert_eq!(all.by_resource("", "v1", "pods").expect("pods").kind(), "Pod");
    assert_eq!(
        all.by_resource("konzert.dev", "v1alpha1", "reaprecords").expect("records").kind(),
        "ReapRecord"
    );
    assert_eq!(all.by_kind("apps", "v1", "Deployment").expect("deployments").plural(), "deployments");
    assert!(all.by_resource("apps", "v1", "pods").is_none());
    let groups: Vec<String> = all.groups().into_iter().map(|g| g.name).collect();
    let expected = [
        "",
        "apiregistration.k8s.io",
        "discovery.k8s.io",
        "coordination.k8s.io",
        "events.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "networking.k8s.io",
        "node.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "admissionregistration.k8s.io",
        "policy",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "rbac.authorization.k8s.io",
        "apiextensions.k8s.io",
        "konzert.dev",
    ];
    assert_eq!(groups, expected);
    assert_eq!(all.with_custom(Vec::new()).kinds().count(), builtin().len());
}

#[test]
fn a_custom_kind_never_shadows_a_built_in_one() {
    let mut impostor = (*own_kinds()[0]).clone();
    impostor.gvk = Gvk::new("apps", "v1", "Deployment");
    impostor.plural = "deployments".to_owned();
    let all = Catalogue::builtin().with_custom(vec![Arc::new(impostor)]);
    assert!(!all.by_resource("apps", "v1", "deployments").expect("deployments").is_custom());
    assert_eq!(all.kinds().count(), builtin().len());
}

#[test]
fn versions_are_ordered() {
    let mut versions = vec!["foo1", "v1alpha1", "v2", "v1beta1", "v10", "v1", "v1beta2", "v2alpha1"];
    versions.sort_by_key(|v| std::cmp::Reverse(version_rank(v)));
    assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v2alpha1", "v1alpha1", "foo1"]);
}

#[test]
fn only_the_spec_bumps_the_generation() {
    let deployment = kind("Deployment");
    let mut old = json!({"metadata": {"name": "x"}, "spec": {"replicas": 1}, "status": {"replicas": 9}});
    deployment.prepare_create(&mut old, &facts());
    assert_eq!(old["metadata"], json!({"name": "x", "generation": 1}));
    assert_eq!(old["status"], json!({}), "a new object has a fresh status");
    old["spec"] = json!({"replicas": 1});
    old["status"] = json!({"replicas": 1});

    let mut new = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"replicas": 1}});
    deployment.prepare_update(&old, &mut new);
    assert_eq!(meta::generation(&new), 1);
    assert_eq!(new["status"], json!({"replicas": 1}), "an update keeps the status");

    let mut new = json!({"metadata": {"name": "x", "generation": 40}, "spec": {"replicas": 2}});
    deployment.prepare_update(&old, &mut new);
    assert_eq!(meta::generation(&new), 2);

    let mut map = json!({"metadata": {"name": "x"}, "data": {}});
    kind("ConfigMap").prepare_create(&mut map, &facts());
    assert_eq!(map["metadata"], json!({"name": "x"}), "a ConfigMap has no generation");
}

#[test]
fn a_status_update_changes_only_the_status() {
    let old = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"replicas": 1}});
    let mut new = json!({
        "metadata": {"name": "x", "labels": {}, "annotations": {"revision": "1"}},
        "spec": {"replicas": 7},
        "status": {"replicas": 1}
    });
    kind("Deployment").prepare_status_update(&old, &mut new);
    let expected = json!({
        "metadata": {"name": "x", "labels": {"a": "b"}, "annotations": {"revision": "1"}},
        "spec": {"replicas": 1},
        "status": {"replicas": 1}
    });
    assert_eq!(new, expected);
}

#[test]
fn a_pod_keeps_its_quality_of_service() {
    let old = json!({"metadata": {"name": "x"}, "spec": {}, "status": {"phase": "Pending", "qosClass": "Burstable"}});
    let mut new = json!({"metadata": {"name": "x"}, "spec": {}, "status": {"phase": "Running"}});
    kind("Pod").prepare_status_update(&old, &mut new);
    assert_eq!(new["status"], json!({"phase": "Running", "qosClass": "Burstable"}));
}

#[test]
fn a_node_registers_with_its_status() {
    let mut node = json!({"metadata": {"name": "x"}, "status": {"capacity": {"cpu": "2000m"}}});
    let row = kind("Node");
    row.default(&mut node);
    row.prepare_create(&mut node, &facts());
    assert_eq!(node["status"]["capacity"], json!({"cpu": "2"}));
    assert_eq!(node["status"]["allocatable"], json!({"cpu": "2"}));
    assert_eq!(node["status"]["daemonEndpoints"], json!({"kubeletEndpoint": {"Port": 0}}));
}

#[test]
fn scale_reads_and_writes_replicas() {
    let deployment = kind("Deployment");
    let mut object = json!({
        "metadata": {"name": "x", "namespace": "d", "uid": "1", "labels": {"a": "b"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web", "b": "c"}}},
        "status": {"replicas": 2}
    });
    let expected = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": "x", "namespace": "d", "uid": "1"},
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": "app=web,b=c"}
    });
    assert_eq!(deployment.scale_of(&object), Some(expected));
    assert!(deployment.set_replicas(&mut object, 5));
    assert_eq!(object["spec"]["replicas"], 5);
    assert_eq!(kind("Pod").scale_of(&object), None);
    assert!(!kind("Pod").set_replicas(&mut object, 5));
}

#[test]
fn selectable_fields_differ_by_kind() {
    assert!(kind("Pod").field_selector("spec.nodeName=x,status.phase!=Failed").is_ok());
    assert!(kind("Event").field_selector("involvedObject.uid=x").is_ok());
    assert_eq!(kind("Service").field_selector("spec.nodeName=x").unwrap_err().code, 400);
}

/// Objects made of the words that rows look for, with values of every type in every place.
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn hostile() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "metadata",
        "spec",
        "status",
        "name",
        "namespace",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "template",
        "selector",
        "matchLabels",
        "matchExpressions",
        "containers",
        "initContainers",
        "volumes",
        "ports",
        "env",
        "valueFrom",
        "fieldRef",
        "resources",
        "limits",
        "requests",
        "livenessProbe",
        "httpGet",
        "lifecycle",
        "strategy",
        "rollingUpdate",
        "maxSurge",
        "data",
        "stringData",
        "versions",
        "schema",
        "openAPIV3Schema",
        "properties",
        "items",
        "type",
        "names",
        "conditions",
        "containerStatuses",
        "state",
        "terminated",
        "endpoints",
        "addresses",
        "clusterIPs",
        "taints",
        "tolerations",
        "projected",
        "sources",
        "configMap",
        "subresources",
        "scale",
        "additionalPrinterColumns",
        "jsonPath",
        "default",
        "volumeMounts",
        "securityContext",
        "replicas",
        "hostNetwork",
        "rules",
        "http",
        "paths",
        "backend",
        "service",
        "tls",
        "ingress",
        "loadBalancer",
        "egress",
        "from",
        "ipBlock",
        "cidrs",
        "parentRef",
        "overhead",
        "scheduling",
        "drivers",
        "allocatable",
        "allowedTopologies",
        "tokenRequests",
        "webhooks",
        "clientConfig",
        "matchConstraints",
        "resourceRules",
        "matchConditions",
        "paramRef",
        "validations",
        "mutations",
        "managedFields",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "[a-z0-9./%:=-]{0,12}".prop_map(Value::from),
        Just(json!("2026-01-01T00:00:00Z")),
        Just(json!("object")),
    ];
    leaf.prop_recursive(8, 128, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(WORDS), inner), 0..8).prop_map(
                |pairs| Value::Object(
                    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>()
                )
            ),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_object_makes_a_row_fail(object in hostile(), other in hostile()) {
        for kind in all().kinds() {
            let mut once = object.clone();
            kind.prune(&mut once);
            kind.default(&mut once);
            let mut twice = once.clone();
            kind.default(&mut twice);
            prop_assert_eq!(&once, &twice, "defaulting {} is idempotent", kind.kind());
            drop((kind.decode(&once), kind.validate(&once), kind.validate_update(&once, &other)));
            drop((kind.validate_create(&once), kind.warnings(&once, None), kind.warnings(&once, Some(&other))));
            prop_assert_eq!(kind.cells(&once, now()).len(), kind.columns().len());
            drop((kind.row_conditions(&once), kind.scale_of(&once)));
            kind.prepare_update(&other, &mut once);
            kind.prepare_status_update(&other, &mut once);
            kind.prepare_create(&mut once, &facts());
            let _replicas: bool = kind.set_replicas(&mut once, 1);
        }
        drop(crd::custom_kinds(&object));
    }
}
