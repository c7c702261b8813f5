//! `CertificateSigningRequests`: who asks is written down, and approving and signing need rights of their own.

use konzert_api::validation::csr::{request_der, status_update};
use konzert_api::{ApiError, FieldError, meta};
use serde_json::{Value, json};

use super::{Hooks, Reservation, Write};
use crate::auth::{Asked, Attributes, MASTERS, User, acting_user, decide};
use crate::pki::request::Request;
use crate::registry::{Mode, Registry};

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(super) fn before_create(_: &Hooks, write: &Write<'_>, csr: &mut Value) -> Result<Reservation, ApiError> {
    let text = csr.pointer("/spec/request").and_then(Value::as_str).unwrap_or_default();
    let request = request_der(text).map_err(str::to_owned).and_then(|der| Request::parse(&der));
    let request = request.map_err(|why| {
        let error = FieldError::invalid("spec.request", text, why);
        ApiError::invalid(&write.place.kind.group_kind(), write.name, vec![error])
    })?;
    let signer = csr.pointer("/spec/signerName").and_then(Value::as_str).unwrap_or_default();
    if signer == CLIENT_SIGNER && request.organizations.iter().any(|o| o == MASTERS) {
        let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
        return Err(refuse(write, &why));
    }
    if let (Some(user), Some(spec)) = (acting_user(), csr.get_mut("spec").and_then(Value::as_object_mut)) {
        let info = user.to_user_info();
        for key in ["username", "uid", "groups", "extra"] {
            if let Some(value) = info.get(key) {
                spec.insert(key.to_owned(), value.clone());
            }
        }
    }
    Ok(Reservation::default())
}

pub(super) fn before_update(
    _: &Hooks,
    write: &Write<'_>,
    old: &Value,
    csr: &mut Value,
    mode: Mode,
) -> Result<Reservation, ApiError> {
    let verb = match mode {
        Mode::Approval => "approve",
        Mode::Status => "sign",
        Mode::Whole | Mode::Part(_) | Mode::Internal => return Ok(Reservation::default()),
    };
    stamp_conditions(old, csr, &meta::format_time(write.now));
    let errors = status_update(old, csr, mode == Mode::Approval);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&write.place.kind.group_kind(), write.name, errors));
    }
    let signer = old.pointer("/spec/signerName").and_then(Value::as_str).unwrap_or_default();
    if old.get("status") != csr.get("status")
        && let Some(user) = acting_user()
        && !may(write.registry, &user, verb, signer)
    {
        let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
        return Err(refuse(write, &why));
    }
    Ok(Reservation::default())
}

fn refuse(write: &Write<'_>, why: &str) -> ApiError {
    ApiError::forbidden(&write.place.kind.group_resource(), write.name, why)
}

/// The right is for the signer's name, or for all names of its domain.
fn may(registry: &Registry, user: &User, verb: &str, signer: &str) -> bool {
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    [signer, &domain].into_iter().any(|name| {
        let asked = Attributes {
            verb,
            group: "certificates.k8s.io",
            resource: "signers",
            subresource: "",
            namespace: "",
            name,
        };
        decide(registry, user, &Asked::Resource(asked)).allowed
    })
}

/// Fills in the times of conditions that their writer left out.
fn stamp_conditions(old: &Value, csr: &mut Value, now: &str) {
    let before = old.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let conditions = csr.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        let same =
            |c: &&Value| c.get("type") == condition.get("type") && c.get("status") == condition.get("status");
        let known = before.iter().find(same).and_then(|c| c.get("lastTransitionTime")).cloned();
        // Times that nobody set are written as null.
        condition.retain(|_, value| !value.is_null());
        condition.entry("lastUpdateTime").or_insert_with(|| json!(now));
        condition.entry("lastTransitionTime").or_insert_with(|| known.unwrap_or_else(|| json!(now)));
    }
}
