//! What a registry asks for with 401: `WWW-Authenticate` (RFC 9110, 11.6.1; Docker token authentication).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Longest header that is looked at.
const MAX_BYTES: usize = 8 << 10;

/// How to say who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token of the service at `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// With name and password.
    Basic,
}

/// The best challenge of an answer: a token before a password.
pub(super) fn of(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<Challenge> = texts.filter(|text| text.len() <= MAX_BYTES).flat_map(parse).collect();
    let bearer = all.iter().find(|challenge| **challenge != Challenge::Basic);
    bearer.or(all.first()).cloned()
}

/// The challenges in one header that are understood.
fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        let (word, behind) = rest.split_at(end);
        let Some(value) = behind.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = behind;
            continue;
        };
        let (value, behind) = value_of(value);
        if let Some((_, parameters)) = found.last_mut() {
            parameters.push((word.to_ascii_lowercase(), value));
        }
        rest = behind;
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |key: &str| parameters.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
        }
        _ => None,
    }
}

/// A token or a quoted string, and what follows.
fn value_of(text: &str) -> (String, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_as_registries_write_them() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let rows: [(&str, Option<Challenge>); 9] = [
            (
                hub,
                Some(bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )),
            ),
            (
                r#"bearer realm=https://x/t , service = "a\"b""#,
                Some(bearer("https://x/t", Some("a\"b"), None)),
            ),
            (r#"Basic realm="Registry Realm""#, Some(Challenge::Basic)),
            (r#"Basic realm="x", Bearer realm="https://x/t""#, Some(bearer("https://x/t", None, None))),
            (r#"Bearer service="x""#, None),
            ("Negotiate", None),
            ("", None),
            (r#"Bearer realm="unterminated"#, Some(bearer("unterminated", None, None))),
            ("=,=,=", None),
        ];
        for (text, want) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, text.parse().expect("a header"));
            assert_eq!(of(&headers), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_the_parser_stumble(text in "[ -~]{0,80}") {
            parse(&text);
        }
    }
}
