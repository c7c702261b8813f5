//! Custom kinds from definition to row.

use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a timestamp")
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Foo", "plural": "foos", "shortNames": ["fo"], "categories": ["all"]},
            "versions": [
                {
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": schema()},
                    "subresources": {"status": {}, "scale": {
                        "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector"}},
                    "selectableFields": [{"jsonPath": ".spec.colour"}],
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status", "priority": 1},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
                    ]
                },
                {
                    "name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
                },
                {
                    "name": "v1alpha1", "served": false, "storage": false,
                    "schema": {"openAPIV3Schema": {"type": "object"}}
                }
            ]
        }
    })
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10},
                    "colour": {"type": "string", "enum": ["red", "green"], "default": "red"},
                    "code": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5, "nullable": true},
                    "port": {"x-kubernetes-int-or-string": true},
                    "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3, "x-kubernetes-list-type": "set"},
                    "parts": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "required": ["name"], "properties": {
                            "name": {"type": "string"}, "count": {"type": "integer", "default": 1}}}
                    },
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "limits": {"type": "object", "default": {}, "properties": {"cpu": {"type": "string", "default": "1"}}},
                    "template": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"data": {"type": "string"}}},
                    "either": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
                }
            }
        }
    })
}

mod robustness;
mod schemas;

fn kind() -> CustomKind {
    custom_kinds(&definition()).expect("a good definition").remove(0)
}

