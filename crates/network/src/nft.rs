//! The messages that change `nf_tables`: tables, chains, sets, rules and the expressions of rules, as the
//! kernel reads them.
//!
//! Only what our one table needs. Constants are those of `linux/netfilter/nf_tables.h`. A [`Transaction`] is
//! applied by the kernel completely or not at all.

use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::NetworkError;
use crate::attribute::Writer;
use crate::netlink::{ACK, APPEND, CREATE, Message, Netlink};

pub(crate) const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
pub(crate) const FAMILY_IPV4: u8 = 2;

const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;

pub(crate) const TABLE_NAME: u16 = 1;
pub(crate) const TABLE_USERDATA: u16 = 6;

/// The first 32-bit register. Registers are counted from 0 here.
const REGISTER: u32 = 8;
const VERDICT_REGISTER: u32 = 0;

/// The header of every netfilter message.
pub(crate) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// What a set or map holds. The type numbers are those of the `nft` program; they only serve people who list
/// the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetShape {
    pub(crate) key_bytes: u32,
    pub(crate) key_type: u32,
    pub(crate) data: SetData,
}

/// What a key is mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetData {
    Nothing,
    Verdict,
    Value { bytes: u32, kind: u32 },
}

/// What an element maps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Nothing,
    Goto(String),
    Value(Vec<u8>),
}

/// Where a base chain sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) kind: &'static str,
    pub(crate) number: u32,
    pub(crate) priority: i32,
    pub(crate) policy: Policy,
}

/// What happens to a packet that reaches the end of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Accept = 1,
    #[cfg(test)]
    Drop = 0,
}

/// Changes of one table that happen together. The default one is for no table and does nothing.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    table: String,
    messages: Vec<Message>,
    set_ids: u32,
}

/// How many elements go into one message: an attribute is limited to 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 400;

impl Transaction {
    pub(crate) fn new(table: &str) -> Self {
        let begin = Message { kind: BATCH_BEGIN, flags: 0, body: header(0, SUBSYSTEM).to_vec() };
        Self { table: table.to_owned(), messages: vec![begin], set_ids: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.len() <= 1
    }

    fn push(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Writer) -> &mut Writer) {
        let mut writer = Writer::with_header(&header(FAMILY_IPV4, 0));
        writer.text(TABLE_NAME, &self.table);
        fill(&mut writer);
        self.messages.push(Message { kind: SUBSYSTEM << 8 | kind, flags, body: writer.into_bytes() });
    }

    /// Creates the table if it is missing. `note` stays with the table.
    pub(crate) fn add_table(&mut self, note: &[u8]) {
        self.push(NEW_TABLE, CREATE, |message| message.number(2, 0).bytes(TABLE_USERDATA, note));
    }

    /// Deletes the table with all that is in it.
    pub(crate) fn delete_table(&mut self) {
        self.push(DELETE_TABLE, 0, |message| message);
    }

    pub(crate) fn add_base_chain(&mut self, name: &str, hook: Hook) {
        self.push(NEW_CHAIN, CREATE, |message| {
            message
                .text(3, name)
                .nest(4, |hooks| hooks.number(1, hook.number).number(2, hook.priority.cast_unsigned()));
            message.number(5, hook.policy as u32).text(7, hook.kind)
        });
    }

    pub(crate) fn add_chain(&mut self, name: &str) {
        self.push(NEW_CHAIN, CREATE, |message| message.text(3, name));
    }

    /// Deletes all rules of a chain.
    pub(crate) fn delete_rules(&mut self, chain: &str) {
        self.push(DELETE_RULE, 0, |message| message.text(2, chain));
    }

    /// Deletes a chain and its rules.
    pub(crate) fn delete_chain(&mut self, name: &str) {
        self.push(DELETE_CHAIN, 0, |message| message.text(3, name));
    }

    pub(crate) fn add_set(&mut self, name: &str, shape: SetShape) {
        const MAP: u32 = 0x8;
        const VERDICT_TYPE: u32 = 0xffff_ff00;
        self.set_ids += 1;
        let id = self.set_ids;
        self.push(NEW_SET, CREATE, |message| {
            let flags = if shape.data == SetData::Nothing { 0 } else { MAP };
            message.text(2, name).number(3, flags).number(4, shape.key_type).number(5, shape.key_bytes);
            let message = match shape.data {
                SetData::Nothing => message,
                SetData::Verdict => message.number(6, VERDICT_TYPE),
                SetData::Value { bytes, kind } => message.number(6, kind).number(7, bytes),
            };
            message.number(10, id)
        });
    }

