//! Wave sizes: how many of the workloads are reached when a wave is done.

/// A cumulative size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveSize {
    /// So many workloads.
    Count(u32),
    /// A share of the workloads in percent, rounded up.
    Percent(u32),
}

/// Why wave sizes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaveError {
    /// Not a count or a percentage.
    #[error("wave {text:?} is neither a count such as 1 nor a share such as 10%")]
    Syntax {
        /// As given.
        text: String,
    },
    /// Larger than everything, or nothing.
    #[error("wave {text:?} is out of range: a count is at least 1, a share 1% to 100%")]
    Range {
        /// As given.
        text: String,
    },
    /// There is no wave at all.
    #[error("at least one wave is needed")]
    None,
}

impl WaveSize {
    /// Reads sizes as `--waves` takes them.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, WaveError> {
        if texts.is_empty() {
            return Err(WaveError::None);
        }
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    fn parse(text: &str) -> Result<Self, WaveError> {
        let trimmed = text.trim();
        let syntax = || WaveError::Syntax { text: text.to_owned() };
        let (digits, percent) = match trimmed.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (trimmed, false),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(syntax());
        }
        let number: u32 = digits.parse().map_err(|_too_large| WaveError::Range { text: text.to_owned() })?;
        match (number, percent) {
            (1..=100, true) => Ok(Self::Percent(number)),
            (1.., false) => Ok(Self::Count(number)),
            _ => Err(WaveError::Range { text: text.to_owned() }),
        }
    }

    fn reach(self, total: usize) -> usize {
        match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX).min(total),
            Self::Percent(percent) => {
                (total * usize::try_from(percent).unwrap_or(100)).div_ceil(100).min(total)
            }
        }
    }
}

/// How many workloads each wave takes: cumulative sizes become single ones, empty waves fall out, and what the last size leaves
/// is a wave of its own, because a campaign patches everything it planned.
pub(crate) fn split(sizes: &[WaveSize], total: usize) -> Vec<usize> {
    let mut waves = Vec::new();
    let mut done = 0;
    for size in sizes {
        let reach = size.reach(total);
        if reach > done {
            waves.push(reach - done);
            done = reach;
        }
    }
    if done < total {
        waves.push(total - done);
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(texts: &[&str]) -> Result<Vec<WaveSize>, WaveError> {
        WaveSize::parse_all(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn cumulative_sizes_become_waves() {
        let rows: [(&[&str], usize, &[usize]); 7] = [
            (&["1", "50%", "100%"], 5, &[1, 2, 2]),
            (&["1", "10%", "100%"], 3, &[1, 2]),
            (&["100%"], 4, &[4]),
            (&["10"], 4, &[4]),
            (&["1"], 4, &[1, 3]),
            (&["50%", "1", "100%"], 4, &[2, 2]),
            (&["1", "100%"], 0, &[]),
        ];
        for (texts, total, want) in rows {
            assert_eq!(split(&sizes(texts).unwrap(), total), want, "{texts:?} of {total}");
        }
    }

    #[test]
    fn wrong_sizes_are_named() {
        for text in ["", "x", "0", "0%", "101%", "-1", "1.5", "99999999999", "5 %"] {
            assert!(sizes(&[text]).is_err_and(|e| e.to_string().contains(text)), "{text}");
        }
        assert_eq!(sizes(&[]), Err(WaveError::None));
    }
}
