//! Services: cluster addresses from the service CIDR and node ports.
//!
//! The ledger is rebuilt from the stored services at open and lives in memory; it is right because every service passes
//! through these hooks. Invariant: an address or port belongs to at most one service.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::Ipv4Addr;
use std::sync::Arc;

use konzert_api::{ApiError, FieldError, meta};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Hooks, Reservation, Write};
use crate::error::ApiServerError;
use crate::registry::{Mode, Place};

const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
/// The start of the range is left to addresses that people choose themselves.
const STATIC_BAND_MAX: u32 = 256;

/// Who holds which address and port.
pub(crate) struct ServiceLedger {
    first: u32,
    last: u32,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    addresses: HashMap<Ipv4Addr, String>,
    ports: HashMap<u16, String>,
    next_address: u32,
    next_port: u16,
}

/// What one write took.
#[derive(Default)]
struct Taken {
    addresses: Vec<Ipv4Addr>,
    ports: Vec<u16>,
}

impl ServiceLedger {
    pub(crate) fn new((address, prefix): (Ipv4Addr, u8)) -> Result<Self, ApiServerError> {
        let refuse = |why| ApiServerError::ServiceCidr { cidr: format!("{address}/{prefix}"), why };
        if !(8..=29).contains(&prefix) {
            return Err(refuse("the prefix length must be between 8 and 29"));
        }
        let size = 1_u32 << (32 - u32::from(prefix));
        let base = u32::from(address) & !(size - 1);
        // Neither the network address, nor the one Kubernetes gives to itself, nor the broadcast address.
        let (first, last) = (base + 2, base + size - 2);
        let band = (size / 16).clamp(16, STATIC_BAND_MAX).min(size / 2);
        let held = Held { next_address: first + band, next_port: *NODE_PORTS.start(), ..Held::default() };
        Ok(Self { first, last, held: Mutex::new(held) })
    }

    /// The first address, which Kubernetes gives to the API server.
    pub(crate) fn api_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first - 1)
    }

    /// Takes what a stored service holds; for the start.
    pub(crate) fn restore(&self, place: &Place, service: &Value) {
        let owner = owner(place, meta::name(service));
        let mut held = self.held.lock();
        for address in addresses(service) {
            held.addresses.insert(address, owner.clone());
        }
        for port in ports(service) {
            held.ports.insert(port, owner.clone());
        }
    }

    fn give_back(&self, taken: &Taken) {
        let mut held = self.held.lock();
        for address in &taken.addresses {
            held.addresses.remove(address);
        }
        for port in &taken.ports {
            held.ports.remove(port);
        }
    }

    /// Leaves the owner exactly what is in `service`.
    fn settle(&self, owner: &str, service: Option<&Value>) {
        let (addresses, ports) = service.map(|s| (addresses(s), ports(s))).unwrap_or_default();
        let mut held = self.held.lock();
        held.addresses.retain(|address, o| o != owner || addresses.contains(address));
        held.ports.retain(|port, o| o != owner || ports.contains(port));
    }

    fn fill(&self, owner: &str, service: &mut Value, taken: &mut Taken) -> Result<(), FieldError> {
        let mut held = self.held.lock();
        self.fill_address(&mut held, owner, service, taken)?;
        fill_ports(&mut held, owner, service, taken)
    }

    fn fill_address(
        &self,
        held: &mut Held,
        owner: &str,
        service: &mut Value,
        taken: &mut Taken,
    ) -> Result<(), FieldError> {
        if text(service, "/spec/type") == "ExternalName" {
            return Ok(());
        }
        let asked = match text(service, "/spec/clusterIP") {
            "" => text(service, "/spec/clusterIPs/0"),
            asked => asked,
        }
        .to_owned();
        let address = match asked.as_str() {
            "None" => "None".to_owned(),
            "" => self.next_address(held, owner, taken)?.to_string(),
            _ => self.take_address(held, owner, &asked, taken)?.to_string(),
        };
        service["spec"]["clusterIP"] = json!(address);
        service["spec"]["clusterIPs"] = json!([address]);
        Ok(())
    }

    fn take_address(
        &self,
        held: &mut Held,
        owner: &str,
        asked: &str,
        taken: &mut Taken,
    ) -> Result<Ipv4Addr, FieldError> {
        let refuse = |why: &str| {
            FieldError::invalid(
                "spec.clusterIPs",
                json!([asked]),
                format!("failed to allocate IP {asked}: {why}"),
            )
        };
        let address: Ipv4Addr = asked.parse().map_err(|_e| refuse("not a valid IPv4 address"))?;
        if !(self.first - 1..=self.last).contains(&u32::from(address)) {
            let range = format!(
                "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {} to {}",
                Ipv4Addr::from(self.first - 1),
                Ipv4Addr::from(self.last)
            );
            return Err(refuse(&range));
        }
        match held.addresses.get(&address) {
            Some(other) if other != owner => return Err(refuse("provided IP is already allocated")),
            Some(_) => {}
            None => {
                held.addresses.insert(address, owner.to_owned());
                taken.addresses.push(address);
            }
        }
        Ok(address)
    }

    fn next_address(&self, held: &mut Held, owner: &str, taken: &mut Taken) -> Result<Ipv4Addr, FieldError> {
        for _ in self.first..=self.last {
            let candidate = Ipv4Addr::from(held.next_address);
            held.next_address =
                if held.next_address >= self.last { self.first } else { held.next_address + 1 };
            if let Entry::Vacant(free) = held.addresses.entry(candidate) {
                free.insert(owner.to_owned());
                taken.addresses.push(candidate);
                return Ok(candidate);
            }
        }
        Err(FieldError::invalid("spec.clusterIPs", json!([]), "failed to allocate IP: range is full"))
    }
}

