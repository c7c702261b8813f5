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
        (
            json!({"spec": {"size": 1, "template": {"kind": "X"}}}),
            "spec.template.apiVersion: Required value",
        ),
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
        (
            "/spec/versions/0/schema",
            json!({}),
            "spec.versions[0].schema.openAPIV3Schema: Required value",
        ),
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
            "spec.versions[0].schema.openAPIV3Schema.x-kubernetes-validations[0].rule: Invalid value: apiextensions.ValidationRule{Rule:\"self.foo\", Message:\"\", MessageExpression:\"\", Reason:(*apiextensions.FieldValueErrorReason)(nil), FieldPath:\"\", OptionalOldSelf:(*bool)(nil)}: compilation failed: ERROR: <input>:1:5: undefined field 'foo'\n | self.foo\n | ....^",
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

/// Schemas that are not structural, or whose keywords contradict each other.
#[test]
fn bad_schemas_are_refused_in_the_words_of_kubernetes() {
    let spec = |inner: Value| json!({"type": "object", "properties": {"spec": inner}});
    let list = |extra: Value| {
        let mut inner = json!({"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}});
        inner.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        spec(inner)
    };
    let mut out = String::new();
    for schema in [
        json!({}),
        json!({"type": "object", "additionalProperties": true, "nullable": true}),
        json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
        json!({"type": "object", "properties": {"kind": {"type": "integer"}, "metadata": {"type": "string"}}}),
        spec(json!({"properties": {"a": {"type": "string"}}})),
        spec(json!({"type": "strange"})),
        spec(json!({"type": "array"})),
        spec(json!({"type": "array", "items": {}})),
        spec(json!({"type": "array", "items": [{"type": "string"}]})),
        spec(json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}})),
        spec(json!({"type": "object", "$ref": "x", "definitions": {"a": {}}, "patternProperties": {"a": {}}})),
        spec(json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true})),
        spec(json!({"type": "string", "x-kubernetes-embedded-resource": true})),
        spec(json!({"type": "object", "x-kubernetes-embedded-resource": true})),
        spec(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false})),
        spec(json!({"type": "string", "anyOf": [{"type": "string", "default": "x", "description": "d"}]})),
        spec(json!({"type": "object", "not": {"properties": {"metadata": {}}, "additionalProperties": {}}})),
        spec(json!({"type": "string", "pattern": "["})),
        spec(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})),
        spec(json!({"type": "string", "x-kubernetes-map-type": "atomic", "x-kubernetes-list-type": "set"})),
        spec(json!({"type": "object", "x-kubernetes-map-type": "odd"})),
        list(json!({"x-kubernetes-list-type": "set"})),
        list(json!({"x-kubernetes-list-type": "map"})),
        list(json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id", "id", "no"]})),
        list(json!({"x-kubernetes-list-map-keys": ["id"]})),
        list(json!({"x-kubernetes-list-type": "odd"})),
        spec(json!({"type": "integer", "default": "x"})),
        spec(json!({"type": "object", "properties": {"a": {"type": "string"}}, "default": {"b": 1}})),
        spec(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}, "default": [1, 1]})),
        spec(json!({"type": "integer", "default": 1, "x-kubernetes-validations": [{"rule": "self > 1"}]})),
        json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "default": "x"}}}}}),
    ] {
        let errors = Structural::parse(&schema, "s").expect_err(&schema.to_string());
        out.push_str(&lines(&errors));
        out.push_str("\n\n");
    }
    insta::assert_snapshot!(out, @r##"
    s.type: Required value: must not be empty at the root

    s.additionalProperties: Forbidden: must not be used at the root
    s.nullable: Forbidden: nullable cannot be true at the root

    s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified

    s.properties[kind].type: Invalid value: "integer": must be string
    s.properties[metadata].type: Invalid value: "string": must be object

    s.properties[spec].type: Required value: must not be empty for specified object fields

    s.properties[spec].type: Unsupported value: "strange": supported values: "array", "boolean", "integer", "number", "object", "string"

    s.properties[spec].items: Required value: must be specified

    s.properties[spec].items.type: Required value: must not be empty for specified array items

    s.properties[spec].items: Forbidden: items must be a schema object and not an array

    s.properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive

    s.properties[spec].patternProperties: Forbidden: patternProperties is not supported
    s.properties[spec].definitions: Forbidden: definitions is not supported
    s.properties[spec].$ref: Forbidden: $ref is not supported

    s.properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true

    s.properties[spec].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields
    s.properties[spec].type: Invalid value: "string": must be object if x-kubernetes-embedded-resource is true

    s.properties[spec].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields

    s.properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined

    s.properties[spec].anyOf[0].default: Forbidden: must be undefined to be structural
    s.properties[spec].anyOf[0].description: Forbidden: must be empty to be structural
    s.properties[spec].anyOf[0].type: Forbidden: must be empty to be structural

    s.properties[spec].not.additionalProperties: Forbidden: must be undefined to be structural
    s.properties[spec].not.properties[metadata]: Forbidden: must not be specified in a nested context
    s.properties[spec].not.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive

    s.properties[spec].pattern: Invalid value: "[": must be a valid regular expression, but isn't: unclosed character class

    s.properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic

    s.properties[spec].type: Invalid value: "string": must be object if x-kubernetes-map-type is specified
    s.properties[spec].type: Invalid value: "string": must be array if x-kubernetes-list-type is specified

    s.properties[spec].x-kubernetes-map-type: Unsupported value: "odd": supported values: "atomic", "granular"

    s.properties[spec].items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a list with x-kubernetes-list-type=set

    s.properties[spec].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map

    s.properties[spec].items.properties[id].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property
    s.properties[spec].x-kubernetes-list-map-keys: Invalid value: ["id","id","no"]: must not contain duplicate entries
    s.properties[spec].items.properties[id].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property
    s.properties[spec].x-kubernetes-list-map-keys: Invalid value: ["id","id","no"]: entries must all be names of item properties

    s.properties[spec].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty

    s.properties[spec].x-kubernetes-list-type: Unsupported value: "odd": supported values: "atomic", "set", "map"

    s.properties[spec].default: Invalid value: "string": s.properties[spec].default in body must be of type integer: "string"

    s.properties[spec].default: Invalid value: {"b":1}: must not have unknown fields

    s.properties[spec].default[1]: Duplicate value: 1

    s.properties[spec].default: Invalid value: 1: failed rule: self > 1

    s.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata
    "##);
    // The two ways of old to say int-or-string are fine.
    for any in [json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}), json!({"allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]})] {
        let mut inner = json!({"x-kubernetes-int-or-string": true});
        inner.as_object_mut().unwrap().extend(any.as_object().unwrap().clone());
        assert!(Structural::parse(&spec(inner), "s").is_ok());
    }
}

