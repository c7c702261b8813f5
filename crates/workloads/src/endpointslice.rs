//! `EndpointSlice`: which addresses stand behind a Service.
//!
//! Contract: one set of slices per combination of resolved ports, at most [`MAX_ENDPOINTS`] endpoints each. Slices are changed as little
//! as possible: endpoints stay in the slice they are in, free places are filled before a slice is added, and the same input
//! gives no action at all. Slices of other managers are never touched. IPv4 only.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::action::{Action, ENDPOINT_SLICE, POD, Plan, SERVICE, reference, with_header};
use crate::names::generated;
use crate::pods::{controller_reference, is_deleting, is_ready, is_terminal, name};
use crate::selector::{Labels, matches_map};

/// Most endpoints in one slice.
pub const MAX_ENDPOINTS: usize = 100;
/// Label with the name of the Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OUR_NAME: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// What the controller sees.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Service.
    pub service: Arc<Service>,
    /// Pods of its namespace (at least those its selector chooses).
    pub pods: Vec<Arc<Pod>>,
    /// Slices of its namespace that name it in [`SERVICE_NAME`].
    pub slices: Vec<Arc<EndpointSlice>>,
    /// Drawn for this pass; names come from it.
    pub seed: u64,
}

/// Resolved ports, as a key for grouping.
type PortKey = Vec<(Option<String>, Option<i32>, Option<String>, Option<String>)>;
/// Endpoints by pod UID.
type Members = BTreeMap<String, Endpoint>;

/// Decides one pass.
pub fn decide(observed: &Observed) -> Plan {
    let service = observed.service.as_ref();
    let Some(spec) = &service.spec else { return Plan::nothing() };
    let selector = spec.selector.clone().unwrap_or_default();
    let external = spec.type_.as_deref() == Some("ExternalName");
    if selector.is_empty() || external || is_deleting(&service.metadata) {
        return Plan::nothing();
    }
    let mut wanted = group(service, &observed.pods, &selector);
    if wanted.is_empty() {
        // One empty slice says "looked, and found nobody".
        wanted.insert(PortKey::new(), Members::new());
    }
    let mut pass = Pass { service, seed: observed.seed, created: 0, plan: Plan::nothing() };
    let ours: Vec<_> = observed.slices.iter().filter(|slice| is_ours(slice)).collect();
    let mut by_ports: BTreeMap<PortKey, Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in ours {
        by_ports.entry(port_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice);
    }
    // Additions before removals: a moment with an address in two slices is harmless, one without it is not.
    for (ports, members) in &wanted {
        let existing = by_ports.remove(ports).unwrap_or_default();
        pass.reconcile(ports, members, existing);
    }
    for slice in by_ports.into_values().flatten() {
        pass.plan.delete(&ENDPOINT_SLICE, &slice.metadata, None);
    }
    pass.plan
}

fn is_ours(slice: &EndpointSlice) -> bool {
    let manager = slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    manager.is_some_and(|manager| manager == OUR_NAME) && !is_deleting(&slice.metadata)
}

fn group(service: &Service, pods: &[Arc<Pod>], selector: &Labels) -> BTreeMap<PortKey, Members> {
    let mut groups: BTreeMap<PortKey, Members> = BTreeMap::new();
    let chosen = pods.iter().filter(|pod| matches_map(selector, pod.metadata.labels.as_ref()));
    for pod in chosen.filter(|pod| !is_terminal(pod)) {
        let Some(address) = address(pod) else { continue };
        let ports: Vec<EndpointPort> = service
            .spec
            .iter()
            .filter_map(|spec| spec.ports.as_ref())
            .flatten()
            .filter_map(|port| resolve(port, pod))
            .collect();
        let id = pod.metadata.uid.clone().unwrap_or_default();
        groups.entry(port_key(&ports)).or_default().insert(id, endpoint(service, pod, address));
    }
    groups
}

fn address(pod: &Pod) -> Option<String> {
    let address = pod.status.as_ref()?.pod_ip.as_ref()?;
    address.parse::<std::net::Ipv4Addr>().ok().map(|address| address.to_string())
}

/// The port of the pod that a port of the Service leads to; `None` when the pod has no port of that name.
fn resolve(port: &ServicePort, pod: &Pod) -> Option<EndpointPort> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let number = match &port.target_port {
        // Zero is what an absent number looks like in objects that came through other clients.
        None | Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(wanted)) => named_port(pod, wanted, protocol)?,
    };
    Some(EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(number),
        protocol: Some(protocol.to_owned()),
        app_protocol: port.app_protocol.clone(),
    })
}

fn named_port(pod: &Pod, wanted: &str, protocol: &str) -> Option<i32> {
    let spec = pod.spec.as_ref()?;
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == protocol)
        .find(|port| port.name.as_deref() == Some(wanted))
        .map(|port| port.container_port)
}

fn endpoint(service: &Service, pod: &Pod, address: String) -> Endpoint {
    let spec = service.spec.as_ref();
    let publish = spec.and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
    let serving = is_ready(pod);
    let terminating = is_deleting(&pod.metadata);
    let pod_spec = pod.spec.as_ref();
    let subdomain = pod_spec.and_then(|spec| spec.subdomain.as_deref());
    let named = subdomain.is_some_and(|subdomain| subdomain == name(&service.metadata));
    let mut target = reference(&POD, &pod.metadata);
    // Readers need to know which pod, not which state of it; a changing version would rewrite the slice on every heartbeat.
    target.resource_version = None;
    target.api_version = None;
    Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: pod_spec.and_then(|spec| spec.hostname.clone()).filter(|_| named),
        node_name: pod_spec.and_then(|spec| spec.node_name.clone()),
        target_ref: Some(target),
        ..Endpoint::default()
    }
}

