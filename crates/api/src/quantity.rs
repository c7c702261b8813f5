//! Resource quantities (`100m`, `1.5Gi`, `12e6`): exact decimals down to 10⁻⁹ with a remembered suffix family.
//!
//! Finer fractions are rounded away from zero and binary amounts beyond ±(2⁶³−1) are capped, as Kubernetes does; it has no
//! bound for the others, here it is 10²⁷.
//!
//! Invariant: printing gives the canonical form, and parsing that gives the same quantity again.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::str::FromStr;

use serde_json::Value;

const NANO: i128 = 1_000_000_000;
/// Largest amount with a binary suffix, in nano units.
const BINARY_CAP: i128 = (i64::MAX as i128) * NANO;
/// Largest amount, in nano units.
const CAP: i128 = 10_i128.pow(27) * NANO;
/// Longer texts are refused; the longest sensible one is far shorter.
const TEXT_BYTES_MAX: usize = 64;

const BINARY: &[(&str, u32)] = &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Which suffixes a quantity prints with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `12e6`.
    DecimalExponent,
    /// `Ki`, `Mi`, ...
    BinarySi,
    /// `m`, `k`, `M`, ...
    DecimalSi,
}

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with letters after it.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// The letters mean nothing.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// What is wrong with a suffix that means nothing.
fn wrong_suffix(suffix: &str) -> QuantityError {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    if rest.bytes().all(|b| b.is_ascii_digit()) { QuantityError::Suffix } else { QuantityError::Form }
}

/// An exact amount. Compares by amount only.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { nano: 0, format: Format::DecimalSi };

    /// A whole number, capped.
    pub fn from_integer(value: i64) -> Self {
        Self { nano: i128::from(value) * NANO, format: Format::DecimalSi }
    }

    /// Bytes, which print as `Ki`, `Mi`, ...
    pub fn from_bytes(value: i64) -> Self {
        Self { nano: i128::from(value) * NANO, format: Format::BinarySi }
    }

    /// Thousandths, `250` is `250m`.
    pub fn from_milli(value: i64) -> Self {
        Self { nano: i128::from(value) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// Parses `100m`, `1.5Gi`, `12e6`.
    ///
    /// # Errors
    /// When the text is not a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(QuantityError::Form);
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') {
            return Err(QuantityError::Form);
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(if suffix.is_empty() { QuantityError::Form } else { wrong_suffix(suffix) });
        }
        let (base2, exponent10, format) = parse_suffix(suffix).ok_or_else(|| wrong_suffix(suffix))?;
        let cap = if base2 > 0 { BINARY_CAP } else { CAP };
        let amount = scaled(whole, fraction, base2, exponent10).min(cap);
        Ok(Self { nano: if negative { -amount } else { amount }, format })
    }

    /// From a JSON string or number, as both are allowed in objects.
    pub fn from_json(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(QuantityError::Form),
        }
    }

    /// The amount rounded up to a whole number, capped.
    pub fn value(&self) -> i64 {
        self.rounded(NANO)
    }

    /// The amount in thousandths, rounded up and capped.
    pub fn milli_value(&self) -> i64 {
        self.rounded(NANO / 1000)
    }

    fn rounded(&self, unit: i128) -> i64 {
        let up = self.nano.div_euclid(unit) + i128::from(self.nano.rem_euclid(unit) != 0);
        i64::try_from(up).unwrap_or(if up > 0 { i64::MAX } else { i64::MIN })
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }

    /// Whether the amount is below zero.
    pub fn is_negative(&self) -> bool {
        self.nano < 0
    }

    /// Whether the amount has no fraction.
    pub fn is_integer(&self) -> bool {
        self.nano % NANO == 0
    }

    /// The suffix family.
    pub fn format(&self) -> Format {
        self.format
    }

    fn with_nano(self, nano: i128) -> Self {
        Self { nano: nano.clamp(-CAP, CAP), ..self }
    }
}

