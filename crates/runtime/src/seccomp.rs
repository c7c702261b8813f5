//! The default system call filter, compiled to BPF without libseccomp.
//!
//! A deny list: what lets a process reach outside its namespaces, the kernel's own configuration or rarely hardened corners
//! answers EPERM; `clone3` answers ENOSYS, because its flags lie in memory where a filter cannot look, and every C library
//! then falls back to `clone`. Having a capability opens the calls that belong to it. System calls of the x32 ABI answer ENOSYS,
//! else their numbers would pass the list; those of a foreign architecture kill the process.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::capabilities::CapabilityBits;

/// First number of the x32 ABI.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;
/// Flags of `clone` and `unshare` that make namespaces. `CLONE_NEWTIME` is a signal number to `clone`, so it stands apart.
const NAMESPACE_FLAGS: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
const CLONE_NEWTIME: i32 = 0x80;
/// Personalities that ordinary programs ask for.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x20000, 0x20008, 0xffff_ffff];

/// Calls denied to everyone.
const NEVER: &[i64] = &[
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_nfsservctl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_userfaultfd,
];

/// Calls denied to everyone that only this architecture has.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[i64] = &[libc::SYS__sysctl, libc::SYS_sysfs, libc::SYS_uselib, libc::SYS_ustat];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[i64] = &[];

/// Calls denied unless the container has the capability they belong to.
const BY_CAPABILITY: &[(&str, &[i64])] = &[
    (
        "SYS_ADMIN",
        &[
            libc::SYS_fanotify_init,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fsopen,
            libc::SYS_fspick,
            libc::SYS_lookup_dcookie,
            libc::SYS_mount,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_pivot_root,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_setdomainname,
            libc::SYS_sethostname,
            libc::SYS_setns,
            libc::SYS_umount2,
        ],
    ),
    ("DAC_READ_SEARCH", &[libc::SYS_open_by_handle_at]),
    ("SYS_BOOT", &[libc::SYS_reboot]),
    ("SYS_MODULE", &[libc::SYS_delete_module, libc::SYS_init_module, libc::SYS_finit_module]),
    ("SYS_NICE", &[libc::SYS_get_mempolicy, libc::SYS_mbind, libc::SYS_set_mempolicy]),
    ("SYS_PACCT", &[libc::SYS_acct]),
    ("SYS_PTRACE", &[libc::SYS_kcmp, libc::SYS_pidfd_getfd]),
    ("SYS_TIME", &[libc::SYS_settimeofday, libc::SYS_clock_settime]),
    ("SYS_TTY_CONFIG", &[libc::SYS_vhangup]),
    ("SYSLOG", &[libc::SYS_syslog]),
    ("SYS_CHROOT", &[libc::SYS_chroot]),
];

/// Compiles the default profile for a container with these capabilities.
pub(crate) fn compile(caps: CapabilityBits) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    rules.extend(NEVER.iter().chain(NEVER_HERE).map(|call| (*call, Vec::new())));
    for (capability, calls) in BY_CAPABILITY {
        if !caps.has(capability) {
            rules.extend(calls.iter().map(|call| (*call, Vec::new())));
        }
    }
    if !caps.has("SYS_ADMIN") {
        if !caps.has("BPF") {
            rules.insert(libc::SYS_bpf, Vec::new());
        }
        if !caps.has("PERFMON") {
            rules.insert(libc::SYS_perf_event_open, Vec::new());
        }
        rules.insert(libc::SYS_clone, any_flag(&NAMESPACE_FLAGS)?);
        let mut unshare = any_flag(&NAMESPACE_FLAGS)?;
        unshare.extend(any_flag(&[CLONE_NEWTIME])?);
        rules.insert(libc::SYS_unshare, unshare);
    }
    #[cfg(target_arch = "x86_64")]
    if !caps.has("SYS_RAWIO") {
        rules.insert(libc::SYS_iopl, Vec::new());
        rules.insert(libc::SYS_ioperm, Vec::new());
    }
    rules.insert(libc::SYS_personality, vec![unusual_personality()?]);
    rules.insert(libc::SYS_socket, vec![vsock()?]);

    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, eperm, architecture())?;
    let mut program = preamble(caps);
    program.extend(BpfProgram::try_from(filter)?);
    Ok(program)
}

const fn architecture() -> TargetArch {
    if cfg!(target_arch = "x86_64") { TargetArch::x86_64 } else { TargetArch::aarch64 }
}

/// One rule per flag: the rules of a call are alternatives.
fn any_flag(flags: &[i32]) -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |flag: i32| {
        let bit = u64::from(flag.cast_unsigned());
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)?;
        SeccompRule::new(vec![condition])
    };
    flags.iter().map(|flag| rule(*flag)).collect()
}

