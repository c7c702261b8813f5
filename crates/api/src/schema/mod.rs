//! The schema table: what fields the built-in kinds have, how they are encoded, and how their lists and maps merge.
//!
//! The table is `kubernetes.tsv`, written by `cargo xtask schema` and read once per process. It knows names, protobuf
//! tags and merge rules; it knows neither defaults nor validation, and nothing of custom resources.
//!
//! Invariants: [`Message::fields`] is what JSON shows, so the fields of inlined messages are in it and the inlining
//! field itself is not; [`Message::wire_field`] is what protobuf shows, where the inlining field is a message.

mod fields;
mod load;
mod normalize;
mod strict;
mod syntax;
#[cfg(test)]
mod tests;
mod times;
mod written;

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

pub use fields::{check_metadata_types, check_types, prune_unknown, unknown_fields};
pub use normalize::{normalize, normalize_metadata};
pub use strict::{
    MAX_BODY_BYTES, MAX_JSON_DEPTH, MAX_VALUES, parse_json_strict, strict_decoding_error, too_deep,
};
pub use syntax::syntax_error;
pub use written::complete;

/// Position of a message in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(u16);

/// The whole table.
#[derive(Debug)]
pub struct Schema {
    messages: Vec<Message>,
    by_name: HashMap<String, MessageId>,
    by_gvk: HashMap<(&'static str, &'static str, &'static str), MessageId>,
}

/// One message: an object in JSON unless it is [`Message::special`].
#[derive(Debug)]
pub struct Message {
    /// Full name, `io.k8s.api.core.v1.Pod`.
    pub name: String,
    /// Owned as a whole in server-side apply (`structType=atomic`).
    pub atomic: bool,
    /// How its JSON differs from an object with its fields.
    pub special: Option<Special>,
    /// Where it is served, for a root kind.
    pub root: Option<Root>,
    json: Vec<Field>,
    wire: Vec<Field>,
}

/// Group, version, kind and plural of a root message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural, or the name of the subresource.
    pub plural: &'static str,
}

/// One field.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "a row of the table, not a state")]
pub struct Field {
    /// JSON name.
    pub name: &'static str,
    /// Protobuf tag; 0 when the field exists in JSON only.
    pub tag: u32,
    /// Type of one value.
    pub kind: FieldKind,
    /// How many values.
    pub cardinality: Cardinality,
    /// Nested in protobuf, part of the outer object in JSON.
    pub inline: bool,
    /// Always present in JSON.
    pub required: bool,
    /// A scalar whose zero is a value and not an absence.
    pub pointer: bool,
    /// How it stands in JSON when nobody set it; `None` when it is left out then.
    pub written: Option<Written>,
    /// `listType` of server-side apply.
    pub list_type: Option<ListType>,
    /// `listMapKey`s, comma-separated; see [`Field::list_keys`].
    keys: &'static str,
    /// Merge key of strategic merge patch.
    pub merge_key: Option<&'static str>,
    /// `patchStrategy` as Kubernetes writes it: `merge`, `retainKeys`, `merge,retainKeys`, `replace`.
    pub strategy: &'static str,
    /// Map or struct owned as a whole in server-side apply.
    pub atomic: bool,
}

/// Type of one value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// UTF-8 text.
    String,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Boolean.
    Bool,
    /// 64-bit float.
    Double,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A message.
    Message(MessageId),
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One or none.
    One,
    /// A JSON array.
    List,
    /// A JSON object with free keys.
    Map,
}

/// How Go writes a field that nobody set and that it does not leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// As the zero value of its type: `{}`, `""`, `0`, `false`.
    Value,
    /// As `null`: lists, maps, pointers and times.
    Null,
}

/// `listType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// Unique scalars.
    Set,
    /// Objects keyed by [`Field::list_keys`].
    Map,
}

/// Messages whose JSON is not an object with their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A quantity, a string in JSON.
    Quantity,
    /// An integer or a string.
    IntOrString,
    /// RFC 3339 with seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// The field set of a managed fields entry.
    FieldsV1,
    /// Any object.
    RawExtension,
    /// Any JSON.
    Json,
    /// A schema or a list of schemas.
    SchemaOrArray,
    /// A schema or a boolean.
    SchemaOrBool,
    /// A schema or a list of strings.
    SchemaOrStrings,
    /// A message that only wraps a list of strings.
    Strings,
}

/// The table of the built-in kinds.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| load::load(include_str!("kubernetes.tsv")))
}

impl Schema {
    /// By full name, `io.k8s.api.core.v1.Pod`.
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.by_name.get(name).map(|id| self.get(*id))
    }

    /// By position.
    pub fn get(&self, id: MessageId) -> &Message {
        &self.messages[usize::from(id.0)]
    }

    /// By group, version and kind. `DeleteOptions` is found in every group, as clients send it.
    pub fn by_gvk(&self, group: &str, version: &str, kind: &str) -> Option<&Message> {
        if kind == "DeleteOptions" {
            return self.message("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        }
        let known: Option<&MessageId> = self.by_gvk.get(&(group, version, kind));
        known.map(|id| self.get(*id))
    }

    /// All messages, by name.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }
}

impl Message {
    /// By JSON name, fields of inlined messages included.
    pub fn field(&self, json_name: &str) -> Option<&Field> {
        let at = self.json.binary_search_by(|field| field.name.cmp(json_name)).ok()?;
        Some(&self.json[at])
    }

    /// What its JSON object may hold, by name.
    pub fn fields(&self) -> &[Field] {
        &self.json
    }

    /// By protobuf tag.
    pub fn wire_field(&self, tag: u32) -> Option<&Field> {
        let at = self.wire.binary_search_by_key(&tag, |field| field.tag).ok()?;
        Some(&self.wire[at])
    }

    /// Name without package, `Pod`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

impl Field {
    /// Keys of a list with [`ListType::Map`].
    pub fn list_keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.split(',').filter(|key| !key.is_empty())
    }

    /// What Go writes when nobody set it, without what is written inside; `None` when it is left out.
    pub fn zero(&self) -> Option<&'static Value> {
        self.written.map(|written| written::zero(self, written))
    }

    /// Whether it is a struct that is always there, written or not.
    pub fn is_struct(&self) -> bool {
        self.written == Some(Written::Value) && self.message().is_some_and(|m| m.special.is_none())
    }

    /// The message of its values, if they are messages.
    pub fn message(&self) -> Option<&'static Message> {
        match self.kind {
            FieldKind::Message(id) => Some(schema().get(id)),
            _ => None,
        }
    }

    /// Whether strategic merge patch merges the list or map instead of replacing it.
    pub fn has_strategy(&self, strategy: &str) -> bool {
        self.strategy.split(',').any(|one| one == strategy)
    }
}
