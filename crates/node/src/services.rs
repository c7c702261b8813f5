//! Services and endpoint slices: the rules for the network, and the variables that pods get of them. One watch each;
//! changes that come together are applied together.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::ports::{Nets, chain};

/// Transport of a service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Sctp,
}

impl Transport {
    fn of(word: Option<&str>) -> Self {
        match word {
            Some("UDP") => Self::Udp,
            Some("SCTP") => Self::Sctp,
            _ => Self::Tcp,
        }
    }
}

/// One port of one service and where it leads. No endpoints means: refuse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServiceRule {
    pub(crate) cluster_ip: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) transport: Transport,
    pub(crate) endpoints: Vec<SocketAddrV4>,
    pub(crate) node_port: Option<u16>,
}

type Key = (String, String);

/// What is known of services.
#[derive(Default)]
struct Known {
    services: BTreeMap<Key, Arc<Service>>,
    slices: BTreeMap<Key, Arc<EndpointSlice>>,
    services_read: bool,
    slices_read: bool,
}

/// Services of the cluster, kept current by watches.
pub(crate) struct ServiceTable {
    known: Mutex<Known>,
    changed: watch::Sender<u64>,
}

impl ServiceTable {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::new(Known::default()), changed: watch::channel(0).0 }
    }

    /// Waits until all services were read once.
    pub(crate) async fn read(&self) {
        let mut changed = self.changed.subscribe();
        while !self.known.lock().services_read {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// `NAME_SERVICE_HOST` and its kin for pods of `namespace`: its own services, and `default/kubernetes`.
    pub(crate) fn variables(&self, namespace: &str) -> BTreeMap<String, String> {
        let known = self.known.lock();
        let mut all = BTreeMap::new();
        for ((of, name), service) in &known.services {
            if of == namespace || (of == "default" && name == "kubernetes") {
                variables(name, service, &mut all);
            }
        }
        all
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock());
        self.changed.send_modify(|version| *version += 1);
    }

    fn rules(&self) -> Option<Vec<ServiceRule>> {
        let known = self.known.lock();
        let complete = known.services_read && known.slices_read;
        complete
            .then(|| rules(known.services.values().map(Arc::as_ref), known.slices.values().map(Arc::as_ref)))
    }
}

fn cluster_ip(service: &Service) -> Option<Ipv4Addr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}

fn variables(name: &str, service: &Service, all: &mut BTreeMap<String, String>) {
    let Some(ip) = cluster_ip(service) else { return };
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    let Some(first) = ports.and_then(|ports| ports.first()) else { return };
    let word = |text: &str| text.to_ascii_uppercase().replace('-', "_");
    let prefix = word(name);
    let mut set = |key: String, value: String| drop(all.insert(key, value));
    set(format!("{prefix}_SERVICE_HOST"), ip.to_string());
    set(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for (index, port) in ports.into_iter().flatten().enumerate() {
        if let Some(name) = &port.name {
            set(format!("{prefix}_SERVICE_PORT_{}", word(name)), port.port.to_string());
        }
        let transport = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{ip}:{}", transport.to_ascii_lowercase(), port.port);
        if index == 0 {
            set(format!("{prefix}_PORT"), url.clone());
        }
        let base = format!("{prefix}_PORT_{}_{transport}", port.port);
        set(base.clone(), url);
        set(format!("{base}_PROTO"), transport.to_ascii_lowercase());
        set(format!("{base}_PORT"), port.port.to_string());
        set(format!("{base}_ADDR"), ip.to_string());
    }
}

/// The rules of all services with an IPv4 cluster address, sorted.
pub(crate) fn rules<'a>(
    services: impl Iterator<Item = &'a Service>,
    slices: impl Iterator<Item = &'a EndpointSlice>,
) -> Vec<ServiceRule> {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices.filter(|slice| slice.address_type == "IPv4") {
        let of = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        if let (Some(of), Some(namespace)) = (of, slice.metadata.namespace.as_deref()) {
            by_service.entry((namespace, of)).or_default().push(slice);
        }
    }
    let mut all = Vec::new();
    for service in services {
        let Some(ip) = cluster_ip(service) else { continue };
        let meta = &service.metadata;
        let key = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let slices = by_service.get(&key).map(Vec::as_slice).unwrap_or_default();
        for port in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()) {
            let Ok(number) = u16::try_from(port.port) else { continue };
            let node_port = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
            all.push(ServiceRule {
                cluster_ip: ip,
                port: number,
                transport: Transport::of(port.protocol.as_deref()),
                endpoints: endpoints(slices, port.name.as_deref().unwrap_or_default()),
                node_port,
            });
        }
    }
    all.sort();
    all
}

/// Ready endpoints; when there are none, those that still serve while they terminate.
fn endpoints(slices: &[&EndpointSlice], port: &str) -> Vec<SocketAddrV4> {
    let mut ready = Vec::new();
    let mut serving = Vec::new();
    for slice in slices {
        let mut numbers =
            slice.ports.iter().flatten().filter(|known| known.name.as_deref().unwrap_or_default() == port);
        let Some(number) = numbers.find_map(|port| u16::try_from(port.port?).ok()) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let conditions = endpoint.conditions.as_ref();
            let list = if conditions.and_then(|all| all.ready).unwrap_or(true) {
                &mut ready
            } else if conditions.is_some_and(|all| all.serving == Some(true) && all.terminating == Some(true))
            {
                &mut serving
            } else {
                continue;
            };
            let addresses = endpoint.addresses.iter().filter_map(|text| text.parse().ok());
            list.extend(addresses.map(|ip| SocketAddrV4::new(ip, number)));
        }
    }
    let mut chosen = if ready.is_empty() { serving } else { ready };
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// Follows services and endpoints and keeps the network's rules equal to them.
pub(crate) async fn run(client: Client, table: Arc<ServiceTable>, nets: Arc<dyn Nets>) {
    tokio::join!(
        follow_services(client.clone(), &table),
        follow_slices(client, &table),
        apply(&table, &*nets)
    );
}

