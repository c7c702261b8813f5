//! What the author of a definition should know of its schemas: formats that nobody checks, sets of things that have no names.

use std::collections::BTreeSet;

use serde_json::Value;

/// Formats of text, without hyphens.
const TEXT_FORMATS: [&str; 26] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];
const LISTS_OF_SCHEMAS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const MAPS_OF_SCHEMAS: [&str; 3] = ["properties", "patternProperties", "definitions"];
const SCHEMAS: [&str; 4] = ["items", "additionalItems", "additionalProperties", "not"];

/// Warnings about the schemas of a definition; of those that its predecessor had already, none.
pub(crate) fn advice(new: &Value, old: Option<&Value>) -> Vec<String> {
    let known = old.map(Findings::of).unwrap_or_default();
    let found = Findings::of(new);
    let formats = found.formats.iter().filter(|format| !known.formats.contains(format));
    let sets = found.sets.difference(&known.sets).map(|kind| {
        format!(
            "x-kubernetes-list-type: set for items of type {kind:?} is not supported by server-side apply or CEL validation rules"
        )
    });
    formats.map(|format| format!("unrecognized format {format:?}")).chain(sets).collect()
}

#[derive(Default)]
struct Findings {
    formats: Vec<String>,
    sets: BTreeSet<String>,
}

impl Findings {
    fn of(definition: &Value) -> Self {
        let mut findings = Self::default();
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
        for version in versions.into_iter().flatten() {
            if let Some(schema) = version.pointer("/schema/openAPIV3Schema") {
                findings.look(schema);
            }
        }
        findings
    }

    /// Recursion is bounded by the nesting that a request may have.
    fn look(&mut self, schema: &Value) {
        let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
        let format = text("format");
        if !format.is_empty() && !is_known(text("type"), format) {
            self.formats.push(format.to_owned());
        }
        let items = schema.pointer("/items/type").and_then(Value::as_str).unwrap_or_default();
        if text("x-kubernetes-list-type") == "set" && matches!(items, "object" | "array") {
            self.sets.insert(items.to_owned());
        }
        for inner in SCHEMAS.iter().filter_map(|key| schema.get(*key)) {
            self.look(inner);
        }
        for list in LISTS_OF_SCHEMAS.iter().filter_map(|key| schema.get(*key)?.as_array()) {
            for inner in list {
                self.look(inner);
            }
        }
        for map in MAPS_OF_SCHEMAS.iter().filter_map(|key| schema.get(*key)?.as_object()) {
            map.values().for_each(|inner| self.look(inner));
        }
    }
}

fn is_known(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => TEXT_FORMATS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_and_sets() {
        let definition =
            |inner: Value| json!({ "spec": { "versions": [{ "schema": { "openAPIV3Schema": inner } }] } });
        let old = definition(json!({ "properties": { "a": { "type": "string", "format": "bogus" } } }));
        let new = definition(json!({ "properties": {
            "a": { "type": "string", "format": "bogus" },
            "b": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "object" } },
            "c": { "type": "integer", "format": "int16" },
            "d": { "type": "string", "format": "date-time", "anyOf": [{ "format": "k8s-short-name" }] },
        } }));
        let set = "x-kubernetes-list-type: set for items of type \"object\" is not supported by server-side apply or CEL \
                   validation rules";
        assert_eq!(
            advice(&new, None),
            ["unrecognized format \"bogus\"", "unrecognized format \"int16\"", set]
        );
        assert_eq!(advice(&new, Some(&old)), ["unrecognized format \"int16\"", set]);
        assert_eq!(advice(&new, Some(&new)), Vec::<String>::new());
    }
}
