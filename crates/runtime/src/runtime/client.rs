//! Asking a shim: one connection, one request, one answer.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Entry, shim_error};
use crate::error::RuntimeError;
use crate::protocol::{self, MAX_EXEC_OUTPUT_BYTES, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Reply, Request};
use crate::record::ShimDir;
use crate::spec::ContainerId;

/// Connects to the shim of a directory. Does not wait: a listening socket takes connections before it is asked to.
pub(super) fn connect(dir: &ShimDir) -> io::Result<StdStream> {
    let (_held, path) = dir.socket()?;
    StdStream::connect(path)
}

/// Asks and reads the answer with the bytes that follow it.
pub(super) async fn ask(
    entry: &Entry,
    request: &Request,
    timeout: Duration,
) -> Result<(Reply, Vec<u8>), RuntimeError> {
    let line = protocol::line(request);
    if line.len() > MAX_REQUEST_BYTES {
        let message = format!("the request is longer than {MAX_REQUEST_BYTES} bytes");
        return Err(RuntimeError::Refused { id: entry.id.to_string(), message });
    }
    let answer = async {
        let stream = connect(&entry.dir)?;
        stream.set_nonblocking(true)?;
        let mut stream = BufReader::new(UnixStream::from_std(stream)?);
        stream.write_all(&line).await?;
        let reply = read_reply(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = if let Reply::Executed { output_bytes, .. } = reply { output_bytes } else { 0 };
        let mut output = vec![0; length.min(MAX_EXEC_OUTPUT_BYTES)];
        stream.read_exact(&mut output).await?;
        Ok((reply, output))
    };
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if entry.dir.read_exit().is_some() => {
            // It ended while we asked; the error only says so in other words.
            drop::<io::Error>(error);
            Err(RuntimeError::NotRunning { id: entry.id.to_string() })
        }
        Ok(Err(error)) => Err(shim_error(&entry.id, error)),
        Err(_) => Err(shim_error(&entry.id, io::Error::from(io::ErrorKind::TimedOut))),
    }
}

/// Reads one message; `None` at the end of the stream.
pub(super) async fn read_reply(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Reply>> {
    let mut bytes = Vec::new();
    from.take(MAX_REPLY_BYTES).read_until(b'\n', &mut bytes).await?;
    protocol::parse_reply(&bytes)
}

/// An answer that does not fit the question.
pub(super) fn unexpected(id: &ContainerId, reply: &Reply) -> RuntimeError {
    shim_error(id, io::Error::new(io::ErrorKind::InvalidData, format!("unexpected answer {reply:?}")))
}
