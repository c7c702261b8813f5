//! The roles and bindings that every cluster has from its first moment, as a table.
//!
//! They are those of Kubernetes as far as they mean something here, and some for our own kinds. Verbs, groups and resources
//! are words between spaces; `r` stands for reading, `w` for writing, `core` for the group without a name.

use konzert_api::meta;
use serde_json::{Value, json};

use super::{GROUP, aggregate};

/// On `true`, a start adds what is missing to the object; people switch that off with `false`.
pub(crate) const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Verbs, API groups, resources.
type ResourceRule = (&'static str, &'static str, &'static str);

struct DefaultRole {
    name: &'static str,
    /// The role whose rules these become part of.
    part_of: &'static str,
    /// Gathers the rules of roles that are labelled as part of this one.
    gathers: bool,
    rules: &'static [ResourceRule],
    /// Paths that may be read.
    urls: &'static str,
}

const ROLE: DefaultRole = DefaultRole { name: "", part_of: "", gathers: false, rules: &[], urls: "" };

const ROLES: &[DefaultRole] = &[
    DefaultRole { name: "admin", gathers: true, ..ROLE },
    DefaultRole { name: "edit", gathers: true, part_of: "admin", ..ROLE },
    DefaultRole { name: "view", gathers: true, part_of: "edit", ..ROLE },
    DefaultRole {
        name: "system:aggregate-to-admin",
        part_of: "admin",
        rules: &[
            ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            ("r w", GROUP, "roles rolebindings"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:aggregate-to-edit",
        part_of: "edit",
        rules: &[
            ("r", "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
            ("impersonate", "core", "serviceaccounts"),
            ("w", "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
            ("create", "core", "pods/eviction"),
            (
                "w",
                "core",
                "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
                 serviceaccounts services services/proxy",
            ),
            ("create", "core", "serviceaccounts/token"),
            (
                "w",
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale \
                 statefulsets statefulsets/scale",
            ),
            ("w", "autoscaling", "horizontalpodautoscalers"),
            ("w", "batch", "cronjobs jobs"),
            ("w", "policy", "poddisruptionbudgets"),
            ("w", "networking.k8s.io", "ingresses networkpolicies"),
            ("r w", "coordination.k8s.io", "leases"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:aggregate-to-view",
        part_of: "view",
        rules: &[
            (
                "r",
                "core",
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods \
                 replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
            ),
            (
                "r",
                "core",
                "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
                 resourcequotas resourcequotas/status",
            ),
            ("r", "core", "namespaces"),
            ("r", "discovery.k8s.io", "endpointslices"),
            (
                "r",
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
                 replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
            ),
            ("r", "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
            ("r", "batch", "cronjobs cronjobs/status jobs jobs/status"),
            ("r", "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
            ("r", "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:konzert:aggregate-to-admin",
        part_of: "admin",
        rules: &[("w", "konzert.dev", "reappolicies")],
        ..ROLE
    },
    DefaultRole {
        name: "system:konzert:aggregate-to-edit",
        part_of: "edit",
        rules: &[("w", "konzert.dev", "patchcampaigns")],
        ..ROLE
    },
    DefaultRole {
        name: "system:konzert:aggregate-to-view",
        part_of: "view",
        rules: &[(
            "r",
            "konzert.dev",
            "imagereports imagereports/status patchcampaigns patchcampaigns/status reappolicies \
             reappolicies/status reaprecords reaprecords/status",
        )],
        ..ROLE
    },
    DefaultRole { name: "cluster-admin", rules: &[("*", "*", "*")], urls: "*", ..ROLE },
    DefaultRole {
        name: "system:discovery",
        urls: "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        ..ROLE
    },
    DefaultRole {
        name: "system:public-info-viewer",
        urls: "/healthz /livez /readyz /version /version/",
        ..ROLE
    },
    DefaultRole {
        name: "system:monitoring",
        urls: "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
        ..ROLE
    },
    DefaultRole {
        name: "system:service-account-issuer-discovery",
        urls: "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        ..ROLE
    },
    DefaultRole {
        name: "system:basic-user",
        rules: &[
            ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
            ("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:auth-delegator",
        rules: &[
            ("create", "authentication.k8s.io", "tokenreviews"),
            ("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:node",
        rules: &[
            ("create", "authentication.k8s.io", "tokenreviews"),
            ("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
            ("r", "core", "services"),
            ("create get list watch", "core", "nodes"),
            ("patch update", "core", "nodes/status"),
            ("patch update", "core", "nodes"),
            ("create patch update", "core", "events"),
            ("r", "core", "pods"),
            ("create delete", "core", "pods"),
            ("patch update", "core", "pods/status"),
            ("create", "core", "pods/eviction"),
            ("r", "core", "configmaps secrets"),
            ("get", "core", "persistentvolumeclaims persistentvolumes"),
            ("get", "core", "endpoints"),
            ("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
            ("create", "core", "serviceaccounts/token"),
            ("get", "core", "serviceaccounts"),
            ("create delete get patch update", "coordination.k8s.io", "leases"),
            ("r", "node.k8s.io", "runtimeclasses"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:node-bootstrapper",
        rules: &[("create get list watch", "certificates.k8s.io", "certificatesigningrequests")],
        ..ROLE
    },
    DefaultRole {
        name: "system:node-proxier",
        rules: &[
            ("list watch", "core", "endpoints services"),
            ("get list watch", "core", "nodes"),
            ("create patch update", "core events.k8s.io", "events"),
            ("list watch", "discovery.k8s.io", "endpointslices"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:kube-scheduler",
        rules: &[
            ("create patch update", "core events.k8s.io", "events"),
            ("create get list update watch", "coordination.k8s.io", "leases"),
            ("r", "core", "namespaces nodes"),
            ("delete get list watch", "core", "pods"),
            ("create", "core", "bindings pods/binding"),
            ("patch update", "core", "pods/status"),
            ("r", "core", "persistentvolumeclaims persistentvolumes replicationcontrollers services"),
            ("r", "apps", "replicasets statefulsets"),
            ("r", "policy", "poddisruptionbudgets"),
            ("create", "authentication.k8s.io", "tokenreviews"),
            ("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:kube-controller-manager",
        rules: &[
            ("create patch update", "core events.k8s.io", "events"),
            ("create get update", "coordination.k8s.io", "leases"),
            ("create get update", "core", "serviceaccounts"),
            ("create", "core", "serviceaccounts/token"),
            ("delete", "core", "secrets"),
            ("get", "core", "configmaps namespaces secrets serviceaccounts"),
            ("create", "authentication.k8s.io", "tokenreviews"),
            ("create", "authorization.k8s.io", "subjectaccessreviews"),
            ("list watch", "*", "*"),
        ],
        ..ROLE
    },
    DefaultRole {
        name: "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        rules: &[("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")],
        ..ROLE
    },
    DefaultRole {
        name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        rules: &[("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")],
        ..ROLE
    },
];

/// Roles that may approve the requests to one signer.
const APPROVERS: &[(&str, &str)] = &[
    ("system:certificates.k8s.io:kube-apiserver-client-approver", "kubernetes.io/kube-apiserver-client"),
    (
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        "kubernetes.io/kube-apiserver-client-kubelet",
    ),
    ("system:certificates.k8s.io:kubelet-serving-approver", "kubernetes.io/kubelet-serving"),
];

/// Role, kind of the subjects, names of the subjects.
const BINDINGS: &[(&str, &str, &str)] = &[
    ("cluster-admin", "Group", "system:masters"),
    ("system:basic-user", "Group", "system:authenticated"),
    ("system:discovery", "Group", "system:authenticated"),
    ("system:kube-controller-manager", "User", "system:kube-controller-manager"),
    ("system:kube-scheduler", "User", "system:kube-scheduler"),
    ("system:monitoring", "Group", "system:monitoring"),
    ("system:node-proxier", "User", "system:kube-proxy"),
    ("system:public-info-viewer", "Group", "system:authenticated system:unauthenticated"),
    ("system:service-account-issuer-discovery", "Group", "system:serviceaccounts"),
];

/// The words of a text, with the short ones spelled out.
fn words(text: &'static str) -> Vec<&'static str> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        match word {
            "r" => all.extend(["get", "list", "watch"]),
            "w" => all.extend(["create", "delete", "deletecollection", "patch", "update"]),
            "core" => all.push(""),
            other => all.push(other),
        }
    }
    all
}

fn aggregation_label(role: &str) -> String {
    format!("{GROUP}/aggregate-to-{role}")
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { AUTO_UPDATE: "true" },
    })
}

fn role(row: &DefaultRole) -> Value {
    let mut rules: Vec<Value> = row
        .rules
        .iter()
        .map(|(verbs, groups, resources)| {
            json!({ "verbs": words(verbs), "apiGroups": words(groups), "resources": words(resources) })
        })
        .collect();
    if !row.urls.is_empty() {
        let verbs = if row.urls == "*" { "*" } else { "get" };
        rules.push(json!({ "verbs": [verbs], "nonResourceURLs": words(row.urls) }));
    }
    let mut role = json!({ "metadata": metadata(row.name), "rules": rules });
    if !row.part_of.is_empty() {
        meta::set_label(&mut role, &aggregation_label(row.part_of), "true");
    }
    if row.gathers {
        let selector = json!({ "matchLabels": { aggregation_label(row.name): "true" } });
        role["aggregationRule"] = json!({ "clusterRoleSelectors": [selector] });
    }
    role
}

/// All default `ClusterRoles`, ordered by name; the rules of aggregated ones are filled in.
pub(crate) fn cluster_roles() -> Vec<Value> {
    let approvers = APPROVERS.iter().map(|(name, signer)| {
        json!({
            "metadata": metadata(name),
            "rules": [{
                "verbs": ["approve"],
                "apiGroups": ["certificates.k8s.io"],
                "resources": ["signers"],
                "resourceNames": [signer],
            }],
        })
    });
    let mut roles: Vec<Value> = ROLES.iter().map(role).chain(approvers).collect();
    roles.sort_by(|a, b| meta::name(a).cmp(meta::name(b)));
    aggregate::settle(&mut roles);
    roles
}

/// All default `ClusterRoleBindings`; each is called like its role.
pub(crate) fn cluster_role_bindings() -> Vec<Value> {
    let binding = |(role, kind, names): &(&str, &str, &str)| {
        let subject = |name: &str| json!({ "kind": kind, "apiGroup": GROUP, "name": name });
        json!({
            "metadata": metadata(role),
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role },
            "subjects": names.split_whitespace().map(subject).collect::<Vec<_>>(),
        })
    };
    BINDINGS.iter().map(binding).collect()
}

/// What a stored default object becomes when this release wants more of it; `None`: it has everything, or people keep it
/// as it is. What people added stays.
pub(crate) fn reconciled(stored: &Value, wanted: &Value) -> Option<Value> {
    if meta::annotation(stored, AUTO_UPDATE) != Some("true") {
        return None;
    }
    let mut next = stored.clone();
    for (key, value) in meta::labels(wanted).into_iter().flatten() {
        if meta::label(stored, key).is_none() {
            meta::set_label(&mut next, key, value.as_str().unwrap_or_default());
        }
    }
    if let Some(rule) = wanted.get("aggregationRule") {
        // The rules follow from the other roles.
        next["aggregationRule"] = rule.clone();
    } else {
        for key in ["rules", "subjects"] {
            add_missing(&mut next, wanted, key);
        }
    }
    (next != *stored).then_some(next)
}

fn add_missing(next: &mut Value, wanted: &Value, key: &str) {
    let Some(wanted) = wanted.get(key).and_then(Value::as_array) else { return };
    let present = next.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let missing: Vec<Value> = wanted.iter().filter(|item| !present.contains(item)).cloned().collect();
    if !missing.is_empty() {
        next[key] = present.into_iter().chain(missing).collect();
    }
}
