//! How a run ends: the exit codes, and errors that carry a hint.
//!
//! Invariant: every error a person sees goes through [`Failure`], so that it names the thing and says what to do next.

use std::fmt::Display;

/// Exit codes of the program; documented in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done and clean.
    Done = 0,
    /// Findings at or above the threshold, or a gate refused.
    Findings = 1,
    /// Wrong usage or input.
    Usage = 2,
    /// It failed.
    Failed = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        // The discriminants are the documented codes.
        Self::from(exit as u8)
    }
}

/// An error for a person: what, why, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The chain of causes, outermost first.
    pub(crate) error: anyhow::Error,
    /// What to do; printed as `hint: …`.
    pub(crate) hint: Option<String>,
    /// The exit code.
    pub(crate) exit: Exit,
}

impl Failure {
    /// The user's input or environment is at fault.
    pub(crate) fn usage(message: impl Display, hint: impl Into<String>) -> Self {
        Self { error: anyhow::anyhow!("{message}"), hint: Some(hint.into()), exit: Exit::Usage }
    }

    /// Something broke.
    pub(crate) fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hint: None, exit: Exit::Failed }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error as a matter of input.
    pub(crate) fn into_usage(mut self) -> Self {
        self.exit = Exit::Usage;
        self
    }

    /// The chain as one line, each cause once.
    pub(crate) fn message(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for cause in self.error.chain() {
            let text = cause.to_string();
            // Some libraries repeat their source in their own text.
            if !parts.iter().any(|known| known.contains(&text)) {
                parts.push(text);
            }
        }
        parts.join(": ")
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::failed(error)
    }
}

/// What every verb returns.
pub(crate) type Outcome = Result<Exit, Failure>;
