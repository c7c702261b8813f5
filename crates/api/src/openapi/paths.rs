//! Paths and operations: what can be asked of a kind, with the parameters that are understood.

use serde_json::{Map, Value, json};

use super::{
    BINDING, DELETE_OPTIONS, EVICTION, OpenApiKind, SCALE, STATUS, TOKEN_REQUEST, group_version_path,
    gvk_value, reference, schema_name,
};
use crate::catalogue::{Scope, Subresource};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";
const ANSWERS: &[&str] = &["application/json", "application/yaml"];
const OBJECTS: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// What an operation answers with and is labelled as.
#[derive(Clone, Copy)]
struct Target<'a> {
    schema: &'a str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    custom: bool,
}

/// Adds all paths of a kind.
pub(super) fn add(kind: &OpenApiKind<'_>, paths: &mut Map<String, Value>) {
    let gvk = kind.gvk;
    let root = format!("/{}", group_version_path(&gvk.group, &gvk.version));
    let name = schema_name(kind);
    let target = Target {
        schema: &name,
        group: &gvk.group,
        version: &gvk.version,
        kind: &gvk.kind,
        custom: kind.custom_schema.is_some(),
    };
    let plural = kind.plural;
    if kind.is_virtual() {
        add_question(kind, target, &root, paths);
        return;
    }
    let mut path_parameters = Vec::new();
    let collection = match kind.scope {
        Scope::Cluster => format!("{root}/{plural}"),
        Scope::Namespaced => {
            let everywhere = json!({ "get": list(target) });
            if !kind.create_only {
                paths.insert(format!("{root}/{plural}"), everywhere);
            }
            path_parameters.push(path_parameter(
                "namespace",
                "object name and auth scope, such as for teams and projects",
            ));
            format!("{root}/namespaces/{{namespace}}/{plural}")
        }
    };
    let mut item = json!({ "post": write(target, "post", OBJECTS, 201) });
    if !kind.create_only {
        item["get"] = list(target);
        item["delete"] = delete(target, "deletecollection");
    }
    with_parameters(&mut item, &path_parameters);
    paths.insert(collection.clone(), item);
    if kind.create_only {
        return;
    }

    path_parameters.push(path_parameter("name", &format!("name of the {}", gvk.kind)));
    let mut item = object_operations(target);
    item["delete"] = delete(target, "delete");
    with_parameters(&mut item, &path_parameters);
    paths.insert(format!("{collection}/{{name}}"), item);
    for subresource in &kind.subresources {
        let mut item = subresource_operations(target, *subresource);
        with_parameters(&mut item, &path_parameters);
        paths.insert(format!("{collection}/{{name}}/{}", subresource.name()), item);
    }
}

/// A kind that is only created and answered.
fn add_question(kind: &OpenApiKind<'_>, target: Target<'_>, root: &str, paths: &mut Map<String, Value>) {
    let mut item = json!({ "post": write(target, "post", OBJECTS, 201) });
    let path = match kind.scope {
        Scope::Cluster => format!("{root}/{}", kind.plural),
        Scope::Namespaced => {
            let namespace =
                path_parameter("namespace", "object name and auth scope, such as for teams and projects");
            with_parameters(&mut item, &[namespace]);
            format!("{root}/namespaces/{{namespace}}/{}", kind.plural)
        }
    };
    paths.insert(path, item);
}

fn subresource_operations(target: Target<'_>, subresource: Subresource) -> Value {
    let other = |schema, group, kind| Target { schema, group, version: "v1", kind, custom: false };
    match subresource {
        Subresource::Status
        | Subresource::Approval
        | Subresource::EphemeralContainers
        | Subresource::Resize => object_operations(target),
        Subresource::Finalize => json!({ "put": write(target, "put", OBJECTS, 200) }),
        // A scale is an object of another kind; its patches follow the kind that is scaled.
        Subresource::Scale => {
            object_operations(Target { custom: target.custom, ..other(SCALE, "autoscaling", "Scale") })
        }
        Subresource::Binding => json!({ "post": write(other(BINDING, "", "Binding"), "post", OBJECTS, 201) }),
        Subresource::Eviction => {
            json!({ "post": write(other(EVICTION, "policy", "Eviction"), "post", OBJECTS, 201) })
        }
        Subresource::Token => {
            let request = other(TOKEN_REQUEST, "authentication.k8s.io", "TokenRequest");
            json!({ "post": write(request, "post", OBJECTS, 201) })
        }
        Subresource::Log => json!({ "get": log(target) }),
    }
}

/// get, put and patch of one object.
fn object_operations(target: Target<'_>) -> Value {
    json!({
        "get": operation(target, "get", &[], &responses(target.schema, &[200])),
        "put": write(target, "put", OBJECTS, 200),
        "patch": patch(target),
    })
}

fn operation(target: Target<'_>, action: &str, parameters: &[Value], responses: &Value) -> Value {
    let mut operation = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk_value(target.group, target.version, target.kind),
        "responses": responses,
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters.to_vec());
    }
    operation
}

