//! Tables for environment, users, limits, privileges and mounts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use konzert_runtime::Seccomp;
use serde_json::{Value, json};

use super::downward::Situation;
use super::env::{self, EnvInputs, Fetched};
use super::user::{Accounts, resolve};
use super::{Built, SpecInputs, build, container_id, limits, security};
use crate::config::{NodeConfig, PodDirs};
use crate::fault::ConfigFault;
use crate::ports::FoundImage;
use crate::sources::{Source, SourceKey, SourceKind};

fn pod(spec: &Value) -> Pod {
    let meta = json!({"name": "web", "namespace": "shop", "uid": "u-1", "labels": {"app": "a"}, "annotations": {"n": "x\"y"}});
    serde_json::from_value(json!({"metadata": meta, "spec": spec, "status": {"qosClass": "Burstable"}}))
        .unwrap()
}

fn one(container: &Value) -> (Pod, Container) {
    let pod = pod(&json!({"nodeName": "node-1", "serviceAccountName": "sa", "containers": [container]}));
    let container = pod.spec.as_ref().unwrap().containers[0].clone();
    (pod, container)
}

fn image() -> FoundImage {
    FoundImage {
        env: vec!["LANG=C".into(), "PATH=/image".into()],
        entrypoint: vec!["/entry".into()],
        cmd: vec!["default".into()],
        ..FoundImage::default()
    }
}

fn sources() -> Fetched {
    let map: ConfigMap = serde_json::from_value(
        json!({"data": {"color": "red", "bad=name": "x"}, "binaryData": {"blob": "//8="}}),
    )
    .unwrap();
    let secret: Secret =
        serde_json::from_value(json!({"data": {"token": "c2VjcmV0", "raw": "//8="}})).unwrap();
    let key = |kind, name: &str| SourceKey { kind, namespace: "shop".into(), name: name.into() };
    Fetched::from([
        (key(SourceKind::ConfigMap, "map"), Some(Source::from(map))),
        (key(SourceKind::Secret, "sec"), Some(Source::from(secret))),
        (key(SourceKind::ConfigMap, "none"), None),
    ])
}

fn situation() -> Situation {
    Situation {
        pod_ips: vec!["10.244.0.5".into()],
        host_ips: vec!["192.0.2.1".into()],
        allocatable: BTreeMap::from([("cpu".into(), konzert_api::quantity::Quantity::from_integer(2))]),
    }
}

fn environment(container: &Value) -> Result<Vec<(String, String)>, ConfigFault> {
    let (pod, container) = one(container);
    let services = BTreeMap::from([("DB_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned())]);
    let inputs = EnvInputs {
        pod: &pod,
        container: &container,
        image: &image(),
        situation: &situation(),
        sources: &sources(),
        services: &services,
    };
    env::build(&inputs)
}

#[test]
fn environment_from_everywhere() {
    let env = environment(&json!({"name": "c",
    "envFrom": [{"prefix": "P_", "configMapRef": {"name": "map"}}, {"secretRef": {"name": "sec"}},
                {"configMapRef": {"name": "none", "optional": true}}],
    "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}},
    "env": [
        {"name": "PLAIN", "value": "v"},
        {"name": "PATH", "value": "/own"},
        {"name": "REF", "value": "$(PLAIN)-$(DB_SERVICE_HOST)-$(P_color)-$(NOPE)-$$(PLAIN)-$"},
        {"name": "EMPTY"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "color"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "token"}}},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "no", "optional": true}}},
    ]}))
    .unwrap();
    let text = env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(text, @r"
    PATH=/own
    LANG=C
    COLOR=red
    CPU=250
    CPUS=1
    DB_SERVICE_HOST=10.96.0.1
    EMPTY=
    HOST_IP=192.0.2.1
    IP=10.244.0.5
    LABEL=a
    LIMIT=2
    MEM=64
    NAME=web
    NODE=node-1
    PLAIN=v
    P_color=red
    REF=v-10.96.0.1-red-$(NOPE)-$(PLAIN)-$
    TOKEN=secret
    token=secret
    ");
}

