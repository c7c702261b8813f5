//! The catalogue: one descriptor row per kind, built in or custom, and how a request path finds it.
//!
//! A row says everything that differs between kinds; whoever serves objects has one path for all of them. The order in
//! which a server uses a row when an object is written:
//!
//! 1. drop or report unknown fields ([`crate::schema`] for built-in kinds, [`Kind::prune`] for custom ones),
//! 2. [`Kind::decode`] (400 when a field has the wrong type), 3. [`Kind::default`],
//! 4. set uid, creationTimestamp and so on ([`crate::meta::stamp_new`], [`crate::meta::carry_over`]),
//! 5. [`Kind::prepare_create`] or [`Kind::prepare_update`] (which also count `metadata.generation`),
//! 6. [`Kind::validate`], and [`Kind::validate_update`] for an update.
//!
//! Invariants: rows are unique by (group, version, plural) and by (group, version, kind); a custom kind never shadows a
//! built-in one.

mod kind;
mod rows;
mod scale;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::crd::CustomKind;
use crate::status::{FieldError, GroupKind};
use crate::table::Column;
use crate::validation;

pub use kind::Kind;

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group, empty for the core group.
    pub group: Cow<'static, str>,
    /// Version, `v1`.
    pub version: Cow<'static, str>,
    /// Kind, `CamelCase`.
    pub kind: Cow<'static, str>,
}

impl Gvk {
    /// For the static rows.
    pub const fn fixed(group: &'static str, version: &'static str, kind: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), version: Cow::Borrowed(version), kind: Cow::Borrowed(kind) }
    }

    /// From any strings.
    pub fn new(
        group: impl Into<Cow<'static, str>>,
        version: impl Into<Cow<'static, str>>,
        kind: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// From an object's `apiVersion` (`v1`, `apps/v1`) and `kind`.
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::new(group.to_owned(), version.to_owned(), kind.to_owned())
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Without the version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }
}

/// Group, version and plural.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvr {
    /// API group, empty for the core group.
    pub group: String,
    /// Version, `v1`.
    pub version: String,
    /// Plural, lower case.
    pub resource: String,
}

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// Beside all namespaces.
    Cluster,
}

/// What a write of an object is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageClass {
    /// On disk before it is acknowledged.
    Durable,
    /// In memory only: leases, events.
    Volatile,
    /// Nowhere: a question that a create asks and its answer settles.
    Virtual,
}

/// Paths below an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// `/status`: writes change only the status.
    Status,
    /// `/scale`: an `autoscaling/v1` `Scale`.
    Scale,
    /// `/log`: output of a container.
    Log,
    /// `/binding`: the scheduler's decision.
    Binding,
    /// `/eviction`: deletion with a grace.
    Eviction,
    /// `/finalize`: writes change only `spec.finalizers` of a namespace.
    Finalize,
    /// `/ephemeralcontainers`: adds containers that look into a running pod.
    EphemeralContainers,
    /// `/resize`: changes resources of containers while they run.
    Resize,
    /// `/approval`: writes change only whether a certificate request is approved.
    Approval,
    /// `/token`: an `authentication.k8s.io/v1` `TokenRequest` for a service account.
    Token,
}

impl Subresource {
    /// Path segment.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Log => "log",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
            Self::Finalize => "finalize",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Approval => "approval",
            Self::Token => "token",
        }
    }

    /// From a path segment.
    pub fn parse(name: &str) -> Option<Self> {
        const ALL: [Subresource; 10] = [
            Subresource::Status,
            Subresource::Scale,
            Subresource::Log,
            Subresource::Binding,
            Subresource::Eviction,
            Subresource::Finalize,
            Subresource::EphemeralContainers,
            Subresource::Resize,
            Subresource::Approval,
            Subresource::Token,
        ];
        ALL.into_iter().find(|s| s.name() == name)
    }
}

/// Which changes bump `metadata.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GenerationRule {
    /// The kind has no generation.
    None,
    /// 1 at creation, and one more whenever anything but metadata and status changes.
    Spec,
    /// As `Spec`, and when annotations change.
    SpecAndAnnotations,
    /// As `Spec`, but `status` is an ordinary field (custom kinds without the subresource).
    AllButMetadata,
}