/// The status is judged alone, and the root of its schema with it.
#[test]
fn subresources_and_paths_of_definitions() {
    let mut out = String::new();
    let table = [
        ("/spec/versions/0/schema/openAPIV3Schema/oneOf", json!([{"required": ["spec"]}])),
        ("/spec/versions/0/subresources/scale/statusReplicasPath", json!("status.x")),
        ("/spec/versions/0/subresources/scale/labelSelectorPath", json!(".metadata.x")),
        ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec.nothing"}, {"jsonPath": ".spec.tags"}, {"jsonPath": ""}])),
        ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec.colour"}, {"jsonPath": ".spec.colour"}, {"jsonPath": ".spec.parts[0]"}])),
        ("/spec/versions/0/additionalPrinterColumns", json!([{"name": "", "type": "odd", "format": "odd", "jsonPath": ".a["}])),
        ("/spec/versions/0/deprecationWarning", json!("old")),
        ("/spec/names/listKind", json!("Foo")),
        ("/spec/names/kind", json!("F_o")),
        ("/spec/group", json!("example")),
        ("/spec/preserveUnknownFields", json!(true)),
        ("/spec/versions/1/storage", json!(true)),
    ];
    for (pointer, value) in table {
        let mut crd = definition();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        crd.pointer_mut(parent).expect("a place")[key] = value;
        out.push_str(&lines(&custom_kinds(&crd).expect_err(pointer)));
        out.push_str("\n\n");
    }
    insta::assert_snapshot!(out, @r##"
    spec.versions[0].schema.openAPIV3Schema: Invalid value: only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled

    spec.versions[0].subresources.scale.statusReplicasPath: Invalid value: "status.x": must be a simple json path starting with .

    spec.versions[0].subresources.scale.labelSelectorPath: Invalid value: ".metadata.x": should be a json path under either .spec or .status

    spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.nothing": is an invalid path: does not refer to a valid field
    spec.versions[0].selectableFields[1].jsonPath: Invalid value: ".spec.tags": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.
    spec.versions[0].selectableFields[2].jsonPath: Required value

    spec.versions[0].selectableFields[1].jsonPath: Duplicate value: ".spec.colour"
    spec.versions[0].selectableFields[2].jsonPath: Invalid value: ".spec.parts[0]": is an invalid path: array notation is not allowed

    spec.versions[0].additionalPrinterColumns[0].name: Required value
    spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "odd": must be one of boolean,date,integer,number,string
    spec.versions[0].additionalPrinterColumns[0].format: Invalid value: "odd": must be one of byte,date,date-time,double,float,int32,int64,name,password
    spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: ".a[": is not supported: has an unclosed bracket

    spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions

    spec.names.listKind: Invalid value: "Foo": kind and listKind may not be the same

    spec.names.singular: Invalid value: "f_o": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
    spec.names.kind: Invalid value: "F_o": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
    spec.names.listKind: Invalid value: "F_oList": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')

    metadata.name: Invalid value: "foos.example.com": must be spec.names.plural+"."+spec.group
    spec.group: Invalid value: "example": should be a domain with at least one dot

    spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead

    spec.versions: Invalid value: must have exactly one version marked as storage version
    "##);
}

#[test]
fn embedded_resources_unknown_fields_and_nulls() {
    let schema = json!({"type": "object", "properties": {
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"closed": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        "any": {"type": "object", "additionalProperties": true},
        "inner": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        "nulls": {"type": "array", "items": {"type": "string", "default": "d"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "maybe": {"type": "string", "nullable": true, "default": "m"}
    }});
    let schema = Structural::parse(&schema, "s").unwrap_or_else(|e| panic!("{}", lines(&e)));
    let mut object = json!({
        "open": {"x": {"y": 1}, "closed": {"a": "b", "c": 1}},
        "any": {"x": {"y": 1}},
        "inner": {"kind": "_", "metadata": {"name": "a/b", "odd": 1}, "free": 1},
        "nulls": [null, "x"], "map": {"gone": null, "kept": "x"}, "maybe": null
    });
    assert_eq!(schema.prune(&mut object), ["any.x.y", "inner.metadata.odd", "open.closed.c"]);
    schema.default(&mut object);
    assert_eq!(object["nulls"], json!(["d", "x"]));
    assert_eq!((&object["map"], &object["maybe"]), (&json!({"kept": "x"}), &Value::Null));
    insta::assert_snapshot!(lines(&schema.validate(&object)), @r##"
    inner.apiVersion: Required value
    inner.kind: Invalid value: "_": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
    inner.metadata.name: Invalid value: "a/b": may not contain '/'
    "##);
}

#[test]
fn values_against_keywords() {
    let schema = json!({"type": "object", "properties": {
        "step": {"type": "number", "multipleOf": 0.5},
        "below": {"type": "number", "maximum": 2, "exclusiveMaximum": true},
        "above": {"type": "integer", "minimum": 2, "exclusiveMinimum": true},
        "short": {"type": "string", "minLength": 3},
        "when": {"type": "string", "format": "date-time"},
        "small": {"type": "integer", "format": "int32"},
        "few": {"type": "array", "minItems": 2, "items": {"type": "string"}},
        "full": {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "string"}},
        "either": {"x-kubernetes-int-or-string": true},
        "choice": {"type": "integer", "enum": [1, 2]},
        "never": {"type": "string", "not": {"enum": ["x"]}},
        "all": {"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^a"}]},
        "any": {"type": "string", "anyOf": [{"minLength": 9}, {"pattern": "^a"}]}
    }});
    let schema = Structural::parse(&schema, "s").unwrap_or_else(|e| panic!("{}", lines(&e)));
    let object = json!({
        "step": 0.7, "below": 2, "above": 2, "short": "é", "when": "now", "small": 3_000_000_000_u64, "few": ["x"],
        "full": {"a": "b", "c": 1}, "either": true, "choice": 3, "never": "x", "all": "b", "any": "b"
    });
    insta::assert_snapshot!(lines(&schema.validate(&object)), @r##"
    above: Invalid value: 2: above in body should be greater than 2
    all: Invalid value: "b": all in body should be at least 2 chars long
    all: Invalid value: "b": all in body should match '^a'
    <nil>: Invalid value: "": "all" must validate all the schemas (allOf). None validated
    <nil>: Invalid value: "": "any" must validate at least one schema (anyOf)
    any: Invalid value: "b": any in body should be at least 9 chars long
    below: Invalid value: 2: below in body should be less than 2
    choice: Unsupported value: 3: supported values: "1", "2"
    either: Invalid value: "boolean": either in body must be of type integer,string: "boolean"
    few: Invalid value: 1: few in body should have at least 2 items
    full: Too many: 2: must have at most 1 items
    full.c: Invalid value: "integer": full.c in body must be of type string: "integer"
    <nil>: Invalid value: "": "never" must not validate the schema (not)
    short: Invalid value: "é": short in body should be at least 3 chars long
    <nil>: Invalid value: "": Checked value must be of type integer with format int32 in small
    step: Invalid value: 0.7: step in body should be a multiple of 0.5
    when: Invalid value: "now": when in body must be of type date-time: "now"
    "##);
}