fn write(target: Target<'_>, action: &str, types: &[&str], code: u16) -> Value {
    let codes: &[u16] = if code == 201 { &[200, 201, 202] } else { &[200, 201] };
    let mut operation = operation(target, action, &write_parameters(), &responses(target.schema, codes));
    operation["requestBody"] =
        json!({ "content": content(types, &reference(target.schema)), "required": true });
    operation
}

fn patch(target: Target<'_>) -> Value {
    let mut parameters = write_parameters();
    parameters.push(query(
        "force",
        "boolean",
        "take over fields that other managers own; for apply patches only",
    ));
    let mut types = vec![APPLY_PATCH, JSON_PATCH, MERGE_PATCH];
    if !target.custom {
        types.push(STRATEGIC_PATCH);
    }
    let mut operation = operation(target, "patch", &parameters, &responses(target.schema, &[200, 201]));
    let body = json!({ "type": "object" });
    operation["requestBody"] = json!({ "content": content(&types, &body), "required": true });
    operation
}

fn list(target: Target<'_>) -> Value {
    let parameters = [
        query("allowWatchBookmarks", "boolean", "whether a watch sends bookmarks"),
        query("continue", "string", "token of the last answer, to go on with a list in pieces"),
        query("fieldSelector", "string", "fields that the objects must have"),
        query("labelSelector", "string", "labels that the objects must have"),
        query("limit", "integer", "most objects in one answer"),
        query("resourceVersion", "string", "revision to read at or to watch from"),
        query("resourceVersionMatch", "string", "how resourceVersion is meant"),
        query("sendInitialEvents", "boolean", "whether a watch begins with all objects"),
        query("timeoutSeconds", "integer", "how long the request may take"),
        query("watch", "boolean", "send changes as they happen"),
    ];
    operation(target, "list", &parameters, &responses(&format!("{}List", target.schema), &[200]))
}

fn delete(target: Target<'_>, action: &str) -> Value {
    let mut parameters = vec![
        query("dryRun", "string", "`All`: go through all stages, but change nothing"),
        query("gracePeriodSeconds", "integer", "seconds until the object is gone; 0 is at once"),
        query("orphanDependents", "boolean", "deprecated: use propagationPolicy"),
        query("propagationPolicy", "string", "`Orphan`, `Background` or `Foreground`"),
    ];
    if action == "deletecollection" {
        parameters.push(query("fieldSelector", "string", "fields that the objects must have"));
        parameters.push(query("labelSelector", "string", "labels that the objects must have"));
    }
    let mut operation = operation(target, action, &parameters, &responses(STATUS, &[200, 202]));
    operation["requestBody"] = json!({ "content": content(OBJECTS, &reference(DELETE_OPTIONS)) });
    operation
}

fn log(target: Target<'_>) -> Value {
    let parameters = [
        query("container", "string", "container whose log is read"),
        query("follow", "boolean", "go on with what is written later"),
        query("limitBytes", "integer", "most bytes to send"),
        query("previous", "boolean", "read the log of the instance before"),
        query("sinceSeconds", "integer", "only lines younger than this"),
        query("sinceTime", "string", "only lines from this time on"),
        query("tailLines", "integer", "only this many of the last lines"),
        query("timestamps", "boolean", "begin each line with its time"),
    ];
    let text = json!({ "200": { "description": "OK", "content": { "text/plain": { "schema": { "type": "string" } } } } });
    operation(target, "get", &parameters, &text)
}

fn write_parameters() -> Vec<Value> {
    vec![
        query("dryRun", "string", "`All`: go through all stages, but change nothing"),
        query("fieldManager", "string", "name of who makes the change"),
        query(
            "fieldValidation",
            "string",
            "what to do with unknown and duplicate fields: `Ignore`, `Warn` or `Strict`",
        ),
    ]
}

fn query(name: &str, kind: &str, description: &str) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": { "type": kind, "uniqueItems": true } })
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "path",
        "description": description,
        "required": true,
        "schema": { "type": "string", "uniqueItems": true },
    })
}

fn with_parameters(item: &mut Value, parameters: &[Value]) {
    if !parameters.is_empty() {
        item["parameters"] = Value::Array(parameters.to_vec());
    }
}

fn responses(schema: &str, codes: &[u16]) -> Value {
    let mut responses = Map::new();
    for code in codes {
        let description = match code {
            201 => "Created",
            202 => "Accepted",
            _ => "OK",
        };
        let content = content(ANSWERS, &reference(schema));
        responses.insert(code.to_string(), json!({ "description": description, "content": content }));
    }
    responses.insert("401".to_owned(), json!({ "description": "Unauthorized" }));
    Value::Object(responses)
}

fn content(types: &[&str], schema: &Value) -> Value {
    types
        .iter()
        .map(|media_type| ((*media_type).to_owned(), json!({ "schema": schema })))
        .collect::<Map<_, _>>()
        .into()
}
