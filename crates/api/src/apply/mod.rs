//! Server-side apply: who owns which field, and what an applied configuration makes of an object.
//!
//! [`Tracker::update`] records the owners after a create, update or patch; [`Tracker::apply`] merges a configuration. Both
//! are pure: time and manager are arguments. Types come from the schema table for built-in kinds and from the definition
//! for custom ones ([`typing`]).
//!
//! What is not here: validation beyond types, defaults, and the `managedFields` migration of kubectl, which is an ordinary
//! patch.
//!
//! Invariants:
//! 1. Applying the same configuration twice changes nothing the second time.
//! 2. A field that only the applier owned and does not apply any more is removed; what others own stays.
//! 3. A field that another manager owns is changed by force only, and then the other manager does not own it any more.
//! 4. No write fails because its owners cannot be recorded, but for apply.

mod check;
mod collect;
mod compare;
mod conflict;
mod element;
mod items;
mod last_applied;
mod managers;
mod merge;
mod remove;
mod scale;
mod set;
#[cfg(test)]
mod tests;
mod tracker;
mod typing;

pub use element::{Number, PathElement, PathElementError, Scalar};
pub use managers::{
    MAX_MANAGER_BYTES, manager_of_user_agent, validate_managed_fields, validate_manager_name,
};
pub use scale::apply_scale;
pub use set::{FieldSet, FieldSetError, Path};
pub use tracker::{Force, Reset, Tracker, Writer, keep_times};
