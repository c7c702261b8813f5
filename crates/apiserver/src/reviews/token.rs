//! Tokens of service accounts: issued on request (`serviceaccounts/NAME/token`), and looked through (`TokenReview`).

use konzert_api::{ApiError, FieldError, GroupKind, GroupResource, Gvk, meta};
use serde_json::{Value, json};

use super::{Question, texts};
use crate::auth::token::{Bound, Private, Wanted, live};
use crate::decode::{RawBody, shape_part};
use crate::dispatch::App;
use crate::options::WriteOptions;
use crate::registry::{Place, now, settle_namespace};

const GROUP: &str = "authentication.k8s.io";
const DEFAULT_S: i64 = 3600;
const SHORTEST_S: i64 = 600;
/// Longer requests are cut to this, with a warning.
const LONGEST_S: i64 = 365 * 24 * 3600;
/// Beyond this a request is refused, as in Kubernetes.
const LONGEST_ASKED_S: i64 = 1 << 32;

/// `TokenReview`.
pub(super) fn review(question: &Question<'_>) -> Result<Value, ApiError> {
    let token = question.text("/spec/token");
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let tokens = &question.app.tokens;
    let mut audiences = question.texts("/spec/audiences");
    if audiences.is_empty() {
        audiences = tokens.audiences();
    }
    Ok(match tokens.verify(&question.app.registry, token, &audiences, now()) {
        Ok(verified) => json!({
            "authenticated": true,
            "user": verified.user.to_user_info(),
            "audiences": verified.audiences,
        }),
        Err(fault) => json!({ "user": {}, "error": fault.to_string() }),
    })
}

/// POST `serviceaccounts/NAME/token`.
pub(crate) fn token_request(
    app: &App,
    place: &Place,
    account: &str,
    body: &RawBody,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), ApiError> {
    let document = body.object("TokenRequest")?;
    let mut request = document.value;
    let gvk = Gvk::fixed(GROUP, "v1", "TokenRequest");
    let mut warnings = shape_part(&gvk, &mut request, document.problems, options.field_validation)?;
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    let stored = place.read(&app.registry.entry(place, account)?.value)?;
    let namespace = place.namespace.as_deref().unwrap_or_default();
    settle_namespace(place, &mut request)?;
    check_name(&request, account)?;
    let asked = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(DEFAULT_S);
    let seconds = check_seconds(asked)?.min(LONGEST_S);
    if seconds < asked {
        warnings.push(format!("requested expiration of {asked} seconds shortened to {seconds} seconds"));
    }
    let mut audiences = texts(request.pointer("/spec/audiences"));
    if audiences.is_empty() {
        audiences = app.tokens.audiences();
    }
    let private = Private {
        namespace: namespace.to_owned(),
        serviceaccount: Bound { name: account.to_owned(), uid: meta::uid(&stored).to_owned() },
        ..bound(app, &request, account, namespace)?
    };
    let now = now();
    request["metadata"] = json!({
        "name": account, "namespace": namespace, "creationTimestamp": meta::format_time(now),
    });
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    if options.dry_run {
        request["status"] = json!({ "token": "", "expirationTimestamp": null });
        return Ok((request, warnings));
    }
    let (token, end) = app.tokens.issue(Wanted { private, audiences, seconds }, now)?;
    request["status"] = json!({ "token": token, "expirationTimestamp": meta::format_time(end) });
    Ok((request, warnings))
}

fn check_name(request: &Value, account: &str) -> Result<(), ApiError> {
    let given = meta::name(request);
    if given.is_empty() || given == account {
        return Ok(());
    }
    let error =
        FieldError::invalid("metadata.name", given, "must match the service account name if specified");
    Err(ApiError::invalid(&GroupKind::new(GROUP, "TokenRequest"), account, vec![error]))
}

fn check_seconds(seconds: i64) -> Result<i64, ApiError> {
    let detail = if seconds < SHORTEST_S {
        "may not specify a duration less than 10 minutes"
    } else if seconds > LONGEST_ASKED_S {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(seconds);
    };
    let error = FieldError::invalid("spec.expirationSeconds", seconds, detail);
    Err(ApiError::invalid(&GroupKind::new(GROUP, "TokenRequest"), "", vec![error]))
}

/// What the token is bound to beside the account. For a pod the node it runs on is told, too.
fn bound(app: &App, request: &Value, account: &str, namespace: &str) -> Result<Private, ApiError> {
    let Some(reference) = request.pointer("/spec/boundObjectRef") else { return Ok(Private::default()) };
    let text = |key: &str| reference.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("kind"), text("name"));
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let (resource, within) = match (group, kind) {
        ("", "Pod") => ("pods", Some(namespace)),
        ("", "Secret") => ("secrets", Some(namespace)),
        ("", "Node") => ("nodes", None),
        (group, kind) => {
            let what = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(ApiError::bad_request(what));
        }
    };
    let object = live(&app.registry, resource, within, name)
        .ok_or_else(|| ApiError::not_found(&GroupResource::new("", resource), name))?;
    let spec = |key: &str| object["spec"].get(key).and_then(Value::as_str).unwrap_or_default();
    // A pod that names none runs as the default account.
    let runs_as = Some(spec("serviceAccountName")).filter(|n| !n.is_empty()).unwrap_or("default");
    if resource == "pods" && runs_as != account {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        )));
    }
    let uid = meta::uid(&object);
    if !text("uid").is_empty() && text("uid") != uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
             deleted and then recreated",
            text("uid")
        );
        return Err(ApiError::conflict_because(&GroupResource::new("", kind), name, &why));
    }
    let this = Some(Bound { name: name.to_owned(), uid: uid.to_owned() });
    Ok(match resource {
        "pods" => Private { pod: this, node: node(app, spec("nodeName")), ..Private::default() },
        "secrets" => Private { secret: this, ..Private::default() },
        _ => Private { node: this, ..Private::default() },
    })
}

fn node(app: &App, name: &str) -> Option<Bound> {
    if name.is_empty() {
        return None;
    }
    let uid = live(&app.registry, "nodes", None, name).map(|node| meta::uid(&node).to_owned());
    Some(Bound { name: name.to_owned(), uid: uid.unwrap_or_default() })
}
