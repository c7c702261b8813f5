//! What kubectl looks for in a document, and that documents are whole.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::catalogue::{Gvk, Scope, Subresource};

const APPS: [Gvk; 2] = [Gvk::fixed("apps", "v1", "Deployment"), Gvk::fixed("apps", "v1", "ReplicaSet")];
const POD: Gvk = Gvk::fixed("", "v1", "Pod");
const CUSTOM: Gvk = Gvk::fixed("konzert.dev", "v1alpha1", "PatchCampaign");

fn apps() -> Value {
    let subresources = vec![Subresource::Status, Subresource::Scale];
    let kind = |gvk, plural| OpenApiKind {
        gvk,
        plural,
        scope: Scope::Namespaced,
        subresources: subresources.clone(),
        custom_schema: None,
        create_only: false,
        selectable_fields: Vec::new(),
    };
    openapi_v3(&[kind(&APPS[0], "deployments"), kind(&APPS[1], "replicasets")])
}

fn pods() -> Value {
    let subresources =
        vec![Subresource::Status, Subresource::Log, Subresource::Binding, Subresource::Eviction];
    openapi_v3(&[OpenApiKind {
        gvk: &POD,
        plural: "pods",
        scope: Scope::Namespaced,
        subresources,
        custom_schema: None,
        create_only: false,
        selectable_fields: Vec::new(),
    }])
}

fn custom() -> Value {
    let own = json!({
        "type": "object", "description": "a campaign",
        "properties": { "spec": { "type": "object", "properties": { "waves": { "type": "array", "items": { "type": "string" } } } } },
    });
    openapi_v3(&[OpenApiKind {
        gvk: &CUSTOM,
        plural: "patchcampaigns",
        scope: Scope::Cluster,
        subresources: vec![Subresource::Status],
        custom_schema: Some(&own),
        create_only: false,
        selectable_fields: vec!["spec.color".to_owned()],
    }])
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get("$ref") {
                found.insert(target.clone());
            }
            object.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    for document in [apps(), pods(), custom()] {
        let mut references = BTreeSet::new();
        collect_references(&document, &mut references);
        assert!(references.len() > 5);
        for reference in references {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(target.is_some_and(Value::is_object), "{reference}");
        }
    }
}

