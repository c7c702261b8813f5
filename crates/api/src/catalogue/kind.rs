//! `Kind`: one set of questions for built-in and custom kinds.
//!
//! Holds no rules of its own: a built-in kind answers from its row, a custom one from its definition. What is the same for
//! all kinds (status kept apart, generation counted, metadata checked) is done here, once.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    ActsOn, CreateFacts, GenerationRule, Gvk, Gvr, KindRow, Part, Scope, StorageClass, StoredAs, Subresource,
    scale,
};
use crate::crd::{Changed, CustomKind};
use crate::status::{FieldError, GroupKind, GroupResource};
use crate::table::Column;
use crate::{meta, selector, validation};

/// Built-in kinds that are not updated without a revision to start from.
const CONDITIONAL: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "CSIStorageCapacity",
    "CustomResourceDefinition",
    "Lease",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "PodDisruptionBudget",
    "RuntimeClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// Groups of what extends the API: they follow the rules of all APIs, not those of the kinds of the core.
const EXTENSION_GROUPS: &[&str] = &["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// A kind, built in or custom, with one set of questions. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Kind {
    /// From the table of this crate.
    Builtin(&'static KindRow),
    /// From a `CustomResourceDefinition`.
    Custom(Arc<CustomKind>),
}

impl Kind {
    /// Group, version, kind.
    pub fn gvk(&self) -> &Gvk {
        match self {
            Self::Builtin(row) => &row.gvk,
            Self::Custom(custom) => &custom.gvk,
        }
    }

    /// API group, empty for the core group.
    pub fn group(&self) -> &str {
        &self.gvk().group
    }

    /// Version.
    pub fn version(&self) -> &str {
        &self.gvk().version
    }

    /// The kind's name, `CamelCase`.
    pub fn kind(&self) -> &str {
        &self.gvk().kind
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        self.gvk().api_version()
    }

    /// Kind of a list of these.
    pub fn list_kind(&self) -> Cow<'_, str> {
        match self {
            Self::Builtin(row) => Cow::Owned(format!("{}List", row.gvk.kind)),
            Self::Custom(custom) => Cow::Borrowed(&custom.list_kind),
        }
    }

    /// Plural, as in the path.
    pub fn plural(&self) -> &str {
        match self {
            Self::Builtin(row) => row.plural,
            Self::Custom(custom) => &custom.plural,
        }
    }

    /// Singular.
    pub fn singular(&self) -> &str {
        match self {
            Self::Builtin(row) => row.singular,
            Self::Custom(custom) => &custom.singular,
        }
    }

    /// Abbreviations that kubectl takes.
    pub fn short_names(&self) -> Vec<&str> {
        match self {
            Self::Builtin(row) => row.short_names.to_vec(),
            Self::Custom(custom) => custom.short_names.iter().map(String::as_str).collect(),
        }
    }

    /// Groups of kinds such as `all`.
    pub fn categories(&self) -> Vec<&str> {
        match self {
            Self::Builtin(row) => row.categories.to_vec(),
            Self::Custom(custom) => custom.categories.iter().map(String::as_str).collect(),
        }
    }

    /// Namespaced or not.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Builtin(row) => row.scope,
            Self::Custom(custom) => custom.scope,
        }
    }

    /// Whether objects live in a namespace.
    pub fn namespaced(&self) -> bool {
        self.scope() == Scope::Namespaced
    }

    /// Durable or volatile.
    pub fn storage(&self) -> StorageClass {
        match self {
            Self::Builtin(row) => row.storage,
            Self::Custom(_) => StorageClass::Durable,
        }
    }

    /// Verbs on the objects themselves, in the order of discovery.
    pub fn verbs(&self) -> &'static [&'static str] {
        match self.storage() {
            _ if self.acts_on().is_some() => &["create"],
            StorageClass::Virtual => &["create"],
            _ if self.is_custom() => {
                &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
            }
            _ if matches!(self, Self::Builtin(row) if !row.deletes_collections) => {
                &["create", "delete", "get", "list", "patch", "update", "watch"]
            }
            StorageClass::Durable | StorageClass::Volatile => {
                &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
            }
        }
    }

    /// What is served below an object.
    pub fn subresources(&self) -> Vec<Subresource> {
        match self {
            Self::Builtin(row) => row.subresources.to_vec(),
            Self::Custom(custom) => custom.subresources(),
        }
    }

    /// Whether a subresource is served.
    pub fn has(&self, subresource: Subresource) -> bool {
        match self {
            Self::Builtin(row) => row.subresources.contains(&subresource),
            Self::Custom(custom) => custom.subresources().contains(&subresource),
        }
    }

    /// Which changes bump `metadata.generation`.
    pub fn generation(&self) -> GenerationRule {
        match self {
            Self::Builtin(row) => row.generation,
            Self::Custom(custom) if custom.status => GenerationRule::Spec,
            Self::Custom(_) => GenerationRule::AllButMetadata,
        }
    }

    /// Group, version and plural.
    pub fn gvr(&self) -> Gvr {
        Gvr {
            group: self.group().to_owned(),
            version: self.version().to_owned(),
            resource: self.plural().to_owned(),
        }
    }

    /// Group and plural, for messages.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group(), self.plural())
    }

    /// Group and kind, for messages: those of the kind that is stored.
    pub fn group_kind(&self) -> GroupKind {
        self.stored_as().map_or_else(|| self.gvk().group_kind(), |stored| stored.gvk.group_kind())
    }

    /// Whether the kind comes from a definition.
    pub fn is_custom(&self) -> bool {
        matches!(self, Self::Custom(_))
    }

    /// Drops fields that the schema of a custom kind does not know and returns their paths. Built-in kinds are pruned by
    /// `schema::prune_unknown`; for them this does nothing.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        match self {
            Self::Builtin(_) => Vec::new(),
            Self::Custom(custom) => custom.prune(object),
        }
    }

    /// Checks the JSON type of every known field of a built-in kind. Custom kinds report this in [`Kind::validate`], but for
    /// their metadata.
    ///
    /// # Errors
    /// A 400 in the words of Kubernetes.
    pub fn decode(&self, object: &Value) -> Result<(), crate::ApiError> {
        match self {
            Self::Builtin(row) => crate::schema::check_types(&row.gvk, object),
            Self::Custom(custom) => crate::schema::check_metadata_types(&custom.gvk, object),
        }
    }

    /// Fills in what was left out, after the object was brought into normal form. Idempotent.
    pub fn default(&self, object: &mut Value) {
        match self {
            Self::Builtin(row) => {
                crate::schema::normalize(&row.gvk, object);
                (row.default_fn)(object);
                crate::schema::complete(&row.gvk, object);
            }
            Self::Custom(custom) => {
                crate::schema::normalize_metadata(object);
                custom.default(object);
            }
        }
    }

    /// What is wrong with an object, its metadata included.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let rule = match self {
            Self::Builtin(row) => row.name_rule,
            Self::Custom(_) => validation::NameRule::Subdomain,
        };
        let mut errors = validation::object_meta(object, self.scope(), rule);
        match self {
            Self::Builtin(row) => {
                if !EXTENSION_GROUPS.contains(&&*row.gvk.group) {
                    errors.extend(validation::builtin_finalizers(object));
                }
                errors.extend((row.validate)(object));
            }
            Self::Custom(custom) => errors = custom.validate_after(object, errors),
        }
        errors
    }

    /// What is wrong with a new object only. Call [`Kind::validate`] too.
    pub fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        match self {
            Self::Builtin(row) => (row.validate_create)(object),
            Self::Custom(_) => Vec::new(),
        }
    }

    /// What a client should be told about an object that is accepted; `old` is there for an update.
    pub fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        match self {
            Self::Builtin(row) => (row.warnings)(object, old),
            Self::Custom(_) => crate::warnings::finalizers(object, old),
        }
    }

    /// What is wrong with a change of the status.
    pub fn validate_status(&self, old: &Value, new: &Value) -> Vec<FieldError> {
        match self {
            Self::Builtin(row) => (row.validate_status)(old, new),
            Self::Custom(_) => Vec::new(),
        }
    }

    /// The part of an object that a subresource writes; `None` when it writes no part.
    pub fn part(&self, subresource: Subresource) -> Option<&'static Part> {
        match self {
            Self::Builtin(row) => row.parts.iter().find(|part| part.subresource == subresource),
            Self::Custom(_) => None,
        }
    }

    /// Turns an update of a part into the object to store.
    pub fn prepare_part(&self, part: &Part, old: &Value, new: &mut Value) {
        (part.prepare)(old, new);
        self.count_generation(old, new);
    }

    /// The kind as which objects are stored, where that is another one.
    pub fn stored_as(&self) -> Option<&'static StoredAs> {
        match self {
            Self::Builtin(row) => row.stored_as.as_ref(),
            Self::Custom(_) => None,
        }
    }

    /// Whether an update may leave out the revision that it starts from.
    pub fn updates_unconditionally(&self) -> bool {
        match self {
            Self::Builtin(row) => !CONDITIONAL.contains(&&*row.gvk.kind),
            Self::Custom(_) => false,
        }
    }

    /// The kind as which objects are stored, this one or another.
    pub fn stored_gvk(&self) -> &Gvk {
        self.stored_as().map_or(self.gvk(), |stored| &stored.gvk)
    }

    /// Turns an object of this kind into one of `other`, another version of it: the same objects, seen through the other.
    /// Versions of custom kinds differ in nothing but their name, and that is left alone.
    pub fn convert(&self, object: &mut Value, other: &Self) {
        if self.gvk() == other.gvk() {
            return;
        }
        if let Some(stored) = self.stored_as() {
            (stored.to_stored)(object);
        }
        if let Some(stored) = other.stored_as() {
            (stored.from_stored)(object);
        }
    }

    /// What creating one does, where nothing is kept.
    pub fn acts_on(&self) -> Option<&'static ActsOn> {
        match self {
            Self::Builtin(row) => row.acts_on.as_ref(),
            Self::Custom(_) => None,
        }
    }

    /// What clients are told who use a kind that should not be used any more.
    pub fn deprecation(&self) -> Option<&str> {
        match self {
            Self::Builtin(row) => row.deprecation,
            Self::Custom(custom) => custom.deprecation.as_deref(),
        }
    }

    /// Whether an update of an object that does not exist creates it.
    pub fn creates_on_update(&self) -> bool {
        matches!(self, Self::Builtin(row) if row.creates_on_update)
    }

    /// What is wrong with `new` in itself, as the outcome of a change of a part of `old`. Of custom objects, what was wrong
    /// before and did not change is let pass. Call [`Kind::validate_update`] too.
    pub fn validate_change(&self, old: &Value, new: &Value, changed: Changed) -> Vec<FieldError> {
        let Self::Custom(custom) = self else { return self.validate(new) };
        let mut errors = validation::object_meta(new, self.scope(), validation::NameRule::Subdomain);
        errors.extend(custom.validate_update(old, new, changed));
        errors
    }

    /// What is wrong with a change from `old` to `new`, its metadata included. Call [`Kind::validate_change`] too.
    pub fn validate_update(&self, old: &Value, new: &Value) -> Vec<FieldError> {
        let mut errors = validation::object_meta_update(old, new);
        if let Self::Builtin(row) = self {
            errors.extend((row.validate_update)(old, new));
        }
        errors
    }

    /// Sets what the server owns at creation: a fresh status, generation 1, allocated labels and selectors.
    pub fn prepare_create(&self, object: &mut Value, facts: &CreateFacts) {
        let brings_status = matches!(self, Self::Builtin(row) if row.keep_status_on_create);
        if self.has(Subresource::Status)
            && !brings_status
            && let Some(map) = object.as_object_mut()
        {
            map.remove("status");
        }
        if self.generation() != GenerationRule::None {
            meta::set_generation(object, 1);
        }
        if let Self::Builtin(row) = self {
            (row.prepare_create)(object, facts);
            crate::schema::complete(&row.gvk, object);
        }
    }

    /// Keeps what an ordinary update may not touch (status, server-set metadata) and counts the generation.
    pub fn prepare_update(&self, old: &Value, new: &mut Value) {
        meta::carry_over(old, new);
        if self.has(Subresource::Status) {
            meta::copy_member(old, new, "status");
        }
        if let Self::Builtin(row) = self {
            (row.prepare_update)(old, new);
        }
        self.count_generation(old, new);
    }

    /// Turns an update of `/status` into the object to store: everything from `old` but the status, and for built-in
    /// kinds the annotations, which controllers write together with the status.
    pub fn prepare_status_update(&self, old: &Value, new: &mut Value) {
        let mut result = old.clone();
        meta::copy_member(new, &mut result, "status");
        if !self.is_custom() {
            let annotations = new.pointer("/metadata/annotations").cloned();
            if let (Some(annotations), Some(metadata)) = (annotations, meta::metadata_mut(&mut result)) {
                metadata.insert("annotations".to_owned(), annotations);
            }
        }
        if let Self::Builtin(row) = self {
            (row.prepare_update)(old, &mut result);
        }
        *new = result;
    }

    fn count_generation(&self, old: &Value, new: &mut Value) {
        let skip: &[&str] = match self.generation() {
            GenerationRule::None => return,
            GenerationRule::Spec | GenerationRule::SpecAndAnnotations => &["metadata", "status"],
            GenerationRule::AllButMetadata => &["metadata"],
        };
        let before = meta::generation(old);
        let annotations = |object: &Value| object.pointer("/metadata/annotations").cloned();
        let same = meta::equal_but(old, new, skip)
            && (self.generation() != GenerationRule::SpecAndAnnotations
                || annotations(old) == annotations(new));
        meta::set_generation(new, if same { before } else { before + 1 });
    }

    /// Fields that a field selector may name; `metadata.name` and `metadata.namespace` are implied.
    pub fn field_labels(&self) -> Vec<&str> {
        match self {
            Self::Builtin(row) => row.field_labels.to_vec(),
            Self::Custom(custom) => custom.selectable_fields.iter().map(String::as_str).collect(),
        }
    }

    /// Parses a field selector for this kind.
    ///
    /// # Errors
    /// A 400 when it cannot be understood or names another field.
    pub fn field_selector(&self, text: &str) -> Result<selector::FieldSelector, crate::ApiError> {
        let labels = self.field_labels();
        let unknown = |field: &str| match self {
            Self::Builtin(row) if row.gvk.group == "batch" && !labels.is_empty() => {
                format!("field label {field:?} not supported for {}", row.gvk.kind)
            }
            Self::Builtin(_) if labels.is_empty() => format!(
                "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ),
            Self::Builtin(_) | Self::Custom(_) => format!("field label not supported: {field}"),
        };
        selector::FieldSelector::parse_or(text, &labels, unknown)
    }

    /// Columns of the table.
    pub fn columns(&self) -> &[Column] {
        match self {
            Self::Builtin(row) => row.columns,
            Self::Custom(custom) => &custom.columns,
        }
    }

    /// Cells of one row, as many as there are columns.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match self {
            Self::Builtin(row) => (row.cells)(object, now),
            Self::Custom(custom) => custom.cells(object, now),
        }
    }

    /// Conditions of one row.
    pub fn row_conditions(&self, object: &Value) -> Vec<Value> {
        match self {
            Self::Builtin(row) => (row.row_conditions)(object),
            Self::Custom(_) => Vec::new(),
        }
    }

    /// The `autoscaling/v1` `Scale` of an object; `None` when the kind has none.
    pub fn scale_of(&self, object: &Value) -> Option<Value> {
        scale::read(self, object)
    }

    /// Where the wished number of replicas is, as a JSON pointer; `None` when the kind has no scale.
    pub fn replicas_pointer(&self) -> Option<&str> {
        scale::replicas_pointer(self)
    }

    /// Sets the wished number of replicas from a `Scale`. `false` when the kind has no scale.
    #[must_use]
    pub fn set_replicas(&self, object: &mut Value, replicas: i64) -> bool {
        scale::write(self, object, replicas)
    }
}
