//! Who may what, over TLS: tokens, impersonation, roles, reviews, certificate requests, rotation.

use std::sync::Arc;
use std::time::Duration;

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
        let config = kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.unwrap();
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
        let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
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

async fn call(client: &kube::Client, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
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

#[tokio::test(flavor = "multi_thread")]
async fn tokens_prove_service_accounts_and_end_with_what_they_are_bound_to() {
    let listening = Listening::new().await;
    let answer = listening.issue(&json!({})).await.expect(201);
    let account = listening.server.get(&format!("{ACCOUNTS}/default")).await.expect(200);
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    let client = listening.token(&token).await;
    let info = who(&client).await;
    assert_eq!(info["username"], "system:serviceaccount:default:default");
    assert_eq!(info["uid"], account["metadata"]["uid"]);
    assert_eq!(
        info["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    );
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], json!(["https://kubernetes.default.svc"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(
        message(get(&client, PODS).await, 403),
        "pods is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"pods\" in API group \
         \"\" in the namespace \"default\""
    );
    // Bound to a pod, the token ends with it.
    let pod = listening.server.post(PODS, &pod("p")).await.expect(201);
    let bound = json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "p" } });
    let answer = listening.issue(&bound).await.expect(201);
    let bound = listening.token(answer["status"]["token"].as_str().unwrap()).await;
    let info = who(&bound).await;
    assert_eq!(info["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(info["extra"]["authentication.kubernetes.io/pod-uid"], json!([pod["metadata"]["uid"]]));
    listening.server.delete(&format!("{PODS}/p"), &json!({ "gracePeriodSeconds": 0 })).await.expect(200);
    assert_eq!(message(get(&bound, "/version").await, 401), "Unauthorized");
    // A new account of the same name is another account.
    listening.server.delete(&format!("{ACCOUNTS}/default"), &json!({})).await.expect(200);
    listening.server.post(ACCOUNTS, &json!({ "metadata": { "name": "default" } })).await.expect(201);
    assert_eq!(get(&client, "/version").await.code, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_token_is_refused() {
    let listening = Listening::new().await;
    let own = listening.issue(&json!({})).await.expect(201)["status"]["token"].as_str().unwrap().to_owned();
    let other = listening.issue(&json!({ "audiences": ["vault"] })).await.expect(201);
    let other = other["status"]["token"].as_str().unwrap();
    let (signed, _) = own.rsplit_once('.').unwrap();
    for token in ["nonsense", other, signed, &format!("{own}x"), &format!("{signed}.AAAA")] {
        let client = listening.token(token).await;
        assert_eq!(message(get(&client, "/version").await, 401), "Unauthorized", "{token}");
    }
    // Requests for tokens that cannot be.
    for (spec, code, text) in [
        (json!({ "expirationSeconds": 599 }), 422, "may not specify a duration less than 10 minutes"),
        (json!({ "expirationSeconds": 1_i64 << 33 }), 422, "may not specify a duration larger than 2^32 seconds"),
        (json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "none" } }), 404, "pods \"none\" not found"),
        (
            json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "ConfigMap", "name": "x" } }),
            400,
            "cannot bind token to object of type",
        ),
        (json!({ "expirationSeconds": "x" }), 400, "TokenRequest"),
    ] {
        let found = message(listening.issue(&spec).await, code);
        assert!(found.contains(text), "{spec}: {found}");
    }
    let mut account = pod("p");
    account["spec"]["serviceAccountName"] = json!("another");
    let pod = listening.server.post(PODS, &account).await.expect(201);
    let reference = json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "p" } });
    assert!(message(listening.issue(&reference).await, 400).contains("different serviceaccount name"));
    let wrong = json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "other" } });
    assert!(message(listening.issue(&wrong).await, 409).contains("does not match the UID in record"), "{pod}");
    let long = listening.issue(&json!({ "expirationSeconds": 400 * 24 * 3600 })).await;
    assert!(long.header("warning").contains("shortened to 31536000 seconds"), "{}", long.header("warning"));
    let path = format!("{ACCOUNTS}/none/token");
    assert_eq!(listening.server.post(&path, &json!({})).await.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_reviews_and_the_published_key() {
    let listening = Listening::new().await;
    let answer = listening.issue(&json!({ "audiences": ["vault", "x"] })).await.expect(201);
    let token = answer["status"]["token"].as_str().unwrap();
    let review = |spec: Value| {
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec });
        let server = &listening.server;
        async move { server.post("/apis/authentication.k8s.io/v1/tokenreviews", &body).await }
    };
    let good = review(json!({ "token": token, "audiences": ["vault"] })).await.expect(201);
    assert_eq!(good["status"]["authenticated"], true);
    assert_eq!(good["status"]["audiences"], json!(["vault"]));
    assert_eq!(good["status"]["user"]["username"], "system:serviceaccount:default:default");
    let bad = review(json!({ "token": token })).await.expect(201);
    assert_eq!(bad["status"].get("authenticated"), None);
    assert!(bad["status"]["error"].as_str().unwrap().contains("is invalid for the target audiences"), "{bad}");
    assert_eq!(review(json!({ "token": "" })).await.code, 400);
    let configuration = listening.server.get("/.well-known/openid-configuration").await.expect(200);
    assert_eq!(configuration["issuer"], "https://kubernetes.default.svc");
    let keys = listening.server.get("/openid/v1/jwks").await;
    assert_eq!(keys.header("content-type"), "application/jwk-set+json");
    // Verified as a relying party would: with nothing but the published key.
    let jwk = keys.expect(200)["keys"][0].clone();
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    // Service accounts may read it, strangers may not.
    let stranger = listening.client(&Proof::Nothing).await;
    assert_eq!(get(&stranger, "/openid/v1/jwks").await.code, 403);
    let own = listening.issue(&json!({})).await.expect(201);
    let account = listening.token(own["status"]["token"].as_str().unwrap()).await;
    assert_eq!(get(&account, "/openid/v1/jwks").await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_count_from_the_moment_they_are_acknowledged() {
    let listening = Listening::new().await;
    let alice = listening.user("alice", &["dev", "ops"]).await;
    let roles = format!("{RBAC}/namespaces/default/roles");
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let role = json!({
        "metadata": { "name": "reader" },
        "rules": [{ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"] }],
    });
    listening.server.post(&roles, &role).await.expect(201);
    let binding = json!({
        "metadata": { "name": "reader" }, "roleRef": { "kind": "Role", "name": "reader" },
        "subjects": [{ "kind": "Group", "name": "dev" }],
    });
    for _ in 0..20 {
        assert_eq!(get(&alice, PODS).await.code, 403);
        listening.server.post(&bindings, &binding).await.expect(201);
        assert_eq!(get(&alice, PODS).await.code, 200);
        listening.server.delete(&format!("{bindings}/reader"), &json!({})).await.expect(200);
    }
    listening.server.post(&bindings, &binding).await.expect(201);
    let nowhere = message(get(&alice, "/api/v1/pods").await, 403);
    assert!(nowhere.ends_with("at the cluster scope"), "{nowhere}");
    let other = json!({
        "metadata": { "name": "reader" }, "roleRef": { "kind": "Role", "name": "other" },
    });
    let error = listening.server.put(&format!("{bindings}/reader"), &other).await;
    assert!(message(error, 422).contains("roleRef: Invalid value: "));
    let table = listening.server.call("GET", &bindings, &[("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")], Vec::new()).await;
    assert_eq!(table.expect(200)["rows"][0]["cells"][1], "Role/reader");
    // A role that is not there is told.
    let binding = json!({
        "metadata": { "name": "lost" }, "roleRef": { "kind": "ClusterRole", "name": "lost" },
        "subjects": [{ "kind": "User", "name": "alice" }],
    });
    listening.server.post(&bindings, &binding).await.expect(201);
    let refused = message(post(&alice, PODS, &pod("p")).await, 403);
    assert!(refused.ends_with(": RBAC: clusterrole.rbac.authorization.k8s.io \"lost\" not found"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn impersonation_needs_a_right_for_every_part() {
    let listening = Listening::new().await;
    let alice = listening.user("alice", &[]).await;
    let as_bob = [("impersonate-user", "bob")];
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    assert_eq!(
        message(call(&alice, "POST", path, &as_bob, &json!({})).await, 403),
        "users \"bob\" is forbidden: User \"alice\" cannot impersonate resource \"users\" in API group \"\" at the \
         cluster scope"
    );
    let rules = json!([{ "verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"] }]);
    listening.grant("imp", &json!({ "kind": "User", "name": "alice" }), &rules).await;
    let answer = call(&alice, "POST", path, &as_bob, &json!({})).await.expect(201);
    assert_eq!(answer["status"]["userInfo"], json!({ "username": "bob", "groups": ["system:authenticated"] }));
    let as_group = [("impersonate-user", "bob"), ("impersonate-group", "system:masters")];
    let refused = message(call(&alice, "POST", path, &as_group, &json!({})).await, 403);
    assert!(refused.starts_with("groups \"system:masters\" is forbidden: User \"alice\" cannot impersonate"), "{refused}");
    let no_user = [("impersonate-group", "dev")];
    assert_eq!(call(&alice, "POST", path, &no_user, &json!({})).await.code, 400);
    // What is done is done with the rights of the other.
    let admin = listening.user("root", &["system:masters"]).await;
    assert_eq!(get(&admin, PODS).await.code, 200);
    let answer = call(&admin, "GET", PODS, &as_bob, &Value::Null).await;
    assert!(message(answer, 403).contains("User \"bob\" cannot list"));
    let as_account = [("impersonate-user", "system:serviceaccount:default:default"), ("impersonate-extra-scopes", "a")];
    let answer = call(&admin, "POST", path, &as_account, &json!({})).await.expect(201);
    assert_eq!(answer["status"]["userInfo"]["groups"][0], "system:serviceaccounts");
    assert_eq!(answer["status"]["userInfo"]["extra"], json!({ "scopes": ["a"] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_grants_more_than_they_hold() {
    let listening = Listening::new().await;
    let alice = listening.user("alice", &["dev"]).await;
    let subject = json!({ "kind": "User", "name": "alice" });
    let rules = json!([
        { "verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles", "roles"] },
        { "verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterrolebindings", "rolebindings"] },
        { "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] },
    ]);
    // `*` on roles would hold `escalate`; these are the verbs people get.
    let mut limited = rules.clone();
    limited[0]["verbs"] = json!(["create", "update", "patch", "get"]);
    listening.grant("limited", &subject, &limited).await;
    let role = |verbs: Value| json!({
        "metadata": { "name": "own" }, "rules": [{ "verbs": verbs, "apiGroups": [""], "resources": ["pods"] }],
    });
    assert_eq!(
        message(post(&alice, CLUSTER_ROLES, &role(json!(["get", "delete"]))).await, 403),
        "clusterroles.rbac.authorization.k8s.io \"own\" is forbidden: user \"alice\" (groups=[\"dev\" \
         \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], \
         Resources:[\"pods\"], Verbs:[\"delete\"]}"
    );
    post(&alice, CLUSTER_ROLES, &role(json!(["get"]))).await.expect(201);
    let path = format!("{CLUSTER_ROLES}/own");
    assert_eq!(call(&alice, "PUT", &path, &[], &role(json!(["get", "watch"]))).await.code, 403);
    let patch = Request::patch(&path).header("content-type", "application/json-patch+json");
    let operation = json!([{ "op": "add", "path": "/rules/0/verbs/-", "value": "watch" }]).to_string();
    let patched = alice.send(patch.body(Body::from(operation.into_bytes())).unwrap()).await.unwrap();
    assert_eq!(patched.status(), 403);
    let aggregating = json!({
        "metadata": { "name": "agg" }, "rules": [],
        "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "a": "b" } }] },
    });
    let refused = message(post(&alice, CLUSTER_ROLES, &aggregating).await, 403);
    assert!(refused.contains("must have cluster-admin privileges to use an aggregationRule: "), "{refused}");
    let binding = |role: &str| json!({
        "metadata": { "name": format!("to-{role}") }, "roleRef": { "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "User", "name": "alice" }],
    });
    let refused = message(post(&alice, CLUSTER_BINDINGS, &binding("cluster-admin")).await, 403);
    assert!(refused.starts_with("clusterrolebindings.rbac.authorization.k8s.io \"to-cluster-admin\" is forbidden: user \"alice\""), "{refused}");
    post(&alice, CLUSTER_BINDINGS, &binding("own")).await.expect(201);
    assert_eq!(message(post(&alice, CLUSTER_BINDINGS, &binding("none")).await, 404), "clusterroles.rbac.authorization.k8s.io \"none\" not found");
    // Who holds the verbs may.
    listening
        .grant(
            "may",
            &subject,
            &json!([{ "verbs": ["bind", "escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"] }]),
        )
        .await;
    post(&alice, CLUSTER_BINDINGS, &binding("cluster-admin")).await.expect(201);
    assert_eq!(get(&alice, "/metrics").await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregated_roles_follow_their_parts() {
    let listening = Listening::new().await;
    let server = &listening.server;
    let before = server.get(&format!("{CLUSTER_ROLES}/view")).await.expect(200);
    let part = json!({
        "metadata": { "name": "widgets", "labels": { "rbac.authorization.k8s.io/aggregate-to-view": "true" } },
        "rules": [{ "verbs": ["get"], "apiGroups": ["x.dev"], "resources": ["widgets"] }],
    });
    let mut events = server.watch(&format!("{CLUSTER_ROLES}?watch=true&resourceVersion={}", before["metadata"]["resourceVersion"].as_str().unwrap()), "application/json").await;
    server.post(CLUSTER_ROLES, &part).await.expect(201);
    // view is part of edit, and edit of admin.
    let mut waiting = vec!["admin", "edit", "view"];
    while !waiting.is_empty() {
        let event = events.next().await.expect("an event");
        let object = &event["object"];
        if object["rules"].as_array().unwrap().contains(&part["rules"][0]) {
            waiting.retain(|name| object["metadata"]["name"] != *name);
        }
    }
    server.delete(&format!("{CLUSTER_ROLES}/widgets"), &json!({})).await.expect(200);
    let gone = async {
        loop {
            let admin = server.get(&format!("{CLUSTER_ROLES}/admin")).await.expect(200);
            if !admin["rules"].as_array().unwrap().contains(&part["rules"][0]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test]
async fn a_second_start_writes_nothing() {
    let server = server().await;
    let revision = server.store.revision();
    let server = server.restart().await;
    assert_eq!(server.store.revision(), revision);
    // What somebody took away comes back.
    let path = format!("{CLUSTER_ROLES}/system:basic-user");
    server.patch(&path, "merge", &json!({ "rules": [] })).await.expect(200);
    server.delete(&format!("{CLUSTER_BINDINGS}/system:discovery"), &json!({})).await.expect(200);
    let server = server.restart().await;
    assert_eq!(server.get(&path).await.expect(200)["rules"].as_array().unwrap().len(), 2);
    server.get(&format!("{CLUSTER_BINDINGS}/system:discovery")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_answer_from_the_policy() {
    let listening = Listening::new().await;
    let alice = listening.user("alice", &[]).await;
    let authorization = "/apis/authorization.k8s.io/v1";
    let binding = json!({
        "metadata": { "name": "v" }, "roleRef": { "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "kind": "User", "name": "alice" }],
    });
    listening.server.post(&format!("{RBAC}/namespaces/default/rolebindings"), &binding).await.expect(201);
    let can = |spec: Value| {
        let alice = alice.clone();
        async move { post(&alice, &format!("{authorization}/selfsubjectaccessreviews"), &json!({ "spec": spec })).await }
    };
    let on = |verb: &str, namespace: &str| json!({ "resourceAttributes": { "verb": verb, "resource": "pods", "namespace": namespace } });
    let yes = can(on("list", "default")).await.expect(201);
    assert_eq!(
        yes["status"],
        json!({ "allowed": true, "reason": "RBAC: allowed by RoleBinding \"v/default\" of ClusterRole \"view\" to User \"alice\"" })
    );
    assert_eq!((&yes["kind"], &yes["apiVersion"]), (&json!("SelfSubjectAccessReview"), &json!("authorization.k8s.io/v1")));
    assert_eq!(can(on("delete", "default")).await.expect(201)["status"], json!({ "allowed": false }));
    assert_eq!(can(on("list", "kube-system")).await.expect(201)["status"]["allowed"], false);
    let path = json!({ "nonResourceAttributes": { "verb": "get", "path": "/api/v1" } });
    assert_eq!(can(path).await.expect(201)["status"]["allowed"], true);
    assert!(message(can(json!({})).await, 422).contains("exactly one of nonResourceAttributes or resourceAttributes"));
    // All rules.
    let rules = format!("{authorization}/selfsubjectrulesreviews");
    let found = post(&alice, &rules, &json!({ "spec": { "namespace": "default" } })).await.expect(201);
    let resources = found["status"]["resourceRules"].as_array().unwrap();
    assert!(resources.iter().any(|r| r["resources"].as_array().unwrap().contains(&json!("pods/log"))), "{found}");
    assert!(!resources.iter().any(|r| r["resources"].as_array().unwrap().contains(&json!("secrets"))), "{found}");
    assert!(!found["status"]["nonResourceRules"].as_array().unwrap().is_empty());
    assert_eq!(found["status"]["incomplete"], false);
    assert_eq!(message(post(&alice, &rules, &json!({})).await, 400), "no namespace on request");
    // About others, which needs a right.
    let subject = json!({ "spec": { "user": "alice", "resourceAttributes": { "verb": "list", "resource": "pods", "namespace": "default" } } });
    let path = format!("{authorization}/subjectaccessreviews");
    assert_eq!(post(&alice, &path, &subject).await.code, 403);
    assert_eq!(listening.server.post(&path, &subject).await.expect(201)["status"]["allowed"], true);
    let nobody = json!({ "spec": { "resourceAttributes": { "verb": "list", "resource": "pods" } } });
    assert!(message(listening.server.post(&path, &nobody).await, 422).contains("at least one of user or group"));
    let local = format!("{authorization}/namespaces/default/localsubjectaccessreviews");
    assert_eq!(listening.server.post(&local, &subject).await.expect(201)["status"]["allowed"], true);
    let elsewhere = format!("{authorization}/namespaces/kube-system/localsubjectaccessreviews");
    assert!(message(listening.server.post(&elsewhere, &subject).await, 422).contains("must match metadata.namespace"));
    assert_eq!(listening.server.get(&path).await.code, 405);
}

/// A certificate request called `r`, and the key that signed it.
pub(crate) fn request(user: &str, group: &str, signer: &str) -> (Value, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.distinguished_name.push(DnType::OrganizationName, group);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": { "name": "r" },
        "spec": { "request": STANDARD.encode(pem), "signerName": signer, "usages": ["client auth"], "expirationSeconds": 3600 },
    });
    (object, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_request_becomes_a_certificate_that_works() {
    let listening = Listening::new().await;
    let server = &listening.server;
    let (mut object, key) = request("jane", "dev", "kubernetes.io/kube-apiserver-client");
    object["spec"]["username"] = json!("somebody-else");
    let alice = listening.user("alice", &[]).await;
    listening
        .grant(
            "csr",
            &json!({ "kind": "User", "name": "alice" }),
            &json!([{ "verbs": ["*"], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"] }]),
        )
        .await;
    let mut stored = post(&alice, REQUESTS, &object).await.expect(201);
    assert_eq!(stored["spec"]["username"], "alice");
    assert_eq!(stored["spec"]["groups"], json!(["system:authenticated"]));
    let approval = format!("{REQUESTS}/r/approval");
    stored["status"]["conditions"] = json!([{ "type": "Approved", "status": "True", "reason": "Test", "message": "yes" }]);
    assert_eq!(
        message(call(&alice, "PUT", &approval, &[], &stored).await, 403),
        "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to approve requests with \
         signerName \"kubernetes.io/kube-apiserver-client\""
    );
    let mut both = stored.clone();
    both["status"]["conditions"] = json!([{ "type": "Approved", "status": "True" }, { "type": "Denied", "status": "True" }]);
    assert!(message(server.put(&approval, &both).await, 422).contains("mutually exclusive"));
    let mut stray = stored.clone();
    stray["status"]["certificate"] = json!("QUJD");
    let approved = server.put(&approval, &stray).await.expect(200);
    assert_eq!(approved["status"].get("certificate"), None);
    assert!(approved["status"]["conditions"][0]["lastUpdateTime"].is_string());
    let issued = async {
        loop {
            let object = server.get(&format!("{REQUESTS}/r")).await.expect(200);
            if let Some(certificate) = object["status"]["certificate"].as_str() {
                return String::from_utf8(STANDARD.decode(certificate).unwrap()).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let certificate = tokio::time::timeout(Duration::from_secs(20), issued).await.unwrap();
    let jane = Proof::Certificate(KeyedCertificate { certificate, key: key.serialize_pem() });
    let info = who(&listening.client(&jane).await).await;
    assert_eq!((&info["username"], &info["groups"]), (&json!("jane"), &json!(["dev", "system:authenticated"])));
    assert!(info["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap().starts_with("X509SHA256="));
    // What was decided stays decided.
    let mut undecided = server.get(&format!("{REQUESTS}/r")).await.expect(200);
    undecided["status"]["conditions"] = json!([]);
    assert!(message(server.put(&approval, &undecided).await, 422).contains("updates may not remove a condition of type \"Approved\""));
    undecided["spec"]["signerName"] = json!("example.com/other");
    let unchanged = server.put(&format!("{REQUESTS}/r"), &undecided).await.expect(200);
    assert_eq!(unchanged["spec"]["signerName"], "kubernetes.io/kube-apiserver-client");
    let table = server.call("GET", REQUESTS, &[("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")], Vec::new()).await.expect(200);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[2..], [json!("kubernetes.io/kube-apiserver-client"), json!("alice"), json!("60m"), json!("Approved,Issued")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_are_refused() {
    let listening = Listening::new().await;
    let server = &listening.server;
    let (masters, _) = request("jane", "system:masters", "kubernetes.io/kube-apiserver-client");
    assert!(message(server.post(REQUESTS, &masters).await, 403).contains("with system:masters group is not allowed"));
    let (good, _) = request("jane", "dev", "example.com/own");
    for (pointer, value, text) in [
        ("/spec/request", json!(STANDARD.encode("x")), "spec.request: Invalid value: "),
        ("/spec/request", json!(STANDARD.encode("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----")), "unable to parse"),
        ("/spec/usages", json!([]), "spec.usages: Required value"),
        ("/spec/usages", json!(["flying"]), "spec.usages[0]: Unsupported value: \"flying\""),
        ("/spec/signerName", json!("x"), "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
        ("/spec/expirationSeconds", json!(10), "may not specify a duration less than 600 seconds (10 minutes)"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let found = message(server.post(REQUESTS, &bad).await, 422);
        assert!(found.contains(text), "{pointer}: {found}");
    }
    // A signer that is not here: the request waits.
    let mut stored = server.post(REQUESTS, &good).await.expect(201);
    stored["status"]["conditions"] = json!([{ "type": "Approved", "status": "True" }]);
    server.put(&format!("{REQUESTS}/r/approval"), &stored).await.expect(200);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.get(&format!("{REQUESTS}/r")).await.expect(200)["status"].get("certificate"), None);
}

#[tokio::test]
async fn questions_are_in_discovery_with_one_verb() {
    let server = server().await;
    for (version, name, namespaced) in [
        ("authentication.k8s.io/v1", "tokenreviews", false),
        ("authentication.k8s.io/v1", "selfsubjectreviews", false),
        ("authorization.k8s.io/v1", "subjectaccessreviews", false),
        ("authorization.k8s.io/v1", "selfsubjectaccessreviews", false),
        ("authorization.k8s.io/v1", "selfsubjectrulesreviews", false),
        ("authorization.k8s.io/v1", "localsubjectaccessreviews", true),
    ] {
        let list = server.get(&format!("/apis/{version}")).await.expect(200);
        let found = list["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap();
        assert_eq!((&found["verbs"], &found["namespaced"]), (&json!(["create"]), &json!(namespaced)), "{name}");
        let document = server.get(&format!("/openapi/v3/apis/{version}")).await.expect(200);
        let scope = if namespaced { "namespaces/{namespace}/" } else { "" };
        let path = &document["paths"][format!("/apis/{version}/{scope}{name}")];
        let verbs: Vec<&String> = path.as_object().unwrap().keys().filter(|k| *k != "parameters").collect();
        assert_eq!(verbs, ["post"], "{name}");
    }
    let core = server.get("/api/v1").await.expect(200);
    let token = core["resources"].as_array().unwrap().iter().find(|r| r["name"] == "serviceaccounts/token").unwrap();
    assert_eq!((&token["kind"], &token["group"]), (&json!("TokenRequest"), &json!("authentication.k8s.io")));
}

/// A TLS connection that tells which certificate the server showed.
async fn connect(listening: &Listening, pki: &Pki) -> (Vec<u8>, tokio_rustls::client::TlsStream<tokio::net::TcpStream>) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pemfile::certs(&mut pki.ca_certificate().as_bytes()).next().unwrap().unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = listening.url.strip_prefix("https://").unwrap();
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    (shown, stream)
}

async fn healthy(stream: &mut tokio_rustls::client::TlsStream<tokio::net::TcpStream>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        let mut piece = [0; 512];
        let read = stream.read(&mut piece).await.unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    // With 65 of its 365 days left, a certificate is due and still good.
    let listening = Listening::since(Timestamp::now() - (300 * 24).hours()).await;
    let (first, mut old) = connect(&listening, &listening.pki).await;
    healthy(&mut old).await;
    assert!(listening.pki.renew_if_due(Timestamp::now()).unwrap());
    let (second, mut new) = connect(&listening, &listening.pki).await;
    assert_ne!(first, second);
    healthy(&mut new).await;
    healthy(&mut old).await;
}
