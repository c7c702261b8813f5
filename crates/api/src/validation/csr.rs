//! Validation of `CertificateSigningRequests`. The wrapping of the request is checked here; whether it is a PKCS#10
//! request that its key signed is checked by the server, which has the means to read it.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::Value;

use super::{Path, integer, list, names, text};
use crate::status::FieldError;

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const SHORTEST_S: i64 = 600;
/// A domain, a slash, a namespace, a dot and a name.
const SIGNER_NAME_MAX: usize = 571;
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

pub(crate) fn validate(csr: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&csr["spec"], Path::new("spec"));
    let request = text(spec, "request");
    if let Err(why) = request_der(request) {
        errors.push(FieldError::invalid("spec.request", request, why));
    }
    usages(spec, &path, &mut errors);
    signer_name(text(spec, "signerName"), &mut errors);
    if let Some(seconds) = integer(spec, "expirationSeconds").filter(|s| *s < SHORTEST_S) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid("spec.expirationSeconds", seconds, detail));
    }
    conditions(csr, &mut errors);
    errors
}

/// The request in DER, out of the base64 of its PEM text.
pub fn request_der(request: &str) -> Result<Vec<u8>, &'static str> {
    const ENGINE: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;
    const WRONG_TYPE: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = ENGINE.decode(request).map_err(|_base64| WRONG_TYPE)?;
    let pem = std::str::from_utf8(&pem).map_err(|_utf8| WRONG_TYPE)?;
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE REQUEST-----").ok_or(WRONG_TYPE)?;
    let (body, _) = rest.split_once("-----END CERTIFICATE REQUEST-----").ok_or(WRONG_TYPE)?;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    ENGINE.decode(body).map_err(|_base64| WRONG_TYPE)
}

fn usages(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let path = path.child("usages");
    let found = list(spec, "usages");
    if found.is_empty() {
        errors.push(FieldError::required(path.to_string(), ""));
    }
    let mut seen = BTreeSet::new();
    for (index, usage) in found.iter().enumerate() {
        let (usage, path) = (usage.as_str().unwrap_or_default(), path.index(index).to_string());
        if !USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(path, usage, USAGES));
        } else if !seen.insert(usage) {
            errors.push(FieldError::duplicate(path, usage));
        }
    }
}

fn signer_name(name: &str, errors: &mut Vec<FieldError>) {
    const PATH: &str = "spec.signerName";
    let mut invalid = |value: &str, detail: String| errors.push(FieldError::invalid(PATH, value, detail));
    if name.is_empty() {
        errors.push(FieldError::required(PATH, ""));
        return;
    }
    if name == LEGACY_SIGNER {
        return invalid(name, format!("{LEGACY_SIGNER} is not allowed via this API version"));
    }
    let segments: Vec<&str> = name.split('/').collect();
    let [domain, path] = segments.as_slice() else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return invalid(name, detail.to_owned());
    };
    let labels: Vec<&str> = domain.split('.').collect();
    let wrong =
        labels.iter().find_map(|label| Some((label, names::dns1123_label(label).into_iter().next()?)));
    if let Some((label, why)) = wrong {
        invalid(domain, format!("validating label {label:?}: {why}"));
    }
    if labels.len() < 2 {
        invalid(domain, "should be a domain with at least two segments separated by dots".to_owned());
    }
    let wrong =
        path.split('.').find_map(|label| Some((label, names::dns1123_subdomain(label).into_iter().next()?)));
    if let Some((label, why)) = wrong {
        invalid(path, format!("validating label {label:?}: {why}"));
    }
    if name.len() > SIGNER_NAME_MAX {
        errors.push(FieldError::too_long(PATH, SIGNER_NAME_MAX));
    }
}

fn conditions(csr: &Value, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, condition) in list(&csr["status"], "conditions").iter().enumerate() {
        let path = Path::new("status.conditions").index(index);
        let (kind, status) = (text(condition, "type"), text(condition, "status"));
        let allowed: &[&str] = match kind {
            "Approved" | "Denied" | "Failed" => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        if kind.is_empty() {
            errors.push(FieldError::required(path.child("type").to_string(), ""));
        }
        if status.is_empty() {
            errors.push(FieldError::required(path.child("status").to_string(), ""));
        } else if !allowed.contains(&status) {
            errors.push(FieldError::not_supported(path.child("status").to_string(), status, allowed));
        }
        let opposite = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if seen.contains(opposite) {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(path.child("type").to_string(), kind, detail));
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(path.child("type").to_string(), kind));
        }
    }
}

/// What is wrong with a change of the status: decisions and certificates stay. Only a write of the approval decides.
pub fn status_update(old: &Value, new: &Value, approving: bool) -> Vec<FieldError> {
    const PATH: &str = "status.conditions";
    let mut errors = Vec::new();
    let has =
        |csr: &Value, kind: &str| list(&csr["status"], "conditions").iter().any(|c| text(c, "type") == kind);
    for kind in ["Approved", "Denied", "Failed"] {
        match (has(old, kind), has(new, kind)) {
            (true, false) => {
                let detail = format!("updates may not remove a condition of type {kind:?}");
                errors.push(FieldError::forbidden(PATH, detail));
            }
            (false, true) if !approving && kind != "Failed" => {
                let detail = format!("updates may not add a condition of type {kind:?}");
                errors.push(FieldError::forbidden(PATH, detail));
            }
            _ => {}
        }
    }
    let (before, after) = (text(&old["status"], "certificate"), text(&new["status"], "certificate"));
    if !before.is_empty() && before != after {
        let detail = "updates may not modify existing certificate content";
        errors.push(FieldError::forbidden("status.certificate", detail));
    }
    errors
}
