//! The table against the schemas of k8s-openapi, and the walks over it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::catalogue::Gvk;

const DEPLOYMENT: Gvk = Gvk::fixed("apps", "v1", "Deployment");
const POD: Gvk = Gvk::fixed("", "v1", "Pod");
const CRD: Gvk = Gvk::fixed("apiextensions.k8s.io", "v1", "CustomResourceDefinition");

/// What the `OpenAPI` type of a property says, in the words of [`describe`].
fn described(property: &Value) -> String {
    if let Some(target) = property["$ref"].as_str() {
        return target.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let format = property["format"].as_str().unwrap_or_default();
    match property["type"].as_str().unwrap_or_default() {
        "array" => format!("[]{}", described(&property["items"])),
        "object" => format!("{{}}{}", described(&property["additionalProperties"])),
        "integer" => if format == "int64" { "int64" } else { "int32" }.to_owned(),
        "string" if format == "byte" => "bytes".to_owned(),
        other => other.to_owned(),
    }
}

/// The same words for a field of the table.
fn describe(field: &Field) -> String {
    let many = match field.cardinality {
        Cardinality::One => "",
        Cardinality::List => "[]",
        Cardinality::Map => "{}",
    };
    let kind = match field.kind {
        FieldKind::String => "string",
        FieldKind::Int32 => "int32",
        FieldKind::Int64 => "int64",
        FieldKind::Bool => "boolean",
        FieldKind::Double => "number",
        FieldKind::Bytes => "bytes",
        FieldKind::Message(id) => match schema().get(id).special {
            Some(Special::Strings) => "[]string",
            _ => &schema().get(id).name,
        },
    };
    format!("{many}{kind}")
}

#[test]
fn every_property_of_k8s_openapi_is_in_the_table_and_no_other() {
    let definitions = crate::openapi::types::everything();
    assert!(definitions.len() > 450, "{} definitions", definitions.len());
    let mut compared = 0;
    for (name, definition) in &definitions {
        let message = schema().message(name).unwrap_or_else(|| panic!("no message {name}"));
        let Some(properties) = definition["properties"].as_object() else { continue };
        let expected: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut found: Vec<&str> = message.fields().iter().map(|field| field.name).collect();
        // Root kinds of the table all have apiVersion and kind, also those that the schema shows without.
        found.retain(|field| expected.contains(field) || !["apiVersion", "kind"].contains(field));
        let mut sorted = expected.clone();
        sorted.sort_unstable();
        assert_eq!(found, sorted, "{name}");
        for (property, schema) in properties {
            let field = message.field(property).unwrap();
            assert_eq!(describe(field), described(schema), "{name}.{property}");
            compared += 1;
        }
        for required in definition["required"].as_array().into_iter().flatten() {
            let field = message.field(required.as_str().unwrap()).unwrap();
            assert!(field.required, "{name}.{required} is required");
        }
    }
    assert!(compared > 2300, "{compared} properties");
}

#[test]
fn every_message_of_the_table_has_a_type() {
    let definitions = crate::openapi::types::everything();
    let inlined: Vec<&str> = schema()
        .messages()
        .flat_map(|message| message.wire.iter().filter(|field| field.inline))
        .filter_map(|field| field.message().map(|message| message.name.as_str()))
        .collect();
    let without: Vec<&str> = schema()
        .messages()
        // What only wraps a list is an array in JSON.
        .filter(|message| message.special != Some(Special::Strings))
        .map(|message| message.name.as_str())
        .filter(|name| !definitions.contains_key(*name) && !inlined.contains(name))
        .collect();
    assert_eq!(without, Vec::<&str>::new());
}

#[test]
fn names_with_their_own_spelling_are_exact() {
    for (message, fields) in [
        ("io.k8s.api.core.v1.PodStatus", &["podIP", "podIPs", "hostIP", "hostIPs", "qosClass"][..]),
        ("io.k8s.api.core.v1.ServiceSpec", &["clusterIP", "clusterIPs", "externalIPs", "loadBalancerIP"]),
        ("io.k8s.api.core.v1.NodeStatus", &["volumesAttached", "volumesInUse", "daemonEndpoints"]),
        ("io.k8s.api.core.v1.NodeSystemInfo", &["machineID", "systemUUID", "bootID", "osImage"]),
        ("io.k8s.api.core.v1.ContainerStatus", &["imageID", "containerID"]),
        ("io.k8s.api.core.v1.Volume", &["emptyDir", "hostPath", "configMap", "name"]),
        ("io.k8s.api.core.v1.Probe", &["httpGet", "tcpSocket", "exec", "grpc", "periodSeconds"]),
        ("io.k8s.api.core.v1.EphemeralContainer", &["image", "targetContainerName"]),
        ("io.k8s.api.core.v1.ConfigMapKeySelector", &["name", "key", "optional"]),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", &["uid", "selfLink", "ownerReferences"]),
        ("io.k8s.api.core.v1.VolumeMount", &["bindMountOptions"]),
        (
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
            &["$ref", "$schema", "enum", "x-kubernetes-preserve-unknown-fields"],
        ),
    ] {
        let message = schema().message(message).unwrap();
        for field in fields {
            assert!(message.field(field).is_some(), "{}.{field}", message.name);
        }
    }
    let volume = schema().message("io.k8s.api.core.v1.Volume").unwrap();
    assert!(volume.field("volumeSource").is_none());
    assert!(volume.wire_field(2).unwrap().inline);
}

#[test]
fn merge_rules_are_those_of_kubernetes() {
    let field = |message: &str, field: &str| {
        *schema().message(&format!("io.k8s.api.{message}")).unwrap().field(field).unwrap()
    };
    let ports = field("core.v1.Container", "ports");
    assert_eq!((ports.merge_key, ports.strategy), (Some("containerPort"), "merge"));
    assert_eq!(ports.list_keys().collect::<Vec<_>>(), ["containerPort", "protocol"]);
    assert_eq!(field("core.v1.ServiceSpec", "ports").merge_key, Some("port"));
    assert_eq!(field("core.v1.PodSpec", "containers").merge_key, Some("name"));
    let volumes = field("core.v1.PodSpec", "volumes");
    assert!(volumes.has_strategy("merge") && volumes.has_strategy("retainKeys"));
    assert_eq!(field("apps.v1.DeploymentSpec", "strategy").strategy, "retainKeys");
    assert_eq!(field("core.v1.Container", "args").list_type, Some(ListType::Atomic));
    assert!(field("core.v1.ServiceSpec", "selector").atomic);
    assert!(schema().message("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").unwrap().atomic);
    let meta = schema().message("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
    assert_eq!(meta.field("finalizers").unwrap().strategy, "merge");
    assert_eq!(meta.field("ownerReferences").unwrap().merge_key, Some("uid"));
}

#[test]
fn tags_of_a_message_are_unique() {
    for message in schema().messages() {
        let tags: Vec<u32> = message.wire.iter().map(|field| field.tag).collect();
        assert!(tags.windows(2).all(|pair| pair[0] < pair[1]), "{}: {tags:?}", message.name);
        let names: Vec<&str> = message.json.iter().map(|field| field.name).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{}: {names:?}", message.name);
    }
}

#[test]
fn unknown_fields_are_found_with_their_paths() {
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "extra": 1,
        "metadata": { "name": "a", "labels": { "free": "x" }, "managedFields": [{ "fieldsV1": { "f:spec": {} } }] },
        "spec": {
            "foo": true,
            "replicas": 1,
            "template": { "spec": {
                "containers": [{ "name": "a" }, { "name": "b", "bar": {}, "resources": { "limits": { "cpu": "1" }, "x": 1 } }],
                "volumes": [{ "name": "v", "emptyDir": { "size": 1 } }],
            } },
        },
    });
    let expected = [
        "extra",
        "spec.foo",
        "spec.template.spec.containers[1].bar",
        "spec.template.spec.containers[1].resources.x",
        "spec.template.spec.volumes[0].emptyDir.size",
    ];
    let mut found = unknown_fields(&DEPLOYMENT, &deployment);
    found.sort();
    assert_eq!(found, expected);
    prune_unknown(&DEPLOYMENT, &mut deployment);
    assert_eq!(unknown_fields(&DEPLOYMENT, &deployment), Vec::<String>::new());
    assert_eq!(deployment["metadata"]["labels"], json!({ "free": "x" }));
    assert_eq!(deployment["metadata"]["managedFields"][0]["fieldsV1"], json!({ "f:spec": {} }));
    assert_eq!(deployment["spec"]["template"]["spec"]["volumes"][0], json!({ "name": "v", "emptyDir": {} }));
}

