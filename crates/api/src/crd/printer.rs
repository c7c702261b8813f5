//! Cells of custom kinds: the value that a column's path leads to, converted to the type of the column.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::jsonpath::JsonPath;
use crate::printed::in_go;
use crate::table::since;

/// One column after the name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Printer {
    /// `None`: the text is no path, and the cells are empty. Kubernetes takes such a definition, too.
    path: Option<JsonPath>,
    kind: String,
}

impl Printer {
    pub(super) fn new(path: &str, kind: &str) -> Self {
        Self { path: JsonPath::parse(path).ok(), kind: kind.to_owned() }
    }

    /// The cell, from the first hit; `null` where there is nothing to show or the type does not fit.
    pub(super) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.as_ref().and_then(|path| path.find(object).into_iter().next());
        let Some(value) = found.filter(|v| !v.is_null()) else { return Value::Null };
        match self.kind.as_str() {
            "integer" => value.as_i64().or_else(|| truncated(value)).map(Value::from).unwrap_or_default(),
            "number" => value.as_f64().map(|n| json!(n)).unwrap_or_default(),
            "boolean" => value.as_bool().map(Value::from).unwrap_or_default(),
            "date" => value.as_str().map(|text| json!(date(text, now))).unwrap_or_default(),
            _ => json!(if value.is_array() || value.is_object() { value.to_string() } else { in_go(value) }),
        }
    }
}

/// The whole part of a number with a fraction, when it fits.
fn truncated(value: &Value) -> Option<i64> {
    format!("{:.0}", value.as_f64()?.trunc()).parse().ok()
}

fn date(text: &str, now: Timestamp) -> String {
    match text.parse() {
        Ok(time) => since(Some(time), now),
        Err(_) => "<invalid>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_follow_paths_and_types() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let object = json!({
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a.b/c": "x"}},
            "spec": {"replicas": 3, "ratio": 2.5, "on": true, "names": ["a", "b"], "nested": {"k": 1}},
            "status": {"conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}
            ]}
        });
        let table = [
            (".spec.replicas", "integer", json!(3)),
            ("{.spec.replicas}", "string", json!("3")),
            (".spec.ratio", "number", json!(2.5)),
            (".spec.ratio", "integer", json!(2)),
            (".spec.on", "boolean", json!(true)),
            (".spec.on", "integer", Value::Null),
            (".spec.names", "string", json!(r#"["a","b"]"#)),
            (".spec.names[*]", "string", json!("a")),
            (".spec.names[1]", "string", json!("b")),
            (".spec.names[-1]", "string", json!("b")),
            (".spec.names[9]", "string", Value::Null),
            (".spec.nested", "string", json!(r#"{"k":1}"#)),
            (r".metadata.labels.a\.b/c", "string", json!("x")),
            (".metadata.labels['a.b/c']", "string", json!("x")),
            (r#".status.conditions[?(@.type=="Ready")].status"#, "string", json!("True")),
            (r".status.conditions[?(@.type == 'Other')].status", "string", json!("False")),
            (r".status.conditions[?(@.type!='Other')].type", "string", json!("Ready")),
            (".metadata.creationTimestamp", "date", json!("60m")),
            (".spec.on", "date", Value::Null),
            (".spec.names[0]", "date", json!("<invalid>")),
            (".missing", "date", Value::Null),
            (".spec.names[", "string", Value::Null),
            (".spec.names[-1:]", "string", json!("b")),
        ];
        for (path, kind, expected) in table {
            let printer = Printer::new(path, kind);
            assert_eq!(printer.cell(&object, now), expected, "{path} as {kind}");
        }
    }
}
