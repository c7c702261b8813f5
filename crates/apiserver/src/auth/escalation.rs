//! Nobody grants more than they hold: checks on writes of roles and bindings.
//!
//! Who holds the verb `escalate` on a role, or `bind` on the role of a binding, may; so may the server itself and members of
//! `system:masters`. Follows the escalation prevention of `rbac.authorization.k8s.io`.

use konzert_api::{ApiError, GroupResource, meta};
use serde_json::Value;

use super::rbac::{GROUP, Grants, RoleRef, Rule, missing_rights};
use super::{Asked, Attributes, MASTERS, User, acting_user, decide};
use crate::registry::{Place, Registry};

/// A role that is about to be written. `old` is what it replaces.
pub(crate) fn check_role(
    registry: &Registry,
    place: &Place,
    old: Option<&Value>,
    role: &Value,
) -> Result<(), ApiError> {
    let Some(user) = limited_user() else { return Ok(()) };
    if old.is_some_and(|old| only_bookkeeping(old, role)) {
        return Ok(());
    }
    let (resource, namespace, name) = (place.kind.group_resource(), meta::namespace(role), meta::name(role));
    if holds_verb(registry, &user, "escalate", (&resource.resource, namespace, name)) {
        return Ok(());
    }
    let grants = grants(registry, &user, namespace);
    let rules: Vec<Rule> =
        role.get("rules").and_then(Value::as_array).into_iter().flatten().map(Rule::from_json).collect();
    let refuse = |why: &str| ApiError::forbidden(&resource, name, why);
    if let Some(why) = beyond(&user, &grants, &rules) {
        return Err(refuse(&why));
    }
    if role.get("aggregationRule").is_some_and(Value::is_object)
        && beyond(&user, &grants, &everything()).is_some()
    {
        return Err(refuse("must have cluster-admin privileges to use the aggregationRule"));
    }
    Ok(())
}

/// A binding that is about to be written.
pub(crate) fn check_binding(
    registry: &Registry,
    place: &Place,
    old: Option<&Value>,
    binding: &Value,
) -> Result<(), ApiError> {
    let Some(user) = limited_user() else { return Ok(()) };
    if old.is_some_and(|old| only_bookkeeping(old, binding)) {
        return Ok(());
    }
    let (namespace, role) = (meta::namespace(binding), RoleRef::of(binding));
    if holds_verb(registry, &user, "bind", (role.resource(), namespace, &role.name)) {
        return Ok(());
    }
    let found = registry.policy.with(|policy| policy.rules_of(&role, namespace).map(<[Rule]>::to_vec));
    let Some(rules) = found else {
        return Err(ApiError::not_found(&GroupResource::new(GROUP, role.resource()), &role.name));
    };
    match beyond(&user, &grants(registry, &user, namespace), &rules) {
        None => Ok(()),
        Some(why) => Err(ApiError::forbidden(&place.kind.group_resource(), meta::name(binding), &why)),
    }
}

/// The user behind this write; `None` when it is one that nothing limits.
fn limited_user() -> Option<User> {
    acting_user().filter(|user| !user.is_in(MASTERS))
}

/// Only owners and finalizers change, so that the object can go.
fn only_bookkeeping(old: &Value, new: &Value) -> bool {
    let without = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = meta::metadata_mut(&mut object) {
            for key in ["ownerReferences", "finalizers", "managedFields"] {
                metadata.remove(key);
            }
        }
        object
    };
    without(old) == without(new)
}

fn holds_verb(
    registry: &Registry,
    user: &User,
    verb: &str,
    (resource, namespace, name): (&str, &str, &str),
) -> bool {
    let asked = Attributes { verb, group: GROUP, resource, subresource: "", namespace, name };
    decide(registry, user, &Asked::Resource(asked)).allowed
}

fn grants(registry: &Registry, user: &User, namespace: &str) -> Grants {
    registry.policy.with(|policy| policy.grants(user, namespace))
}

fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
    ]
}

/// What the rules would grant that the user does not hold, in the words of Kubernetes.
fn beyond(user: &User, grants: &Grants, rules: &[Rule]) -> Option<String> {
    let missing = missing_rights(&grants.rules, rules);
    if missing.is_empty() {
        return None;
    }
    let mut why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        super::rbac::quoted(&user.groups),
        missing.join("\n")
    );
    if let Some(problem) = grants.problem() {
        why.push_str("; resolution errors: ");
        why.push_str(&problem);
    }
    Some(why)
}
