//! Any schema, any object, any rule: an answer in bounded time, and no panic.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::robust::{try_object, try_rule};

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-5_i64..5).prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "[a-c./-]{0,4}".prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ]
}

fn object() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("kind".to_owned()),
        Just("metadata".to_owned()),
        "[a-c]{1,2}"
    ];
    leaf().prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Schemas that are nearly right.
fn schema() -> impl Strategy<Value = Value> {
    let keyword = prop_oneof![
        Just(json!({})),
        Just(json!({"nullable": true})),
        Just(json!({"x-kubernetes-preserve-unknown-fields": true})),
        Just(json!({"minLength": 1, "maxLength": 3, "pattern": "^[a-z]*$"})),
        Just(json!({"minimum": -1, "maximum": 3})),
        Just(json!({"format": "date-time"})),
        Just(json!({"enum": ["a", 1, null]})),
        Just(json!({"anyOf": [{"minLength": 2}, {"required": ["a"]}]})),
        Just(json!({"not": {"required": ["b"]}})),
        Just(json!({"x-kubernetes-validations": [{"rule": "self == self"}]})),
        Just(json!({"x-kubernetes-validations": [{"rule": "size(dyn(self)) > 1 || self == oldSelf"}]})),
        leaf().prop_map(|default| json!({ "default": default })),
    ];
    let scalar = prop_oneof![Just("string"), Just("integer"), Just("number"), Just("boolean")];
    let base = (scalar, keyword.clone()).prop_map(|(kind, extra)| with(json!({ "type": kind }), &extra));
    let either = Just(json!({"x-kubernetes-int-or-string": true}));
    prop_oneof![base, either].prop_recursive(4, 30, 4, move |inner| {
        let list = (inner.clone(), prop_oneof![Just("atomic"), Just("set"), Just("map")]).prop_map(|(items, kind)| {
            let keys = if kind == "map" { json!(["a"]) } else { json!([]) };
            json!({"type": "array", "items": items, "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": keys})
        });
        let map = inner.clone().prop_map(|values| json!({"type": "object", "additionalProperties": values}));
        let fields = (prop::collection::btree_map("[a-c]", inner, 0..4), keyword.clone()).prop_map(|(fields, extra)| {
            with(json!({"type": "object", "properties": fields, "required": ["a"]}), &extra)
        });
        prop_oneof![list, map, fields.clone(), fields]
    })
}

fn with(mut schema: Value, extra: &Value) -> Value {
    if let (Some(map), Some(extra)) = (schema.as_object_mut(), extra.as_object()) {
        map.extend(extra.clone());
    }
    schema
}

/// Rules that are nearly right.
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn rule() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        Just("self.n".to_owned()),
        Just("self.text".to_owned()),
        Just("self.list".to_owned()),
        Just("self.map".to_owned()),
        Just("self.either".to_owned()),
        Just("v".to_owned()),
        Just("oldSelf".to_owned()),
        (-3_i64..300).prop_map(|n| n.to_string()),
        Just("'é%s'".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("2.5".to_owned()),
        Just("b'x'".to_owned()),
    ];
    let binary = prop::sample::select(vec!["==", "!=", "<", "+", "-", "*", "/", "%", "&&", "||", "in"]);
    let method = prop::sample::select(vec![
        "size",
        "contains",
        "startsWith",
        "matches",
        "indexOf",
        "substring",
        "split",
        "join",
        "sum",
        "max",
        "sort",
        "distinct",
        "flatten",
        "slice",
        "replace",
        "format",
        "charAt",
        "find",
        "findAll",
        "orValue",
        "trim",
    ]);
    let macros = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter", "sortBy"]);
    let function = prop::sample::select(vec![
        "size",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "type",
        "dyn",
        "duration",
        "timestamp",
        "quantity",
        "ip",
        "cidr",
        "url",
        "semver",
        "lists.range",
        "optional.of",
        "isIP",
        "sets.contains",
    ]);
    atom.prop_recursive(5, 40, 3, move |inner| {
        prop_oneof![
            (inner.clone(), binary.clone(), inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), method.clone(), prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(a, name, args)| format!("{a}.{name}({})", args.join(", "))),
            (inner.clone(), macros.clone(), inner.clone())
                .prop_map(|(a, name, b)| format!("{a}.{name}(v, {b})")),
            (function.clone(), prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(name, args)| format!("{name}({})", args.join(", "))),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("dyn({a})[{b}]")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("cel.bind(v, {a}, {b})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn objects_against_schemas(schema in schema(), object in object()) {
        try_object(&schema, &object);
        try_object(&json!({"type": "object", "properties": {"spec": schema}}), &json!({"spec": object}));
    }

    #[test]
    fn anything_as_a_schema(schema in object(), object in object()) {
        try_object(&schema, &object);
    }

    #[test]
    fn rules_on_objects(rule in rule(), n in any::<i64>(), text in "\\PC{0,8}") {
        let spec = json!({"n": n, "text": text, "list": ["a", text], "map": {"a": 1, "b": n}, "either": text});
        try_rule(&rule, &spec);
        try_rule(&format!("dyn({rule}) == dyn(1)"), &spec);
    }

    #[test]
    fn any_text_as_a_rule(rule in "\\PC{0,40}") {
        try_rule(&rule, &json!({"n": 1}));
    }
}