#[test]
fn environment_faults_name_the_thing() {
    let from = |from: Value| json!({"name": "c", "env": [{"name": "X", "valueFrom": from}]});
    let table = [
        (from(json!({"configMapKeyRef": {"name": "none", "key": "k"}})), "configmap \"none\" not found"),
        (
            from(json!({"secretKeyRef": {"name": "sec", "key": "k"}})),
            "couldn't find key k in Secret shop/sec",
        ),
        (
            from(json!({"secretKeyRef": {"name": "sec", "key": "raw"}})),
            "key raw of Secret sec is not valid UTF-8 text, which an environment variable must be",
        ),
        (from(json!({"fieldRef": {"fieldPath": "spec.secret"}})), "unsupported fieldPath: spec.secret"),
        (
            from(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
            "unsupported container resource: limits.gpu",
        ),
        (json!({"name": "c", "envFrom": [{"secretRef": {"name": "nope"}}]}), "secret \"nope\" not found"),
    ];
    for (container, expected) in table {
        assert_eq!(environment(&container).unwrap_err().to_string(), expected);
    }
}

#[test]
fn commands() {
    let env = [("WHO".to_owned(), "me".to_owned())];
    let table = [
        (json!({"name": "c"}), "/entry default"),
        (json!({"name": "c", "args": ["a"]}), "/entry a"),
        (json!({"name": "c", "command": ["/run"]}), "/run"),
        (json!({"name": "c", "command": ["/run"], "args": ["$(WHO)", "$(X)"]}), "/run me $(X)"),
    ];
    for (container, expected) in table {
        let (_, container) = one(&container);
        assert_eq!(env::command(&container, &image(), &env).unwrap().join(" "), expected);
    }
    let (_, bare) = one(&json!({"name": "c", "image": "scratch:1"}));
    let error = env::command(&bare, &FoundImage::default(), &env).unwrap_err();
    assert!(error.to_string().contains("scratch:1"));
}

fn rootfs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("etc")).unwrap();
    let put = |name: &str, text: &[u8]| {
        std::io::Write::write_all(&mut fs::File::create(dir.path().join("etc").join(name)).unwrap(), text)
            .unwrap();
    };
    put("passwd", b"root:x:0:0:r:/root:/bin/sh\nweb:x:33:44:w:/:/bin/sh\nbroken\n");
    put("group", b"root:x:0:\nweb:x:44:\nstaff:x:50:other,web\n");
    dir
}

#[test]
fn users() {
    let dir = rootfs();
    let accounts = Accounts::read(dir.path());
    let context = |pod: Value, own: Value| {
        let spec = json!({"securityContext": pod, "containers": [{"name": "c", "securityContext": own}]});
        let pod = self::pod(&spec);
        (pod.spec.clone().unwrap(), pod.spec.unwrap().containers[0].clone())
    };
    let none = || json!({});
    // image user, pod context, own context, expected uid:gid[groups]
    let table = [
        ("", none(), none(), "0:0[]"),
        ("web", none(), none(), "33:44[50]"),
        ("33", none(), none(), "33:44[50]"),
        ("web:staff", none(), none(), "33:50[50]"),
        ("1000", none(), none(), "1000:0[]"),
        ("1000:2000", none(), none(), "1000:2000[]"),
        ("web", json!({"runAsUser": 7}), none(), "7:0[]"),
        ("web", json!({"runAsUser": 7}), json!({"runAsUser": 8, "runAsGroup": 9}), "8:9[]"),
        ("web", json!({"supplementalGroups": [5], "fsGroup": 6}), none(), "33:44[5, 6, 50]"),
        ("web", json!({"supplementalGroupsPolicy": "Strict"}), none(), "33:44[]"),
        (
            "nobody",
            none(),
            none(),
            "unable to find user nobody: no matching entries in the image's /etc/passwd",
        ),
        ("web:x", none(), none(), "unable to find group x: no matching entries in the image's /etc/group"),
        (
            "",
            json!({"runAsNonRoot": true}),
            none(),
            "container has runAsNonRoot and image will run as root (container: c)",
        ),
        ("web", json!({"runAsNonRoot": true}), none(), "33:44[50]"),
        ("", json!({"runAsUser": -1}), none(), "runAsUser: -1 is not a user or group id"),
    ];
    for (user, of_pod, own, expected) in table {
        let (spec, container) = context(of_pod, own);
        let shown = match resolve(&spec, &container, user, &accounts) {
            Ok(user) => format!("{}:{}{:?}", user.uid, user.gid, user.additional_gids),
            Err(fault) => fault.to_string(),
        };
        assert_eq!(shown, expected, "image user {user:?}");
    }
}

