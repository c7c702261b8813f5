//! What a service is to the network. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::NetworkError;

/// The most services in one table.
const MAX_SERVICES: usize = 20_000;
/// The most endpoints of one service.
const MAX_ENDPOINTS: usize = 5_000;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The number in the IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// One port of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRules {
    /// The virtual address.
    pub cluster_ip: Ipv4Addr,
    /// The port of the service.
    pub port: u16,
    /// The protocol of the port.
    pub protocol: Protocol,
    /// Where connections go, in equal shares. None: connections are refused.
    pub endpoints: Vec<SocketAddrV4>,
    /// The port on the local addresses of the host, if any.
    pub node_port: Option<u16>,
}

/// What identifies a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) cluster_ip: Ipv4Addr,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// Where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) endpoints: BTreeSet<SocketAddrV4>,
    pub(crate) node_port: Option<u16>,
}

/// A list of services in the form that is compared.
pub(crate) type Services = BTreeMap<Key, Target>;

/// Brings a list into order. The first of two entries for the same address or node port counts, and the other
/// one is logged: one bad object must not take all services with it.
pub(crate) fn normalise(rules: &[ServiceRules]) -> Result<Services, NetworkError> {
    let too_many = |what, count, limit| Err(NetworkError::TooMany { what, count, limit });
    if rules.len() > MAX_SERVICES {
        return too_many("services", rules.len(), MAX_SERVICES);
    }
    let mut services = Services::new();
    let mut node_ports = BTreeSet::new();
    for rule in rules {
        if rule.endpoints.len() > MAX_ENDPOINTS {
            return too_many("endpoints", rule.endpoints.len(), MAX_ENDPOINTS);
        }
        let key = Key { cluster_ip: rule.cluster_ip, protocol: rule.protocol, port: rule.port };
        if services.contains_key(&key) {
            tracing::warn!(?key, "two services have the same address; the first one counts");
            continue;
        }
        let node_port = rule.node_port.filter(|port| node_ports.insert((rule.protocol, *port)));
        if node_port != rule.node_port {
            tracing::warn!(?key, node_port = ?rule.node_port, "two services have the same node port; the first one counts");
        }
        services.insert(key, Target { endpoints: rule.endpoints.iter().copied().collect(), node_port });
    }
    Ok(services)
}

/// UDP flows whose translation the kernel remembers, by what the client addressed: a service, or a port on
/// any local address. A flow to an endpoint that is not listed is stale.
pub(crate) type UdpFlows = BTreeMap<(Option<Ipv4Addr>, u16), BTreeSet<SocketAddrV4>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ip: u8, protocol: Protocol, endpoints: &[u8], node_port: Option<u16>) -> ServiceRules {
        let endpoints =
            endpoints.iter().map(|n| SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, *n), 80)).collect();
        ServiceRules { cluster_ip: Ipv4Addr::new(10, 96, 0, ip), port: 80, protocol, endpoints, node_port }
    }

    #[test]
    fn the_first_of_two_claims_counts() {
        let services = normalise(&[
            service(1, Protocol::Tcp, &[1], Some(30_000)),
            service(1, Protocol::Tcp, &[2], None),
            service(2, Protocol::Tcp, &[3], Some(30_000)),
            service(3, Protocol::Udp, &[3], Some(30_000)),
        ])
        .unwrap();
        let found: Vec<_> =
            services.values().map(|target| (target.endpoints.len(), target.node_port)).collect();
        assert_eq!(found, [(1, Some(30_000)), (1, None), (1, Some(30_000))]);
    }

    #[test]
    fn lists_are_bounded() {
        let many = vec![service(1, Protocol::Tcp, &[], None); MAX_SERVICES + 1];
        assert!(matches!(normalise(&many), Err(NetworkError::TooMany { what: "services", .. })));
        let crowded = ServiceRules {
            endpoints: vec![SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 1); MAX_ENDPOINTS + 1],
            ..service(1, Protocol::Tcp, &[], None)
        };
        assert!(matches!(normalise(&[crowded]), Err(NetworkError::TooMany { what: "endpoints", .. })));
    }
}
