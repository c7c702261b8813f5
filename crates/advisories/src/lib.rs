//! What is wrong with a package: advisories of several publishers, a compact database of them, and the findings of an image.
//!
//! Does no I/O: callers hand over bytes. Which packages an image has is the business of `konzert-packages`.
//!
//! Invariants: withdrawn advisories never match; an advisory without a fixed version matches as unfixed; an ecosystem
//! no advisory speaks of is not covered, and silence about it is not safety; sizes and counts are bounded.
#![forbid(unsafe_code)]

mod codec;
mod cvss;
mod database;
mod delta;
pub mod ecosystem;
pub mod fuzz;
pub mod ignore;
mod matching;
mod model;
pub mod openvex;
mod priority;
mod range;
mod severity;
pub mod sources;

pub use cvss::BaseScore;
pub use database::{Added, Builder, Coverage, Database, DatabaseError, Source, SourceKind, Trust, verify};
pub use delta::{Delta, Inverted};
pub use matching::{
    Finding, FindingState, KernelPackages, MatchOptions, Matched, MissingEpoch, OwnPackages, find,
    find_package, find_packages, findings, lookups,
};
pub use model::{Advisory, Affected, Bound, Range, State};
pub use priority::{Epss, KnownExploited, Priority, Probability};
pub use severity::Severity;
pub use sources::{AdvisoryError, parse_osv};

#[cfg(test)]
mod tests;