fn lines(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_definition_gives_a_row_per_served_version() {
    let kinds = custom_kinds(&definition()).expect("a good definition");
    let versions: Vec<&str> = kinds.iter().map(|k| k.gvk.version.as_ref()).collect();
    assert_eq!(versions, ["v1", "v1beta1"]);
    let kind = &kinds[0];
    assert_eq!(
        (kind.singular.as_str(), kind.list_kind.as_str(), kind.stored_as.as_str()),
        ("foo", "FooList", "v1")
    );
    assert_eq!(kind.subresources(), [Subresource::Status, Subresource::Scale]);
    assert_eq!(kind.selectable_fields, ["spec.colour"]);
    assert!(kind.storage_version && kind.deprecation.is_none());
    assert_eq!(kinds[1].deprecation.as_deref(), Some("example.com/v1beta1 Foo is deprecated"));
}

#[test]
fn objects_are_pruned_and_defaulted() {
    let mut object = json!({
        "apiVersion": "example.com/v1", "kind": "Foo",
        "metadata": {"name": "x", "surprise": 1},
        "extra": 1,
        "spec": {
            "size": 2, "colour": null, "code": null, "unknown": {"a": 1},
            "parts": [{"name": "p", "junk": true}],
            "labels": {"any": "thing"},
            "template": {"apiVersion": "v1", "kind": "Bar", "metadata": {"name": "y"}, "data": "d", "junk": 1}
        },
        "status": {"free": {"form": [1]}}
    });
    let mut pruned = kind().prune(&mut object);
    pruned.sort();
    assert_eq!(
        pruned,
        ["extra", "metadata.surprise", "spec.parts[0].junk", "spec.template.junk", "spec.unknown"]
    );
    kind().default(&mut object);
    let expected = json!({
        "size": 2, "colour": "red", "code": null,
        "parts": [{"name": "p", "count": 1}],
        "labels": {"any": "thing"},
        "limits": {"cpu": "1"},
        "template": {"apiVersion": "v1", "kind": "Bar", "metadata": {"name": "y"}, "data": "d"}
    });
    assert_eq!(object["spec"], expected);
    assert_eq!(object["status"], json!({"free": {"form": [1]}}));
    assert_eq!(lines(&kind().validate(&object)), "");
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn objects_are_validated_in_the_words_of_kubernetes() {
    let cases = [
        (json!({}), "spec: Required value"),
        (
            json!({"spec": []}),
            "spec: Invalid value: \"array\": spec in body must be of type object: \"array\"",
        ),
        (json!({"spec": {}}), "spec.size: Required value"),
        (
            json!({"spec": {"size": "3"}}),
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"\n.spec.size: Invalid value: 0: .spec.size accessor error: 3 is of the type string, expected int64",
        ),
        (
            json!({"spec": {"size": 0}}),
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            json!({"spec": {"size": 11}}),
            "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10",
        ),
        (
            json!({"spec": {"size": 1, "colour": "blue"}}),
            "spec.colour: Unsupported value: \"blue\": supported values: \"red\", \"green\"",
        ),
        (
            json!({"spec": {"size": 1, "code": "ABC"}}),
            "spec.code: Invalid value: \"ABC\": spec.code in body should match '^[a-z]+$'",
        ),
        (json!({"spec": {"size": 1, "code": "abcdef"}}), "spec.code: Too long: may not be more than 5 bytes"),
        (
            json!({"spec": {"size": 1, "port": true}}),
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
        ),
        (json!({"spec": {"size": 1, "port": "http"}}), ""),
        (json!({"spec": {"size": 1, "tags": ["a", "b", "a"]}}), "spec.tags[2]: Duplicate value: \"a\""),
        (
            json!({"spec": {"size": 1, "tags": ["a", "b", "c", "d"]}}),
            "spec.tags: Too many: 4: must have at most 3 items",
        ),
        (
            json!({"spec": {"size": 1, "parts": [{"name": "a"}, {"name": "a"}]}}),
            "spec.parts[1]: Duplicate value: {\"name\":\"a\"}",
        ),
        (
            json!({"spec": {"size": 1, "labels": {"a": 1}}}),
            "spec.labels.a: Invalid value: \"integer\": spec.labels.a in body must be of type string: \"integer\"",
        ),
        (json!({"spec": {"size": 1, "template": {"kind": "X"}}}), "spec.template.apiVersion: Required value"),
        (
            json!({"spec": {"size": 1, "either": {}}}),
            "<nil>: Invalid value: \"\": \"spec.either\" must validate one and only one schema (oneOf). Found none valid\nspec.either.a: Required value",
        ),
        (
            json!({"spec": {"size": 1, "either": {"a": "", "b": ""}}}),
            "<nil>: Invalid value: \"\": \"spec.either\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
    ];
    for (object, expected) in cases {
        assert_eq!(lines(&kind().validate(&object)), expected, "{object}");
    }
}

#[test]
fn rows_come_from_printer_columns() {
    let object = json!({
        "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:59:00Z"},
        "spec": {"size": 3},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}
    });
    assert_eq!(kind().cells(&object, now()), [json!("x"), json!(3), json!("True"), json!("60s")]);
    let plain = &custom_kinds(&definition()).expect("a good definition")[1];
    assert_eq!(plain.columns.iter().map(|c| c.name.as_ref()).collect::<Vec<_>>(), ["Name", "Age"]);
    assert_eq!(plain.cells(&object, now()), [json!("x"), json!("60s")]);
}

#[test]
fn scale_follows_the_paths_of_the_definition() {
    let kind = crate::Kind::Custom(Arc::new(kind()));
    let mut object =
        json!({"metadata": {"name": "x"}, "spec": {"size": 3}, "status": {"size": 2, "selector": "a=b"}});
    let scale = kind.scale_of(&object).expect("a scale");
    assert_eq!(
        (&scale["spec"], &scale["status"]),
        (&json!({"replicas": 3}), &json!({"replicas": 2, "selector": "a=b"}))
    );
    assert!(kind.set_replicas(&mut object, 7));
    assert_eq!(object["spec"]["size"], 7);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn bad_definitions_are_refused() {
    let table = [
        (
            "/metadata/name",
            json!("foos"),
            "metadata.name: Invalid value: \"foos\": must be spec.names.plural+\".\"+spec.group",
        ),
        (
            "/spec/scope",
            json!("Galaxy"),
            "spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (
            "/spec/names/shortNames/0",
            json!("F"),
            "spec.names.shortNames[0]: Invalid value: \"F\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            "/spec/versions/1/name",
            json!("v1"),
            "spec.versions: Invalid value: must contain unique version names",
        ),
        (
            "/spec/conversion",
            json!({"strategy": "Webhook"}),
            "spec.conversion.strategy: Invalid value: \"Webhook\": conversion by webhook is not supported by this server: use None",
        ),
        ("/spec/versions/0/schema", json!({}), "spec.versions[0].schema.openAPIV3Schema: Required value"),
        (
            "/spec/versions/0/schema/openAPIV3Schema",
            json!({"type": "string"}),
            "spec.versions[0].schema.openAPIV3Schema.type: Invalid value: \"string\": only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled\nspec.versions[0].schema.openAPIV3Schema.type: Invalid value: \"string\": must be object at the root",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
            json!({}),
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations",
            json!([{"rule": "self.foo"}]),
            "spec.versions[0].schema.openAPIV3Schema.x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self.foo\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:5: undefined field 'foo'\n | self.foo\n | ....^",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/colour/default",
            json!("blue"),
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[colour].default: Unsupported value: \"blue\": supported values: \"red\", \"green\"",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns/0/jsonPath",
            json!("size"),
            "spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: \"size\": must be a simple json path starting with .",
        ),
        (
            "/spec/versions/0/subresources/scale/specReplicasPath",
            json!(".status.x"),
            "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
        ),
    ];
    for (pointer, value, expected) in table {
        let mut crd = definition();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let place = crd.pointer_mut(parent).expect("a place");
        match key.parse::<usize>() {
            Ok(index) => place[index] = value,
            Err(_) => place[key] = value,
        }
        let errors = custom_kinds(&crd).expect_err(pointer);
        assert_eq!(lines(&errors), expected, "{pointer}");
    }
}

#[test]
fn deep_schemas_are_refused() {
    let mut schema = json!({"type": "object"});
    for _ in 0..100 {
        schema = json!({"type": "object", "properties": {"a": schema}});
    }
    let errors = Structural::parse(&schema, "s").unwrap_err();
    assert!(lines(&errors).contains("deeper than"), "{}", lines(&errors));
}

#[test]
fn established_once() {
    let mut crd = definition();
    default_definition(&mut crd);
    establish(&mut crd, &Taken::default(), now());
    assert!(is_established(&crd));
    let first = crd.clone();
    establish(&mut crd, &Taken::default(), "2027-01-01T00:00:00Z".parse().expect("a timestamp"));
    assert_eq!(crd, first);
    insta::assert_json_snapshot!(crd["status"], @r#"
    {
      "acceptedNames": {
        "categories": [
          "all"
        ],
        "kind": "Foo",
        "listKind": "FooList",
        "plural": "foos",
        "shortNames": [
          "fo"
        ],
        "singular": "foo"
      },
      "conditions": [
        {
          "lastTransitionTime": "2026-01-01T01:00:00Z",
          "message": "no conflicts found",
          "reason": "NoConflicts",
          "status": "True",
          "type": "NamesAccepted"
        },
        {
          "lastTransitionTime": "2026-01-01T01:00:00Z",
          "message": "the initial names have been accepted",
          "reason": "InitialNamesAccepted",
          "status": "True",
          "type": "Established"
        }
      ],
      "storedVersions": [
        "v1"
      ]
    }
    "#);
}

#[test]
fn names_are_fixed_once_established() {
    let mut old = definition();
    establish(&mut old, &Taken::default(), now());
    let mut new = old.clone();
    new["spec"]["scope"] = json!("Cluster");
    new["spec"]["versions"][0]["name"] = json!("v2");
    note_storage(&mut new);
    let mut errors = validate_definition(&new);
    errors.extend(validate_definition_update(&old, &new));
    assert_eq!(
        errors.iter().map(|e| e.path.as_str()).collect::<Vec<_>>(),
        ["status.storedVersions[0]", "spec.scope"]
    );
}

#[test]
fn our_own_definitions_install_anywhere() {
    for own in crate::own::definitions() {
        let mut crd = serde_json::to_value(&own).expect("a definition is JSON");
        default_definition(&mut crd);
        prepare(&mut crd);
        establish(&mut crd, &Taken::default(), now());
        assert_eq!(lines(&validate_definition(&crd)), "", "{}", crate::meta::name(&crd));
        assert_eq!(custom_kinds(&crd).expect("a good definition").len(), 1);
    }
}

#[test]
fn names_that_are_taken_are_not_given() {
    let mut first = definition();
    default_definition(&mut first);
    prepare(&mut first);
    establish(&mut first, &Taken::default(), now());
    let mut second = definition();
    second["metadata"]["name"] = json!("fooz.example.com");
    second["spec"]["names"] = json!({"kind": "Foo", "plural": "fooz", "shortNames": ["fz", "fo"]});
    default_definition(&mut second);
    prepare(&mut second);
    let mut taken = Taken::default();
    taken.add_definition(&first);
    establish(&mut second, &taken, now());
    assert!(!is_established(&second));
    assert_eq!(second["status"]["acceptedNames"], json!({"kind": "", "plural": "fooz"}));
    assert_eq!(second["status"]["conditions"][0]["reason"], "ListKindConflict");
    establish(&mut second, &Taken::default(), now());
    assert!(is_established(&second));
    assert_eq!(second["status"]["acceptedNames"]["shortNames"], json!(["fz", "fo"]));
}
