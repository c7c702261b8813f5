//! The shapes of names, keys and values. Every function returns the sentences that say what is wrong, none when all is
//! well.
//!
//! Does not know fields or paths; callers put the sentences into a `FieldError`.

/// Longest DNS label.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;

const LABEL_SENTENCE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_SENTENCE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS1035_SENTENCE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const KEY_SENTENCE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_SENTENCE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const UNDERSCORE_SENTENCE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?(\\.[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?)*')";
const HEADER_SENTENCE: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const ENV_SENTENCE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const CONFIG_KEY_SENTENCE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

const WILDCARD_SENTENCE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// Words that CEL keeps for itself.
const CEL_RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Names are counted in characters, though a name of another length in bytes is wrong anyway.
fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// Keys and values of labels are counted in bytes.
fn too_many_bytes(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn lower_alnum(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Non-empty, `inner` everywhere, `edge` at both ends.
fn shaped(text: &str, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => edge(*first) && edge(*last) && bytes.iter().all(|b| inner(*b)),
        _ => false,
    }
}

fn is_label(text: &str) -> bool {
    shaped(text, lower_alnum, |b| lower_alnum(b) || b == b'-')
}

/// RFC 1123 label: `my-name`.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_long(LABEL_MAX));
    }
    if !is_label(text) {
        let dotted = is_subdomain(text);
        wrong.push(if dotted { "must not contain dots" } else { LABEL_SENTENCE }.to_owned());
    }
    wrong
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// RFC 1123 subdomain: `example.com`.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        wrong.push(too_long(SUBDOMAIN_MAX));
    }
    if !is_subdomain(text) {
        wrong.push(SUBDOMAIN_SENTENCE.to_owned());
    }
    wrong
}

/// A subdomain below any name: `*.example.com`.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        wrong.push(too_long(SUBDOMAIN_MAX));
    }
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        wrong.push(WILDCARD_SENTENCE.to_owned());
    }
    wrong
}

/// Whether a name can be used in a CEL expression.
pub fn is_cel_identifier(text: &str) -> bool {
    let start = |b: u8| b == b'_' || b.is_ascii_alphabetic();
    text.bytes().next().is_some_and(start)
        && text.bytes().all(|b| start(b) || b.is_ascii_digit())
        && !CEL_RESERVED.contains(&text)
}

/// RFC 1035 label: as an RFC 1123 label, but starts with a letter.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_long(LABEL_MAX));
    }
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        wrong.push(DNS1035_SENTENCE.to_owned());
    }
    wrong
}

/// `name` or `prefix.example.com/name`: keys of labels, annotations, finalizers, resources.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > SUBDOMAIN_MAX {
                    wrong.push(format!("prefix part {}", too_many_bytes(SUBDOMAIN_MAX)));
                }
                if !is_subdomain(prefix) {
                    wrong.push(format!("prefix part {SUBDOMAIN_SENTENCE}"));
                }
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {KEY_SENTENCE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        wrong.push(format!("name part {}", too_many_bytes(LABEL_MAX)));
    }
    if !is_token(name) {
        wrong.push(format!("name part {KEY_SENTENCE}"));
    }
    wrong
}

fn is_token(text: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_alphanumeric();
    shaped(text, alnum, |b| alnum(b) || b"-_.".contains(&b))
}

/// Value of a label.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_many_bytes(LABEL_MAX));
    }
    if !text.is_empty() && !is_token(text) {
        wrong.push(LABEL_VALUE_SENTENCE.to_owned());
    }
    wrong
}

/// Name of an environment variable.
pub fn env_name(text: &str) -> Vec<String> {
    let printable = |b: u8| (b' '..=b'~').contains(&b) && b != b'=';
    if !text.is_empty() && text.bytes().all(printable) { Vec::new() } else { vec![ENV_SENTENCE.to_owned()] }
}

