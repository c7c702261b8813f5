//! What a container may and may not do, and what it sees.

use std::fs;
use std::os::unix::fs::MetadataExt;

use konzert_runtime::{ContainerSpec, Mount, MountKind, Resources, Seccomp, User};

use super::Case;
use crate::bed::{Bed, cgroup_file};

/// Error numbers as payloads print them.
const EPERM: &str = "1";
const ENOENT: &str = "2";
const ENOSYS: &str = "38";
const EROFS: &str = "30";

pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("what_a_plain_container_sees", |bed| Box::pin(plain(bed))),
        ("users_and_groups", |bed| Box::pin(users(bed))),
        ("the_filter_blocks", |bed| Box::pin(filter(bed))),
        ("the_filter_is_off_only_when_asked", |bed| Box::pin(unconfined(bed))),
        ("capabilities_can_be_added_and_dropped", |bed| Box::pin(capabilities(bed))),
        ("a_read_only_root_is_read_only", |bed| Box::pin(read_only_root(bed))),
        ("mounts", |bed| Box::pin(mounts(bed))),
        ("limits_are_in_the_cgroup", |bed| Box::pin(limits(bed))),
        ("too_much_memory_is_an_oom_kill", |bed| Box::pin(out_of_memory(bed))),
        ("namespaces_can_be_shared", |bed| Box::pin(shared_namespaces(bed))),
        ("an_oom_score_that_is_not_allowed_is_no_error", |bed| Box::pin(oom_score(bed))),
    ]
}

async fn facts_of(bed: &Bed, spec: &ContainerSpec) -> std::collections::BTreeMap<String, String> {
    assert_eq!(bed.run(spec).await.code, 0, "{:?}", bed.log(spec.id.as_str()));
    bed.facts(spec.id.as_str())
}

