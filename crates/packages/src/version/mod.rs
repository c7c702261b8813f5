//! Version orders of package ecosystems.
//!
//! Invariant: each order is held against the public vectors where they are present, see `tests`.

mod apk;

use std::cmp::Ordering;

use crate::Format;

/// An order of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Debian policy 5.6.12.
    Dpkg,
    /// apk-tools.
    Apk,
}

impl From<Format> for Order {
    fn from(format: Format) -> Self {
        match format {
            Format::Dpkg => Self::Dpkg,
            Format::Apk => Self::Apk,
        }
    }
}

/// Compares two versions; `None` when one of them has no place in the order.
pub fn compare(order: Order, a: &str, b: &str) -> Option<Ordering> {
    match order {
        Order::Dpkg => (usable(a) && usable(b)).then(|| deb_version::compare_versions(a, b)),
        Order::Apk => (usable(a) && usable(b)).then(|| apk::compare(a, b)),
    }
}

fn usable(version: &str) -> bool {
    !version.is_empty() && version.is_ascii() && version.len() <= crate::limits::MAX_FIELD_BYTES
}
