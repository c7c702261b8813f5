//! Subresources that are not the object itself: `scale`, `binding`. Eviction has a file of its own.

use bytes::Bytes;
use konzert_api::validation::names;
use konzert_api::{ApiError, FieldError, GroupKind, GroupResource, Gvk, meta};
use serde_json::{Value, json};

use super::create::settle_namespace;
use super::owners::{Author, Owners};
use super::update::Change;
use super::{Mode, PatchBody, Place, Registry, Written, now};
use crate::decode::{RawBody, shape_part};
use crate::encode::decode;
use crate::options::WriteOptions;
use crate::present::to_bytes;

const SCALE: Gvk = Gvk::fixed("autoscaling", "v1", "Scale");
const BINDING: Gvk = Gvk::fixed("", "v1", "Binding");

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
        let mut scale = document.value;
        let warnings = shape_part(&SCALE, &mut scale, document.problems, options.field_validation)?;
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
            let mut patched = wished.clone();
            let shaped = shape_part(&SCALE, &mut patched, problems.clone(), options.field_validation);
            warnings = shaped.map_err(|error| patch.refused(&SCALE.kind, &wished, error))?;
            Ok(patched)
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
            let mut scale = make(&scale_of(place, current)?)?;
            settle_namespace(place, &mut scale)?;
            check_name(name, &scale)?;
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
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let document = body.object("Binding")?;
        let mut binding = document.value;
        let warnings = shape_part(&BINDING, &mut binding, document.problems, options.field_validation)?;
        settle_namespace(place, &mut binding)?;
        if meta::name(&binding) != name {
            return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
        }
        let node = binding_target(name, &binding)?;
        let now = meta::format_time(now());
        let bind = |current: &Value| {
            may_bind(place, name, current, &binding)?;
            Ok(bound(current, &binding, &node, &now))
        };
        self.modify(place, name, Mode::Internal, options.dry_run, bind).await?;
        Ok(Written { bytes: success(201)?, warnings })
    }
}

fn check_name(name: &str, scale: &Value) -> Result<(), ApiError> {
    let given = meta::name(scale);
    if given.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

/// 409 unless the pod is the one that the binding is about, and waits for a node.
fn may_bind(place: &Place, name: &str, pod: &Value, binding: &Value) -> Result<(), ApiError> {
    for (what, wanted, found) in [
        ("UID", meta::uid(binding), meta::uid(pod)),
        ("ResourceVersion", meta::resource_version(binding), meta::resource_version(pod)),
    ] {
        if !wanted.is_empty() && wanted != found {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(ApiError::conflict_because(&place.kind.group_resource(), name, &why));
        }
    }
    let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    let gates = pod.pointer("/spec/schedulingGates").and_then(Value::as_array).map_or(0, Vec::len);
    let why = if meta::is_being_deleted(pod) {
        format!("pod {name} is being deleted, cannot be assigned to a host")
    } else if !node.is_empty() {
        format!("pod {name} is already assigned to node {node:?}")
    } else if gates > 0 {
        format!("pod {name} has non-empty .spec.schedulingGates")
    } else {
        return Ok(());
    };
    Err(ApiError::conflict_because(&GroupResource::new("", "pods/binding"), name, &why))
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
    } else {
        let whys = names::dns1123_subdomain(&node);
        errors.extend(whys.into_iter().map(|why| FieldError::invalid("target.name", node.as_str(), why)));
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
    for key in ["annotations", "labels"] {
        let extra = binding.pointer(&format!("/metadata/{key}")).and_then(Value::as_object);
        if let (Some(extra), Some(metadata)) = (extra, meta::metadata_mut(&mut next))
            && let Some(all) = metadata.entry(key).or_insert_with(|| json!({})).as_object_mut()
        {
            all.extend(extra.clone());
        }
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
