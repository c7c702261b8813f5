//! Our nftables table: what is in it, and how it changes.
//!
//! ```text
//! prerouting, output (nat)   address . protocol . port  → services map  → chain of the service
//!                            local address: protocol . port → node port map → the same chain
//! chain svc-N                random number below the endpoint count → map ep-M → translate to address and port
//! forward, output (filter)   still addressed to the service range: no endpoints or no such service → reject
//! postrouting (nat)          a pod to itself through a service → from the gateway; a pod to the outside → masquerade
//! ```
//! A transaction is atomic for the table, but not for a packet that is inside it at that moment: the kernel
//! looks up which generation is current once for the rules and again for each map, and a new chain is empty
//! in the old generation. So a change goes in steps:
//! 1. prepare: new maps of endpoints, and new chains, which nothing leads to yet;
//! 2. switch, in one transaction: the rule of each changed service, and the elements that lead to services
//!    that come or go. A chain stays as long as its service has endpoints, and both the old and the new rule
//!    work throughout;
//! 3. sweep, at a later change: what nothing has led to for a while.
//!
//! All of it costs what changed, not what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use crate::NetworkError;
use crate::frame::{
    HAIRPIN, Layout, NODE_PORTS, SERVICES, add_endpoints, hairpin_key, node_port_key, parse_node_port_key,
    parse_service_key, service_key, to_endpoint, write_frame,
};
use crate::inspect::{chains_that_drop_forwarded, names, table_note, verdicts};
use crate::netlink::Netlink;
use crate::nft::{Data, Transaction};
use crate::service::{Key, Protocol, Services, UdpFlows};

/// How long a packet could possibly be on its way through the rules, with much to spare.
pub(crate) const REST: Duration = Duration::from_secs(2);

const CHAIN: &str = "svc-";
const MAP: &str = "ep-";

fn chain_name(number: u64) -> String {
    format!("{CHAIN}{number}")
}

fn map_name(number: u64) -> String {
    format!("{MAP}{number}")
}

/// A service with endpoints, as it is in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Served {
    chain: u64,
    /// The map that its rule uses, and what is in it. Not known when an earlier process made them.
    map: Option<(u64, BTreeSet<SocketAddrV4>)>,
}

type NodePorts = BTreeMap<(Protocol, u16), u64>;

/// Names in the table that nothing leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unused {
    chains: Vec<String>,
    maps: Vec<String>,
}

impl Unused {
    /// Chains go first: their rules use the maps.
    fn delete(&self, transaction: &mut Transaction) {
        self.chains.iter().for_each(|name| transaction.delete_chain(name));
        self.maps.iter().for_each(|name| transaction.delete_set(name));
    }

    fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.maps.is_empty()
    }
}

/// What is in the table, as far as services go.
#[derive(Debug, Default)]
struct Contents {
    served: BTreeMap<Key, Served>,
    node_ports: NodePorts,
    /// The highest number of a chain or map.
    counter: u64,
    /// Maps of an earlier process; they are unused once every service has a map of ours.
    old_maps: Vec<String>,
}

/// The steps from the present contents to the wanted ones.
struct Plan {
    prepare: Transaction,
    switch: Transaction,
    changes: Vec<(Key, Option<Served>)>,
    node_ports: NodePorts,
    counter: u64,
    /// What is new in the table: unused if the switch fails.
    made: Unused,
    /// What the switch makes unused.
    replaced: Unused,
    flows: UdpFlows,
}

impl Contents {
    /// Finds out what an earlier process left, and what of it nothing leads to. `None` when there are things
    /// that we never write.
    fn read(netlink: &mut Netlink, table: &str) -> Result<Option<(Self, Unused)>, NetworkError> {
        let number = |name: &str, kind: &str| name.strip_prefix(kind)?.parse::<u64>().ok();
        let mut contents = Self::default();
        let mut unused = Unused::default();
        for (key, chain) in verdicts(netlink, table, SERVICES)? {
            let (Some(key), Some(chain)) = (parse_service_key(&key), number(&chain, CHAIN)) else {
                return Ok(None);
            };
            contents.served.insert(key, Served { chain, map: None });
        }
        for (key, chain) in verdicts(netlink, table, NODE_PORTS)? {
            let (Some(key), Some(chain)) = (parse_node_port_key(&key), number(&chain, CHAIN)) else {
                return Ok(None);
            };
            contents.node_ports.insert(key, chain);
        }
        let used: BTreeSet<u64> = contents.served.values().map(|served| served.chain).collect();
        for name in names(netlink, table)? {
            let (chain, map) = (number(&name, CHAIN), number(&name, MAP));
            contents.counter = contents.counter.max(chain.or(map).unwrap_or(0));
            match (chain, map) {
                (Some(chain), _) if !used.contains(&chain) => unused.chains.push(name),
                (_, Some(_)) => contents.old_maps.push(name),
                _ => {}
            }
        }
        Ok(Some((contents, unused)))
    }

