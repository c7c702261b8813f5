//! The API server: HTTP, authentication, the registry of every kind over the store, watches, discovery.
//!
//! Floor 3 of the house. What a kind is called, how it is defaulted, validated and printed comes from `konzert-api`; where
//! objects are kept is `konzert-store`'s business. This crate is what lies between a request and a stored value:
//!
//! | step | module |
//! |---|---|
//! | TLS, certificates, connections | [`pki`], `serve` |
//! | the in-process client | `client` |
//! | who asks, may they | `auth`, `reviews` |
//! | path, query, content types, bodies | `request`, `options`, `negotiate`, `decode` |
//! | the request path, top to bottom | `dispatch`, `operation` |
//! | verbs | `registry` |
//! | rules of single kinds | `hooks` |
//! | custom kinds | `definitions` |
//! | the list of API groups as objects | `apiservices` |
//! | events that grew old | `expiry` |
//! | discovery, `OpenAPI`, health, metrics | `documents`, `discovery`, `packed`, `metrics` |
//! | limits of requests, time and bytes | `limits` |
//! | its readers by themselves, for fuzzing | [`inputs`] |
//! | stored bytes, shapes, answers | `encode`, `present`, `body`, `respond`, `rendering`, `yaml` |
//!
//! Invariants: no handler per kind; a custom kind takes the same path as a built-in one; an object is encoded once, when it
//! is written, and its bytes are shared by get, list and every watch; a parameter that is not understood is an error.
//!
//! Deliberately absent: admission webhooks, exec and port-forward, aggregation.
#![forbid(unsafe_code)]

mod apiservices;
mod auth;
mod body;
mod bootstrap;
mod client;
mod decode;
mod definitions;
mod discovery;
mod dispatch;
mod documents;
mod encode;
mod error;
mod expiry;
mod hooks;
pub mod inputs;
mod limits;
mod metrics;
mod negotiate;
mod operation;
mod options;
mod packed;
pub mod pki;
mod present;
mod registry;
mod rendering;
mod request;
mod respond;
mod reviews;
mod serve;
mod yaml;

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use konzert_api::ApiError;
use konzert_store::{Page, Store};
use tokio::net::TcpListener;

pub use self::encode::stamp;
pub use self::error::ApiServerError;
pub use self::metrics::MetricsSource;
pub use self::pki::{Pki, PkiError};
pub use self::registry::{LogRequest, PodStreams};
use crate::auth::token::{SigningKey, Tokens};
use crate::dispatch::App;
use crate::hooks::Hooks;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::serve::AbortOnDrop;

/// How an API server is set up.
#[derive(Clone)]
pub struct ApiServerConfig {
    /// The engine's data directory. The server keeps nothing there beside the store, its [`Pki`], and with that, in `pki`, the
    /// key for tokens.
    pub data_dir: PathBuf,
    /// Addresses of services: network and prefix length.
    pub service_cidr: (Ipv4Addr, u8),
    /// Who issues the tokens of service accounts, and their audience when none is asked for.
    pub token_issuer: String,
    /// Who serves the logs of pods; may also come later, with [`ApiServer::set_pod_streams`].
    pub node_logs: Option<Arc<dyn PodStreams>>,
}

impl ApiServerConfig {
    /// The usual set-up: services in 10.96.0.0/16, tokens from `https://kubernetes.default.svc`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            service_cidr: (Ipv4Addr::new(10, 96, 0, 0), 16),
            token_issuer: "https://kubernetes.default.svc".to_owned(),
            node_logs: None,
        }
    }
}

/// A running API server. Cheap to clone; the last clone ends its background work.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    app: Arc<App>,
    /// In-process streams end with the server itself.
    end_of_streams: tokio::sync::watch::Sender<bool>,
    /// Following definitions, expiring events, aggregating roles.
    _background: [AbortOnDrop; 3],
}

impl ApiServer {
    /// Opens the server over a store whose `stamp` is [`stamp`]: reads the definitions, rebuilds the allocations of services,
    /// and makes what every engine has.
    pub async fn open(store: Store, config: ApiServerConfig) -> Result<Self, ApiServerError> {
        let registry = Arc::new(Registry::new(store, Hooks::new(config.service_cidr)?));
        if let Some(streams) = config.node_logs {
            registry.set_streams(streams);
        }
        restore_services(&registry).map_err(|source| ApiServerError::Bootstrap {
            what: "the addresses of services".to_owned(),
            source,
        })?;
        let tokens = Tokens::new(
            SigningKey::from_pem(&pki::token_key(&config.data_dir.join("pki"))?)?,
            config.token_issuer,
        );
        let mut loader = definitions::Loader::default();
        let from = loader.load(&registry);
        let following = AbortOnDrop(tokio::spawn(definitions::follow(registry.clone(), loader, from)));
        bootstrap::ensure(&registry, config.service_cidr).await?;
        tracing::info!(
            data_dir = %config.data_dir.display(),
            revision = %registry.store.revision(),
            kinds = registry.served().catalogue.kinds().count(),
            "the API server is open"
        );
        let expiring = AbortOnDrop(tokio::spawn(expiry::run(registry.clone())));
        let aggregating = AbortOnDrop(tokio::spawn(auth::follow::aggregation(registry.clone())));
        let app = Arc::new(App { registry, metrics: Metrics::default(), limits: Limits::default(), tokens });
        let (end_of_streams, _) = tokio::sync::watch::channel(false);
        Ok(Self(Arc::new(Inner { app, end_of_streams, _background: [following, expiring, aggregating] })))
    }

    /// A client inside this process, as user `system:konzert:<component>` in group `system:masters`.
    pub fn client(&self, component: &str) -> kube::Client {
        client::client(&self.0.app, component, self.0.end_of_streams.subscribe())
    }

    /// Serves HTTPS on `listener` until `shutdown` resolves; then watches end and running requests finish.
    pub async fn serve(
        &self,
        listener: TcpListener,
        pki: &Pki,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ApiServerError> {
        let address = listener.local_addr().map_err(ApiServerError::Accept)?;
        bootstrap::advertise(&self.0.app.registry, address).await?;
        serve::serve(self.0.app.clone(), listener, pki, shutdown).await
    }

    /// Address of the Service `default/kubernetes`, for the server's certificate.
    pub fn service_address(&self) -> Ipv4Addr {
        self.0.app.registry.hooks.services.api_address()
    }

    /// Says who serves the logs of pods.
    pub fn set_pod_streams(&self, streams: Arc<dyn PodStreams>) {
        self.0.app.registry.set_streams(streams);
    }

    /// Adds metrics of another part of the process to `/metrics`.
    pub fn add_metrics(&self, source: Arc<dyn MetricsSource>) {
        self.0.app.metrics.add(source);
    }

    /// Ends the watches and followed logs of in-process clients, before the store is closed.
    pub fn end_streams(&self) {
        self.0.end_of_streams.send_replace(true);
    }
}

/// The ledger of addresses and node ports lives in memory; stored services say what is taken.
fn restore_services(registry: &Registry) -> Result<(), ApiError> {
    let services =
        registry.served().place("", "v1", "services", None).ok_or_else(ApiError::no_such_resource)?;
    let list = registry.store.list(&services.prefix(), Page::default()).map_err(error::revision_gone)?;
    for entry in list.entries {
        registry.hooks.services.restore(&services.narrowed(&entry.key), &services.read(&entry.value)?);
    }
    Ok(())
}
