//! Validation, kind by kind: a good object, one change, the sentence it gives.

mod admission;
mod metadata;
mod networking;
mod storage;
mod system;

use serde_json::{Value, json};

use crate::{Catalogue, CreateFacts, Kind, meta};

mod kinds;
mod pods;

fn kind(name: &str) -> Kind {
    let all = Catalogue::builtin();
    let found = all.kinds().find(|k| k.kind() == name).cloned();
    found.unwrap_or_else(|| panic!("no kind {name}"))
}

fn create(name: &str, mut object: Value) -> Value {
    let kind = kind(name);
    let facts =
        CreateFacts { uid: "u".to_owned(), now: "2026-01-01T00:00:00Z".parse().expect("a timestamp") };
    kind.default(&mut object);
    let doomed = object["metadata"].get("deletionTimestamp").cloned();
    meta::stamp_new(&mut object, &facts.uid, facts.now);
    if let Some(time) = doomed {
        object["metadata"]["deletionTimestamp"] = time;
    }
    kind.prepare_create(&mut object, &facts);
    object
}

fn lines(errors: &[crate::FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Puts a value at a JSON pointer, making objects on the way.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for key in pointer.split('/').skip(1) {
        at = match (key.parse::<usize>(), at.is_array()) {
            (Ok(index), true) => &mut at[index],
            _ => &mut at[key],
        };
    }
    *at = value;
}

/// Each case: pointer, value, the sentences expected (empty for none).
fn check(name: &str, good: &Value, cases: &[(&str, Value, &str)]) {
    assert_eq!(lines(&kind(name).validate(&create(name, good.clone()))), "", "{name} is good");
    for (pointer, value, expected) in cases {
        let mut object = good.clone();
        put(&mut object, pointer, value.clone());
        let found = lines(&kind(name).validate(&create(name, object)));
        assert_eq!(found, *expected, "{name} {pointer} = {value}");
    }
}

/// Each case: pointer, value, the sentences expected when a good object is changed like this.
fn check_update(name: &str, good: &Value, cases: &[(&str, Value, &str)]) {
    let old = create(name, good.clone());
    assert_eq!(lines(&kind(name).validate_update(&old, &old)), "");
    for (pointer, value, expected) in cases {
        let mut new = old.clone();
        put(&mut new, pointer, value.clone());
        let found = lines(&kind(name).validate_update(&old, &new));
        assert_eq!(found, *expected, "{name} {pointer} = {value}");
    }
}

fn pod() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "d"},
        "spec": {
            "containers": [
                {"name": "a", "image": "web:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                 "ports": [{"name": "http", "containerPort": 80}]},
                {"name": "b", "image": "web:1"}
            ],
            "initContainers": [{"name": "i", "image": "web:1"}],
            "volumes": [{"name": "v", "emptyDir": {}}]
        }
    })
}

#[test]
fn metadata() {
    check("Pod", &pod(), &[
        ("/metadata/name", json!("Web"), "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".replace("\\\\", "\\").leak()),
        ("/metadata/name", json!(""), "metadata.name: Required value: name or generateName is required"),
        ("/metadata/generateName", json!("web-"), ""),
        ("/metadata/labels", json!({"a": "b", "x.y/z": ""}), ""),
        ("/metadata/annotations", json!({"A/b": "anything \n goes"}), ""),
        ("/metadata/annotations", json!({"a": "x".repeat(300_000)}), "metadata.annotations: Too long: may not be more than 262144 bytes"),
        ("/metadata/ownerReferences", json!([{"apiVersion": "v1", "kind": "Pod", "name": "x"}]), "metadata.ownerReferences[0].uid: Required value: must not be empty"),
        ("/metadata/finalizers", json!(["x.y/z"]), ""),
    ]);
    check(
        "Namespace",
        &json!({"metadata": {"name": "d"}}),
        &[("/metadata/namespace", json!("x"), "metadata.namespace: Forbidden: not allowed on this type")],
    );
    let bad_label = kind("Pod").validate(&{
        let mut pod = create("Pod", pod());
        put(&mut pod, "/metadata/labels", json!({"a b": "c d"}));
        pod
    });
    assert_eq!(bad_label.len(), 2, "{}", lines(&bad_label));
}

