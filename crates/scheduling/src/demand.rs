//! What a pod asks of a node: resources, host ports.
//!
//! Amounts are whole numbers in the unit the scheduler compares: millicores for cpu, bytes for memory and storage, the plain
//! number for everything else. A quantity that cannot be read counts as zero; the API refuses such objects.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use konzert_api::quantity::Quantity;

/// Resource name of processor time.
pub(crate) const CPU: &str = "cpu";
/// Resource name of memory.
pub(crate) const MEMORY: &str = "memory";
/// What a container that asks for nothing counts for when nodes are compared: a tenth of a core.
const ASSUMED_CPU: i64 = 100;
/// What a container that asks for nothing counts for when nodes are compared: 200 MB.
const ASSUMED_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, i64>);

impl Amounts {
    /// Reads a resource list of the API.
    pub fn read(list: Option<&BTreeMap<String, Text>>) -> Self {
        let entries = list.into_iter().flatten().map(|(name, text)| {
            let amount = Quantity::parse(&text.0)
                .map_or(0, |quantity| if name == CPU { quantity.milli_value() } else { quantity.value() });
            (name.clone(), amount)
        });
        Self(entries.collect())
    }

    /// The amount of one resource; zero when it is not named.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Names and amounts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_sub(*amount);
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let held = self.0.entry(name.clone()).or_default();
            *held = (*held).max(*amount);
        }
    }

    fn set_all(&mut self, other: &Self) {
        self.0.extend(other.0.clone());
    }

    fn fill(&mut self, name: &str, amount: i64) {
        self.0.entry(name.to_owned()).or_insert(amount);
    }
}

/// A port of the host that a container takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Address on the host; `0.0.0.0` is all of them.
    pub address: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be on one host.
    pub fn conflicts(&self, other: &Self) -> bool {
        let any = |address: &str| address == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || any(&self.address) || any(&other.address))
    }
}

/// Everything a pod takes from a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Requests, by the rules for init containers, sidecars, overhead and pod-level resources.
    pub requests: Amounts,
    /// The same with an assumed minimum for containers that ask for nothing; only for comparing nodes.
    pub weight: Amounts,
    /// Ports of the host.
    pub ports: BTreeSet<HostPort>,
}

impl Demand {
    /// Reads what the pod asks for.
    pub fn of(pod: &Pod) -> Self {
        Self { requests: total(pod, &requests), weight: total(pod, &assumed), ports: host_ports(pod) }
    }
}

fn requests(container: &Container) -> Amounts {
    Amounts::read(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
}

fn assumed(container: &Container) -> Amounts {
    let mut amounts = requests(container);
    amounts.fill(CPU, ASSUMED_CPU);
    amounts.fill(MEMORY, ASSUMED_MEMORY);
    amounts
}

/// Containers and sidecars run together; each init container runs with the sidecars started before it. The pod needs the
/// larger of the two, plus its overhead; requests at pod level replace both.
fn total(pod: &Pod, of: &dyn Fn(&Container) -> Amounts) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::default() };
    let mut sidecars = Amounts::default();
    let mut starting = Amounts::default();
    for container in spec.init_containers.iter().flatten() {
        let mut step = sidecars.clone();
        step.add(&of(container));
        starting.raise_to(&step);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = step;
        }
    }
    let mut sum = sidecars;
    for container in &spec.containers {
        sum.add(&of(container));
    }
    sum.raise_to(&starting);
    let pod_level = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    sum.set_all(&Amounts::read(pod_level));
    sum.add(&Amounts::read(spec.overhead.as_ref()));
    sum
}

fn host_ports(pod: &Pod) -> BTreeSet<HostPort> {
    let Some(spec) = &pod.spec else { return BTreeSet::new() };
    let sidecars =
        spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let on_host = spec.host_network == Some(true);
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0);
            let number = number.or_else(|| on_host.then_some(port.container_port))?;
            let address = port.host_ip.clone().filter(|address| !address.is_empty());
            Some(HostPort {
                address: address.unwrap_or_else(|| "0.0.0.0".to_owned()),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: number,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn container(cpu: &str, sidecar: bool) -> Value {
        let mut value = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        if sidecar {
            value["restartPolicy"] = json!("Always");
        }
        value
    }

    #[test]
    fn init_containers_count_by_their_maximum() {
        let cases = [
            (json!([]), json!([container("1", false), container("500m", false)]), 1500),
            (json!([container("4", false)]), json!([container("1", false)]), 4000),
            (json!([container("1", true), container("2", false)]), json!([container("1", false)]), 3000),
            (json!([container("1", true)]), json!([container("1", false)]), 2000),
            (json!([container("2", false), container("1", true)]), json!([container("3", false)]), 4000),
        ];
        for (init, main, expected) in cases {
            let pod = json!({"metadata": {}, "spec": {"initContainers": init, "containers": main}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(Demand::of(&pod).requests.get(CPU), expected, "{pod:?}");
        }
    }

    #[test]
    fn overhead_is_added_and_pod_level_requests_replace() {
        let pod = json!({"metadata": {}, "spec": {"containers": [container("1", false)],
            "resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "250m", "memory": "1Mi"}}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let requests = Demand::of(&pod).requests;
        assert_eq!((requests.get(CPU), requests.get(MEMORY)), (3250, 1 << 20));
    }

    #[test]
    fn ports_conflict_on_the_same_address_only() {
        let port = |address: &str, protocol: &str, port| HostPort {
            address: address.to_owned(),
            protocol: protocol.to_owned(),
            port,
        };
        assert!(port("0.0.0.0", "TCP", 80).conflicts(&port("127.0.0.1", "TCP", 80)));
        assert!(!port("10.0.0.1", "TCP", 80).conflicts(&port("127.0.0.1", "TCP", 80)));
        assert!(!port("0.0.0.0", "TCP", 80).conflicts(&port("0.0.0.0", "UDP", 80)));
    }
}
