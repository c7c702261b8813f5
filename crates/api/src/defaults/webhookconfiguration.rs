//! Defaults of `ValidatingWebhookConfigurations` and `MutatingWebhookConfigurations`.

use serde_json::{Map, Value, json};

use super::{object, objects, set};

const TIMEOUT_S: i64 = 10;
const HTTPS_PORT: i64 = 443;

pub(crate) fn validating(configuration: &mut Value) {
    let Some(map) = configuration.as_object_mut() else { return };
    objects(map, "webhooks").for_each(hook);
}

pub(crate) fn mutating(configuration: &mut Value) {
    let Some(map) = configuration.as_object_mut() else { return };
    for webhook in objects(map, "webhooks") {
        hook(webhook);
        set(webhook, "reinvocationPolicy", "Never");
    }
}

fn hook(webhook: &mut Map<String, Value>) {
    set(webhook, "failurePolicy", "Fail");
    set(webhook, "matchPolicy", "Equivalent");
    set(webhook, "namespaceSelector", json!({}));
    set(webhook, "objectSelector", json!({}));
    set(webhook, "timeoutSeconds", TIMEOUT_S);
    for rule in objects(webhook, "rules") {
        set(rule, "scope", "*");
    }
    if let Some(service) = object(webhook, "clientConfig").and_then(|config| object(config, "service")) {
        set(service, "port", HTTPS_PORT);
    }
}