/// Key of a `ConfigMap` or a Secret; it becomes a file name.
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        wrong.push(too_long(SUBDOMAIN_MAX));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        wrong.push(CONFIG_KEY_SENTENCE.to_owned());
    }
    match text {
        "." => wrong.push("must not be '.'".to_owned()),
        ".." => wrong.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrong
}

/// Name of a port: an IANA service name.
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push(too_long(15));
    }
    if !text.bytes().all(|b| lower_alnum(b) || b == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// RFC 1123 subdomain in which underscores stand for letters: names of DNS records.
pub fn dns1123_subdomain_underscore(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        wrong.push(too_long(SUBDOMAIN_MAX));
    }
    let edge = |b: u8| lower_alnum(b) || b == b'_';
    if !text.split('.').all(|part| shaped(part, edge, |b| edge(b) || b == b'-')) {
        wrong.push(UNDERSCORE_SENTENCE.to_owned());
    }
    wrong
}

/// Name of an HTTP header.
pub fn http_header(text: &str) -> Vec<String> {
    let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fine { Vec::new() } else { vec![HEADER_SENTENCE.to_owned()] }
}

/// Names that are one segment of a path, for kinds that allow more than DNS names.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    path_segment_prefix(text)
}

/// The start of such a name; whatever follows makes it none of the forbidden ones.
pub fn path_segment_prefix(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for illegal in ["/", "%"] {
        if text.contains(illegal) {
            wrong.push(format!("may not contain '{illegal}'"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        type Check = fn(&str) -> Vec<String>;
        let long = "a".repeat(64);
        let table: &[(Check, &[&str], &[&str])] = &[
            (dns1123_label, &["a", "a-b", "0a"], &["", "-a", "a-", "A", "a.b", "a_b", &long]),
            (dns1123_subdomain, &["a", "a.b-c.d", "1.2"], &["", ".", "a..b", "a.", "-a.b", "a.B"]),
            (dns1035_label, &["a", "a-1"], &["1a", "a.", "-"]),
            (qualified_name, &["a", "A_b.c-d", "x.y/Z"], &["", "/a", "x/", "a/b/c", "X/y", "-a", "a b"]),
            (label_value, &["", "a", "A.b_c-d"], &["-", "a ", "a/b", &long]),
            (env_name, &["A", "a.b-c", "1 2"], &["", "a=b", "ä", "a\n"]),
            (config_key, &["a", ".profile", "A_b.c"], &["", ".", "..", "..a", "a/b", "a b"]),
            (port_name, &["http", "a1", "web-2"], &["1", "a--b", "-a", "A", "averyveryverylong"]),
            (wildcard_subdomain, &["*.a", "*.a.b"], &["", "*", "*a", "*.", "a.b", "*.*.a", "a.*.b"]),
            (path_segment_prefix, &["a-", "."], &["a/", "%"]),
            (dns1123_subdomain_underscore, &["a", "_a.b_c"], &["", "a..b", "-a", "A"]),
            (http_header, &["X-A", "a"], &["", "a b", "a:"]),
            (path_segment, &["a", "A:b"], &[".", "..", "a/b", "a%b"]),
        ];
        for (check, good, bad) in table {
            for text in *good {
                assert!(check(text).is_empty(), "{text:?}: {:?}", check(text));
            }
            for text in *bad {
                assert!(!check(text).is_empty(), "{text:?}");
            }
        }
        let cel = ["a", "_a1", "A"].into_iter().all(is_cel_identifier);
        assert!(cel && !["", "1a", "a-b", "in", "namespace"].into_iter().any(is_cel_identifier));
    }

    #[test]
    fn sentences() {
        let long = "a".repeat(64);
        let table = [
            (dns1123_label("a.b"), "must not contain dots"),
            (dns1123_label(&long), "must be no more than 63 characters"),
            (qualified_name(&long), "name part must be no more than 63 bytes"),
            (label_value(&long), "must be no more than 63 bytes"),
            (
                qualified_name("a/b/c"),
                "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            ),
        ];
        for (found, expected) in table {
            assert_eq!(found, [expected]);
        }
    }
}
