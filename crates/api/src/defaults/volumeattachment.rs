//! What the server sets of `VolumeAttachments`.

use serde_json::{Value, json};

use crate::catalogue::CreateFacts;

pub(crate) fn prepare_create(attachment: &mut Value, _facts: &CreateFacts) {
    if let Some(map) = attachment.as_object_mut() {
        map.insert("status".to_owned(), json!({ "attached": false }));
    }
}
