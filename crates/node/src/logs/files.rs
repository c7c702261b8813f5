//! The files of a log: one current, older ones with a number behind (`0.log`, `0.log.1` is the youngest of the old).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::logs::line::Formatter;

const CHUNK: u64 = 64 << 10;
const MAX_FILES: u32 = 1000;

/// Instance numbers with a log in a container's log directory, ascending.
pub(crate) fn attempts(dir: &Path) -> Vec<u32> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<u32> =
        names.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()).collect();
    found.sort_unstable();
    found
}

/// All files of the log at `path` that can be opened, oldest first.
pub(crate) fn family(path: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for index in 1..MAX_FILES {
        match File::open(numbered(path, index)) {
            Ok(file) => files.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    files.reverse();
    match File::open(path) {
        Ok(file) => files.push(file),
        // Between two renames of a rotation there is no current file for a moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !files.is_empty() => {}
        Err(error) => return Err(error),
    }
    dedup(files)
}

/// A rotation while the files were opened shows one of them twice.
fn dedup(files: Vec<File>) -> io::Result<Vec<File>> {
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for file in files {
        let inode = identity(&file)?;
        if !seen.contains(&inode) {
            seen.push(inode);
            kept.push(file);
        }
    }
    Ok(kept)
}

fn numbered(path: &Path, index: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{index}"));
    PathBuf::from(name)
}

/// Device and inode.
pub(crate) fn identity(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

/// Files that came after the one with `known`; all of them when that one is gone.
pub(crate) fn newer(path: &Path, known: (u64, u64)) -> io::Result<Vec<File>> {
    let mut files = family(path)?;
    let mut at = None;
    for (index, file) in files.iter().enumerate() {
        if identity(file)? == known {
            at = Some(index);
        }
    }
    Ok(match at {
        Some(at) => files.split_off(at + 1),
        None => files,
    })
}

/// Where the last `lines` lines begin: index into `files` (oldest first) and byte offset.
pub(crate) fn tail_start(files: &[File], lines: u64) -> io::Result<(usize, u64)> {
    let mut left = lines;
    for (index, file) in files.iter().enumerate().rev() {
        let length = file.metadata()?.len();
        if left == 0 {
            return Ok((index, length));
        }
        match offset_of_tail(file, length, left)? {
            Tail::At(offset) => return Ok((index, offset)),
            Tail::Short(lines) => left -= lines,
        }
        if left == 0 {
            return Ok((index, 0));
        }
    }
    Ok((0, 0))
}

enum Tail {
    /// The lines begin here.
    At(u64),
    /// The file has only so many lines, fewer than asked for, or just as many.
    Short(u64),
}

fn offset_of_tail(file: &File, length: u64, lines: u64) -> io::Result<Tail> {
    let mut end = length;
    let mut open = false;
    let mut newlines = 0;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        buffer.resize(usize::try_from(end - start).unwrap_or(0), 0);
        file.read_exact_at(&mut buffer, start)?;
        if end == length {
            open = buffer.last() != Some(&b'\n');
        }
        let wanted = if open { lines } else { lines.saturating_add(1) };
        for (index, byte) in buffer.iter().enumerate().rev() {
            newlines += u64::from(*byte == b'\n');
            if *byte == b'\n' && newlines == wanted {
                return Ok(Tail::At(start + index as u64 + 1));
            }
        }
        end = start;
    }
    Ok(Tail::Short(newlines + u64::from(open)))
}

/// The end of a log as plain text: at most `lines` lines and `bytes` bytes.
pub(crate) fn last_text(path: &Path, lines: u64, bytes: usize) -> io::Result<String> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = match offset_of_tail(&file, length, lines)? {
        Tail::At(offset) => offset,
        Tail::Short(_) => 0,
    };
    let start = start.max(length.saturating_sub(CHUNK));
    let mut raw = vec![0; usize::try_from(length - start).unwrap_or(0)];
    file.read_exact_at(&mut raw, start)?;
    let text = Formatter::new(None, false, None).push(&raw);
    let cut = &text[text.len().saturating_sub(bytes)..];
    Ok(String::from_utf8_lossy(cut).into_owned())
}

/// At most `limit` bytes of the beginning of a file, which the container may have written; links are not followed.
pub(crate) fn bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).unwrap_or(0);
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
