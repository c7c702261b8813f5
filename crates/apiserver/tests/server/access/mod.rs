//! Who may what, over TLS. This file holds what the tests share.

mod certificates;
mod kubectl;
mod reviews;
mod roles;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::certificates::request;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Request;
use http_body_util::BodyExt;
use jiff::{Timestamp, ToSpan};
use konzert_apiserver::Pki;
use konzert_apiserver::pki::KeyedCertificate;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Answer, PODS, Server, pod, server};

/// A server on a port, and ways to call it as somebody.
struct Listening {
    server: Server,
    pki: Pki,
    url: String,
}

/// How a client proves who it is.
enum Proof {
    Nothing,
    Certificate(KeyedCertificate),
    Token(String),
}

impl Listening {
    async fn new() -> Self {
        Self::since(Timestamp::now()).await
    }

    /// With certificates that were made then.
    async fn since(made: Timestamp) -> Self {
        let server = server().await;
        let pki = Pki::load_or_create_at(&server.dir.path().join("pki"), &[], made).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (api, serving) = (server.api.clone(), pki.clone());
        tokio::spawn(async move { api.serve(listener, &serving, std::future::pending()).await });
        Self { server, pki, url }
    }

    async fn client(&self, proof: &Proof) -> kube::Client {
        let certificate = match proof {
            Proof::Certificate(own) => own.clone(),
            _ => self.pki.issue_client("x", &[]).unwrap(),
        };
        let mut parsed = Kubeconfig::from_yaml(&self.pki.kubeconfig(&self.url, "u", &certificate)).unwrap();
        let info = parsed.auth_infos[0].auth_info.as_mut().unwrap();
        if !matches!(proof, Proof::Certificate(_)) {
            info.client_certificate_data = None;
            info.client_key_data = None;
        }
        if let Proof::Token(token) = proof {
            info.token = Some(token.clone().into());
        }
        let config =
            kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }

    async fn user(&self, name: &str, groups: &[&str]) -> kube::Client {
        self.client(&Proof::Certificate(self.pki.issue_client(name, groups).unwrap())).await
    }

    async fn token(&self, token: &str) -> kube::Client {
        self.client(&Proof::Token(token.to_owned())).await
    }

    /// A token of the account `default`, as the server's own client asks for it.
    async fn issue(&self, spec: &Value) -> Answer {
        let request =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        self.server.post(&format!("{ACCOUNTS}/default/token"), &request).await
    }

    async fn grant(&self, name: &str, subject: &Value, rules: &Value) {
        let role = json!({ "metadata": { "name": name }, "rules": rules });
        self.server.post(CLUSTER_ROLES, &role).await.expect(201);
        let binding = json!({
            "metadata": { "name": name }, "subjects": [subject],
            "roleRef": { "kind": "ClusterRole", "name": name },
        });
        self.server.post(CLUSTER_BINDINGS, &binding).await.expect(201);
    }
}

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const CLUSTER_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

async fn call(
    client: &kube::Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Vec::new() } else { body.to_string().into() };
    let answer = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { code: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get(client: &kube::Client, path: &str) -> Answer {
    call(client, "GET", path, &[], &Value::Null).await
}

async fn post(client: &kube::Client, path: &str, body: &Value) -> Answer {
    call(client, "POST", path, &[], body).await
}

fn message(answer: Answer, code: u16) -> String {
    answer.expect(code)["message"].as_str().unwrap().to_owned()
}

async fn who(client: &kube::Client) -> Value {
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    post(client, path, &review).await.expect(201)["status"]["userInfo"].clone()
}
