//! The network as its users see it: an asynchronous handle to the agent thread.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{PoisonError, mpsc};

use tokio::sync::oneshot;

use crate::agent::{Agent, Command, Pods, Reply};
use crate::service::normalise;
use crate::{Ipv4Cidr, NetworkError, ServiceRules};

/// How the network of a node is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// A directory that is gone after a reboot; holds the pins of the namespaces. Must stay the same over
    /// restarts.
    pub run_dir: PathBuf,
    /// The name of the engine: letters and digits. The first five tell its links from those of another
    /// engine.
    pub instance: String,
    /// Where pods get their addresses from.
    pub pod_cidr: Ipv4Cidr,
    /// Where services have their virtual addresses.
    pub service_cidr: Ipv4Cidr,
}

impl NetworkConfig {
    fn check(&self) -> Result<(), NetworkError> {
        let instance = &self.instance;
        if instance.is_empty()
            || instance.len() > 32
            || !instance.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(NetworkError::InvalidInstance { instance: instance.clone() });
        }
        let (pods, services) = (self.pod_cidr, self.service_cidr);
        let fits = |range: Ipv4Cidr| (4..=29).contains(&range.prefix());
        if !fits(pods) || !fits(services) || pods.overlaps(services) {
            return Err(NetworkError::Ranges { pods, services });
        }
        Ok(())
    }
}

/// What a pod got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNetwork {
    /// The pin of its network namespace, for `setns`.
    pub netns: PathBuf,
    /// Its address.
    pub ip: Ipv4Addr,
}

/// The network of one node. Dropping it leaves everything running; [`Network::teardown`] takes it away.
#[derive(Debug)]
pub struct Network {
    commands: mpsc::Sender<Command>,
    pods: Pods,
}

impl Network {
    /// Prepares the host in the network namespace of the calling thread, and takes over what an earlier
    /// process with the same run directory made: its pods keep their addresses, its services go on until the
    /// first [`Network::apply_services`].
    pub async fn open(config: NetworkConfig) -> Result<Self, NetworkError> {
        config.check()?;
        let (commands, received) = mpsc::channel();
        let pods = Pods::default();
        let shared = pods.clone();
        let (opened, ready) = oneshot::channel();
        std::thread::Builder::new()
            .name("konzert-net".into())
            .spawn(move || match Agent::open(config, shared) {
                Ok(agent) => {
                    // If the opener is gone, so is the sender of commands, and the agent ends at once.
                    opened.send(Ok(())).ok();
                    agent.run(&received);
                }
                // Nobody may be waiting any more; then the error has no reader.
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(NetworkError::Thread)?;
        ready.await.unwrap_or(Err(NetworkError::Closed))?;
        Ok(Self { commands, pods })
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, NetworkError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(reply)).is_err() {
            return Err(NetworkError::Closed);
        }
        answer.await.unwrap_or(Err(NetworkError::Closed))
    }

    /// Gives a pod a namespace and an address. A pod that has them gets the same ones again.
    pub async fn add_pod(&self, uid: &str) -> Result<PodNetwork, NetworkError> {
        let uid = checked(uid)?;
        self.ask(|reply| Command::AddPod { uid, reply }).await
    }

    /// Takes both away; a pod that has none is fine. Processes that are still in the namespace lose their
    /// network.
    pub async fn remove_pod(&self, uid: &str) -> Result<(), NetworkError> {
        let uid = checked(uid)?;
        self.ask(|reply| Command::RemovePod { uid, reply }).await
    }

    /// The pods that have a network, by UID.
    pub fn pods(&self) -> Vec<(String, Ipv4Addr)> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.iter().map(|(uid, address)| (uid.clone(), *address)).collect()
    }

    /// Makes the node serve exactly these services: what changed is changed, in one step.
    ///
    /// Established TCP connections stay where they are; UDP flows to an endpoint that is gone are forgotten.
    pub async fn apply_services(&self, services: &[ServiceRules]) -> Result<(), NetworkError> {
        let services = normalise(services)?;
        self.ask(|reply| Command::Apply { services, reply }).await
    }

    /// Removes everything that was made, and puts back what was changed. Afterwards every call is
    /// [`NetworkError::Closed`].
    pub async fn teardown(&self) -> Result<(), NetworkError> {
        self.ask(|reply| Command::Teardown { reply }).await
    }
}

fn checked(uid: &str) -> Result<String, NetworkError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if uid.is_empty() || uid.len() > 63 || !uid.bytes().all(fits) {
        return Err(NetworkError::InvalidUid { uid: uid.chars().take(100).collect() });
    }
    Ok(uid.to_owned())
}
