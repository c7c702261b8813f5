//! Adoption and release: which objects a controller owns, by selector and controller reference.
//!
//! An object without controller that matches is adopted; an owned object that no longer matches is released; an object of
//! another controller is never touched. A controller that is being deleted adopts nothing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use crate::action::{Plan, Resource};
use crate::pods::{controller_of, controller_reference, is_deleting};
use crate::selector::matches;

/// Who claims.
pub(crate) struct Claimant<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) meta: &'a ObjectMeta,
    pub(crate) selector: &'a LabelSelector,
}

/// What to do with one candidate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Ours already.
    Owned,
    /// Becomes ours by a patch.
    Adopt,
    /// Ours, but no longer wanted.
    Release,
    /// Not ours.
    Foreign,
}

impl Claimant<'_> {
    pub(crate) fn judge(&self, candidate: &ObjectMeta) -> Claim {
        let selected = matches(self.selector, candidate.labels.as_ref());
        match controller_of(candidate) {
            Some(owner) if Some(owner.uid.as_str()) != self.meta.uid.as_deref() => Claim::Foreign,
            Some(_) if selected => Claim::Owned,
            Some(_) if is_deleting(self.meta) => Claim::Foreign,
            Some(_) => Claim::Release,
            None if selected && !is_deleting(self.meta) && !is_deleting(candidate) => Claim::Adopt,
            None => Claim::Foreign,
        }
    }

    /// Sorts the candidates: returns what is (or becomes) ours and adds the patches that make it so.
    pub(crate) fn claim<'t, T>(
        &self,
        resource: &Resource,
        candidates: &'t [T],
        meta: impl Fn(&T) -> &ObjectMeta,
        plan: &mut Plan,
    ) -> Vec<&'t T> {
        let mut owned = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let described = meta(candidate);
            match self.judge(described) {
                Claim::Owned => owned.push(candidate),
                Claim::Adopt => {
                    plan.patch(resource, described, self.adoption(described));
                    owned.push(candidate);
                }
                Claim::Release => {
                    plan.patch(
                        resource,
                        described,
                        release(described, self.meta.uid.as_deref().unwrap_or_default()),
                    );
                }
                Claim::Foreign => {}
            }
        }
        owned
    }

    fn adoption(&self, candidate: &ObjectMeta) -> Vec<Value> {
        let reference = controller_reference(self.resource, self.meta);
        if candidate.owner_references.as_ref().is_none_or(Vec::is_empty) {
            vec![json!({"op": "add", "path": "/metadata/ownerReferences", "value": [reference]})]
        } else {
            vec![
                json!({"op": "test", "path": "/metadata/ownerReferences", "value": candidate.owner_references}),
                json!({"op": "add", "path": "/metadata/ownerReferences/-", "value": reference}),
            ]
        }
    }
}

/// Takes the owner with this UID out of the owner references.
pub(crate) fn release(candidate: &ObjectMeta, owner_uid: &str) -> Vec<Value> {
    let kept: Vec<&OwnerReference> =
        candidate.owner_references.iter().flatten().filter(|owner| owner.uid != owner_uid).collect();
    vec![
        json!({"op": "test", "path": "/metadata/ownerReferences", "value": candidate.owner_references}),
        json!({"op": "replace", "path": "/metadata/ownerReferences", "value": kept}),
    ]
}

/// Operations that take one finalizer off, guarded by its position; empty when it is not there.
pub(crate) fn remove_finalizer(meta: &ObjectMeta, finalizer: &str) -> Vec<Value> {
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    let Some(index) = finalizers.iter().position(|held| held == finalizer) else { return Vec::new() };
    let path = format!("/metadata/finalizers/{index}");
    vec![json!({"op": "test", "path": path, "value": finalizer}), json!({"op": "remove", "path": path})]
}
