//! Rows of `rbac.authorization.k8s.io/v1`.

use super::super::{Gvk, KindRow, Scope};
use super::base;
use crate::validation::NameRule;
use crate::{defaults, table, validation};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn rows() -> Vec<KindRow> {
    vec![clusterrolebinding(), clusterrole(), rolebinding(), role()]
}

/// Names of roles hold colons: they are checked as segments of a path only.
fn rbac(kind: &'static str, plural: &'static str, singular: &'static str) -> KindRow {
    KindRow {
        name_rule: NameRule::PathSegment,
        creates_on_update: true,
        ..base(Gvk::fixed(GROUP, "v1", kind), plural, singular)
    }
}

fn clusterrolebinding() -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        default_fn: defaults::rolebinding::apply,
        validate: validation::rolebinding::validate_cluster,
        validate_update: validation::rolebinding::validate_update,
        columns: table::rolebinding::COLUMNS,
        cells: table::rolebinding::cells,
        ..rbac("ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding")
    }
}

fn clusterrole() -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        validate: validation::role::validate_cluster,
        columns: table::role::COLUMNS,
        cells: table::role::cells,
        ..rbac("ClusterRole", "clusterroles", "clusterrole")
    }
}

fn rolebinding() -> KindRow {
    KindRow {
        default_fn: defaults::rolebinding::apply,
        validate: validation::rolebinding::validate,
        validate_update: validation::rolebinding::validate_update,
        columns: table::rolebinding::COLUMNS,
        cells: table::rolebinding::cells,
        ..rbac("RoleBinding", "rolebindings", "rolebinding")
    }
}

fn role() -> KindRow {
    KindRow {
        validate: validation::role::validate,
        columns: table::role::COLUMNS,
        cells: table::role::cells,
        ..rbac("Role", "roles", "role")
    }
}
