//! Volumes that are plain places of the host: hostPath and emptyDir, and safe sub-paths of any volume.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, HostPathVolumeSource};
use nix::mount::{MsFlags, mount};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::fault::ConfigFault;
use crate::spec::downward::parse;
use crate::volumes::VolumeFault;

/// The host directory or file of a hostPath volume, made or checked as its type says.
pub(crate) fn host_path(of: &HostPathVolumeSource) -> Result<PathBuf, VolumeFault> {
    let path = PathBuf::from(&of.path);
    let fault = |problem| {
        VolumeFault::Config(ConfigFault::Path { field: "hostPath.path", path: of.path.clone(), problem })
    };
    if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(fault("must be absolute and without `..`"));
    }
    let kind = of.type_.as_deref().unwrap_or_default();
    let found = fs::metadata(&path).ok().map(|meta| meta.file_type());
    let io = |source| VolumeFault::Io { path: path.clone(), source };
    match (kind, found) {
        ("", None) => fs::DirBuilder::new().recursive(true).mode(0o755).create(&path).map_err(io)?,
        ("DirectoryOrCreate", None) => {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(&path).map_err(io)?;
        }
        ("FileOrCreate", None) => {
            fs::OpenOptions::new().create(true).append(true).mode(0o644).open(&path).map_err(io)?;
        }
        ("", Some(_)) => {}
        ("Directory" | "DirectoryOrCreate", Some(file)) if file.is_dir() => {}
        ("File" | "FileOrCreate", Some(file)) if file.is_file() => {}
        ("Socket", Some(file)) if file.is_socket() => {}
        ("CharDevice", Some(file)) if file.is_char_device() => {}
        ("BlockDevice", Some(file)) if file.is_block_device() => {}
        (_, None) => return Err(fault("does not exist")),
        (_, Some(_)) => return Err(fault("is not of the type that hostPath.type asks for")),
    }
    Ok(path)
}

/// An empty directory that lives as long as the pod; in memory for medium `Memory`. A size limit binds only there.
pub(crate) fn empty_dir(
    root: &Path,
    of: &EmptyDirVolumeSource,
    group: Option<u32>,
) -> Result<(), VolumeFault> {
    let io = |source| VolumeFault::Io { path: root.to_owned(), source };
    let fresh = !root.exists();
    fs::DirBuilder::new().recursive(true).mode(0o755).create(root).map_err(io)?;
    match of.medium.as_deref().unwrap_or_default() {
        "" => {}
        "Memory" => {
            let limit =
                of.size_limit.as_ref().map(|text| parse("emptyDir.sizeLimit", &text.0)).transpose()?;
            let size = limit.map(|limit| limit.value()).filter(|bytes| *bytes > 0);
            memory(root, size).map_err(io)?;
        }
        other => {
            let field = format!("emptyDir.medium {other}");
            return Err(ConfigFault::unsupported(field, "use the default or Memory").into());
        }
    }
    if fresh {
        if group.is_some() {
            std::os::unix::fs::chown(root, None, group).map_err(io)?;
        }
        let mode = if group.is_some() { 0o2777 } else { 0o777 };
        fs::set_permissions(root, fs::Permissions::from_mode(mode)).map_err(io)?;
    }
    Ok(())
}

/// Mounts a tmpfs at `root` unless there is one already.
pub(crate) fn memory(root: &Path, size_bytes: Option<i64>) -> io::Result<()> {
    if is_mount(root)? {
        return Ok(());
    }
    let options =
        size_bytes.map_or_else(|| "mode=0755".to_owned(), |bytes| format!("mode=0755,size={bytes}"));
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), root, Some("tmpfs"), flags, Some(options.as_str())).map_err(io::Error::from)
}

/// Whether something is mounted at `path`.
pub(crate) fn is_mount(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let here = fs::symlink_metadata(path)?;
    let above = path.parent().map(fs::symlink_metadata).transpose()?;
    Ok(above.is_some_and(|above| above.dev() != here.dev()))
}

/// Pins `sub` of the volume at `root` at `pin`, so that the container's own links cannot change what is mounted.
/// Directories that are missing are made; links are followed inside the volume only.
pub(crate) fn pin_sub_path(root: &Path, sub: &str, pin: &Path) -> Result<(), VolumeFault> {
    let io = |source| VolumeFault::Io { path: root.join(sub), source };
    let found = open_below(root, sub).map_err(io)?;
    let stat = rustix::fs::fstat(&found).map_err(|error| io(error.into()))?;
    let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    let at = |source| VolumeFault::Io { path: pin.to_owned(), source };
    if let Some(parent) = pin.parent() {
        fs::create_dir_all(parent).map_err(at)?;
    }
    crate::cleanup::unmount(pin).map_err(at)?;
    if is_dir {
        fs::create_dir_all(pin).map_err(at)?;
    } else {
        fs::OpenOptions::new().create(true).append(true).mode(0o600).open(pin).map_err(at)?;
    }
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    let none = None::<&str>;
    mount(Some(source.as_str()), pin, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .map_err(|e| at(e.into()))
}

fn open_below(root: &Path, sub: &str) -> io::Result<OwnedFd> {
    if !crate::config::is_plain_path(sub) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a sub-path must be relative and without `..`",
        ));
    }
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let dir = rustix::fs::open(root, flags | OFlags::DIRECTORY, Mode::empty())?;
    if let Ok(found) = rustix::fs::openat2(&dir, sub, flags, Mode::empty(), how) {
        return Ok(found);
    }
    // Made directories are open to whom the volume itself is open to.
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&dir)?.st_mode);
    let mut here = dir.try_clone()?;
    let mut walked = String::new();
    for part in Path::new(sub) {
        let part = part.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}/{part}") };
        match rustix::fs::mkdirat(&here, part, mode) {
            Ok(()) => {
                let made = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = rustix::fs::openat2(&dir, walked.as_str(), made, Mode::empty(), how)?;
                rustix::fs::fchmod(made, mode)?;
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        here = rustix::fs::openat2(&dir, walked.as_str(), flags | OFlags::DIRECTORY, Mode::empty(), how)?;
    }
    Ok(here)
}