#[test]
fn schemas_inside_definitions_are_walked() {
    let definition =
        |schema: Value| json!({ "spec": { "versions": [{ "schema": { "openAPIV3Schema": schema } }] } });
    let prefix = "spec.versions[0].schema.openAPIV3Schema";
    let fine = json!({
        "type": "object", "properties": { "anything": { "type": "string", "default": { "no": "schema" } } },
        "additionalProperties": false, "x-kubernetes-preserve-unknown-fields": true,
    });
    assert_eq!(unknown_fields(&CRD, &definition(fine)), Vec::<String>::new());
    let wrong = json!({ "properties": { "a": { "typ": "string" } }, "items": [{ "tpye": 1 }] });
    let mut found = unknown_fields(&CRD, &definition(wrong));
    found.sort();
    assert_eq!(found, [format!("{prefix}.items[0].tpye"), format!("{prefix}.properties.a.typ")]);
}

#[test]
fn wrong_types_are_refused_in_the_words_of_kubernetes() {
    let check = |value: Value| check_types(&DEPLOYMENT, &value).map_err(|error| error.message);
    assert_eq!(check(json!({ "spec": { "replicas": null, "paused": false } })), Ok(()));
    let text = "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go \
                struct field DeploymentSpec.spec.replicas of type int32";
    assert_eq!(check(json!({ "spec": { "replicas": "3" } })), Err(text.to_owned()));
    for wrong in [
        json!({ "spec": [] }),
        json!({ "spec": { "replicas": 3_000_000_000_u64 } }),
        json!({ "spec": { "replicas": 1.5 } }),
        json!({ "metadata": { "labels": { "a": 1 } } }),
        json!({ "metadata": { "creationTimestamp": "yesterday" } }),
        json!({ "spec": { "template": { "spec": { "containers": [1] } } } }),
        json!({ "spec": { "template": { "spec": { "containers": {} } } } }),
        json!({ "spec": { "strategy": { "rollingUpdate": { "maxSurge": {} } } } }),
        json!([]),
    ] {
        assert!(check(wrong.clone()).is_err(), "{wrong}");
    }
    let fine =
        json!({ "spec": { "strategy": { "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": 1 } } } });
    assert_eq!(check(fine), Ok(()));
}