    fn plan(&self, table: &str, services: &Services) -> Plan {
        let mut plan = Plan {
            prepare: Transaction::new(table),
            switch: Transaction::new(table),
            changes: Vec::new(),
            node_ports: NodePorts::new(),
            counter: self.counter,
            made: Unused::default(),
            replaced: Unused { chains: Vec::new(), maps: self.old_maps.clone() },
            flows: UdpFlows::new(),
        };
        let wanted = || services.iter().filter(|(_, target)| !target.endpoints.is_empty());
        for (key, served) in
            self.served.iter().filter(|(key, _)| services.get(key).is_none_or(|t| t.endpoints.is_empty()))
        {
            plan.end(*key, served);
        }
        let mut new = Vec::new();
        for (key, target) in wanted() {
            let chain = match self.served.get(key) {
                Some(Served { chain, map: Some((_, endpoints)) }) if *endpoints == target.endpoints => *chain,
                Some(served) => plan.change(*key, served, &target.endpoints),
                None => {
                    let chain = plan.start(*key, &target.endpoints);
                    new.push((service_key(*key), Data::Goto(chain_name(chain))));
                    chain
                }
            };
            if let Some(port) = target.node_port {
                plan.node_ports.insert((key.protocol, port), chain);
            }
        }
        plan.switch.add_elements(SERVICES, &new);
        plan.move_node_ports(&self.node_ports);
        plan.note_node_port_flows(&self.node_ports, services);
        plan
    }

    /// The switch was made.
    fn follow(&mut self, plan: Plan) {
        for (key, served) in plan.changes {
            match served {
                Some(served) => self.served.insert(key, served),
                None => self.served.remove(&key),
            };
        }
        self.node_ports = plan.node_ports;
        self.counter = plan.counter;
        self.old_maps.clear();
    }
}

impl Plan {
    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn make_map(&mut self, endpoints: &BTreeSet<SocketAddrV4>) -> u64 {
        let map = self.number();
        add_endpoints(&mut self.prepare, &map_name(map), endpoints.iter());
        self.made.maps.push(map_name(map));
        map
    }

    /// A service gets endpoints.
    fn start(&mut self, key: Key, endpoints: &BTreeSet<SocketAddrV4>) -> u64 {
        let map = self.make_map(endpoints);
        let chain = self.number();
        self.prepare.add_chain(&chain_name(chain));
        self.prepare.add_rule(&chain_name(chain), to_endpoint(&map_name(map), endpoints.len()));
        self.made.chains.push(chain_name(chain));
        self.changes.push((key, Some(Served { chain, map: Some((map, endpoints.clone())) })));
        chain
    }

    /// A service gets other endpoints.
    fn change(&mut self, key: Key, served: &Served, endpoints: &BTreeSet<SocketAddrV4>) -> u64 {
        let map = self.make_map(endpoints);
        let name = chain_name(served.chain);
        self.switch.delete_rules(&name);
        self.switch.add_rule(&name, to_endpoint(&map_name(map), endpoints.len()));
        self.replaced.maps.extend(served.map.iter().map(|(old, _)| map_name(*old)));
        self.changes.push((key, Some(Served { chain: served.chain, map: Some((map, endpoints.clone())) })));
        self.note_flows(key, endpoints.clone());
        served.chain
    }

    /// A service has no endpoints any more.
    fn end(&mut self, key: Key, served: &Served) {
        self.switch.delete_elements(SERVICES, vec![service_key(key)]);
        self.replaced.chains.push(chain_name(served.chain));
        self.replaced.maps.extend(served.map.iter().map(|(old, _)| map_name(*old)));
        self.changes.push((key, None));
        self.note_flows(key, BTreeSet::new());
    }

    fn note_flows(&mut self, key: Key, endpoints: BTreeSet<SocketAddrV4>) {
        if key.protocol == Protocol::Udp {
            self.flows.insert((Some(key.cluster_ip), key.port), endpoints);
        }
    }

    fn move_node_ports(&mut self, old: &NodePorts) {
        let gone = old.iter().filter(|(port, chain)| self.node_ports.get(port) != Some(chain));
        self.switch.delete_elements(NODE_PORTS, gone.map(|(port, _)| node_port_key(*port)).collect());
        let new = self.node_ports.iter().filter(|(port, chain)| old.get(port) != Some(chain));
        let new: Vec<_> =
            new.map(|(port, chain)| (node_port_key(*port), Data::Goto(chain_name(*chain)))).collect();
        self.switch.add_elements(NODE_PORTS, &new);
    }

