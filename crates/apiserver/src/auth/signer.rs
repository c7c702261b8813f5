//! Signs approved `CertificateSigningRequests` of the signers that belong to Kubernetes itself; others wait for theirs.
//!
//! What becomes of a request is decided by [`verdict`], a pure function of it; the task carries it out after every change.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use konzert_api::validation::csr::request_der;
use konzert_api::{ApiError, meta};
use konzert_store::{Page, Revision};
use serde_json::{Value, json};

use crate::error::describe;
use crate::pki::request::Request;
use crate::pki::{Pki, Side, Usages};
use crate::registry::{Mode, Place, Registry, now};

const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const DEFAULT_S: i64 = 365 * 24 * 3600;

/// What is to be done with a request.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Not approved, done already, or somebody else's.
    Wait,
    Sign {
        request: Box<Request>,
        usages: Usages,
        seconds: i64,
    },
    /// Approved, but not what the signer signs.
    Fail(String),
}

/// Signs until it is dropped.
pub(crate) async fn run(registry: Arc<Registry>, pki: Pki) {
    let place = registry.served().place("certificates.k8s.io", "v1", "certificatesigningrequests", None);
    let Some(place) = place else { return };
    loop {
        let (requests, revision) = stored(&registry, &place);
        for csr in requests {
            if let Err(error) = settle(&registry, &place, &pki, &csr).await {
                let name = meta::name(&csr);
                tracing::warn!(name, %error, "the outcome of a certificate request could not be written");
            }
        }
        // What was written in between is in the history, so nothing is missed; when it is too much, everything is read again.
        let Ok(mut changes) = registry.store.watch(&place.prefix(), revision) else { continue };
        if changes.next_event().await.is_none() && !changes.lagged() {
            return; // the store is closed
        }
    }
}

fn stored(registry: &Registry, place: &Place) -> (Vec<Value>, Revision) {
    match registry.store.list(&place.prefix(), Page::default()) {
        Ok(list) => (list.entries.iter().filter_map(|e| place.read(&e.value).ok()).collect(), list.revision),
        // A list of the present state has no revision that could be gone.
        Err(gone) => (Vec::new(), gone.current),
    }
}

async fn settle(registry: &Registry, place: &Place, pki: &Pki, csr: &Value) -> Result<(), ApiError> {
    let outcome = match verdict(csr) {
        Verdict::Wait => return Ok(()),
        Verdict::Sign { request, usages, seconds } => pki
            .fulfil(&request, usages, seconds, now())
            .map_err(|error| format!("the certificate could not be signed: {}", describe(&error))),
        Verdict::Fail(why) => Err(why),
    };
    let uid = meta::uid(csr).to_owned();
    let make = |current: &Value| {
        let mut next = current.clone();
        // Another request of the same name, or one that was settled in between.
        if meta::uid(current) != uid || verdict(current) == Verdict::Wait {
            return Ok(next);
        }
        match &outcome {
            Ok(pem) => next["status"]["certificate"] = json!(STANDARD.encode(pem)),
            Err(why) => add_failed(&mut next, why, now()),
        }
        Ok(next)
    };
    match registry.modify(place, meta::name(csr), Mode::Internal, false, make).await {
        Ok(_) => Ok(()),
        Err(error) if error.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

fn add_failed(csr: &mut Value, why: &str, now: Timestamp) {
    let now = meta::format_time(now);
    let condition = json!({
        "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
        "lastUpdateTime": now, "lastTransitionTime": now,
    });
    if let Some(conditions) = csr.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        conditions.push(condition);
    }
}

fn verdict(csr: &Value) -> Verdict {
    let text = |pointer: &str| csr.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let has = |kind: &str| {
        let conditions = csr.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|c| c.get("type").and_then(Value::as_str) == Some(kind))
    };
    let open = has("Approved") && !has("Denied") && !has("Failed") && text("/status/certificate").is_empty();
    if !open {
        return Verdict::Wait;
    }
    let check: Check = match text("/spec/signerName") {
        "kubernetes.io/kube-apiserver-client" => client,
        "kubernetes.io/kube-apiserver-client-kubelet" => node_client,
        "kubernetes.io/kubelet-serving" => node_server,
        _ => return Verdict::Wait,
    };
    let request = match request_der(text("/spec/request"))
        .map_err(str::to_owned)
        .and_then(|der| Request::parse(&der))
    {
        Ok(request) => request,
        Err(why) => return Verdict::Fail(why),
    };
    let listed = csr.pointer("/spec/usages").and_then(Value::as_array).into_iter().flatten();
    let usages: Vec<&str> = listed.filter_map(Value::as_str).collect();
    if let Err(why) = check(&request, &usages) {
        return Verdict::Fail(why.to_owned());
    }
    let asked = |usage: &str| usages.contains(&usage);
    let granted = Usages {
        side: if asked("server auth") { Side::Server } else { Side::Client },
        signature: asked("digital signature"),
        encipherment: asked("key encipherment"),
    };
    let seconds = csr.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(DEFAULT_S);
    Verdict::Sign { request: Box::new(request), usages: granted, seconds }
}

