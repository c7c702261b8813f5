//! Whether a version lies in a range (OSV schema, "Evaluation").
//!
//! Invariant: the walk needs the events in version order; it notices when they are not and says [`Placed::Unknown`], as
//! it does for versions that have no place in the order. It allocates nothing.

use std::cmp::Ordering;

use crate::ecosystem::{self, Order};
use crate::model::Edge;

/// Where a version lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed<'a> {
    /// In the range; the smallest fixed version above it, when there is one.
    Inside {
        /// That version.
        fixed: Option<&'a str>,
    },
    /// Not in the range.
    Outside,
    /// It cannot be said.
    Unknown,
}

/// Walks sorted events and remembers whether the version is inside.
pub(crate) fn locate<'a>(
    order: Order,
    version: &str,
    events: impl Iterator<Item = (Edge, &'a str)> + Clone,
) -> Placed<'a> {
    let (mut inside, mut fixed, mut limits, mut below_limit) = (false, None, false, false);
    // Once an event lies above the version, all later ones must: else the events were not sorted.
    let mut above = false;
    for (edge, at) in events {
        let place = if edge == Edge::Introduced && at == "0" {
            Ordering::Greater
        } else if at == "*" && edge == Edge::Limit {
            Ordering::Less
        } else {
            match ecosystem::compare(order, version, at) {
                Some(place) => place,
                None => return Placed::Unknown,
            }
        };
        if place == Ordering::Less {
            above = true;
        } else if above {
            return Placed::Unknown;
        }
        match edge {
            Edge::Introduced if place != Ordering::Less => inside = true,
            Edge::Fixed if place != Ordering::Less => inside = false,
            Edge::Fixed if fixed.is_none() => fixed = Some(at),
            Edge::LastAffected if place == Ordering::Greater => inside = false,
            Edge::Limit => {
                limits = true;
                below_limit |= place == Ordering::Less;
            }
            _ => {}
        }
    }
    if inside && (!limits || below_limit) { Placed::Inside { fixed } } else { Placed::Outside }
}

/// The smallest fixed version above this one, for versions that are listed rather than in a range.
pub(crate) fn next_fixed<'a>(
    order: Order,
    version: &str,
    events: impl Iterator<Item = (Edge, &'a str)>,
) -> Option<&'a str> {
    let fixes = events.filter(|(edge, at)| {
        *edge == Edge::Fixed && ecosystem::compare(order, at, version) == Some(Ordering::Greater)
    });
    fixes.map(|(_, at)| at).min_by(|a, b| ecosystem::compare(order, a, b).unwrap_or(Ordering::Equal))
}
