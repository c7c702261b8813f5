//! `ControllerRevisions` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, number};
use crate::{Gvk, meta};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Controller", "string", "The workload whose template is kept."),
    Column::new("Revision", "string", "Number of the revision."),
    AGE,
];

pub(crate) fn cells(revision: &Value, now: Timestamp) -> Vec<Value> {
    let owners = meta::owner_references(revision);
    let controller = owners.iter().find(|owner| owner.controller).map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let kind = Gvk::from_api_version(owner.api_version, owner.kind).group_kind();
            format!("{}/{}", kind.to_string().to_lowercase(), owner.name)
        },
    );
    vec![name(revision), json!(controller), json!(number(revision, "/revision")), age(revision, now)]
}
