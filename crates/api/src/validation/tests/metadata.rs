//! Metadata of every kind, sentence by sentence.

use serde_json::json;

use super::check;

fn map() -> serde_json::Value {
    json!({"metadata": {"name": "m", "namespace": "d"}})
}

#[test]
fn owners() {
    let owner = |key: &str, value: &str| {
        let mut owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "1"});
        owner[key] = json!(value);
        json!([owner])
    };
    let two = json!([
        {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1", "controller": true},
        {"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "2", "controller": true},
    ]);
    let refs = "/metadata/ownerReferences";
    let first = "metadata.ownerReferences[0]";
    check(
        "ConfigMap",
        &map(),
        &[
            (refs, owner("uid", "2"), ""),
            (refs, owner("kind", ""), &format!("{first}.kind: Required value: must not be empty")),
            (
                refs,
                owner("apiVersion", ""),
                &format!("{first}.apiVersion: Required value: must not be empty"),
            ),
            (
                refs,
                owner("apiVersion", "a/b/c"),
                &format!(
                    "{first}.apiVersion: Invalid value: \"a/b/c\": must be <group>/<version> or <version>"
                ),
            ),
            (
                refs,
                json!([{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "1"}]),
                &format!(
                    "{first}: Invalid value: {}: /v1, Kind=Event is disallowed from being an owner",
                    r#"{"apiVersion":"v1","kind":"Event","name":"e","uid":"1"}"#
                ),
            ),
            (
                refs,
                two.clone(),
                &format!(
                    "metadata.ownerReferences: Invalid value: {two}: Only one reference can have Controller set to true. Found \"true\" in references for Pod/a and Pod/b"
                ),
            ),
        ],
    );
}

#[test]
fn names_and_what_they_are_made_from() {
    let long = "a".repeat(254);
    check(
        "ConfigMap",
        &map(),
        &[
            ("/metadata/generateName", json!("web-"), ""),
            (
                "/metadata/generateName",
                json!("web."),
                super::lines(&[crate::FieldError::invalid(
                    "metadata.generateName",
                    "web.",
                    crate::validation::names::dns1123_subdomain("web.").remove(0),
                )])
                .leak(),
            ),
            (
                "/metadata/name",
                json!(long),
                format!("metadata.name: Invalid value: {long:?}: must be no more than 253 characters").leak(),
            ),
        ],
    );
    check(
        "IPAddress",
        &json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": {"resource": "services", "name": "x"}}}),
        &[
            (
                "/metadata/name",
                json!(".."),
                "metadata.name: Invalid value: \"..\": may not be '..'\nmetadata.name: Invalid value: \"..\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
            (
                "/metadata/name",
                json!("a%b"),
                "metadata.name: Invalid value: \"a%b\": may not contain '%'\nmetadata.name: Invalid value: \"a%b\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
        ],
    );
    check(
        "Namespace",
        &json!({"metadata": {"name": "d"}}),
        &[("/metadata/name", json!("a.b"), "metadata.name: Invalid value: \"a.b\": must not contain dots")],
    );
}

#[test]
fn finalizers_and_field_ownership() {
    let entry = |key: &str, value: String| {
        let mut entry = json!({"manager": "m", "operation": "Apply", "fieldsType": "FieldsV1"});
        entry[key] = json!(value);
        json!([entry])
    };
    let fields = "/metadata/managedFields";
    let first = "metadata.managedFields[0]";
    check(
        "ConfigMap",
        &map(),
        &[
            ("/metadata/finalizers", json!(["orphan"]), ""),
            (
                "/metadata/finalizers",
                json!(["orphan", "foregroundDeletion"]),
                "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
            ),
            (fields, entry("manager", "kubectl".to_owned()), ""),
            (
                fields,
                entry("operation", String::new()),
                &format!("{first}.operation: Required value: must not be empty"),
            ),
            (
                fields,
                entry("operation", "Guess".to_owned()),
                &format!(
                    "{first}.operation: Unsupported value: \"Guess\": supported values: \"Apply\", \"Update\""
                ),
            ),
            (
                fields,
                entry("fieldsType", "V2".to_owned()),
                &format!("{first}.fieldsType: Invalid value: \"V2\": must be `FieldsV1`"),
            ),
            (
                fields,
                entry("manager", "m".repeat(129)),
                &format!("{first}.manager: Too long: may not be more than 128 bytes"),
            ),
            (
                fields,
                entry("manager", "a\u{7}".to_owned()),
                &format!(
                    "{first}.manager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)"
                ),
            ),
            (
                fields,
                entry("subresource", "s".repeat(257)),
                &format!("{first}.subresource: Too long: may not be more than 256 bytes"),
            ),
            (
                "/metadata/annotations",
                json!({"a/b/c": ""}),
                "metadata.annotations: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            ),
        ],
    );
}
