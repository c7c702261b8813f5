//! Reading `nf_tables` back: what is there when the network opens.

use nix::errno::Errno;

use crate::NetworkError;
use crate::attribute::{Writer, attribute, attribute_at, attributes};
use crate::netlink::{ACK, DUMP, Message, Netlink};
use crate::nft::{FAMILY_IPV4, SUBSYSTEM, TABLE_NAME, TABLE_USERDATA, header};

const GET_TABLE: u16 = 1;
const GET_CHAIN: u16 = 4;
const GET_SET: u16 = 10;
const GET_ELEMENT: u16 = 13;
/// Every message names its table first; chains and sets have their own name at these places.
const CHAIN_NAME: u16 = 3;
const SET_NAME: u16 = 2;

/// The note of a table, or `None` when there is no such table.
pub(crate) fn table_note(netlink: &mut Netlink, table: &str) -> Result<Option<Vec<u8>>, NetworkError> {
    let mut writer = Writer::with_header(&header(FAMILY_IPV4, 0));
    writer.text(TABLE_NAME, table);
    let message = Message { kind: SUBSYSTEM << 8 | GET_TABLE, flags: ACK, body: writer.into_bytes() };
    match netlink.request(message, "look up the service table") {
        Ok(answers) => Ok(answers.first().map(|(_, body)| {
            let attributes = body.get(4..).unwrap_or_default();
            attribute(attributes, TABLE_USERDATA).unwrap_or_default().to_vec()
        })),
        Err(error) if error.is(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The base chains of all tables that drop forwarded IPv4 packets unless one of their rules says otherwise,
/// as `table/chain`.
pub(crate) fn chains_that_drop_forwarded(netlink: &mut Netlink) -> Result<Vec<String>, NetworkError> {
    const FAMILY_INET: u8 = 1;
    const FORWARD: u32 = 2;
    const DROP: u32 = 0;
    let message = Message { kind: SUBSYSTEM << 8 | GET_CHAIN, flags: DUMP, body: header(0, 0).to_vec() };
    let name = |body: &[u8]| {
        let (family, attributes) = (*body.first()?, body.get(4..)?);
        let number =
            |path: &[u16]| Some(u32::from_be_bytes(attribute_at(attributes, path)?.try_into().ok()?));
        let drops = matches!(family, FAMILY_IPV4 | FAMILY_INET)
            && number(&[4, 1]) == Some(FORWARD)
            && number(&[5]) == Some(DROP);
        drops.then(|| Some(format!("{}/{}", text(attributes, TABLE_NAME)?, text(attributes, CHAIN_NAME)?)))?
    };
    Ok(netlink
        .request(message, "list the chains of the firewall")?
        .iter()
        .filter_map(|(_, body)| name(body))
        .collect())
}

fn text(attributes: &[u8], kind: u16) -> Option<String> {
    Some(String::from_utf8_lossy(attribute(attributes, kind)?).trim_end_matches('\0').to_owned())
}

/// The names of the chains and sets of a table.
pub(crate) fn names(netlink: &mut Netlink, table: &str) -> Result<Vec<String>, NetworkError> {
    let mut names = Vec::new();
    for (kind, name) in [(GET_CHAIN, CHAIN_NAME), (GET_SET, SET_NAME)] {
        let mut writer = Writer::with_header(&header(FAMILY_IPV4, 0));
        writer.text(TABLE_NAME, table);
        let message = Message { kind: SUBSYSTEM << 8 | kind, flags: DUMP, body: writer.into_bytes() };
        let answers = netlink.request(message, "list the service table")?;
        let ours = |body: &&[u8]| text(body, TABLE_NAME).as_deref() == Some(table);
        let bodies = answers.iter().filter_map(|(_, body)| body.get(4..)).filter(ours);
        names.extend(bodies.filter_map(|body| text(body, name)));
    }
    Ok(names)
}

/// The elements of a verdict map: key, and the chain that it leads to.
pub(crate) fn verdicts(
    netlink: &mut Netlink,
    table: &str,
    map: &str,
) -> Result<Vec<(Vec<u8>, String)>, NetworkError> {
    const ELEMENTS: u16 = 3;
    let mut writer = Writer::with_header(&header(FAMILY_IPV4, 0));
    writer.text(TABLE_NAME, table).text(SET_NAME, map);
    let message = Message { kind: SUBSYSTEM << 8 | GET_ELEMENT, flags: DUMP, body: writer.into_bytes() };
    let answers = netlink.request(message, "list the services of the table")?;
    let lists = answers.iter().filter_map(|(_, body)| attribute(body.get(4..)?, ELEMENTS));
    let elements = lists.flat_map(attributes).filter_map(|(_, element)| {
        let key = attribute_at(element, &[1, 1])?.to_vec();
        Some((key, text(attribute_at(element, &[2, 2])?, 2)?))
    });
    Ok(elements.collect())
}
