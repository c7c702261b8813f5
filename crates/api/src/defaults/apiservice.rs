//! What the server sets of `APIServices`: a local one is available at once.

use serde_json::{Value, json};

use crate::catalogue::CreateFacts;
use crate::meta;

pub(crate) fn prepare_create(service: &mut Value, facts: &CreateFacts) {
    let Some(map) = service.as_object_mut() else { return };
    let condition = json!({
        "type": "Available",
        "status": "True",
        "lastTransitionTime": meta::format_time(facts.now),
        "reason": "Local",
        "message": "Local APIServices are always available",
    });
    map.insert("status".to_owned(), json!({ "conditions": [condition] }));
}
