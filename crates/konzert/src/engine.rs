//! Assembly of the engine: store, API server, controllers, node and hygiene in one process.
//!
//! Holds no logic: it opens the parts in the order in which they need each other, and closes them the other way round.
//! Containers are not stopped with the engine; see `verbs::down` for that.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures::stream::BoxStream;
use jiff::SignedDuration;
use konzert_api::status::ApiError;
use konzert_apiserver::{ApiServer, ApiServerConfig, LogRequest, MetricsSource, PodStreams, pki::Pki};
use konzert_fleet::{AdvisoryStore, ScanMetrics, Scanner};
use konzert_images::ContentStore;
use konzert_network::{Ipv4Cidr, Network, NetworkConfig};
use konzert_node::{Node, NodeConfig};
use konzert_runtime::{Runtime, RuntimeConfig};
use konzert_store::{Store, StoreConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Places;
use crate::exit::Failure;

/// Addresses of pods and services; private, and routed on this machine only.
pub(crate) const POD_CIDR: &str = "10.244.0.0/16";
pub(crate) const SERVICE_CIDR: &str = "10.96.0.0/16";

/// What an engine is started with.
#[derive(Clone, Debug)]
pub(crate) struct EngineConfig {
    pub(crate) places: Places,
    pub(crate) node_name: String,
    /// Where else the kubeconfig goes.
    pub(crate) kubeconfig_copy: Option<PathBuf>,
    /// How old sources of advisories may be.
    pub(crate) max_age: SignedDuration,
}

/// A running engine.
pub(crate) struct Engine {
    pub(crate) api: ApiServer,
    pub(crate) images: Arc<ContentStore>,
    pub(crate) advisories: AdvisoryStore,
    pub(crate) scanner: Arc<Scanner>,
    pub(crate) address: SocketAddr,
    store: Store,
    node: Node,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), anyhow::Error>>,
}

/// Binds the API server's address.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|e| {
        Failure::usage(format!("cannot listen on {address}: {e}"), "choose another address with --listen")
    })
}

/// Opens the parts that hold state outside the API: they are also what `down --purge` works on.
pub(crate) struct Machine {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) images: Arc<ContentStore>,
    pub(crate) network: Arc<Network>,
}

impl Machine {
    /// Opens them, adopting what an earlier process left running.
    pub(crate) async fn open(places: &Places) -> Result<Self, Failure> {
        private_dir(&places.run)?;
        let runtime = Runtime::open(RuntimeConfig {
            run_dir: places.run.join("shims"),
            shim_exe: std::env::current_exe()?,
            shim_args: vec!["shim".into()],
        })?;
        let images = ContentStore::open(&places.images())?;
        let network = Network::open(NetworkConfig {
            run_dir: places.run.clone(),
            instance: places.instance.clone(),
            pod_cidr: cidr(POD_CIDR),
            service_cidr: cidr(SERVICE_CIDR),
        })
        .await?;
        Ok(Self { runtime: Arc::new(runtime), images: Arc::new(images), network: Arc::new(network) })
    }
}

/// The node's settings follow from where the engine lies.
pub(crate) fn node_config(places: &Places, name: &str) -> NodeConfig {
    let mut config = NodeConfig::new(name, &places.data, &places.run, &places.instance);
    POD_CIDR.clone_into(&mut config.pod_cidr);
    SERVICE_CIDR.clone_into(&mut config.service_cidr);
    config
}

fn cidr(text: &str) -> Ipv4Cidr {
    text.parse().expect("the constants above are CIDRs")
}

fn private_dir(path: &std::path::Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
        Failure::usage(
            format!("{}: {e}", path.display()),
            "the engine keeps its sockets there; make it writable for root",
        )
    })
}

impl Engine {
    /// Starts everything; returns when the API answers and the node agent runs.
    pub(crate) async fn start(listener: TcpListener, config: EngineConfig) -> Result<Self, Failure> {
        let address = listener.local_addr()?;
        let store = Store::open_sqlite(
            &config.places.data.join("state"),
            StoreConfig { stamp: konzert_apiserver::stamp, ..StoreConfig::default() },
        )
        .await?;
        let (api, machine) = tokio::try_join!(
            async {
                let settings = ApiServerConfig::new(&config.places.data);
                ApiServer::open(store.clone(), settings).await.map_err(Failure::from)
            },
            Machine::open(&config.places),
        )?;
        let pki = Pki::load_or_create(
            &config.places.data.join("pki"),
            &[address.ip().to_string(), config.node_name.clone(), api.service_address().to_string()],
        )?;
        write_kubeconfigs(&config, &pki, address)?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        follow_renewals(&mut tasks, &config, &pki, address, stopped.clone());
        serve(&mut tasks, &api, listener, pki, stopped.clone());
        let controllers = konzert_controllers::ControllersConfig::default();
        let client = api.client("controllers");
        let signal = stopped.clone();
        tasks.spawn(async move { Ok(konzert_controllers::run(client, controllers, signal).await?) });
        let node = Node::start(
            api.client("node"),
            machine.runtime,
            machine.images.clone(),
            machine.network,
            node_config(&config.places, &config.node_name),
        )
        .await?;
        api.set_pod_streams(Arc::new(NodeStreams(node.log_reader())));
        let advisories = AdvisoryStore::with_max_age(&config.places.advisories(), config.max_age)?;
        let images = machine.images;
        let scanner = Scanner::new(api.client("scanner"), Some(images.clone()), advisories.clone());
        api.add_metrics(Arc::new(ScanPage(scanner.metrics())));
        hygiene(&mut tasks, &api, &images, &scanner, &stopped);
        Ok(Self { api, images, advisories, scanner, address, store, node, stop, tasks })
    }