async fn apply(table: &ServiceTable, nets: &dyn Nets) {
    let mut changed = table.changed.subscribe();
    let mut applied: Option<Vec<ServiceRule>> = None;
    let mut pause = Duration::from_millis(200);
    loop {
        if let Some(rules) = table.rules().filter(|rules| applied.as_ref() != Some(rules)) {
            if let Err(error) = nets.apply_services(&rules).await {
                tracing::warn!(error = chain(&*error), "service rules were not applied; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
                continue;
            }
            applied = Some(rules);
            pause = Duration::from_millis(200);
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

fn key_of<K: kube::Resource>(object: &K) -> Key {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

async fn follow_services(client: Client, table: &ServiceTable) {
    let mut fresh = BTreeMap::new();
    let mut events =
        watcher(Api::<Service>::all(client), watcher::Config::default()).default_backoff().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => fresh.clear(),
            Ok(Some(watcher::Event::InitApply(one))) => {
                fresh.insert(key_of(&one), Arc::new(one));
            }
            Ok(Some(watcher::Event::InitDone)) => table.change(|known| {
                known.services = std::mem::take(&mut fresh);
                known.services_read = true;
            }),
            Ok(Some(watcher::Event::Apply(one))) => {
                table.change(|known| drop(known.services.insert(key_of(&one), Arc::new(one))));
            }
            Ok(Some(watcher::Event::Delete(one))) => {
                table.change(|known| drop(known.services.remove(&key_of(&one))));
            }
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, "watch of services failed"),
        }
    }
}

async fn follow_slices(client: Client, table: &ServiceTable) {
    let mut fresh = BTreeMap::new();
    let mut events =
        watcher(Api::<EndpointSlice>::all(client), watcher::Config::default()).default_backoff().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => fresh.clear(),
            Ok(Some(watcher::Event::InitApply(one))) => {
                fresh.insert(key_of(&one), Arc::new(one));
            }
            Ok(Some(watcher::Event::InitDone)) => table.change(|known| {
                known.slices = std::mem::take(&mut fresh);
                known.slices_read = true;
            }),
            Ok(Some(watcher::Event::Apply(one))) => {
                table.change(|known| drop(known.slices.insert(key_of(&one), Arc::new(one))));
            }
            Ok(Some(watcher::Event::Delete(one))) => {
                table.change(|known| drop(known.slices.remove(&key_of(&one))));
            }
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, "watch of endpoint slices failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(spec: &Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "my-web", "namespace": "shop"}, "spec": spec}))
            .unwrap()
    }

    fn slice(family: &str, endpoints: &Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "shop", "labels": {"kubernetes.io/service-name": "my-web"}},
            "addressType": family, "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn shown(rules: &[ServiceRule]) -> Vec<String> {
        rules
            .iter()
            .map(|rule| {
                format!("{}:{} {:?} → {:?}", rule.cluster_ip, rule.port, rule.transport, rule.endpoints)
            })
            .collect()
    }

    #[test]
    fn rules_follow_readiness() {
        let web = service(
            &json!({"clusterIP": "10.96.0.9", "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}),
        );
        let headless = service(&json!({"clusterIP": "None", "ports": [{"port": 80}]}));
        let slices = [
            slice(
                "IPv4",
                &json!([
                {"addresses": ["10.244.0.3"], "conditions": {"ready": true}},
                {"addresses": ["10.244.0.2"]},
                {"addresses": ["10.244.0.4"], "conditions": {"ready": false}}]),
            ),
            slice("IPv6", &json!([{"addresses": ["fd00::1"], "conditions": {"ready": true}}])),
        ];
        let all = rules([&web, &headless].into_iter(), slices.iter());
        assert_eq!(
            shown(&all),
            ["10.96.0.9:53 Udp → []", "10.96.0.9:80 Tcp → [10.244.0.2:8080, 10.244.0.3:8080]"]
        );
        let leaving = [slice(
            "IPv4",
            &json!([
            {"addresses": ["10.244.0.4"], "conditions": {"ready": false, "serving": true, "terminating": true}}]),
        )];
        assert_eq!(
            shown(&rules([&web].into_iter(), leaving.iter()))[1],
            "10.96.0.9:80 Tcp → [10.244.0.4:8080]"
        );
    }

    #[test]
    fn variables_of_the_namespace() {
        let table = ServiceTable::new();
        let web = service(&json!({"clusterIP": "10.96.0.9", "ports": [{"name": "http", "port": 80}]}));
        table.change(|known| drop(known.services.insert(("shop".into(), "my-web".into()), Arc::new(web))));
        assert!(table.variables("other").is_empty());
        let text =
            table.variables("shop").iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(text, @r"
        MY_WEB_PORT=tcp://10.96.0.9:80
        MY_WEB_PORT_80_TCP=tcp://10.96.0.9:80
        MY_WEB_PORT_80_TCP_ADDR=10.96.0.9
        MY_WEB_PORT_80_TCP_PORT=80
        MY_WEB_PORT_80_TCP_PROTO=tcp
        MY_WEB_SERVICE_HOST=10.96.0.9
        MY_WEB_SERVICE_PORT=80
        MY_WEB_SERVICE_PORT_HTTP=80
        ");
    }
}
