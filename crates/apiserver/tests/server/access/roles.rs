//! Roles and bindings: what they allow, what they may not grant, and how they gather.

use super::*;

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
    let table = listening
        .server
        .call("GET", &bindings, &[("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")], Vec::new())
        .await;
    assert_eq!(table.expect(200)["rows"][0]["cells"][1], "Role/reader");
    // A role that is not there is told.
    let binding = json!({
        "metadata": { "name": "lost" }, "roleRef": { "kind": "ClusterRole", "name": "lost" },
        "subjects": [{ "kind": "User", "name": "alice" }],
    });
    listening.server.post(&bindings, &binding).await.expect(201);
    let refused = message(post(&alice, PODS, &pod("p")).await, 403);
    assert!(
        refused.ends_with(": RBAC: clusterrole.rbac.authorization.k8s.io \"lost\" not found"),
        "{refused}"
    );
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
    let role = |verbs: Value| {
        json!({
            "metadata": { "name": "own" }, "rules": [{ "verbs": verbs, "apiGroups": [""], "resources": ["pods"] }],
        })
    };
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
    assert!(refused.contains("must have cluster-admin privileges to use the aggregationRule"), "{refused}");
    let binding = |role: &str| {
        json!({
            "metadata": { "name": format!("to-{role}") }, "roleRef": { "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "User", "name": "alice" }],
        })
    };
    let refused = message(post(&alice, CLUSTER_BINDINGS, &binding("cluster-admin")).await, 403);
    assert!(
        refused.starts_with(
            "clusterrolebindings.rbac.authorization.k8s.io \"to-cluster-admin\" is forbidden: user \"alice\""
        ),
        "{refused}"
    );
    post(&alice, CLUSTER_BINDINGS, &binding("own")).await.expect(201);
    assert_eq!(
        message(post(&alice, CLUSTER_BINDINGS, &binding("none")).await, 404),
        "clusterroles.rbac.authorization.k8s.io \"none\" not found"
    );
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
    let mut events = server
        .watch(
            &format!(
                "{CLUSTER_ROLES}?watch=true&resourceVersion={}",
                before["metadata"]["resourceVersion"].as_str().unwrap()
            ),
            "application/json",
        )
        .await;
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