fn fill_ports(
    held: &mut Held,
    owner: &str,
    service: &mut Value,
    taken: &mut Taken,
) -> Result<(), FieldError> {
    let wants = matches!(text(service, "/spec/type"), "NodePort" | "LoadBalancer");
    let automatic = service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&json!(false));
    let Some(list) = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut) else { return Ok(()) };
    for (index, port) in list.iter_mut().enumerate() {
        let field = format!("spec.ports[{index}].nodePort");
        let asked = port.get("nodePort").and_then(Value::as_i64).unwrap_or(0);
        if !wants || (asked == 0 && !automatic) {
            continue;
        }
        let number = if asked == 0 {
            held.free_port()
                .ok_or_else(|| FieldError::invalid(field, 0, "the range of node ports is full"))?
        } else {
            requested_port(held, owner, asked, field)?
        };
        if held.ports.insert(number, owner.to_owned()).is_none() {
            taken.ports.push(number);
        }
        port["nodePort"] = json!(number);
    }
    Ok(())
}

fn requested_port(held: &Held, owner: &str, asked: i64, field: String) -> Result<u16, FieldError> {
    let number = u16::try_from(asked).ok().filter(|n| NODE_PORTS.contains(n));
    let Some(number) = number else {
        let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
        return Err(FieldError::invalid(field, asked, why));
    };
    match held.ports.get(&number) {
        Some(other) if other != owner => {
            Err(FieldError::invalid(field, asked, "provided port is already allocated"))
        }
        _ => Ok(number),
    }
}

impl Held {
    fn free_port(&mut self) -> Option<u16> {
        for _ in NODE_PORTS {
            let candidate = self.next_port;
            self.next_port = if candidate == *NODE_PORTS.end() { *NODE_PORTS.start() } else { candidate + 1 };
            if !self.ports.contains_key(&candidate) {
                return Some(candidate);
            }
        }
        None
    }
}

fn owner(place: &Place, name: &str) -> String {
    format!("{}/{name}", place.namespace.as_deref().unwrap_or_default())
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn addresses(service: &Value) -> Vec<Ipv4Addr> {
    text(service, "/spec/clusterIP").parse().into_iter().collect()
}

fn ports(service: &Value) -> Vec<u16> {
    let list = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|p| p.get("nodePort")?.as_u64())
        .filter_map(|n| u16::try_from(n).ok())
        .filter(|n| *n > 0)
        .collect()
}

pub(super) fn before_create(
    hooks: &Hooks,
    write: &Write<'_>,
    service: &mut Value,
) -> Result<Reservation, ApiError> {
    reserve(hooks, write, service)
}

pub(super) fn before_update(
    hooks: &Hooks,
    write: &Write<'_>,
    _old: &Value,
    new: &mut Value,
    mode: Mode,
) -> Result<Reservation, ApiError> {
    if mode != Mode::Whole {
        return Ok(Reservation::default());
    }
    reserve(hooks, write, new)
}

pub(super) fn updated(hooks: &Hooks, place: &Place, service: &Value) {
    hooks.services.settle(&owner(place, meta::name(service)), Some(service));
}

