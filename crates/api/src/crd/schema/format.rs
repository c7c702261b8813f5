//! String and number formats that are checked: those of Kubernetes' API server. Other formats say nothing.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;
use serde_json::Value;

use super::super::cel::is_duration;
use super::{Node, Type};
use crate::validation::names;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns of this file are tested")
}

static HOSTNAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)",
        r"|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
    ))
});
static CREDIT_CARD: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}",
        r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$"
    ))
});
static SSN: LazyLock<Regex> = LazyLock::new(|| regex(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"));
static HEX_COLOUR: LazyLock<Regex> = LazyLock::new(|| regex(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static RGB_COLOUR: LazyLock<Regex> = LazyLock::new(|| {
    let part = r"\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*";
    regex(&format!(r"^rgb\({part},{part},{part}\)$"))
});
static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"^([^@<>]*<)?[^\s@<>(),;:\\"\[\]]+@[^\s@<>(),;:\\"]+>?$"#));

/// Why a number is outside of the range of its type.
pub(super) fn out_of_range(node: &Node, value: &Value, path: &str) -> Option<String> {
    let format = node.format.as_deref().unwrap_or_default();
    let fits = match (node.kind, format) {
        (Some(Type::Integer), "int32") => value.as_i64().map_or_else(
            || value.as_f64().is_some_and(|n| value.is_f64() && n.fract() == 0.0),
            |n| i32::try_from(n).is_ok(),
        ),
        (Some(Type::Integer), _) => {
            value.is_i64() || value.as_f64().is_some_and(|n| value.is_f64() && n.fract() == 0.0)
        }
        (Some(Type::Number), "float") => value.as_f64().is_some_and(|n| n.abs() <= f64::from(f32::MAX)),
        _ => true,
    };
    let kind = node.kind.map_or("", Type::name);
    let named = match format {
        "int32" | "int64" | "float" | "double" => format!("with format {format}"),
        _ => "(default format)".to_owned(),
    };
    (!fits).then(|| format!("Checked value must be of type {kind} {named} in {path}"))
}

/// With leading zeros, as Kubernetes reads addresses; they do not mean octal.
fn is_ipv4(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_byte = |part: &&str| {
        let digits = part.trim_start_matches('0');
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (digits.is_empty() || digits.parse::<u8>().is_ok())
    };
    parts.len() == 4 && parts.iter().all(is_byte)
}

/// Whether a text has a format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    let name = format.replace('-', "");
    match name.as_str() {
        "datetime" => is_date_time(text),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => is_duration(text),
        "ipv4" => is_ipv4(text),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uri" => is_uri(text),
        "email" => text.len() <= 1024 && EMAIL.is_match(text),
        "hostname" => {
            text.len() <= 255 && HOSTNAME.is_match(text) && text.split('.').all(|label| label.len() <= 63)
        }
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => is_uuid(text, Some('4')),
        "uuid5" => is_uuid(text, Some('5')),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_credit_card(text),
        "ssn" => SSN.is_match(text),
        "hexcolor" => HEX_COLOUR.is_match(text),
        "rgbcolor" => RGB_COLOUR.is_match(text),
        "byte" => !text.is_empty() && base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

fn is_date_time(text: &str) -> bool {
    text.as_bytes().get(10).is_some_and(|b| b.eq_ignore_ascii_case(&b'T'))
        && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let max = address.parse::<IpAddr>().map(|ip| if ip.is_ipv4() { 32 } else { 128 });
        max.is_ok_and(|max| bits.parse::<u8>().is_ok_and(|bits| bits <= max))
    })
}

fn is_mac(text: &str) -> bool {
    let pairs = |separator: char, width: usize, count: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        let hex = |part: &&str| part.len() == width && part.bytes().all(|b| b.is_ascii_hexdigit());
        count.contains(&parts.len()) && parts.iter().all(hex)
    };
    pairs(':', 2, &[6, 8, 20]) || pairs('-', 2, &[6, 8, 20]) || pairs('.', 4, &[3, 4, 10])
}

/// An absolute URI or an absolute path, as requests name them.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.contains(|c: char| c.is_control() || c == ' ') {
        return false;
    }
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    text.starts_with('/')
        || scheme.is_some_and(|scheme| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        })
}