#[test]
fn metadata_updates() {
    let mut doomed = pod();
    doomed["metadata"]["finalizers"] = json!(["x.y/z"]);
    doomed["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check_update(
        "Pod",
        &doomed,
        &[
            ("/metadata/name", json!("other"), "metadata.name: Invalid value: \"other\": field is immutable"),
            ("/metadata/finalizers", json!([]), ""),
            (
                "/metadata/finalizers",
                json!(["x.y/z", "a.b/c"]),
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a.b/c\"}",
            ),
        ],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn pods() {
    check(
        "Pod",
        &pod(),
        &[
            ("/spec/containers", json!([]), "spec.containers: Required value"),
            ("/spec/containers/0/image", json!(""), "spec.containers[0].image: Required value"),
            (
                "/spec/containers/0/image",
                json!(" x"),
                "spec.containers[0].image: Invalid value: \" x\": must not have leading or trailing whitespace",
            ),
            ("/spec/containers/0/name", json!(""), "spec.containers[0].name: Required value"),
            ("/spec/containers/1/name", json!("a"), "spec.containers[1].name: Duplicate value: \"a\""),
            ("/spec/containers/1/name", json!("i"), "spec.initContainers[0].name: Duplicate value: \"i\""),
            (
                "/spec/containers/0/imagePullPolicy",
                json!("Sometimes"),
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            ),
            (
                "/spec/containers/0/ports/0/containerPort",
                json!(0),
                "spec.containers[0].ports[0].containerPort: Required value",
            ),
            (
                "/spec/containers/0/ports/0/containerPort",
                json!(70_000),
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                "/spec/containers/0/ports/0/name",
                json!("no--no"),
                "spec.containers[0].ports[0].name: Invalid value: \"no--no\": must not contain consecutive hyphens",
            ),
            (
                "/spec/containers/0/ports/0/protocol",
                json!("ICMP"),
                "spec.containers[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ),
            (
                "/spec/containers/0/volumeMounts/0/name",
                json!("w"),
                "spec.containers[0].volumeMounts[0].name: Not found: \"w\"",
            ),
            (
                "/spec/containers/0/volumeMounts/0/subPath",
                json!("../x"),
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'",
            ),
            (
                "/spec/containers/0/env",
                json!([{"name": "A=B"}]),
                "spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            ),
            (
                "/spec/containers/0/env",
                json!([{"name": "A", "valueFrom": {}}]),
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            ),
            (
                "/spec/containers/0/env",
                json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
                "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
            ),
            (
                "/spec/containers/0/livenessProbe",
                json!({}),
                "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            ),
            (
                "/spec/containers/0/livenessProbe",
                json!({"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
                "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            ),
            (
                "/spec/containers/0/livenessProbe",
                json!({"exec": {"command": ["x"]}, "successThreshold": 2}),
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ),
            (
                "/spec/containers/0/readinessProbe",
                json!({"httpGet": {"port": 0}}),
                "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                "/spec/containers/0/resources",
                json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ),
            (
                "/spec/containers/0/resources",
                json!({"limits": {"memory": "-1"}, "requests": {"memory": "0"}}),
                "spec.containers[0].resources.limits[memory]: Invalid value: \"-1\": must be greater than or equal to 0\nspec.containers[0].resources.requests: Invalid value: \"0\": must be less than or equal to memory limit of -1",
            ),
            (
                "/spec/initContainers/0/readinessProbe",
                json!({"exec": {"command": ["x"]}}),
                "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ),
            (
                "/spec/restartPolicy",
                json!("Perhaps"),
                "spec.restartPolicy: Unsupported value: \"Perhaps\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ),
            // A negative one means the shortest.
            ("/spec/terminationGracePeriodSeconds", json!(-1), ""),
            (
                "/spec/volumes/0/hostPath",
                json!({"path": "/x"}),
                "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type\nspec.containers[0].volumeMounts[0].name: Not found: \"v\"",
            ),
            (
                "/spec/volumes",
                json!([{"name": "v"}, {"name": "v"}]),
                "spec.volumes[1].name: Duplicate value: \"v\"",
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "hostPath": {"path": "/a/../b"}}),
                "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'\nspec.containers[0].volumeMounts[0].name: Not found: \"v\"",
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "configMap": {"items": [{"key": "k", "path": "/p"}]}}),
                "spec.volumes[0].configMap.name: Required value\nspec.volumes[0].configMap.items[0].path: Invalid value: \"/p\": must be a relative path\nspec.containers[0].volumeMounts[0].name: Not found: \"v\"",
            ),
            (
                "/spec/tolerations",
                json!([{"operator": "Equal"}]),
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ),
        ],
    );
}

#[test]
fn pod_updates() {
    let refused = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    check_update(
        "Pod",
        &pod(),
        &[
            ("/spec/containers/0/image", json!("web:2"), ""),
            ("/spec/initContainers/0/image", json!("web:2"), ""),
            ("/spec/activeDeadlineSeconds", json!(5), ""),
            ("/spec/containers/0/command", json!(["x"]), refused),
            ("/spec/nodeName", json!("n"), refused),
            ("/spec/terminationGracePeriodSeconds", json!(1), refused),
            (
                "/spec/tolerations",
                json!([]),
                "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
            ),
            (
                "/spec/containers",
                json!([]),
                "spec.containers: Forbidden: pod updates may not add or remove containers",
            ),
            ("/metadata/labels", json!({"a": "b"}), ""),
        ],
    );
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "web:1"}]}}
        }
    })
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn deployments() {
    check(
        "Deployment",
        &deployment(),
        &[
            (
                "/spec/selector/matchLabels/app",
                json!("db"),
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            ),
            (
                "/spec/selector",
                json!({}),
                "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
            ),
            (
                "/spec/selector",
                Value::Null,
                "spec.selector: Required value\nspec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            ),
            (
                "/spec/replicas",
                json!(-1),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                "/spec/template/spec/restartPolicy",
                json!("Never"),
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ),
            (
                "/spec/template/spec/containers/0/image",
                json!(""),
                "spec.template.spec.containers[0].image: Required value",
            ),
            (
                "/spec/strategy",
                json!({"type": "Recreate", "rollingUpdate": {}}),
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ),
            (
                "/spec/strategy",
                json!({"type": "Slow"}),
                "spec.strategy: Unsupported value: {\"type\":\"Slow\"}: supported values: \"Recreate\", \"RollingUpdate\"",
            ),
            (
                "/spec/strategy",
                json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
            ),
            (
                "/spec/strategy",
                json!({"rollingUpdate": {"maxUnavailable": "150%"}}),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"150%\": must not be greater than 100%",
            ),
            (
                "/spec/progressDeadlineSeconds",
                json!(0),
                "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds",
            ),
        ],
    );
    check_update(
        "Deployment",
        &deployment(),
        &[
            ("/spec/replicas", json!(5), ""),
            ("/spec/template/spec/containers/0/image", json!("web:2"), ""),
            (
                "/spec/selector/matchLabels/app",
                json!("db"),
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"db\"}}: field is immutable",
            ),
        ],
    );
    check(
        "ReplicaSet",
        &deployment(),
        &[(
            "/spec/replicas",
            json!(-1),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        )],
    );
}

fn job() -> Value {
    json!({
        "metadata": {"name": "j", "namespace": "d"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x:1"}]}}}
    })
}

#[test]
fn jobs() {
    check(
        "Job",
        &job(),
        &[
            (
                "/spec/template/spec/restartPolicy",
                json!("Always"),
                "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ),
            (
                "/spec/backoffLimit",
                json!(-1),
                "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
            ),
            ("/spec/completionMode", json!("Indexed"), ""),
            (
                "/spec/completionMode",
                json!("Other"),
                "spec.completionMode: Unsupported value: \"Other\": supported values: \"NonIndexed\", \"Indexed\"",
            ),
        ],
    );
    check_update(
        "Job",
        &job(),
        &[
            ("/spec/parallelism", json!(5), ""),
            ("/spec/suspend", json!(true), ""),
            ("/spec/completions", json!(5), "spec.completions: Invalid value: 5: field is immutable"),
        ],
    );
    let image = "/spec/template/spec/containers/0/image";
    let old = create("Job", job());
    let mut new = old.clone();
    put(&mut new, image, json!("x:2"));
    let errors = kind("Job").validate_update(&old, &new);
    assert_eq!(errors.iter().map(|e| e.path.as_str()).collect::<Vec<_>>(), ["spec.template"]);

    let mut suspended = job();
    suspended["spec"]["suspend"] = json!(true);
    check_update("Job", &suspended, &[("/spec/template/spec/nodeSelector", json!({"a": "b"}), "")]);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn services() {
    let good = json!({"metadata": {"name": "web", "namespace": "d"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}});
    check(
        "Service",
        &good,
        &[
            ("/spec/ports", json!([]), "spec.ports: Required value"),
            (
                "/spec/ports/0/port",
                json!(0),
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive\nspec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                "/spec/ports",
                json!([{"port": 1}, {"port": 2, "name": "b"}]),
                "spec.ports[0].name: Required value",
            ),
            (
                "/spec/ports",
                json!([{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]),
                "spec.ports[1]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\",\"targetPort\":0}",
            ),
            (
                "/spec/ports/0/nodePort",
                json!(30_000),
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ),
            ("/spec/ports/0/targetPort", json!("http"), ""),
            (
                "/spec/type",
                json!("Other"),
                "spec.type: Unsupported value: \"Other\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ),
            ("/spec/type", json!("ExternalName"), "spec.externalName: Required value"),
            ("/spec/clusterIP", json!("None"), ""),
            (
                "/spec/clusterIP",
                json!("10.0"),
                "spec.clusterIPs[0]: Invalid value: \"10.0\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
        ],
    );
    let mut placed = good;
    placed["spec"]["clusterIP"] = json!("10.96.0.5");
    check_update(
        "Service",
        &placed,
        &[
            (
                "/spec/clusterIPs",
                json!(["10.96.0.6"]),
                "spec.clusterIPs[0]: Invalid value: [\"10.96.0.6\"]: may not change once set",
            ),
            ("/spec/selector", json!({"a": "c"}), ""),
        ],
    );
}

#[test]
fn configuration() {
    let map = json!({"metadata": {"name": "c", "namespace": "d"}, "data": {"a.b": "1"}});
    check(
        "ConfigMap",
        &map,
        &[
            ("/data", json!({"..": "x"}), "data[..]: Invalid value: \"..\": must not be '..'"),
            (
                "/binaryData",
                json!({"a.b": "aGk="}),
                "data[a.b]: Invalid value: \"a.b\": duplicate of key present in binaryData",
            ),
            ("/data", json!({"a": "x".repeat(1_100_000)}), ": Too long: may not be more than 1048576 bytes"),
        ],
    );
    let mut sealed = map;
    sealed["immutable"] = json!(true);
    check_update(
        "ConfigMap",
        &sealed,
        &[
            ("/data", json!({}), "data: Forbidden: field is immutable when `immutable` is set"),
            ("/immutable", json!(false), "immutable: Forbidden: field is immutable when `immutable` is set"),
            ("/metadata/labels", json!({"a": "b"}), ""),
        ],
    );
    let secret = json!({"metadata": {"name": "s", "namespace": "d"}, "data": {"a": "aGk="}});
    check(
        "Secret",
        &secret,
        &[
            (
                "/type",
                json!("kubernetes.io/tls"),
                "data[tls.crt]: Required value\ndata[tls.key]: Required value",
            ),
            ("/data", json!({"a": "no base64"}), "data[a]: Invalid value: \"<hidden>\": must be base64"),
        ],
    );
    check_update(
        "Secret",
        &secret,
        &[("/type", json!("x"), "type: Invalid value: \"x\": field is immutable")],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn the_rest() {
    check(
        "EndpointSlice",
        &json!({"metadata": {"name": "s", "namespace": "d"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}),
        &[
            ("/endpoints/0/addresses", json!([]), "endpoints[0].addresses: Required value"),
            (
                "/endpoints/0/addresses/0",
                json!("::1"),
                "endpoints[0].addresses: Invalid value: \"::1\": must be an IPv4 address\nendpoints[0].addresses[0]: Invalid value: \"::1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            ("/addressType", json!(""), "addressType: Required value"),
        ],
    );
    check(
        "Node",
        &json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
        &[
            (
                "/spec/taints/0/effect",
                json!("Bad"),
                "metadata.taints[0].effect: Unsupported value: \"Bad\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            ),
            (
                "/status/capacity",
                json!({"cpu": "x"}),
                "status.capacity.cpu: Invalid value: \"x\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'\nstatus.allocatable.cpu: Invalid value: \"x\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
        ],
    );
    check(
        "Event",
        &json!({"metadata": {"name": "e", "namespace": "d"}, "involvedObject": {"namespace": "d"}}),
        &[(
            "/involvedObject/namespace",
            json!("x"),
            "involvedObject.namespace: Invalid value: \"x\": does not match event.namespace",
        )],
    );
    check(
        "Lease",
        &json!({"metadata": {"name": "l", "namespace": "d"}}),
        &[(
            "/spec/leaseDurationSeconds",
            json!(0),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        )],
    );
}
