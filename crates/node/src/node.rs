//! The node as the binary sees it: start, logs, shutdown, and the end of everything.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use konzert_images::ContentStore;
use konzert_lifecycle::NodeFacts;
use konzert_network::Network;
use konzert_runtime::Runtime;
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::agent::Agent;
use crate::config::{NodeConfig, PodDirs};
use crate::logs::{Ending, LogError, LogQuery, LogStream};
use crate::orphans;
use crate::pod::context::{Shared, now};
use crate::ports::{Containers, Images, Nets, chain};
use crate::pulls::Pulls;
use crate::recorder::Recorder;
use crate::register::{Capacity, register};
use crate::services::{self, ServiceTable};
use crate::sources::SourceHub;
use crate::spec::{container_id, label};

/// Why the node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The Node object could not be written.
    #[error("node {name} cannot be registered")]
    Register {
        /// Name of the node.
        name: String,
        /// Cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// A directory could not be made.
    #[error("{} cannot be made", path.display())]
    Directory {
        /// Which one.
        path: std::path::PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
}

/// A running node agent.
pub struct Node {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    agent: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,
}

/// Reads container logs; cheap to clone, and works as long as the process does.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

/// The parts a node is made of.
pub(crate) struct Parts {
    pub(crate) containers: Arc<dyn Containers>,
    pub(crate) images: Arc<dyn Images>,
    pub(crate) nets: Arc<dyn Nets>,
}

impl Node {
    /// Registers the node and starts its agent. Containers that run already are adopted.
    pub async fn start(
        client: Client,
        runtime: Arc<Runtime>,
        images: Arc<ContentStore>,
        network: Arc<Network>,
        config: NodeConfig,
    ) -> Result<Self, NodeError> {
        Self::start_with(client, Parts { containers: runtime, images, nets: network }, config).await
    }

    pub(crate) async fn start_with(
        client: Client,
        parts: Parts,
        config: NodeConfig,
    ) -> Result<Self, NodeError> {
        for place in ["pods", "logs/pods"] {
            let path = config.data_dir.join(place);
            std::fs::create_dir_all(&path).map_err(|source| NodeError::Directory { path, source })?;
        }
        let capacity = Capacity::measure(&config);
        let (recorder, recording) = Recorder::start(client.clone(), &config.name);
        let table = Arc::new(ServiceTable::new());
        let shared = Arc::new(Shared {
            sources: SourceHub::new(client.clone()),
            facts: NodeFacts { host_ips: vec![config.address.to_string()] },
            client: client.clone(),
            containers: parts.containers,
            images: parts.images,
            nets: parts.nets.clone(),
            services: table.clone(),
            pulls: Pulls::default(),
            alive: Mutex::new(HashMap::new()),
            ended: watch::channel(0).0,
            recorder,
            capacity,
            config,
        });
        let (stop, stopped) = watch::channel(false);
        let agent = tokio::spawn(Agent::new(shared.clone(), stopped).run());
        let services = tokio::spawn(services::run(client.clone(), table, parts.nets));
        let node = Self { shared, stop, agent, helpers: vec![recording, services] };
        let shared = &node.shared;
        match register(&client, &shared.config, &shared.capacity, now()).await {
            Ok(()) => Ok(node),
            Err(source) => {
                let name = shared.config.name.clone();
                node.shutdown().await;
                Err(NodeError::Register { name, source: Box::new(source) })
            }
        }
    }

    /// A reader of container logs.
    pub fn log_reader(&self) -> LogReader {
        LogReader { shared: self.shared.clone() }
    }

    /// Reads a container's log.
    pub async fn logs(&self, query: &LogQuery) -> Result<LogStream, LogError> {
        self.log_reader().logs(query).await
    }

    /// Stops watching. Containers go on running; the next start adopts them.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.agent.await {
            tracing::error!(%error, "the node agent panicked");
        }
        for helper in self.helpers {
            helper.abort();
        }
    }
}

impl LogReader {
    /// Reads a container's log.
    pub async fn logs(&self, query: &LogQuery) -> Result<LogStream, LogError> {
        let missing = || LogError::NoPod { namespace: query.namespace.clone(), pod: query.pod.clone() };
        let data_dir = &self.shared.config.data_dir;
        let dirs = PodDirs::new(data_dir, &query.namespace, &query.pod, &query.uid).ok_or_else(missing)?;
        if !crate::config::is_plain_name(&query.container) {
            return Err(missing());
        }
        let shared = self.shared.clone();
        let (uid, name) = (query.uid.clone(), query.container.clone());
        crate::logs::open(&dirs.logs, query, move |attempt| {
            let id = container_id(&uid, &name, attempt).to_string();
            let tick = shared.ended.subscribe();
            Ending { tick, ended: Arc::new(move || !shared.alive.lock().contains_key(&id)) }
        })
        .await
    }
}

/// Kills every container of this instance's pods, and removes their root file systems, networks, volumes and logs.
/// For `down --purge`; no node agent may run. The network itself is taken down by its own teardown.
pub async fn destroy_all(
    runtime: &Arc<Runtime>,
    images: &Arc<ContentStore>,
    network: &Arc<Network>,
    config: &NodeConfig,
) {
    let images: Arc<dyn Images> = images.clone();
    destroy(&**runtime, images, &**network, config).await;
    runtime.release_cgroups(&format!("/konzert/{}", config.instance)).await;
}

pub(crate) async fn destroy(
    containers: &dyn Containers,
    images: Arc<dyn Images>,
    nets: &dyn Nets,
    config: &NodeConfig,
) {
    let all = containers.list().await;
    let own = all.iter().filter(|one| one.labels.contains_key(label::UID));
    futures::future::join_all(own.map(|one| orphans::remove_container(containers, one))).await;
    for (uid, _) in nets.pods() {
        if let Err(error) = nets.remove_pod(&uid).await {
            tracing::warn!(error = chain(&*error), uid, "network of a pod stays");
        }
    }
    let (data_dir, instance) = (config.data_dir.clone(), config.instance.clone());
    let swept = tokio::task::spawn_blocking(move || {
        orphans::release_unknown(&*images, &HashSet::new());
        for (uid, place) in orphans::entries(&data_dir.join("pods")) {
            orphans::remove(&place);
            crate::cleanup::remove_cgroup(&instance, &uid);
        }
        orphans::remove(&data_dir.join("logs/pods"));
    });
    if let Err(error) = swept.await {
        tracing::error!(%error, "the removal of all pods panicked");
    }
}
