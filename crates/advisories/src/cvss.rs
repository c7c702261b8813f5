//! The base score of CVSS vectors: v3 after the specification (FIRST, CVSS v3.1, section 7.1), v4 through the `cvss` crate.
//!
//! Does not score v2 vectors: those leave the severity unknown.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Severity;

/// Longest vector that is looked at; v4 with every metric has fewer.
const MAX_VECTOR: usize = 400;

/// A score from 0.0 to 10.0, kept in tenths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseScore(u8);

impl BaseScore {
    /// From tenths; `None` above 100.
    pub fn from_tenths(tenths: u8) -> Option<Self> {
        (tenths <= 100).then_some(Self(tenths))
    }

    /// In tenths.
    pub fn tenths(self) -> u8 {
        self.0
    }

    /// CVSS v3.1, section 5, and v4.0, section 6: the qualitative scale. A score of 0.0 says nothing.
    pub fn severity(self) -> Severity {
        match self.0 {
            90.. => Severity::Critical,
            70..=89 => Severity::High,
            40..=69 => Severity::Medium,
            1..=39 => Severity::Low,
            0 => Severity::Unknown,
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is clamped first")]
    fn from_float(score: f64) -> Self {
        Self((score.clamp(0.0, 10.0) * 10.0).round() as u8)
    }
}

impl std::fmt::Display for BaseScore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

impl Serialize for BaseScore {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64(f64::from(self.0) / 10.0)
    }
}

impl<'de> Deserialize<'de> for BaseScore {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let score = f64::deserialize(input)?;
        if (0.0..=10.0).contains(&score) {
            Ok(Self::from_float(score))
        } else {
            Err(serde::de::Error::custom("a CVSS score lies between 0 and 10"))
        }
    }
}

/// The base score of a v3 or v4 vector; `None` for anything else.
pub(crate) fn score(vector: &str) -> Option<BaseScore> {
    if vector.len() > MAX_VECTOR {
        return None;
    }
    if vector.starts_with("CVSS:4.0/") {
        let parsed: cvss::v4::Vector = vector.parse().ok()?;
        return Some(BaseScore::from_float(parsed.score().value()));
    }
    score_v3(vector).map(BaseScore::from_float)
}

fn score_v3(vector: &str) -> Option<f64> {
    let metrics = vector.strip_prefix("CVSS:3.0/").or_else(|| vector.strip_prefix("CVSS:3.1/"))?;
    let metric = |name: &str| metrics.split('/').find_map(|m| m.strip_prefix(name)?.strip_prefix(':'));
    let changed = match metric("S")? {
        "C" => true,
        "U" => false,
        _ => return None,
    };
    let attack = pick(metric("AV")?, &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?;
    let complexity = pick(metric("AC")?, &[("L", 0.77), ("H", 0.44)])?;
    let low = if changed { 0.68 } else { 0.62 };
    let high = if changed { 0.5 } else { 0.27 };
    let privileges = pick(metric("PR")?, &[("N", 0.85), ("L", low), ("H", high)])?;
    let interaction = pick(metric("UI")?, &[("N", 0.85), ("R", 0.62)])?;
    let loss = |name| pick(metric(name)?, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
    let sub = 1.0 - (1.0 - loss("C")?) * (1.0 - loss("I")?) * (1.0 - loss("A")?);
    let impact = if changed { 7.52 * (sub - 0.029) - 3.25 * (sub - 0.02).powi(15) } else { 6.42 * sub };
    if impact <= 0.0 {
        return Some(0.0);
    }
    let exploitability = 8.22 * attack * complexity * privileges * interaction;
    let sum = impact + exploitability;
    Some(round_up(if changed { (1.08 * sum).min(10.0) } else { sum.min(10.0) }))
}

fn pick(value: &str, table: &[(&str, f64)]) -> Option<f64> {
    table.iter().find(|(name, _)| *name == value).map(|(_, weight)| *weight)
}

/// Appendix A: the smallest tenth that is not below the value, free of binary noise.
fn round_up(value: f64) -> f64 {
    let scaled = (value * 100_000.0).round();
    if scaled % 10_000.0 == 0.0 { scaled / 100_000.0 } else { ((scaled / 10_000.0).floor() + 1.0) / 10.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_the_specification_examples() {
        let rows = [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "9.8"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", "6.1"),
            ("CVSS:3.0/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", "7.8"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", "0.0"),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "9.3"),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", "10.0"),
            ("CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "7.3"),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", "0.0"),
        ];
        for (vector, want) in rows {
            assert_eq!(score(vector).unwrap().to_string(), want, "{vector}");
        }
        let none = ["CVSS:3.1/AV:N", "AV:N/AC:L/Au:N/C:P/I:P/A:P", "CVSS:4.0/", "CVSS:4.0/AV:N", ""];
        for vector in none {
            assert_eq!(score(vector), None, "{vector}");
        }
    }

    #[test]
    fn our_v3_scores_are_those_of_the_cvss_crate() {
        let mut checked = 0;
        for bits in 0..4u32 * 2 * 3 * 2 * 2 * 27 {
            let mut rest = bits;
            let mut take = |letters: &'static [&'static str]| {
                let count = u32::try_from(letters.len()).unwrap();
                let letter = letters[(rest % count) as usize];
                rest /= count;
                letter
            };
            let (av, ac, pr) = (take(&["N", "A", "L", "P"]), take(&["L", "H"]), take(&["N", "L", "H"]));
            let (ui, s) = (take(&["N", "R"]), take(&["U", "C"]));
            let (c, i, a) = (take(&["N", "L", "H"]), take(&["N", "L", "H"]), take(&["N", "L", "H"]));
            let vector = format!("CVSS:3.1/AV:{av}/AC:{ac}/PR:{pr}/UI:{ui}/S:{s}/C:{c}/I:{i}/A:{a}");
            let oracle: cvss::v3::Vector = vector.parse().unwrap();
            let want = BaseScore::from_float(oracle.score().value());
            assert_eq!(score(&vector), Some(want), "{vector}");
            checked += 1;
        }
        assert_eq!(checked, 2592);
    }
}
