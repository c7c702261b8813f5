//! The schemas of a document: types and descriptions from k8s-openapi, merge rules from the schema table, custom kinds
//! from their own definitions.

use k8s_openapi::api::{
    admissionregistration, apps, authentication, authorization, autoscaling, batch, certificates,
    coordination, core, discovery, events, networking, node, policy, rbac, scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    BINDING, DELETE_OPTIONS, EVICTION, LIST_META, OBJECT_META, OpenApiKind, SCALE, STATUS, TOKEN_REQUEST,
    gvk_value, reference, schema_name,
};
use crate::catalogue::{Gvk, Subresource};
use crate::schema::{Cardinality, Field, ListType, Message, schema};

/// All schemas that the kinds and their operations refer to.
pub(super) fn schemas(kinds: &[OpenApiKind<'_>]) -> Value {
    let mut generator = generator();
    let mut lists = Map::new();
    let mut custom = Map::new();
    for kind in kinds {
        let name = schema_name(kind);
        match kind.custom_schema {
            Some(own) => {
                custom.insert(name.clone(), custom_schema(kind.gvk, own));
            }
            None => generate(&mut generator, &name),
        }
        for subresource in &kind.subresources {
            match subresource {
                Subresource::Scale => generate(&mut generator, SCALE),
                Subresource::Binding => generate(&mut generator, BINDING),
                Subresource::Eviction => generate(&mut generator, EVICTION),
                Subresource::Token => generate(&mut generator, TOKEN_REQUEST),
                Subresource::Status
                | Subresource::Approval
                | Subresource::Log
                | Subresource::Finalize
                | Subresource::EphemeralContainers
                | Subresource::Resize => {}
            }
        }
        if kind.is_virtual() {
            continue;
        }
        lists.insert(format!("{name}List"), list_schema(kind.gvk, &name));
    }
    for shared in [DELETE_OPTIONS, LIST_META, OBJECT_META, STATUS] {
        generate(&mut generator, shared);
    }
    let mut all = generator.take_definitions(false);
    for (name, definition) in &mut all {
        wrap_references(definition);
        if let Some(message) = schema().message(name) {
            enrich(message, definition);
        }
    }
    for kind in kinds {
        label_shared(&mut all, kind.gvk);
    }
    all.append(&mut lists);
    all.append(&mut custom);
    Value::Object(all)
}

fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::openapi3();
    settings.transforms.clear();
    settings.meta_schema = None;
    SchemaGenerator::new(settings)
}

