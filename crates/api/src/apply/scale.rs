//! Apply on the `scale` subresource: ownership of the replica count, seen as a `Scale` and back.
//!
//! The owners of the object's replica field become the owners of `.spec.replicas` of the `Scale`; what the apply makes of
//! them is written back to the object.

use serde_json::Value;

use super::element::PathElement;
use super::managers::{Fields, ManagerId, Managers, Owned, Trust, entries_of, put_entries};
use super::set::{FieldSet, Path};
use super::tracker::{Force, Tracker, Writer};
use crate::Gvk;
use crate::catalogue::Kind;
use crate::status::ApiError;

const SCALE: Gvk = Gvk::fixed("autoscaling", "v1", "Scale");

fn path(pointer: &str) -> Path {
    pointer.split('/').skip(1).map(PathElement::field).collect()
}

fn only(path: &Path) -> FieldSet {
    std::iter::once(path.clone()).collect()
}

/// Owners of one field, as owners of another one in another version.
fn translated(managers: &mut Managers, from: &Path, to: &Path, api_version: &str) -> Managers {
    let mut new = Managers::default();
    for (id, owned) in &mut managers.0 {
        if owned.fields.set().contains(from) {
            let id = ManagerId::new(&id.name, id.operation, api_version, &id.subresource);
            let fields = Fields::Set(only(to));
            new.0.insert(id, Owned { api_version: api_version.to_owned(), time: owned.time, fields });
        }
    }
    new
}

/// The `Scale` of `live` with `config` applied to it, and the `managedFields` that `live` has then.
///
/// # Errors
/// As [`Tracker::apply`].
pub fn apply_scale(
    kind: &Kind,
    live: &Value,
    config: &Value,
    writer: Writer<'_>,
    force: Force,
) -> Result<(Value, Option<Value>), ApiError> {
    let (Some(mut scale), Some(pointer)) = (kind.scale_of(live), kind.replicas_pointer()) else {
        return Err(ApiError::no_such_resource());
    };
    let (in_object, in_scale) = (path(pointer), path("/spec/replicas"));
    let mut owners = Managers::decode(entries_of(live).cloned(), Trust::Stored).unwrap_or_default();
    let as_scale = translated(&mut owners, &in_object, &in_scale, &SCALE.api_version());
    put_entries(&mut scale, as_scale.encode());
    let mut applied = Tracker::of_gvk(&SCALE, writer).apply(Some(&scale), config, force)?;
    let mut scaled = Managers::decode(entries_of(&applied).cloned(), Trust::Stored).unwrap_or_default();
    let api_version = kind.api_version();
    let mut left = translated(&mut scaled, &in_scale, &in_object, &api_version);
    for (id, owned) in &mut owners.0 {
        match left.0.remove(id) {
            Some(kept) => owned.time = kept.time,
            None => owned.fields.subtract(&only(&in_object)),
        }
    }
    owners.0.extend(left.0);
    put_entries(&mut applied, None);
    Ok((applied, owners.encode()))
}
