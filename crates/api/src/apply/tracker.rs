//! The tracker: ownership after a write, and the merge of an applied configuration.
//!
//! The order is that of Kubernetes: the write is compared before the server prepares the object, so values that the server
//! sets have no owner; defaults have.
//!
//! Invariants: an update never fails for the sake of ownership; an apply that changes nothing gives the live object back.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::check::check;
use super::collect::field_set;
use super::compare::{Changes, compare, same};
use super::conflict::{Conflict, Conflicts, to_error};
use super::element::PathElement;
use super::items::TypedError;
use super::last_applied;
use super::managers::{
    Fields, ManagerId, Managers, Operation, Owned, Trust, entries_of, is_reset, put_entries, take_entries,
};
use super::merge::merge;
use super::remove::{Emptied, reconcile, remove_items, with_named_fields};
use super::set::FieldSet;
use super::typing::TypeRef;
use crate::catalogue::Kind;
use crate::meta;
use crate::status::ApiError;

/// The manager of fields that were there before anybody was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Members of `metadata` that have no owner.
const STRIPPED: &[&str] = &[
    "clusterName",
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Which fields a write through this path cannot change, so that it does not come to own them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// All fields count.
    Nothing,
    /// The status is a subresource and this is not it.
    Status,
    /// Only the status counts; for built-in kinds annotations, too.
    AllButStatus,
    /// Only `spec.finalizers` counts.
    AllButFinalizers,
}

/// Who writes, where and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Name of the manager; empty counts as `unknown`.
    pub manager: &'a str,
    /// `status`, `scale` and so on; empty for the object itself.
    pub subresource: &'a str,
    /// What the path cannot change.
    pub reset: Reset,
    /// The time that a new entry gets.
    pub now: Timestamp,
}

/// What happens to fields that others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// They are taken over.
    Yes,
    /// The apply is refused.
    No,
}

/// A version of a kind and its type.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "the field's own name")]
struct Version<'a> {
    api_version: String,
    root: TypeRef<'a>,
    /// How objects get from one version to another; `None` where versions differ in name only.
    kind: Option<&'a Kind>,
}

/// Tracks the owners of fields for one write.
#[derive(Clone, Debug)]
pub struct Tracker<'a> {
    pub(super) gvk: crate::Gvk,
    own: Version<'a>,
    others: Vec<Version<'a>>,
    /// Types of custom kinds change; stored sets are brought in line with them.
    is_custom: bool,
    pub(super) writer: Writer<'a>,
}

