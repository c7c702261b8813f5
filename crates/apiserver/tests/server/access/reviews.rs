//! Access reviews, and the questions in discovery.

use super::*;

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
        async move {
            post(&alice, &format!("{authorization}/selfsubjectaccessreviews"), &json!({ "spec": spec })).await
        }
    };
    let on = |verb: &str, namespace: &str| json!({ "resourceAttributes": { "verb": verb, "resource": "pods", "namespace": namespace } });
    let yes = can(on("list", "default")).await.expect(201);
    assert_eq!(
        yes["status"],
        json!({ "allowed": true, "reason": "RBAC: allowed by RoleBinding \"v/default\" of ClusterRole \"view\" to User \"alice\"" })
    );
    assert_eq!(
        (&yes["kind"], &yes["apiVersion"]),
        (&json!("SelfSubjectAccessReview"), &json!("authorization.k8s.io/v1"))
    );
    assert_eq!(can(on("delete", "default")).await.expect(201)["status"], json!({ "allowed": false }));
    assert_eq!(can(on("list", "kube-system")).await.expect(201)["status"]["allowed"], false);
    let path = json!({ "nonResourceAttributes": { "verb": "get", "path": "/api/v1" } });
    assert_eq!(can(path).await.expect(201)["status"]["allowed"], true);
    assert!(
        message(can(json!({})).await, 422)
            .contains("exactly one of nonResourceAttributes or resourceAttributes")
    );
    // All rules.
    let rules = format!("{authorization}/selfsubjectrulesreviews");
    let found = post(&alice, &rules, &json!({ "spec": { "namespace": "default" } })).await.expect(201);
    let resources = found["status"]["resourceRules"].as_array().unwrap();
    assert!(
        resources.iter().any(|r| r["resources"].as_array().unwrap().contains(&json!("pods/log"))),
        "{found}"
    );
    assert!(
        !resources.iter().any(|r| r["resources"].as_array().unwrap().contains(&json!("secrets"))),
        "{found}"
    );
    assert!(!found["status"]["nonResourceRules"].as_array().unwrap().is_empty());
    assert_eq!(found["status"]["incomplete"], false);
    assert_eq!(message(post(&alice, &rules, &json!({})).await, 400), "no namespace on request");
    // About others, which needs a right.
    let subject = json!({ "spec": { "user": "alice", "resourceAttributes": { "verb": "list", "resource": "pods", "namespace": "default" } } });
    let path = format!("{authorization}/subjectaccessreviews");
    assert_eq!(post(&alice, &path, &subject).await.code, 403);
    assert_eq!(listening.server.post(&path, &subject).await.expect(201)["status"]["allowed"], true);
    let nobody = json!({ "spec": { "resourceAttributes": { "verb": "list", "resource": "pods" } } });
    assert!(
        message(listening.server.post(&path, &nobody).await, 422).contains("at least one of user or group")
    );
    let local = format!("{authorization}/namespaces/default/localsubjectaccessreviews");
    assert_eq!(listening.server.post(&local, &subject).await.expect(201)["status"]["allowed"], true);
    let elsewhere = format!("{authorization}/namespaces/kube-system/localsubjectaccessreviews");
    assert!(
        message(listening.server.post(&elsewhere, &subject).await, 422)
            .contains("must match metadata.namespace")
    );
    assert_eq!(listening.server.get(&path).await.code, 405);
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
        assert_eq!(
            (&found["verbs"], &found["namespaced"]),
            (&json!(["create"]), &json!(namespaced)),
            "{name}"
        );
        let document = server.get(&format!("/openapi/v3/apis/{version}")).await.expect(200);
        let scope = if namespaced { "namespaces/{namespace}/" } else { "" };
        let path = &document["paths"][format!("/apis/{version}/{scope}{name}")];
        let verbs: Vec<&String> = path.as_object().unwrap().keys().filter(|k| *k != "parameters").collect();
        assert_eq!(verbs, ["post"], "{name}");
    }
    let core = server.get("/api/v1").await.expect(200);
    let token =
        core["resources"].as_array().unwrap().iter().find(|r| r["name"] == "serviceaccounts/token").unwrap();
    assert_eq!((&token["kind"], &token["group"]), (&json!("TokenRequest"), &json!("authentication.k8s.io")));
}