    /// A node port is concerned when its service is, or when it is gone.
    fn note_node_port_flows(&mut self, old: &NodePorts, services: &Services) {
        for (protocol, port) in old.keys().filter(|(protocol, _)| *protocol == Protocol::Udp) {
            let now = services
                .iter()
                .find(|(key, target)| key.protocol == *protocol && target.node_port == Some(*port));
            match now {
                None => drop(self.flows.insert((None, *port), BTreeSet::new())),
                Some((key, target)) if self.flows.contains_key(&(Some(key.cluster_ip), key.port)) => {
                    self.flows.insert((None, *port), target.endpoints.clone());
                }
                Some(_) => {}
            }
        }
    }
}

/// The table in the kernel, and what we know is in it.
#[derive(Debug)]
pub(crate) struct Table {
    layout: Layout,
    netlink: Netlink,
    contents: Contents,
    resting: Vec<(Instant, Unused)>,
}

impl Table {
    /// Takes over an existing table of the same layout, or makes a new one.
    pub(crate) fn open(layout: Layout) -> Result<Self, NetworkError> {
        let mut netlink = crate::nft::open()?;
        for chain in chains_that_drop_forwarded(&mut netlink)? {
            tracing::warn!(
                chain,
                "the firewall drops forwarded packets by default: pods may not reach each other or the outside"
            );
        }
        let note = table_note(&mut netlink, &layout.table)?;
        let ours = note.is_some_and(|note| note == layout.note());
        let found = if ours { Contents::read(&mut netlink, &layout.table)? } else { None };
        let replace = found.is_none();
        let (contents, unused) = found.unwrap_or_default();
        let mut table = Self { layout, netlink, contents, resting: vec![(Instant::now(), unused)] };
        if replace {
            table.replace()?;
        }
        Ok(table)
    }

