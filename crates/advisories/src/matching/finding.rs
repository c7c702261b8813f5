//! One vulnerability in one package.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::priority::{Epss, KnownExploited};
use crate::{BaseScore, Severity, State};

/// One vulnerability that applies to one package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Advisory id as published: of several about the same vulnerability the one of the package's own vendor.
    pub advisory: String,
    /// The same vulnerability under other ids, and ids the notice covers.
    pub aliases: Vec<String>,
    /// Installed package.
    pub package: String,
    /// Ecosystem with release.
    pub ecosystem: String,
    /// Installed version.
    pub installed: String,
    /// Smallest version above the installed one that has every fix, in terms of the source package where the ecosystem names
    /// that; `None` when there is none yet.
    pub fixed: Option<String>,
    /// What the source says.
    pub state: FindingState,
    /// How bad it is: the vendor's word, else from the score.
    pub severity: Severity,
    /// CVSS base score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<BaseScore>,
    /// CVSS vector; empty when there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub vector: String,
    /// Set when it is known to be exploited (CISA KEV).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_exploited: Option<KnownExploited>,
    /// How likely it is exploited soon (EPSS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epss: Option<Epss>,
    /// Layer that brought the package in.
    pub layer: usize,
    /// The file that proves the package.
    #[serde(default)]
    pub evidence: String,
    /// One line for people.
    pub summary: String,
}

impl Finding {
    /// Every id of it, its own first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.advisory).chain(&self.aliases).map(String::as_str)
    }

    /// Whether somebody who asks for an id means this finding.
    pub fn is_named(&self, id: &str) -> bool {
        self.ids().any(|own| own.eq_ignore_ascii_case(id))
    }

    /// Worst first: exploited ones of a severity before the others, then by likelihood, package and id.
    pub fn order(a: &Self, b: &Self) -> Ordering {
        let exploited = |f: &Self| f.known_exploited.is_some();
        let likely = |f: &Self| f.epss.map(|epss| epss.score);
        b.severity
            .cmp(&a.severity)
            .then_with(|| exploited(b).cmp(&exploited(a)))
            .then_with(|| likely(b).cmp(&likely(a)))
            .then_with(|| {
                (&a.package, &a.advisory, &a.installed).cmp(&(&b.package, &b.advisory, &b.installed))
            })
            .then_with(|| (a.layer, &a.evidence).cmp(&(b.layer, &b.evidence)))
    }
}

/// State of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// The installed version is affected.
    Affected,
    /// Affected, and the publisher decided against a fix.
    WillNotFix,
    /// Affected, and the fix waits for a better moment.
    Deferred,
    /// Affected, and the release gets no fixes any more.
    EndOfLife,
    /// The publisher does not know yet.
    UnderInvestigation,
    /// The installed version cannot be placed in the order of the advisory: look by hand.
    Unknown,
    /// Somebody who knows (VEX) says that the product has the fix. Never the result of matching alone.
    Fixed,
    /// Somebody who knows says that the product is not affected. Never the result of matching alone.
    NotAffected,
}

impl FindingState {
    /// The word as printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Affected => "affected",
            Self::WillNotFix => "will-not-fix",
            Self::Deferred => "deferred",
            Self::EndOfLife => "end-of-life",
            Self::UnderInvestigation => "under-investigation",
            Self::Unknown => "unknown",
            Self::Fixed => "fixed",
            Self::NotAffected => "not-affected",
        }
    }
}

impl From<State> for FindingState {
    fn from(state: State) -> Self {
        match state {
            State::Affected => Self::Affected,
            State::WillNotFix => Self::WillNotFix,
            State::Deferred => Self::Deferred,
            State::EndOfLife => Self::EndOfLife,
            State::UnderInvestigation => Self::UnderInvestigation,
            State::NotAffected => Self::NotAffected,
        }
    }
}
