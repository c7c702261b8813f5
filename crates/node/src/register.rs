//! The Node object: capacity, addresses, conditions. Written at start, and only when it differs; the lease is written
//! once (it is volatile, and nobody else could take the node over). An idle node writes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    AttachedVolume, Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use konzert_api::quantity::Quantity;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::config::NodeConfig;

/// What this machine has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) resources: BTreeMap<String, Quantity>,
}

impl Capacity {
    /// Measured, with the overrides of the configuration.
    pub(crate) fn measure(config: &NodeConfig) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let disk = nix::sys::statvfs::statvfs(&config.data_dir)
            .map_or(0, |stat| stat.blocks().saturating_mul(stat.fragment_size()));
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut resources = BTreeMap::from([
            ("cpu".to_owned(), Quantity::from_integer(i64::try_from(cpus).unwrap_or(1))),
            ("memory".to_owned(), Quantity::from_bytes(whole(memory_total(&info)))),
            ("ephemeral-storage".to_owned(), Quantity::from_bytes(whole(disk))),
            ("pods".to_owned(), Quantity::from_integer(config.max_pods.into())),
        ]);
        for (name, text) in &config.resources {
            match Quantity::parse(text) {
                Ok(quantity) => drop(resources.insert(name.clone(), quantity)),
                Err(error) => tracing::warn!(%error, name, text, "resource override is ignored"),
            }
        }
        Self { resources }
    }

    pub(crate) fn memory_bytes(&self) -> i64 {
        self.resources.get("memory").map_or(0, Quantity::value)
    }

    fn api(&self) -> BTreeMap<String, ApiQuantity> {
        self.resources
            .iter()
            .map(|(name, quantity)| (name.clone(), ApiQuantity(quantity.to_string())))
            .collect()
    }
}

/// Bytes of `MemTotal`.
fn memory_total(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib =
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn trimmed(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn system_info(config: &NodeConfig) -> NodeSystemInfo {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: trimmed("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("konzert://{}", env!("CARGO_PKG_VERSION")),
        kernel_version: trimmed("/proc/sys/kernel/osrelease"),
        kubelet_version: config.version.clone(),
        kube_proxy_version: config.version.clone(),
        machine_id: trimmed("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image: pretty.map(|name| name.trim_matches('"').to_owned()).unwrap_or_default(),
        system_uuid: trimmed("/sys/class/dmi/id/product_uuid"),
        ..NodeSystemInfo::default()
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The status of the node. Conditions keep their transition times of `known`.
fn status(
    config: &NodeConfig,
    capacity: &Capacity,
    known: Option<&NodeStatus>,
    now: Timestamp,
) -> NodeStatus {
    let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        let wanted = if holds { "True" } else { "False" };
        let old = known.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let old = old.into_iter().find(|old| old.type_ == kind && old.status == wanted);
        let kept = |time: Option<&Time>| Some(time.cloned().unwrap_or_else(|| now.clone()));
        NodeCondition {
            type_: kind.to_owned(),
            status: wanted.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: kept(old.and_then(|old| old.last_transition_time.as_ref())),
            last_heartbeat_time: kept(old.and_then(|old| old.last_heartbeat_time.as_ref())),
        }
    };
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    NodeStatus {
        capacity: Some(capacity.api()),
        allocatable: Some(capacity.api()),
        addresses: Some(vec![
            address("InternalIP", config.address.to_string()),
            address("Hostname", config.name.clone()),
        ]),
        conditions: Some(vec![
            condition(
                "MemoryPressure",
                false,
                "KubeletHasSufficientMemory",
                "node has sufficient memory available",
            ),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", "node has no disk pressure"),
            condition("PIDPressure", false, "KubeletHasSufficientPID", "node has sufficient PID available"),
            condition("Ready", true, "KubeletReady", "node is posting ready status"),
        ]),
        node_info: Some(system_info(config)),
        volumes_attached: None::<Vec<AttachedVolume>>,
        ..NodeStatus::default()
    }
}

fn labels(config: &NodeConfig) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), config.name.clone()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), architecture().to_owned()),
    ]);
    labels.extend(config.labels.clone());
    labels
}

/// Registers the node, or brings its object up to date.
pub(crate) async fn register(
    client: &Client,
    config: &NodeConfig,
    capacity: &Capacity,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let api = Api::<Node>::all(client.clone());
    let known = match api.get_opt(&config.name).await? {
        Some(known) => known,
        None => create(&api, config).await?,
    };
    let fresh = status(config, capacity, known.status.as_ref(), now);
    if known.status.as_ref() != Some(&fresh) {
        let patch = json!({"status": fresh});
        api.patch_status(&config.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    let missing = labels(config).into_iter().any(|(key, value)| {
        known.metadata.labels.as_ref().and_then(|labels| labels.get(&key)) != Some(&value)
    });
    if missing {
        let patch = json!({"metadata": {"labels": labels(config)}});
        api.patch(&config.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    lease(client, config, now).await
}

async fn create(api: &Api<Node>, config: &NodeConfig) -> Result<Node, kube::Error> {
    let node = Node {
        metadata: ObjectMeta {
            name: Some(config.name.clone()),
            labels: Some(labels(config)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: Some(config.pod_cidr.clone()),
            pod_cidrs: Some(vec![config.pod_cidr.clone()]),
            provider_id: Some(format!("konzert://{}", config.instance)),
            ..NodeSpec::default()
        }),
        status: None,
    };
    api.create(&PostParams::default(), &node).await
}

async fn lease(client: &Client, config: &NodeConfig, now: Timestamp) -> Result<(), kube::Error> {
    let api = Api::<Lease>::namespaced(client.clone(), "kube-node-lease");
    let lease = Lease {
        metadata: ObjectMeta { name: Some(config.name.clone()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(config.name.clone()),
            lease_duration_seconds: Some(40),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    };
    match api.create(&PostParams::default(), &lease).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let patch = json!({"spec": lease.spec});
            api.patch(&config.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
        }
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_did_not_change_is_the_same_value() {
        let config = NodeConfig::new("n", std::path::Path::new("/"), std::path::Path::new("/run"), "i");
        let capacity = Capacity::measure(&config);
        let first = status(&config, &capacity, None, Timestamp::UNIX_EPOCH);
        let later = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(500);
        let served: NodeStatus = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
        assert_eq!(status(&config, &capacity, Some(&served), later), served);
        assert!(capacity.memory_bytes() > 0);
    }

    #[test]
    fn overrides_win_and_nonsense_does_not() {
        let mut config = NodeConfig::new("n", std::path::Path::new("/"), std::path::Path::new("/run"), "i");
        config.resources = BTreeMap::from([("cpu".into(), "64".into()), ("memory".into(), "much".into())]);
        let capacity = Capacity::measure(&config);
        assert_eq!(capacity.resources["cpu"].value(), 64);
        assert!(capacity.memory_bytes() > 0);
        assert_eq!(memory_total("MemFree: 1 kB\nMemTotal:       24 kB\n"), 24 * 1024);
    }
}
