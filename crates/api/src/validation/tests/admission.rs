//! Webhook configurations and admission policies: stored, checked, and said not to be evaluated.

use serde_json::{Value, json};

use super::{check, kind};

fn configuration() -> Value {
    json!({
        "metadata": {"name": "w"},
        "webhooks": [{
            "name": "w.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/check"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]
        }]
    })
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn webhooks() {
    let client = "/webhooks/0/clientConfig";
    let rule = "/webhooks/0/rules/0";
    let at = |key: &str| format!("{rule}/{key}").leak() as &str;
    check(
        "MutatingWebhookConfiguration",
        &configuration(),
        &[
            ("/webhooks/0/name", json!(""), "webhooks[0].name: Required value"),
            (
                "/webhooks/0/name",
                json!("a.b"),
                "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
            ),
            (
                "/webhooks/0/sideEffects",
                Value::Null,
                "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
            ),
            (
                "/webhooks/0/sideEffects",
                json!("Some"),
                "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
            ),
            (
                "/webhooks/0/timeoutSeconds",
                json!(31),
                "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ),
            (
                "/webhooks/0/failurePolicy",
                json!("Retry"),
                "webhooks[0].failurePolicy: Unsupported value: \"Retry\": supported values: \"Fail\", \"Ignore\"",
            ),
            (
                "/webhooks/0/reinvocationPolicy",
                json!("Always"),
                "webhooks[0].reinvocationPolicy: Unsupported value: \"Always\": supported values: \"IfNeeded\", \"Never\"",
            ),
            (
                "/webhooks/0/admissionReviewVersions",
                json!([]),
                "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ),
            (
                "/webhooks/0/admissionReviewVersions",
                json!(["v2"]),
                "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1",
            ),
            (
                "/webhooks/0/matchConditions",
                json!([{"name": "a"}]),
                "webhooks[0].matchConditions[0].expression: Required value",
            ),
            (
                client,
                json!({}),
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ),
            (
                client,
                json!({"url": "http://u@a/b?c#d"}),
                "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]\nwebhooks[0].clientConfig.url: Invalid value: \"u\": user information is not permitted in the URL\nwebhooks[0].clientConfig.url: Invalid value: \"d\": fragments are not permitted in the URL\nwebhooks[0].clientConfig.url: Invalid value: \"c\": query parameters are not permitted in the URL",
            ),
            (client, json!({"url": "https://a.example.com:8443/b"}), ""),
            (
                client,
                json!({"service": {"name": "s"}}),
                "webhooks[0].clientConfig.service.namespace: Required value",
            ),
            (
                client,
                json!({"service": {"name": "s", "namespace": "n", "path": "/a//b"}}),
                "webhooks[0].clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be empty",
            ),
            (
                at("operations"),
                json!(["*", "CREATE"]),
                "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations",
            ),
            (
                at("operations"),
                json!(["LIST"]),
                "webhooks[0].rules[0].operations[0]: Unsupported value: \"LIST\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
            ),
            (at("apiGroups"), json!([]), "webhooks[0].rules[0].apiGroups: Required value"),
            (
                at("resources"),
                json!(["pods/*", "pods/status"]),
                "webhooks[0].rules[0].resources[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status",
            ),
            (
                at("resources"),
                json!(["*", "pods"]),
                "webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources without subresources",
            ),
            (
                at("scope"),
                json!("Some"),
                "webhooks[0].rules[0].scope: Unsupported value: \"Some\": supported values: \"*\", \"Cluster\", \"Namespaced\"",
            ),
        ],
    );
    let mut twice = configuration();
    twice["webhooks"] = json!([twice["webhooks"][0], twice["webhooks"][0]]);
    check(
        "ValidatingWebhookConfiguration",
        &configuration(),
        &[("/webhooks", twice["webhooks"].clone(), "webhooks[1].name: Duplicate value: \"w.example.com\"")],
    );
}

fn constraints() -> Value {
    json!({"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]})
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn validating_policies() {
    let policy = json!({
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": constraints(), "validations": [{"expression": "true"}]}
    });
    check(
        "ValidatingAdmissionPolicy",
        &policy,
        &[
            ("/spec/matchConstraints", Value::Null, "spec.matchConstraints: Required value"),
            (
                "/spec/matchConstraints/resourceRules",
                json!([]),
                "spec.matchConstraints.resourceRules: Required value",
            ),
            (
                "/spec/validations",
                json!([]),
                "spec.validations: Required value: validations or auditAnnotations must contain at least one item\nspec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
            ),
            (
                "/spec/validations/0/expression",
                json!(" "),
                "spec.validations[0].expression: Required value: expression is not specified",
            ),
            (
                "/spec/validations/0/message",
                json!("a\nb"),
                "spec.validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks",
            ),
            (
                "/spec/validations/0/reason",
                json!("Why"),
                "spec.validations[0].reason: Unsupported value: \"Why\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
            ),
            (
                "/spec/paramKind",
                json!({"apiVersion": "a/b/c", "kind": "K"}),
                "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            ),
            (
                "/spec/variables",
                json!([{"name": "in", "expression": "1"}]),
                "spec.variables[0].name: Invalid value: \"in\": name is not a valid CEL identifier",
            ),
        ],
    );
    let binding = json!({
        "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"], "paramRef": {"name": "x", "parameterNotFoundAction": "Deny"}}
    });
    check(
        "ValidatingAdmissionPolicyBinding",
        &binding,
        &[
            ("/spec/policyName", json!(""), "spec.policyName: Required value"),
            ("/spec/validationActions", json!([]), "spec.validationActions: Required value"),
            (
                "/spec/validationActions",
                json!(["Stop"]),
                "spec.validationActions[0]: Unsupported value: \"Stop\": supported values: \"Audit\", \"Deny\", \"Warn\"",
            ),
            (
                "/spec/paramRef",
                json!({"parameterNotFoundAction": "Deny"}),
                "spec.paramRef: Required value: one of name or selector must be specified",
            ),
            (
                "/spec/paramRef/selector",
                json!({}),
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive\nspec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
            ),
        ],
    );
}

#[test]
fn mutating_policies() {
    let policy = json!({
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": constraints(), "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]
        }
    });
    check(
        "MutatingAdmissionPolicy",
        &policy,
        &[
            ("/spec/reinvocationPolicy", Value::Null, "spec.reinvocationPolicy: Required value"),
            (
                "/spec/mutations",
                json!([]),
                "spec.mutations: Required value: mutations must contain at least one item",
            ),
            (
                "/spec/mutations/0/patchType",
                json!("ApplyConfiguration"),
                "spec.mutations[0].applyConfiguration: Required value: must be specified when patchType is ApplyConfiguration\nspec.mutations[0].jsonPatch: Invalid value: \"{jsonPatch}\": must not be specified when patchType is ApplyConfiguration",
            ),
            (
                "/spec/matchConstraints/resourceRules/0/operations",
                json!(["DELETE"]),
                "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
            ),
        ],
    );
    check(
        "MutatingAdmissionPolicyBinding",
        &json!({"metadata": {"name": "b"}, "spec": {"policyName": "p"}}),
        &[("/spec/policyName", json!(""), "spec.policyName: Required value")],
    );
}

#[test]
fn clients_are_told_that_nothing_is_evaluated() {
    let kinds = [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    ];
    for name in kinds {
        let expected = format!(
            "{name} is stored and not evaluated by this server: requests are admitted without asking it"
        );
        assert_eq!(kind(name).warnings(&json!({"kind": name}), None), [expected]);
    }
    assert!(kind("Pod").warnings(&json!({"kind": "Pod"}), None).is_empty());
}
