//! The objects: what every kind is called, how it is defaulted, validated, selected, printed and patched.
//!
//! Floor 0 of the house: pure functions on `serde_json::Value` objects. No I/O, no clock, no randomness; those are
//! arguments. Behaviour of workloads (what a Deployment does) is on floor 1.
//!
//! Invariants: one descriptor row per kind in [`catalogue`]; a custom kind answers the same questions as a built-in one,
//! through [`catalogue::Kind`]; errors are Kubernetes Status objects in Kubernetes' words.
#![forbid(unsafe_code)]

pub mod apply;
pub mod catalogue;
pub mod crd;
pub mod cron;
pub mod defaults;
pub mod meta;
pub mod openapi;
pub mod own;
pub mod patch;
pub mod printed;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
pub mod validation;

mod convert;
mod warnings;

pub use catalogue::{Catalogue, CreateFacts, Gvk, Gvr, Kind, Scope, StorageClass, Subresource};
pub use status::{ApiError, FieldError, FieldErrorKind, GroupKind, GroupResource};
