//! Rows of `admissionregistration.k8s.io/v1`. The objects are stored, and clients are told that nothing evaluates them.

use super::super::{GenerationRule, Gvk, KindRow, Scope, Subresource};
use super::base;
use crate::{defaults, table, validation, warnings};

pub(super) fn rows() -> Vec<KindRow> {
    vec![
        KindRow {
            default_fn: defaults::webhookconfiguration::validating,
            validate: validation::webhookconfiguration::validate,
            columns: table::webhookconfiguration::COLUMNS,
            cells: table::webhookconfiguration::cells,
            ..stored(
                "ValidatingWebhookConfiguration",
                "validatingwebhookconfigurations",
                "validatingwebhookconfiguration",
            )
        },
        KindRow {
            default_fn: defaults::webhookconfiguration::mutating,
            validate: validation::webhookconfiguration::validate,
            columns: table::webhookconfiguration::COLUMNS,
            cells: table::webhookconfiguration::cells,
            ..stored(
                "MutatingWebhookConfiguration",
                "mutatingwebhookconfigurations",
                "mutatingwebhookconfiguration",
            )
        },
        KindRow {
            subresources: &[Subresource::Status],
            default_fn: defaults::admissionpolicy::policy,
            validate: validation::validatingadmissionpolicy::validate,
            columns: table::admissionpolicy::VALIDATING,
            cells: table::admissionpolicy::validating,
            ..stored("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "validatingadmissionpolicy")
        },
        KindRow {
            default_fn: defaults::admissionpolicy::binding,
            validate: validation::validatingadmissionpolicy::validate_binding,
            columns: table::admissionpolicy::BINDING,
            cells: table::admissionpolicy::binding,
            ..stored(
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
                "validatingadmissionpolicybinding",
            )
        },
        KindRow {
            default_fn: defaults::admissionpolicy::policy,
            validate: validation::mutatingadmissionpolicy::validate,
            columns: table::admissionpolicy::MUTATING,
            cells: table::admissionpolicy::mutating,
            ..stored("MutatingAdmissionPolicy", "mutatingadmissionpolicies", "mutatingadmissionpolicy")
        },
        KindRow {
            default_fn: defaults::admissionpolicy::binding,
            validate: validation::mutatingadmissionpolicy::validate_binding,
            columns: table::admissionpolicy::BINDING,
            cells: table::admissionpolicy::binding,
            ..stored(
                "MutatingAdmissionPolicyBinding",
                "mutatingadmissionpolicybindings",
                "mutatingadmissionpolicybinding",
            )
        },
    ]
}

/// What the kinds of this group have in common. A change of anything but metadata and status counts as one of the
/// specification: webhooks are not below `spec`.
fn stored(kind: &'static str, plural: &'static str, singular: &'static str) -> KindRow {
    KindRow {
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        generation: GenerationRule::Spec,
        warnings: warnings::not_evaluated,
        ..base(Gvk::fixed("admissionregistration.k8s.io", "v1", kind), plural, singular)
    }
}
