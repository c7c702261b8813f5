//! One blocking netlink socket, bound to the network namespace of the thread that opened it.
//!
//! Requests are answered before the next one is sent. Blocking is right here: the kernel does the work inside
//! the `send`, and the agent has its own thread.

use std::io;

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::NetworkError;
use crate::attribute::attribute;

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const REPLACE: u16 = 0x100;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;

/// The kernel repeats no payload in its answer, and may append attributes.
const ACK_HAS_ATTRIBUTES: u16 = 0x200;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
const ERROR_TEXT: u16 = 1;
/// A transaction of ten thousand services is some megabytes.
const BUFFER_BYTES: usize = 64 << 20;
const ANSWER_SECONDS: i64 = 10;

/// A message that the kernel sent: its type and its body.
pub(crate) type Answer = (u16, Vec<u8>);

/// What the kernel said about one message.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Which message of the sent ones.
    pub(crate) index: usize,
    pub(crate) errno: i32,
    pub(crate) detail: Option<String>,
}

impl Refusal {
    /// Says what was refused.
    pub(crate) fn of(self, action: impl Into<String>) -> NetworkError {
        let source = io::Error::from_raw_os_error(self.errno);
        NetworkError::Kernel { action: action.into(), detail: self.detail, source }
    }
}

/// What came back for a list of messages.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answers: Vec<Answer>,
    pub(crate) refusal: Option<Refusal>,
}

/// A message to send.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) body: Vec<u8>,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open(protocol: isize) -> Result<Self, NetworkError> {
        let open = || {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            // Without CAP_NET_ADMIN in the first user namespace the force variants fail; then large
            // transactions may, too.
            if setsockopt(&socket, sockopt::SndBufForce, &BUFFER_BYTES).is_err() {
                setsockopt(&socket, sockopt::SndBuf, &BUFFER_BYTES)?;
            }
            if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
                setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
            }
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS))?;
            Ok(socket)
        };
        let socket = open().map_err(|source| NetworkError::Socket { source })?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends one message, and returns what the kernel answers to it.
    pub(crate) fn request(&mut self, message: Message, action: &str) -> Result<Vec<Answer>, NetworkError> {
        let outcome = self.exchange(&[message])?;
        match outcome.refusal {
            Some(refusal) => Err(refusal.of(action)),
            None => Ok(outcome.answers),
        }
    }

    /// Sends messages in one datagram. The last message that asks for an answer must be the last to be
    /// answered.
    pub(crate) fn exchange(&mut self, messages: &[Message]) -> Result<Outcome, NetworkError> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram =
            Vec::with_capacity(messages.iter().map(|message| HEADER + message.body.len() + 4).sum());
        let mut last = first;
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            if message.flags & (ACK | DUMP) != 0 {
                last = self.sequence;
            }
            let length = u32::try_from(HEADER + message.body.len()).expect("bodies are far below 4 GiB");
            datagram.extend_from_slice(&length.to_ne_bytes());
            datagram.extend_from_slice(&message.kind.to_ne_bytes());
            datagram.extend_from_slice(&(message.flags | REQUEST).to_ne_bytes());
            datagram.extend_from_slice(&self.sequence.to_ne_bytes());
            datagram.extend_from_slice(&[0; 4]);
            datagram.extend_from_slice(&message.body);
            datagram.resize(datagram.len().next_multiple_of(4), 0);
        }
        let failed = |source| NetworkError::Socket { source };
        self.socket.send(&datagram, 0).map_err(failed)?;
        let mut outcome = Outcome::default();
        loop {
            let (bytes, _) = self.socket.recv_from_full().map_err(failed)?;
            if read(&bytes, first, last, &mut outcome) {
                return Ok(outcome);
            }
        }
    }
}

/// Reads one datagram; `true` when the last answer was in it.
fn read(mut bytes: &[u8], first: u32, last: u32, outcome: &mut Outcome) -> bool {
    let mut complete = false;
    while bytes.len() >= HEADER {
        let number = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let short = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let length = usize::try_from(number(0)).unwrap_or(usize::MAX).clamp(HEADER, bytes.len());
        let (kind, flags, sequence) = (short(4), short(6), number(8));
        let body = &bytes[HEADER..length];
        // An answer to an earlier request that was given up is not ours.
        let index = sequence.wrapping_sub(first);
        if index <= last.wrapping_sub(first) {
            match kind {
                ERROR | DONE => {
                    let refusal = refusal(body, flags, usize::try_from(index).unwrap_or(0));
                    // The last answer ends the exchange. A batch may also be refused as a whole, at its first
                    // message; an answer that still follows has an old sequence number by then.
                    complete |= sequence == last || (sequence == first && refusal.is_some());
                    outcome.refusal = outcome.refusal.take().or(refusal);
                }
                kind => outcome.answers.push((kind, body.to_vec())),
            }
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    complete
}

fn refusal(body: &[u8], flags: u16, index: usize) -> Option<Refusal> {
    let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
    let errno = code.checked_neg().unwrap_or(Errno::EINVAL as i32);
    // Behind the code comes the header of our message, cut off there because the socket asks for that.
    let detail = (flags & ACK_HAS_ATTRIBUTES != 0)
        .then(|| attribute(body.get(4 + HEADER..)?, ERROR_TEXT))
        .flatten()
        .map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
    (errno != 0).then_some(Refusal { index, errno, detail })
}