    /// Lets the pod reach itself through a service.
    pub(crate) fn add_pod(&mut self, pod: Ipv4Addr) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(&self.layout.table);
        transaction.add_elements(HAIRPIN, &[(hairpin_key(pod), Data::Nothing)]);
        transaction.commit(&mut self.netlink, "add a pod to the service table")
    }

    /// Forgets the pod; not to know it is fine.
    pub(crate) fn remove_pod(&mut self, pod: Ipv4Addr) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(&self.layout.table);
        transaction.delete_elements(HAIRPIN, vec![hairpin_key(pod)]);
        match transaction.commit(&mut self.netlink, "remove a pod from the service table") {
            Err(error) if error.is(nix::errno::Errno::ENOENT) => Ok(()),
            result => result,
        }
    }

    /// Makes the table serve exactly these services. Returns the UDP flows that are concerned.
    pub(crate) fn apply(&mut self, services: &Services) -> Result<UdpFlows, NetworkError> {
        self.sweep();
        let mut plan = self.contents.plan(&self.layout.table, services);
        let prepared = std::mem::take(&mut plan.prepare).commit(&mut self.netlink, "prepare the services");
        // Numbers are not used again, whatever happens.
        self.contents.counter = plan.counter;
        prepared?;
        let switched = std::mem::take(&mut plan.switch).commit(&mut self.netlink, "switch the services");
        let unused = if switched.is_ok() { &plan.replaced } else { &plan.made };
        if !unused.is_empty() {
            self.resting.push((Instant::now(), unused.clone()));
        }
        switched?;
        let flows = std::mem::take(&mut plan.flows);
        self.contents.follow(plan);
        Ok(flows)
    }

    /// Deletes what nothing has led to for a while. What fails is tried again at the next change.
    fn sweep(&mut self) {
        let rested: Vec<_> = self.resting.extract_if(.., |(since, _)| since.elapsed() >= REST).collect();
        let mut transaction = Transaction::new(&self.layout.table);
        for (_, unused) in &rested {
            unused.delete(&mut transaction);
        }
        if let Err(error) = transaction.commit(&mut self.netlink, "sweep the service table") {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "unused parts of the service table stay for now"
            );
            self.resting.extend(rested);
        }
    }

    /// Makes the table anew, in one transaction.
    fn replace(&mut self) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(&self.layout.table);
        let note = self.layout.note();
        transaction.add_table(&note);
        transaction.delete_table();
        transaction.add_table(&note);
        write_frame(&mut transaction, &self.layout);
        transaction.commit(&mut self.netlink, "make the service table")
    }

    /// Removes the table.
    pub(crate) fn delete(&mut self) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(&self.layout.table);
        transaction.add_table(&[]);
        transaction.delete_table();
        self.contents = Contents::default();
        self.resting.clear();
        transaction.commit(&mut self.netlink, "delete the service table")
    }

    /// The socket, for other things that netfilter is asked.
    pub(crate) fn netlink(&mut self) -> &mut Netlink {
        &mut self.netlink
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{ServiceRules, normalise};

    fn service(ip: u8, protocol: Protocol, endpoints: &[u8], node_port: Option<u16>) -> ServiceRules {
        let endpoints =
            endpoints.iter().map(|n| SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, *n), 80)).collect();
        ServiceRules { cluster_ip: Ipv4Addr::new(10, 96, 0, ip), port: 80, protocol, endpoints, node_port }
    }

    fn kinds(transaction: &Transaction) -> Vec<u16> {
        transaction.messages().iter().map(|message| message.kind & 0xff).collect()
    }

    fn contents(services: &[ServiceRules]) -> Contents {
        let mut contents = Contents::default();
        contents.follow(contents.plan("t", &normalise(services).unwrap()));
        contents
    }

    #[test]
    fn a_change_costs_what_changed() {
        let mut services: Vec<_> = (0..200).map(|ip| service(ip, Protocol::Tcp, &[1, 2, 3], None)).collect();
        let contents = contents(&services);
        assert_eq!(contents.served.len(), 200);
        let plan = contents.plan("t", &normalise(&services).unwrap());
        assert!(plan.prepare.is_empty() && plan.switch.is_empty() && plan.replaced.is_empty());

        services[7] = service(7, Protocol::Tcp, &[1, 2, 3, 4], None);
        services[9] = service(9, Protocol::Tcp, &[], None);
        services.push(service(200, Protocol::Tcp, &[1], None));
        let plan = contents.plan("t", &normalise(&services).unwrap());
        // Two maps with elements, one new chain with its rule; then one rule replaced, one element away, one
        // added.
        insta::assert_compact_debug_snapshot!(kinds(&plan.prepare), @"[16, 9, 12, 9, 12, 3, 6]");
        insta::assert_compact_debug_snapshot!(kinds(&plan.switch), @"[16, 14, 8, 6, 12]");
        insta::assert_compact_debug_snapshot!(plan.replaced, @r#"Unused { chains: ["svc-20"], maps: ["ep-19", "ep-15"] }"#);
        insta::assert_compact_debug_snapshot!(plan.made, @r#"Unused { chains: ["svc-403"], maps: ["ep-401", "ep-402"] }"#);
    }

    #[test]
    fn node_ports_move_between_services() {
        use Protocol::Tcp;
        let contents = contents(&[service(1, Tcp, &[1], Some(30_000)), service(2, Tcp, &[2], Some(30_001))]);
        let new = [
            service(1, Tcp, &[1], None),
            service(2, Tcp, &[2], Some(30_000)),
            service(3, Tcp, &[], Some(30_001)),
        ];
        let plan = contents.plan("t", &normalise(&new).unwrap());
        assert!(plan.prepare.is_empty());
        assert_eq!(kinds(&plan.switch), [16, 14, 12]);
        assert_eq!(plan.node_ports.into_iter().collect::<Vec<_>>(), [((Tcp, 30_000), 4)]);
    }

    #[test]
    fn only_udp_flows_of_changed_services_are_looked_at() {
        use Protocol::{Tcp, Udp};
        let contents = contents(&[
            service(1, Tcp, &[1, 2], Some(30_000)),
            service(3, Udp, &[4, 5], Some(30_000)),
            service(4, Udp, &[6], Some(30_001)),
            service(5, Udp, &[7], None),
        ]);
        let new =
            [service(3, Udp, &[5], Some(30_000)), service(5, Udp, &[7], None), service(6, Udp, &[7], None)];
        let plan = contents.plan("t", &normalise(&new).unwrap());
        let flows: Vec<_> = plan
            .flows
            .iter()
            .map(|((ip, port), endpoints)| (ip.map(|ip| ip.octets()[3]), *port, endpoints.len()))
            .collect();
        assert_eq!(flows, [(None, 30_000, 1), (None, 30_001, 0), (Some(3), 80, 1), (Some(4), 80, 0)]);
    }

    #[test]
    fn what_was_found_is_replaced_service_by_service() {
        let key = Key { cluster_ip: Ipv4Addr::new(10, 96, 0, 1), protocol: Protocol::Tcp, port: 80 };
        let contents = Contents {
            served: BTreeMap::from([(key, Served { chain: 3, map: None })]),
            counter: 9,
            old_maps: vec!["ep-2".into()],
            ..Contents::default()
        };
        let plan = contents.plan("t", &normalise(&[service(1, Protocol::Tcp, &[1], None)]).unwrap());
        assert_eq!((kinds(&plan.prepare), kinds(&plan.switch)), (vec![16, 9, 12], vec![16, 8, 6]));
        assert_eq!(plan.replaced, Unused { chains: vec![], maps: vec!["ep-2".into()] });
        assert_eq!(plan.counter, 10);
    }
}
