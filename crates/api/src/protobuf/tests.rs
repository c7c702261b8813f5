//! Bodies built by hand with the tags of Kubernetes, a round trip along the table, and hostile input.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Builds messages; the numbers in the tests are the tags of `generated.proto`.
#[derive(Clone, Default)]
struct Pb(Vec<u8>);

impl Pb {
    fn raw_varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn int(mut self, tag: u32, number: i64) -> Self {
        self.raw_varint(u64::from(tag) << 3);
        self.raw_varint(number.cast_unsigned());
        self
    }

    fn bytes(mut self, tag: u32, bytes: &[u8]) -> Self {
        self.raw_varint(u64::from(tag) << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn str(self, tag: u32, text: &str) -> Self {
        self.bytes(tag, text.as_bytes())
    }

    fn msg(self, tag: u32, message: &Pb) -> Self {
        self.bytes(tag, &message.0)
    }

    fn double(mut self, tag: u32, number: f64) -> Self {
        self.raw_varint(u64::from(tag) << 3 | 1);
        self.0.extend_from_slice(&number.to_bits().to_le_bytes());
        self
    }

    fn envelope(&self, api_version: &str, kind: &str) -> Vec<u8> {
        let unknown = pb().msg(1, &pb().str(1, api_version).str(2, kind)).msg(2, self).str(3, "").str(4, "");
        [MAGIC, &unknown.0].concat()
    }
}

fn pb() -> Pb {
    Pb::default()
}

fn decoded(message: &Pb, api_version: &str, kind: &str) -> Value {
    let decoded = decode(&message.envelope(api_version, kind)).unwrap();
    assert_eq!((decoded.api_version.as_str(), decoded.kind.as_str()), (api_version, kind));
    assert_eq!(decoded.unknown_fields, 0);
    decoded.value
}

/// As the Go encoder writes it: every scalar that is no pointer is there, zero or not.
fn go_metadata(name: &str) -> Pb {
    pb().str(1, name)
        .str(2, "")
        .str(3, "default")
        .str(4, "")
        .str(5, "")
        .str(6, "")
        .int(7, 0)
        .msg(8, &pb())
        .msg(11, &pb().str(1, "app").str(2, "web"))
        .msg(11, &pb().str(1, "empty"))
}

fn go_container() -> Pb {
    let quantity = pb().msg(1, &pb().str(1, "cpu").msg(2, &pb().str(1, "250m")));
    let port = pb().str(1, "http").int(2, 0).int(3, 8080).str(4, "TCP").str(5, "");
    let http_get =
        pb().str(1, "/ready").msg(2, &pb().int(1, 1).int(2, 0).str(3, "http")).str(3, "").str(4, "");
    let probe = pb().msg(1, &pb().msg(2, &http_get)).int(2, 0).int(3, 1).int(4, 10).int(5, 0).int(6, 3);
    let secret_key = pb().msg(1, &pb().str(1, "creds")).str(2, "token");
    let env = pb().str(1, "TOKEN").str(2, "").msg(3, &pb().msg(4, &secret_key));
    pb().str(1, "main")
        .str(2, "web:1")
        .str(4, "--verbose")
        .str(4, "")
        .str(5, "")
        .msg(6, &port)
        .msg(7, &env)
        .msg(8, &quantity)
        .msg(11, &probe)
        .str(13, "")
        .int(16, 0)
}

#[test]
fn a_deployment_becomes_what_kubernetes_prints() {
    let template = pb().msg(1, &pb().msg(8, &pb())).msg(
        2,
        &pb()
            .msg(1, &pb().str(1, "scratch").msg(2, &pb().msg(2, &pb().str(1, ""))))
            .msg(2, &go_container())
            .str(3, "Always")
            .int(4, 0)
            .int(11, 0),
    );
    let rolling =
        pb().msg(1, &pb().int(1, 0).int(2, 0).str(3, "")).msg(2, &pb().int(1, 1).int(2, 0).str(3, "25%"));
    let spec = pb()
        .int(1, 0)
        .msg(2, &pb().msg(1, &pb().str(1, "app").str(2, "web")))
        .msg(3, &template)
        .msg(4, &pb().str(1, "RollingUpdate").msg(2, &rolling))
        .int(5, 0)
        .int(6, 0)
        .int(7, 0);
    let message = pb().msg(1, &go_metadata("web")).msg(2, &spec).msg(3, &pb().int(1, 0).int(2, 0));
    let expected = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default", "labels": { "app": "web", "empty": "" } },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": {},
                "spec": {
                    "volumes": [{ "name": "scratch", "emptyDir": {} }],
                    "containers": [{
                        "name": "main",
                        "image": "web:1",
                        "args": ["--verbose", ""],
                        "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
                        "env": [{ "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "creds", "key": "token" } } }],
                        "resources": { "limits": { "cpu": "250m" } },
                        "readinessProbe": {
                            "httpGet": { "path": "/ready", "port": "http" },
                            "timeoutSeconds": 1, "periodSeconds": 10, "failureThreshold": 3,
                        },
                    }],
                    "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 0,
                },
            },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": "25%" } },
            "revisionHistoryLimit": 0,
        },
        "status": {},
    });
    assert_eq!(decoded(&message, "apps/v1", "Deployment"), expected);
}

