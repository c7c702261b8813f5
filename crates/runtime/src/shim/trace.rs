//! Catches what libcontainer says about a failure.
//!
//! Its errors name only the step ("failed to prepare rootfs"); the cause is in trace events, and those happen in processes it
//! forks. So the catcher writes to a memory file that all of them share, and the shim reads it after a failure.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};

use rustix::fs::MemfdFlags;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Longest line kept of one event.
const MAX_LINE_BYTES: usize = 512;
/// Most bytes of all events read back.
const MAX_TOTAL_BYTES: u64 = 16 << 10;
/// How many lines go into a message.
const LINES_IN_MESSAGE: usize = 2;

/// Error events of this process and its forks.
pub(super) struct Caught {
    file: File,
}

impl Caught {
    /// Starts catching, for the rest of this process's life.
    pub(super) fn start() -> io::Result<Self> {
        let file = File::from(rustix::fs::memfd_create("konzert-trace", MemfdFlags::CLOEXEC)?);
        let catcher = Catcher { file: file.try_clone()? };
        tracing::subscriber::set_global_default(catcher)
            .map_err(|error| io::Error::new(io::ErrorKind::AlreadyExists, error))?;
        Ok(Self { file })
    }

    /// The first lines caught, each once.
    pub(super) fn first_lines(mut self) -> Vec<String> {
        let mut text = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.take(MAX_TOTAL_BYTES).read_to_end(&mut text));
        if read.is_err() {
            return Vec::new();
        }
        let mut lines: Vec<String> = Vec::new();
        for line in String::from_utf8_lossy(&text).lines() {
            if !lines.iter().any(|known| known == line) {
                lines.push(line.to_owned());
            }
        }
        // The innermost function speaks first, so the cause is at the front; what follows repeats it from further out.
        lines.truncate(LINES_IN_MESSAGE);
        lines
    }
}

/// A subscriber that knows no spans and writes error events down.
struct Catcher {
    file: File,
}

impl Subscriber for Catcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut text = line.message;
        for field in [line.fields, line.error] {
            if !field.is_empty() {
                text.push_str(if text.is_empty() { "" } else { ": " });
                text.push_str(&field);
            }
        }
        let mut end = text.len().min(MAX_LINE_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        let mut text = text.replace('\n', " ");
        text.push('\n');
        // Nothing can be done about a full memory file; the outer error is still reported.
        (&self.file).write_all(text.as_bytes()).ok();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Message first, then what it is about, the error last; arguments and environments are left out, they may be secret.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    error: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let into = match field.name() {
            "message" => &mut self.message,
            "err" | "error" | "errno" | "e" => &mut self.error,
            "path" | "mount" | "rootfs" | "dest" | "source" | "id" | "uid" | "gid" => &mut self.fields,
            _ => return,
        };
        let separator = if into.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        write!(into, "{separator}{value:?}").ok();
    }
}
