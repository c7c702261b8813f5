//! The thread that owns the network: its sockets, its addresses, its table. One command at a time, so there
//! are no locks and no half-made pods next to each other.
//!
//! The thread is started by the one that opens the network, and inherits its network namespace: sockets and
//! kernel settings belong to that namespace from then on.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use tokio::sync::oneshot;

use crate::address::AddressPool;
use crate::frame::Layout;
use crate::host::{self, Ranges};
use crate::netlink::Netlink;
use crate::network::{NetworkConfig, PodNetwork};
use crate::pod::unroute;
use crate::pod::{Places, Wiring};
use crate::reaper::Reaper;
use crate::service::Services;
use crate::table::Table;
use crate::{NetworkError, conntrack, route};

/// Where the result of a command goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, NetworkError>>;

/// What the agent is told.
#[derive(Debug)]
pub(crate) enum Command {
    AddPod { uid: String, reply: Reply<PodNetwork> },
    RemovePod { uid: String, reply: Reply<()> },
    Apply { services: Services, reply: Reply<()> },
    Teardown { reply: Reply<()> },
}

/// The pods with their addresses; shared with the handle.
pub(crate) type Pods = Arc<Mutex<BTreeMap<String, Ipv4Addr>>>;

/// The state of the thread.
pub(crate) struct Agent {
    config: NetworkConfig,
    ranges: Ranges,
    link_prefix: String,
    places: Places,
    route: Netlink,
    table: Table,
    pool: AddressPool,
    reaper: Reaper,
    pods: Pods,
}

impl Agent {
    /// Prepares the host, finds what an earlier process left, and cleans up what it left half made.
    pub(crate) fn open(config: NetworkConfig, pods: Pods) -> Result<Self, NetworkError> {
        let ranges = Ranges { pods: config.pod_cidr, services: config.service_cidr };
        let places = Places::open(&config.run_dir)?;
        let mut route = route::open()?;
        host::prepare(&mut route, &config.run_dir, ranges)?;
        let link_prefix = link_prefix(&config.instance);
        let layout = Layout {
            table: format!("konzert-{}", config.instance),
            link_prefix: link_prefix.clone(),
            pods: config.pod_cidr,
            services: config.service_cidr,
        };
        let table = Table::open(layout)?;
        let pool = AddressPool::new(config.pod_cidr);
        let reaper = Reaper::start()?;
        let mut agent = Self { config, ranges, link_prefix, places, route, table, pool, reaper, pods };
        agent.restore()?;
        Ok(agent)
    }

    fn restore(&mut self) -> Result<(), NetworkError> {
        let links = route::link_names(&mut self.route)?;
        let routed = route::routed_addresses(&mut self.route, self.config.pod_cidr)?;
        let mut kept = Vec::new();
        for (uid, address) in self.places.complete()? {
            let link = self.link(address);
            let whole = links.contains(&link) && routed.contains(&address);
            if whole && self.pool.take(address) {
                self.table.add_pod(address)?;
                kept.push(link);
                self.lock().insert(uid, address);
            }
        }
        for uid in self.places.known()? {
            if !self.lock().contains_key(&uid) {
                tracing::info!(uid, "removing the remains of a pod network");
                self.places.remove(&uid)?;
            }
        }
        for link in links.iter().filter(|link| link.starts_with(&self.link_prefix) && !kept.contains(link)) {
            // The link takes its time to go; its address is free at once.
            if let Ok(address) = u32::from_str_radix(&link[self.link_prefix.len()..], 16) {
                unroute(&mut self.route, Ipv4Addr::from_bits(address))?;
            }
            let index = route::link_index(&mut self.route, link)?;
            self.reaper.delete(index);
        }
        // Another engine in this namespace may use the same range.
        for address in route::routed_addresses(&mut self.route, self.config.pod_cidr)? {
            self.pool.take(address);
        }
        Ok(())
    }

