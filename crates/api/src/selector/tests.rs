//! Selectors: tables for meaning, properties for the parser.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn label_selectors_select() {
    let web = labels(&[("app", "web"), ("tier", "front"), ("n", "5"), ("empty", "")]);
    let table = [
        ("", true),
        ("app=web", true),
        ("app==web", true),
        (" app = web , tier = front ", true),
        ("app!=web", false),
        ("missing!=x", true),
        ("app in (web,db)", true),
        ("app in(db)", false),
        ("app notin (db)", true),
        ("missing notin (db)", true),
        ("app", true),
        ("!app", false),
        ("!missing", true),
        ("missing", false),
        ("empty=", true),
        ("empty in (a,)", true),
        ("n>4", true),
        ("n<5", false),
        ("app=web,!tier", false),
        ("in in (in)", false),
    ];
    for (text, expected) in table {
        let selector = LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(selector.matches(&web), expected, "{text}");
    }
}

#[test]
fn broken_label_selectors_are_bad_requests() {
    let start = "expected: !, identifier, or 'end of string'";
    for (text, why) in [
        ("a=b,", "found '', expected: identifier after ','".to_owned()),
        ("a=b,=", "found '=', expected: identifier after ','".to_owned()),
        ("=a", format!("found '=', {start}")),
        ("(a)", format!("found '(', {start}")),
        (",", format!("found ',', {start}")),
        ("!a=b", "found '=', expected: ',' or 'end of string'".to_owned()),
        ("a=b=c", "found '=', expected: ',' or 'end of string'".to_owned()),
    ] {
        assert_eq!(LabelSelector::parse(text).expect_err(text), crate::ApiError::bad_request(why));
    }
    for text in ["a in b", "a in (b", "a b", "-a=b", "a=-", "a>x", "a/b/c=d"] {
        let error = LabelSelector::parse(text).expect_err(text);
        assert_eq!(error.code, 400, "{text}");
        assert!(error.message.starts_with("unable to parse requirement: "), "{}", error.message);
    }
}

#[test]
fn label_selectors_from_json() {
    let web = labels(&[("app", "web")]);
    let table = [
        (Value::Null, false),
        (json!({}), true),
        (json!({"matchLabels": {"app": "web"}}), true),
        (json!({"matchLabels": {"app": "db"}}), false),
        (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}), true),
        (json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), false),
        (json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}]}), true),
    ];
    for (value, expected) in table {
        assert_eq!(LabelSelector::from_json(&value).unwrap().matches(&web), expected, "{value}");
    }
    for value in [
        json!({"matchExpressions": [{"key": "app", "operator": "In"}]}),
        json!({"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]}),
        json!({"matchExpressions": [{"key": "app", "operator": "Near"}]}),
        json!({"matchLabels": {"a b": "c"}}),
    ] {
        assert_eq!(LabelSelector::from_json(&value).unwrap_err().code, 400, "{value}");
    }
}

#[test]
fn field_selectors_select() {
    let pod = json!({
        "metadata": {"name": "a,b", "namespace": "d"},
        "spec": {"nodeName": "n", "unschedulable": true},
        "status": {"phase": "Running"}
    });
    let allowed =
        ["spec.nodeName", "status.phase", "spec.hostNetwork", "status.replicas", "spec.unschedulable"];
    let table = [
        ("", true),
        ("status.phase=Running", true),
        ("status.phase==Running,spec.nodeName=n", true),
        ("status.phase!=Running", false),
        (r"metadata.name=a\,b", true),
        ("spec.hostNetwork=false", true),
        ("spec.unschedulable=true", true),
        ("status.replicas=0", true),
        ("spec.nodeName=", false),
        ("metadata.namespace=d,,", true),
    ];
    for (text, expected) in table {
        assert_eq!(FieldSelector::parse(text, &allowed).unwrap().matches(&pod), expected, "{text}");
    }
    assert_eq!(FieldSelector::parse("metadata.name=x", &[]).unwrap().required("metadata.name"), Some("x"));
    for (text, message) in [
        ("spec.foo=x", "field label not supported: spec.foo"),
        ("status.phase", "invalid selector: 'status.phase'; can't understand 'status.phase'"),
        (r"status.phase=a\b", r"invalid field selector: invalid escape sequence: \b"),
    ] {
        let error = FieldSelector::parse(text, &allowed).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (400, message));
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "[a-z!=(), ><\\\\./]{0,40}") {
        drop(LabelSelector::parse(&text));
        drop(FieldSelector::parse(&text, &["a"]));
    }

    #[test]
    fn printed_selectors_parse_to_the_same(
        parts in proptest::collection::btree_map(
            "[a-z]{1,8}(/[a-z]{1,8})?",
            (0u8..4, proptest::collection::btree_set("[a-z0-9]{1,5}", 1..4)),
            0..5,
        )
    ) {
        let operators = [Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist];
        let requirements: Vec<Requirement> = parts.into_iter().map(|(key, (operator, values))| {
            let operator = operators[usize::from(operator)];
            let wants = matches!(operator, Operator::In | Operator::NotIn);
            Requirement { key, operator, values: if wants { values } else { std::collections::BTreeSet::default() } }
        }).collect();
        let text = requirements.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        prop_assert_eq!(LabelSelector::parse(&text).unwrap().requirements, requirements);
    }

    #[test]
    fn escaped_values_come_back(value in "[a-z,=\\\\]{0,12}") {
        let escaped: String = value.chars()
            .flat_map(|c| if ",=\\".contains(c) { vec!['\\', c] } else { vec![c] })
            .collect();
        let selector = FieldSelector::parse(&format!("metadata.name={escaped}"), &[]).unwrap();
        let found = selector.matches(&json!({"metadata": {"name": value}}));
        prop_assert!(found);
    }
}
