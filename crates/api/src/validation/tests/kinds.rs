//! Kinds beyond the first ones: workloads, storage, limits, budgets, autoscalers.

use serde_json::{Value, json};

use super::{check, check_update, create, kind, lines};

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "web:1"}]}})
}

fn object(spec: &Value) -> Value {
    json!({"metadata": {"name": "x", "namespace": "d"}, "spec": spec})
}

fn workload() -> Value {
    object(&json!({"selector": {"matchLabels": {"app": "web"}}, "template": template()}))
}

const MISMATCH: &str = "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`";

#[test]
fn stateful_sets() {
    let mut good = workload();
    good["spec"]["serviceName"] = json!("web");
    good["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    }]);
    good["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/d"}]);
    check(
        "StatefulSet",
        &good,
        &[
            ("/spec/selector/matchLabels/app", json!("db"), MISMATCH),
            (
                "/spec/selector",
                json!({}),
                "spec.selector: Invalid value: {}: empty selector is invalid for statefulset",
            ),
            (
                "/spec/podManagementPolicy",
                json!("Any"),
                "spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'",
            ),
            (
                "/spec/updateStrategy",
                json!({"type": "OnDelete", "rollingUpdate": {}}),
                "spec.updateStrategy.rollingUpdate: Invalid value: {}: only allowed for updateStrategy 'RollingUpdate'",
            ),
            (
                "/spec/persistentVolumeClaimRetentionPolicy",
                json!({"whenScaled": "Keep"}),
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Keep\": supported values: \"Retain\", \"Delete\"",
            ),
            (
                "/spec/template/spec/containers/0/volumeMounts/0/name",
                json!("other"),
                "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"other\"",
            ),
        ],
    );
    let refused = "spec.serviceName: Invalid value: \"other\": field is immutable";
    check_update(
        "StatefulSet",
        &good,
        &[
            ("/spec/replicas", json!(3), ""),
            ("/spec/template/spec/containers/0/image", json!("web:2"), ""),
            ("/spec/serviceName", json!("other"), refused),
            (
                "/spec/volumeClaimTemplates",
                json!([]),
                "spec.volumeClaimTemplates: Invalid value: []: field is immutable",
            ),
        ],
    );
}