/// Adds a type and all that it refers to. One line per kind.
fn generate(generator: &mut SchemaGenerator, name: &str) {
    macro_rules! types {
        ($($name:literal => $type:ty,)*) => {
            match name {
                $($name => drop(generator.subschema_for::<$type>()),)*
                _ => {}
            }
        };
    }
    types! {
        "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy" =>
            admissionregistration::v1::MutatingAdmissionPolicy,
        "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding" =>
            admissionregistration::v1::MutatingAdmissionPolicyBinding,
        "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration" =>
            admissionregistration::v1::MutatingWebhookConfiguration,
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy" =>
            admissionregistration::v1::ValidatingAdmissionPolicy,
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding" =>
            admissionregistration::v1::ValidatingAdmissionPolicyBinding,
        "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration" =>
            admissionregistration::v1::ValidatingWebhookConfiguration,
        "io.k8s.api.apps.v1.ControllerRevision" => apps::v1::ControllerRevision,
        "io.k8s.api.apps.v1.DaemonSet" => apps::v1::DaemonSet,
        "io.k8s.api.apps.v1.Deployment" => apps::v1::Deployment,
        "io.k8s.api.apps.v1.ReplicaSet" => apps::v1::ReplicaSet,
        "io.k8s.api.apps.v1.StatefulSet" => apps::v1::StatefulSet,
        "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler" => autoscaling::v1::HorizontalPodAutoscaler,
        "io.k8s.api.authentication.v1.SelfSubjectReview" => authentication::v1::SelfSubjectReview,
        "io.k8s.api.authentication.v1.TokenRequest" => authentication::v1::TokenRequest,
        "io.k8s.api.authentication.v1.TokenReview" => authentication::v1::TokenReview,
        "io.k8s.api.authorization.v1.LocalSubjectAccessReview" => authorization::v1::LocalSubjectAccessReview,
        "io.k8s.api.authorization.v1.SelfSubjectAccessReview" => authorization::v1::SelfSubjectAccessReview,
        "io.k8s.api.authorization.v1.SelfSubjectRulesReview" => authorization::v1::SelfSubjectRulesReview,
        "io.k8s.api.authorization.v1.SubjectAccessReview" => authorization::v1::SubjectAccessReview,
        "io.k8s.api.autoscaling.v1.Scale" => autoscaling::v1::Scale,
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler" => autoscaling::v2::HorizontalPodAutoscaler,
        "io.k8s.api.batch.v1.CronJob" => batch::v1::CronJob,
        "io.k8s.api.batch.v1.Job" => batch::v1::Job,
        "io.k8s.api.certificates.v1.CertificateSigningRequest" => certificates::v1::CertificateSigningRequest,
        "io.k8s.api.coordination.v1.Lease" => coordination::v1::Lease,
        "io.k8s.api.core.v1.Binding" => core::v1::Binding,
        "io.k8s.api.core.v1.ConfigMap" => core::v1::ConfigMap,
        "io.k8s.api.core.v1.Endpoints" => core::v1::Endpoints,
        "io.k8s.api.core.v1.Event" => core::v1::Event,
        "io.k8s.api.core.v1.LimitRange" => core::v1::LimitRange,
        "io.k8s.api.core.v1.Namespace" => core::v1::Namespace,
        "io.k8s.api.core.v1.Node" => core::v1::Node,
        "io.k8s.api.core.v1.PersistentVolume" => core::v1::PersistentVolume,
        "io.k8s.api.core.v1.PersistentVolumeClaim" => core::v1::PersistentVolumeClaim,
        "io.k8s.api.core.v1.Pod" => core::v1::Pod,
        "io.k8s.api.core.v1.PodTemplate" => core::v1::PodTemplate,
        "io.k8s.api.core.v1.ReplicationController" => core::v1::ReplicationController,
        "io.k8s.api.core.v1.ResourceQuota" => core::v1::ResourceQuota,
        "io.k8s.api.core.v1.Secret" => core::v1::Secret,
        "io.k8s.api.core.v1.Service" => core::v1::Service,
        "io.k8s.api.core.v1.ServiceAccount" => core::v1::ServiceAccount,
        "io.k8s.api.discovery.v1.EndpointSlice" => discovery::v1::EndpointSlice,
        "io.k8s.api.networking.v1.IPAddress" => networking::v1::IPAddress,
        "io.k8s.api.networking.v1.Ingress" => networking::v1::Ingress,
        "io.k8s.api.networking.v1.IngressClass" => networking::v1::IngressClass,
        "io.k8s.api.networking.v1.NetworkPolicy" => networking::v1::NetworkPolicy,
        "io.k8s.api.networking.v1.ServiceCIDR" => networking::v1::ServiceCIDR,
        "io.k8s.api.node.v1.RuntimeClass" => node::v1::RuntimeClass,
        "io.k8s.api.policy.v1.Eviction" => policy::v1::Eviction,
        "io.k8s.api.scheduling.v1.PriorityClass" => scheduling::v1::PriorityClass,
        "io.k8s.api.storage.v1.CSIDriver" => storage::v1::CSIDriver,
        "io.k8s.api.storage.v1.CSINode" => storage::v1::CSINode,
        "io.k8s.api.storage.v1.CSIStorageCapacity" => storage::v1::CSIStorageCapacity,
        "io.k8s.api.storage.v1.StorageClass" => storage::v1::StorageClass,
        "io.k8s.api.storage.v1.VolumeAttachment" => storage::v1::VolumeAttachment,
        "io.k8s.api.storage.v1.VolumeAttributesClass" => storage::v1::VolumeAttributesClass,
        "io.k8s.api.events.v1.Event" => events::v1::Event,
        "io.k8s.api.policy.v1.PodDisruptionBudget" => policy::v1::PodDisruptionBudget,
        "io.k8s.api.rbac.v1.ClusterRole" => rbac::v1::ClusterRole,
        "io.k8s.api.rbac.v1.ClusterRoleBinding" => rbac::v1::ClusterRoleBinding,
        "io.k8s.api.rbac.v1.Role" => rbac::v1::Role,
        "io.k8s.api.rbac.v1.RoleBinding" => rbac::v1::RoleBinding,
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition" =>
            apiextensions::v1::CustomResourceDefinition,
        "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions" => meta::v1::DeleteOptions,
        "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta" => meta::v1::ListMeta,
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" => meta::v1::ObjectMeta,
        "io.k8s.apimachinery.pkg.apis.meta.v1.Status" => meta::v1::Status,
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService" => apiregistration::v1::APIService,
    }
}

/// `OpenAPI` 3.0 ignores what stands beside a `$ref`, so descriptions go around it: `allOf: [{$ref}]`.
fn wrap_references(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.len() > 1 && object.get("$ref").is_some_and(Value::is_string) {
                let target = object.remove("$ref");
                object.insert("allOf".to_owned(), json!([{ "$ref": target }]));
            }
            object.values_mut().for_each(wrap_references);
        }
        Value::Array(items) => items.iter_mut().for_each(wrap_references),
        _ => {}
    }
}

