//! The real containers, images and network behind the node's traits.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use async_trait::async_trait;
use konzert_images::{ContentStore, Credentials, ImageDigest, ImageRecord, Reference, RegistryOptions};
use konzert_network::{Network, Protocol, ServiceRules};
use konzert_runtime::{
    ContainerId, ContainerSpec, ContainerState, ExecOutcome, ExecRequest, Runtime, RuntimeError,
    RuntimeEvent, Started,
};
use tokio::sync::broadcast;

use crate::ports::{
    Containers, FoundImage, ImageFault, Images, Nets, PodAttachment, PortError, PullFault, PullSecret,
    StartFault,
};
use crate::services::{ServiceRule, Transport};

#[async_trait]
impl Containers for Runtime {
    async fn create_and_start(&self, spec: &ContainerSpec) -> Result<Started, StartFault> {
        Self::create_and_start(self, spec).await.map_err(|error| match error {
            RuntimeError::StartFailed { message, .. } => StartFault::Program(message),
            RuntimeError::AlreadyExists { .. } => StartFault::Exists,
            other => StartFault::Host(Box::new(other)),
        })
    }

    async fn stop(&self, id: &ContainerId) -> Result<(), PortError> {
        Ok(Self::stop(self, id).await?)
    }

    async fn kill_all(&self, id: &ContainerId) -> Result<(), PortError> {
        Ok(Self::kill_all(self, id).await?)
    }

    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecOutcome, PortError> {
        Ok(Self::exec(self, id, request).await?)
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        Ok(Self::remove(self, id).await?)
    }

    async fn list(&self) -> Vec<ContainerState> {
        Self::list(self).await
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        Self::events(self)
    }
}

fn image(record: ImageRecord) -> FoundImage {
    FoundImage {
        digest: record.digest.to_string(),
        size: record.size,
        env: record.config.env,
        entrypoint: record.config.entrypoint,
        cmd: record.config.cmd,
        working_dir: record.config.working_dir,
        user: record.config.user,
        stop_signal: record.config.stop_signal,
    }
}

impl Images for ContentStore {
    fn find(&self, reference: &str) -> Result<Option<FoundImage>, ImageFault> {
        let reference =
            Reference::parse(reference).map_err(|error| ImageFault::Reference(Box::new(error)))?;
        let found = self.get(&reference).map_err(|error| ImageFault::Store(Box::new(error)))?;
        Ok(found.map(image))
    }

    fn pull(&self, reference: &str, secrets: &[PullSecret]) -> Result<FoundImage, PullFault> {
        let fault = |cause: PortError| PullFault { unreachable: false, cause };
        let mut options = RegistryOptions::default();
        for secret in secrets {
            let read = match secret {
                PullSecret::DockerConfig(bytes) => Credentials::from_docker_config(bytes),
                PullSecret::DockerCfg(bytes) => Credentials::from_dockercfg(bytes),
            };
            options.credentials.extend(read.map_err(|error| fault(Box::new(error)))?);
        }
        let reference = Reference::parse(reference).map_err(|error| fault(Box::new(error)))?;
        let pulled = Self::pull(self, &reference, &options, &|_| {});
        pulled
            .map(image)
            .map_err(|error| PullFault { unreachable: error.is_unreachable(), cause: Box::new(error) })
    }

    fn by_digest(&self, digest: &str) -> Result<Option<FoundImage>, ImageFault> {
        let digest = ImageDigest::parse(digest).map_err(|error| ImageFault::Reference(Box::new(error)))?;
        let found = Self::by_digest(self, &digest).map_err(|error| ImageFault::Store(Box::new(error)))?;
        Ok(found.map(image))
    }

    fn prepare(&self, key: &str, digest: &str) -> Result<PathBuf, PortError> {
        Ok(Self::prepare(self, key, &ImageDigest::parse(digest)?)?.rootfs)
    }

    fn release(&self, key: &str) -> Result<(), PortError> {
        Ok(Self::release(self, key)?)
    }

    fn snapshots(&self) -> Vec<String> {
        Self::snapshots(self).into_iter().map(|(key, _)| key).collect()
    }
}

#[async_trait]
impl Nets for Network {
    async fn add_pod(&self, uid: &str) -> Result<PodAttachment, PortError> {
        let added = Self::add_pod(self, uid).await?;
        Ok(PodAttachment { netns: added.netns, ip: added.ip })
    }

    async fn remove_pod(&self, uid: &str) -> Result<(), PortError> {
        Ok(Self::remove_pod(self, uid).await?)
    }

    fn pods(&self) -> Vec<(String, Ipv4Addr)> {
        Self::pods(self)
    }

    async fn apply_services(&self, services: &[ServiceRule]) -> Result<(), PortError> {
        let rules: Vec<_> = services
            .iter()
            .map(|rule| ServiceRules {
                cluster_ip: rule.cluster_ip,
                port: rule.port,
                protocol: match rule.transport {
                    Transport::Tcp => Protocol::Tcp,
                    Transport::Udp => Protocol::Udp,
                    Transport::Sctp => Protocol::Sctp,
                },
                endpoints: rule.endpoints.clone(),
                node_port: rule.node_port,
            })
            .collect();
        Ok(Self::apply_services(self, &rules).await?)
    }
}
