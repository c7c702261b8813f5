//! Timestamps and durations of rules: parsing, printing, arithmetic and calendar fields.
//!
//! Durations are nanoseconds in an `i64`, as in the language; what does not fit is an error.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

const UNITS: &[(&str, i64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// Words of the looser syntax of schemas, with what they may be followed by.
const LOOSE_UNITS: &[(&[&str], i64)] = &[
    (&["ns", "nano"], 1),
    (&["us", "µs", "micro"], 1_000),
    (&["ms", "milli"], 1_000_000),
    (&["s", "sec"], 1_000_000_000),
    (&["m", "min"], 60_000_000_000),
    (&["h", "hr", "hour"], 3_600_000_000_000),
    (&["d", "day"], 86_400_000_000_000),
    (&["w", "wk", "week"], 604_800_000_000_000),
];

/// RFC 3339 with an offset.
pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20 && bytes[4] == b'-' && bytes[10].eq_ignore_ascii_case(&b'T');
    if shaped { text.parse().ok() } else { None }
}

/// A date as the first instant of its day.
pub(super) fn parse_date(text: &str) -> Option<Timestamp> {
    let date: jiff::civil::Date = if text.len() == 10 { text.parse().ok()? } else { return None };
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// `1h30m`, `-1.5s`, `0`.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || whole.len() > 19 {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total += whole * i128::from(*scale);
        // Digits beyond 18 are far below a nanosecond.
        let fraction = fraction.get(..fraction.len().min(18))?;
        if !fraction.is_empty() {
            let digits: i128 = fraction.parse().ok()?;
            let places = u32::try_from(fraction.len()).ok()?;
            total += digits * i128::from(*scale) / 10_i128.pow(places);
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Durations as schemas take them: also `2 days` and `1 week`.
pub(super) fn parse_loose_duration(text: &str) -> Option<i64> {
    if let Some(strict) = parse_duration(text) {
        return Some(strict);
    }
    let (mut total, mut found) = (0_i64, false);
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = &rest[start..];
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let after = digits[end..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(after.len());
        let (unit, tail) = after.split_at(letters);
        rest = tail;
        let unit = unit.to_lowercase();
        let scale = LOOSE_UNITS.iter().find(|(names, _)| {
            let long = names.last().is_some_and(|long| unit.starts_with(long));
            long || names.contains(&unit.as_str())
        });
        if let Some((_, scale)) = scale.filter(|_| !unit.is_empty()) {
            let factor: i64 = digits[..end].parse().ok()?;
            total = total.checked_add(factor.checked_mul(*scale)?)?;
            found = true;
        }
    }
    found.then_some(total)
}

/// Seconds with as many places as needed: `1.5s`.
#[allow(clippy::cast_precision_loss, reason = "the language prints the nearest double, too")]
pub(super) fn print_duration(nanos: i64) -> String {
    format!("{}s", nanos as f64 / 1e9)
}

/// RFC 3339 in UTC.
pub(super) fn print_timestamp(time: Timestamp) -> String {
    time.to_string()
}

/// `time + nanos`.
pub(super) fn add(time: Timestamp, nanos: i64) -> Option<Timestamp> {
    time.checked_add(SignedDuration::from_nanos(nanos)).ok()
}

/// `a - b` in nanoseconds.
pub(super) fn difference(a: Timestamp, b: Timestamp) -> Option<i64> {
    i64::try_from(a.as_nanosecond() - b.as_nanosecond()).ok()
}

/// `getFullYear` and so on, in a time zone by name or offset.
pub(super) fn calendar(function: &str, time: Timestamp, zone: Option<&str>) -> Result<i64, String> {
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => offset(name)
            .map(TimeZone::fixed)
            .or_else(|| TimeZone::get(name).ok())
            .ok_or_else(|| format!("unknown time zone {name}"))?,
    };
    let local: Zoned = time.to_zoned(zone);
    Ok(match function {
        "getFullYear" => i64::from(local.year()),
        "getMonth" => i64::from(local.month()) - 1,
        "getDate" => i64::from(local.day()),
        "getDayOfMonth" => i64::from(local.day()) - 1,
        "getDayOfWeek" => i64::from(local.weekday().to_sunday_zero_offset()),
        "getDayOfYear" => i64::from(local.day_of_year()) - 1,
        "getHours" => i64::from(local.hour()),
        "getMinutes" => i64::from(local.minute()),
        "getSeconds" => i64::from(local.second()),
        _ => i64::from(local.millisecond()),
    })
}

/// `+02:00` and `-08:00`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => (1, text),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let seconds =
        hours.parse::<i32>().ok()?.checked_mul(3600)? + minutes.parse::<i32>().ok()?.checked_mul(60)?;
    Offset::from_seconds(sign * seconds).ok()
}

/// `getHours` and so on of a duration: the whole of it in that unit, but the millisecond of its second.
pub(super) fn span(function: &str, nanos: i64) -> i64 {
    match function {
        "getHours" => nanos / 3_600_000_000_000,
        "getMinutes" => nanos / 60_000_000_000,
        "getSeconds" => nanos / 1_000_000_000,
        _ => nanos / 1_000_000 % 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("1h30m", Some(5_400_000_000_000)),
            ("-1.5s", Some(-1_500_000_000)),
            ("0", Some(0)),
            ("100ms", Some(100_000_000)),
            (".5m", Some(30_000_000_000)),
            ("1", None),
            ("", None),
            ("1x", None),
            ("99999999999h", None),
        ] {
            assert_eq!(parse_duration(text), nanos, "{text}");
        }
        assert_eq!(parse_loose_duration("2 days"), Some(172_800_000_000_000));
        assert_eq!(parse_loose_duration("soon"), None);
        assert_eq!(print_duration(1_500_000_000), "1.5s");
    }

    #[test]
    fn calendars() {
        let time = parse_timestamp("2026-03-01T23:30:00Z").unwrap();
        assert_eq!(calendar("getMonth", time, None), Ok(2));
        assert_eq!(calendar("getDate", time, Some("+01:00")), Ok(2));
        assert_eq!(calendar("getDayOfWeek", time, None), Ok(0));
        assert!(calendar("getDate", time, Some("Nowhere/Town")).is_err());
        assert!(parse_timestamp("2026-03-01").is_none());
        assert!(parse_date("2026-03-01").is_some());
    }
}
