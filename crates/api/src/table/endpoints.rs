//! Endpoints in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, number, text};

const SHOWN: usize = 3;

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Endpoints", "string", "Addresses with their ports."), AGE];

pub(crate) fn cells(endpoints: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(endpoints), json!(addresses(endpoints)), age(endpoints, now)]
}

fn addresses(endpoints: &Value) -> String {
    let (mut shown, mut total) = (Vec::new(), 0);
    for subset in items(endpoints, "/subsets") {
        let ports: Vec<i64> = items(subset, "/ports").map(|port| number(port, "/port")).collect();
        for address in items(subset, "/addresses") {
            let ip = text(address, "/ip");
            if ports.is_empty() {
                shown.push(ip.to_owned());
            }
            total += ports.len().max(1);
            let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
            // Enough to fill the cell; the rest is only counted.
            shown.extend(ports.iter().take(SHOWN).map(|port| format!("{host}:{port}")));
            shown.truncate(SHOWN);
        }
    }
    match total {
        0 => "<none>".to_owned(),
        n if n > SHOWN => format!("{} + {} more...", shown.join(","), n - SHOWN),
        _ => shown.join(","),
    }
}
