//! `metadata.managedFields`: who owns which fields, read, changed and written back in the order of Kubernetes.
//!
//! Field sets of stored entries stay encoded until somebody changes them: most writes touch the set of one manager.
//!
//! Invariants: one entry per manager, operation, subresource and, for updates, apiVersion; no entry without fields is
//! written; at most [`MAX_UPDATE_MANAGERS`] entries of updates survive an update, older ones are merged.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::{FieldSet, FieldSetError};
use crate::meta;
use crate::status::FieldError;

/// More entries of updates than this are merged, oldest first.
const MAX_UPDATE_MANAGERS: usize = 10;
/// The manager of merged entries.
const ANCIENT: &str = "ancient-changes";
/// Manager names are at most this long.
pub const MAX_MANAGER_BYTES: usize = 128;
const MAX_SUBRESOURCE_BYTES: usize = 256;

/// How a manager came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What tells entries apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ManagerId {
    pub(super) name: String,
    pub(super) operation: Operation,
    /// Empty for appliers: they have one entry whatever version they apply in.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl ManagerId {
    pub(super) fn new(name: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        let api_version = match operation {
            Operation::Apply => String::new(),
            Operation::Update => api_version.to_owned(),
        };
        let name = if name.is_empty() { "unknown" } else { name };
        Self { name: name.to_owned(), operation, api_version, subresource: subresource.to_owned() }
    }
}

/// The manager as conflicts show it.
impl std::fmt::Display for ManagerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.name)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        match self.operation {
            Operation::Apply => Ok(()),
            Operation::Update => write!(f, " using {}", self.api_version),
        }
    }
}

/// A field set, decoded or as it is stored.
#[derive(Clone, Debug)]
pub(super) enum Fields {
    Stored(Value),
    Set(FieldSet),
}

impl Fields {
    /// The decoded set. Stored sets that cannot be read count as empty: they were checked when they came in.
    pub(super) fn set(&mut self) -> &mut FieldSet {
        if let Self::Stored(fields) = self {
            *self = Self::Set(FieldSet::from_fields_v1(fields).unwrap_or_default());
        }
        match self {
            Self::Set(set) => set,
            Self::Stored(_) => unreachable!("a stored set was decoded just now"),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Set(set) => set.is_empty(),
            Self::Stored(fields) => fields.as_object().is_none_or(Map::is_empty),
        }
    }

    /// Whether the set has a path of `other`.
    pub(super) fn meets(&self, other: &FieldSet) -> bool {
        match self {
            Self::Stored(fields) => other.meets(fields),
            Self::Set(set) => !set.intersection(other).is_empty(),
        }
    }

    /// Whether the set has all paths of `other`.
    fn covers(&self, other: &FieldSet) -> bool {
        match self {
            Self::Stored(fields) => other.is_within(fields),
            Self::Set(set) => other.difference(set).is_empty(),
        }
    }

    pub(super) fn subtract(&mut self, other: &FieldSet) {
        if !other.is_empty() && self.meets(other) {
            let set = self.set();
            *set = set.difference(other);
        }
    }

    pub(super) fn add(&mut self, other: &FieldSet) {
        if !self.covers(other) {
            let set = self.set();
            *set = set.union(other);
        }
    }

    fn encode(self) -> Value {
        match self {
            Self::Stored(fields) => fields,
            Self::Set(set) => set.to_fields_v1(),
        }
    }
}

/// What a manager owns.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) api_version: String,
    pub(super) time: Option<Timestamp>,
    pub(super) fields: Fields,
}

/// Why an entry of `managedFields` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ManagedFieldsError {
    #[error("managedFields is not a list of objects")]
    NotObjects,
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    #[error("time is not a timestamp in managed fields entry {0}")]
    Time(usize),
    #[error("error decoding set")]
    Set(#[from] FieldSetError),
}

/// Who wrote the entries that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The server: nothing is checked again.
    Stored,
    /// A client: everything is decoded, so that it is written back in canonical form.
    Given,
}

