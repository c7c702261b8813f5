//! Rows of `authorization.k8s.io/v1`: questions that are answered and not stored.

use super::super::{Gvk, KindRow, Scope, StorageClass};
use super::base;

const GROUP: &str = "authorization.k8s.io";

pub(super) fn rows() -> Vec<KindRow> {
    let local = question("LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview");
    vec![
        KindRow { scope: Scope::Namespaced, ..local },
        question("SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview"),
        question("SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview"),
        question("SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview"),
    ]
}

fn question(kind: &'static str, plural: &'static str, singular: &'static str) -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        storage: StorageClass::Virtual,
        ..base(Gvk::fixed(GROUP, "v1", kind), plural, singular)
    }
}
