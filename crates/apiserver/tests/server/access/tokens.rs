//! Tokens of service accounts, their reviews and their key; impersonation.

use super::*;

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
        (
            json!({ "expirationSeconds": 1_i64 << 33 }),
            422,
            "may not specify a duration larger than 2^32 seconds",
        ),
        (
            json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "none" } }),
            404,
            "pods \"none\" not found",
        ),
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
    listening.server.post(PODS, &account).await.expect(201);
    let reference = json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "p" } });
    assert!(message(listening.issue(&reference).await, 400).contains("different serviceaccount name"));
    let pod = listening.server.post(PODS, &crate::support::pod("q")).await.expect(201);
    let wrong =
        json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "other" } });
    assert!(
        message(listening.issue(&wrong).await, 409).contains("does not match the UID in record"),
        "{pod}"
    );
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
    assert!(
        bad["status"]["error"].as_str().unwrap().contains("is invalid for the target audiences"),
        "{bad}"
    );
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
    assert_eq!(
        answer["status"]["userInfo"],
        json!({ "username": "bob", "groups": ["system:authenticated"] })
    );
    let as_group = [("impersonate-user", "bob"), ("impersonate-group", "system:masters")];
    let refused = message(call(&alice, "POST", path, &as_group, &json!({})).await, 403);
    assert!(
        refused.starts_with("groups \"system:masters\" is forbidden: User \"alice\" cannot impersonate"),
        "{refused}"
    );
    let no_user = [("impersonate-group", "dev")];
    assert_eq!(call(&alice, "POST", path, &no_user, &json!({})).await.code, 400);
    // What is done is done with the rights of the other.
    let admin = listening.user("root", &["system:masters"]).await;
    assert_eq!(get(&admin, PODS).await.code, 200);
    let answer = call(&admin, "GET", PODS, &as_bob, &Value::Null).await;
    assert!(message(answer, 403).contains("User \"bob\" cannot list"));
    let as_account =
        [("impersonate-user", "system:serviceaccount:default:default"), ("impersonate-extra-scopes", "a")];
    let answer = call(&admin, "POST", path, &as_account, &json!({})).await.expect(201);
    assert_eq!(answer["status"]["userInfo"]["groups"][0], "system:serviceaccounts");
    assert_eq!(answer["status"]["userInfo"]["extra"], json!({ "scopes": ["a"] }));
}