#[test]
fn account_files_cannot_lead_out_of_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("rootfs"), dir.path().join("outside"));
    fs::create_dir_all(inside.join("etc")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    std::io::Write::write_all(&mut fs::File::create(outside.join("passwd")).unwrap(), b"evil:x:1:1:::\n")
        .unwrap();
    for target in ["../../outside/passwd", outside.join("passwd").to_str().unwrap()] {
        let link = inside.join("etc/passwd");
        fs::remove_file(&link).ok();
        std::os::unix::fs::symlink(target, &link).unwrap();
        let (pod, container) = one(&json!({"name": "c"}));
        let accounts = Accounts::read(&inside);
        assert!(resolve(pod.spec.as_ref().unwrap(), &container, "evil", &accounts).is_err(), "{target}");
    }
}

#[test]
fn limits_become_cgroup_numbers() {
    let shown = |resources: Value| {
        let (pod, container) = one(&json!({"name": "c", "resources": resources}));
        let cgroup = limits::resources(&container).unwrap();
        let oom = limits::oom_score_adj(&pod, &container, 1 << 30);
        (cgroup.memory_limit_bytes, cgroup.cpu_quota_us, cgroup.cpu_shares, oom)
    };
    assert_eq!(shown(json!({})), (None, None, Some(2), 999));
    let limits =
        json!({"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "250m", "memory": "512Mi"}});
    assert_eq!(shown(limits), (Some(128 << 20), Some(50_000), Some(256), 500));
    assert_eq!(shown(json!({"limits": {"cpu": "1m"}})), (None, Some(1000), Some(2), 999));
    let (_, bad) = one(&json!({"name": "c", "resources": {"limits": {"memory": "lots"}}}));
    assert_eq!(
        limits::resources(&bad).unwrap_err().to_string(),
        "resources.limits.memory: \"lots\" is not a quantity"
    );
}

#[test]
fn privileges_and_refusals() {
    let security = |own: Value| {
        let (pod, container) = one(&json!({"name": "c", "securityContext": own}));
        security::security(pod.spec.as_ref().unwrap(), &container)
    };
    let plain = security(json!({})).unwrap();
    assert!(!plain.privileged && !plain.no_new_privileges && plain.seccomp == Seccomp::RuntimeDefault);
    let tight = security(json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "seccompProfile": {"type": "Unconfined"}}))
    .unwrap();
    assert!(tight.no_new_privileges && tight.read_only_rootfs && tight.seccomp == Seccomp::Unconfined);
    assert_eq!(
        (tight.drop_capabilities, tight.add_capabilities),
        (vec!["ALL".to_owned()], vec!["NET_BIND_SERVICE".to_owned()])
    );
    assert!(security(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}})).is_err());
    let refused = [
        (json!({}), json!({"tty": true}), "tty"),
        (json!({}), json!({"stdin": true}), "stdin"),
        (json!({"runtimeClassName": "kata"}), json!({}), "runtimeClassName"),
        (json!({}), json!({"ports": [{"containerPort": 80, "hostPort": 80}]}), "hostPort"),
        (json!({"os": {"name": "windows"}}), json!({}), "os.name"),
        (json!({"hostUsers": false}), json!({}), "hostUsers"),
        (json!({"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}}), json!({}), "sysctls"),
        (
            json!({}),
            json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]}),
            "mountPropagation",
        ),
    ];
    for (mut spec, mut container, word) in refused {
        container["name"] = json!("c");
        spec["containers"] = json!([container]);
        let spec = pod(&spec).spec.unwrap();
        let fault = security::refuse_unsupported(&spec, &spec.containers[0]).unwrap_err().to_string();
        assert!(fault.contains(word), "{fault}");
    }
}