/// What a create needs to know from outside.
#[derive(Clone, Debug)]
pub struct CreateFacts {
    /// The uid that the object gets.
    pub uid: String,
    /// The time at which it is created.
    pub now: Timestamp,
}

/// A part of an object that is written through a subresource of its own.
#[derive(Debug)]
pub struct Part {
    /// Where it is written.
    pub subresource: Subresource,
    /// Turns what was sent (second) into the old object with only this part changed.
    pub prepare: fn(&Value, &mut Value),
    /// What is wrong with the change (old, new) besides what is wrong with the new object.
    pub validate: fn(&Value, &Value) -> Vec<FieldError>,
}

/// Objects of this kind are stored as objects of another kind, with other names for the same things.
#[derive(Debug)]
pub struct StoredAs {
    /// What is stored; the plural is the same.
    pub gvk: Gvk,
    /// From this kind to the stored one, `apiVersion` aside.
    pub to_stored: fn(&mut Value),
    /// From the stored kind to this one, `apiVersion` aside.
    pub from_stored: fn(&mut Value),
}

/// Objects of this kind are not kept: creating one does something to an object of another kind.
#[derive(Debug)]
pub struct ActsOn {
    /// Plural of the other kind, in the same group and version.
    pub plural: &'static str,
    /// What is done to the object of the same name.
    pub subresource: Subresource,
}

/// Everything that is particular to one built-in kind.
#[derive(Debug)]
pub struct KindRow {
    /// Group, version, kind.
    pub gvk: Gvk,
    /// Plural, as in the path.
    pub plural: &'static str,
    /// Singular.
    pub singular: &'static str,
    /// Abbreviations that kubectl takes.
    pub short_names: &'static [&'static str],
    /// Groups of kinds that kubectl takes, such as `all`.
    pub categories: &'static [&'static str],
    /// Namespaced or not.
    pub scope: Scope,
    /// Durable or volatile.
    pub storage: StorageClass,
    /// What is served below an object.
    pub subresources: &'static [Subresource],
    /// Whether one request may delete all of them.
    pub deletes_collections: bool,
    /// Which changes bump `metadata.generation`.
    pub generation: GenerationRule,
    /// Fills in what was left out. Idempotent.
    pub default_fn: fn(&mut Value),
    /// What is wrong with an object, without its metadata.
    pub validate: fn(&Value) -> Vec<FieldError>,
    /// What is wrong with a new object only.
    pub validate_create: fn(&Value) -> Vec<FieldError>,
    /// What is wrong with a change (old, new), without its metadata.
    pub validate_update: fn(&Value, &Value) -> Vec<FieldError>,
    /// What is wrong with a change of the status (old, new).
    pub validate_status: fn(&Value, &Value) -> Vec<FieldError>,
    /// Fields that the server owns at creation.
    pub prepare_create: fn(&mut Value, &CreateFacts),
    /// Fields that the server keeps from the old object; status and metadata are kept for every kind.
    pub prepare_update: fn(&Value, &mut Value),
    /// What a client should be told about an object that is accepted (new, old if it is an update): deprecated fields, and
    /// for kinds that are stored only, that nothing acts on them.
    pub warnings: fn(&Value, Option<&Value>) -> Vec<String>,
    /// How names of this kind are checked.
    pub name_rule: validation::NameRule,
    /// Fields that a field selector may name, besides `metadata.name` and `metadata.namespace`.
    pub field_labels: &'static [&'static str],
    /// Columns of the table.
    pub columns: &'static [Column],
    /// Cells of one row, as many as there are columns.
    pub cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// Conditions of one row (`Completed` greys a finished pod out).
    pub row_conditions: fn(&Value) -> Vec<Value>,
    /// Whether a create may bring a status (a node registers itself with one).
    pub keep_status_on_create: bool,
    /// Parts with a subresource of their own, other than the status.
    pub parts: &'static [Part],
    /// Another kind whose objects these are.
    pub stored_as: Option<StoredAs>,
    /// What creating one does, where nothing is kept.
    pub acts_on: Option<ActsOn>,
    /// What clients are told who still use the kind.
    pub deprecation: Option<&'static str>,
    /// An update of an object that does not exist creates it.
    pub creates_on_update: bool,
}