#[test]
fn daemon_sets_and_replication_controllers() {
    check(
        "DaemonSet",
        &workload(),
        &[
            ("/spec/selector", Value::Null, MISMATCH),
            (
                "/spec/updateStrategy",
                json!({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}),
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ),
            (
                "/spec/updateStrategy",
                json!({"rollingUpdate": {"maxUnavailable": 0}}),
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ),
            (
                "/spec/template/spec/activeDeadlineSeconds",
                json!(5),
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
            ),
        ],
    );
    check_update(
        "DaemonSet",
        &workload(),
        &[(
            "/spec/selector/matchLabels/app",
            json!("db"),
            "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"db\"}}: field is immutable",
        )],
    );
    check(
        "ReplicationController",
        &object(&json!({"template": template()})),
        &[
            ("/spec/selector", json!({"app": "db"}), MISMATCH),
            (
                "/spec/replicas",
                json!(-1),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            ("/spec/template", Value::Null, "spec.selector: Required value\nspec.template: Required value"),
        ],
    );
    let revision = json!({"metadata": {"name": "r", "namespace": "d"}, "data": {"a": 1}, "revision": 1});
    check(
        "ControllerRevision",
        &revision,
        &[("/data", Value::Null, "data: Required value: data is mandatory")],
    );
    check_update(
        "ControllerRevision",
        &revision,
        &[
            ("/data", json!({"a": 2}), "data: Invalid value: {\"a\":2}: field is immutable"),
            ("/revision", json!(2), ""),
        ],
    );
}

#[test]
fn cron_jobs() {
    let mut pods = template();
    pods["spec"]["restartPolicy"] = json!("OnFailure");
    let good = object(&json!({"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": pods}}}));
    check(
        "CronJob",
        &good,
        &[
            ("/spec/schedule", json!(""), "spec.schedule: Required value"),
            (
                "/spec/schedule",
                json!("* * *"),
                "spec.schedule: Invalid value: \"* * *\": expected exactly 5 fields, found 3: [* * *]",
            ),
            (
                "/spec/schedule",
                json!("TZ=UTC * * * * *"),
                "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ),
            ("/spec/timeZone", json!("Europe/Berlin"), ""),
            (
                "/spec/timeZone",
                json!("Mars"),
                "spec.timeZone: Invalid value: \"Mars\": unknown time zone Mars",
            ),
            (
                "/spec/concurrencyPolicy",
                json!("Maybe"),
                "spec.concurrencyPolicy: Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
            ),
            (
                "/spec/jobTemplate/spec/template/spec/restartPolicy",
                json!("Always"),
                "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ),
            (
                "/spec/jobTemplate/spec/selector",
                json!({}),
                "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
            ),
        ],
    );
    let mut long = good;
    long["metadata"]["name"] = json!("x".repeat(53));
    let errors = lines(&kind("CronJob").validate_create(&create("CronJob", long)));
    assert!(errors.ends_with(": must be no more than 52 characters"), "{errors}");
}

#[test]
fn policies_of_jobs() {
    let mut pods = template();
    pods["spec"]["restartPolicy"] = json!("Never");
    let good = object(&json!({"completionMode": "Indexed", "completions": 4, "template": pods}));
    check(
        "Job",
        &good,
        &[
            (
                "/spec/successPolicy",
                json!({"rules": [{"succeededIndexes": "0-1,3", "succeededCount": 4}]}),
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)",
            ),
            (
                "/spec/successPolicy",
                json!({"rules": [{"succeededIndexes": "3-1"}]}),
                "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"3-1\": error parsing succeededIndexes: non-increasing order, previous: 3, current: 1",
            ),
            (
                "/spec/podFailurePolicy",
                json!({"rules": [{"action": "FailJob"}]}),
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ),
            (
                "/spec/podFailurePolicy",
                json!({"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [2, 1]}}]}),
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: must be ordered",
            ),
            (
                "/spec/maxFailedIndexes",
                json!(1),
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            ),
        ],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn volumes_and_claims() {
    let volume = json!({"metadata": {"name": "v"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/v"}
    }});
    check(
        "PersistentVolume",
        &volume,
        &[
            ("/spec/accessModes", json!([]), "spec.accessModes: Required value"),
            (
                "/spec/persistentVolumeReclaimPolicy",
                json!("Keep"),
                "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Keep\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
            ),
            ("/spec/hostPath", Value::Null, "spec: Required value: must specify a volume type"),
            (
                "/spec/nfs",
                json!({"server": "s", "path": "/p"}),
                "spec.nfs: Forbidden: may not specify more than 1 volume type",
            ),
            (
                "/spec/capacity/storage",
                json!("0"),
                "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
            ),
        ],
    );
    check_update(
        "PersistentVolume",
        &volume,
        &[
            (
                "/spec/hostPath/path",
                json!("/w"),
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n",
            ),
            ("/spec/persistentVolumeReclaimPolicy", json!("Delete"), ""),
        ],
    );
    let claim =
        object(&json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}));
    check(
        "PersistentVolumeClaim",
        &claim,
        &[
            (
                "/spec/accessModes",
                json!([]),
                "spec.accessModes: Required value: at least 1 access mode is required",
            ),
            (
                "/spec/accessModes",
                json!(["ReadWriteOnce", "ReadWriteOncePod"]),
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
            ),
            ("/spec/resources", json!({}), "spec.resources[storage]: Required value"),
            (
                "/spec/dataSource",
                json!({"kind": "Pod", "name": "p"}),
                "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup\nspec.dataSourceRef: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            ),
        ],
    );
    let immutable = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n";
    check_update(
        "PersistentVolumeClaim",
        &claim,
        &[
            ("/spec/volumeName", json!("v"), ""),
            ("/spec/storageClassName", json!("fast"), ""),
            ("/spec/accessModes", json!(["ReadOnlyMany"]), immutable),
            ("/spec/resources/requests/storage", json!("3Gi"), immutable),
        ],
    );
    let mut bound = create("PersistentVolumeClaim", claim);
    bound["status"] = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}});
    let resized = |size: &str| {
        let mut new = bound.clone();
        new["spec"]["resources"]["requests"]["storage"] = json!(size);
        lines(&kind("PersistentVolumeClaim").validate_update(&bound, &new))
    };
    assert_eq!(resized("3Gi"), "");
    assert_eq!(
        resized("1Gi"),
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn limits_budgets_and_autoscalers() {
    check(
        "LimitRange",
        &object(&json!({"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]})),
        &[
            (
                "/spec/limits/0/min/cpu",
                json!("3"),
                "spec.limits[0].min[cpu]: Invalid value: \"3\": min value 3 is greater than max value 2\nspec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": min value 3 is greater than default request value 2\nspec.limits[0].default[cpu]: Invalid value: \"3\": min value 3 is greater than default value 2",
            ),
            (
                "/spec/limits/0/type",
                json!("Box"),
                "spec.limits[0].type: Invalid value: \"Box\": must be a standard limit type or fully qualified",
            ),
        ],
    );
    let quota = object(&json!({"hard": {"pods": "4", "requests.cpu": "1"}}));
    check(
        "ResourceQuota",
        &quota,
        &[
            (
                "/spec/hard",
                json!({"cows": "1"}),
                "spec.hard[cows]: Invalid value: \"cows\": must be a standard resource type or fully qualified\nspec.hard[cows]: Invalid value: \"cows\": must be a standard resource for quota",
            ),
            (
                "/spec/scopes",
                json!(["BestEffort"]),
                "spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource",
            ),
            (
                "/spec/hard/pods",
                json!("1500m"),
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
            ),
        ],
    );
    check_update(
        "ResourceQuota",
        &quota,
        &[(
            "/spec/scopes",
            json!(["Terminating"]),
            "spec.scopes: Invalid value: [\"Terminating\"]: field is immutable",
        )],
    );
    check(
        "PodDisruptionBudget",
        &object(&json!({"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}})),
        &[
            (
                "/spec/maxUnavailable",
                json!(1),
                "spec: Invalid value: {\"maxUnavailable\":1,\"minAvailable\":\"50%\",\"selector\":{\"matchLabels\":{\"a\":\"b\"}}}: minAvailable and maxUnavailable cannot be both set",
            ),
            (
                "/spec/minAvailable",
                json!("150%"),
                "spec.minAvailable: Invalid value: \"150%\": must not be greater than 100%",
            ),
            (
                "/spec/selector/matchExpressions",
                json!([{"key": "a", "operator": "In"}]),
                "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
        ],
    );
    check(
        "HorizontalPodAutoscaler",
        &object(
            &json!({"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}),
        ),
        &[
            (
                "/spec/minReplicas",
                json!(5),
                "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
            ),
            ("/spec/scaleTargetRef/name", json!(""), "spec.scaleTargetRef.name: Required value"),
            (
                "/spec/metrics",
                json!([{"type": "Pods"}]),
                "spec.metrics[0].pods: Required value: must populate information for the given metric source",
            ),
            (
                "/spec/behavior",
                json!({"scaleUp": {"stabilizationWindowSeconds": 4000}}),
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
            ),
        ],
    );
}

#[test]
fn endpoints_and_namespaces() {
    let good = json!({"metadata": {"name": "e", "namespace": "d"}, "subsets": [
        {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}
    ]});
    check(
        "Endpoints",
        &good,
        &[
            (
                "/subsets/0/addresses",
                json!([]),
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
            ),
            (
                "/subsets/0/addresses/0/ip",
                json!("127.0.0.1"),
                "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                "/subsets/0/ports",
                json!([{"port": 1}, {"port": 2, "name": "b"}]),
                "subsets[0].ports[0].name: Required value",
            ),
        ],
    );
    let namespace = create("Namespace", json!({"metadata": {"name": "n"}}));
    let part = kind("Namespace").part(crate::Subresource::Finalize).expect("a part");
    let mut new = namespace.clone();
    new["spec"]["finalizers"] = json!(["odd"]);
    let expected = "spec.finalizers[0]: Invalid value: \"odd\": name is neither a standard finalizer name nor is it fully qualified";
    assert_eq!(lines(&(part.validate)(&namespace, &new)), expected);
}
