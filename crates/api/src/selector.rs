//! Label and field selectors: parsing and matching.
//!
//! Grammar and meaning are those of Kubernetes (`a=b,c!=d,e in (f,g),h notin (i),j,!k`, `status.phase!=Running`). A
//! missing label satisfies `!=` and `notin`. Does not decide which fields a kind offers; that is in its catalogue row.

mod field;
mod label;

pub use field::FieldSelector;
pub use label::{LabelSelector, LabelSource, Operator, Requirement};

/// Longer selectors are refused before they are parsed.
const SELECTOR_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