/// All built-in rows.
pub fn builtin() -> &'static [KindRow] {
    &rows::ROWS
}

/// A group with its versions, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name, empty for the core group.
    pub name: String,
    /// Versions, preferred first.
    pub versions: Vec<String>,
}

/// All kinds that are served. Immutable; a new definition makes a new catalogue.
#[derive(Clone, Debug)]
pub struct Catalogue {
    kinds: Vec<Kind>,
    by_resource: BTreeMap<Gvr, usize>,
    by_kind: BTreeMap<Gvk, usize>,
}

impl Catalogue {
    /// Only the built-in kinds.
    pub fn builtin() -> Self {
        Self::of(builtin().iter().map(Kind::Builtin).collect())
    }

    /// The built-in kinds and these custom ones, which replace all custom ones that were there.
    #[must_use]
    pub fn with_custom(&self, custom: Vec<Arc<CustomKind>>) -> Self {
        let mut kinds: Vec<Kind> = self.kinds.iter().filter(|k| !k.is_custom()).cloned().collect();
        kinds.extend(custom.into_iter().map(Kind::Custom));
        Self::of(kinds)
    }

    fn of(all: Vec<Kind>) -> Self {
        let mut new = Self { kinds: Vec::new(), by_resource: BTreeMap::new(), by_kind: BTreeMap::new() };
        for kind in all {
            let (gvr, gvk) = (kind.gvr(), kind.gvk().clone());
            if new.by_resource.contains_key(&gvr) || new.by_kind.contains_key(&gvk) {
                continue; // first come, first served: built-in kinds are never shadowed
            }
            new.by_resource.insert(gvr, new.kinds.len());
            new.by_kind.insert(gvk, new.kinds.len());
            new.kinds.push(kind);
        }
        new
    }

    /// By the parts of a request path; the group is empty for `/api/v1`.
    pub fn by_resource(&self, group: &str, version: &str, plural: &str) -> Option<Kind> {
        let gvr = Gvr { group: group.to_owned(), version: version.to_owned(), resource: plural.to_owned() };
        self.by_resource.get(&gvr).and_then(|&i| self.kinds.get(i)).cloned()
    }

    /// By what an object says of itself.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Kind> {
        let gvk = Gvk::new(group.to_owned(), version.to_owned(), kind.to_owned());
        self.by_kind.get(&gvk).and_then(|&i| self.kinds.get(i)).cloned()
    }

    /// Groups in the order of discovery: core first, then as in the table, then by name; versions best first.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for kind in &self.kinds {
            let version = kind.version().to_owned();
            match groups.iter_mut().find(|g| g.name == kind.group()) {
                Some(group) if group.versions.contains(&version) => {}
                Some(group) => group.versions.push(version),
                None => groups.push(Group { name: kind.group().to_owned(), versions: vec![version] }),
            }
        }
        for group in &mut groups {
            group.versions.sort_by_key(|v| std::cmp::Reverse(version_rank(v)));
        }
        groups
    }

    /// All kinds, built-in ones first.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter()
    }

    /// The kinds of one group and version.
    pub fn kinds_in<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Kind> {
        self.kinds.iter().filter(move |k| k.group() == group && k.version() == version)
    }
}

/// Kubernetes' order of versions: `v2` > `v1` > `v1beta2` > `v1beta1` > `v1alpha1` > everything else.
pub fn version_rank(version: &str) -> (u8, u32, u32) {
    fn parse(version: &str) -> Option<(u8, u32, u32)> {
        let rest = version.strip_prefix('v')?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (major, rest) = rest.split_at(digits);
        let major = major.parse().ok()?;
        if rest.is_empty() {
            return Some((3, major, 0));
        }
        let (stability, minor) = match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
            (Some(minor), _) => (2, minor),
            (_, Some(minor)) => (1, minor),
            _ => return None,
        };
        Some((stability, major, minor.parse().ok()?))
    }
    parse(version).unwrap_or((0, 0, 0))
}
