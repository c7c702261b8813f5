//! One pod on this node: an actor that owns its state, and the effects it starts.

pub(crate) mod actor;
pub(crate) mod context;
mod create;
mod effects;
mod image;
mod refresh;
mod report;
