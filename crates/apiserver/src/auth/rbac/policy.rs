//! All roles and bindings as one value, kept current change by change, and the decision that follows from them.

use std::collections::BTreeMap;

use konzert_api::meta;
use serde_json::Value;

use super::rule::Rule;
use crate::auth::{Asked, User};

/// The role a binding grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleRef {
    /// A `ClusterRole`, or else a Role in the namespace of the binding.
    pub(crate) cluster: bool,
    pub(crate) name: String,
}

impl RoleRef {
    pub(crate) fn of(binding: &Value) -> Self {
        let text = |key: &str| binding.pointer(key).and_then(Value::as_str).unwrap_or_default();
        Self { cluster: text("/roleRef/kind") == "ClusterRole", name: text("/roleRef/name").to_owned() }
    }

    fn kind(&self) -> &'static str {
        if self.cluster { "ClusterRole" } else { "Role" }
    }

    /// The resource of the role, plural.
    pub(crate) fn resource(&self) -> &'static str {
        if self.cluster { "clusterroles" } else { "roles" }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount { namespace: String, name: String },
}

impl Subject {
    /// `None`: of a kind that nobody is.
    fn of(subject: &Value, binding_namespace: &str) -> Option<Self> {
        let text = |key: &str| subject.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("name").to_owned();
        match text("kind") {
            "User" => Some(Self::User(name)),
            "Group" => Some(Self::Group(name)),
            "ServiceAccount" => {
                let own = Some(text("namespace")).filter(|n| !n.is_empty());
                let namespace = own.unwrap_or(binding_namespace).to_owned();
                (!namespace.is_empty()).then_some(Self::ServiceAccount { namespace, name })
            }
            _ => None,
        }
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Self::User(name) => *name == user.name,
            Self::Group(group) => user.is_in(group),
            Self::ServiceAccount { namespace, name } => {
                let parts = user.name.strip_prefix("system:serviceaccount:").and_then(|r| r.split_once(':'));
                parts == Some((namespace.as_str(), name.as_str()))
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::User(name) => format!("User {name:?}"),
            Self::Group(group) => format!("Group {group:?}"),
            Self::ServiceAccount { namespace, name } => {
                format!("ServiceAccount {:?}", format!("{name}/{namespace}"))
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Binding {
    role: RoleRef,
    subjects: Vec<Subject>,
}

/// Namespace (empty beside all namespaces) and name.
type Key = (String, String);

/// The roles and bindings of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    /// Roles and, with an empty namespace, `ClusterRoles`.
    roles: BTreeMap<Key, Vec<Rule>>,
    /// `RoleBindings` and, with an empty namespace, `ClusterRoleBindings`.
    bindings: BTreeMap<Key, Binding>,
}

/// Whether a request may go on, and why; the reason is shown in access reviews and in refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

/// All rules of a user in a namespace, and the bindings that could not be followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    pub(crate) rules: Vec<Rule>,
    pub(crate) problems: Vec<String>,
}

impl Policy {
    /// Takes one of the four kinds in, or out when `object` is `None`. Other resources are ignored.
    pub(crate) fn apply(&mut self, resource: &str, namespace: &str, name: &str, object: Option<&Value>) {
        let key = (namespace.to_owned(), name.to_owned());
        match (resource, object) {
            ("roles" | "clusterroles", Some(role)) => {
                self.roles.insert(key, rules_of(role));
            }
            ("roles" | "clusterroles", None) => {
                self.roles.remove(&key);
            }
            ("rolebindings" | "clusterrolebindings", Some(binding)) => {
                let list = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
                let subjects = list.filter_map(|s| Subject::of(s, meta::namespace(binding))).collect();
                self.bindings.insert(key, Binding { role: RoleRef::of(binding), subjects });
            }
            ("rolebindings" | "clusterrolebindings", None) => {
                self.bindings.remove(&key);
            }
            _ => {}
        }
    }

    /// The rules of a role as seen from a namespace; `None` when there is no such role.
    pub(crate) fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<&[Rule]> {
        let namespace = if role.cluster { "" } else { namespace };
        self.roles.get(&(namespace.to_owned(), role.name.clone())).map(Vec::as_slice)
    }

    /// May the user do this?
    pub(crate) fn decide(&self, user: &User, asked: &Asked<'_>) -> Decision {
        let mut problems = Vec::new();
        for (key, binding, subject) in self.bindings_of(user, asked.namespace()) {
            match self.rules_of(&binding.role, &key.0) {
                Some(rules) if rules.iter().any(|rule| rule.allows(asked)) => {
                    return Decision { allowed: true, reason: why(key, binding, subject) };
                }
                Some(_) => {}
                None => problems.push(not_found(&binding.role)),
            }
        }
        let reason = if problems.is_empty() { String::new() } else { format!("RBAC: {}", joined(problems)) };
        Decision { allowed: false, reason }
    }

    /// All that the user may do in a namespace (empty: beside all namespaces).
    pub(crate) fn grants(&self, user: &User, namespace: &str) -> Grants {
        let mut grants = Grants::default();
        for (key, binding, _) in self.bindings_of(user, namespace) {
            match self.rules_of(&binding.role, &key.0) {
                Some(rules) => grants.rules.extend_from_slice(rules),
                None => grants.problems.push(not_found(&binding.role)),
            }
        }
        grants
    }

    /// Bindings that name the user: those beside all namespaces, then those of the namespace.
    fn bindings_of<'a>(
        &'a self,
        user: &'a User,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a Key, &'a Binding, &'a Subject)> + use<'a> {
        let own = (!namespace.is_empty()).then(|| namespace.to_owned());
        let scopes = std::iter::once(String::new()).chain(own);
        scopes
            .flat_map(move |scope| {
                let first = (scope.clone(), String::new());
                self.bindings.range(first..).take_while(move |(key, _)| key.0 == scope)
            })
            .filter_map(move |(key, binding)| {
                Some((key, binding, binding.subjects.iter().find(|subject| subject.is(user))?))
            })
    }
}

fn rules_of(role: &Value) -> Vec<Rule> {
    role.get("rules").and_then(Value::as_array).into_iter().flatten().map(Rule::from_json).collect()
}

fn why((namespace, name): &Key, binding: &Binding, subject: &Subject) -> String {
    let (role, subject) = (&binding.role, subject.describe());
    let (kind, name) = if namespace.is_empty() {
        ("ClusterRoleBinding", name.clone())
    } else {
        ("RoleBinding", format!("{name}/{namespace}"))
    };
    format!("RBAC: allowed by {kind} {name:?} of {} {:?} to {subject}", role.kind(), role.name)
}

fn not_found(role: &RoleRef) -> String {
    format!("{}.{} {:?} not found", role.kind().to_lowercase(), super::GROUP, role.name)
}

/// Several problems in one, each once.
pub(super) fn joined(mut problems: Vec<String>) -> String {
    let mut seen = std::collections::BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    match problems.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

impl Grants {
    /// The problems as one text; `None` when there are none.
    pub(crate) fn problem(&self) -> Option<String> {
        (!self.problems.is_empty()).then(|| joined(self.problems.clone()))
    }
}
