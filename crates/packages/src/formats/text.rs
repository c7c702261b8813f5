//! What text formats share: fields that can be believed, and `Key: value` headers.

use crate::limits;

/// Whether a name, version or architecture can be one: printable ASCII of bounded length.
pub(super) fn believable(field: &str) -> bool {
    field.len() <= limits::MAX_FIELD_BYTES && field.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

/// A believable field that is not empty.
pub(super) fn field(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && believable(text)).then_some(text)
}

/// Free text for people, such as a licence: one line, bounded, without control characters.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect::<String>().trim().to_owned()
}

/// A list of one free text; empty for empty and `UNKNOWN`.
pub(super) fn licences<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let lines = texts.into_iter().map(line).filter(|t| !t.is_empty() && t != "UNKNOWN" && t != "NOASSERTION");
    lines.take(32).collect()
}

/// The headers of an RFC 822 like text up to the first empty line; continuation lines are passed over.
pub(super) fn headers(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .take_while(|l| !l.trim().is_empty())
        .filter(|l| !l.starts_with([' ', '\t']))
        .filter_map(|l| l.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
}

/// The last component of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The first quoted string in a line of source text.
pub(super) fn quoted(text: &str) -> Option<&str> {
    let start = text.find(['"', '\''])?;
    let quote = text.as_bytes()[start] as char;
    let rest = &text[start + 1..];
    rest.split_once(quote).map(|(inner, _)| inner)
}
