//! The specification as text, for a plain and for a demanding container.

use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::spec::{ContainerId, LogSpec, Resources, Security, User};

/// A plain container.
pub(crate) fn sample() -> ContainerSpec {
    ContainerSpec {
        id: ContainerId::new("web-1").unwrap(),
        rootfs: PathBuf::from("/data/rootfs"),
        args: vec!["/bin/server".into(), "--port=80".into()],
        env: vec!["A=1".into()],
        cwd: String::new(),
        user: User::default(),
        hostname: "web".into(),
        mounts: Vec::new(),
        netns: None,
        share_ipc: None,
        share_uts: None,
        share_pid: None,
        cgroup_path: "/konzert/x/pod1/web-1".into(),
        resources: Resources::default(),
        security: Security::default(),
        log: LogSpec { path: PathBuf::from("/logs/0.log"), max_bytes: 0, max_files: 0 },
        stop_signal: 15,
        oom_score_adj: None,
        labels: std::collections::BTreeMap::default(),
    }
}

fn host(cgroups: Layout) -> HostFacts {
    HostFacts { cgroups, capabilities: CapabilityBits::EVERY, swap_limit: true }
}

fn rendered(spec: &ContainerSpec, layout: Layout) -> Value {
    let mut value = serde_json::to_value(runtime_spec(spec, &host(layout)).unwrap()).unwrap();
    // Sets have no order of their own.
    for set in ["bounding", "effective", "permitted"] {
        let names = value["process"]["capabilities"][set].as_array_mut().unwrap();
        names.sort_by_key(|name| name.as_str().unwrap().to_owned());
    }
    let caps = value["process"]["capabilities"].as_object_mut().unwrap();
    assert_eq!(caps["bounding"], caps["effective"]);
    assert_eq!(caps["bounding"], caps["permitted"]);
    caps.retain(|name, _| name != "effective" && name != "permitted");
    value
}

#[test]
fn a_plain_container_on_version_1() {
    let layout = Layout::V1 { mounts: vec!["devices".into(), "memory".into()] };
    insta::assert_yaml_snapshot!(rendered(&sample(), layout));
}

#[test]
fn a_demanding_container_on_version_2() {
    let mut spec = sample();
    spec.cwd = "/srv".into();
    spec.env.push("PATH=/opt/bin".into());
    spec.user = User { uid: 10, gid: 20, additional_gids: vec![30] };
    spec.netns = Some("/run/netns/a".into());
    spec.share_ipc = Some("/run/ipc".into());
    spec.share_uts = Some("/run/uts".into());
    spec.share_pid = Some("/run/pid".into());
    spec.resources = Resources {
        memory_limit_bytes: Some(1 << 20),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(100_000),
        cpu_shares: Some(512),
        pids_limit: Some(9),
    };
    spec.security.read_only_rootfs = true;
    spec.security.no_new_privileges = true;
    spec.security.drop_capabilities = vec!["ALL".into()];
    spec.mounts = vec![
        mount("/host/a", "/a", MountKind::Bind, true),
        mount("ignored", "/tmp", MountKind::Tmpfs { size: Some(4096) }, false),
        mount("/host/shm", "/dev/shm", MountKind::Bind, false),
    ];
    insta::assert_yaml_snapshot!(rendered(&spec, Layout::V2));
}

fn mount(source: &str, destination: &str, kind: MountKind, read_only: bool) -> Mount {
    Mount { source: source.into(), destination: destination.into(), kind, read_only }
}

#[test]
fn a_privileged_container_has_everything_unmasked() {
    let mut spec = sample();
    spec.security.privileged = true;
    let value = rendered(&spec, Layout::V2);
    assert!(value["linux"].get("maskedPaths").is_none());
    assert!(value["linux"].get("readonlyPaths").is_none());
    assert_eq!(value["linux"]["resources"]["devices"][0]["allow"], true);
    assert_eq!(value["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 41);
    let sys =
        value["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == "/sys").unwrap();
    assert!(sys["options"].as_array().unwrap().contains(&"rw".into()));
}

#[test]
fn an_exec_has_the_container_s_process_with_other_arguments() {
    let spec = sample();
    let facts = host(Layout::V2);
    let exec = exec_process(&spec, &facts, vec!["ls".into()]).unwrap();
    let mut own = runtime_spec(&spec, &facts).unwrap().process().clone().unwrap();
    own.set_args(Some(vec!["ls".into()]));
    assert_eq!(exec, own);
}
