//! The network of one node: a namespace and an address for each pod, and the virtual addresses of services.
//!
//! Every pod has a routed veth: a /32 inside, a /32 route outside, and the link-local gateway 169.254.1.1 in
//! between. There is no bridge, so hairpin connections and services work without bridge netfilter. Services
//! are one nftables table per engine, changed in one atomic transaction at a time. Everything is done over
//! netlink; no other program is run and no shell.
//!
//! Invariants:
//! 1. Nothing depends on the addresses or the default route of the host: what the host says to a pod comes
//!    from 169.254.1.1.
//! 2. A pod's namespace outlives this process: it is pinned by a bind mount, and found again by
//!    [`Network::open`].
//! 3. A service is never half changed, not even for a packet that is on its way through the rules, and a
//!    restart does not interrupt it: an existing table goes on serving, and the first
//!    [`Network::apply_services`] changes it where it differs.
//! 4. A connection to a service without endpoints, or to an unused service address, is refused at once, never
//!    left hanging.
//! 5. All of this belongs to the network namespace of the thread that called [`Network::open`].
//! 6. [`Network::teardown`] leaves nothing behind, and puts back what was changed.
//!
//! What it does not do: policy, IPv6, session affinity, encryption, several nodes. What a firewall of the
//! host drops stays dropped: an accept in one nftables table cannot overrule a drop in another (a Docker
//! daemon sets such a policy for forwarding), so [`Network::open`] only warns about it. Node ports answer on
//! every local address but 127.0.0.0/8: the kernel does not route loopback addresses out of the machine
//! without `route_localnet`, which would open the loopback services of the host.
#![forbid(unsafe_code)]

mod address;
mod agent;
mod attribute;
mod conntrack;
mod error;
mod frame;
mod host;
mod inspect;
mod netlink;
mod network;
mod nft;
mod pod;
mod reaper;
mod route;
mod service;
mod table;
#[cfg(test)]
mod tests;

pub use address::{CidrError, Ipv4Cidr};
pub use error::NetworkError;
pub use network::{Network, NetworkConfig, PodNetwork};
pub use service::{Protocol, ServiceRules};