impl<'a> Tracker<'a> {
    /// For objects of `kind`; `siblings` are the other served versions of it.
    pub fn new(kind: &'a Kind, siblings: &'a [Kind], writer: Writer<'a>) -> Self {
        let version = |kind: &'a Kind| Version {
            api_version: kind.api_version(),
            root: TypeRef::of_kind(kind),
            kind: Some(kind).filter(|kind| !kind.is_custom()),
        };
        Self {
            gvk: kind.gvk().clone(),
            own: version(kind),
            others: siblings.iter().map(version).collect(),
            is_custom: kind.is_custom(),
            writer,
        }
    }

    /// For objects of a type of the schema table that is no kind, such as `Scale`.
    pub(super) fn of_gvk(gvk: &crate::Gvk, writer: Writer<'a>) -> Self {
        Self {
            gvk: gvk.clone(),
            own: Version { api_version: gvk.api_version(), root: TypeRef::of_gvk(gvk), kind: None },
            others: Vec::new(),
            is_custom: false,
            writer,
        }
    }

    fn id(&self, operation: Operation) -> ManagerId {
        let Writer { manager, subresource, .. } = self.writer;
        ManagerId::new(manager, operation, &self.own.api_version, subresource)
    }

    fn version(&self, api_version: &str) -> Option<&Version<'a>> {
        std::iter::once(&self.own).chain(&self.others).find(|version| version.api_version == api_version)
    }

    fn root_of(&self, api_version: &str) -> Option<TypeRef<'a>> {
        self.version(api_version).map(|version| version.root)
    }

    /// An object of one version as one of another.
    fn converted<'v>(&self, object: &'v Value, from: &str, to: &str) -> Cow<'v, Value> {
        let kind = |api_version: &str| self.version(api_version)?.kind;
        match (kind(from), kind(to)) {
            (Some(from), Some(to)) if from.gvk() != to.gvk() => {
                let mut converted = object.clone();
                from.convert(&mut converted, to);
                Cow::Owned(converted)
            }
            _ => Cow::Borrowed(object),
        }
    }

    /// Records who owns what in `new`, an object as the client wishes it, in place of its `managedFields`. `live` is the
    /// stored object, `{}` for a create.
    pub fn update(&self, live: &Value, new: &mut Value) {
        let given = take_entries(new);
        let stored = entries_of(live);
        let is_new = meta::uid(live).is_empty();
        // Nearly every client sends back what is stored; then there is nothing to read and a copy is at hand.
        let (base, copy) = if given.as_ref() == stored { (None, given) } else { (self.base(given), None) };
        let entries = match base {
            // Nobody was recorded yet: recording starts with a create or with the first apply.
            Some(managers) if managers.0.is_empty() && !is_new => None,
            None if stored.is_none() && !is_new => None,
            base => self.recorded(base, copy, live, new),
        };
        put_entries(new, entries);
    }

    /// The entries to start from when the client sends others than the stored ones; `None` when those do not count.
    fn base(&self, given: Option<Value>) -> Option<Managers> {
        if !self.writer.subresource.is_empty() {
            return None;
        }
        let given = given?;
        if is_reset(&given) {
            return Some(Managers::default());
        }
        Managers::decode(Some(given), Trust::Given).ok().filter(|managers| !managers.0.is_empty())
    }

    /// `copy` is one of the stored entries, if there is one already.
    fn recorded(
        &self,
        base: Option<Managers>,
        copy: Option<Value>,
        live: &Value,
        new: &Value,
    ) -> Option<Value> {
        let stored = || entries_of(live).cloned();
        let Ok(changes) = self.changes(self.own.root, live, new) else { return copy.or_else(stored) };
        if changes.is_empty() && base.is_none() {
            return copy.or_else(stored);
        }
        let base = match base {
            Some(managers) => managers,
            None => Managers::decode(copy.or_else(stored), Trust::Stored).unwrap_or_default(),
        };
        match self.take_over(base, live, new, &changes) {
            Ok(managers) => managers.encode(),
            Err(_not_comparable) => stored(),
        }
    }

    /// What the write changed and can change.
    fn changes(&self, root: TypeRef<'_>, live: &Value, new: &Value) -> Result<Changes, TypedError> {
        Ok(compare(root, live, new)?.map(|set| self.counted(set)))
    }

    /// The part of a field set that a write through this path can own.
    fn counted(&self, set: &FieldSet) -> FieldSet {
        let mut counted = FieldSet::default();
        for (element, is_member, below) in self.changeable(set).iter() {
            match element {
                PathElement::Field(name) if name == "apiVersion" || name == "kind" => {}
                PathElement::Field(name) if name == "metadata" => {
                    counted.attach(element.clone(), false, self.counted_metadata(below));
                }
                _ => counted.attach(element.clone(), is_member, below.clone()),
            }
        }
        counted
    }

    /// The part of a field set that a write through this path can change; metadata is left as it is.
    fn changeable(&self, set: &FieldSet) -> FieldSet {
        let mut kept = FieldSet::default();
        for (element, is_member, below) in set.iter() {
            let PathElement::Field(name) = element else { continue };
            let whole = match (name.as_str(), self.writer.reset) {
                ("apiVersion" | "kind" | "metadata", _) | (_, Reset::Nothing) => true,
                ("status", reset) => reset == Reset::AllButStatus,
                (_, Reset::Status) => true,
                (_, Reset::AllButStatus | Reset::AllButFinalizers) => false,
            };
            if whole {
                kept.attach(element.clone(), is_member, below.clone());
            } else if name == "spec" && self.writer.reset == Reset::AllButFinalizers {
                let finalizers = PathElement::field("finalizers");
                let mut inner = FieldSet::default();
                let listed = below.below(&finalizers).cloned().unwrap_or_default();
                inner.attach(finalizers.clone(), below.has(&finalizers), listed);
                kept.attach(element.clone(), false, inner);
            }
        }
        kept
    }

    fn counted_metadata(&self, set: &FieldSet) -> FieldSet {
        let mut counted = FieldSet::default();
        for (element, is_member, below) in set.iter() {
            let PathElement::Field(name) = element else { continue };
            let counts = match self.writer.reset {
                Reset::Nothing | Reset::Status => true,
                Reset::AllButStatus => !self.is_custom && name == "annotations",
                Reset::AllButFinalizers => false,
            };
            if counts {
                counted.attach(
                    element.clone(),
                    is_member && !STRIPPED.contains(&name.as_str()),
                    below.clone(),
                );
            }
        }
        counted
    }

    /// Gives the changed fields to the writer of an update.
    fn take_over(
        &self,
        managers: Managers,
        live: &Value,
        new: &Value,
        changes: &Changes,
    ) -> Result<Managers, TypedError> {
        let me = self.id(Operation::Update);
        let mut managers = self.without(managers, live, new, changes, &me)?;
        let taken = changes.added.union(&changes.modified);
        if let Some(mine) = managers.0.get_mut(&me) {
            self.bring_in_line(mine);
            mine.fields.subtract(&changes.removed.difference(&taken));
        }
        if !taken.is_empty() {
            let mine = managers.0.entry(me).or_insert_with(|| Owned {
                api_version: self.own.api_version.clone(),
                time: None,
                fields: Fields::Set(FieldSet::default()),
            });
            mine.fields.add(&taken);
            mine.time = Some(self.writer.now);
        }
        managers.cap();
        Ok(managers)
    }

    /// Takes the changed fields from everybody but `me`. Managers in versions that are not served any more vanish.
    fn without(
        &self,
        mut managers: Managers,
        live: &Value,
        new: &Value,
        changes: &Changes,
        me: &ManagerId,
    ) -> Result<Managers, TypedError> {
        managers.0.retain(|id, owned| id == me || self.root_of(&owned.api_version).is_some());
        for (id, owned) in &mut managers.0 {
            if id == me {
                continue;
            }
            self.bring_in_line(owned);
            let other;
            let changes = if owned.api_version == self.own.api_version {
                changes
            } else {
                other = self.changes_for(&owned.api_version, live, new)?;
                &other
            };
            for set in [&changes.modified, &changes.added, &changes.removed] {
                owned.fields.subtract(set);
            }
        }
        Ok(managers)
    }

    fn changes_for(&self, api_version: &str, live: &Value, new: &Value) -> Result<Changes, TypedError> {
        let Some(root) = self.root_of(api_version) else { return Ok(Changes::default()) };
        let there = |object| self.converted(object, &self.own.api_version, api_version);
        self.changes(root, &there(live), &there(new))
    }

    fn bring_in_line(&self, owned: &mut Owned) {
        if self.is_custom
            && let Some(root) = self.root_of(&owned.api_version)
        {
            let set = owned.fields.set();
            *set = reconcile(root, set);
        }
    }

    /// The live object with `config` applied to it, and with its new `managedFields`. `live` is `None` for an object that
    /// does not exist yet. Nothing is defaulted or validated beyond the types.
    ///
    /// # Errors
    /// 409 for fields that others own, unless forced; 400 for another kind or version than the path's and for a
    /// configuration with `managedFields`; 500 for one that does not fit the type, as Kubernetes answers.
    pub fn apply(&self, live: Option<&Value>, config: &Value, force: Force) -> Result<Value, ApiError> {
        self.check_config(config)?;
        let empty;
        let live = if let Some(live) = live {
            live
        } else {
            empty = self.empty_object();
            &empty
        };
        let applied = match self.try_apply(live, config, force)? {
            Ok(applied) => applied,
            Err(conflicts) => {
                let left = last_applied::unexplained(
                    self.own.root,
                    &self.own.api_version,
                    live,
                    conflicts,
                    self.writer.manager,
                );
                if !left.is_empty() {
                    return Err(to_error(&left));
                }
                self.try_apply(live, config, Force::Yes)?.map_err(|conflicts| to_error(&conflicts))?
            }
        };
        Ok(last_applied::updated(applied, config, self.writer.manager))
    }

    fn empty_object(&self) -> Value {
        serde_json::json!({ "apiVersion": self.own.api_version, "kind": self.gvk.kind })
    }

    fn check_config(&self, config: &Value) -> Result<(), ApiError> {
        let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if api_version != self.own.api_version || kind != self.gvk.kind {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            return Err(ApiError::bad_request(format!(
                "invalid object type: {group}/{version}, Kind={kind}"
            )));
        }
        if entries_of(config).is_some_and(Value::is_array) {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        check(self.own.root, config).map_err(|why| {
            broken(&format!("failed to create typed patch object ({}): {why}", self.title(config)))
        })
    }

    fn title(&self, object: &Value) -> String {
        let crate::Gvk { group, version, kind } = &self.gvk;
        format!("{}/{}; {group}/{version}, Kind={kind}", meta::namespace(object), meta::name(object))
    }

    fn try_apply(
        &self,
        live: &Value,
        config: &Value,
        force: Force,
    ) -> Result<Result<Value, Conflicts>, ApiError> {
        let decoded = Managers::decode(entries_of(live).cloned(), Trust::Stored);
        let mut managers = decoded.map_err(|e| broken(&format!("failed to decode managed fields: {e}")))?;
        let mut live = live.clone();
        put_entries(&mut live, None);
        if managers.0.is_empty() {
            managers = self.before_first_apply(&live).map_err(|e| broken(&e.to_string()))?;
        }
        for owned in managers.0.values_mut() {
            self.bring_in_line(owned);
        }
        let merged = merge(self.own.root, &live, config)
            .map_err(|e| broken(&format!("failed to merge config: {e}")))?;
        let me = self.id(Operation::Apply);
        let last = managers.0.remove(&me);
        let wished =
            field_set(self.own.root, config).map_err(|e| broken(&format!("failed to get field set: {e}")))?;
        let mine = Owned {
            api_version: self.own.api_version.clone(),
            time: last.as_ref().and_then(|last| last.time),
            // With the metadata that has no owner: what is pruned must not take it along.
            fields: Fields::Set(self.changeable(&wished)),
        };
        managers.0.insert(me.clone(), mine);
        let merged = match last {
            Some(last) => self
                .prune(merged, &mut managers, last)
                .map_err(|e| broken(&format!("failed to prune fields: {e}")))?,
            None => merged,
        };
        self.settle(&live, merged, managers, &me, force)
    }

    fn before_first_apply(&self, live: &Value) -> Result<Managers, TypedError> {
        let changes = self.changes(self.own.root, &self.empty_object(), live)?;
        let tracker = Self { writer: Writer { manager: BEFORE_FIRST_APPLY, ..self.writer }, ..self.clone() };
        tracker.take_over(Managers::default(), &self.empty_object(), live, &changes)
    }

    /// Finds conflicts, takes forced fields from their owners, and writes the owners into the object.
    fn settle(
        &self,
        live: &Value,
        mut merged: Value,
        managers: Managers,
        me: &ManagerId,
        force: Force,
    ) -> Result<Result<Value, Conflicts>, ApiError> {
        let failed = |e: TypedError| broken(&format!("failed to compare objects: {e}"));
        let changes = self.changes(self.own.root, live, &merged).map_err(failed)?;
        if force == Force::No {
            let conflicts = self.conflicts(&managers, me, live, &merged, &changes).map_err(failed)?;
            if !conflicts.is_empty() {
                return Ok(Err(conflicts));
            }
        }
        let mut managers = self.without(managers, live, &merged, &changes, me).map_err(failed)?;
        if let Some(mine) = managers.0.get_mut(me) {
            let counted = self.counted(mine.fields.set());
            *mine.fields.set() = counted;
            // An apply that changed nothing leaves no time.
            if !same(live, &merged) {
                mine.time = Some(self.writer.now);
            }
        }
        put_entries(&mut merged, managers.encode());
        Ok(Ok(merged))
    }

    fn conflicts(
        &self,
        managers: &Managers,
        me: &ManagerId,
        live: &Value,
        merged: &Value,
        changes: &Changes,
    ) -> Result<Conflicts, TypedError> {
        let mut conflicts = Conflicts::new();
        for (id, owned) in managers.0.iter().filter(|(id, _)| *id != me) {
            let other;
            let changes = if owned.api_version == self.own.api_version {
                changes
            } else {
                other = self.changes_for(&owned.api_version, live, merged)?;
                &other
            };
            let contested = changes.modified.union(&changes.added);
            if !owned.fields.meets(&contested) {
                continue;
            }
            let contested = owned.fields.clone().set().intersection(&contested);
            conflicts
                .extend(contested.paths().into_iter().map(|path| Conflict { manager: id.clone(), path }));
        }
        Ok(conflicts)
    }

    /// Removes what the applier applied last time, does not apply now, and nobody else owns.
    fn prune(&self, merged: Value, managers: &mut Managers, mut last: Owned) -> Result<Value, TypedError> {
        let Some(root) = self.root_of(&last.api_version) else { return Ok(merged) };
        let last_set = with_named_fields(root, last.fields.set());
        if last_set.is_empty() {
            return Ok(merged);
        }
        // Between versions that look different, nothing tells what of one is what of the other.
        if let Cow::Owned(_) = self.converted(&merged, &self.own.api_version, &last.api_version) {
            return Ok(merged);
        }
        let mut pruned = remove_items(root, &merged, &last_set, Emptied::Null);
        let mut all_owned = FieldSet::default();
        // The version of the last apply comes first, then the others.
        let mut versions: Vec<String> = managers.0.values().map(|owned| owned.api_version.clone()).collect();
        versions.sort();
        versions.dedup();
        versions.sort_by_key(|version| *version != last.api_version);
        for version in versions {
            let Some(root) = self.root_of(&version) else { continue };
            let mut owned = FieldSet::default();
            for other in managers.0.values_mut().filter(|owned| owned.api_version == version) {
                owned = owned.union(other.fields.set());
            }
            let owned = with_named_fields(root, &owned);
            let there = |object| self.converted(object, &last.api_version, &version);
            let kept = add_back(root, &there(&merged), &there(&pruned), &owned)?;
            pruned = self.converted(&kept, &version, &last.api_version).into_owned();
            all_owned = all_owned.union(&owned);
        }
        let all = with_named_fields(root, &field_set(root, &merged)?);
        let kept = with_named_fields(root, &field_set(root, &pruned)?);
        // Empty lists have no path of their own, so what holds one may look gone although it is owned.
        let gone = all.difference(&kept).intersection(&last_set).difference(&all_owned);
        Ok(remove_items(root, &merged, &gone, Emptied::Gone))
    }
}

