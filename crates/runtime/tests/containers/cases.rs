//! The cases, by what they look at.

mod basics;
mod confinement;
mod exec;
mod failures;
pub(crate) mod restart;

use std::future::Future;
use std::pin::Pin;

use crate::bed::Bed;

/// A test: gets a fresh bed, which is checked for leftovers afterwards.
pub(crate) type Case = fn(&mut Bed) -> Pin<Box<dyn Future<Output = ()> + '_>>;

/// Every case with its name.
pub(crate) fn all() -> Vec<(&'static str, Case)> {
    [basics::cases(), confinement::cases(), exec::cases(), failures::cases(), restart::cases()].concat()
}
