//! From a [`ContainerSpec`] and facts about the host to an OCI runtime specification: a pure function.
//!
//! Deliberately absent: a seccomp section. libcontainer built without libseccomp ignores it in silence; the filter is compiled
//! in [`crate::seccomp`] and installed by the executor. For the same reason the capabilities written here are the container's
//! plus two that installing a filter and shrinking the bounding set need; the executor takes those away again before exec.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, Mount as OciMount,
    MountBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use crate::capabilities::{self, CapabilityBits};
use crate::cgroup::Layout;
use crate::error::SpecError;
use crate::spec::{ContainerSpec, Mount, MountKind};

#[cfg(test)]
pub(crate) mod tests;

/// `PATH` of a container whose environment does not say.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the specification depends on besides the request.
#[derive(Clone, Debug)]
pub(crate) struct HostFacts {
    /// Which cgroup hierarchies there are.
    pub(crate) cgroups: Layout,
    /// Capabilities the engine has itself.
    pub(crate) capabilities: CapabilityBits,
    /// Whether memory limits can include swap (`memory.memsw.*`, version 1 only).
    pub(crate) swap_limit: bool,
}

/// Capabilities of the container's programs.
pub(crate) fn final_capabilities(
    spec: &ContainerSpec,
    host: &HostFacts,
) -> Result<CapabilityBits, SpecError> {
    capabilities::resolve(spec, host.capabilities, host.cgroups.confines_devices())
}

/// Builds the whole specification.
pub(crate) fn runtime_spec(spec: &ContainerSpec, host: &HostFacts) -> Result<Spec, SpecError> {
    let caps = final_capabilities(spec, host)?;
    build(spec, host, caps)
        .map_err(|source| SpecError::Oci { id: spec.id.to_string(), source: Box::new(source) })
}

/// Builds only the process section, for a program executed beside the container's own.
pub(crate) fn exec_process(
    spec: &ContainerSpec,
    host: &HostFacts,
    args: Vec<String>,
) -> Result<Process, SpecError> {
    let caps = final_capabilities(spec, host)?;
    process(spec, host, caps, args)
        .map_err(|source| SpecError::Oci { id: spec.id.to_string(), source: Box::new(source) })
}

type Built<T> = Result<T, oci_spec::OciSpecError>;

fn build(spec: &ContainerSpec, host: &HostFacts, caps: CapabilityBits) -> Built<Spec> {
    let root = RootBuilder::default().path(&spec.rootfs).readonly(spec.security.read_only_rootfs).build()?;
    let mut builder = SpecBuilder::default()
        .version("1.0.2")
        .root(root)
        .process(process(spec, host, caps, spec.args.clone())?)
        .mounts(mounts(spec)?)
        .linux(linux(spec, host)?);
    // A joined UTS namespace already has its name, and it belongs to others too.
    if spec.share_uts.is_none() && !spec.hostname.is_empty() {
        builder = builder.hostname(&spec.hostname);
    }
    let mut built = builder.build()?;
    if spec.share_uts.is_some() || spec.hostname.is_empty() {
        built.set_hostname(None);
    }
    Ok(built)
}

fn process(
    spec: &ContainerSpec,
    host: &HostFacts,
    caps: CapabilityBits,
    args: Vec<String>,
) -> Built<Process> {
    let setup = caps.with("SYS_ADMIN").with("SETPCAP").and(host.capabilities).to_oci();
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(setup.clone())
        .permitted(setup.clone())
        .effective(setup)
        .inheritable(std::collections::HashSet::default())
        .ambient(std::collections::HashSet::default())
        .build()?;
    let mut env = spec.env.clone();
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.insert(0, DEFAULT_PATH.to_owned());
    }
    let user = UserBuilder::default()
        .uid(spec.user.uid)
        .gid(spec.user.gid)
        .additional_gids(spec.user.additional_gids.clone())
        .build()?;
    let mut process = ProcessBuilder::default()
        .terminal(false)
        .user(user)
        .args(args)
        .env(env)
        .cwd(if spec.cwd.is_empty() { "/" } else { &spec.cwd })
        .capabilities(capabilities)
        .no_new_privileges(spec.security.no_new_privileges)
        .build()?;
    process.set_rlimits(None);
    Ok(process)
}

fn linux(spec: &ContainerSpec, host: &HostFacts) -> Built<Linux> {
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(spec)?)
        .cgroups_path(&spec.cgroup_path)
        .resources(resources(spec, host)?)
        .build()?;
    if spec.security.privileged {
        linux.set_masked_paths(None).set_readonly_paths(None);
        return Ok(linux);
    }
    let mut readonly: Vec<String> =
        ["bus", "fs", "irq", "sys", "sysrq-trigger"].iter().map(|name| format!("/proc/{name}")).collect();
    // Version 1 controllers are mounted one by one and writable; a container must not lift its own limits.
    readonly.extend(host.cgroups.v1_mount_names().iter().map(|name| format!("/sys/fs/cgroup/{name}")));
    let masked = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];
    linux.set_readonly_paths(Some(readonly));
    linux.set_masked_paths(Some(masked.iter().map(ToString::to_string).collect()));
    Ok(linux)
}

