//! What the node agent needs of containers, images and network. The traits live here with their user; the adapters to
//! the real crates are thin, the tests bring their own.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use async_trait::async_trait;
use konzert_runtime::{
    ContainerId, ContainerSpec, ContainerState, ExecOutcome, ExecRequest, RuntimeEvent, Started,
};
use tokio::sync::broadcast;

use crate::services::ServiceRule;

/// Whatever went wrong on the other side; shown with all its causes by [`chain`].
pub(crate) type PortError = Box<dyn Error + Send + Sync>;

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartFault {
    /// Its program or its surroundings are at fault; counts as a run that failed.
    #[error("{0}")]
    Program(String),
    /// There is one of this id already, left by an attempt that was cut off.
    #[error("the container exists already")]
    Exists,
    /// This host is at fault; tried again.
    #[error("the container cannot be created")]
    Host(#[source] PortError),
}

/// Containers on this host.
#[async_trait]
pub(crate) trait Containers: Send + Sync + 'static {
    async fn create_and_start(&self, spec: &ContainerSpec) -> Result<Started, StartFault>;
    /// Sends the signal the container was created with.
    async fn stop(&self, id: &ContainerId) -> Result<(), PortError>;
    async fn kill_all(&self, id: &ContainerId) -> Result<(), PortError>;
    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecOutcome, PortError>;
    async fn remove(&self, id: &ContainerId) -> Result<(), PortError>;
    async fn list(&self) -> Vec<ContainerState>;
    fn events(&self) -> broadcast::Receiver<RuntimeEvent>;
}

/// An image in the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundImage {
    pub(crate) digest: String,
    pub(crate) env: Vec<String>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) user: String,
    pub(crate) stop_signal: Option<String>,
    /// Bytes in the store.
    pub(crate) size: u64,
}

/// Credentials of a Secret, as it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PullSecret {
    /// `.dockerconfigjson`
    DockerConfig(Vec<u8>),
    /// `.dockercfg`
    DockerCfg(Vec<u8>),
}

/// Why an image did not come from its registry.
#[derive(Debug)]
pub(crate) struct PullFault {
    /// Nobody could be asked, as opposed to somebody who said no.
    pub(crate) unreachable: bool,
    pub(crate) cause: PortError,
}

/// Why an image was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageFault {
    /// The reference makes no sense.
    #[error("invalid image reference")]
    Reference(#[source] PortError),
    /// The store could not be read.
    #[error("the image store cannot be read")]
    Store(#[source] PortError),
}

/// Images on this host. All calls block.
pub(crate) trait Images: Send + Sync + 'static {
    fn find(&self, reference: &str) -> Result<Option<FoundImage>, ImageFault>;
    /// Gets the image from its registry, unless what is here is what the registry has.
    fn pull(&self, reference: &str, secrets: &[PullSecret]) -> Result<FoundImage, PullFault>;
    fn by_digest(&self, digest: &str) -> Result<Option<FoundImage>, ImageFault>;
    /// Root file system of a new container; the same key gives the same one.
    fn prepare(&self, key: &str, digest: &str) -> Result<PathBuf, PortError>;
    fn release(&self, key: &str) -> Result<(), PortError>;
    /// Keys of all root file systems.
    fn snapshots(&self) -> Vec<String>;
}

/// A pod's network.
#[derive(Debug, Clone)]
pub(crate) struct PodAttachment {
    pub(crate) netns: PathBuf,
    pub(crate) ip: Ipv4Addr,
}

/// Network on this host.
#[async_trait]
pub(crate) trait Nets: Send + Sync + 'static {
    async fn add_pod(&self, uid: &str) -> Result<PodAttachment, PortError>;
    async fn remove_pod(&self, uid: &str) -> Result<(), PortError>;
    fn pods(&self) -> Vec<(String, Ipv4Addr)>;
    async fn apply_services(&self, services: &[ServiceRule]) -> Result<(), PortError>;
}
