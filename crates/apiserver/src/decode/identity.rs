//! What a body says it is, against what the path says it must be; refusals in the words of Kubernetes.

use konzert_api::{ApiError, Catalogue};
use serde_json::{Map, Value};

/// Most bytes of a body that a refusal shows.
const SHOWN_BYTES: usize = 30;
/// How Kubernetes names the table of its kinds.
const SCHEME: &str = "in scheme \"pkg/runtime/scheme.go:111\"";
/// How Kubernetes names the part of a document that says what it is.
const HEADER: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// A body that cannot be read as a `kind` at all.
pub(crate) fn unrecognized(kind: &str, why: &str, body: &[u8]) -> ApiError {
    let shown = summary(body);
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
    ))
}

/// What no reader may be told about itself: the start of the body, as text if it looks like JSON.
fn summary(body: &[u8]) -> String {
    let start = &body[..body.len().min(SHOWN_BYTES)];
    let more = if body.len() > SHOWN_BYTES { " ..." } else { "" };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(start)),
        Some(_) => {
            let digit = |value: u8| char::from_digit(u32::from(value), 16);
            let digits = start.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]);
            format!("{}{more}", digits.flatten().collect::<String>())
        }
    }
}

/// Checks that a document has a readable apiVersion and kind. Null stands for an empty object.
pub(crate) fn header(value: Value) -> Result<Value, String> {
    let unreadable = |why: String| Err(format!("couldn't get version/kind; json parse error: json: {why}"));
    let map = match value {
        Value::Null => return Ok(Value::Object(Map::new())),
        Value::Object(map) => map,
        other => {
            return unreadable(format!(
                "cannot unmarshal {} into Go value of type {HEADER}",
                json_type(&other)
            ));
        }
    };
    for key in ["apiVersion", "kind"] {
        if let Some(other) = map.get(key).filter(|value| !value.is_string() && !value.is_null()) {
            let found = json_type(other);
            return unreadable(format!(
                "cannot unmarshal {found} into Go struct field .{key} of type string"
            ));
        }
    }
    match map.get("apiVersion").and_then(Value::as_str) {
        Some(version) if version.matches('/').count() > 1 => {
            Err(format!("unexpected GroupVersion string: {version}"))
        }
        _ => Ok(Value::Object(map)),
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The refusal of a kind that nobody knows.
pub(crate) fn not_registered(api_version: &str, kind: &str) -> String {
    format!("no kind {kind:?} is registered for version {api_version:?} {SCHEME}")
}

/// Checks that the document is what the path says, filling apiVersion and kind in where they are missing.
pub(crate) fn expect_kind(value: &mut Value, api_version: &str, kind: &str) -> Result<(), ApiError> {
    let Some(map) = value.as_object_mut() else {
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): not an object"
        )));
    };
    let given = |key: &str, wanted: &str| {
        let found = map.get(key).and_then(Value::as_str).unwrap_or_default();
        if found.is_empty() { wanted.to_owned() } else { found.to_owned() }
    };
    let (found_version, found_kind) = (given("apiVersion", api_version), given("kind", kind));
    if found_version != api_version || found_kind != kind {
        return Err(another_kind((&found_version, &found_kind), (api_version, kind)));
    }
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.into());
    Ok(())
}

fn another_kind(found: (&str, &str), wanted: (&str, &str)) -> ApiError {
    let ((api_version, kind), (wanted_version, wanted_kind)) = (found, wanted);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let wanted_group = wanted_version.split_once('/').map_or("", |(group, _)| group);
    if group == wanted_group && kind == wanted_kind && is_registered(group, version, kind) {
        return ApiError::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({wanted_version})"
        ));
    }
    let why = if is_registered(group, version, kind) {
        let package = package(wanted_group);
        format!("converting ({version}.{kind}) to ({package}.{wanted_kind}): unknown conversion")
    } else {
        not_registered(api_version, kind)
    };
    ApiError::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {wanted_kind}: {why}"
    ))
}

fn is_registered(group: &str, version: &str, kind: &str) -> bool {
    Catalogue::builtin().by_kind(group, version, kind).is_some()
}

/// The name of the group's kinds inside Kubernetes.
fn package(group: &str) -> &str {
    match group.split('.').next().unwrap_or_default() {
        "" | "events" => "core",
        first => first,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_kind_is_refused_in_the_words_of_kubernetes() {
        let refusal = |api_version: &str, kind: &str| {
            let mut value = json!({ "apiVersion": api_version, "kind": kind });
            expect_kind(&mut value, "v1", "ConfigMap").unwrap_err().message
        };
        let table = [
            (
                "v1",
                "Foo",
                "Foo in version \"v1\" cannot be handled as a ConfigMap: no kind \"Foo\" is registered for version \"v1\" in scheme \"pkg/runtime/scheme.go:111\"",
            ),
            (
                "",
                "Foo",
                "Foo in version \"v1\" cannot be handled as a ConfigMap: no kind \"Foo\" is registered for version \"v1\" in scheme \"pkg/runtime/scheme.go:111\"",
            ),
            (
                "foo/v9",
                "Foo",
                "Foo in version \"v9\" cannot be handled as a ConfigMap: no kind \"Foo\" is registered for version \"foo/v9\" in scheme \"pkg/runtime/scheme.go:111\"",
            ),
            (
                "v2",
                "",
                "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"v2\" in scheme \"pkg/runtime/scheme.go:111\"",
            ),
            (
                "apps/v1",
                "Deployment",
                "Deployment in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion",
            ),
        ];
        for (api_version, kind, want) in table {
            assert_eq!(refusal(api_version, kind), want);
        }
        let mut older = json!({ "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler" });
        let error = expect_kind(&mut older, "autoscaling/v2", "HorizontalPodAutoscaler").unwrap_err();
        assert_eq!(
            error.message,
            "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)"
        );
    }

    #[test]
    fn headers() {
        assert_eq!(header(json!(null)), Ok(json!({})));
        assert_eq!(header(json!({ "kind": "A" })), Ok(json!({ "kind": "A" })));
        let why = header(json!({ "apiVersion": 1 })).unwrap_err();
        assert!(
            why.ends_with("json: cannot unmarshal number into Go struct field .apiVersion of type string")
        );
        assert!(
            header(json!([])).unwrap_err().contains("cannot unmarshal array into Go value of type struct {")
        );
        let why = header(json!({ "apiVersion": "a/b/c" })).unwrap_err();
        assert_eq!(why, "unexpected GroupVersion string: a/b/c");
    }

    #[test]
    fn bodies_are_shown_in_part() {
        assert_eq!(summary(b""), "<empty>");
        assert_eq!(summary(b"[]"), "5b5d");
        assert_eq!(summary(b"{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(summary(&[b'{'; 31]), format!("{} ...", "{".repeat(30)));
    }
}
