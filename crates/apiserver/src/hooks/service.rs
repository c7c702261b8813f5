//! Services: cluster addresses from the service CIDR and node ports.
//!
//! The ledger is rebuilt from the stored services at open and lives in memory; it is right because every service passes
//! through these hooks. Invariants: an address or port belongs to at most one service; it is free only when neither the
//! stored service has it nor a write that is under way wants it. After each write, whatever became of it, the ledger looks at
//! what is stored: several writes of one service may overlap, and the one that lost must not give away what the other holds.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::sync::Arc;

use konzert_api::{ApiError, FieldError, meta};
use konzert_store::Store;
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
    addresses: HashMap<Ipv4Addr, Hold>,
    ports: HashMap<u16, Hold>,
    next_address: u32,
    next_port: u16,
}

/// Who has an address or port.
#[derive(Debug)]
struct Hold {
    owner: String,
    /// The stored service has it.
    stored: bool,
    /// Writes under way that want it.
    writes: usize,
}

/// Takes it for a write; false when somebody else has it.
fn take<K: Eq + Hash>(held: &mut HashMap<K, Hold>, key: K, owner: &str) -> bool {
    let hold = held.entry(key).or_insert_with(|| Hold { owner: owner.to_owned(), stored: false, writes: 0 });
    if hold.owner != owner {
        return false;
    }
    hold.writes += 1;
    true
}

/// Ends a write that took `taken`; `stored` is what the owner has now.
fn settle<K: Copy + Eq + Hash>(held: &mut HashMap<K, Hold>, owner: &str, taken: &[K], stored: &[K]) {
    for key in taken {
        if let Some(hold) = held.get_mut(key) {
            hold.writes = hold.writes.saturating_sub(1);
        }
    }
    for key in stored {
        held.entry(*key).or_insert_with(|| Hold { owner: owner.to_owned(), stored: true, writes: 0 });
    }
    held.retain(|key, hold| {
        if hold.owner == owner {
            hold.stored = stored.contains(key);
        }
        hold.stored || hold.writes > 0
    });
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
        self.settle(&owner(place, meta::name(service)), &Taken::default(), || Some(service.clone()));
    }

    /// Leaves the owner what is in the stored service, and what other writes of it want. The service is read while nobody else
    /// can change the ledger, so that the last one to look sees the last state.
    fn settle(&self, owner: &str, taken: &Taken, stored: impl FnOnce() -> Option<Value>) {
        let mut held = self.held.lock();
        let (addresses, ports) = stored().map(|s| (addresses(&s), ports(&s))).unwrap_or_default();
        settle(&mut held.addresses, owner, &taken.addresses, &addresses);
        settle(&mut held.ports, owner, &taken.ports, &ports);
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
        if !take(&mut held.addresses, address, owner) {
            return Err(refuse("provided IP is already allocated"));
        }
        taken.addresses.push(address);
        Ok(address)
    }

    fn next_address(&self, held: &mut Held, owner: &str, taken: &mut Taken) -> Result<Ipv4Addr, FieldError> {
        for _ in self.first..=self.last {
            let candidate = Ipv4Addr::from(held.next_address);
            held.next_address =
                if held.next_address >= self.last { self.first } else { held.next_address + 1 };
            if !held.addresses.contains_key(&candidate) && take(&mut held.addresses, candidate, owner) {
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
                .ok_or_else(|| FieldError::invalid(field.clone(), 0, "the range of node ports is full"))?
        } else {
            requested_port(asked, field.clone())?
        };
        if !take(&mut held.ports, number, owner) {
            return Err(FieldError::invalid(field, asked, "provided port is already allocated"));
        }
        taken.ports.push(number);
        port["nodePort"] = json!(number);
    }
    Ok(())
}

fn requested_port(asked: i64, field: String) -> Result<u16, FieldError> {
    u16::try_from(asked).ok().filter(|n| NODE_PORTS.contains(n)).ok_or_else(|| {
        let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
        FieldError::invalid(field, asked, why)
    })
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

pub(super) fn removed(hooks: &Hooks, store: &Store, place: &Place, service: &Value) {
    let name = meta::name(service);
    hooks.services.settle(&owner(place, name), &Taken::default(), || stored(store, place, name));
}

fn stored(store: &Store, place: &Place, name: &str) -> Option<Value> {
    place.read(&store.get(&place.key(name))?.value).ok()
}

fn reserve(hooks: &Hooks, write: &Write<'_>, service: &mut Value) -> Result<Reservation, ApiError> {
    let mut taken = Taken::default();
    let owner = owner(write.place, write.name);
    let filled = hooks.services.fill(&owner, service, &mut taken);
    let (ledger, store) = (Arc::clone(&hooks.services), write.registry.store.clone());
    let (place, name) = (write.place.clone(), write.name.to_owned());
    let reservation =
        Reservation::new(move || ledger.settle(&owner, &taken, || stored(&store, &place, &name)));
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

    /// The first write ends, and nothing is under way any more.
    fn settle(ledger: &ServiceLedger, owner: &str, stored: Option<&Value>) {
        let wanted = |hold: &&Hold| hold.owner == owner;
        let mut taken = Taken::default();
        {
            let held = ledger.held.lock();
            taken.addresses.extend(held.addresses.iter().filter(|(_, h)| wanted(h)).map(|(a, _)| *a));
            taken.ports.extend(held.ports.iter().filter(|(_, h)| wanted(h)).map(|(p, _)| *p));
        }
        ledger.settle(owner, &taken, || stored.cloned());
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
        settle(&ledger, "a/x", None);
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
        settle(&ledger, "a/x", Some(&back));
        assert!(ports(&back).is_empty());
        assert!(fill(&ledger, "a/y", service(30000)).is_ok());
    }

    #[test]
    fn the_loser_of_a_race_does_not_give_away_what_the_winner_holds() {
        let ledger = ledger();
        let service = || {
            json!({
                "spec": {
                    "type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30001}],
                },
            })
        };
        let (mut first, mut second) = (Taken::default(), Taken::default());
        ledger.fill("a/x", &mut service(), &mut first).unwrap();
        ledger.fill("a/x", &mut service(), &mut second).unwrap();
        // The second is written, then the first is refused.
        ledger.settle("a/x", &second, || Some(service()));
        ledger.settle("a/x", &first, || Some(service()));
        assert!(fill(&ledger, "a/y", service()).is_err());
        ledger.settle("a/x", &Taken::default(), || None);
        assert!(fill(&ledger, "a/y", service()).is_ok());
    }

    #[test]
    fn what_a_write_wants_stays_taken_while_the_service_is_without_it() {
        let ledger = ledger();
        let service = || json!({"spec": {"clusterIP": "10.96.0.9"}});
        let mut taken = Taken::default();
        ledger.fill("a/x", &mut service(), &mut taken).unwrap();
        // Another write of the same service ends in between.
        ledger.settle("a/x", &Taken::default(), || None);
        assert!(fill(&ledger, "a/y", service()).is_err());
        ledger.settle("a/x", &taken, || None);
        assert!(fill(&ledger, "a/y", service()).is_ok());
    }
}