fn port_key(ports: &[EndpointPort]) -> PortKey {
    let mut key: PortKey = ports
        .iter()
        .map(|port| (port.name.clone(), port.port, port.protocol.clone(), port.app_protocol.clone()))
        .collect();
    key.sort();
    key
}

fn endpoint_ports(key: &PortKey) -> Vec<EndpointPort> {
    let port = |(name, port, protocol, app_protocol): &(
        Option<String>,
        Option<i32>,
        Option<String>,
        Option<String>,
    )| {
        EndpointPort {
            name: name.clone(),
            port: *port,
            protocol: protocol.clone(),
            app_protocol: app_protocol.clone(),
        }
    };
    key.iter().map(port).collect()
}

struct Pass<'a> {
    service: &'a Service,
    seed: u64,
    created: usize,
    plan: Plan,
}

impl Pass<'_> {
    fn reconcile(&mut self, ports: &PortKey, members: &Members, mut existing: Vec<&Arc<EndpointSlice>>) {
        existing.sort_by(|one, other| name(&one.metadata).cmp(name(&other.metadata)));
        let mut left: Members = members.clone();
        let mut kept: Vec<(&Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::with_capacity(existing.len());
        for slice in existing {
            let endpoints = slice.endpoints.iter().flatten();
            let stay = endpoints.filter_map(|endpoint| left.remove(target_uid(endpoint)?)).collect();
            kept.push((slice, stay));
        }
        let mut newcomers = left.into_values();
        for (_, endpoints) in &mut kept {
            let room = MAX_ENDPOINTS.saturating_sub(endpoints.len());
            endpoints.extend(newcomers.by_ref().take(room));
        }
        let mut rest: Vec<Endpoint> = newcomers.collect();
        while !rest.is_empty() {
            let chunk = rest.drain(..rest.len().min(MAX_ENDPOINTS)).collect();
            self.create(ports, chunk);
        }
        let placeholder = members.is_empty();
        if placeholder && kept.is_empty() {
            self.create(ports, Vec::new());
        }
        for (position, (slice, endpoints)) in kept.into_iter().enumerate() {
            if endpoints.is_empty() && !(placeholder && position == 0) {
                self.plan.delete(&ENDPOINT_SLICE, &slice.metadata, None);
            } else {
                self.update(slice, endpoints);
            }
        }
    }

    fn update(&mut self, slice: &EndpointSlice, endpoints: Vec<Endpoint>) {
        let labels = self.labels();
        let same_labels = slice.metadata.labels.as_ref() == Some(&labels);
        if same_labels && slice.endpoints.as_deref().unwrap_or_default() == endpoints {
            return;
        }
        let mut updated = slice.clone();
        updated.metadata.labels = Some(labels);
        updated.endpoints = Some(endpoints);
        let object = with_header(&ENDPOINT_SLICE, &updated);
        self.plan.actions.push(Action::Update { resource: ENDPOINT_SLICE, object });
    }

    fn create(&mut self, ports: &PortKey, endpoints: Vec<Endpoint>) {
        let base = format!("{}-", name(&self.service.metadata));
        let slice = EndpointSlice {
            address_type: "IPv4".to_owned(),
            endpoints: Some(endpoints),
            metadata: ObjectMeta {
                name: Some(generated(&base, self.seed, self.created)),
                generate_name: Some(base),
                namespace: self.service.metadata.namespace.clone(),
                labels: Some(self.labels()),
                owner_references: Some(vec![controller_reference(&SERVICE, &self.service.metadata)]),
                ..ObjectMeta::default()
            },
            ports: Some(endpoint_ports(ports)),
        };
        self.created += 1;
        let object = with_header(&ENDPOINT_SLICE, &slice);
        self.plan.actions.push(Action::Create { resource: ENDPOINT_SLICE, object });
    }

    /// The labels of the Service, and ours over them.
    fn labels(&self) -> Labels {
        let mut labels = self.service.metadata.labels.clone().unwrap_or_default();
        labels.retain(|key, _| key != HEADLESS);
        if self.service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
            labels.insert(HEADLESS.to_owned(), String::new());
        }
        labels.insert(SERVICE_NAME.to_owned(), name(&self.service.metadata).to_owned());
        labels.insert(MANAGED_BY.to_owned(), OUR_NAME.to_owned());
        labels
    }
}

fn target_uid(endpoint: &Endpoint) -> Option<&str> {
    endpoint.target_ref.as_ref()?.uid.as_deref()
}

/// Whether a change of a pod can change a slice: what is compared is exactly what `endpoint` and `resolve` read.
pub fn concerns(old: &Pod, new: &Pod) -> bool {
    let view = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        (
            address(pod),
            is_ready(pod),
            is_terminal(pod),
            is_deleting(&pod.metadata),
            spec.and_then(|spec| spec.node_name.clone()),
            spec.and_then(|spec| spec.hostname.clone()),
        )
    };
    view(old) != view(new) || old.metadata.labels != new.metadata.labels
}

#[cfg(test)]
mod tests;