async fn plain(bed: &Bed) {
    let mut spec = bed.spec("plain", &["facts"]);
    spec.cwd = "/bin".into();
    let facts = facts_of(bed, &spec).await;
    let on_v1 = fs::exists("/sys/fs/cgroup/devices").unwrap();
    let caps = if on_v1 { "00000000a80425fb" } else { "00000000a00425fb" };
    let table = [
        ("Uid", "0 0 0 0"),
        ("NoNewPrivs", "0"),
        ("Seccomp", "2"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", caps),
        ("CapEff", caps),
        ("CapBnd", caps),
        ("CapAmb", "0000000000000000"),
        ("SigBlk", "0000000000000000"),
        ("pid", "1"),
        ("hostname", "plain"),
        ("cwd", "/bin"),
        ("env:COLOUR", "blue"),
        ("env:PATH", "/sbin:/bin"),
        ("fds", "3"),
    ];
    for (key, want) in table {
        assert_eq!(facts[key], want, "{key} in {facts:?}");
    }
    // Rust programs ignore SIGPIPE themselves; nothing else may be inherited as ignored.
    // The C library keeps 32 and 33 to itself, whatever they are.
    let ignored = u64::from_str_radix(&facts["SigIgn"], 16).unwrap() & !(0b11 << 31);
    assert_eq!(ignored, 1 << 12);
    let variables: Vec<_> = facts.keys().filter(|key| key.starts_with("env:")).collect();
    assert_eq!(variables, ["env:COLOUR", "env:HOME", "env:PATH"]);
    assert_eq!(facts["env:HOME"], "/", "nobody is in a passwd file that is not there");
}

async fn users(bed: &Bed) {
    let mut spec = bed.spec("someone", &["facts"]);
    spec.user = User { uid: 1000, gid: 2000, additional_gids: vec![3000, 4000] };
    spec.security.no_new_privileges = true;
    let facts = facts_of(bed, &spec).await;
    let table = [
        ("Uid", "1000 1000 1000 1000"),
        ("Gid", "2000 2000 2000 2000"),
        ("Groups", "3000 4000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
    ];
    for (key, want) in table {
        assert_eq!(facts[key], want, "{key}");
    }
    let mut spec = bed.spec("writer", &["write", "/dev/stdout"]);
    spec.user = User { uid: 1000, gid: 1000, additional_gids: Vec::new() };
    assert_eq!(facts_of(bed, &spec).await["/dev/stdout"], "ok");
}

async fn filter(bed: &Bed) {
    for (name, nnp) in [("filtered", false), ("filtered-nnp", true)] {
        let mut spec = bed.spec(name, &["forbidden"]);
        spec.security.no_new_privileges = nnp;
        let facts = facts_of(bed, &spec).await;
        for call in ["unshare", "bpf", "keyctl", "mount"] {
            assert_eq!(facts[call], EPERM, "{call} in {facts:?}");
        }
        assert_eq!(facts["clone3"], ENOSYS);
        assert_eq!(facts["/proc/sys/kernel/hostname"], EROFS);
        assert!([EPERM, ENOENT].contains(&facts["disk"].as_str()), "a device of the host: {facts:?}");
        assert_eq!(facts["interrupts"], "0", "masked files read as empty");
        let limit = ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"];
        let errors: Vec<&str> = limit.iter().map(|path| facts[*path].as_str()).collect();
        assert!(errors.contains(&EROFS), "a container can lift its limits: {facts:?}");
    }
}

async fn unconfined(bed: &Bed) {
    let mut spec = bed.spec("open", &["forbidden"]);
    spec.security.seccomp = Seccomp::Unconfined;
    let facts = facts_of(bed, &spec).await;
    assert_eq!(facts["unshare"], "ok");
    assert_ne!(facts["clone3"], ENOSYS);
    assert_eq!(facts["mount"], EPERM, "capabilities are dropped all the same");

    let mut spec = bed.spec("privileged", &["facts"]);
    spec.security.privileged = true;
    let facts = facts_of(bed, &spec).await;
    assert_eq!(facts["Seccomp"], "0");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap().trim();
    assert_eq!(facts["CapEff"], own, "a privileged container has what the host's root has");
}

async fn capabilities(bed: &Bed) {
    let mut spec = bed.spec("none", &["facts"]);
    spec.security.drop_capabilities = vec!["ALL".into()];
    let facts = facts_of(bed, &spec).await;
    assert_eq!([&facts["CapEff"], &facts["CapBnd"]], ["0000000000000000"; 2]);
    assert_eq!(facts["Seccomp"], "2");

    let mut spec = bed.spec("bind-only", &["facts"]);
    spec.security.drop_capabilities = vec!["all".into()];
    spec.security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
    assert_eq!(facts_of(bed, &spec).await["CapEff"], "0000000000000400");

    let mut spec = bed.spec("admin", &["forbidden"]);
    spec.security.add_capabilities = vec!["CAP_SYS_ADMIN".into()];
    let facts = facts_of(bed, &spec).await;
    assert_eq!(facts["unshare"], "ok", "the capability opens its system calls");
    assert_eq!(facts["keyctl"], EPERM);
}

async fn read_only_root(bed: &Bed) {
    let mut spec = bed.spec("frozen", &["write", "/file"]);
    spec.security.read_only_rootfs = true;
    assert_eq!(facts_of(bed, &spec).await["/file"], EROFS);
    let mut spec = bed.spec("frozen-tmp", &["write", "/tmp/file"]);
    spec.security.read_only_rootfs = true;
    let kind = MountKind::Tmpfs { size: Some(1 << 20) };
    spec.mounts = vec![Mount { source: "tmpfs".into(), destination: "/tmp".into(), kind, read_only: false }];
    fs::create_dir_all(spec.rootfs.join("tmp")).unwrap();
    assert_eq!(facts_of(bed, &spec).await["/tmp/file"], "ok");
    let spec = bed.spec("molten", &["write", "/file"]);
    assert_eq!(facts_of(bed, &spec).await["/file"], "ok");
}

async fn mounts(bed: &Bed) {
    let shared = bed.temp.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let config = bed.temp.path().join("config");
    fs::File::create(&config).unwrap();
    let bind = |source: &std::path::Path, destination: &str, read_only| Mount {
        source: source.to_owned(),
        destination: destination.into(),
        kind: MountKind::Bind,
        read_only,
    };
    let mut spec = bed.spec("reads", &["write", "/shared/file"]);
    spec.mounts = vec![bind(&shared, "/shared", true)];
    assert_eq!(facts_of(bed, &spec).await["/shared/file"], EROFS);
    let mut spec = bed.spec("writes", &["write", "/shared/file"]);
    spec.mounts = vec![bind(&shared, "/shared", false), bind(&config, "/etc/deep/config", true)];
    assert_eq!(facts_of(bed, &spec).await["/shared/file"], "ok");
    assert!(shared.join("file").exists());
    let mut spec = bed.spec("file", &["write", "/etc/config"]);
    spec.mounts = vec![bind(&config, "/etc/config", true)];
    assert_eq!(facts_of(bed, &spec).await["/etc/config"], EROFS);
}

async fn limits(bed: &Bed) {
    let mut spec = bed.spec("limited", &["sleep"]);
    spec.resources = Resources {
        memory_limit_bytes: Some(64 << 20),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(100_000),
        cpu_shares: Some(512),
        pids_limit: Some(20),
    };
    bed.runtime.create_and_start(&spec).await.unwrap();
    let read = |names: &[&str]| cgroup_file(&spec.cgroup_path, names);
    assert_eq!(read(&["memory.max", "memory.limit_in_bytes"]), "67108864");
    assert_eq!(read(&["pids.max"]), "20");
    let quota = read(&["cpu.max", "cpu.cfs_quota_us"]);
    assert!(["50000 100000", "50000"].contains(&quota.as_str()), "{quota}");
    let weight = read(&["cpu.weight", "cpu.shares"]);
    assert_ne!(weight, "1024");
}

async fn out_of_memory(bed: &Bed) {
    let mut spec = bed.spec("hungry", &["eat", "200"]);
    spec.resources.memory_limit_bytes = Some(48 << 20);
    let exit = bed.run(&spec).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), true));
    let mut spec = bed.spec("modest", &["eat", "20"]);
    spec.resources.memory_limit_bytes = Some(128 << 20);
    let exit = bed.run(&spec).await;
    assert_eq!((exit.code, exit.oom_killed), (0, false));
}

