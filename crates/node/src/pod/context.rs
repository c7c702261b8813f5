//! What the effects of one pod share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use konzert_lifecycle::NodeFacts;
use konzert_runtime::{ContainerId, Exit};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::{NodeConfig, PodDirs};
use crate::ports::{Containers, FoundImage, Images, Nets, PodAttachment, PortError};
use crate::pulls::Pulls;
use crate::recorder::{Happening, Recorder, Severity};
use crate::register::Capacity;
use crate::services::ServiceTable;
use crate::sources::SourceHub;
use crate::spec::container_id;
use crate::spec::downward::Situation;
use crate::spec::user::Accounts;

/// Which instance a runtime id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) attempt: u32,
}

/// What all pods share.
pub(crate) struct Shared {
    pub(crate) client: kube::Client,
    pub(crate) containers: Arc<dyn Containers>,
    pub(crate) images: Arc<dyn Images>,
    pub(crate) nets: Arc<dyn Nets>,
    pub(crate) config: NodeConfig,
    pub(crate) capacity: Capacity,
    pub(crate) facts: NodeFacts,
    pub(crate) recorder: Recorder,
    pub(crate) sources: SourceHub,
    pub(crate) services: Arc<ServiceTable>,
    pub(crate) pulls: Pulls,
    /// Live instances by runtime id.
    pub(crate) alive: Mutex<HashMap<String, Instance>>,
    /// Changes whenever an instance ended.
    pub(crate) ended: watch::Sender<u64>,
}

impl Shared {
    /// Notes the end of an instance; answers which one it was.
    pub(crate) fn note_end(&self, id: &ContainerId) -> Option<Instance> {
        let instance = self.alive.lock().remove(id.as_str());
        self.ended.send_modify(|count| *count += 1);
        instance
    }
}

/// An instance that ended, as the runtime tells it.
#[derive(Debug, Clone)]
pub(crate) struct ExitNote {
    pub(crate) name: String,
    pub(crate) attempt: u32,
    pub(crate) exit: Exit,
}

/// A root file system that waits for its container.
pub(crate) struct Prepared {
    pub(crate) image: FoundImage,
    pub(crate) rootfs: PathBuf,
    pub(crate) accounts: Accounts,
}

/// Ends its task when it is dropped.
pub(crate) struct Background(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the effects of one pod share.
pub(crate) struct PodContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dirs: PodDirs,
    pub(crate) pod: watch::Receiver<Arc<Pod>>,
    /// Told that something a waiting container may need changed.
    pub(crate) poke: Arc<tokio::sync::Notify>,
    pub(crate) attachment: Mutex<Option<PodAttachment>>,
    /// Address of an adopted pod until its attachment is asked for.
    pub(crate) adopted_ip: Option<IpAddr>,
    pub(crate) prepared: Mutex<HashMap<(String, u32), Arc<Prepared>>>,
    pub(crate) refresh: Mutex<Option<Background>>,
    pub(crate) waiting: Mutex<Option<Background>>,
}

impl PodContext {
    pub(crate) fn pod(&self) -> Arc<Pod> {
        self.pod.borrow().clone()
    }

    pub(crate) fn id(&self, name: &str, attempt: u32) -> ContainerId {
        container_id(&self.uid, name, attempt)
    }

    pub(crate) fn on_host_network(&self) -> bool {
        self.pod().spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
    }

    /// The pod's own network; made when it is not there (any more).
    pub(crate) async fn attach(&self) -> Result<Option<PodAttachment>, PortError> {
        if self.on_host_network() {
            return Ok(None);
        }
        let attachment = self.shared.nets.add_pod(&self.uid).await?;
        *self.attachment.lock() = Some(attachment.clone());
        Ok(Some(attachment))
    }

    /// Where the pod can be reached.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        if self.on_host_network() {
            return Some(self.shared.config.address);
        }
        self.attachment.lock().as_ref().map(|own| own.ip.into()).or(self.adopted_ip)
    }

    pub(crate) fn situation(&self) -> Situation {
        Situation {
            pod_ips: self.ip().iter().map(IpAddr::to_string).collect(),
            host_ips: self.shared.facts.host_ips.clone(),
            allocatable: self.shared.capacity.resources.clone(),
        }
    }

    /// Records an event on the pod, or on one of its containers.
    pub(crate) fn tell(
        &self,
        container: Option<&str>,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let pod = self.pod();
        let field = container.map(|name| {
            let role = konzert_lifecycle::find(&pod, name).map(|of| of.role);
            let list =
                if role == Some(konzert_lifecycle::Role::Main) { "containers" } else { "initContainers" };
            format!("spec.{list}{{{name}}}")
        });
        self.shared.recorder.record(Happening {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            field,
            severity,
            reason,
            message,
        });
    }
}

/// The time, read in one place.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
