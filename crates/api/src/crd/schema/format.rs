//! String and number formats that are checked. Unknown formats say nothing, as in Kubernetes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use serde_json::Value;

/// Whether a value has a format.
pub(super) fn fits(format: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text_fits(format, text),
        Value::Number(number) => {
            let within = |min: i64, max: i64| number.as_i64().is_some_and(|n| (min..=max).contains(&n));
            match format {
                "int32" if !number.is_f64() => within(i64::from(i32::MIN), i64::from(i32::MAX)),
                "int64" if !number.is_f64() => number.is_i64(),
                _ => true,
            }
        }
        _ => true,
    }
}

fn text_fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, bits)| {
            let max = address.parse::<IpAddr>().map(|ip| if ip.is_ipv4() { 32 } else { 128 });
            max.is_ok_and(|max| bits.parse::<u8>().is_ok_and(|bits| bits <= max))
        }),
        "uuid" => {
            let hex = text.bytes().filter(|b| *b != b'-').collect::<Vec<_>>();
            hex.len() == 32 && hex.iter().all(u8::is_ascii_hexdigit)
        }
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn formats() {
        let table = [
            ("date-time", json!("2026-01-01T00:00:00Z"), json!("yesterday")),
            ("date", json!("2026-01-01"), json!("2026-13-01")),
            ("ipv4", json!("10.0.0.1"), json!("10.0.0")),
            ("ipv6", json!("::1"), json!("10.0.0.1")),
            ("cidr", json!("10.0.0.0/8"), json!("10.0.0.0/33")),
            ("uuid", json!("123e4567-e89b-12d3-a456-426614174000"), json!("x")),
            ("byte", json!("aGk="), json!("*")),
            ("int32", json!(1), json!(3_000_000_000_u64)),
            ("int64", json!(-1), json!(u64::MAX)),
        ];
        for (format, good, bad) in table {
            assert!(fits(format, &good), "{format}");
            assert!(!fits(format, &bad), "{format}");
        }
        assert!(fits("colour", &json!("anything")));
    }
}
