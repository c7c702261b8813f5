//! Links, addresses, routes and neighbours: what `ip` does, over one netlink socket.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::attribute::attribute;
use crate::netlink::{ACK, CREATE, DUMP, EXCLUSIVE, Message, Netlink, REPLACE};
use crate::{Ipv4Cidr, NetworkError};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;

/// The loopback interface is the first one of every namespace.
pub(crate) const LOOPBACK: u32 = 1;
/// Marks our routes, so that people can tell them (`ip route show proto 75`).
const PROTOCOL: RouteProtocol = RouteProtocol::Other(75);

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// Opens a socket in the namespace of the calling thread.
pub(crate) fn open() -> Result<Netlink, NetworkError> {
    Netlink::open(NETLINK_ROUTE)
}

fn message(kind: u16, flags: u16, body: &impl Emitable) -> Message {
    let mut bytes = vec![0; body.buffer_len()];
    body.emit(&mut bytes);
    Message { kind, flags: flags | ACK, body: bytes }
}

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Mac,
}

/// Makes a veth pair: one end here and in the group, the other in the namespace behind `namespace`.
pub(crate) fn add_veth(
    netlink: &mut Netlink,
    here: End<'_>,
    group: u32,
    there: End<'_>,
    namespace: BorrowedFd<'_>,
) -> Result<(), NetworkError> {
    let end =
        |end: End<'_>| [LinkAttribute::IfName(end.name.to_owned()), LinkAttribute::Address(end.mac.to_vec())];
    let mut peer = LinkMessage::default();
    peer.attributes.extend(end(there));
    peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    let mut link = LinkMessage::default();
    link.attributes.extend(end(here));
    link.attributes.push(LinkAttribute::Group(group));
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    let action = format!("make the link {}", here.name);
    netlink.request(message(NEW_LINK, CREATE | EXCLUSIVE, &link), &action).map(drop)
}

fn named(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link
}

/// Deletes a link and its other end; not to exist is fine. By its index, because a name may be used again
/// before this comes to pass.
pub(crate) fn delete_link(netlink: &mut Netlink, index: u32) -> Result<(), NetworkError> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    match netlink.request(message(DELETE_LINK, 0, &link), "delete the link of a pod") {
        Err(error) if error.is(nix::errno::Errno::ENODEV) => Ok(()),
        result => result.map(drop),
    }
}

/// Deletes all links of a group at once, which takes no longer than one.
pub(crate) fn delete_group(netlink: &mut Netlink, group: u32) -> Result<(), NetworkError> {
    let mut links = LinkMessage::default();
    links.attributes.push(LinkAttribute::Group(group));
    match netlink.request(message(DELETE_LINK, 0, &links), "delete the links of the pods") {
        Err(error) if error.is(nix::errno::Errno::ENODEV) => Ok(()),
        result => result.map(drop),
    }
}

/// Index and flags of a link.
fn get_link(
    netlink: &mut Netlink,
    link: &LinkMessage,
    action: String,
) -> Result<(u32, LinkFlags), NetworkError> {
    let answers = netlink.request(message(GET_LINK, 0, link), &action)?;
    let number = |body: &[u8], at: usize| body.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let found = answers.first().and_then(|(_, body)| Some((number(body, 4)?, number(body, 8)?)));
    found.map(|(index, flags)| (index, LinkFlags::from_bits_retain(flags))).ok_or_else(|| {
        let source = std::io::Error::from_raw_os_error(nix::errno::Errno::ENODEV as i32);
        NetworkError::Kernel { action, detail: None, source }
    })
}

/// The index of a link.
pub(crate) fn link_index(netlink: &mut Netlink, name: &str) -> Result<u32, NetworkError> {
    Ok(get_link(netlink, &named(name), format!("look up the link {name}"))?.0)
}

/// Waits until a link that is on, and whose other end is on, carries packets.
///
/// The kernel notices the other end in the background; what is sent before that is lost. For TCP that is a
/// retry, for the first DNS question of a container it is a time-out of five seconds. Asking for the link
/// makes newer kernels notice at once.
pub(crate) fn wait_until_running(netlink: &mut Netlink, index: u32) -> Result<(), NetworkError> {
    const TRIES: u32 = 500;
    let mut link = LinkMessage::default();
    link.header.index = index;
    for _ in 0..TRIES {
        if get_link(netlink, &link, "look up the state of a link".to_owned())?.1.contains(LinkFlags::Running)
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    tracing::warn!(index, "the link of a pod is slow to carry packets");
    Ok(())
}

/// The names of all links.
pub(crate) fn link_names(netlink: &mut Netlink) -> Result<Vec<String>, NetworkError> {
    const NAME: u16 = 3;
    let answers = netlink.request(message(GET_LINK, DUMP, &LinkMessage::default()), "list the links")?;
    let name = |body: &[u8]| {
        let name = attribute(body.get(16..)?, NAME)?;
        Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
    };
    Ok(answers.iter().filter_map(|(_, body)| name(body)).collect())
}

/// Switches a link on.
pub(crate) fn set_up(netlink: &mut Netlink, index: u32) -> Result<(), NetworkError> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    netlink.request(message(NEW_LINK, 0, &link), "switch a link on").map(drop)
}

