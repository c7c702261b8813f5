//! JSON values as YAML, for clients that ask for it.
//!
//! Block style, the way Kubernetes prints objects. Strings stand plain only where no reader, of YAML 1.1 or 1.2, could take
//! them for anything else; all others are written as JSON strings, which YAML reads as they are.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Words that YAML 1.1 reads as booleans or null.
const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "y", "n", "null", "none"];

/// The document, with a newline at its end.
pub(crate) fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => put_map(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => put_list(&mut out, items, 0, false),
        other => put_scalar_line(&mut out, other),
    }
    out
}

fn indent(out: &mut String, width: usize) {
    out.extend(std::iter::repeat_n(' ', width));
}

/// `inline`: the first line is begun already.
fn put_map(out: &mut String, map: &Map<String, Value>, width: usize, mut inline: bool) {
    for (key, value) in map {
        if !inline {
            indent(out, width);
        }
        inline = false;
        put_text(out, key);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                put_map(out, inner, width + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                put_list(out, items, width, false);
            }
            other => {
                out.push(' ');
                put_scalar_line(out, other);
            }
        }
    }
}

fn put_list(out: &mut String, items: &[Value], width: usize, mut inline: bool) {
    for item in items {
        if !inline {
            indent(out, width);
        }
        inline = false;
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => put_map(out, inner, width + 2, true),
            Value::Array(inner) if !inner.is_empty() => put_list(out, inner, width + 2, true),
            other => put_scalar_line(out, other),
        }
    }
}

fn put_scalar_line(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => put_text(out, text),
        // Empty lists and maps print the same in both.
        other => out.push_str(&other.to_string()),
    }
    out.push('\n');
}

fn put_text(out: &mut String, text: &str) {
    if is_plain(text) {
        return out.push_str(text);
    }
    for c in Value::from(text).to_string().chars() {
        match c {
            // Allowed bare in JSON, not in YAML.
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(out, "\\u{:04X}", u32::from(c)).expect("writing to a String cannot fail");
            }
            other => out.push(other),
        }
    }
}

fn is_plain(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_./-:".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(':')
        && text.chars().all(allowed)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_look_as_kubernetes_prints_them() {
        let value = json!({
            "kind": "Pod",
            "metadata": { "annotations": {}, "labels": { "a": "yes", "b": "1", "c": "", "d": "x y" } },
            "spec": {
                "containers": [{ "args": ["--a=1", "-x", "null"], "image": "example:1", "ports": [{ "port": 80 }] }],
                "matrix": [[1, 2], []],
                "nothing": null,
                "text": "two\nlines",
            },
        });
        let want = "kind: Pod\nmetadata:\n  annotations: {}\n  labels:\n    a: \"yes\"\n    b: \"1\"\n    c: \"\"\n    \
                    d: \"x y\"\nspec:\n  containers:\n  - args:\n    - \"--a=1\"\n    - \"-x\"\n    - \"null\"\n    \
                    image: example:1\n    ports:\n    - port: 80\n  matrix:\n  - - 1\n    - 2\n  - []\n  nothing: null\n  \
                    text: \"two\\nlines\"\n";
        assert_eq!(to_yaml(&value), want);
    }

    fn value() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            "[ -~]{0,8}",
            "\\PC{0,6}",
            any::<String>(),
            proptest::sample::select(vec![
                "yes",
                "No",
                "~",
                "1e3",
                "0x1",
                "12:30",
                "2001-01-01",
                "-",
                "a: b",
                "#",
                "null",
                "\u{85}"
            ])
            .prop_map(str::to_owned),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            word.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(word.clone(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_yaml_reader_reads_the_same(value in value()) {
            let text = to_yaml(&value);
            let read = crate::decode::yaml(text.as_bytes());
            prop_assert!(read.is_ok(), "{:?}\n{}", read, text);
            prop_assert_eq!(read.unwrap().value, value, "{}", text);
        }
    }
}