    /// Serves until the last handle is gone or the network is torn down. A caller that stopped waiting misses
    /// only the answer.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        while let Ok(command) = commands.recv() {
            match command {
                Command::AddPod { uid, reply } => drop(reply.send(self.add_pod(&uid))),
                Command::RemovePod { uid, reply } => drop(reply.send(self.remove_pod(&uid))),
                Command::Apply { services, reply } => drop(reply.send(self.apply(&services))),
                Command::Teardown { reply } => match self.teardown() {
                    Ok(()) => {
                        self.reaper.finish();
                        drop(reply.send(Ok(())));
                        return;
                    }
                    Err(error) => drop(reply.send(Err(error))),
                },
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Ipv4Addr>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a pod's link on the host: fits into 15 bytes, and tells engine and address.
    fn link(&self, address: Ipv4Addr) -> String {
        format!("{}{:08x}", self.link_prefix, address.to_bits())
    }

    fn add_pod(&mut self, uid: &str) -> Result<PodNetwork, NetworkError> {
        let netns = self.places.pin(uid);
        if let Some(ip) = self.lock().get(uid).copied() {
            return Ok(PodNetwork { netns, ip });
        }
        let ip = self.pool.allocate().ok_or(NetworkError::Exhausted { range: self.config.pod_cidr })?;
        let link = self.link(ip);
        let made = Wiring { uid, address: ip, link: &link, group: link_group(&self.config.instance) }
            .make(&mut self.route, &self.places)
            .and_then(|()| self.table.add_pod(ip));
        if let Err(error) = made {
            if let Err(error) = self.unwire(uid, ip) {
                tracing::warn!(
                    uid,
                    error = &error as &dyn std::error::Error,
                    "cannot take back a pod network"
                );
            } else if !error.is(Errno::EEXIST) {
                self.pool.free(ip);
            }
            // Otherwise the address stays taken: something of it is left, or somebody else has it. The next
            // start looks again.
            return Err(error);
        }
        self.lock().insert(uid.to_owned(), ip);
        Ok(PodNetwork { netns, ip })
    }

    fn unwire(&mut self, uid: &str, ip: Ipv4Addr) -> Result<(), NetworkError> {
        self.table.remove_pod(ip)?;
        unroute(&mut self.route, ip)?;
        let link = self.link(ip);
        match route::link_index(&mut self.route, &link) {
            Ok(link) => self.reaper.delete(link),
            Err(error) if error.is(Errno::ENODEV) => {}
            Err(error) => return Err(error),
        }
        self.places.remove(uid)
    }

    fn remove_pod(&mut self, uid: &str) -> Result<(), NetworkError> {
        let Some(ip) = self.lock().get(uid).copied() else { return Ok(()) };
        self.unwire(uid, ip)?;
        self.lock().remove(uid);
        self.pool.free(ip);
        Ok(())
    }

    fn apply(&mut self, services: &Services) -> Result<(), NetworkError> {
        let changed = self.table.apply(services)?;
        // The services are applied; flows that could not be forgotten end by their time-out.
        if let Err(error) = conntrack::forget(self.table.netlink(), &changed) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot forget flows to endpoints that are gone"
            );
        }
        Ok(())
    }

    fn teardown(&mut self) -> Result<(), NetworkError> {
        route::delete_group(&mut self.route, link_group(&self.config.instance))?;
        let pods: Vec<String> = self.lock().keys().cloned().collect();
        for uid in pods {
            self.remove_pod(&uid)?;
        }
        self.table.delete()?;
        host::restore(&mut self.route, &self.config.run_dir, self.ranges)?;
        self.places.close()
    }
}

/// What the names of this engine's links begin with.
fn link_prefix(instance: &str) -> String {
    format!("kz{instance:.5}")
}

/// The group of this engine's links: a number that others hardly use, from the same five characters.
fn link_group(instance: &str) -> u32 {
    const OURS: u32 = 0x4b00_0000;
    instance
        .bytes()
        .take(5)
        .fold(OURS, |sum, byte| OURS | (sum.wrapping_mul(67).wrapping_add(byte.into()) & 0x00ff_ffff))
}
