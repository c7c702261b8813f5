//! Priority and runtime classes, leases, API services.

use serde_json::json;

use super::{check, check_update, kind};

#[test]
fn priority_classes() {
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    check(
        "PriorityClass",
        &class,
        &[
            (
                "/value",
                json!(1_000_000_001),
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
            ),
            (
                "/preemptionPolicy",
                json!("Maybe"),
                "preemptionPolicy: Unsupported value: \"Maybe\": supported values: \"PreemptLowerPriority\", \"Never\"",
            ),
            (
                "/metadata/name",
                json!("system-x"),
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class",
            ),
            (
                "/metadata/name",
                json!("system-node-critical"),
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000",
            ),
        ],
    );
    check_update(
        "PriorityClass",
        &class,
        &[
            ("/value", json!(1), "value: Forbidden: may not be changed in an update."),
            (
                "/preemptionPolicy",
                json!("Never"),
                "preemptionPolicy: Invalid value: \"Never\": field is immutable",
            ),
            ("/description", json!("x"), ""),
        ],
    );
}

#[test]
fn runtime_classes() {
    let class =
        json!({"metadata": {"name": "r"}, "handler": "runc", "overhead": {"podFixed": {"cpu": "0.5"}}});
    let tolerations = |list| json!({"tolerations": list});
    check(
        "RuntimeClass",
        &class,
        &[
            ("/handler", json!(""), "handler: Required value"),
            ("/handler", json!("a.b"), "handler: Invalid value: \"a.b\": must not contain dots"),
            (
                "/overhead/podFixed/cpu",
                json!("-1"),
                "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                "/scheduling",
                tolerations(json!([{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists"}])),
                "scheduling.tolerations[1]: Duplicate value: {\"key\":\"a\",\"operator\":\"Exists\"}",
            ),
        ],
    );
    check_update(
        "RuntimeClass",
        &class,
        &[("/handler", json!("x"), "handler: Invalid value: \"x\": field is immutable")],
    );
    let mut old_label = class.clone();
    old_label["scheduling"] = json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}});
    let warned = kind("RuntimeClass").warnings(&old_label, None);
    assert_eq!(
        warned[1],
        "scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead"
    );
}

#[test]
fn leases() {
    let lease = json!({"metadata": {"name": "l", "namespace": "d"}});
    check(
        "Lease",
        &lease,
        &[
            ("/spec", json!({"strategy": "OldestEmulationVersion", "preferredHolder": "x"}), ""),
            (
                "/spec",
                json!({"preferredHolder": "x"}),
                "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
            ),
            (
                "/spec",
                json!({"strategy": "Newest"}),
                "spec.strategy.strategy: Unsupported value: \"Newest\": supported values: \"OldestEmulationVersion\"",
            ),
            (
                "/spec",
                json!({"leaseTransitions": -1}),
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ),
        ],
    );
}

#[test]
fn api_services() {
    let service = json!({
        "metadata": {"name": "v1.example.com"},
        "spec": {"group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}
    });
    check(
        "APIService",
        &service,
        &[
            (
                "/metadata/name",
                json!("x"),
                "metadata.name: Invalid value: \"x\": must be `spec.version+\".\"+spec.group`: \"v1.example.com\"",
            ),
            (
                "/spec/groupPriorityMinimum",
                json!(20_001),
                "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
            ),
            (
                "/spec/versionPriority",
                json!(0),
                "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            ),
            (
                "/spec/insecureSkipTLSVerify",
                json!(true),
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ),
            (
                "/spec/caBundle",
                json!("YWJj"),
                "spec.caBundle: Invalid value: \"3 bytes\": local APIServices may not have a caBundle",
            ),
            (
                "/spec/service",
                json!({"name": "m", "namespace": "n"}),
                "spec.service: Forbidden: aggregation is not served: this server does not pass requests on to other API servers, so only local APIServices, without a service, can be registered",
            ),
        ],
    );
}
