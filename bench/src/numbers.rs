//! Statistics small enough to check by eye.

use serde::Serialize;

/// Several measurements of the same thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The middle one; of an even number the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => 0.0,
            n if n % 2 == 1 => self.0[middle],
            _ => f64::midpoint(self.0[middle - 1], self.0[middle]),
        }
    }

    /// The smallest value that at least `percent` of a hundred are not above (nearest rank).
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

/// A count as a float; counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Three digits that matter, with thousands apart.
pub(crate) fn shown(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let whole = format!("{value:.0}");
    let digits = whole.len();
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (digits - index) % 3 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        let samples = |values: &[f64]| Samples::new(values.to_vec());
        for (values, median, p95) in
            [(&[][..], 0.0, 0.0), (&[3.0], 3.0, 3.0), (&[9.0, 1.0], 5.0, 9.0), (&[5.0, 1.0, 3.0], 3.0, 5.0)]
        {
            assert_eq!(
                (samples(values).median(), samples(values).percentile(95)),
                (median, p95),
                "{values:?}"
            );
        }
        let hundred = Samples::new((1..=100).map(float).collect());
        assert_eq!(shown(hundred.percentile(95)), "95.0");
        let twenty = Samples::new((1..=20).map(float).collect());
        assert_eq!(shown(twenty.percentile(95)), "19.0");
    }

    #[test]
    fn numbers_for_people() {
        for (value, text) in [
            (0.0, "0.00"),
            (1.234, "1.23"),
            (99.94, "99.9"),
            (618.0, "618"),
            (33_333.3, "33 333"),
            (1e6, "1 000 000"),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}
