//! The container's log in CRI format, with rotation by size.
//!
//! One line of output is one entry `<RFC 3339 time> <stream> F <text>`; a line longer than 16 KiB becomes several entries, all
//! but the last marked `P`. A file is rotated between entries, never inside one. A disk that refuses writes loses entries, never
//! the container: output is read on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::spec::LogSpec;

/// Longest text of one entry.
const MAX_ENTRY_BYTES: usize = 16 << 10;

/// Which stream an entry came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The log files of one container.
pub(super) struct LogWriter {
    spec: LogSpec,
    file: Option<File>,
    size: u64,
    pending: Vec<u8>,
    partial: [Vec<u8>; 2],
}

impl LogWriter {
    /// Continues the current file, or begins it.
    pub(super) fn open(spec: LogSpec) -> io::Result<Self> {
        let file = open_log(&spec.path)?;
        let size = file.metadata()?.len();
        Ok(Self { spec, file: Some(file), size, pending: Vec::new(), partial: [Vec::new(), Vec::new()] })
    }

    /// Takes bytes a stream has written.
    pub(super) fn write(&mut self, stream: Stream, mut bytes: &[u8], now: Timestamp) {
        while !bytes.is_empty() {
            let room = MAX_ENTRY_BYTES - self.partial[stream as usize].len();
            let (text, rest, whole) = match bytes.iter().take(room + 1).position(|byte| *byte == b'\n') {
                Some(end) => (&bytes[..end], &bytes[end + 1..], true),
                None if bytes.len() > room => (&bytes[..room], &bytes[room..], false),
                None => {
                    self.partial[stream as usize].extend_from_slice(bytes);
                    break;
                }
            };
            self.entry(stream, text, if whole { 'F' } else { 'P' }, now);
            bytes = rest;
        }
        self.flush();
    }

    /// The stream has ended: what it left unfinished becomes an entry.
    pub(super) fn end(&mut self, stream: Stream, now: Timestamp) {
        if !self.partial[stream as usize].is_empty() {
            self.entry(stream, &[], 'F', now);
        }
        self.flush();
    }

    fn entry(&mut self, stream: Stream, text: &[u8], tag: char, now: Timestamp) {
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        // Writing to memory cannot fail.
        write!(self.pending, "{now:.9} {name} {tag} ").ok();
        self.pending.append(&mut self.partial[stream as usize]);
        self.pending.extend_from_slice(text);
        self.pending.push(b'\n');
        if self.spec.max_bytes > 0 && self.size + self.pending.len() as u64 >= self.spec.max_bytes {
            self.flush();
            self.rotate();
        }
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.file.is_none() {
            self.file = open_log(&self.spec.path).ok();
        }
        let written = self.file.as_mut().is_some_and(|file| file.write_all(&self.pending).is_ok());
        if written {
            self.size += self.pending.len() as u64;
        }
        self.pending.clear();
        // A burst of output must not keep its memory for the container's life.
        self.pending.shrink_to(4096);
    }

    fn rotate(&mut self) {
        self.file = None;
        self.size = 0;
        let keep = self.spec.max_files.saturating_sub(1);
        if keep == 0 {
            fs::remove_file(&self.spec.path).ok();
        }
        for number in (1..=keep).rev() {
            let from =
                if number == 1 { self.spec.path.clone() } else { numbered(&self.spec.path, number - 1) };
            // The older ones are not there at first.
            fs::rename(from, numbered(&self.spec.path, number)).ok();
        }
        self.file = open_log(&self.spec.path).ok();
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.000000006Z";

    fn writer(max_bytes: u64, max_files: u32) -> (tempfile::TempDir, LogWriter) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0.log");
        (temp, LogWriter::open(LogSpec { path, max_bytes, max_files }).unwrap())
    }

    #[test]
    fn entries_follow_lines_whatever_the_reads() {
        let (temp, mut log) = writer(0, 0);
        let now = TIME.parse().unwrap();
        log.write(Stream::Stdout, b"one\ntw", now);
        log.write(Stream::Stderr, b"oops\n", now);
        log.write(Stream::Stdout, b"o\n\nthree", now);
        log.end(Stream::Stdout, now);
        log.end(Stream::Stderr, now);
        let text = fs::read_to_string(temp.path().join("0.log")).unwrap();
        let want = ["stdout F one", "stderr F oops", "stdout F two", "stdout F ", "stdout F three"];
        let want: Vec<String> = want.iter().map(|entry| format!("{TIME} {entry}")).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), want);
    }

    #[test]
    fn long_lines_become_parts_that_add_up() {
        for length in [MAX_ENTRY_BYTES - 1, MAX_ENTRY_BYTES, MAX_ENTRY_BYTES + 1, 3 * MAX_ENTRY_BYTES + 5] {
            let (temp, mut log) = writer(0, 0);
            let mut line = vec![b'x'; length];
            line.push(b'\n');
            for chunk in line.chunks(5000) {
                log.write(Stream::Stdout, chunk, TIME.parse().unwrap());
            }
            let text = fs::read_to_string(temp.path().join("0.log")).unwrap();
            let tags: String = text.lines().map(|entry| entry.split(' ').nth(2).unwrap()).collect();
            let total: usize = text.lines().map(|entry| entry.split(' ').nth(3).unwrap().len()).sum();
            assert_eq!(total, length);
            assert_eq!(tags, "P".repeat((length - 1) / MAX_ENTRY_BYTES) + "F", "length {length}");
        }
    }

    #[test]
    fn rotation_keeps_the_wanted_number_of_files_and_the_last_entries() {
        let (temp, mut log) = writer(200, 3);
        for number in 0..40 {
            log.write(Stream::Stdout, format!("line {number}\n").as_bytes(), TIME.parse().unwrap());
        }
        let mut names: Vec<_> = fs::read_dir(temp.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["0.log", "0.log.1", "0.log.2"]);
        let all: String = ["0.log.2", "0.log.1", "0.log"]
            .iter()
            .map(|name| fs::read_to_string(temp.path().join(name)).unwrap())
            .collect();
        let numbers: Vec<u32> =
            all.lines().map(|entry| entry.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (40 - u32::try_from(numbers.len()).unwrap()..40).collect::<Vec<_>>());
    }
}