fn unusual_personality() -> Result<SeccompRule, BackendError> {
    let differs = |value: &u64| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *value);
    SeccompRule::new(PERSONALITIES.iter().map(differs).collect::<Result<_, _>>()?)
}

/// Sockets that reach a hypervisor know no namespaces.
fn vsock() -> Result<SeccompRule, BackendError> {
    let family = u64::from(libc::AF_VSOCK.unsigned_abs());
    SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family)?])
}

/// Instructions that run before the list: what must answer ENOSYS rather than EPERM.
fn preamble(caps: CapabilityBits) -> BpfProgram {
    const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    let enosys = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    // The call number is the first word of the data a filter sees.
    let mut program = vec![instruction(LOAD_WORD, 0, 0, 0)];
    #[cfg(target_arch = "x86_64")]
    {
        const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
        program.push(instruction(JUMP_AT_LEAST, 0, 1, X32_BIT));
        program.push(instruction(RETURN, 0, 0, enosys));
    }
    if !caps.has("SYS_ADMIN") {
        let clone3 = u32::try_from(libc::SYS_clone3).expect("system call numbers are small and positive");
        program.push(instruction(JUMP_EQUAL, 0, 1, clone3));
        program.push(instruction(RETURN, 0, 0, enosys));
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interprets the instructions seccomp filters use; returns the action for a call.
    fn run(program: &[sock_filter], call: i64, args: [u64; 6]) -> u32 {
        const ARCH: u32 = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };
        let mut data = Vec::new();
        data.extend(u32::try_from(call).unwrap().to_le_bytes());
        data.extend(ARCH.to_le_bytes());
        data.extend(0u64.to_le_bytes());
        data.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
        let (mut at, mut acc) = (0, 0u32);
        loop {
            let sock_filter { code, jt, jf, k } = program[at].clone();
            at += 1;
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            match code {
                0x20 => acc = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap()),
                0x54 => acc &= k,
                0x05 => at += k as usize,
                0x15 => at += jump(acc == k),
                0x25 => at += jump(acc > k),
                0x35 => at += jump(acc >= k),
                0x06 => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO + 1;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO + 38;

    #[test]
    fn decisions_of_the_default_profile() {
        let plain = compile(CapabilityBits(0)).unwrap();
        let newuser = libc::CLONE_NEWUSER as u64;
        let table = [
            (libc::SYS_read, 0, ALLOW),
            (libc::SYS_execve, 0, ALLOW),
            (libc::SYS_capset, 0, ALLOW),
            (libc::SYS_ptrace, 0, ALLOW),
            (libc::SYS_mount, 0, EPERM),
            (libc::SYS_bpf, 0, EPERM),
            (libc::SYS_keyctl, 0, EPERM),
            (libc::SYS_io_uring_setup, 0, EPERM),
            (libc::SYS_setns, 0, EPERM),
            (libc::SYS_clone3, 0, ENOSYS),
            (libc::SYS_clone, 17, ALLOW),
            (libc::SYS_clone, 0x80 + 17, ALLOW),
            (libc::SYS_clone, newuser + 17, EPERM),
            (libc::SYS_unshare, 0x400, ALLOW),
            (libc::SYS_unshare, newuser, EPERM),
            (libc::SYS_unshare, 0x80, EPERM),
            (libc::SYS_personality, 0, ALLOW),
            (libc::SYS_personality, 0xffff_ffff, ALLOW),
            (libc::SYS_personality, 0x0040_0000, EPERM),
            (libc::SYS_socket, 2, ALLOW),
            (libc::SYS_socket, 40, EPERM),
        ];
        for (call, arg, want) in table {
            assert_eq!(run(&plain, call, [arg, 0, 0, 0, 0, 0]), want, "call {call} with {arg:#x}");
        }
        #[cfg(target_arch = "x86_64")]
        assert_eq!(run(&plain, i64::from(X32_BIT) | libc::SYS_unshare, [newuser, 0, 0, 0, 0, 0]), ENOSYS);
    }

    #[test]
    fn a_capability_opens_its_calls() {
        let admin = compile(CapabilityBits(0).with("SYS_ADMIN")).unwrap();
        for call in [libc::SYS_mount, libc::SYS_clone3, libc::SYS_unshare, libc::SYS_bpf, libc::SYS_setns] {
            assert_eq!(run(&admin, call, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]), ALLOW, "call {call}");
        }
        assert_eq!(run(&admin, libc::SYS_init_module, [0; 6]), EPERM);
        assert_eq!(run(&admin, libc::SYS_keyctl, [0; 6]), EPERM);
    }
}