async fn shared_namespaces(bed: &Bed) {
    let first = bed.spec("first", &["sleep"]);
    let pid = bed.runtime.create_and_start(&first).await.unwrap().pid;
    let mut second = bed.spec("second", &["sleep"]);
    second.share_ipc = Some(format!("/proc/{pid}/ns/ipc").into());
    second.share_uts = Some(format!("/proc/{pid}/ns/uts").into());
    second.share_pid = Some(format!("/proc/{pid}/ns/pid").into());
    second.netns = Some(format!("/proc/{pid}/ns/net").into());
    let other = bed.runtime.create_and_start(&second).await.unwrap().pid;
    let inode = |pid: u32, name: &str| fs::metadata(format!("/proc/{pid}/ns/{name}")).unwrap().ino();
    for name in ["ipc", "uts", "pid", "net"] {
        assert_eq!(inode(pid, name), inode(other, name), "{name}");
    }
    for name in ["mnt", "cgroup"] {
        assert_ne!(inode(pid, name), inode(other, name), "{name}");
    }
    assert_ne!(inode(pid, "pid"), fs::metadata("/proc/self/ns/pid").unwrap().ino());
}

async fn oom_score(bed: &Bed) {
    for (name, wanted) in [("precious", -900), ("cheap", 900)] {
        let mut spec = bed.spec(name, &["facts"]);
        spec.oom_score_adj = Some(wanted);
        let facts = facts_of(bed, &spec).await;
        let got: i32 = facts["oom"].parse().unwrap();
        let own: i32 = fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
        // Lowering it below our own needs a capability that root does not have everywhere.
        assert!(got == wanted || (wanted < own && got == own), "{name}: {got}");
    }
}
