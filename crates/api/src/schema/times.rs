//! What Go says to a text that is no RFC 3339 time.

const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Digits, what the layout calls them, the range, its name, and what follows.
type Part = (usize, &'static str, (u32, u32), &'static str, &'static str);

/// The parts of a date and time.
const PARTS: &[Part] = &[
    (4, "2006", (0, 9999), "year", "-"),
    (2, "01", (1, 12), "month", "-"),
    (2, "02", (1, 31), "day", "T"),
    (2, "15", (0, 23), "hour", ":"),
    (2, "04", (0, 59), "minute", ":"),
    (2, "05", (0, 59), "second", ""),
];

/// The message about a text that could not be read as a time, with or without microseconds.
pub(super) fn unreadable(text: &str, micro: bool) -> String {
    let layout = if micro { MICRO_LAYOUT } else { LAYOUT };
    format!("parsing time {text:?} as {layout:?}: {}", reason(text))
}

fn reason(text: &str) -> String {
    let cannot = |rest: &str, element: &str| format!("cannot parse {rest:?} as {element:?}");
    let mut rest = text;
    for (digits, element, (least, most), name, literal) in PARTS {
        let number = rest.get(..*digits).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
        let Some(number) = number.and_then(|part| part.parse::<u32>().ok()) else {
            return cannot(rest, element);
        };
        if number < *least || number > *most {
            return format!("{name} out of range");
        }
        rest = &rest[*digits..];
        match rest.strip_prefix(literal) {
            Some(after) => rest = after,
            None => return cannot(rest, literal),
        }
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let zone = rest.strip_prefix('Z').or_else(|| rest.get(6..).filter(|_| is_offset(&rest[..6])));
    match zone {
        None => cannot(rest, "Z07:00"),
        Some("") => "day out of range".to_owned(),
        Some(extra) => format!("extra text: {extra:?}"),
    }
}

/// `+07:00`
fn is_offset(text: &str) -> bool {
    let digits = |range| text.get(range).is_some_and(|part: &str| part.bytes().all(|b| b.is_ascii_digit()));
    text.starts_with(['+', '-']) && digits(1..3) && text.get(3..4) == Some(":") && digits(4..6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_go() {
        for (text, why) in [
            ("x", "cannot parse \"x\" as \"2006\""),
            ("2020-01-01", "cannot parse \"\" as \"T\""),
            ("2020-13-01T00:00:00Z", "month out of range"),
            ("2020-02-31T00:00:00Z", "day out of range"),
            ("2020-02-01T00:00:00", "cannot parse \"\" as \"Z07:00\""),
            ("2020-02-01T00:00:00Zx", "extra text: \"x\""),
            ("", "cannot parse \"\" as \"2006\""),
            ("é020-02-01T00:00:00é", "cannot parse \"é020-02-01T00:00:00é\" as \"2006\""),
            ("2020-02-01T00:00:00+é1:00", "cannot parse \"+é1:00\" as \"Z07:00\""),
        ] {
            assert_eq!(reason(text), why, "{text}");
        }
    }
}
