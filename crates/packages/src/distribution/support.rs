//! Until when a release gets security fixes. The dates are data, in `support.tsv`, which names their source.
//!
//! Takes the clock as an argument. After the end, silence of an advisory source is not safety.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Distribution;

const TABLE: &str = include_str!("support.tsv");

/// Whether a release still gets security fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Support {
    /// Until the end of this day, for everybody.
    Supported {
        /// Last day.
        until: Date,
    },
    /// Only with long-term or paid support, until the end of this day.
    Extended {
        /// Last day.
        until: Date,
    },
    /// No more fixes.
    Ended {
        /// Last day with fixes for everybody.
        since: Date,
    },
    /// Rolling: what is newest is supported.
    Rolling,
    /// The table does not know the release.
    Unknown,
}

struct Row<'a> {
    id: &'a str,
    release: &'a str,
    end: Date,
    extended: Option<Date>,
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    TABLE.lines().filter(|l| !l.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        Some(Row {
            id: columns.next()?,
            release: columns.next()?,
            end: columns.next()?.parse().ok()?,
            extended: columns.next()?.parse().ok(),
        })
    })
}

/// Judges a release at a time.
pub(super) fn support(distribution: &Distribution, now: Timestamp) -> Support {
    if distribution.is_rolling() {
        return Support::Rolling;
    }
    let today = now.to_zoned(TimeZone::UTC).date();
    let release = distribution.release();
    let Some(row) = rows().find(|row| row.id == distribution.id && row.release == release) else {
        return Support::Unknown;
    };
    if today <= row.end {
        return Support::Supported { until: row.end };
    }
    match row.extended {
        Some(until) if today <= until => Support::Extended { until },
        _ => Support::Ended { since: row.end },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_read() {
        let lines = TABLE.lines().filter(|l| !l.starts_with('#')).count();
        assert_eq!(rows().count(), lines);
        assert!(rows().all(|row| row.extended.is_none_or(|e| e > row.end)));
    }

    #[test]
    fn the_clock_decides() {
        let bookworm = Distribution { id: "debian".into(), version: "12".into(), ..Distribution::default() };
        let rows = [
            ("2026-07-11T23:59:59Z", "supported"),
            ("2026-07-12T00:00:00Z", "extended"),
            ("2028-07-01T00:00:00Z", "ended"),
        ];
        for (now, want) in rows {
            let state = serde_json::to_value(support(&bookworm, now.parse().unwrap())).unwrap();
            assert_eq!(state["state"], want, "{now}");
        }
        let alpine =
            Distribution { id: "alpine".into(), version: "3.20.3".into(), ..Distribution::default() };
        let since = "2026-04-01".parse().unwrap();
        assert_eq!(support(&alpine, "2026-05-01T00:00:00Z".parse().unwrap()), Support::Ended { since });
    }
}
