//! Defaults of `CustomResourceDefinitions`. Defaults of custom objects come from their schema, in [`crate::crd`].

use serde_json::Value;

use crate::catalogue::CreateFacts;
use crate::crd;

pub(crate) fn apply(definition: &mut Value) {
    crd::default_definition(definition);
}

/// A new definition has no names yet; the server gives them when it knows which are taken.
pub(crate) fn prepare_create(definition: &mut Value, _facts: &CreateFacts) {
    crd::prepare(definition);
}