    /// Ends every part in order; containers go on.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        self.node.shutdown().await;
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::warn!(error = format!("{error:#}"), "a part of the engine ended with an error");
            }
        }
        // Only when nobody watches any more: a watch that ends by itself is taken up again by its client.
        self.api.end_streams();
        self.store.close().await?;
        Ok(())
    }

    /// Returns when a part ends although nobody asked it to.
    pub(crate) async fn failed(&mut self) -> Failure {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => Failure::failed(error),
            Some(Err(panic)) => Failure::failed(panic),
            Some(Ok(Ok(()))) | None => Failure::failed(anyhow::anyhow!("a part of the engine ended")),
        }
    }
}

fn serve(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    api: &ApiServer,
    listener: TcpListener,
    pki: Pki,
    mut stopped: watch::Receiver<bool>,
) {
    let api = api.clone();
    tasks.spawn(async move {
        let stop = async move {
            // An error means that the sender is gone, which is a stop too.
            drop(stopped.wait_for(|stop| *stop).await);
        };
        Ok(api.serve(listener, &pki, stop).await?)
    });
}

/// Client certificates are renewed while the engine runs; the kubeconfigs hold them.
fn follow_renewals(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    config: &EngineConfig,
    pki: &Pki,
    address: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) {
    let (config, pki, mut renewals) = (config.clone(), pki.clone(), pki.renewals());
    tasks.spawn(async move {
        loop {
            tokio::select! {
                // An error means that the sender is gone, which is a stop too.
                _ = stopped.wait_for(|stop| *stop) => return Ok(()),
                renewed = renewals.changed() => {
                    renewed?;
                    if let Err(failure) = write_kubeconfigs(&config, &pki, address) {
                        tracing::error!(error = failure.message(), "the renewed kubeconfig could not be written");
                    }
                }
            }
        }
    });
}

fn hygiene(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    api: &ApiServer,
    images: &Arc<ContentStore>,
    scanner: &Arc<Scanner>,
    stopped: &watch::Receiver<bool>,
) {
    let (run, signal) = (scanner.clone(), stopped.clone());
    tasks.spawn(async move {
        run.run(signal).await;
        Ok(())
    });
    let (client, store, run, signal) =
        (api.client("campaigns"), images.clone(), scanner.clone(), stopped.clone());
    tasks.spawn(async move { Ok(konzert_fleet::patch::run(client, store, run, signal).await?) });
    let (client, store, signal) = (api.client("reaper"), images.clone(), stopped.clone());
    tasks.spawn(async move { Ok(konzert_fleet::reap::run(client, store, signal).await?) });
}

/// The administrator's kubeconfig, readable by its owner only.
fn write_kubeconfigs(config: &EngineConfig, pki: &Pki, address: SocketAddr) -> Result<(), Failure> {
    let text = pki.admin_kubeconfig(&format!("https://{address}"));
    for path in std::iter::once(config.places.kubeconfig()).chain(config.kubeconfig_copy.clone()) {
        write_private(&path, text.as_bytes()).map_err(|e| {
            Failure::usage(
                format!("cannot write {}: {e}", path.display()),
                "choose another with --write-kubeconfig",
            )
        })?;
    }
    Ok(())
}

fn write_private(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The scanner's counters as the API server asks for them.
struct ScanPage(Arc<ScanMetrics>);

impl MetricsSource for ScanPage {
    fn render(&self, page: &mut String) {
        self.0.render(jiff::Timestamp::now(), page);
    }
}

/// The node's logs as the API server asks for them: floors 3 do not know each other.
struct NodeStreams(konzert_node::LogReader);

#[async_trait::async_trait]
impl PodStreams for NodeStreams {
    async fn logs(
        &self,
        request: LogRequest,
    ) -> Result<BoxStream<'static, std::io::Result<bytes::Bytes>>, ApiError> {
        let wanted = konzert_node::LogQuery {
            namespace: request.namespace,
            pod: request.pod,
            uid: request.uid,
            container: request.container,
            follow: request.follow,
            previous: request.previous,
            tail_lines: request.tail_lines,
            since: request.since,
            timestamps: request.timestamps,
            limit_bytes: request.limit_bytes,
        };
        self.0.logs(&wanted).await.map_err(|e| ApiError::bad_request(e.to_string()))
    }
}
