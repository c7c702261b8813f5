//! Key material on disk: read whole, written atomically with mode 0600.
//!
//! Does not know what the bytes mean. Invariant: a reader sees the old file or the new one, never half of one; a
//! private key is never readable by another user, not even for a moment.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::PkiError;

/// No certificate or key of ours comes near this size.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Creates `dir` (mode 0700) where it is missing.
pub(super) fn ensure_dir(dir: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| PkiError::io(dir, e))
}

/// The text of `path`, `None` where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(PkiError::io(path, e)),
    };
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|e| PkiError::io(path, e))?;
    Ok(Some(text))
}

/// Replaces `path` durably: temporary file, fsync, rename, fsync of the directory.
pub(super) fn write(path: &Path, text: &str) -> Result<(), PkiError> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = write_temporary(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(e) = written {
        // The temporary file is ours and useless now; the error to report is the first one.
        std::fs::remove_file(&temporary).ok();
        return Err(PkiError::io(path, e));
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|e| PkiError::io(parent, e))
}

fn write_temporary(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