/// All entries of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers(pub(super) BTreeMap<ManagerId, Owned>);

impl Managers {
    /// From `metadata.managedFields`.
    pub(super) fn decode(entries: Option<Value>, trust: Trust) -> Result<Self, ManagedFieldsError> {
        let mut managers = Self::default();
        let entries = match entries {
            None | Some(Value::Null) => return Ok(managers),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(ManagedFieldsError::NotObjects),
        };
        for (index, entry) in entries.into_iter().enumerate() {
            let (id, owned) = decode_entry(index, entry, trust)?;
            managers.0.insert(id, owned);
        }
        Ok(managers)
    }

    /// As `metadata.managedFields`; `None` when nobody owns anything.
    pub(super) fn encode(self) -> Option<Value> {
        let mut entries: Vec<(ManagerId, Owned)> =
            self.0.into_iter().filter(|(_, owned)| !owned.fields.is_empty()).collect();
        entries.sort_by(|(a, owned_a), (b, owned_b)| {
            let key = |id: &ManagerId, owned: &Owned| {
                (id.operation, owned.time.map_or(0, Timestamp::as_second), id.name.clone())
            };
            key(a, owned_a)
                .cmp(&key(b, owned_b))
                .then_with(|| owned_a.api_version.cmp(&owned_b.api_version))
                .then_with(|| a.subresource.cmp(&b.subresource))
        });
        let entries: Vec<Value> = entries.into_iter().map(|(id, owned)| encode_entry(id, owned)).collect();
        (!entries.is_empty()).then_some(Value::Array(entries))
    }

    /// Merges the oldest entries of updates until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut updates: Vec<(i64, ManagerId)> = self
            .0
            .iter()
            .filter(|(id, _)| id.operation == Operation::Update)
            .map(|(id, owned)| (owned.time.map_or(0, Timestamp::as_second), id.clone()))
            .collect();
        let mut left = updates.len();
        if left <= MAX_UPDATE_MANAGERS {
            return;
        }
        updates.sort();
        let mut first_of_version: BTreeMap<String, ManagerId> = BTreeMap::new();
        for (_, id) in updates {
            if left <= MAX_UPDATE_MANAGERS {
                return;
            }
            let Some(version) = self.0.get(&id).map(|owned| owned.api_version.clone()) else { continue };
            let Some(first) = first_of_version.get(&version) else {
                first_of_version.insert(version, id);
                continue;
            };
            let bucket = ManagerId::new(ANCIENT, Operation::Update, &version, "");
            if let Some(owned) = self.0.remove(first) {
                self.merge_into(&bucket, owned);
            }
            if id != bucket
                && let Some(owned) = self.0.remove(&id)
            {
                self.merge_into(&bucket, owned);
            }
            first_of_version.insert(version, bucket);
            left -= 1;
        }
    }

    fn merge_into(&mut self, bucket: &ManagerId, mut owned: Owned) {
        match self.0.get_mut(bucket) {
            None => {
                self.0.insert(bucket.clone(), owned);
            }
            Some(known) => {
                known.fields.add(owned.fields.set());
                known.time = known.time.max(owned.time);
            }
        }
    }
}

fn text<'a>(entry: &'a Map<String, Value>, key: &str) -> &'a str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn decode_entry(index: usize, entry: Value, trust: Trust) -> Result<(ManagerId, Owned), ManagedFieldsError> {
    let Value::Object(mut entry) = entry else { return Err(ManagedFieldsError::NotObjects) };
    let operation = match text(&entry, "operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err(ManagedFieldsError::Operation),
    };
    let api_version = text(&entry, "apiVersion").to_owned();
    if api_version.is_empty() {
        return Err(ManagedFieldsError::ApiVersion);
    }
    match text(&entry, "fieldsType") {
        "FieldsV1" => {}
        "" => return Err(ManagedFieldsError::NoFieldsType(index)),
        other => return Err(ManagedFieldsError::FieldsType(index, other.to_owned())),
    }
    let time = match (text(&entry, "time"), trust) {
        ("", _) => None,
        (time, Trust::Stored) => time.parse().ok(),
        (time, Trust::Given) => Some(time.parse().map_err(|_e| ManagedFieldsError::Time(index))?),
    };
    let fields = entry.remove("fieldsV1").filter(|fields| !fields.is_null());
    let fields = match (fields, trust) {
        (None, _) => Fields::Set(FieldSet::default()),
        (Some(fields), Trust::Stored) => Fields::Stored(fields),
        (Some(fields), Trust::Given) => Fields::Set(FieldSet::from_fields_v1(&fields)?),
    };
    let id = ManagerId {
        name: text(&entry, "manager").to_owned(),
        operation,
        api_version: if operation == Operation::Apply { String::new() } else { api_version.clone() },
        subresource: text(&entry, "subresource").to_owned(),
    };
    Ok((id, Owned { api_version, time, fields }))
}

