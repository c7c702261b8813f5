//! A server under load: how it is reached, and what its processes cost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::client::ConfigExt as _;
use tokio_rustls::rustls::ClientConfig;

use crate::proc;
use crate::support::engine::Engine;
use crate::support::netns::NetNs;

/// A running server.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(super) net: Arc<NetNs>,
    /// Client certificate and trust, for HTTP/1.1.
    pub(super) tls: Arc<ClientConfig>,
    pub(super) address: String,
    /// All processes that do the server's work.
    pids: Vec<i32>,
    parts: Parts,
}

/// What is taken down at the end.
enum Parts {
    Konzert(Engine),
    Kubernetes(Box<super::kubernetes::Processes>),
}

impl Server {
    /// An engine on a new data directory.
    pub(super) fn konzert(program: &Path) -> Self {
        let engine = Engine::up(program);
        let tls = tls(&engine.kubeconfig()).expect("the engine wrote a kubeconfig");
        Self {
            name: "konzert".to_owned(),
            net: engine.net.clone(),
            tls,
            address: crate::support::engine::LISTEN.to_owned(),
            pids: vec![engine.pid()],
            parts: Parts::Konzert(engine),
        }
    }

    /// A `kube-apiserver` with its etcd.
    pub(super) fn kubernetes(processes: super::kubernetes::Processes) -> anyhow::Result<Self> {
        Ok(Self {
            name: processes.name.clone(),
            net: processes.net(),
            tls: tls(&processes.kubeconfig())?,
            address: super::kubernetes::LISTEN.to_owned(),
            pids: processes.pids(),
            parts: Parts::Kubernetes(Box::new(processes)),
        })
    }

    /// CPU time of all its processes.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        let times: Option<Vec<Duration>> = self.pids.iter().map(|pid| proc::cpu_time(*pid)).collect();
        Ok(times.context("a process of the server has ended")?.into_iter().sum())
    }

    /// Resident memory of all its processes.
    pub(super) fn memory_mib(&self) -> anyhow::Result<f64> {
        let sizes: Option<Vec<f64>> =
            self.pids.iter().map(|pid| proc::memory_mib(*pid).map(|(rss, _)| rss)).collect();
        Ok(sizes.context("a process of the server has ended")?.into_iter().sum())
    }

    /// Takes it down, and with it what it stored.
    pub(super) fn stop(self) {
        match self.parts {
            Parts::Konzert(engine) => engine.purge(),
            Parts::Kubernetes(processes) => drop(processes),
        }
    }
}

fn tls(kubeconfig: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let read = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = kube::config::KubeConfigOptions::default();
    let config = runtime.block_on(kube::Config::from_custom_kubeconfig(read, &options))?;
    let mut tls = config.rustls_client_config()?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}
