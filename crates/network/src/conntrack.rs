//! Forgets the translations of UDP flows whose endpoint is gone.
//!
//! The kernel remembers for each flow where it was sent. A UDP client keeps its ports and never notices that
//! nobody answers, so without this its flow would lead to the old endpoint for as long as it goes on.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::NetworkError;
use crate::attribute::{Writer, attribute, attribute_at};
use crate::netlink::{ACK, DUMP, Message, Netlink};
use crate::nft::header;
use crate::service::{Protocol, UdpFlows};

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const FAMILY_IPV4: u8 = 2;

const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ADDRESSES: u16 = 1;
const TRANSPORT: u16 = 2;
const SOURCE: u16 = 1;
const DESTINATION: u16 = 2;
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

/// Deletes the flows that lead to an endpoint which is not listed. Returns how many there were.
pub(crate) fn forget(netlink: &mut Netlink, flows: &UdpFlows) -> Result<usize, NetworkError> {
    if flows.is_empty() {
        return Ok(0);
    }
    let body = header(FAMILY_IPV4, 0).to_vec();
    let dump = Message { kind: SUBSYSTEM << 8 | GET, flags: DUMP, body };
    let mut forgotten = 0;
    for (_, body) in netlink.request(dump, "list tracked connections")? {
        let entry = body.get(4..).unwrap_or_default();
        let Some(original) = attribute(entry, ORIGINAL).filter(|_| is_stale(entry, flows)) else { continue };
        let mut writer = Writer::with_header(&header(FAMILY_IPV4, 0));
        writer.nest(ORIGINAL, |tuple| tuple.append(original));
        let delete = Message { kind: SUBSYSTEM << 8 | DELETE, flags: ACK, body: writer.into_bytes() };
        match netlink.request(delete, "forget a tracked connection") {
            Ok(_) => forgotten += 1,
            // It ended by itself.
            Err(error) if error.is(nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

fn is_stale(entry: &[u8], flows: &UdpFlows) -> bool {
    let matches = || {
        let protocol = attribute_at(entry, &[ORIGINAL, TRANSPORT, NUMBER])?.first()?;
        if *protocol != Protocol::Udp.number() {
            return None;
        }
        let service = address(attribute_at(entry, &[ORIGINAL, ADDRESSES, DESTINATION])?)?;
        let port = port(attribute_at(entry, &[ORIGINAL, TRANSPORT, DESTINATION_PORT])?)?;
        let endpoint = SocketAddrV4::new(
            address(attribute_at(entry, &[REPLY, ADDRESSES, SOURCE])?)?,
            self::port(attribute_at(entry, &[REPLY, TRANSPORT, SOURCE_PORT])?)?,
        );
        // A flow that was not translated is none of ours, even when it goes to a port with the number of a
        // node port.
        let translated = endpoint != SocketAddrV4::new(service, port);
        let endpoints = flows.get(&(Some(service), port)).or_else(|| flows.get(&(None, port)))?;
        Some(translated && !endpoints.contains(&endpoint))
    };
    matches().unwrap_or(false)
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

fn port(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}
