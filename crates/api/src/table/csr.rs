//! `CertificateSigningRequests` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, human_duration, items, name, number, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    AGE,
    Column::new("SignerName", "string", "Who is asked to sign."),
    Column::new("Requestor", "string", "The user that asks."),
    Column::new("RequestedDuration", "string", "How long the certificate shall be valid."),
    Column::new("Condition", "string", "What became of the request."),
];

pub(crate) fn cells(csr: &Value, now: Timestamp) -> Vec<Value> {
    let duration = match number(csr, "/spec/expirationSeconds") {
        0 => "<none>".to_owned(),
        seconds => human_duration(seconds),
    };
    let mut signer = text(csr, "/spec/signerName");
    if signer.is_empty() {
        signer = "<none>";
    }
    vec![
        name(csr),
        age(csr, now),
        json!(signer),
        json!(text(csr, "/spec/username")),
        json!(duration),
        json!(condition(csr)),
    ]
}

fn condition(csr: &Value) -> String {
    let has = |kind: &str| items(csr, "/status/conditions").any(|c| text(c, "/type") == kind);
    let mut shown = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        shown.push_str(",Failed");
    }
    if !text(csr, "/status/certificate").is_empty() {
        shown.push_str(",Issued");
    }
    shown
}
