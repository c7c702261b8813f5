//! Over TCP: certificates, users, both HTTP versions, a graceful end.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use http::Request;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use konzert_apiserver::Pki;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::{Server, server};

struct Listening {
    pki: Pki,
    url: String,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

async fn listen(server: &Server) -> Listening {
    let pki = Pki::load_or_create(&server.dir.path().join("pki"), &[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let (api, serving) = (server.api.clone(), pki.clone());
    let done = tokio::spawn(async move {
        let shutdown = async {
            stopped.await.ok();
        };
        api.serve(listener, &serving, shutdown).await.unwrap();
    });
    Listening { pki, url, stop, done }
}

async fn client(kubeconfig: &str) -> kube::Client {
    let parsed = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

async fn code(client: &kube::Client, path: &str) -> u16 {
    client.send(Request::get(path).body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubeconfig_works_and_watches_end_with_the_server() {
    let server = server().await;
    let listening = listen(&server).await;
    let admin = client(&listening.pki.admin_kubeconfig(&listening.url)).await;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    assert_eq!(namespaces.list(&ListParams::default()).await.unwrap().items.len(), 4);
    let maps: Api<ConfigMap> = Api::namespaced(admin, "default");
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let object: ConfigMap = serde_json::from_value(crate::support::config_map("a")).unwrap();
    maps.create(&PostParams::default(), &object).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(20), events.try_next()).await.unwrap().unwrap();
    assert!(matches!(event, Some(WatchEvent::Added(o)) if o.metadata.name.as_deref() == Some("a")));
    listening.stop.send(()).unwrap();
    let end = tokio::time::timeout(Duration::from_secs(20), events.try_next()).await.unwrap();
    assert!(!matches!(end, Ok(Some(_))), "the watch went on");
    drop(events);
    drop(maps);
    tokio::time::timeout(Duration::from_secs(20), listening.done).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_too_much_hears_why() {
    let server = server().await;
    let listening = listen(&server).await;
    let admin = client(&listening.pki.admin_kubeconfig(&listening.url)).await;
    for _ in 0..3 {
        let request = Request::post(crate::support::CONFIG_MAPS)
            .header("content-type", "application/json")
            .body(Body::from(vec![b' '; 24 * 1024 * 1024]))
            .unwrap();
        let answer = admin.send(request).await.unwrap();
        assert_eq!(answer.status(), 413);
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status["message"], "Request entity too large: limit is 3145728");
        assert_eq!(code(&admin, "/api/v1/pods").await, 200, "the next request is not disturbed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_health_only_and_users_what_they_may() {
    let server = server().await;
    let listening = listen(&server).await;
    let (pki, url) = (&listening.pki, &listening.url);
    let alice = pki.issue_client("alice", &["dev"]).unwrap();
    let alice = client(&pki.kubeconfig(url, "alice", &alice)).await;
    let admin_config = pki.admin_kubeconfig(url);
    let without: Vec<&str> = admin_config.lines().filter(|l| !l.contains("client-")).collect();
    let stranger = client(&without.join("\n").replace("  user:\n", "  user: {}\n")).await;
    let admin = client(&admin_config).await;
    for (path, nobody, user, all) in [
        ("/healthz", 200, 200, 200),
        ("/version", 200, 200, 200),
        ("/apis", 403, 200, 200),
        ("/api/v1/namespaces/default/pods", 403, 403, 200),
        ("/api/v1/namespaces/default/nonsense", 403, 403, 404),
        ("/metrics", 403, 403, 200),
    ] {
        assert_eq!(code(&stranger, path).await, nobody, "{path}");
        assert_eq!(code(&alice, path).await, user, "{path}");
        assert_eq!(code(&admin, path).await, all, "{path}");
    }
    let other_dir = tempfile::tempdir().unwrap();
    let foreign =
        Pki::load_or_create(other_dir.path(), &[]).unwrap().issue_client("eve", &["system:masters"]).unwrap();
    let eve = client(&pki.kubeconfig(url, "eve", &foreign)).await;
    let refused = eve.send(Request::get("/api/v1/pods").body(Body::empty()).unwrap()).await;
    assert!(refused.is_err() || refused.unwrap().status() == 401, "a foreign authority was trusted");
}