fn address(ip: Ipv4Addr, index: u32, scope: AddressScope) -> AddressMessage {
    let mut address = AddressMessage::default();
    address.header.family = AddressFamily::Inet;
    address.header.prefix_len = 32;
    address.header.index = index;
    address.header.scope = scope;
    address.attributes =
        vec![AddressAttribute::Local(IpAddr::V4(ip)), AddressAttribute::Address(IpAddr::V4(ip))];
    address
}

/// Gives a link an address of its own (/32).
pub(crate) fn add_address(
    netlink: &mut Netlink,
    ip: Ipv4Addr,
    index: u32,
    scope: AddressScope,
) -> Result<(), NetworkError> {
    let message = message(NEW_ADDRESS, CREATE | EXCLUSIVE, &address(ip, index, scope));
    netlink.request(message, &format!("add the address {ip}")).map(drop)
}

/// Takes an address from a link; not to be there is fine.
pub(crate) fn delete_address(netlink: &mut Netlink, ip: Ipv4Addr, index: u32) -> Result<(), NetworkError> {
    let message = message(DELETE_ADDRESS, 0, &address(ip, index, AddressScope::Link));
    match netlink.request(message, &format!("delete the address {ip}")) {
        Err(error) if error.is(nix::errno::Errno::EADDRNOTAVAIL) => Ok(()),
        result => result.map(drop),
    }
}

/// A route that we make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Cidr,
    pub(crate) way: Way,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Straight out of a link; own packets get this source, if any.
    Link { index: u32, source: Option<Ipv4Addr> },
    /// To a gateway behind a link.
    Gateway { address: Ipv4Addr, index: u32 },
    /// Nowhere: an error comes back.
    Unreachable,
}

impl Route {
    fn message(self) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.address_family = AddressFamily::Inet;
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.protocol = PROTOCOL;
        route.header.destination_prefix_length = self.destination.prefix();
        if self.destination.prefix() > 0 {
            route
                .attributes
                .push(RouteAttribute::Destination(RouteAddress::Inet(self.destination.address())));
        }
        let (kind, scope) = match self.way {
            Way::Link { index, source } => {
                route.attributes.push(RouteAttribute::Oif(index));
                route.attributes.extend(source.map(|ip| RouteAttribute::PrefSource(RouteAddress::Inet(ip))));
                (RouteType::Unicast, RouteScope::Link)
            }
            Way::Gateway { address, index } => {
                route.attributes.push(RouteAttribute::Oif(index));
                route.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(address)));
                (RouteType::Unicast, RouteScope::Universe)
            }
            Way::Unreachable => (RouteType::Unreachable, RouteScope::Universe),
        };
        route.header.kind = kind;
        route.header.scope = scope;
        route
    }
}

/// Whether a route may stand in for an existing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// An existing route to the destination is an error.
    Refuse,
    /// An existing route to the destination is replaced.
    Replace,
}

pub(crate) fn add_route(netlink: &mut Netlink, route: Route, existing: Existing) -> Result<(), NetworkError> {
    let flag = if existing == Existing::Replace { REPLACE } else { EXCLUSIVE };
    let action = format!("add the route to {}", route.destination);
    netlink.request(message(NEW_ROUTE, CREATE | flag, &route.message()), &action).map(drop)
}

/// Deletes a route; not to be there is fine.
pub(crate) fn delete_route(netlink: &mut Netlink, route: Route) -> Result<(), NetworkError> {
    let action = format!("delete the route to {}", route.destination);
    match netlink.request(message(DELETE_ROUTE, 0, &route.message()), &action) {
        Err(error) if error.is(nix::errno::Errno::ESRCH) || error.is(nix::errno::Errno::ENODEV) => Ok(()),
        result => result.map(drop),
    }
}

/// The single addresses in `range` that something is routed to.
pub(crate) fn routed_addresses(
    netlink: &mut Netlink,
    range: Ipv4Cidr,
) -> Result<Vec<Ipv4Addr>, NetworkError> {
    const DESTINATION: u16 = 1;
    const HEADER: usize = 12;
    let mut all = RouteMessage::default();
    all.header.address_family = AddressFamily::Inet;
    let answers = netlink.request(message(GET_ROUTE, DUMP, &all), "list the routes")?;
    let single = |body: &[u8]| {
        let address: [u8; 4] = attribute(body.get(HEADER..)?, DESTINATION)?.try_into().ok()?;
        (body[1] == 32).then(|| Ipv4Addr::from(address)).filter(|address| range.contains(*address))
    };
    Ok(answers.iter().filter_map(|(_, body)| single(body)).collect())
}

/// Says for good which hardware address an address behind a link has.
pub(crate) fn add_neighbour(
    netlink: &mut Netlink,
    ip: Ipv4Addr,
    mac: Mac,
    index: u32,
) -> Result<(), NetworkError> {
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.family = AddressFamily::Inet;
    neighbour.header.ifindex = index;
    neighbour.header.state = NeighbourState::Permanent;
    neighbour.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    let message = message(NEW_NEIGHBOUR, CREATE | REPLACE, &neighbour);
    netlink.request(message, &format!("add the neighbour {ip}")).map(drop)
}