/// Puts back what was pruned and somebody owns.
fn add_back(
    root: TypeRef<'_>,
    merged: &Value,
    pruned: &Value,
    owned: &FieldSet,
) -> Result<Value, TypedError> {
    let all = with_named_fields(root, &field_set(root, merged)?);
    let kept = with_named_fields(root, &field_set(root, pruned)?);
    let kept = kept.union(owned);
    Ok(remove_items(root, merged, &all.difference(&kept), Emptied::Null))
}

/// A failure that Kubernetes reports without a reason.
fn broken(message: &str) -> ApiError {
    ApiError::unnamed(message)
}

/// Takes the owners of `old` for `new` when nothing but the times of the owners changed: such a write is none.
pub fn keep_times(old: &Value, new: &mut Value) {
    let (Some(Value::Array(before)), Some(Value::Array(after))) = (entries_of(old), entries_of(new)) else {
        return;
    };
    let timeless = |a: &Value, b: &Value| {
        let skip = |m: &Map<String, Value>| m.iter().filter(|(key, _)| key.as_str() != "time").count();
        match (a.as_object(), b.as_object()) {
            (Some(a), Some(b)) => {
                skip(a) == skip(b) && a.iter().all(|(key, value)| key == "time" || b.get(key) == Some(value))
            }
            _ => a == b,
        }
    };
    if before == after
        || before.len() != after.len()
        || !before.iter().zip(after).all(|(a, b)| timeless(a, b))
    {
        return;
    }
    let (old_metadata, new_metadata) = (old.get("metadata"), new.get("metadata"));
    let equal = meta::equal_but(old, new, &["metadata"])
        && match (old_metadata, new_metadata) {
            (Some(a), Some(b)) => meta::equal_but(a, b, &["managedFields"]),
            _ => false,
        };
    if equal {
        put_entries(new, entries_of(old).cloned());
    }
}