    pub(crate) fn delete_set(&mut self, name: &str) {
        self.push(DELETE_SET, 0, |message| message.text(2, name));
    }

    /// Adds elements; those that exist with the same data stay.
    pub(crate) fn add_elements(&mut self, set: &str, elements: &[(Vec<u8>, Data)]) {
        self.elements(NEW_ELEMENT, CREATE, set, elements);
    }

    pub(crate) fn delete_elements(&mut self, set: &str, keys: Vec<Vec<u8>>) {
        let elements: Vec<_> = keys.into_iter().map(|key| (key, Data::Nothing)).collect();
        self.elements(DELETE_ELEMENT, 0, set, &elements);
    }

    fn elements(&mut self, kind: u16, flags: u16, set: &str, elements: &[(Vec<u8>, Data)]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push(kind, flags, |message| {
                message.text(2, set).nest(3, |list| {
                    for element in chunk {
                        list.nest(1, |writer| write_element(writer, element));
                    }
                    list
                })
            });
        }
    }

    pub(crate) fn add_rule(&mut self, chain: &str, rule: Rule) {
        self.push(NEW_RULE, CREATE | APPEND, |message| {
            message.text(2, chain).nest(4, |list| {
                for (name, expression) in rule.expressions {
                    list.nest(1, |entry| entry.text(1, name).nest(2, |data| data.append(&expression)));
                }
                list
            })
        });
    }

    /// The messages as they are sent: for comparing, not for sending.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Sends the transaction. The kernel takes all of it or nothing.
    pub(crate) fn commit(mut self, netlink: &mut Netlink, action: &str) -> Result<(), NetworkError> {
        if self.is_empty() {
            return Ok(());
        }
        if let Some(last) = self.messages.last_mut() {
            last.flags |= ACK;
        }
        self.messages.push(Message { kind: BATCH_END, flags: 0, body: header(0, SUBSYSTEM).to_vec() });
        let outcome = netlink.exchange(&self.messages)?;
        match outcome.refusal {
            None => Ok(()),
            Some(refusal) => {
                let kind = self.messages.get(refusal.index).map_or(0, |message| message.kind & 0xff);
                let step =
                    format!("{action}, step {} of {} (type {kind})", refusal.index, self.messages.len());
                Err(refusal.of(step))
            }
        }
    }
}

fn write_element<'a>(element: &'a mut Writer, (key, data): &(Vec<u8>, Data)) -> &'a mut Writer {
    element.nest(1, |writer| writer.bytes(1, key));
    match data {
        Data::Nothing => element,
        Data::Goto(chain) => element.nest(2, |writer| verdict(writer, chain)),
        Data::Value(value) => element.nest(2, |writer| writer.bytes(1, value)),
    }
}

fn verdict<'a>(writer: &'a mut Writer, chain: &str) -> &'a mut Writer {
    const GOTO: i32 = -4;
    writer.nest(2, |verdict| verdict.number(1, GOTO.cast_unsigned()).text(2, chain))
}

/// Opens a socket to netfilter.
pub(crate) fn open() -> Result<Netlink, NetworkError> {
    Netlink::open(NETLINK_NETFILTER)
}

/// A fact about a packet that is no header field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meta {
    OutputInterface = 7,
    Protocol = 16,
}

/// A header field: base, offset and length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    Source,
    Destination,
    DestinationPort,
}

/// How a comparison goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compare {
    Equal = 0,
    Different = 1,
}

/// The expressions of one rule, in order. Registers are numbered from 0 and hold four bytes each.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    expressions: Vec<(&'static str, Vec<u8>)>,
}

impl Rule {
    fn with(mut self, name: &'static str, fill: impl FnOnce(&mut Writer) -> &mut Writer) -> Self {
        let mut writer = Writer::default();
        fill(&mut writer);
        self.expressions.push((name, writer.into_bytes()));
        self
    }

