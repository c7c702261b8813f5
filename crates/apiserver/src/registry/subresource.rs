//! Subresources that are not the object itself: `scale`, `binding`. Eviction has a file of its own.

use bytes::Bytes;
use konzert_api::{ApiError, FieldError, GroupKind, Gvk, meta, schema};
use serde_json::{Value, json};

use super::owners::{Author, Owners};
use super::update::Change;
use super::{Mode, PatchBody, Place, Registry, Written, now};
use crate::decode::{Document, RawBody, expect_kind};
use crate::encode::decode;
use crate::options::{FieldValidation, WriteOptions};
use crate::present::to_bytes;

const SCALE: Gvk = Gvk::fixed("autoscaling", "v1", "Scale");

impl Registry {
    /// GET `scale`.
    pub(crate) fn scale(&self, place: &Place, name: &str) -> Result<Bytes, ApiError> {
        let object = decode(&self.get(place, name)?)?;
        let wished = place.kind.replicas_pointer().filter(|_| place.kind.is_custom());
        if let Some(pointer) = wished.filter(|pointer| object.pointer(pointer).is_none()) {
            let field = pointer.replace('/', ".");
            return Err(ApiError::internal(format!("the spec replicas field {field:?} does not exist")));
        }
        to_bytes(&scale_of(place, &object)?)
    }

    /// PUT `scale`.
    pub(crate) async fn update_scale(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let document = body.object("Scale")?;
        let warnings = strictness(&document, options.field_validation)?;
        let mut scale = document.value;
        expect_kind(&mut scale, "autoscaling/v1", "Scale")?;
        let given = meta::name(&scale);
        if !given.is_empty() {
            expect_name(name, given)?;
        }
        let bytes = self.rescale(place, name, &options, |_| Ok(scale.clone())).await?;
        Ok(Written { bytes, warnings })
    }

    /// PATCH `scale`.
    pub(crate) async fn patch_scale(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let (patch, problems) = PatchBody::parse(&place.kind, body)?;
        let mut warnings = Vec::new();
        let make = |scale: &Value| {
            let wished = patch.apply(&SCALE, scale)?;
            let mut shaped = wished.clone();
            warnings = scale_shape(&mut shaped, problems.clone(), options.field_validation)
                .map_err(|error| patch.refused(&SCALE.kind, &wished, error))?;
            expect_name(name, meta::name(&shaped))?;
            Ok(shaped)
        };
        let scaled = self.rescale(place, name, &options, make).await;
        let bytes = scaled.map_err(|error| error.with_warnings(&warnings))?;
        Ok(Written { bytes, warnings })
    }

    async fn rescale(
        &self,
        place: &Place,
        name: &str,
        options: &WriteOptions,
        mut make: impl FnMut(&Value) -> Result<Value, ApiError> + Send,
    ) -> Result<Bytes, ApiError> {
        let wished = |current: &Value| {
            let scale = make(&scale_of(place, current)?)?;
            replicas_set(place, name, current, &scale)
        };
        let author = Author::of_scale(&options.manager);
        let change = Change { mode: Mode::Whole, dry_run: options.dry_run, owners: Owners::Tracked(&author) };
        let written = self.modify_as(place, name, change, wished).await?;
        to_bytes(&scale_of(place, &decode(&written)?)?)
    }

    /// POST `binding`: the scheduler's decision where a pod runs.
    pub(crate) async fn bind(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        dry_run: bool,
    ) -> Result<Bytes, ApiError> {
        let mut binding = body.object("Binding")?.value;
        expect_kind(&mut binding, "v1", "Binding")?;
        let node = binding_target(name, &binding)?;
        let now = meta::format_time(now());
        let bind = |current: &Value| {
            let why = if meta::is_being_deleted(current) {
                Some(format!("pod {name} is being deleted, cannot be assigned to a host"))
            } else {
                let bound =
                    current.pointer("/spec/nodeName").and_then(Value::as_str).filter(|n| !n.is_empty());
                bound.map(|node| format!("pod {name} is already assigned to node {node:?}"))
            };
            if let Some(why) = why {
                return Err(ApiError::conflict_because(&place.kind.group_resource(), name, &why));
            }
            Ok(bound(current, &binding, &node, &now))
        };
        self.modify(place, name, Mode::Internal, dry_run, bind).await?;
        success(201)
    }
}

