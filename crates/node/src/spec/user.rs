//! Who a container runs as: `securityContext` first, then the image's user, resolved in the image's own
//! `/etc/passwd` and `/etc/group`. Files are opened so that links in the image cannot lead out of it, and read up to
//! a bound.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use konzert_runtime::User;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::fault::ConfigFault;

const MAX_FILE: u64 = 4 << 20;

/// Contents of the image's account files; empty where there is none.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads the account files of a root file system. Files that cannot be read count as empty.
    pub(crate) fn read(rootfs: &Path) -> Self {
        Self { passwd: read_in(rootfs, "etc/passwd"), group: read_in(rootfs, "etc/group") }
    }

    fn user(&self, by: impl Fn(&str, u32) -> bool) -> Option<(String, u32, u32)> {
        self.passwd.lines().find_map(|line| {
            let mut parts = line.split(':');
            let (name, _, uid, gid) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
            by(name, uid).then(|| (name.to_owned(), uid, gid))
        })
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut parts = line.split(':');
            let (name, _, gid, members) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            Some((name, gid.parse().ok()?, members))
        })
    }
}

fn read_in(rootfs: &Path, path: &str) -> String {
    open_in(rootfs, path, OFlags::RDONLY | OFlags::NONBLOCK)
        .and_then(|fd| {
            let mut text = Vec::new();
            std::fs::File::from(fd).take(MAX_FILE).read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        })
        .unwrap_or_default()
}

/// Opens `path` as a process with root directory `root` would.
pub(crate) fn open_in(root: &Path, path: &str, flags: OFlags) -> std::io::Result<OwnedFd> {
    let dir = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), how)?)
}

/// The user of `container`.
pub(crate) fn resolve(
    pod: &PodSpec,
    container: &Container,
    image_user: &str,
    accounts: &Accounts,
) -> Result<User, ConfigFault> {
    let of_pod = pod.security_context.as_ref();
    let own = container.security_context.as_ref();
    let run_as_user = own.and_then(|own| own.run_as_user).or(of_pod.and_then(|pod| pod.run_as_user));
    let run_as_group = own.and_then(|own| own.run_as_group).or(of_pod.and_then(|pod| pod.run_as_group));
    let base = match run_as_user {
        Some(uid) => by_number(id("runAsUser", uid)?, accounts),
        None => by_image(image_user, accounts)?,
    };
    let gid = match run_as_group {
        Some(gid) => id("runAsGroup", gid)?,
        None => base.gid,
    };
    let mut additional = Vec::new();
    if of_pod.and_then(|pod| pod.supplemental_groups_policy.as_deref()) != Some("Strict") {
        let name = base.name.as_deref();
        let listed = accounts.groups().filter(|(_, _, members)| {
            name.is_some_and(|name| members.split(',').any(|member| member.trim() == name))
        });
        additional.extend(listed.map(|(_, gid, _)| gid).take(1024));
    }
    for gid in of_pod.iter().flat_map(|pod| pod.supplemental_groups.iter().flatten()) {
        additional.push(id("supplementalGroups", *gid)?);
    }
    if let Some(gid) = of_pod.and_then(|pod| pod.fs_group) {
        additional.push(id("fsGroup", gid)?);
    }
    additional.sort_unstable();
    additional.dedup();
    let non_root = own.and_then(|own| own.run_as_non_root).or(of_pod.and_then(|pod| pod.run_as_non_root));
    if non_root == Some(true) && base.uid == 0 {
        return Err(ConfigFault::RunsAsRoot { container: container.name.clone() });
    }
    Ok(User { uid: base.uid, gid, additional_gids: additional })
}

struct Base {
    name: Option<String>,
    uid: u32,
    gid: u32,
}

fn by_number(uid: u32, accounts: &Accounts) -> Base {
    match accounts.user(|_, known| known == uid) {
        Some((name, uid, gid)) => Base { name: Some(name), uid, gid },
        None => Base { name: None, uid, gid: 0 },
    }
}

fn by_image(text: &str, accounts: &Accounts) -> Result<Base, ConfigFault> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let mut base = match user {
        "" => by_number(0, accounts),
        _ => match (accounts.user(|name, _| name == user), user.parse::<u32>()) {
            (Some((name, uid, gid)), _) => Base { name: Some(name), uid, gid },
            (None, Ok(uid)) => by_number(uid, accounts),
            (None, Err(_)) => return Err(ConfigFault::User { user: user.to_owned() }),
        },
    };
    if let Some(group) = group.filter(|group| !group.is_empty()) {
        let by_name = accounts.groups().find(|(name, _, _)| *name == group).map(|(_, gid, _)| gid);
        let missing = || ConfigFault::Group { group: group.to_owned() };
        base.gid = by_name.or_else(|| group.parse().ok()).ok_or_else(missing)?;
    }
    Ok(base)
}

/// A user or group number from an API field.
pub(crate) fn id(field: &'static str, value: i64) -> Result<u32, ConfigFault> {
    u32::try_from(value).ok().filter(|id| *id != u32::MAX).ok_or(ConfigFault::Id { field, value })
}
