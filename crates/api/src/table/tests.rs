//! Tables: rows as kubectl prints them.

mod classes;

use serde_json::{Value, json};

use super::*;
use crate::Catalogue;

mod kinds;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a timestamp")
}

fn kind(name: &str) -> Kind {
    let all = Catalogue::builtin();
    let found = all.kinds().find(|k| k.kind() == name).cloned();
    found.unwrap_or_else(|| panic!("no kind {name}"))
}

/// Heading and cells, wide ones after a bar.
fn print(name: &str, objects: &[Value]) -> String {
    let kind = kind(name);
    let made = table(&kind, objects.iter(), json!({}), IncludeObject::None, now());
    let wide = made["columnDefinitions"].as_array().expect("columns").iter().map(|c| c["priority"] == 1);
    let wide: Vec<bool> = wide.collect();
    let line = |cells: Vec<String>| {
        let pick = |want: bool| {
            let picked = cells.iter().zip(&wide).filter(|(_, w)| **w == want).map(|(c, _)| c.as_str());
            picked.collect::<Vec<_>>().join("  ")
        };
        format!("{} | {}", pick(false), pick(true)).trim_end_matches([' ', '|']).to_owned()
    };
    let heading = kind.columns().iter().map(|c| c.name.to_uppercase()).collect();
    let mut lines = vec![line(heading)];
    for row in made["rows"].as_array().expect("rows") {
        let cells = row["cells"].as_array().expect("cells").iter();
        lines.push(line(cells.map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect()));
    }
    lines.join("\n")
}

fn meta(name: &str) -> Value {
    json!({"name": name, "namespace": "d", "creationTimestamp": "2026-01-01T00:55:00Z"})
}

