//! Writing the files of a `ConfigMap`, Secret, downward or projected volume so that readers see all of the old or all of
//! the new: files go into a directory named by their content, the link `..data` is swapped to it, and what users see
//! are links through `..data`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PayloadFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: Option<u32>,
}

/// Files by relative path; the paths were checked to stay below the volume.
pub(crate) type Payload = BTreeMap<String, PayloadFile>;

/// Whether writing changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    New,
    Same,
}

/// Makes the volume at `root` hold exactly `payload`. `group` owns all files and may read them.
pub(crate) fn write(root: &Path, payload: &Payload, group: Option<u32>) -> io::Result<Written> {
    let name = format!("..{}", fingerprint(payload, group));
    let link = root.join("..data");
    let before = fs::read_link(&link).ok();
    if before.as_deref() == Some(Path::new(&name)) {
        return Ok(Written::Same);
    }
    let dir = root.join(&name);
    // Left by an attempt that was cut off.
    remove_tree(&dir)?;
    fs::DirBuilder::new().mode(0o755).create(&dir)?;
    for (path, file) in payload {
        write_file(&dir, path, file, group)?;
    }
    let fresh = root.join("..data_tmp");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(&name, &fresh)?;
    fs::rename(&fresh, &link)?;
    link_names(root, payload)?;
    if let Some(old) = before.filter(|old| old.starts_with("..") || old.to_string_lossy().starts_with("..")) {
        remove_tree(&root.join(old))?;
    }
    Ok(Written::New)
}

fn fingerprint(payload: &Payload, group: Option<u32>) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{group:?}"));
    for (path, file) in payload {
        hash.update(format!("{}:{path}:{}:{:?}:{}:", path.len(), file.mode, file.uid, file.bytes.len()));
        hash.update(&file.bytes);
    }
    hash.finalize().iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn write_file(dir: &Path, path: &str, file: &PayloadFile, group: Option<u32>) -> io::Result<()> {
    let target = dir.join(path);
    if let Some(parent) = target.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target)?;
    out.write_all(&file.bytes)?;
    if file.uid.is_some() || group.is_some() {
        std::os::unix::fs::fchown(&out, file.uid, group)?;
    }
    let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
    out.set_permissions(fs::Permissions::from_mode(mode))
}

/// One link per first component, and none for names that are gone.
fn link_names(root: &Path, payload: &Payload) -> io::Result<()> {
    let names: BTreeSet<_> = payload.keys().filter_map(|path| first(path)).collect();
    for name in &names {
        let link = root.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), &link)?;
        }
    }
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let stale = entry.file_type()?.is_symlink() && !name.to_string_lossy().starts_with("..");
        if stale && !name.to_str().is_some_and(|name| names.contains(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn first(path: &str) -> Option<&str> {
    match Path::new(path).components().next()? {
        Component::Normal(name) => name.to_str(),
        _ => None,
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |text: &str| PayloadFile { bytes: text.into(), mode: 0o644, uid: None };
        files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn read(root: &Path, path: &str) -> Option<String> {
        fs::read_to_string(root.join(path)).ok()
    }

    #[test]
    fn swaps_everything_at_once_and_drops_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(write(root, &payload(&[("a", "1"), ("d/x", "2")]), None).unwrap(), Written::New);
        assert_eq!(read(root, "a").as_deref(), Some("1"));
        assert_eq!(read(root, "d/x").as_deref(), Some("2"));
        let held = fs::canonicalize(root.join("a")).unwrap();
        assert_eq!(write(root, &payload(&[("a", "1"), ("d/x", "2")]), None).unwrap(), Written::Same);
        assert!(held.exists());
        assert_eq!(write(root, &payload(&[("a", "3")]), None).unwrap(), Written::New);
        assert_eq!(read(root, "a").as_deref(), Some("3"));
        assert!(read(root, "d/x").is_none() && fs::symlink_metadata(root.join("d")).is_err());
        assert!(!held.exists());
        let visible = fs::read_dir(root).unwrap().count();
        assert_eq!(visible, 3, "link, ..data and one directory");
    }

    #[test]
    fn modes_and_groups() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = payload(&[("key", "secret")]);
        files.get_mut("key").unwrap().mode = 0o400;
        write(dir.path(), &files, Some(nix::unistd::getgid().as_raw())).unwrap();
        let mode = fs::metadata(dir.path().join("key")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o440);
    }

    #[test]
    fn an_attempt_that_was_cut_off_is_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let files = payload(&[("a", "1")]);
        write(dir.path(), &files, None).unwrap();
        let name = fs::read_link(dir.path().join("..data")).unwrap();
        fs::remove_file(dir.path().join("..data")).unwrap();
        symlink("nowhere", dir.path().join("..data_tmp")).unwrap();
        write(dir.path(), &files, None).unwrap();
        assert_eq!(fs::read_link(dir.path().join("..data")).unwrap(), name);
        assert_eq!(read(dir.path(), "a").as_deref(), Some("1"));
    }
}
