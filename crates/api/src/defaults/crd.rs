//! Defaults of `CustomResourceDefinitions`. Defaults of custom objects come from their schema, in [`crate::crd`].

use serde_json::Value;

use crate::catalogue::CreateFacts;
use crate::crd;

pub(crate) fn apply(definition: &mut Value) {
    crd::default_definition(definition);
}

/// Serves the kinds at once: nobody else could object to their names.
pub(crate) fn prepare_create(definition: &mut Value, facts: &CreateFacts) {
    crd::establish(definition, facts.now);
}