#[test]
fn durations_are_read_by_people() {
    let table = [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (182, "3m2s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (8 * 3600 + 300, "8h"),
        (45 * 3600, "45h"),
        (48 * 3600, "2d"),
        (75 * 3600, "3d3h"),
        (8 * 86_400, "8d"),
        (400 * 86_400, "400d"),
        (730 * 86_400, "2y"),
        (760 * 86_400, "2y30d"),
        (8 * 365 * 86_400 + 9, "8y"),
    ];
    for (seconds, text) in table {
        assert_eq!(human_duration(seconds), text, "{seconds}");
    }
}

#[allow(clippy::needless_pass_by_value, reason = "made at the call")]
fn pod(name: &str, spec: Value, status: Value) -> Value {
    json!({"metadata": meta(name), "spec": spec, "status": status})
}

fn pods() -> Vec<Value> {
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n1"});
    let init = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
    let sidecar = json!({
        "containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]
    });
    let running = json!({"name": "a", "ready": true, "state": {"running": {}}});
    let waits = |reason: &str| {
        json!({"name": "b", "restartCount": 3, "state": {"waiting": {"reason": reason}},
        "lastState": {"terminated": {"finishedAt": "2026-01-01T00:59:55Z"}}})
    };
    let ended = |reason: &str, code: i64| json!({"name": "b", "state": {"terminated": {"reason": reason, "exitCode": code}}});
    let phase = |phase: &str, statuses: Value| json!({"phase": phase, "containerStatuses": statuses, "podIPs": [{"ip": "10.0.0.1"}]});
    let init_phase = |statuses: Value| json!({"phase": "Pending", "initContainerStatuses": statuses});
    let mut going = pod("going", two.clone(), phase("Running", json!([running, running])));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    let mut gone = pod("done-and-deleted", two.clone(), phase("Succeeded", json!([ended("Completed", 0)])));
    gone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    let mut gated = pod("gated", two.clone(), json!({"phase": "Pending"}));
    gated["spec"]["readinessGates"] = json!([{"conditionType": "G"}, {"conditionType": "H"}]);
    gated["status"]["conditions"] = json!([{"type": "G", "status": "True"}]);
    vec![
        pod("pending", two.clone(), json!({"phase": "Pending"})),
        pod("running", two.clone(), phase("Running", json!([running, running]))),
        pod("crashing", two.clone(), phase("Running", json!([running, waits("CrashLoopBackOff")]))),
        pod("no-image", two.clone(), phase("Pending", json!([waits("ErrImagePull"), running]))),
        pod("half-done", two.clone(), phase("Running", json!([running, ended("Completed", 0)]))),
        pod("done", two.clone(), phase("Succeeded", json!([ended("Completed", 0), ended("Completed", 0)]))),
        pod("failed", two.clone(), phase("Failed", json!([ended("", 7)]))),
        pod("evicted", two, json!({"phase": "Failed", "reason": "Evicted"})),
        pod("init-0", init.clone(), init_phase(json!([{"name": "i", "state": {"running": {}}}]))),
        pod(
            "init-1",
            init.clone(),
            init_phase(
                json!([ended("Completed", 0), {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}]),
            ),
        ),
        pod("init-error", init.clone(), init_phase(json!([ended("Error", 1)]))),
        pod("init-back-off", init, init_phase(json!([waits("CrashLoopBackOff")]))),
        pod(
            "sidecar",
            sidecar,
            json!({"phase": "Running", "containerStatuses": [running],
            "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "restartCount": 1}]}),
        ),
        going,
        gone,
        gated,
    ]
}

#[test]
fn pods_tell_their_state() {
    insta::assert_snapshot!(print("Pod", &pods()), @r"
    NAME  READY  STATUS  RESTARTS  AGE | IP  NODE  NOMINATED NODE  READINESS GATES
    pending  0/2  Pending  0  5m | <none>  n1  <none>  <none>
    running  2/2  Running  0  5m | 10.0.0.1  n1  <none>  <none>
    crashing  1/2  CrashLoopBackOff  3 (5s ago)  5m | 10.0.0.1  n1  <none>  <none>
    no-image  1/2  ErrImagePull  3 (5s ago)  5m | 10.0.0.1  n1  <none>  <none>
    half-done  1/2  NotReady  0  5m | 10.0.0.1  n1  <none>  <none>
    done  0/2  Completed  0  5m | 10.0.0.1  n1  <none>  <none>
    failed  0/2  ExitCode:7  0  5m | 10.0.0.1  n1  <none>  <none>
    evicted  0/2  Evicted  0  5m | <none>  n1  <none>  <none>
    init-0  0/1  Init:0/2  0  5m | <none>  <none>  <none>  <none>
    init-1  0/1  Init:1/2  0  5m | <none>  <none>  <none>  <none>
    init-error  0/1  Init:Error  0  5m | <none>  <none>  <none>  <none>
    init-back-off  0/1  Init:CrashLoopBackOff  3 (5s ago)  5m | <none>  <none>  <none>  <none>
    sidecar  2/2  Running  1  5m | <none>  <none>  <none>  <none>
    going  2/2  Terminating  0  5m | 10.0.0.1  n1  <none>  <none>
    done-and-deleted  0/2  Completed  0  5m | 10.0.0.1  n1  <none>  <none>
    gated  0/2  Pending  0  5m | <none>  n1  <none>  1/2
    ");
}

#[test]
fn finished_pods_are_marked() {
    let kind = kind("Pod");
    let pods = pods();
    let made = table(
        &kind,
        pods.iter().filter(|p| p["metadata"]["name"] == "done"),
        json!({"resourceVersion": "7"}),
        IncludeObject::Metadata,
        now(),
    );
    insta::assert_json_snapshot!(json!({"metadata": made["metadata"], "row": made["rows"][0]}), @r#"
    {
      "metadata": {
        "resourceVersion": "7"
      },
      "row": {
        "cells": [
          "done",
          "0/2",
          "Completed",
          "0",
          "5m",
          "10.0.0.1",
          "n1",
          "<none>",
          "<none>"
        ],
        "conditions": [
          {
            "message": "The pod has completed successfully.",
            "reason": "Succeeded",
            "status": "True",
            "type": "Completed"
          }
        ],
        "object": {
          "apiVersion": "meta.k8s.io/v1",
          "kind": "PartialObjectMetadata",
          "metadata": {
            "creationTimestamp": "2026-01-01T00:55:00Z",
            "name": "done",
            "namespace": "d"
          }
        }
      }
    }
    "#);
}

#[test]
fn workloads() {
    let template =
        json!({"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    let deployment = json!({"metadata": meta("web"), "spec": {"replicas": 3, "selector": selector, "template": template},
        "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2}});
    insta::assert_snapshot!(print("Deployment", &[deployment]), @r"
    NAME  READY  UP-TO-DATE  AVAILABLE  AGE | CONTAINERS  IMAGES  SELECTOR
    web  2/3  1  2  5m | a,b  x:1,y:2  app=web
    ");
    let set = json!({"metadata": meta("web-1"), "spec": {"replicas": 3, "selector": selector, "template": template},
        "status": {"replicas": 3, "readyReplicas": 2}});
    insta::assert_snapshot!(print("ReplicaSet", &[set]), @r"
    NAME  DESIRED  CURRENT  READY  AGE | CONTAINERS  IMAGES  SELECTOR
    web-1  3  3  2  5m | a,b  x:1,y:2  app=web
    ");
    let job = |name: &str, status: Value| {
        json!({"metadata": meta(name),
        "spec": {"completions": 2, "parallelism": 1, "selector": selector, "template": template}, "status": status})
    };
    let jobs = [
        job("new", json!({})),
        job("going", json!({"startTime": "2026-01-01T00:59:00Z", "succeeded": 1})),
        job(
            "done",
            json!({"startTime": "2026-01-01T00:55:00Z", "completionTime": "2026-01-01T00:55:30Z",
            "succeeded": 2, "conditions": [{"type": "Complete", "status": "True"}]}),
        ),
        job("bad", json!({"conditions": [{"type": "Failed", "status": "True"}]})),
    ];
    insta::assert_snapshot!(print("Job", &jobs), @r"
    NAME  STATUS  COMPLETIONS  DURATION  AGE | CONTAINERS  IMAGES  SELECTOR
    new  Running  0/2    5m | a,b  x:1,y:2  app=web
    going  Running  1/2  60s  5m | a,b  x:1,y:2  app=web
    done  Complete  2/2  30s  5m | a,b  x:1,y:2  app=web
    bad  Failed  0/2    5m | a,b  x:1,y:2  app=web
    ");
}

#[test]
fn network() {
    let service = |name: &str, spec: Value| json!({"metadata": meta(name), "spec": spec});
    let services = [
        service(
            "web",
            json!({"type": "ClusterIP", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"],
            "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}], "selector": {"b": "2", "a": "1"}}),
        ),
        service("headless", json!({"type": "ClusterIP", "clusterIP": "None"})),
        service(
            "node",
            json!({"type": "NodePort", "clusterIP": "10.96.0.6",
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}),
        ),
        service("balanced", json!({"type": "LoadBalancer", "clusterIP": "10.96.0.7"})),
        service("named", json!({"type": "ExternalName", "externalName": "example.com"})),
    ];
    insta::assert_snapshot!(print("Service", &services), @r"
    NAME  TYPE  CLUSTER-IP  EXTERNAL-IP  PORT(S)  AGE | SELECTOR
    web  ClusterIP  10.96.0.5  <none>  80/TCP,53/UDP  5m | a=1,b=2
    headless  ClusterIP  None  <none>  <none>  5m | <none>
    node  NodePort  10.96.0.6  <none>  80:30080/TCP  5m | <none>
    balanced  LoadBalancer  10.96.0.7  <pending>  <none>  5m | <none>
    named  ExternalName  <none>  example.com  <none>  5m | <none>
    ");
    let slices = [
        json!({"metadata": meta("one"), "addressType": "IPv4", "ports": [{"port": 80}, {}],
            "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}]}),
        json!({"metadata": meta("many"), "addressType": "IPv4",
            "endpoints": [{"addresses": ["1"]}, {"addresses": ["2"]}, {"addresses": ["3"]}, {"addresses": ["4"]}]}),
    ];
    insta::assert_snapshot!(print("EndpointSlice", &slices), @r"
    NAME  ADDRESSTYPE  PORTS  ENDPOINTS  AGE
    one  IPv4  80,*  10.0.0.1,10.0.0.2  5m
    many  IPv4  <unset>  1,2,3 + 1 more...  5m
    ");
}

#[test]
fn cluster() {
    let node = json!({
        "metadata": {"name": "n1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "worker"}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Linux", "kernelVersion": "6.1"}}
    });
    insta::assert_snapshot!(print("Node", &[node, json!({"metadata": {"name": "n2"}})]), @r"
    NAME  STATUS  ROLES  AGE  VERSION | INTERNAL-IP  EXTERNAL-IP  OS-IMAGE  KERNEL-VERSION  CONTAINER-RUNTIME
    n1  Ready,SchedulingDisabled  control-plane,worker  60m  v1.37.0 | 192.0.2.1  <none>  Linux  6.1  <unknown>
    n2  Unknown  <none>  <unknown>   | <none>  <none>  <unknown>  <unknown>  <unknown>
    ");
    let namespace = json!({"metadata": {"name": "d"}, "status": {"phase": "Active"}});
    insta::assert_snapshot!(print("Namespace", &[namespace]), @r"
    NAME  STATUS  AGE
    d  Active  <unknown>
    ");
    let lease = json!({"metadata": meta("n1"), "spec": {"holderIdentity": "n1"}});
    insta::assert_snapshot!(print("Lease", &[lease]), @r"
    NAME  HOLDER  AGE
    n1  n1  5m
    ");
    let definition = json!({"metadata": meta("foos.example.com")});
    insta::assert_snapshot!(print("CustomResourceDefinition", &[definition]), @r"
    NAME  SCOPE  VERSIONS  CREATED AT | GROUP  KIND  SHORTNAMES  ESTABLISHED
    foos.example.com      2026-01-01T00:55:00Z |       false
    ");
}

#[test]
fn configuration() {
    let map = json!({"metadata": meta("c"), "data": {"a": "1"}, "binaryData": {"b": "aGk="}});
    insta::assert_snapshot!(print("ConfigMap", &[map]), @r"
    NAME  DATA  AGE
    c  2  5m
    ");
    let secret = json!({"metadata": meta("s"), "type": "Opaque", "data": {"a": "aGk="}});
    insta::assert_snapshot!(print("Secret", &[secret]), @r"
    NAME  TYPE  DATA  AGE
    s  Opaque  1  5m
    ");
    insta::assert_snapshot!(print("ServiceAccount", &[json!({"metadata": meta("default")})]), @r"
    NAME  SECRETS  AGE
    default  0  5m
    ");
}

#[test]
fn events() {
    let old = json!({"metadata": meta("e1"), "type": "Normal", "reason": "Pulled", "message": "Image is there.\n",
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{a}"},
        "source": {"component": "kubelet", "host": "n1"}, "count": 4,
        "firstTimestamp": "2026-01-01T00:50:00Z", "lastTimestamp": "2026-01-01T00:59:30Z"});
    let new = json!({"metadata": meta("e2"), "type": "Warning", "reason": "Failed", "message": "No.",
        "involvedObject": {"kind": "Node", "name": "n1"}, "reportingComponent": "scheduler",
        "eventTime": "2026-01-01T00:59:58.123456Z"});
    insta::assert_snapshot!(print("Event", &[old, new]), @r"
    LAST SEEN  TYPE  REASON  OBJECT  MESSAGE | SUBOBJECT  SOURCE  FIRST SEEN  COUNT  NAME
    30s  Normal  Pulled  pod/web  Image is there. | spec.containers{a}  kubelet, n1  10m  4  e1
    2s  Warning  Failed  node/n1  No. |   scheduler  2s  1  e2
    ");
}

#[test]
fn include_object_is_an_enumeration() {
    assert_eq!(IncludeObject::parse("Object").unwrap(), IncludeObject::Object);
    assert_eq!(IncludeObject::parse("").unwrap(), IncludeObject::Metadata);
    assert_eq!(IncludeObject::parse("Everything").unwrap_err().code, 400);
}