#[test]
fn paths_and_actions_are_those_that_are_served() {
    let actions = |document: &Value| -> Vec<String> {
        let mut lines = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if let Some(action) = operation["x-kubernetes-action"].as_str() {
                    let kind = &operation["x-kubernetes-group-version-kind"]["kind"];
                    lines.push(format!("{method} {path} {action} {}", kind.as_str().unwrap()));
                }
            }
        }
        lines
    };
    insta::assert_snapshot!(actions(&custom()).join("\n"), @r"
    delete /apis/konzert.dev/v1alpha1/patchcampaigns deletecollection PatchCampaign
    get /apis/konzert.dev/v1alpha1/patchcampaigns list PatchCampaign
    post /apis/konzert.dev/v1alpha1/patchcampaigns post PatchCampaign
    delete /apis/konzert.dev/v1alpha1/patchcampaigns/{name} delete PatchCampaign
    get /apis/konzert.dev/v1alpha1/patchcampaigns/{name} get PatchCampaign
    patch /apis/konzert.dev/v1alpha1/patchcampaigns/{name} patch PatchCampaign
    put /apis/konzert.dev/v1alpha1/patchcampaigns/{name} put PatchCampaign
    get /apis/konzert.dev/v1alpha1/patchcampaigns/{name}/status get PatchCampaign
    patch /apis/konzert.dev/v1alpha1/patchcampaigns/{name}/status patch PatchCampaign
    put /apis/konzert.dev/v1alpha1/patchcampaigns/{name}/status put PatchCampaign
    ");
    insta::assert_snapshot!(actions(&pods()).join("\n"), @r"
    delete /api/v1/namespaces/{namespace}/pods deletecollection Pod
    get /api/v1/namespaces/{namespace}/pods list Pod
    post /api/v1/namespaces/{namespace}/pods post Pod
    delete /api/v1/namespaces/{namespace}/pods/{name} delete Pod
    get /api/v1/namespaces/{namespace}/pods/{name} get Pod
    patch /api/v1/namespaces/{namespace}/pods/{name} patch Pod
    put /api/v1/namespaces/{namespace}/pods/{name} put Pod
    post /api/v1/namespaces/{namespace}/pods/{name}/binding post Binding
    post /api/v1/namespaces/{namespace}/pods/{name}/eviction post Eviction
    get /api/v1/namespaces/{namespace}/pods/{name}/log get Pod
    get /api/v1/namespaces/{namespace}/pods/{name}/status get Pod
    patch /api/v1/namespaces/{namespace}/pods/{name}/status patch Pod
    put /api/v1/namespaces/{namespace}/pods/{name}/status put Pod
    get /api/v1/pods list Pod
    ");
    let scale = actions(&apps()).into_iter().filter(|line| line.contains("deployments/{name}/scale"));
    insta::assert_snapshot!(scale.collect::<Vec<_>>().join("\n"), @r"
    get /apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale get Scale
    patch /apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale patch Scale
    put /apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale put Scale
    ");
}

#[test]
fn kubectl_finds_patch_types_and_server_side_validation() {
    let patch = |document: &Value, path: &str| document["paths"][path]["patch"].clone();
    let types = |patch: &Value| {
        patch["requestBody"]["content"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let deployment = patch(&apps(), "/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let strategic = "application/strategic-merge-patch+json".to_owned();
    assert!(types(&deployment).contains(&strategic));
    let expected = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    assert_eq!(deployment["x-kubernetes-group-version-kind"], expected);
    let campaign = patch(&custom(), "/apis/konzert.dev/v1alpha1/patchcampaigns/{name}");
    let expected =
        ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
    assert_eq!(types(&campaign), expected);
    for operation in [deployment, campaign] {
        let names: Vec<&str> =
            operation["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    }
}

#[test]
fn schemas_carry_kinds_and_merge_rules() {
    let document = apps();
    let schemas = &document["components"]["schemas"];
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    let gvk = json!([{ "group": "apps", "version": "v1", "kind": "Deployment" }]);
    assert_eq!(deployment["x-kubernetes-group-version-kind"], gvk);
    assert!(deployment["properties"]["metadata"]["allOf"][0]["$ref"].is_string());
    assert!(deployment["properties"]["metadata"]["description"].is_string());
    let pod_spec = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"];
    assert_eq!(pod_spec["containers"]["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(pod_spec["containers"]["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(pod_spec["volumes"]["x-kubernetes-patch-strategy"], "merge,retainKeys");
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-type"], "map");
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    let selector = &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"];
    assert_eq!(selector["x-kubernetes-map-type"], "atomic");
    let port = &schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
    assert_eq!(port["oneOf"], json!([{ "type": "integer" }, { "type": "string" }]));
    let list = &schemas["io.k8s.api.apps.v1.DeploymentList"];
    assert_eq!(
        list["properties"]["items"]["items"]["$ref"],
        "#/components/schemas/io.k8s.api.apps.v1.Deployment"
    );
    assert_eq!(list["x-kubernetes-group-version-kind"][0]["kind"], "DeploymentList");
    let options =
        &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"];
    assert_eq!(options, &json!([{ "group": "apps", "version": "v1", "kind": "DeleteOptions" }]));
}

#[test]
fn custom_kinds_keep_their_own_schema() {
    let document = custom();
    let schema = &document["components"]["schemas"]["dev.konzert.v1alpha1.PatchCampaign"];
    assert_eq!(schema["description"], "a campaign");
    assert_eq!(schema["properties"]["spec"]["properties"]["waves"]["type"], "array");
    assert!(schema["properties"]["metadata"]["allOf"][0]["$ref"].is_string());
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "PatchCampaign");
    assert_eq!(schema["x-kubernetes-selectable-fields"], json!([{ "fieldPath": "spec.color" }]));
}

#[test]
fn the_index_names_documents_by_their_content() {
    let one = document_hash(apps().to_string().as_bytes());
    assert_eq!(one, document_hash(apps().to_string().as_bytes()));
    assert_ne!(one, document_hash(pods().to_string().as_bytes()));
    assert_eq!(one.len(), 64);
    let entry = |group: &str, hash: &str| OpenApiEntry {
        path: group_version_path(group, "v1"),
        hash: hash.to_owned(),
    };
    let index = openapi_v3_index(&[entry("", "AB"), entry("apps", "CD")]);
    let expected = json!({ "paths": {
        "api/v1": { "serverRelativeURL": "/openapi/v3/api/v1?hash=AB" },
        "apis/apps/v1": { "serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=CD" },
    } });
    assert_eq!(index, expected);
}