#[test]
fn every_field_but_the_kind_can_be_encoded() {
    let untagged = |m: &Message| {
        let fields = m.fields().iter().filter(|f| f.tag == 0 && !matches!(f.name, "apiVersion" | "kind"));
        fields.map(|f| format!("{} {}", m.name, f.name)).collect::<Vec<_>>()
    };
    let lost: Vec<String> = schema().messages().flat_map(untagged).collect();
    assert!(lost.is_empty(), "a protobuf client would lose {lost:?}");
}

#[test]
fn duplicate_fields_are_found_and_the_last_one_wins() {
    let text = br#"{"spec":{"foo":1,"containers":[{"a":1},{"b":1,"b":2}],"foo":2},"kind":"A","kind":"B","kind":"C"}"#;
    let (value, duplicates) = parse_json_strict(text).unwrap();
    let value_expected = json!({ "spec": { "foo": 2, "containers": [{ "a": 1 }, { "b": 2 }] }, "kind": "C" });
    assert_eq!(value, value_expected);
    let expected =
        ["spec.containers[1].b", "spec.foo", "kind"].map(|path| format!("duplicate field {path:?}"));
    assert_eq!(duplicates, expected);
    let error = strict_decoding_error(&POD, &["spec.bar".to_owned()], &duplicates[1..2]);
    assert_eq!(error.code, 400);
    let words = "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: duplicate field \"spec.foo\", \
                 unknown field \"spec.bar\"";
    assert_eq!(error.message, words);
}

