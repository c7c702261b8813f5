//! The part of the table that never changes: base chains, the maps that lead to services, and the rules that
//! use them; and what keys and values look like.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::Ipv4Cidr;
use crate::host::GATEWAY;
use crate::nft::{Compare, Data, Field, Hook, Meta, Policy, Rule, SetData, SetShape, Transaction};
use crate::service::{Key, Protocol};

/// Grows when the layout changes; a table with another one is replaced on start.
const LAYOUT: u32 = 1;

pub(crate) const SERVICES: &str = "services";
pub(crate) const NODE_PORTS: &str = "node-ports";
pub(crate) const HAIRPIN: &str = "hairpin";

// The type numbers of the nft program; concatenations are six bits each.
const TYPE_INTEGER: u32 = 4;
const TYPE_ADDRESS: u32 = 7;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;

/// What the table is made for.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) table: String,
    pub(crate) link_prefix: String,
    pub(crate) pods: Ipv4Cidr,
    pub(crate) services: Ipv4Cidr,
}

impl Layout {
    /// Kept with the table. The same words mean that an existing table can stay.
    pub(crate) fn note(&self) -> Vec<u8> {
        format!("konzert {LAYOUT} {} {} {}\0", self.link_prefix, self.pods, self.services).into_bytes()
    }
}

/// Base chains, maps and the rules that never change.
pub(crate) fn write_frame(transaction: &mut Transaction, layout: &Layout) {
    let concat = |types: &[u32]| types.iter().fold(0, |sum, kind| sum << 6 | kind);
    let verdicts =
        |key_bytes, types: &[u32]| SetShape { key_bytes, key_type: concat(types), data: SetData::Verdict };
    transaction.add_set(SERVICES, verdicts(12, &[TYPE_ADDRESS, TYPE_PROTOCOL, TYPE_PORT]));
    transaction.add_set(NODE_PORTS, verdicts(8, &[TYPE_PROTOCOL, TYPE_PORT]));
    let pairs =
        SetShape { key_bytes: 8, key_type: concat(&[TYPE_ADDRESS, TYPE_ADDRESS]), data: SetData::Nothing };
    transaction.add_set(HAIRPIN, pairs);

    let hook = |kind, number, priority| Hook { kind, number, priority, policy: Policy::Accept };
    transaction.add_base_chain("prerouting", hook("nat", 0, -100));
    transaction.add_base_chain("output", hook("nat", 3, -100));
    for chain in ["prerouting", "output"] {
        transaction.add_rule(chain, to_service());
        transaction.add_rule(chain, to_node_port());
    }
    transaction.add_base_chain("refuse-forwarded", hook("filter", 2, 0));
    transaction.add_base_chain("refuse-own", hook("filter", 3, 0));
    for chain in ["refuse-forwarded", "refuse-own"] {
        let unserved = || destined(Rule::default(), Compare::Equal, layout.services);
        transaction.add_rule(chain, of_protocol(unserved(), Protocol::Tcp).reset());
        transaction.add_rule(chain, unserved().unreachable());
    }
    transaction.add_base_chain("postrouting", hook("nat", 4, 100));
    let hairpin = Rule::default().load(Field::Source, 0).load(Field::Destination, 1).in_set(HAIRPIN, 0);
    transaction.add_rule("postrouting", hairpin.set(0, &GATEWAY.octets()).translate_source(0));
    transaction.add_rule("postrouting", to_outside(layout));
}

fn to_service() -> Rule {
    let key =
        Rule::default().load(Field::Destination, 0).meta(Meta::Protocol, 1).load(Field::DestinationPort, 2);
    key.do_as(SERVICES, 0)
}

fn to_node_port() -> Rule {
    const LOCAL: u32 = 2;
    let local = Rule::default().destination_type(0).compare(0, Compare::Equal, &LOCAL.to_ne_bytes());
    let local = local.load(Field::Destination, 0).compare(0, Compare::Different, &[127]);
    local.meta(Meta::Protocol, 0).load(Field::DestinationPort, 1).do_as(NODE_PORTS, 0)
}

fn to_outside(layout: &Layout) -> Rule {
    let from_pod = Rule::default().load(Field::Source, 0).mask(0, layout.pods.mask());
    let from_pod = from_pod.compare(0, Compare::Equal, &layout.pods.address().octets());
    let outside = destined(from_pod, Compare::Different, layout.pods);
    // A comparison is as long as its value: this one matches every name that begins so.
    outside
        .meta(Meta::OutputInterface, 0)
        .compare(0, Compare::Different, layout.link_prefix.as_bytes())
        .masquerade()
}

fn destined(rule: Rule, compare: Compare, range: Ipv4Cidr) -> Rule {
    rule.load(Field::Destination, 0).mask(0, range.mask()).compare(0, compare, &range.address().octets())
}

fn of_protocol(rule: Rule, protocol: Protocol) -> Rule {
    rule.meta(Meta::Protocol, 0).compare(0, Compare::Equal, &[protocol.number()])
}

/// The map of the endpoints of one service.
pub(crate) fn add_endpoints<'a>(
    transaction: &mut Transaction,
    map: &str,
    endpoints: impl Iterator<Item = &'a SocketAddrV4>,
) {
    let data = SetData::Value { bytes: 8, kind: TYPE_ADDRESS << 6 | TYPE_PORT };
    transaction.add_set(map, SetShape { key_bytes: 4, key_type: TYPE_INTEGER, data });
    // The random number is in the order of the machine, so its keys are, too.
    let elements: Vec<_> = (0u32..)
        .zip(endpoints)
        .map(|(index, endpoint)| (index.to_ne_bytes().to_vec(), Data::Value(endpoint_value(*endpoint))))
        .collect();
    transaction.add_elements(map, &elements);
}

/// The one rule of a service: to a random endpoint of the map.
pub(crate) fn to_endpoint(map: &str, count: usize) -> Rule {
    let count = u32::try_from(count).expect("the number of endpoints is limited");
    Rule::default().random(count, 0).look_up(map, 0, 1).translate_destination(1, 2)
}

// Every part of a concatenated key fills up to four bytes.

fn padded_port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn padded_protocol(protocol: Protocol) -> [u8; 4] {
    [protocol.number(), 0, 0, 0]
}

pub(crate) fn service_key(key: Key) -> Vec<u8> {
    [key.cluster_ip.octets(), padded_protocol(key.protocol), padded_port(key.port)].concat()
}

pub(crate) fn node_port_key((protocol, port): (Protocol, u16)) -> Vec<u8> {
    [padded_protocol(protocol), padded_port(port)].concat()
}

/// The other way round: `None` for what we do not write.
pub(crate) fn parse_service_key(bytes: &[u8]) -> Option<Key> {
    let (address, rest) = bytes.split_first_chunk::<4>()?;
    let (protocol, port) = parse_node_port_key(rest)?;
    Some(Key { cluster_ip: Ipv4Addr::from(*address), protocol, port })
}

/// The other way round: `None` for what we do not write.
pub(crate) fn parse_node_port_key(bytes: &[u8]) -> Option<(Protocol, u16)> {
    let &[protocol, _, _, _, high, low, _, _] = bytes else { return None };
    let protocol =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|p| p.number() == protocol)?;
    Some((protocol, u16::from_be_bytes([high, low])))
}

pub(crate) fn hairpin_key(pod: Ipv4Addr) -> Vec<u8> {
    [pod.octets(), pod.octets()].concat()
}

fn endpoint_value(endpoint: SocketAddrV4) -> Vec<u8> {
    [endpoint.ip().octets(), padded_port(endpoint.port())].concat()
}
