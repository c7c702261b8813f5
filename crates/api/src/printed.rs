//! JSON values as Go prints them, which is how many messages of Kubernetes show them.

use serde_json::{Number, Value};

/// `%v`: `map[data:map[a:1]]`, `[1 2]`, `<nil>`.
pub fn in_go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number_in_go(number),
        Value::Bool(flag) => flag.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(in_go).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let members: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", in_go(value))).collect();
            format!("map[{}]", members.join(" "))
        }
    }
}

/// The name of the type that Go's reader gives a value; `<nil>` for null.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() || number.as_i64().is_none() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Shortest digits; an exponent of two digits at least where the number is very large or small.
fn number_in_go(number: &Number) -> String {
    if let Some(whole) = number.as_i64() {
        return whole.to_string();
    }
    let float = number.as_f64().unwrap_or_default();
    let size = float.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        let scientific = format!("{float:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    float.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_as_in_go() {
        for (value, printed) in [
            (json!({ "b": [1, null, "x"], "a": { "c": true } }), "map[a:map[c:true] b:[1 <nil> x]]"),
            (json!(1.0), "1"),
            (json!(1.5), "1.5"),
            (json!(-0.00001), "-1e-05"),
            (json!(1e21), "1e+21"),
            (json!(1_000_000.0), "1e+06"),
            (json!(100_000.5), "100000.5"),
            (json!(9_223_372_036_854_775_808_u64), "9.223372036854776e+18"),
            (json!({}), "map[]"),
        ] {
            assert_eq!(in_go(&value), printed);
        }
    }
}