/// Power of two, power of ten and family of a suffix.
fn parse_suffix(suffix: &str) -> Option<(u32, i32, Format)> {
    if let Some((_, bits)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Some((*bits, 0, Format::BinarySi));
    }
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((0, *exponent, Format::DecimalSi));
    }
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // An exponent that does not fit is beyond the cap or below a nano in any case.
    let exponent = digits.parse::<i32>().unwrap_or(if digits.starts_with('-') { -1000 } else { 1000 });
    Some((0, exponent.clamp(-1000, 1000), Format::DecimalExponent))
}

/// `whole.fraction × 2^base2 × 10^exponent10` in nano units, rounded up, capped.
fn scaled(whole: &str, fraction: &str, base2: u32, exponent10: i32) -> i128 {
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
    // Position of the decimal point within `digits` once the amount is counted in nano units.
    let point = i64::try_from(whole.len()).unwrap_or(0) + i64::from(exponent10) + 9;
    if base2 > 0 {
        return scaled_binary(&digits, point, base2);
    }
    let (mut amount, mut lost) = (0i128, false);
    for (index, digit) in digits.iter().enumerate() {
        if i64::try_from(index).is_ok_and(|i| i < point) {
            amount = amount.saturating_mul(10).saturating_add(i128::from(*digit));
        } else {
            lost |= *digit != 0;
        }
    }
    let missing = point - i64::try_from(digits.len()).unwrap_or(0);
    for _ in 0..missing.clamp(0, 60) {
        amount = amount.saturating_mul(10);
    }
    amount.saturating_add(i128::from(lost)).min(CAP)
}

/// As `scaled` for binary suffixes: `digits` with the point at `point`, times two to the `base2`.
fn scaled_binary(digits: &[u8], point: i64, base2: u32) -> i128 {
    let (mut amount, mut lost) = (0i128, 0i128);
    let mut weight: i128 = 1;
    for (index, digit) in digits.iter().enumerate() {
        if i64::try_from(index).is_ok_and(|i| i < point) {
            amount = amount.saturating_mul(10).saturating_add(i128::from(*digit));
        } else if weight < NANO {
            weight *= 10;
            lost = lost * 10 + i128::from(*digit);
        }
    }
    let missing = point - i64::try_from(digits.len()).unwrap_or(0);
    for _ in 0..missing.clamp(0, 60) {
        amount = amount.saturating_mul(10);
    }
    let factor = 1i128 << base2;
    let below = (lost * factor).div_euclid(weight) + i128::from((lost * factor).rem_euclid(weight) != 0);
    amount.saturating_mul(factor).saturating_add(below).min(CAP)
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        // Small and fractional amounts print in decimal, so that no precision is lost.
        let whole = self.nano / NANO;
        let binary = self.format == Format::BinarySi && self.is_integer() && whole.abs() >= 1024;
        if binary {
            let mut steps = 0;
            let mut amount = whole;
            while amount % 1024 == 0 && steps < BINARY.len() {
                amount /= 1024;
                steps += 1;
            }
            let suffix = if steps == 0 { "" } else { BINARY[steps - 1].0 };
            return write!(f, "{amount}{suffix}");
        }
        let (mut amount, mut exponent) = (self.nano, -9);
        let most = if self.format == Format::DecimalExponent { 27 } else { 18 };
        while amount % 1000 == 0 && exponent < most {
            amount /= 1000;
            exponent += 3;
        }
        if self.format == Format::DecimalExponent {
            return if exponent == 0 { write!(f, "{amount}") } else { write!(f, "{amount}e{exponent}") };
        }
        let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| s);
        write!(f, "{amount}{suffix}")
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

/// The result prints in the family of the left side, or of the right one when the left is zero.
impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let base = if self.is_zero() { other } else { self };
        base.with_nano(self.nano + other.nano)
    }
}

/// The result prints in the family of the left side, or of the right one when the left is zero.
impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        self.with_nano(-self.nano)
    }
}

#[cfg(test)]
mod tests;