#[test]
fn hostile_json_is_refused() {
    let deep = "[".repeat(100_000);
    let many = format!("[{}1]", "1,".repeat(MAX_VALUES));
    let large = format!("\"{}\"", "x".repeat(MAX_BODY_BYTES));
    for (text, code) in
        [(deep.as_str(), 400), (&many, 400), (&large, 413), ("", 400), ("{} {}", 400), ("{\"a\":}", 400)]
    {
        assert_eq!(parse_json_strict(text.as_bytes()).unwrap_err().code, code);
    }
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let (deepest, _) = parse_json_strict(nested(MAX_JSON_DEPTH).as_bytes()).unwrap();
    assert!(!too_deep(&deepest) && too_deep(&json!({ "a": deepest })));
    assert_eq!(parse_json_strict(nested(MAX_JSON_DEPTH + 1).as_bytes()).unwrap_err().code, 400);
    assert_eq!(parse_json_strict(b"\"\xff\"").unwrap_err().code, 400);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\\\\\"\u{e9}]{0,6}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("spec".to_owned()),
        Just("metadata".to_owned()),
        Just("template".to_owned()),
        Just("containers".to_owned()),
        Just("name".to_owned()),
        "[a-z]{1,4}",
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn strict_parser_agrees_with_serde_json(value in json_value()) {
        let text = value.to_string();
        let (parsed, duplicates) = parse_json_strict(text.as_bytes()).unwrap();
        prop_assert_eq!(parsed, value);
        prop_assert!(duplicates.is_empty());
    }

    #[test]
    fn strict_parser_survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let ours = parse_json_strict(&bytes).is_ok();
        prop_assert_eq!(ours, serde_json::from_slice::<Value>(&bytes).is_ok());
    }

    #[test]
    fn pruned_objects_have_no_unknown_fields(mut value in json_value()) {
        prune_unknown(&DEPLOYMENT, &mut value);
        prop_assert_eq!(unknown_fields(&DEPLOYMENT, &value), Vec::<String>::new());
    }
}

#[test]
fn nulls_mean_what_they_mean_in_go() {
    let mut pod = json!({
        "metadata": { "name": "a", "labels": { "a": null }, "annotations": null, "finalizers": [null, "x"] },
        "spec": {
            "hostname": null,
            "nodeSelector": {},
            "containers": [null, { "name": "c", "args": ["x", null], "resources": { "limits": { "cpu": null } } }],
        },
    });
    normalize(&POD, &mut pod);
    let expected = json!({
        "status": {},
        "metadata": { "name": "a", "labels": { "a": "" }, "finalizers": ["", "x"] },
        "spec": {
            "containers": [{ "resources": {} }, { "name": "c", "args": ["x", ""], "resources": { "limits": { "cpu": "0" } } }],
        },
    });
    assert_eq!(pod, expected);
    let mut revision = json!({ "data": { "free": null }, "revision": null });
    normalize(&Gvk::fixed("apps", "v1", "ControllerRevision"), &mut revision);
    assert_eq!(
        revision,
        json!({ "metadata": {}, "data": { "free": null } }),
        "what is opaque stays as it is"
    );
}
