//! The reader of one log: a task that sends chunks as long as somebody takes them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use rustix::fs::inotify::WatchFlags;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::logs::files::{family, identity, newer, tail_start};
use crate::logs::line::Formatter;
use crate::logs::{Ending, LogError, LogQuery, LogStream};
use crate::notify::DirWatch;

const CHUNK: usize = 64 << 10;
const CHUNKS_AHEAD: usize = 4;

/// Opens the log at `path` and reads it as `query` says.
pub(crate) async fn stream(path: PathBuf, query: LogQuery, ending: Ending) -> Result<LogStream, LogError> {
    // The watch begins before the files are opened, so that nothing is missed in between.
    let io = |source| LogError::Io { path: path.clone(), source };
    let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    let notify =
        query.follow.then(|| DirWatch::new(path.parent().unwrap_or(&path), what)).transpose().map_err(io)?;
    let from = path.clone();
    let tail = query.tail_lines;
    let opened = tokio::task::spawn_blocking(move || open(&from, tail)).await;
    let files = opened.map_err(io::Error::other).and_then(|files| files).map_err(io)?;
    let (tx, rx) = mpsc::channel(CHUNKS_AHEAD);
    let reader = Reader {
        path,
        files,
        format: Formatter::new(query.since, query.timestamps, query.limit_bytes),
        tx: tx.clone(),
    };
    tokio::spawn(async move {
        if let Err(error) = reader.run(notify, ending).await
            && tx.send(Err(error)).await.is_err()
        {
            tracing::debug!("a log reader went away before it could be told of a fault");
        }
    });
    Ok(ReceiverStream::new(rx).boxed())
}

fn open(path: &Path, tail: Option<u64>) -> io::Result<VecDeque<File>> {
    let mut files = family(path)?;
    if let Some(lines) = tail {
        let (index, offset) = tail_start(&files, lines)?;
        files.drain(..index.min(files.len()));
        if let Some(first) = files.first_mut() {
            first.seek(SeekFrom::Start(offset))?;
        }
    }
    Ok(files.into())
}

struct Reader {
    path: PathBuf,
    files: VecDeque<File>,
    format: Formatter,
    tx: mpsc::Sender<io::Result<Bytes>>,
}

impl Reader {
    async fn run(mut self, mut notify: Option<DirWatch>, mut ending: Ending) -> io::Result<()> {
        loop {
            // Asked before reading: what was written before the end is then certainly read.
            let ended = (ending.ended)();
            if let Some(notify) = &mut notify {
                notify.drain()?;
            }
            if !self.read_all().await? {
                return Ok(());
            }
            let Some(notify) = notify.as_mut().filter(|_| !ended) else { return Ok(()) };
            tokio::select! {
                ready = notify.wait() => ready?,
                () = self.tx.closed() => return Ok(()),
                changed = ending.tick.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// Reads to the end of the newest file. Answers whether the reader still wants more.
    async fn read_all(&mut self) -> io::Result<bool> {
        loop {
            let Some(file) = self.files.pop_front() else { return Ok(true) };
            let (file, chunk) = read_chunk(file).await?;
            if !chunk.is_empty() {
                self.files.push_front(file);
                let text = self.format.push(&chunk);
                if !text.is_empty() && self.tx.send(Ok(text.into())).await.is_err() {
                    return Ok(false);
                }
                if self.format.is_full() {
                    return Ok(false);
                }
                continue;
            }
            if self.files.is_empty() {
                let path = self.path.clone();
                let known = identity(&file)?;
                let newer = tokio::task::spawn_blocking(move || newer(&path, known)).await;
                self.files = newer.map_err(io::Error::other)??.into();
            }
            if self.files.is_empty() {
                self.files.push_front(file);
                return Ok(true);
            }
            // It was rotated; its last bytes may have come after our last read.
            let (_, rest) = read_chunk(file).await?;
            let text = self.format.push(&rest);
            self.format.end_of_file();
            if !text.is_empty() && self.tx.send(Ok(text.into())).await.is_err() {
                return Ok(false);
            }
        }
    }
}

async fn read_chunk(mut file: File) -> io::Result<(File, Vec<u8>)> {
    let read = move || {
        let mut chunk = vec![0; CHUNK];
        let count = file.read(&mut chunk)?;
        chunk.truncate(count);
        Ok((file, chunk))
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}