    /// Loads a header field.
    pub(crate) fn load(self, field: Field, register: u32) -> Self {
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        let (base, offset, length) = match field {
            Field::Source => (NETWORK, 12, 4),
            Field::Destination => (NETWORK, 16, 4),
            Field::DestinationPort => (TRANSPORT, 2, 2),
        };
        self.with("payload", |data| {
            data.number(1, REGISTER + register).number(2, base).number(3, offset).number(4, length)
        })
    }

    /// Loads a fact about the packet.
    pub(crate) fn meta(self, meta: Meta, register: u32) -> Self {
        self.with("meta", |data| data.number(1, REGISTER + register).number(2, meta as u32))
    }

    /// Loads what kind of address the destination is, as the routing table sees it.
    pub(crate) fn destination_type(self, register: u32) -> Self {
        const ADDRESS_TYPE: u32 = 3;
        const DESTINATION: u32 = 2;
        self.with("fib", |data| {
            data.number(1, REGISTER + register).number(2, ADDRESS_TYPE).number(3, DESTINATION)
        })
    }

    /// Goes on when the register begins like, or not like, `value`.
    pub(crate) fn compare(self, register: u32, compare: Compare, value: &[u8]) -> Self {
        self.with("cmp", |data| {
            data.number(1, REGISTER + register).number(2, compare as u32);
            data.nest(3, |writer| writer.bytes(1, value))
        })
    }

    /// Keeps the bits of `mask`.
    pub(crate) fn mask(self, register: u32, mask: u32) -> Self {
        self.with("bitwise", |data| {
            data.number(1, REGISTER + register).number(2, REGISTER + register).number(3, 4);
            data.nest(4, |writer| writer.bytes(1, &mask.to_be_bytes()));
            data.nest(5, |writer| writer.bytes(1, &[0; 4]))
        })
    }

    /// Goes on when the registers are an element of the set.
    pub(crate) fn in_set(self, set: &str, register: u32) -> Self {
        self.with("lookup", |data| data.text(1, set).number(2, REGISTER + register))
    }

    /// Does what the map says for the registers; goes on when it says nothing.
    pub(crate) fn do_as(self, map: &str, register: u32) -> Self {
        self.with("lookup", |data| {
            data.text(1, map).number(2, REGISTER + register).number(3, VERDICT_REGISTER)
        })
    }

    /// Loads what the map says for the registers.
    pub(crate) fn look_up(self, map: &str, register: u32, into: u32) -> Self {
        self.with("lookup", |data| {
            data.text(1, map).number(2, REGISTER + register).number(3, REGISTER + into)
        })
    }

    /// Loads a random number below `count`.
    pub(crate) fn random(self, count: u32, register: u32) -> Self {
        const RANDOM: u32 = 1;
        self.with("numgen", |data| data.number(1, REGISTER + register).number(2, count).number(3, RANDOM))
    }

    /// Loads a constant.
    pub(crate) fn set(self, register: u32, value: &[u8]) -> Self {
        self.with("immediate", |data| {
            data.number(1, REGISTER + register).nest(2, |writer| writer.bytes(1, value))
        })
    }

    /// Sends the packet to the address and port in two registers.
    pub(crate) fn translate_destination(self, address: u32, port: u32) -> Self {
        const DESTINATION: u32 = 1;
        self.with("nat", |data| {
            data.number(1, DESTINATION).number(2, u32::from(FAMILY_IPV4));
            data.number(3, REGISTER + address).number(5, REGISTER + port)
        })
    }

    /// Lets the packet come from the address in a register.
    pub(crate) fn translate_source(self, address: u32) -> Self {
        const SOURCE: u32 = 0;
        self.with("nat", |data| {
            data.number(1, SOURCE).number(2, u32::from(FAMILY_IPV4)).number(3, REGISTER + address)
        })
    }

    /// Lets the packet come from the address of the interface it leaves by.
    pub(crate) fn masquerade(self) -> Self {
        self.with("masq", |data| data)
    }

    /// Answers with a TCP reset.
    pub(crate) fn reset(self) -> Self {
        const TCP_RESET: u32 = 1;
        self.with("reject", |data| data.number(1, TCP_RESET))
    }

    /// Answers with "port unreachable".
    pub(crate) fn unreachable(self) -> Self {
        const ICMP: u32 = 0;
        const PORT_UNREACHABLE: u8 = 3;
        self.with("reject", |data| data.number(1, ICMP).bytes(2, &[PORT_UNREACHABLE]))
    }
}
