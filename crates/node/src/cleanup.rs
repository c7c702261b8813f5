//! Taking a pod's places away again: mounts first, then files. Nothing is deleted through a mount that is still there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

/// Unmounts what is at `path`, if anything.
pub(crate) fn unmount(path: &Path) -> io::Result<()> {
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(nix::Error::EINVAL | nix::Error::ENOENT | nix::Error::ENOTDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Mount points at or below `root`, deepest last.
fn mounts_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    Ok(points.filter(|point| point.starts_with(root)).collect())
}

/// Octal escapes of the kernel's mount table.
fn unescape(text: &str) -> PathBuf {
    let plain =
        text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(plain)
}

/// Unmounts everything below `root` and deletes it. Refuses to delete while a mount remains.
pub(crate) fn remove_place(root: &Path) -> io::Result<()> {
    let Ok(real) = root.canonicalize() else { return Ok(()) };
    for point in mounts_below(&real)?.iter().rev() {
        unmount(point)?;
    }
    if let Some(left) = mounts_below(&real)?.first() {
        let text = format!("{} is still mounted", left.display());
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
    }
    match fs::remove_dir_all(&real) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the empty cgroup of a pod from every hierarchy.
pub(crate) fn remove_cgroup(instance: &str, uid: &str) {
    let below = format!("konzert/{instance}/pod{uid}");
    let base = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
    for root in hierarchies.chain([base.to_owned()]) {
        let place = root.join(&below);
        // A probe that ran while its container was removed may have made the container's cgroup again.
        for child in fs::read_dir(&place).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir())
                && let Err(error) = fs::remove_dir(child.path())
            {
                tracing::debug!(%error, cgroup = %child.path().display(), "cgroup of a removed container stays");
            }
        }
        // Absent in most hierarchies.
        if let Err(error) = fs::remove_dir(&place)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, root = %root.display(), uid, "pod cgroup stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_with_mounts_is_emptied_and_what_was_mounted_stays() {
        if !nix::unistd::geteuid().is_root() {
            eprintln_skip();
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (place, outside) = (dir.path().join("pod"), dir.path().join("outside"));
        fs::create_dir_all(place.join("volumes/a b")).unwrap();
        fs::create_dir_all(place.join("pin")).unwrap();
        fs::create_dir_all(outside.join("deep")).unwrap();
        crate::volumes::host::memory(&place.join("volumes/a b"), Some(1 << 20)).unwrap();
        crate::volumes::host::pin_sub_path(&outside, "deep", &place.join("pin")).unwrap();
        assert_eq!(mounts_below(&place.canonicalize().unwrap()).unwrap().len(), 2);
        remove_place(&place).unwrap();
        assert!(!place.exists() && outside.join("deep").exists());
        remove_place(&place).unwrap();
    }

    #[allow(clippy::print_stderr, reason = "a skipped test says so")]
    fn eprintln_skip() {
        eprintln!("SKIPPED: mounting needs root; run the tests as root");
    }
}
