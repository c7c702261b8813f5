//! Rows of `authentication.k8s.io/v1`: questions that are answered and not stored.

use super::super::{Gvk, KindRow, Scope, StorageClass};
use super::base;

const GROUP: &str = "authentication.k8s.io";

pub(super) fn rows() -> Vec<KindRow> {
    vec![
        question("SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview"),
        question("TokenReview", "tokenreviews", "tokenreview"),
    ]
}

fn question(kind: &'static str, plural: &'static str, singular: &'static str) -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        storage: StorageClass::Virtual,
        ..base(Gvk::fixed(GROUP, "v1", kind), plural, singular)
    }
}