fn namespaces(spec: &ContainerSpec) -> Built<Vec<LinuxNamespace>> {
    let mut all = vec![
        namespace(LinuxNamespaceType::Pid, spec.share_pid.as_ref())?,
        namespace(LinuxNamespaceType::Mount, None)?,
        namespace(LinuxNamespaceType::Ipc, spec.share_ipc.as_ref())?,
        namespace(LinuxNamespaceType::Uts, spec.share_uts.as_ref())?,
        namespace(LinuxNamespaceType::Cgroup, None)?,
    ];
    if let Some(path) = &spec.netns {
        all.push(namespace(LinuxNamespaceType::Network, Some(path))?);
    }
    Ok(all)
}

fn namespace(kind: LinuxNamespaceType, path: Option<&PathBuf>) -> Built<LinuxNamespace> {
    let builder = LinuxNamespaceBuilder::default().typ(kind);
    match path {
        Some(path) => builder.path(path).build(),
        None => builder.build(),
    }
}

fn resources(spec: &ContainerSpec, host: &HostFacts) -> Built<LinuxResources> {
    let wanted = &spec.resources;
    let mut builder = LinuxResourcesBuilder::default().devices(device_rules(spec.security.privileged)?);
    if let Some(limit) = wanted.memory_limit_bytes {
        let memory = LinuxMemoryBuilder::default().limit(limit);
        let memory = if host.swap_limit { memory.swap(limit) } else { memory };
        builder = builder.memory(memory.build()?);
    }
    if wanted.cpu_quota_us.is_some() || wanted.cpu_period_us.is_some() || wanted.cpu_shares.is_some() {
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(shares) = wanted.cpu_shares {
            cpu = cpu.shares(shares);
        }
        if let Some(period) = wanted.cpu_period_us {
            cpu = cpu.period(period);
        }
        if let Some(quota) = wanted.cpu_quota_us {
            cpu = cpu.quota(quota);
        }
        builder = builder.cpu(cpu.build()?);
    }
    if let Some(limit) = wanted.pids_limit {
        builder = builder.pids(LinuxPidsBuilder::default().limit(limit).build()?);
    }
    builder.build()
}

/// Deny everything; libcontainer then allows making any node and using the harmless ones.
fn device_rules(privileged: bool) -> Built<Vec<LinuxDeviceCgroup>> {
    let rule = LinuxDeviceCgroupBuilder::default().typ(LinuxDeviceType::A).access("rwm").allow(privileged);
    Ok(vec![rule.build()?])
}

fn mounts(spec: &ContainerSpec) -> Built<Vec<OciMount>> {
    let sys_mode = if spec.security.privileged { "rw" } else { "ro" };
    let mut all = vec![
        system_mount("proc", "/proc", "proc", &["nosuid", "noexec", "nodev"])?,
        system_mount("tmpfs", "/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        system_mount(
            "devpts",
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        system_mount("tmpfs", "/dev/shm", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"])?,
        system_mount("mqueue", "/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        system_mount("sysfs", "/sys", "sysfs", &["nosuid", "noexec", "nodev", sys_mode])?,
        system_mount(
            "cgroup",
            "/sys/fs/cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", sys_mode],
        )?,
    ];
    for mount in &spec.mounts {
        // A caller's mount on the place of a default one takes its place.
        all.retain(|default| default.destination() != &mount.destination);
        all.push(user_mount(mount)?);
    }
    Ok(all)
}

fn system_mount(kind: &str, destination: &str, source: &str, options: &[&str]) -> Built<OciMount> {
    MountBuilder::default()
        .typ(kind)
        .destination(destination)
        .source(source)
        .options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
        .build()
}

fn user_mount(mount: &Mount) -> Built<OciMount> {
    let mode = if mount.read_only { "ro" } else { "rw" };
    let (kind, source, mut options) = match mount.kind {
        MountKind::Bind => ("bind", mount.source.as_path(), vec!["rbind".to_owned(), "rprivate".to_owned()]),
        MountKind::Tmpfs { size } => {
            let mut options: Vec<String> =
                ["nosuid", "nodev", "mode=1777"].iter().map(ToString::to_string).collect();
            options.extend(size.map(|bytes| format!("size={bytes}")));
            ("tmpfs", Path::new("tmpfs"), options)
        }
    };
    options.push(mode.to_owned());
    MountBuilder::default().typ(kind).destination(&mount.destination).source(source).options(options).build()
}