fn built(spec: &Value) -> Result<Built, ConfigFault> {
    let pod = pod(spec);
    let container = pod.spec.as_ref().unwrap().containers[0].clone();
    let config = NodeConfig::new("node-1", Path::new("/data"), Path::new("/run/k"), "abc");
    build(&SpecInputs {
        config: &config,
        pod: &pod,
        container: &container,
        attempt: 3,
        image: &image(),
        rootfs: Path::new("/rootfs"),
        accounts: &Accounts::default(),
        env: vec![("A".into(), "b".into())],
        netns: Some(PathBuf::from("/run/k/netns")),
        dirs: &PodDirs::new(Path::new("/data"), "shop", "web", "u-1").unwrap(),
        memory_capacity: 1 << 30,
    })
}

#[test]
fn the_whole_request() {
    let built = built(&json!({
        "volumes": [{"name": "cfg", "configMap": {"name": "m"}}, {"name": "tmp", "emptyDir": {}}, {"name": "host", "hostPath": {"path": "/srv"}}],
        "containers": [{"name": "app", "image": "a:1", "workingDir": "/work", "volumeMounts": [
            {"name": "cfg", "mountPath": "/cfg"},
            {"name": "tmp", "mountPath": "/tmp", "subPathExpr": "$(A)/c"},
            {"name": "host", "mountPath": "/etc/hosts", "readOnly": true}]}]}))
    .unwrap();
    built.spec.check().unwrap();
    assert_eq!(built.spec.id, container_id("u-1", "app", 3));
    assert_eq!(built.spec.cgroup_path, format!("/konzert/abc/podu-1/{}", built.spec.id));
    assert_eq!((built.spec.hostname.as_str(), built.spec.cwd.as_str()), ("web", "/work"));
    assert_eq!(built.spec.env, ["A=b", "HOSTNAME=web"]);
    assert_eq!(built.spec.log.path, Path::new("/data/logs/pods/shop_web_u-1/app/3.log"));
    let mounts = built.spec.mounts.iter().map(|mount| {
        let mode = if mount.read_only { "ro" } else { "rw" };
        format!("{} {} {mode}", mount.source.display(), mount.destination.display())
    });
    insta::assert_snapshot!(mounts.collect::<Vec<_>>().join("\n"), @r"
    /data/pods/u-1/volumes/cfg /cfg ro
    /data/pods/u-1/subpaths/app/1 /tmp rw
    /srv /etc/hosts ro
    /data/pods/u-1/containers/app/3/termination-log /dev/termination-log rw
    /data/pods/u-1/files/hostname /etc/hostname rw
    /data/pods/u-1/files/resolv.conf /etc/resolv.conf rw
    ");
    assert_eq!(built.sub_paths[0].sub, "b/c");
}

#[test]
fn mounts_that_lead_elsewhere_are_refused() {
    let with = |mount: Value| {
        built(&json!({"volumes": [{"name": "v", "emptyDir": {}}],
                      "containers": [{"name": "c", "volumeMounts": [mount]}]}))
    };
    for mount in [
        json!({"name": "v", "mountPath": "/a/../../b"}),
        json!({"name": "v", "mountPath": "/"}),
        json!({"name": "v", "mountPath": "/v", "subPath": "../x"}),
        json!({"name": "v", "mountPath": "/v", "subPath": "/x"}),
        json!({"name": "v", "mountPath": "/v", "subPathExpr": "$(A)/../.."}),
        json!({"name": "other", "mountPath": "/v"}),
    ] {
        assert!(with(mount.clone()).is_err(), "{mount}");
    }
}
