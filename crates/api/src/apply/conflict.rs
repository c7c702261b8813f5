//! Conflicts of an apply, in the words of Kubernetes.

use std::collections::BTreeMap;

use serde_json::json;

use super::managers::ManagerId;
use super::set::Path;
use crate::status::ApiError;

/// A field that the applier wants to change and another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) manager: ManagerId,
    pub(super) path: Path,
}

/// All conflicts of an apply, ordered by manager.
pub(super) type Conflicts = Vec<Conflict>;

fn show(path: &Path) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// The 409 for conflicts, with one cause for each.
pub(super) fn to_error(conflicts: &Conflicts) -> ApiError {
    let causes: Vec<_> = conflicts
        .iter()
        .map(|conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", conflict.manager),
                "field": show(&conflict.path),
            })
        })
        .collect();
    ApiError::apply_conflict(message(conflicts), &causes)
}

fn message(conflicts: &Conflicts) -> String {
    if let [only] = conflicts.as_slice() {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", only.manager, show(&only.path));
    }
    let mut by_manager: BTreeMap<&ManagerId, Vec<&Path>> = BTreeMap::new();
    for conflict in conflicts {
        by_manager.entry(&conflict.manager).or_default().push(&conflict.path);
    }
    let mut lines = Vec::new();
    for (manager, paths) in by_manager {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(paths.into_iter().map(|path| format!("- {}", show(path))));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
