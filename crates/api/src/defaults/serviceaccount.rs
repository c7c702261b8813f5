//! What the server keeps of `ServiceAccounts`.

use serde_json::{Map, Value};

/// Secrets are named; whatever else is said of them is dropped.
pub(crate) fn only_names(account: &mut Value) {
    let secrets = account.get_mut("secrets").and_then(Value::as_array_mut);
    for secret in secrets.into_iter().flatten().filter_map(Value::as_object_mut) {
        let name = secret.remove("name");
        *secret = Map::from_iter(name.map(|name| ("name".to_owned(), name)));
    }
}