/// Adds what the table knows: root kinds, list types, merge keys.
fn enrich(message: &Message, definition: &mut Value) {
    use crate::schema::Special;
    let Value::Object(definition) = definition else { return };
    match message.special {
        Some(Special::Quantity) => {
            definition.remove("x-kubernetes-int-or-string");
            definition.insert("oneOf".to_owned(), json!([{ "type": "string" }, { "type": "number" }]));
        }
        Some(Special::IntOrString) => {
            definition.remove("x-kubernetes-int-or-string");
            definition.insert("format".to_owned(), json!("int-or-string"));
            definition.insert("oneOf".to_owned(), json!([{ "type": "integer" }, { "type": "string" }]));
        }
        _ => {}
    }
    if message.atomic {
        definition.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    if let Some(root) = message.root {
        let gvk = gvk_value(root.group, root.version, root.kind);
        definition.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk]));
        // The Rust type has no root object without metadata; the API accepts one.
        if let Some(Value::Array(required)) = definition.get_mut("required") {
            required.retain(|name| name != "metadata");
            if required.is_empty() {
                definition.remove("required");
            }
        }
    }
    let Some(Value::Object(properties)) = definition.get_mut("properties") else { return };
    for (name, property) in properties {
        if let (Some(field), Value::Object(property)) = (message.field(name), property) {
            enrich_field(field, property);
        }
    }
}

fn enrich_field(field: &Field, property: &mut Map<String, Value>) {
    let mut extend = |name: &str, value: Value| {
        property.insert(format!("x-kubernetes-{name}"), value);
    };
    if let Some(key) = field.merge_key {
        extend("patch-merge-key", json!(key));
    }
    if !field.strategy.is_empty() {
        extend("patch-strategy", json!(field.strategy));
    }
    match field.list_type {
        Some(ListType::Atomic) => extend("list-type", json!("atomic")),
        Some(ListType::Set) => extend("list-type", json!("set")),
        Some(ListType::Map) => {
            extend("list-type", json!("map"));
            extend("list-map-keys", field.list_keys().collect());
        }
        None => {}
    }
    if field.atomic && field.cardinality != Cardinality::List {
        extend("map-type", json!("atomic"));
    }
}

/// `DeleteOptions` and `Status` are kinds of every group version.
fn label_shared(all: &mut Map<String, Value>, gvk: &Gvk) {
    for (name, kind) in [(DELETE_OPTIONS, "DeleteOptions"), (STATUS, "Status")] {
        let Some(Value::Object(definition)) = all.get_mut(name) else { continue };
        let label = gvk_value(&gvk.group, &gvk.version, kind);
        let labels = definition.entry("x-kubernetes-group-version-kind").or_insert_with(|| json!([]));
        if let Value::Array(labels) = labels
            && !labels.contains(&label)
        {
            labels.push(label);
        }
    }
}

fn list_schema(gvk: &Gvk, name: &str) -> Value {
    let kind = format!("{}List", gvk.kind);
    json!({
        "type": "object",
        "description": format!("{kind} is a list of {}", gvk.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string", "description": "Group and version of this list." },
            "kind": { "type": "string", "description": "Kind of this list." },
            "metadata": { "allOf": [reference(LIST_META)], "description": "Revision and continuation of the list." },
            "items": { "type": "array", "items": reference(name), "description": "The objects." },
        },
        "x-kubernetes-group-version-kind": [gvk_value(&gvk.group, &gvk.version, &kind)],
    })
}

/// The custom kind's own schema, with what every object has.
fn custom_schema(gvk: &Gvk, own: &Value) -> Value {
    let mut definition = own.as_object().cloned().unwrap_or_default();
    definition.insert("type".to_owned(), json!("object"));
    let gvk = gvk_value(&gvk.group, &gvk.version, &gvk.kind);
    definition.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk]));
    let properties = definition.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        properties.insert("apiVersion".to_owned(), json!({ "type": "string", "description": API_VERSION }));
        properties.insert("kind".to_owned(), json!({ "type": "string", "description": KIND }));
        let metadata = json!({ "allOf": [reference(OBJECT_META)], "description": METADATA });
        properties.insert("metadata".to_owned(), metadata);
    }
    Value::Object(definition)
}

const API_VERSION: &str = "Group and version that the object is written in.";
const KIND: &str = "Kind of the object; cannot be changed.";
const METADATA: &str = "Name, labels, owners and what else all objects have.";
