//! An API server over a real store in this process, a content store with sample images, and a player of the node's part.
#![expect(clippy::unwrap_used, reason = "a test whose world cannot be made must fail")]
#![allow(dead_code, reason = "every program that includes this module uses another part of it")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use konzert_api::own::{CampaignPhase, PatchCampaign};
use konzert_apiserver::{ApiServer, ApiServerConfig};
use konzert_fleet::{AdvisoryStore, Scanner, patch};
use konzert_images::{ContentStore, ImageBuilder, ImageRecord, LayerBuilder, Reference};
use konzert_store::{Store, StoreConfig};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const ADVISORY: &str = "CVE-0000-0001";
pub(crate) const FIXED: &str = "2.0-1";
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) images: Arc<ContentStore>,
    pub(crate) advisories: AdvisoryStore,
    _api: ApiServer,
    dir: tempfile::TempDir,
}

/// A player under way.
pub(crate) struct Played {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Played {
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { stamp: konzert_apiserver::stamp, ..StoreConfig::default() };
        let store = Store::open_sqlite(&dir.path().join("state"), config).await.unwrap();
        let api = ApiServer::open(store, ApiServerConfig::new(dir.path())).await.unwrap();
        let images = Arc::new(ContentStore::open(&dir.path().join("images")).unwrap());
        let advisories = AdvisoryStore::open(&dir.path().join("advisories")).unwrap();
        let cluster = Self { client: api.client("test"), images, advisories, _api: api, dir };
        cluster.base("1.0", "1.0-1");
        cluster
    }

    pub(crate) fn scanner(&self) -> Arc<Scanner> {
        Scanner::new(self.client.clone(), Some(self.images.clone()), self.advisories.clone())
    }

    /// A base image with one package.
    pub(crate) fn base(&self, tag: &str, version: &str) -> ImageRecord {
        let status =
            format!("Package: lib\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n");
        let layer = LayerBuilder::new().file("etc/os-release", 0o644, "ID=debian\nVERSION_ID=12\n").file(
            "var/lib/dpkg/status",
            0o644,
            status,
        );
        let name = Reference::parse(&format!("base:{tag}")).unwrap();
        ImageBuilder::from_scratch().add_layer(layer).commit(&self.images, &name).unwrap()
    }

    /// An application on base 1.0: a shared layer and one of its own.
    pub(crate) fn app(&self, name: &str, tag: &str) -> ImageRecord {
        let base = self.images.get(&Reference::parse("base:1.0").unwrap()).unwrap().unwrap();
        ImageBuilder::from_image(&base)
            .add_layer(LayerBuilder::new().file("bin/app", 0o755, "program"))
            .add_layer(LayerBuilder::new().file("etc/app", 0o644, name))
            .commit(&self.images, &Reference::parse(&format!("{name}:{tag}")).unwrap())
            .unwrap()
    }

    /// The advisory becomes known.
    pub(crate) fn announce(&self) {
        self.import("advisory.json", &Self::advisory("DSA-1", ADVISORY, "lib"));
    }

    /// The advisory is withdrawn.
    pub(crate) fn revoke(&self) {
        let mut record = Self::advisory("DSA-1", ADVISORY, "lib");
        record["modified"] = "2026-01-02T00:00:00Z".into();
        record["withdrawn"] = "2026-01-02T00:00:00Z".into();
        self.import("advisory.json", &record);
    }

    /// An OSV record about a package of Debian 12.
    pub(crate) fn advisory(id: &str, alias: &str, package: &str) -> Value {
        json!({"id": id, "aliases": [alias], "modified": "2026-01-01T00:00:00Z", "affected": [{
            "package": {"ecosystem": "Debian:12", "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": FIXED}]}]}]})
    }

    pub(crate) fn import(&self, name: &str, record: &Value) {
        let path = self.dir.path().join(name);
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), record.to_string().as_bytes())
            .unwrap();
        self.advisories.import(&path, &mut |_| {}).unwrap();
    }

    pub(crate) async fn apply(&self, object: Value) {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let gvk = kube::core::GroupVersionKind::try_from(object.types.as_ref().unwrap()).unwrap();
        let resource = kube::core::ApiResource::from_gvk(&gvk);
        Api::<DynamicObject>::default_namespaced_with(self.client.clone(), &resource)
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// A pod that runs an image, as a node would report it.
    pub(crate) async fn run_pod(&self, name: &str, image: &ImageRecord) {
        self.apply(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": "node", "containers": [{"name": "main", "image": image.display_name()}]}}))
            .await;
        report(&self.client, name, image.digest.as_str(), true).await;
    }

    pub(crate) async fn pod_image(&self, name: &str) -> String {
        let pod = Api::<Pod>::default_namespaced(self.client.clone()).get(name).await.unwrap();
        pod.spec.unwrap().containers[0].image.clone().unwrap()
    }

    /// Runs the executor, and plays a node on which every image becomes ready.
    pub(crate) fn play(&self, scanner: &Arc<Scanner>) -> Played {
        self.start(scanner, true)
    }

    /// The same with a node on which no patched image becomes ready.
    pub(crate) fn play_badly(&self, scanner: &Arc<Scanner>) -> Played {
        self.start(scanner, false)
    }

    fn start(&self, scanner: &Arc<Scanner>, good: bool) -> Played {
        let (stop, stopped) = watch::channel(false);
        let (client, images, run, signal) =
            (self.client.clone(), self.images.clone(), scanner.clone(), stopped.clone());
        let executor = tokio::spawn(async move { patch::run(client, images, run, signal).await.unwrap() });
        let (client, images) = (self.client.clone(), self.images.clone());
        let node = tokio::spawn(async move {
            let mut stopped = stopped;
            tokio::select! {
                () = play_node(client, images, good) => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        });
        Played { stop, tasks: vec![executor, node] }
    }

    pub(crate) async fn eventually<K>(&self, what: &str, done: impl Fn(&[K]) -> bool)
    where
        K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        let api = Api::<K>::all(self.client.clone());
        let wait = async {
            loop {
                let all = api.list(&ListParams::default()).await.unwrap().items;
                if done(&all) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, wait).await.is_ok(),
            "{what}: {:?}",
            api.list(&ListParams::default()).await
        );
    }

    pub(crate) async fn campaign_phase(&self, name: &str, phase: CampaignPhase) {
        self.eventually("the campaign's phase", |all: &[PatchCampaign]| {
            all.iter().any(|c| c.name_any() == name && c.status.as_ref().is_some_and(|s| s.phase == phase))
        })
        .await;
    }
}

/// Reports the image that a pod's spec names as running.
async fn play_node(client: Client, images: Arc<ContentStore>, good: bool) {
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    let stream = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
    let mut stream = std::pin::pin!(stream);
    while let Some(pod) = stream.next().await {
        let Ok(pod) = pod else { continue };
        let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        let record = images.get(&Reference::parse(&image).unwrap()).unwrap().unwrap();
        let ready = good || !image.contains("-kz");
        report(&client, &pod.name_any(), record.digest.as_str(), ready).await;
    }
}

async fn report(client: &Client, name: &str, digest: &str, ready: bool) {
    let status = json!({"status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        "containerStatuses": [{"name": "main", "image": "x", "imageID": digest, "ready": ready, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}});
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}