fn expect_name(name: &str, given: &str) -> Result<(), ApiError> {
    if given == name {
        return Ok(());
    }
    Err(ApiError::bad_request(if given.is_empty() {
        format!("the name of the object ({name} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({given}) does not match the name on the URL ({name})")
    }))
}

/// Brings a patched Scale into shape; returns what is odd about it.
fn scale_shape(
    scale: &mut Value,
    mut problems: Vec<String>,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    expect_kind(scale, &SCALE.api_version(), &SCALE.kind)?;
    let unknown = schema::unknown_fields(&SCALE, scale);
    if validation == FieldValidation::Strict && !(problems.is_empty() && unknown.is_empty()) {
        return Err(schema::strict_decoding_error(&SCALE, &unknown, &problems));
    }
    schema::prune_unknown(&SCALE, scale);
    schema::check_types(&SCALE, scale)?;
    problems.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    Ok(if validation == FieldValidation::Warn { problems } else { Vec::new() })
}

fn strictness(document: &Document, validation: FieldValidation) -> Result<Vec<String>, ApiError> {
    match validation {
        FieldValidation::Strict if !document.problems.is_empty() => {
            Err(ApiError::bad_request(format!("strict decoding error: {}", document.problems.join(", "))))
        }
        FieldValidation::Warn => Ok(document.problems.clone()),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Vec::new()),
    }
}

/// The object with the replicas that a Scale wishes.
pub(super) fn replicas_set(
    place: &Place,
    name: &str,
    current: &Value,
    scale: &Value,
) -> Result<Value, ApiError> {
    let replicas = wished_replicas(place, name, scale)?;
    let mut next = current.clone();
    if !place.kind.set_replicas(&mut next, replicas) {
        return Err(ApiError::no_such_resource());
    }
    // The revision and uid that the Scale names are the preconditions of the update.
    for key in ["resourceVersion", "uid"] {
        let given = scale.pointer(&format!("/metadata/{key}")).and_then(Value::as_str);
        meta::set(&mut next, key, given.unwrap_or_default());
    }
    Ok(next)
}

pub(super) fn scale_of(place: &Place, object: &Value) -> Result<Value, ApiError> {
    place.kind.scale_of(object).ok_or_else(ApiError::no_such_resource)
}

fn wished_replicas(place: &Place, name: &str, scale: &Value) -> Result<i64, ApiError> {
    let invalid = |error| ApiError::invalid(&GroupKind::new("autoscaling", "Scale"), name, vec![error]);
    let field = "spec.replicas";
    let replicas = match scale.pointer("/spec/replicas") {
        None | Some(Value::Null) => 0,
        Some(value) => value
            .as_i64()
            .filter(|n| i32::try_from(*n).is_ok())
            .ok_or_else(|| invalid(FieldError::type_invalid(field, value.clone(), "must be an integer")))?,
    };
    // Of custom objects, the number is judged where it stands in them.
    if replicas < 0 && !place.kind.is_custom() {
        let detail = "must be greater than or equal to 0";
        return Err(invalid(FieldError::invalid(field, replicas, detail)));
    }
    Ok(replicas)
}

fn binding_target(name: &str, binding: &Value) -> Result<String, ApiError> {
    let target = |key: &str| {
        binding.pointer(&format!("/target/{key}")).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (kind, node) = (target("kind"), target("name"));
    let mut errors = Vec::new();
    if !kind.is_empty() && kind != "Node" {
        errors.push(FieldError::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    if node.is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    if errors.is_empty() {
        Ok(node)
    } else {
        Err(ApiError::invalid(&GroupKind::new("", "Binding"), name, errors))
    }
}

/// The pod after binding: node, annotations and labels of the Binding, and the condition.
fn bound(current: &Value, binding: &Value, node: &str, now: &str) -> Value {
    let mut next = current.clone();
    next["spec"]["nodeName"] = json!(node);
    if let (Some(extra), Some(metadata)) =
        (binding.pointer("/metadata/annotations").and_then(Value::as_object), meta::metadata_mut(&mut next))
        && let Some(all) = metadata.entry("annotations").or_insert_with(|| json!({})).as_object_mut()
    {
        all.extend(extra.clone());
    }
    let scheduled =
        json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": now, "lastProbeTime": null });
    let conditions = &mut next["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|c| c.get("type").and_then(Value::as_str) != Some("PodScheduled"));
        list.push(scheduled);
    }
    next
}

pub(super) fn success(code: u16) -> Result<Bytes, ApiError> {
    to_bytes(
        &json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code }),
    )
}
