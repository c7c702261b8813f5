//! `OpenAPI` v2, made from the v3 documents of all group versions, one after the other.
//!
//! For clients that still ask: fallbacks of older kubectl, and tools that read one document of everything. Two encodings of
//! the same content: JSON, and the protobuf of [`super::gnostic`].
//!
//! Invariants: only one group version is in memory at a time; the output is written as it is made, so that the caller can
//! compress it; every `$ref` leads to a definition of the document. What v2 cannot say (`oneOf`, `nullable`) is left out, so
//! that a v2 reader accepts everything that the server accepts.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::gnostic;

/// How the document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum V2Encoding {
    /// `application/json`.
    Json,
    /// `application/com.github.proto-openapi.spec.v2.v1.0+protobuf`.
    Protobuf,
}

/// Writes the document of all group versions. `document` gives the v3 document of one of `paths`; it is asked twice for
/// each.
///
/// # Errors
/// Those of `out`.
pub fn write_v2(
    encoding: V2Encoding,
    paths: &[&str],
    document: &dyn Fn(&str) -> Value,
    out: &mut dyn Write,
) -> io::Result<()> {
    let info = json!({ "title": "Kubernetes", "version": "v1.37.0" });
    match encoding {
        V2Encoding::Json => {
            write!(out, "{{\"swagger\":\"2.0\",\"info\":{info},\"paths\":{{")?;
            let mut members = Members::default();
            for path in paths {
                members.put_all(path_items(document(path)), out)?;
            }
            out.write_all(b"},\"definitions\":{")?;
            let mut members = Members::default();
            for path in paths {
                members.put_all(definitions(document(path)), out)?;
            }
            out.write_all(b"}}")
        }
        V2Encoding::Protobuf => {
            gnostic::write_header(&info, out)?;
            for path in paths {
                gnostic::write_paths(&path_items(document(path)), out)?;
            }
            let mut seen = BTreeSet::new();
            for path in paths {
                let mut all = definitions(document(path));
                all.retain(|name, _| seen.insert(name.clone()));
                gnostic::write_definitions(&all, out)?;
            }
            Ok(())
        }
    }
}

/// Members of one JSON object; the first of two with the same name stays.
#[derive(Default)]
struct Members(BTreeSet<String>);

impl Members {
    fn put_all(&mut self, members: Map<String, Value>, out: &mut dyn Write) -> io::Result<()> {
        for (name, value) in members {
            if self.0.contains(&name) {
                continue;
            }
            let comma = if self.0.is_empty() { "" } else { "," };
            write!(out, "{comma}{}:{value}", Value::from(name.as_str()))?;
            self.0.insert(name);
        }
        Ok(())
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn take(object: &mut Map<String, Value>, key: &str) -> Value {
    object.remove(key).unwrap_or(Value::Null)
}

fn definitions(document: Value) -> Map<String, Value> {
    let mut components = object(take(&mut object(document), "components"));
    let mut schemas = object(take(&mut components, "schemas"));
    schemas.values_mut().for_each(schema);
    schemas
}

fn path_items(document: Value) -> Map<String, Value> {
    let mut paths = object(take(&mut object(document), "paths"));
    for item in paths.values_mut().filter_map(Value::as_object_mut) {
        for (key, member) in item {
            match (key.as_str(), member) {
                ("parameters", Value::Array(list)) => list.iter_mut().for_each(parameter),
                (_, Value::Object(found)) => operation(found),
                _ => {}
            }
        }
    }
    paths
}

fn operation(operation: &mut Map<String, Value>) {
    let mut parameters = match take(operation, "parameters") {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    parameters.iter_mut().for_each(parameter);
    let mut body = object(take(operation, "requestBody"));
    let content = object(take(&mut body, "content"));
    if !content.is_empty() {
        operation.insert("consumes".to_owned(), content.keys().map(String::as_str).collect());
        let mut wanted = content.into_iter().next().map_or_else(|| json!({}), |(_, media)| media);
        let mut of_body = wanted["schema"].take();
        schema(&mut of_body);
        let mut parameter = json!({ "name": "body", "in": "body", "schema": of_body });
        if body.get("required") == Some(&Value::Bool(true)) {
            parameter["required"] = json!(true);
        }
        parameters.push(parameter);
    }
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    let mut produces: Vec<String> = Vec::new();
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for response in responses.values_mut().filter_map(Value::as_object_mut) {
        let content = object(take(response, "content"));
        produces
            .extend(content.keys().filter(|media| !produces.contains(media)).cloned().collect::<Vec<_>>());
        if let Some((_, mut media)) = content.into_iter().next() {
            let mut answered = media["schema"].take();
            schema(&mut answered);
            response.insert("schema".to_owned(), answered);
        }
    }
    operation.insert("produces".to_owned(), json!(produces));
}

/// In v2, what is under `schema` in a query or path parameter lies in the parameter itself.
fn parameter(parameter: &mut Value) {
    let Value::Object(parameter) = parameter else { return };
    for (key, value) in object(take(parameter, "schema")) {
        parameter.insert(key, value);
    }
}

/// Turns a v3 schema into a v2 one.
fn schema(value: &mut Value) {
    let Value::Object(schema) = value else { return };
    for unknown in ["oneOf", "anyOf", "not", "writeOnly", "deprecated"] {
        schema.remove(unknown);
    }
    unwrap_reference(schema);
    if let Some(Value::String(target)) = schema.get_mut("$ref") {
        *target = target.replace("#/components/schemas/", "#/definitions/");
    }
    let nullable = schema.remove("nullable") == Some(Value::Bool(true));
    let flag = |name: &str| schema.get(name) == Some(&Value::Bool(true));
    let free = flag("x-kubernetes-preserve-unknown-fields");
    if flag("x-kubernetes-int-or-string") || nullable {
        schema.remove("type");
    }
    if free || nullable {
        // A v2 reader takes what is listed for all that there is.
        for inner in ["properties", "items", "required", "additionalProperties"] {
            schema.remove(inner);
        }
    }
    if schema.get("format").is_some_and(|format| format == "int-or-string") && !schema.contains_key("type") {
        schema.insert("type".to_owned(), json!("string"));
    }
    for list in ["allOf"] {
        if let Some(Value::Array(items)) = schema.get_mut(list) {
            items.iter_mut().for_each(self::schema);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner) {
            self::schema(inner);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(self::schema);
    }
}

/// `allOf: [{$ref}]` stands around a reference that has a description; in v2 both stand side by side.
fn unwrap_reference(schema: &mut Map<String, Value>) {
    let target = match schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) if only.as_object().is_some_and(|o| o.len() == 1) => only.get("$ref").cloned(),
        _ => None,
    };
    if let Some(target) = target {
        schema.remove("allOf");
        schema.insert("$ref".to_owned(), target);
    }
}