#[test]
fn scalars_of_every_kind_are_printed_as_json() {
    let secret =
        pb().msg(2, &pb().str(1, "key").bytes(2, &[0, 255, 1])).msg(2, &pb().str(1, "none")).str(3, "Opaque");
    let value = decoded(&secret, "v1", "Secret");
    assert_eq!(value["data"], json!({ "key": "AP8B", "none": "" }));

    let options = pb().int(1, 0).msg(2, &pb().str(1, "u1")).str(4, "Background");
    let value = decoded(&options, "meta.k8s.io/v1", "DeleteOptions");
    let expected = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "DeleteOptions",
        "gracePeriodSeconds": 0, "preconditions": { "uid": "u1" }, "propagationPolicy": "Background",
    });
    assert_eq!(value, expected);

    let micro = pb().int(1, 1_700_000_000).int(2, 123_456_789);
    let lease = pb().msg(2, &pb().str(1, "me").int(2, 40).msg(3, &micro).msg(4, &pb()));
    let value = decoded(&lease, "coordination.k8s.io/v1", "Lease");
    let expected = json!({
        "holderIdentity": "me", "leaseDurationSeconds": 40, "acquireTime": "2023-11-14T22:13:20.123456Z",
    });
    assert_eq!(value["spec"], expected);

    let managed =
        pb().str(1, "kubectl").msg(4, &pb().int(1, 0).int(2, 0)).msg(7, &pb().str(1, r#"{"f:data":{}}"#));
    let value = decoded(&pb().msg(1, &pb().msg(17, &managed).int(10, 0)), "v1", "ConfigMap");
    let expected = json!({
        "manager": "kubectl", "time": "1970-01-01T00:00:00Z", "fieldsV1": { "f:data": {} },
    });
    assert_eq!(value["metadata"]["managedFields"][0], expected);
    assert_eq!(value["metadata"]["deletionGracePeriodSeconds"], json!(0));
}

#[test]
fn a_service_port_without_target_has_none() {
    let port = |target: &Pb| pb().str(2, "TCP").int(3, 80).msg(4, target).int(5, 0);
    let unset = port(&pb().int(1, 0).int(2, 0).str(3, ""));
    let named = port(&pb().int(1, 1).int(2, 0).str(3, "http"));
    let value = decoded(&pb().msg(2, &pb().msg(1, &unset).msg(1, &named)), "v1", "Service");
    let expected = json!([
        { "protocol": "TCP", "port": 80 },
        { "protocol": "TCP", "port": 80, "targetPort": "http" },
    ]);
    assert_eq!(value["spec"]["ports"], expected);
}

#[test]
fn schemas_of_custom_kinds_are_decoded() {
    let string = pb().str(5, "string");
    let number = pb().str(5, "number").double(9, 2.0).double(11, 0.5).msg(8, &pb().str(1, "1.5"));
    let properties = pb()
        .str(5, "object")
        .msg(29, &pb().str(1, "s").msg(2, &string))
        .msg(29, &pb().str(1, "n").msg(2, &number));
    let schema = properties
        .msg(30, &pb().int(1, 0))
        .msg(24, &pb().msg(2, &string).msg(2, &string))
        .msg(32, &pb().str(1, "d").msg(2, &pb().str(2, "a").str(2, "b")))
        .int(38, 1);
    let version = pb().str(1, "v1").int(2, 1).int(3, 0).msg(4, &pb().msg(1, &schema));
    let value = decoded(
        &pb().msg(2, &pb().str(1, "x.dev").msg(7, &version)),
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
    );
    let expected = json!({
        "name": "v1", "served": true, "storage": false,
        "schema": { "openAPIV3Schema": {
            "type": "object",
            "properties": { "s": { "type": "string" }, "n": { "type": "number", "maximum": 2, "minimum": 0.5, "default": 1.5 } },
            "additionalProperties": false,
            "items": [{ "type": "string" }, { "type": "string" }],
            "dependencies": { "d": ["a", "b"] },
            "x-kubernetes-preserve-unknown-fields": true,
        } },
    });
    assert_eq!(value["spec"]["versions"][0], expected);
}

#[test]
fn unknown_tags_are_counted() {
    let message = pb().msg(1, &pb().str(1, "a").str(900, "later")).int(77, 5);
    let decoded = decode(&message.envelope("v1", "ConfigMap")).unwrap();
    assert_eq!(decoded.unknown_fields, 2);
    assert_eq!(decoded.value["metadata"], json!({ "name": "a" }));
}

#[test]
fn a_second_occurrence_merges() {
    let message = pb().msg(1, &pb().str(1, "a")).msg(1, &pb().str(3, "ns").str(1, "b"));
    assert_eq!(decoded(&message, "v1", "ConfigMap")["metadata"], json!({ "name": "b", "namespace": "ns" }));
}

#[test]
fn json_inside_the_envelope_is_taken() {
    let unknown =
        pb().msg(1, &pb().str(1, "v1").str(2, "Pod")).str(2, r#"{"kind":"Pod"}"#).str(4, "application/json");
    let decoded = decode(&[MAGIC, &unknown.0].concat()).unwrap();
    assert_eq!(decoded.value, json!({ "kind": "Pod" }));
}

#[test]
fn broken_bodies_are_refused_with_a_reason() {
    let refused = |bytes: &[u8]| {
        let error = decode(bytes).unwrap_err();
        (error.code, error.message)
    };
    let in_pod = |message: &Pb| refused(&message.envelope("v1", "Pod"));
    for (found, code, words) in [
        (refused(b"{}"), 400, "prefix"),
        (refused(b"k8s\0\x0a\x80"), 400, "unexpected end"),
        (refused(b"k8s\0\x0b"), 400, "groups"),
        (refused(&pb().envelope("v1", "Gadget")), 400, "\"Gadget\""),
        (in_pod(&pb().str(1, "\u{a}")), 400, "unexpected end"),
        (in_pod(&pb().int(1, 5)), 400, "Pod.metadata: has the wrong wire type"),
        (in_pod(&pb().msg(1, &pb().bytes(1, b"\xff"))), 400, "ObjectMeta.name: is not UTF-8"),
        (in_pod(&pb().msg(2, &pb().msg(2, &pb().msg(6, &pb().int(3, 1 << 40))))), 400, "32-bit"),
        (in_pod(&pb().msg(1, &pb().msg(8, &pb().int(1, i64::MAX)))), 400, "is not a time"),
        (refused(&[MAGIC, &vec![0; MAX_BODY_BYTES]].concat()), 413, "limit"),
    ] {
        assert_eq!(found.0, code, "{}", found.1);
        assert!(found.1.contains(words), "{:?} has no {words:?}", found.1);
    }
}

#[test]
fn nesting_and_amplification_are_bounded() {
    let mut schema = pb().str(5, "string");
    for _ in 0..2000 {
        schema = pb().msg(28, &schema);
    }
    let body = pb().msg(2, &pb().msg(7, &pb().msg(4, &pb().msg(1, &schema))));
    let error = decode(&body.envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition")).unwrap_err();
    assert!(error.message.contains("levels deep"), "{}", error.message);
    let levels = MAX_JSON_DEPTH - 1;
    let json = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let managed = pb().msg(1, &pb().msg(17, &pb().msg(7, &pb().str(1, &json))));
    let error = decode(&managed.envelope("v1", "Pod")).unwrap_err();
    assert!(error.message.contains("levels deep"), "{}", error.message);
    let mut spec = pb();
    for _ in 0..=MAX_VALUES {
        spec = spec.msg(2, &pb());
    }
    let error = decode(&pb().msg(2, &spec).envelope("v1", "Pod")).unwrap_err();
    assert!(error.message.contains("values"), "{}", error.message);
}

/// The inverse of the transcoder for ordinary messages, for the round trip.
fn encode(message: &Message, object: &Value) -> Pb {
    let mut out = pb();
    for field in &(1..200).filter_map(|tag| message.wire_field(tag)).collect::<Vec<_>>() {
        if field.inline {
            let inner = encode(field.message().unwrap(), object);
            if !inner.0.is_empty() {
                out = out.msg(field.tag, &inner);
            }
            continue;
        }
        match &object[field.name] {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    out = encode_value(out, field, item);
                }
            }
            Value::Object(entries) if field.cardinality == Cardinality::Map => {
                for (key, value) in entries {
                    let mut at_two = **field;
                    at_two.tag = 2;
                    out = out.msg(field.tag, &encode_value(pb().str(1, key), &at_two, value));
                }
            }
            value => out = encode_value(out, field, value),
        }
    }
    out
}

fn encode_value(out: Pb, field: &Field, value: &Value) -> Pb {
    match field.kind {
        FieldKind::String => out.str(field.tag, value.as_str().unwrap()),
        FieldKind::Bytes => out.bytes(field.tag, &STANDARD.decode(value.as_str().unwrap()).unwrap()),
        FieldKind::Bool => out.int(field.tag, i64::from(value.as_bool().unwrap())),
        FieldKind::Int32 | FieldKind::Int64 => out.int(field.tag, value.as_i64().unwrap()),
        FieldKind::Double => out.double(field.tag, value.as_f64().unwrap()),
        FieldKind::Message(id) => out.msg(field.tag, &encode(schema().get(id), value)),
    }
}

/// Values for the fields of a message, three levels deep, that JSON would print.
fn object(message: &'static Message, depth: u32) -> BoxedStrategy<Value> {
    let usable = |field: &&Field| {
        let special = field.message().is_some_and(|message| message.special.is_some());
        let deep = matches!(field.kind, FieldKind::Message(_)) && depth == 0;
        field.tag != 0 && !special && !deep
    };
    let fields: Vec<Field> = message.fields().iter().filter(usable).copied().collect();
    let entries: Vec<_> = fields
        .into_iter()
        .map(|field| {
            let one: BoxedStrategy<Value> = match field.kind {
                FieldKind::String => "[a-z]{1,5}".prop_map(Value::from).boxed(),
                FieldKind::Bytes => prop::collection::vec(any::<u8>(), 1..5)
                    .prop_map(|bytes| Value::String(STANDARD.encode(bytes)))
                    .boxed(),
                FieldKind::Bool => Just(Value::Bool(true)).boxed(),
                FieldKind::Int32 => (1..i32::MAX).prop_map(Value::from).boxed(),
                FieldKind::Int64 => (i64::MIN..-1).prop_map(Value::from).boxed(),
                FieldKind::Double => (1..1000_i32).prop_map(|number| json!(f64::from(number) + 0.5)).boxed(),
                FieldKind::Message(id) => object(schema().get(id), depth - 1),
            };
            let value = match field.cardinality {
                Cardinality::One => one,
                Cardinality::List => prop::collection::vec(one, 1..3).prop_map(Value::from).boxed(),
                Cardinality::Map => prop::collection::btree_map("[a-z]{1,3}", one, 1..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
                    .boxed(),
            };
            prop::option::weighted(0.3, value).prop_map(move |value| (field.name, value))
        })
        .collect();
    entries
        .prop_map(|entries| {
            let present = entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(present.collect())
        })
        .boxed()
}

const KINDS: [(&str, &str, &str); 5] = [
    ("", "v1", "Pod"),
    ("apps", "v1", "Deployment"),
    ("", "v1", "Service"),
    ("batch", "v1", "Job"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
];

fn any_object() -> impl Strategy<Value = (&'static str, &'static str, &'static str, Value)> {
    (0..KINDS.len()).prop_flat_map(|at| {
        let (group, version, kind) = KINDS[at];
        let message = schema().by_gvk(group, version, kind).unwrap();
        object(message, 3).prop_map(move |value| (group, version, kind, value))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn objects_survive_the_round_trip((group, version, kind, mut value) in any_object()) {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let message = schema().by_gvk(group, version, kind).unwrap();
        let decoded = decode(&encode(message, &value).envelope(&api_version, kind)).unwrap();
        value["apiVersion"] = json!(api_version);
        value["kind"] = json!(kind);
        prop_assert_eq!(decoded.unknown_fields, 0);
        prop_assert_eq!(decoded.value, value);
    }

    #[test]
    fn mutated_bodies_never_panic(
        (group, version, kind, value) in any_object(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let message = schema().by_gvk(group, version, kind).unwrap();
        let mut bytes = encode(message, &value).envelope(&api_version, kind);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert!(decode(&bytes).is_ok_and(|decoded| decoded.value.is_object()) || decode(&bytes).is_err());
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(decode(&bytes).is_ok_and(|decoded| decoded.value.is_object()) || decode(&bytes).is_err());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let pod = Pb(bytes.clone()).envelope("v1", "Pod");
        prop_assert!(decode(&pod).is_ok_and(|decoded| decoded.value.is_object()) || decode(&pod).is_err());
        prop_assert!(decode(&bytes).is_err());
    }
}
