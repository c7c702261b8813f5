//! What the engine and a shim say to each other: one JSON value a line, over the shim's socket.
//!
//! A connection carries one request. `Watch` stays open: the first answer says what became of the start (it waits for it), the
//! second is the exit; the end of the stream without an exit means that the shim died. An exec's answer is followed by the
//! output, as many raw bytes as it says.

use std::io;

use serde::{Deserialize, Serialize};

use crate::observed::Exit;
use crate::record::{Failure, StartRecord};

/// Longest request line a shim reads.
pub(crate) const MAX_REQUEST_BYTES: usize = 256 << 10;
/// Longest answer line the engine reads.
pub(crate) const MAX_REPLY_BYTES: u64 = 64 << 10;
/// Most output bytes of one exec.
pub(crate) const MAX_EXEC_OUTPUT_BYTES: usize = 16 << 20;

/// From the engine to a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Tell how the start went, then the exit.
    Watch,
    /// Send a signal to the container's first process.
    Signal(i32),
    /// Run a program inside the container.
    Exec {
        /// Program and arguments.
        args: Vec<String>,
        /// When to give up, in milliseconds.
        timeout_ms: u64,
        /// How much output to keep.
        output_limit_bytes: usize,
    },
}

/// From a shim to the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The program runs.
    Running(StartRecord),
    /// The program, of the container or of an exec, could not be started.
    Failed(Failure),
    /// The container has ended.
    Exited(Exit),
    /// Done as asked.
    Done,
    /// Not done.
    Refused(String),
    /// An exec is over; `output_bytes` raw bytes follow.
    Executed {
        /// Exit code, 128 + signal for a signal; `None` if the time was up.
        code: Option<i32>,
        /// Length of what follows.
        output_bytes: usize,
        /// Whether output was thrown away.
        truncated: bool,
    },
}

/// One message as a line.
pub(crate) fn line(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).expect("messages have only text keys and finite numbers");
    bytes.push(b'\n');
    bytes
}

/// Understands one line; an empty one is the end of the stream.
pub(crate) fn parse_reply(bytes: &[u8]) -> io::Result<Option<Reply>> {
    match bytes.split_last() {
        None => Ok(None),
        Some((b'\n', message)) => Ok(Some(serde_json::from_slice(message)?)),
        Some(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}