/// Eight, four, four, four and twelve digits; each dash may be left out.
fn is_uuid(text: &str, version: Option<char>) -> bool {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    let mut digits = 0;
    for c in text.chars() {
        if c == '-' && ![8, 12, 16, 20].contains(&digits) {
            return false;
        }
        digits += usize::from(c != '-');
    }
    let doubled = text.contains("--");
    let variant = !matches!(version, Some('4' | '5')) || hex[16..17].contains(['8', '9', 'a', 'b', 'A', 'B']);
    !doubled && variant && version.is_none_or(|v| hex[12..].starts_with(v))
}

fn digits_of(text: &str) -> Vec<u32> {
    text.chars().filter(|c| *c != '-' && *c != ' ').map(|c| c.to_digit(10).unwrap_or(99)).collect()
}

fn is_isbn10(text: &str) -> bool {
    let mut body = digits_of(text.trim_end_matches(['X', 'x']));
    let check = if text.ends_with(['X', 'x']) { Some(10) } else { body.pop() };
    let Some(check) = check else { return false };
    if body.len() != 9 || check > 10 || body.iter().any(|d| *d > 9) {
        return false;
    }
    let sum: u32 = (1_u32..).zip(&body).map(|(n, digit)| n * digit).sum();
    (sum + 10 * check).is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = digits_of(text);
    if digits.len() != 13 || digits.iter().any(|d| *d > 9) {
        return false;
    }
    let sum: u32 =
        digits.iter().enumerate().map(|(n, digit)| if n % 2 == 0 { *digit } else { 3 * digit }).sum();
    sum.is_multiple_of(10)
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !CREDIT_CARD.is_match(&digits) {
        return false;
    }
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let digits = digits.chars().rev().filter_map(|c| c.to_digit(10));
    let sum: u32 = digits.enumerate().map(|(n, digit)| if n % 2 == 1 { doubled(digit) } else { digit }).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn formats() {
        let table = [
            ("date-time", "2026-01-01T00:00:00Z", "yesterday"),
            ("date", "2026-01-01", "2026-13-01"),
            ("duration", "1h30m", "soon"),
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "00:1a:2b:3c:4d:5e", "00:1a:2b"),
            ("uri", "https://example.com/x", "no uri"),
            ("email", "a@example.com", "a.example.com"),
            ("hostname", "www.example.com", "-x-"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "x"),
            ("uuid3", "123e4567-e89b-32d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
            ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-42d3-c456-426614174000"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
            ("isbn10", "0321751043", "0321751044"),
            ("isbn", "978-0321751041", "978-0321751042"),
            ("creditcard", "4111-1111-1111-1111", "4111-1111-1111-1112"),
            ("ssn", "111-22-3333", "111-222-333"),
            ("hexcolor", "#FFFFFF", "#FFFF"),
            ("rgbcolor", "rgb(255, 255, 255)", "rgb(256,0,0)"),
            ("byte", "aGk=", "*"),
            ("k8s-short-name", "a-b", "A"),
            ("k8s-long-name", "a.b", ".a"),
        ];
        for (format, good, bad) in table {
            assert!(fits(format, good), "{format}: {good}");
            assert!(!fits(format, bad), "{format}: {bad}");
        }
        assert!(fits("colour", "anything") && fits("password", "anything"));
    }

    #[test]
    fn numbers_have_ranges() {
        let node = |format: &str| Node {
            kind: Some(Type::Integer),
            format: Some(format.to_owned()),
            ..Node::default()
        };
        assert_eq!(out_of_range(&node("int32"), &json!(1), "a"), None);
        assert_eq!(
            out_of_range(&node("int32"), &json!(3_000_000_000_u64), "a").as_deref(),
            Some("Checked value must be of type integer with format int32 in a")
        );
        assert!(out_of_range(&node("int64"), &json!(u64::MAX), "a").is_some());
    }
}