fn encode_entry(id: ManagerId, owned: Owned) -> Value {
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
    put("apiVersion", owned.api_version.into());
    put("fieldsType", "FieldsV1".into());
    put("fieldsV1", owned.fields.encode());
    if !id.name.is_empty() {
        put("manager", id.name.into());
    }
    put("operation", id.operation.name().into());
    if !id.subresource.is_empty() {
        put("subresource", id.subresource.into());
    }
    if let Some(time) = owned.time {
        put("time", meta::format_time(time).into());
    }
    Value::Object(entry)
}

/// `metadata.managedFields` of an object.
pub(super) fn entries_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields").filter(|entries| !entries.is_null())
}

/// Takes `metadata.managedFields` out of an object.
pub(super) fn take_entries(object: &mut Value) -> Option<Value> {
    let taken = object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")?;
    (!taken.is_null()).then_some(taken)
}

/// Sets or removes `metadata.managedFields`.
pub(super) fn put_entries(object: &mut Value, entries: Option<Value>) {
    match (entries, meta::metadata_mut(object)) {
        (Some(entries), Some(metadata)) => {
            metadata.insert("managedFields".to_owned(), entries);
        }
        (None, Some(metadata)) => {
            metadata.remove("managedFields");
        }
        (_, None) => {}
    }
}

/// Whether the entries that a client sends say that nobody owns anything: an empty list, or one empty entry.
pub(super) fn is_reset(entries: &Value) -> bool {
    match entries.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only == &json!({}),
        _ => false,
    }
}

/// What is wrong with the names in the entries of an object.
pub fn validate_managed_fields(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let entries = entries_of(object).and_then(Value::as_array);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let path = format!("metadata.managedFields[{index}]");
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        errors.extend(validate_manager_name(&format!("{path}.manager"), text("manager")));
        if text("subresource").len() > MAX_SUBRESOURCE_BYTES {
            errors.push(FieldError::too_long(format!("{path}.subresource"), MAX_SUBRESOURCE_BYTES));
        }
    }
    errors
}

/// What is wrong with the name of a manager: at most [`MAX_MANAGER_BYTES`], printable characters only.
pub fn validate_manager_name(path: &str, name: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if name.len() > MAX_MANAGER_BYTES {
        errors.push(FieldError::too_long(path, MAX_MANAGER_BYTES));
    }
    for (position, c) in name.char_indices().filter(|(_, c)| !is_printable(*c)).take(8) {
        let why = format!("invalid character U+{:04X} (at position {position})", u32::from(c));
        errors.push(FieldError::invalid(path, name, why));
    }
    errors
}

/// The name of a manager that did not give one: what its user agent says before the first `/`.
pub fn manager_of_user_agent(user_agent: &str) -> String {
    let mut name = String::new();
    let prefix = user_agent.split('/').next().unwrap_or_default();
    for c in prefix.chars().filter(|c| is_printable(*c)) {
        if name.len() + c.len_utf8() > MAX_MANAGER_BYTES {
            break;
        }
        name.push(c);
    }
    name
}

/// Letters, marks, numbers, punctuation, symbols and the plain space.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{10ffff}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || invisible)
}
