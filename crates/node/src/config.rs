//! What the node agent is told at start. Nothing here is read from the environment.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Component, Path, PathBuf};

/// Settings of one node.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Name of the Node object.
    pub name: String,
    /// Data directory of the engine; pods and logs live below it.
    pub data_dir: PathBuf,
    /// Run directory of the instance (tmpfs).
    pub run_dir: PathBuf,
    /// Instance id, part of cgroup paths.
    pub instance: String,
    /// Pod address range, for `spec.podCIDR`.
    pub pod_cidr: String,
    /// Service address range.
    pub service_cidr: String,
    /// Address shown as `status.hostIP` and `InternalIP`.
    pub address: IpAddr,
    /// Overrides of capacity and allocatable, for example `cpu` → `4`.
    pub resources: BTreeMap<String, String>,
    /// Most pods.
    pub max_pods: u32,
    /// Further labels of the Node object.
    pub labels: BTreeMap<String, String>,
    /// Bytes after which a container log is rotated.
    pub log_max_bytes: u64,
    /// Log files kept per container instance.
    pub log_max_files: u32,
    /// Version shown in `nodeInfo.kubeletVersion`.
    pub version: String,
}

impl NodeConfig {
    /// Settings with defaults for everything but the names and places.
    pub fn new(name: &str, data_dir: &Path, run_dir: &Path, instance: &str) -> Self {
        Self {
            name: name.to_owned(),
            data_dir: data_dir.to_owned(),
            run_dir: run_dir.to_owned(),
            instance: instance.to_owned(),
            pod_cidr: "10.244.0.0/16".to_owned(),
            service_cidr: "10.96.0.0/16".to_owned(),
            address: host_address(),
            resources: BTreeMap::new(),
            max_pods: 250,
            labels: BTreeMap::new(),
            log_max_bytes: 10 << 20,
            log_max_files: 5,
            version: concat!("v1.37.0+konzert", ".", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The first IPv4 address of an interface that is up and not loopback; loopback when there is none. Needs no route.
pub fn host_address() -> IpAddr {
    use nix::net::if_::InterfaceFlags;
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Ipv4Addr::LOCALHOST.into() };
    interfaces
        .filter(|interface| {
            interface.flags.contains(InterfaceFlags::IFF_UP)
                && !interface.flags.intersects(InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_POINTOPOINT)
        })
        .filter_map(|interface| interface.address?.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::ip))
        .find(|ip| !ip.is_link_local())
        .map_or(Ipv4Addr::LOCALHOST.into(), IpAddr::from)
}

/// Mark of a sandbox without a network of its own; in the run directory, so that it does not outlive a reboot.
pub(crate) fn host_network_mark(run_dir: &Path, uid: &str) -> PathBuf {
    run_dir.join("sandboxes").join(uid)
}

/// Places of one pod below the data directory.
#[derive(Debug, Clone)]
pub(crate) struct PodDirs {
    /// `<data>/pods/<uid>`
    pub(crate) root: PathBuf,
    /// `<data>/logs/pods/<ns>_<name>_<uid>`
    pub(crate) logs: PathBuf,
}

impl PodDirs {
    /// The places of a pod; `None` when a name from the API could leave them.
    pub(crate) fn new(data_dir: &Path, namespace: &str, name: &str, uid: &str) -> Option<Self> {
        let log = format!("{namespace}_{name}_{uid}");
        let plain = |part: &str| is_plain_name(part) && !part.starts_with('.');
        let all_plain = [namespace, name, uid, log.as_str()].into_iter().all(plain);
        all_plain.then(|| Self {
            root: data_dir.join("pods").join(uid),
            logs: data_dir.join("logs/pods").join(log),
        })
    }

    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join("files").join(name)
    }

    pub(crate) fn attempt(&self, container: &str, attempt: u32) -> PathBuf {
        self.root.join("containers").join(container).join(attempt.to_string())
    }

    pub(crate) fn log(&self, container: &str, attempt: u32) -> PathBuf {
        self.logs.join(container).join(format!("{attempt}.log"))
    }
}

/// One path component that names a file in its directory and nothing else.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    name.len() <= 255
        && !name.contains(['/', '\0'])
        && matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

/// A relative path of at most 64 components that stays below its root.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let parts: Vec<_> = Path::new(path).components().collect();
    !path.is_empty()
        && path.len() <= 4096
        && !path.contains('\0')
        && parts.len() <= 64
        && parts.iter().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_the_api_stay_in_their_place() {
        assert!(PodDirs::new(Path::new("/d"), "default", "web", "1-2").is_some());
        for bad in ["..", "a/b", "", ".", "a\0b", "/"] {
            assert!(PodDirs::new(Path::new("/d"), "default", "web", bad).is_none(), "{bad:?}");
        }
        assert!(
            is_plain_path("a/b/..c")
                && !is_plain_path("a/../b")
                && !is_plain_path("/a")
                && !is_plain_path("")
        );
        assert!(!is_plain_path(&"a/".repeat(65)));
    }
}