/// What a signer refuses to sign.
type Check = fn(&Request, &[&str]) -> Result<(), &'static str>;

fn client(request: &Request, usages: &[&str]) -> Result<(), &'static str> {
    if request.common_name.is_empty() {
        return Err("the common name, which is the user, is missing");
    }
    usages_are("client auth", usages)
}

fn node_client(request: &Request, usages: &[&str]) -> Result<(), &'static str> {
    names_node(request)?;
    if request.hosts + request.other_names > 0 {
        return Err("DNS, IP, email and URI subject alternative names are not allowed");
    }
    usages_are("client auth", usages)
}

fn node_server(request: &Request, usages: &[&str]) -> Result<(), &'static str> {
    names_node(request)?;
    if request.other_names > 0 {
        return Err("email and URI subject alternative names are not allowed");
    }
    if request.hosts == 0 {
        return Err("DNS or IP subject alternative name is required");
    }
    usages_are("server auth", usages)
}

fn names_node(request: &Request) -> Result<(), &'static str> {
    if request.organizations != [NODES] {
        return Err("subject organization is not system:nodes");
    }
    if request.common_name.strip_prefix(NODE_PREFIX).is_none_or(str::is_empty) {
        return Err("subject common name does not begin with system:node:");
    }
    Ok(())
}

fn usages_are(purpose: &str, usages: &[&str]) -> Result<(), &'static str> {
    let known = |usage: &&str| [purpose, "digital signature", "key encipherment"].contains(usage);
    if usages.contains(&purpose) && usages.iter().all(known) {
        Ok(())
    } else {
        Err("usages did not match what the signer allows")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn csr(signer: &str, (user, group): (&str, &str), sans: &[&str], usages: &[&str]) -> Value {
        let sans: Vec<String> = sans.iter().map(|s| (*s).to_owned()).collect();
        let mut params = CertificateParams::new(sans).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        json!({
            "spec": { "request": STANDARD.encode(pem), "signerName": signer, "usages": usages },
            "status": { "conditions": [{ "type": "Approved", "status": "True" }] },
        })
    }

    fn brief(csr: &Value) -> String {
        match verdict(csr) {
            Verdict::Wait => "wait".to_owned(),
            Verdict::Sign { request, .. } => format!("sign {}", request.common_name),
            Verdict::Fail(why) => format!("fail: {why}"),
        }
    }

    #[test]
    fn who_gets_what() {
        const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
        const KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";
        const SERVING: &str = "kubernetes.io/kubelet-serving";
        let node = ("system:node:n", "system:nodes");
        let (client, server) = (&["client auth", "digital signature"][..], &["server auth"][..]);
        for (signer, names, sans, usages, want) in [
            (CLIENT, ("jane", "dev"), &[][..], client, "sign jane"),
            (CLIENT, ("", "dev"), &[], client, "fail: the common name, which is the user, is missing"),
            (CLIENT, ("jane", "dev"), &[], server, "fail: usages did not match what the signer allows"),
            (KUBELET, node, &[], client, "sign system:node:n"),
            (
                KUBELET,
                ("jane", "system:nodes"),
                &[],
                client,
                "fail: subject common name does not begin with system:node:",
            ),
            (
                KUBELET,
                ("system:node:n", "dev"),
                &[],
                client,
                "fail: subject organization is not system:nodes",
            ),
            (
                KUBELET,
                node,
                &["a.example"],
                client,
                "fail: DNS, IP, email and URI subject alternative names are not allowed",
            ),
            (SERVING, node, &["a.example"], server, "sign system:node:n"),
            (SERVING, node, &[], server, "fail: DNS or IP subject alternative name is required"),
            ("example.com/own", ("jane", "dev"), &[], client, "wait"),
        ] {
            assert_eq!(brief(&csr(signer, names, sans, usages)), want, "{signer} {names:?}");
        }
    }

    #[test]
    fn only_open_requests_are_signed() {
        let open = csr("kubernetes.io/kube-apiserver-client", ("jane", "dev"), &[], &["client auth"]);
        for condition in ["Denied", "Failed"] {
            let mut csr = open.clone();
            csr["status"]["conditions"].as_array_mut().unwrap().push(json!({ "type": condition }));
            assert_eq!(verdict(&csr), Verdict::Wait, "{condition}");
        }
        let mut csr = open.clone();
        csr["status"]["certificate"] = json!("x");
        assert_eq!(verdict(&csr), Verdict::Wait);
        let mut csr = open;
        csr["status"]["conditions"] = json!([]);
        assert_eq!(verdict(&csr), Verdict::Wait);
    }
}
