//! Which capabilities a container gets, as a bit set in the kernel's own numbering.
//!
//! The order of adding and dropping is that of the common Kubernetes runtimes: `ALL` is looked at first, then single additions,
//! then single removals, so that a removal always wins. Deliberately no ambient and no inheritable capabilities.

use oci_spec::runtime::Capability;

use crate::error::SpecError;
use crate::spec::{ContainerSpec, Security};

/// Every capability in the order of its bit.
const ALL: [(&str, Capability); 41] = [
    ("CHOWN", Capability::Chown),
    ("DAC_OVERRIDE", Capability::DacOverride),
    ("DAC_READ_SEARCH", Capability::DacReadSearch),
    ("FOWNER", Capability::Fowner),
    ("FSETID", Capability::Fsetid),
    ("KILL", Capability::Kill),
    ("SETGID", Capability::Setgid),
    ("SETUID", Capability::Setuid),
    ("SETPCAP", Capability::Setpcap),
    ("LINUX_IMMUTABLE", Capability::LinuxImmutable),
    ("NET_BIND_SERVICE", Capability::NetBindService),
    ("NET_BROADCAST", Capability::NetBroadcast),
    ("NET_ADMIN", Capability::NetAdmin),
    ("NET_RAW", Capability::NetRaw),
    ("IPC_LOCK", Capability::IpcLock),
    ("IPC_OWNER", Capability::IpcOwner),
    ("SYS_MODULE", Capability::SysModule),
    ("SYS_RAWIO", Capability::SysRawio),
    ("SYS_CHROOT", Capability::SysChroot),
    ("SYS_PTRACE", Capability::SysPtrace),
    ("SYS_PACCT", Capability::SysPacct),
    ("SYS_ADMIN", Capability::SysAdmin),
    ("SYS_BOOT", Capability::SysBoot),
    ("SYS_NICE", Capability::SysNice),
    ("SYS_RESOURCE", Capability::SysResource),
    ("SYS_TIME", Capability::SysTime),
    ("SYS_TTY_CONFIG", Capability::SysTtyConfig),
    ("MKNOD", Capability::Mknod),
    ("LEASE", Capability::Lease),
    ("AUDIT_WRITE", Capability::AuditWrite),
    ("AUDIT_CONTROL", Capability::AuditControl),
    ("SETFCAP", Capability::Setfcap),
    ("MAC_OVERRIDE", Capability::MacOverride),
    ("MAC_ADMIN", Capability::MacAdmin),
    ("SYSLOG", Capability::Syslog),
    ("WAKE_ALARM", Capability::WakeAlarm),
    ("BLOCK_SUSPEND", Capability::BlockSuspend),
    ("AUDIT_READ", Capability::AuditRead),
    ("PERFMON", Capability::Perfmon),
    ("BPF", Capability::Bpf),
    ("CHECKPOINT_RESTORE", Capability::CheckpointRestore),
];

/// What an ordinary container starts from.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A set of capabilities; bit n is capability number n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CapabilityBits(pub(crate) u64);

impl CapabilityBits {
    /// Every capability this code knows.
    pub(crate) const EVERY: Self = Self((1 << ALL.len()) - 1);

    /// Whether the named capability is in the set.
    pub(crate) fn has(self, name: &str) -> bool {
        bit(name).is_some_and(|bit| self.0 & bit != 0)
    }

    /// The set with the named capability; unknown names change nothing.
    pub(crate) fn with(self, name: &str) -> Self {
        Self(self.0 | bit(name).unwrap_or(0))
    }

    /// What is in both sets.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The set as the OCI specification writes it.
    pub(crate) fn to_oci(self) -> std::collections::HashSet<Capability> {
        ALL.iter().enumerate().filter(|(n, _)| self.0 & (1 << n) != 0).map(|(_, (_, cap))| *cap).collect()
    }
}