pub(super) fn removed(hooks: &Hooks, place: &Place, service: &Value) {
    hooks.services.settle(&owner(place, meta::name(service)), None);
}

fn reserve(hooks: &Hooks, write: &Write<'_>, service: &mut Value) -> Result<Reservation, ApiError> {
    let mut taken = Taken::default();
    let filled = hooks.services.fill(&owner(write.place, write.name), service, &mut taken);
    let ledger = Arc::clone(&hooks.services);
    let reservation = Reservation::new(move || ledger.give_back(&taken));
    match filled {
        Ok(()) => Ok(reservation),
        Err(error) => Err(ApiError::invalid(&write.place.kind.group_kind(), write.name, vec![error])),
    }
}

/// A change of the type takes what belonged to the old type with it, unless the client changed it, too; otherwise nobody could
/// patch only the type.
pub(super) fn settle_type(old: &Value, new: &mut Value) {
    let kind = text(new, "/spec/type").to_owned();
    if kind == text(old, "/spec/type") || matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        return;
    }
    let mut dependent = vec!["allocateLoadBalancerNodePorts", "externalTrafficPolicy", "healthCheckNodePort"];
    if kind == "ExternalName" {
        dependent.extend([
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
        ]);
    }
    let before = ports(old);
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.retain(|key, value| !(dependent.contains(&key.as_str()) && old["spec"].get(key) == Some(value)));
    let list = spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
    for port in list.filter_map(Value::as_object_mut) {
        let inherited = |n: u64| before.iter().any(|p| u64::from(*p) == n);
        if port.get("nodePort").and_then(Value::as_u64).is_some_and(inherited) {
            port.remove("nodePort");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> ServiceLedger {
        ServiceLedger::new((Ipv4Addr::new(10, 96, 0, 0), 24)).unwrap()
    }

    fn fill(ledger: &ServiceLedger, owner: &str, mut service: Value) -> Result<Value, FieldError> {
        ledger.fill(owner, &mut service, &mut Taken::default()).map(|()| service)
    }

    #[test]
    fn addresses_are_unique_and_come_back() {
        let ledger = ledger();
        let first = fill(&ledger, "a/x", json!({"spec": {"type": "ClusterIP"}})).unwrap();
        let second = fill(&ledger, "a/y", json!({"spec": {"type": "ClusterIP"}})).unwrap();
        assert_ne!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
        let clash =
            fill(&ledger, "a/z", json!({"spec": {"clusterIP": first["spec"]["clusterIP"]}})).unwrap_err();
        assert!(clash.detail.contains("already allocated"), "{clash}");
        ledger.settle("a/x", None);
        assert!(fill(&ledger, "a/z", json!({"spec": {"clusterIP": first["spec"]["clusterIP"]}})).is_ok());
    }

    #[test]
    fn the_range_ends() {
        let ledger = ServiceLedger::new((Ipv4Addr::new(10, 0, 0, 0), 29)).unwrap();
        let given = (0..5).map(|n| fill(&ledger, &format!("a/{n}"), json!({"spec": {}})).unwrap());
        assert_eq!(given.count(), 5);
        assert!(fill(&ledger, "a/z", json!({"spec": {}})).unwrap_err().detail.contains("full"));
        assert!(fill(&ledger, "a/z", json!({"spec": {"clusterIP": "10.9.0.1"}})).is_err());
        assert!(fill(&ledger, "a/z", json!({"spec": {"clusterIP": "None"}})).is_ok());
        assert!(ServiceLedger::new((Ipv4Addr::new(10, 0, 0, 0), 31)).is_err());
    }

    #[test]
    fn node_ports() {
        let ledger = ledger();
        let service =
            |port: i64| json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}});
        let first = fill(&ledger, "a/x", service(0)).unwrap();
        assert_eq!(ports(&first), [30000]);
        assert!(fill(&ledger, "a/y", service(30000)).unwrap_err().detail.contains("already allocated"));
        assert!(fill(&ledger, "a/y", service(80)).unwrap_err().detail.contains("valid range"));
        let mut back = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30000}]}});
        settle_type(&first, &mut back);
        ledger.fill("a/x", &mut back, &mut Taken::default()).unwrap();
        ledger.settle("a/x", Some(&back));
        assert!(ports(&back).is_empty());
        assert!(fill(&ledger, "a/y", service(30000)).is_ok());
    }
}
