//! Kinds beyond the first ones, as kubectl prints them.

use serde_json::json;

use super::{meta, print};

#[test]
fn workloads() {
    let template =
        json!({"spec": {"containers": [{"name": "a", "image": "web:1"}], "nodeSelector": {"disk": "ssd"}}});
    let spec = json!({"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    let stateful = json!({"metadata": meta("db"), "spec": spec, "status": {"readyReplicas": 2}});
    insta::assert_snapshot!(print("StatefulSet", &[stateful]), @r"
    NAME  READY  AGE | CONTAINERS  IMAGES
    db  2/3  5m | a  web:1
    ");
    let status = json!({"desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberReady": 1});
    let daemon = json!({"metadata": meta("log"), "spec": spec, "status": status});
    insta::assert_snapshot!(print("DaemonSet", &[daemon]), @r"
    NAME  DESIRED  CURRENT  READY  UP-TO-DATE  AVAILABLE  NODE SELECTOR  AGE | CONTAINERS  IMAGES  SELECTOR
    log  2  2  1  0  0  disk=ssd  5m | a  web:1  app=web
    ");
    let mut controller = json!({"metadata": meta("old"), "spec": spec, "status": {"replicas": 3}});
    controller["spec"]["selector"] = json!({"app": "web"});
    insta::assert_snapshot!(print("ReplicationController", &[controller]), @r"
    NAME  DESIRED  CURRENT  READY  AGE | CONTAINERS  IMAGES  SELECTOR
    old  3  3  0  5m | a  web:1  app=web
    ");
    let cron = json!({
        "metadata": meta("nightly"),
        "spec": {"schedule": "@daily", "suspend": false, "jobTemplate": {"spec": {"template": template}}},
        "status": {"active": [{}], "lastScheduleTime": "2026-01-01T00:00:00Z"}
    });
    insta::assert_snapshot!(print("CronJob", &[cron]), @r"
    NAME  SCHEDULE  TIMEZONE  SUSPEND  ACTIVE  LAST SCHEDULE  AGE | CONTAINERS  IMAGES  SELECTOR
    nightly  @daily  <none>  False  1  60m  5m | a  web:1  <none>
    ");
    let mut revision = json!({"metadata": meta("db-1"), "revision": 1});
    revision["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]);
    insta::assert_snapshot!(print("ControllerRevision", &[revision]), @r"
    NAME  CONTROLLER  REVISION  AGE
    db-1  statefulset.apps/db  1  5m
    ");
}

#[test]
fn storage() {
    let volume = json!({
        "metadata": meta("v"),
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "d", "name": "c"},
            "volumeMode": "Filesystem"
        },
        "status": {"phase": "Bound"}
    });
    insta::assert_snapshot!(print("PersistentVolume", &[volume]), @r"
    NAME  CAPACITY  ACCESS MODES  RECLAIM POLICY  STATUS  CLAIM  STORAGECLASS  VOLUMEATTRIBUTESCLASS  REASON  AGE | VOLUMEMODE
    v  1Gi  RWO,RWX  Retain  Bound  d/c    <unset>    5m | Filesystem
    ");
    let claim = json!({
        "metadata": meta("c"),
        "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"]}
    });
    insta::assert_snapshot!(print("PersistentVolumeClaim", &[claim]), @r"
    NAME  STATUS  VOLUME  CAPACITY  ACCESS MODES  STORAGECLASS  VOLUMEATTRIBUTESCLASS  AGE | VOLUMEMODE
    c  Bound  v  1Gi  RWOP  fast  <unset>  5m | Filesystem
    ");
}

#[test]
fn limits_and_budgets() {
    let quota = json!({
        "metadata": meta("q"),
        "status": {"hard": {"pods": "4", "limits.cpu": "2", "requests.cpu": "1"}, "used": {"pods": "1", "limits.cpu": "500m"}}
    });
    insta::assert_snapshot!(print("ResourceQuota", &[quota]), @r"
    NAME  REQUEST  LIMIT  AGE
    q  pods: 1/4, requests.cpu: 0/1  limits.cpu: 500m/2  5m
    ");
    insta::assert_snapshot!(print("LimitRange", &[json!({"metadata": meta("l")})]), @r"
    NAME  CREATED AT
    l  2026-01-01T00:55:00Z
    ");
    let budget =
        json!({"metadata": meta("b"), "spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}});
    insta::assert_snapshot!(print("PodDisruptionBudget", &[budget]), @r"
    NAME  MIN AVAILABLE  MAX UNAVAILABLE  ALLOWED DISRUPTIONS  AGE
    b  50%  N/A  1  5m
    ");
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}});
    let scaler = json!({
        "metadata": meta("h"),
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 3, "metrics": [cpu]},
        "status": {"currentReplicas": 2}
    });
    insta::assert_snapshot!(print("HorizontalPodAutoscaler", &[scaler]), @r"
    NAME  REFERENCE  TARGETS  MINPODS  MAXPODS  REPLICAS  AGE
    h  Deployment/web  cpu: <unknown>/80%  1  3  2  5m
    ");
    let endpoints = json!({"metadata": meta("e"), "subsets": [
        {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 443}]}
    ]});
    insta::assert_snapshot!(print("Endpoints", &[endpoints]), @r"
    NAME  ENDPOINTS  AGE
    e  10.0.0.1:80,10.0.0.1:443,10.0.0.2:80 + 1 more...  5m
    ");
}