/// Accepts `net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN`.
fn bit(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    ALL.iter().position(|(known, _)| *known == short).map(|n| 1 << n)
}

/// The capabilities of a container on a host that itself has `host`.
///
/// What the host lacks is left out rather than refused, as other runtimes do. `devices_confined` is false where no device
/// cgroup holds; there making device nodes is not among the defaults, because it would hand out the host's disks.
pub(crate) fn resolve(
    spec: &ContainerSpec,
    host: CapabilityBits,
    devices_confined: bool,
) -> Result<CapabilityBits, SpecError> {
    let Security { privileged, add_capabilities, drop_capabilities, .. } = &spec.security;
    let known = |name: &String| {
        bit(name).ok_or_else(|| SpecError::Capability { id: spec.id.to_string(), name: name.clone() })
    };
    let is_all = |name: &&String| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("cap_all");

    let mut bits = if *privileged || add_capabilities.iter().any(|name| is_all(&name)) {
        CapabilityBits::EVERY.0
    } else {
        let default = DEFAULT.iter().filter(|name| devices_confined || **name != "MKNOD");
        default.filter_map(|name| bit(name)).fold(0, |set, one| set | one)
    };
    if drop_capabilities.iter().any(|name| is_all(&name)) {
        bits = 0;
    }
    for name in add_capabilities.iter().filter(|name| !is_all(name)) {
        bits |= known(name)?;
    }
    for name in drop_capabilities.iter().filter(|name| !is_all(name)) {
        bits &= !known(name)?;
    }
    Ok(CapabilityBits(bits).and(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::tests::sample;

    fn resolved(privileged: bool, add: &[&str], drop: &[&str]) -> Result<CapabilityBits, SpecError> {
        let mut spec = sample();
        spec.security.privileged = privileged;
        spec.security.add_capabilities = add.iter().map(ToString::to_string).collect();
        spec.security.drop_capabilities = drop.iter().map(ToString::to_string).collect();
        resolve(&spec, CapabilityBits::EVERY, true)
    }

    #[test]
    fn bits_follow_the_kernel_numbers() {
        for (name, number) in [("CHOWN", 0), ("NET_ADMIN", 12), ("SYS_ADMIN", 21), ("MKNOD", 27), ("BPF", 39)]
        {
            assert_eq!(bit(name), Some(1 << number), "{name}");
        }
    }

    #[test]
    fn additions_then_removals_and_all_first() {
        let default = resolved(false, &[], &[]).unwrap();
        assert_eq!(default.0.count_ones(), 14);
        let table: [(bool, &[&str], &[&str], u64); 6] = [
            (false, &["NET_ADMIN"], &[], default.0 | 1 << 12),
            (false, &["cap_net_admin"], &["NET_ADMIN"], default.0),
            (false, &[], &["ALL"], 0),
            (false, &["CHOWN"], &["ALL"], 1),
            (false, &["ALL"], &["SYS_ADMIN"], CapabilityBits::EVERY.0 & !(1 << 21)),
            (true, &[], &[], CapabilityBits::EVERY.0),
        ];
        for (privileged, add, drop, want) in table {
            assert_eq!(resolved(privileged, add, drop).unwrap().0, want, "{add:?} {drop:?}");
        }
        assert!(resolved(false, &["FLY"], &[]).is_err());
        assert!(resolved(false, &[], &["FLY"]).is_err());
    }

    #[test]
    fn what_the_host_lacks_is_left_out_and_devices_need_a_cgroup() {
        let mut spec = sample();
        spec.security.privileged = true;
        let host = CapabilityBits(CapabilityBits::EVERY.0 & !(1 << 24));
        assert_eq!(resolve(&spec, host, true).unwrap(), host);
        spec.security.privileged = false;
        assert!(!resolve(&spec, host, false).unwrap().has("MKNOD"));
        assert!(resolve(&spec, host, true).unwrap().has("MKNOD"));
    }
}
