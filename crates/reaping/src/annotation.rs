//! The annotations people put on what they will not need for long; the first two are those of kube-janitor.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Time to live from creation: `30m`, `2h`, `7d`, `1w`, or `forever`.
pub const TTL: &str = "janitor/ttl";
/// Absolute end: `2026-01-31`, `2026-01-31T12:00`, `2026-01-31T12:00:00Z`; UTC unless it says otherwise.
pub const EXPIRES: &str = "janitor/expires";
/// Never destroy this object; any value but `false`.
pub const KEEP: &str = "konzert.dev/keep";

/// A century: longer is a mistake, and would overflow a timestamp.
const MAX_SECONDS: i64 = 100 * 366 * 86_400;

/// `None` for `forever`.
pub(crate) fn time_to_live(text: &str) -> Result<Option<SignedDuration>, String> {
    let text = text.trim();
    if text == "forever" {
        return Ok(None);
    }
    let wrong = || format!("{TTL}: {text:?} is no time such as 30m, 2h, 7d, 1w or forever");
    let unit_at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let total = number.parse::<i64>().ok().and_then(|n| n.checked_mul(seconds)).filter(|s| *s <= MAX_SECONDS);
    total.map(|s| Some(SignedDuration::from_secs(s))).ok_or_else(wrong)
}

/// The instant an object expires.
pub(crate) fn expiry(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let civil = text.parse::<DateTime>().or_else(|_not_a_time| text.parse::<Date>().map(DateTime::from));
    civil.and_then(|at| at.to_zoned(TimeZone::UTC)).map(|at| at.timestamp()).map_err(|_neither| {
        format!("{EXPIRES}: {text:?} is no date such as 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}
