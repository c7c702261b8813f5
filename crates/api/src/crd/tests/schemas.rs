//! Schemas: what is refused, and what the accepted ones find in objects.

use serde_json::{Value, json};

use super::super::{Structural, custom_kinds};
use super::{definition, lines};

/// Schemas that are not structural, or whose keywords contradict each other.
#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn bad_schemas_are_refused_in_the_words_of_kubernetes() {
    let spec = |inner: Value| json!({"type": "object", "properties": {"spec": inner}});
    let list = |extra: Value| {
        let mut inner =
            json!({"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}});
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
        spec(
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
        ),
        spec(
            json!({"type": "object", "$ref": "x", "definitions": {"a": {}}, "patternProperties": {"a": {}}}),
        ),
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
        spec(
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}, "default": [1, 1]}),
        ),
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

    s.properties[spec].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set

    s.properties[spec].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map

    s.properties[spec].items.properties[id].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property
    s.properties[spec].x-kubernetes-list-map-keys: Invalid value: ["id","id","no"]: must not contain duplicate entries
    s.properties[spec].items.properties[id].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property
    s.properties[spec].x-kubernetes-list-map-keys: Invalid value: ["id","id","no"]: entries must all be names of item properties

    s.properties[spec].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty

    s.properties[spec].x-kubernetes-list-type: Unsupported value: "odd": supported values: "atomic", "set", "map"

    s.properties[spec].default: Invalid value: "string":  in body must be of type integer: "string"

    s.properties[spec].default: Invalid value: {"b":1}: must not have unknown fields

    s.properties[spec].default[1]: Duplicate value: 1

    s.properties[spec].default: Invalid value: 1: failed rule: self > 1

    s.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata
    "##);
    // The two ways of old to say int-or-string are fine.
    for any in [
        json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        json!({"allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}),
    ] {
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
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.nothing"}, {"jsonPath": ".spec.tags"}, {"jsonPath": ""}]),
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.colour"}, {"jsonPath": ".spec.colour"}, {"jsonPath": ".spec.parts[0]"}]),
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            json!([{"name": "", "type": "odd", "format": "odd", "jsonPath": ".a["}]),
        ),
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
    spec.versions[0].additionalPrinterColumns[0].format: Invalid value: "odd": must be one of byte,date,date-time,double,float,int32,int64,password

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

#[test]
fn parts_that_all_versions_share_are_judged_once() {
    let version = |name: &str, schema: Value, column: &str| {
        json!({
            "name": name, "served": true, "storage": name == "v1", "schema": { "openAPIV3Schema": schema },
            "additionalPrinterColumns": [{ "name": column, "type": "string", "jsonPath": ".x" }]
        })
    };
    let definition = |versions: Value| {
        json!({
            "metadata": { "name": "foos.example.org" },
            "spec": {
                "group": "example.org", "scope": "Namespaced", "names": { "kind": "Foo", "plural": "foos" },
                "versions": versions
            }
        })
    };
    let bad = json!({ "type": "object", "properties": { "spec": {} } });
    let good = json!({ "type": "object" });
    let of = |versions: Value| lines(&custom_kinds(&definition(versions)).unwrap_err());
    let why = "Required value: must not be empty for specified object fields";
    assert_eq!(
        of(json!([version("v1", bad.clone(), "A"), version("v2", bad.clone(), "")])),
        format!(
            "spec.versions[1].additionalPrinterColumns[0].name: Required value\n\
             spec.validation.openAPIV3Schema.properties[spec].type: {why}"
        ),
    );
    assert_eq!(
        of(json!([version("v1", bad, ""), version("v2", good, "")])),
        format!(
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: {why}\n\
             spec.additionalPrinterColumns[0].name: Required value"
        ),
    );
}
