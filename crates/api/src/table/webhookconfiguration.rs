//! `ValidatingWebhookConfigurations` and `MutatingWebhookConfigurations` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name};

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Webhooks", "integer", "How many webhooks are configured."), AGE];

pub(crate) fn cells(configuration: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(configuration), json!(items(configuration, "/webhooks").len()), age(configuration, now)]
}
