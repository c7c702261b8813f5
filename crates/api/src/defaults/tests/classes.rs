//! Defaults of networking, storage, scheduling and admission; generations that do not follow the common rule.

use serde_json::json;

use super::{created, defaulted, kind};

#[test]
fn network_policies_say_what_they_are_about() {
    let types = |spec| defaulted("NetworkPolicy", json!({"spec": spec}))["spec"]["policyTypes"].clone();
    assert_eq!(types(json!({})), json!(["Ingress"]));
    assert_eq!(types(json!({"egress": [{}]})), json!(["Ingress", "Egress"]));
    assert_eq!(types(json!({"egress": [{}], "policyTypes": ["Egress"]})), json!(["Egress"]));
    let policy = defaulted("NetworkPolicy", json!({"spec": {"ingress": [{"ports": [{"port": 1}]}]}}));
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["protocol"], "TCP");
}

#[test]
fn storage() {
    let class = defaulted("StorageClass", json!({"provisioner": "x"}));
    assert_eq!(
        class,
        json!({"metadata": {}, "provisioner": "x", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})
    );
    let driver =
        created("CSIDriver", json!({"metadata": {"name": "d"}, "spec": {"volumeLifecycleModes": []}}));
    insta::assert_json_snapshot!(driver, @r#"
    {
      "metadata": {
        "name": "d"
      },
      "spec": {
        "attachRequired": true,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "podInfoOnMount": false,
        "preventPodSchedulingIfMissing": false,
        "requiresRepublish": false,
        "seLinuxMount": false,
        "storageCapacity": false,
        "volumeLifecycleModes": [
          "Persistent"
        ]
      }
    }
    "#);
    let mut changed = driver.clone();
    changed["spec"]["podInfoOnMount"] = json!(true);
    kind("CSIDriver").prepare_update(&driver, &mut changed);
    assert_eq!(changed["metadata"]["generation"], 1, "the first change counts from nothing");
    let capacity = defaulted("CSIStorageCapacity", json!({"capacity": "1024Mi"}));
    assert_eq!(capacity["capacity"], "1Gi");
}

#[test]
fn webhooks_and_policies() {
    let hook = json!({"name": "w", "rules": [{}], "clientConfig": {"service": {}}});
    let made = defaulted("MutatingWebhookConfiguration", json!({"webhooks": [hook.clone()]}));
    insta::assert_json_snapshot!(made["webhooks"][0], @r#"
    {
      "admissionReviewVersions": null,
      "clientConfig": {
        "service": {
          "name": "",
          "namespace": "",
          "port": 443
        }
      },
      "failurePolicy": "Fail",
      "matchPolicy": "Equivalent",
      "name": "w",
      "namespaceSelector": {},
      "objectSelector": {},
      "reinvocationPolicy": "Never",
      "rules": [
        {
          "scope": "*"
        }
      ],
      "timeoutSeconds": 10
    }
    "#);
    let validating = defaulted("ValidatingWebhookConfiguration", json!({"webhooks": [hook]}));
    assert_eq!(validating["webhooks"][0].get("reinvocationPolicy"), None);
    let policy = json!({"spec": {"matchConstraints": {"resourceRules": [{}]}}});
    let constraints = defaulted("ValidatingAdmissionPolicy", policy)["spec"]["matchConstraints"].clone();
    assert_eq!(constraints["matchPolicy"], "Equivalent");
    assert_eq!(constraints["resourceRules"][0]["scope"], "*");
}

#[test]
fn a_slice_counts_changes_of_its_labels() {
    let slice = json!({
        "metadata": {"name": "s", "labels": {"a": "b"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "deprecatedTopology": {"x": "y"}}],
    });
    let slice = created("EndpointSlice", slice);
    assert_eq!(slice["metadata"]["generation"], 1);
    assert_eq!(slice["endpoints"][0].get("deprecatedTopology"), None);
    let update = |key: &str, value| {
        let mut next = slice.clone();
        next["metadata"][key] = value;
        kind("EndpointSlice").prepare_update(&slice, &mut next);
        next["metadata"]["generation"].clone()
    };
    assert_eq!(update("labels", json!({"a": "c"})), 2);
    assert_eq!(update("annotations", json!({"a": "c"})), 1);
}

#[test]
fn local_api_services_are_available_at_once() {
    let service =
        created("APIService", json!({"metadata": {"name": "v1.x"}, "spec": {"version": "v1", "group": "x"}}));
    assert_eq!(service["status"]["conditions"][0]["reason"], "Local");
    let class = created("PriorityClass", json!({"metadata": {"name": "c"}}));
    assert_eq!(
        class,
        json!({"metadata": {"name": "c", "generation": 1}, "value": 0, "preemptionPolicy": "PreemptLowerPriority"})
    );
}
