//! What makes one vulnerability more urgent than another of the same severity: CISA KEV and FIRST EPSS.
//!
//! Rows in the database have a fixed size and are sorted by CVE number, so that a lookup is a binary search in the mapped file.

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a row.
pub(crate) const ROW: usize = 28;
const EPOCH: Date = Date::constant(1970, 1, 1);
const NO_DATE: u32 = u32::MAX;
const NO_SCORE: u32 = u32::MAX;

/// A CVE id as a number that sorts by year, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CveKey(u64);

impl CveKey {
    /// `CVE-2026-12345`.
    pub fn parse(id: &str) -> Option<Self> {
        let (prefix, rest) = id.split_at_checked(4)?;
        let (year, number) = rest.split_once('-')?;
        let digits = |text: &str, most| {
            !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit())
        };
        if !prefix.eq_ignore_ascii_case("CVE-") || !digits(year, 4) || !digits(number, 9) {
            return None;
        }
        let (year, number): (u64, u64) = (year.parse().ok()?, number.parse().ok()?);
        Some(Self(year << 32 | number))
    }
}

impl std::fmt::Display for CveKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CVE-{}-{:04}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// A number from 0 to 1, kept in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u32);

impl Probability {
    /// From a decimal text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_float(text.parse().ok()?)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
    fn from_float(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then(|| Self((value * 1e6).round() as u32))
    }

    /// In millionths.
    pub fn millionths(self) -> u32 {
        self.0
    }
}

impl Serialize for Probability {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64(f64::from(self.0) / 1e6)
    }
}

impl<'de> Deserialize<'de> for Probability {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(input)?;
        Self::from_float(value).ok_or_else(|| serde::de::Error::custom("a probability lies between 0 and 1"))
    }
}

/// An entry of CISA's catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownExploited {
    /// When it was added.
    pub added: Date,
    /// Until when federal agencies must act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// Whether ransomware uses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ransomware: bool,
}

/// How likely it is exploited in the next 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Epss {
    /// The likelihood.
    pub score: Probability,
    /// The share of all vulnerabilities that score the same or lower.
    pub percentile: Probability,
}

/// Both, for one vulnerability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Priority {
    /// Set when it is known to be exploited.
    pub exploited: Option<KnownExploited>,
    /// Set when it has a score.
    pub epss: Option<Epss>,
}

impl Priority {
    /// Of two names of one vulnerability the more urgent counts.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let epss = match (self.epss, other.epss) {
            (Some(a), Some(b)) => Some(if b.score > a.score { b } else { a }),
            (a, b) => a.or(b),
        };
        Self { exploited: self.exploited.or(other.exploited), epss }
    }
}

fn days(date: Date) -> u32 {
    let days = (date - EPOCH).get_days();
    u32::try_from(days).unwrap_or(0)
}

fn date(days: u32) -> Option<Date> {
    if days == NO_DATE {
        return None;
    }
    EPOCH.checked_add(i64::from(days).days()).ok()
}

pub(crate) fn put_row(out: &mut Vec<u8>, key: CveKey, priority: &Priority) {
    out.extend_from_slice(&key.0.to_le_bytes());
    let epss = priority.epss.map_or((NO_SCORE, 0), |e| (e.score.0, e.percentile.0));
    let known = priority.exploited;
    let fields = [
        epss.0,
        epss.1,
        known.map_or(NO_DATE, |k| days(k.added)),
        known.and_then(|k| k.due).map_or(NO_DATE, days),
        u32::from(known.is_some_and(|k| k.ransomware)),
    ];
    for field in fields {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

pub(crate) fn read_row(row: &[u8]) -> Option<(CveKey, Priority)> {
    let key = CveKey(u64::from_le_bytes(row.get(..8)?.try_into().ok()?));
    let field = |at: usize| Some(u32::from_le_bytes(row.get(at..at + 4)?.try_into().ok()?));
    let epss = match field(8)? {
        NO_SCORE => None,
        score => Some(Epss { score: Probability(score), percentile: Probability(field(12)?) }),
    };
    let (due, ransomware) = (date(field(20)?), field(24)? != 0);
    let exploited = date(field(16)?).map(|added| KnownExploited { added, due, ransomware });
    Some((key, Priority { exploited, epss }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_round_trip_and_keys_sort() {
        let key = CveKey::parse("cve-2026-0012").unwrap();
        assert_eq!(key.to_string(), "CVE-2026-0012");
        assert!(key < CveKey::parse("CVE-2026-10000").unwrap());
        for bad in ["CVE-2026", "GHSA-1-2", "CVE-26x-1", "CVE-2026-", "CVE-2026-1234567890", "ÇVE-2026-1"] {
            assert_eq!(CveKey::parse(bad), None, "{bad}");
        }
        let known = KnownExploited { added: Date::constant(2026, 1, 2), due: None, ransomware: true };
        let score = |text| Probability::parse(text).unwrap();
        let epss = Epss { score: score("0.94321"), percentile: score("1") };
        for priority in [
            Priority { exploited: Some(known), epss: None },
            Priority { exploited: None, epss: Some(epss) },
            Priority {
                exploited: Some(KnownExploited { due: Some(known.added), ..known }),
                epss: Some(epss),
            },
        ] {
            let mut row = Vec::new();
            put_row(&mut row, key, &priority);
            assert_eq!((row.len(), read_row(&row)), (ROW, Some((key, priority))));
        }
        assert_eq!(Probability::parse("1.1"), None);
        assert_eq!(Probability::parse("NaN"), None);
    }
}
