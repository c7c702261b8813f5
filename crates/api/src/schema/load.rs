//! Reads `kubernetes.tsv`. The table is part of the binary, so a row that does not parse is a bug and panics;
//! `tests` load the whole table.

use std::collections::HashMap;

use super::{Cardinality, Field, FieldKind, ListType, Message, MessageId, Root, Schema, Special, Written};

/// Parses the table.
pub(super) fn load(text: &'static str) -> Schema {
    let rows = || text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut by_name = HashMap::new();
    for line in rows().filter(|line| line.starts_with('@')) {
        let name = line.split('\t').nth(1).expect("a message row has a name");
        let id = u16::try_from(by_name.len()).expect("fewer than 65536 messages");
        by_name.insert(full_name(name), MessageId(id));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(by_name.len());
    for line in rows() {
        let columns = columns(line);
        if columns[0] == "@" {
            messages.push(message(&columns));
        } else {
            let field = field(&columns, &by_name);
            messages.last_mut().expect("a field row follows a message row").wire.push(field);
        }
    }
    let by_gvk = messages.iter().zip(0..).filter_map(|(message, id)| {
        let root = message.root?;
        Some(((root.group, root.version, root.kind), MessageId(id)))
    });
    let by_gvk = by_gvk.collect();
    let json: Vec<Vec<Field>> = messages.iter().map(|message| flatten(&messages, message)).collect();
    for (message, json) in messages.iter_mut().zip(json) {
        message.json = json;
        message.wire.retain(|field| field.tag != 0);
        message.wire.sort_by_key(|field| field.tag);
    }
    Schema { messages, by_name, by_gvk }
}

fn full_name(short: &str) -> String {
    format!("io.k8s.{short}")
}

/// Splits a row; trailing empty columns are not in the file.
fn columns(line: &'static str) -> [&'static str; 6] {
    let mut columns = [""; 6];
    for (column, text) in columns.iter_mut().zip(line.split('\t')) {
        *column = text;
    }
    columns
}

fn message(columns: &[&'static str; 6]) -> Message {
    let [_, name, flags, gvk, plural, _] = *columns;
    let mut parts = gvk.splitn(3, '/');
    let root = match (parts.next(), parts.next(), parts.next()) {
        (Some(group), Some(version), Some(kind)) => Some(Root { group, version, kind, plural }),
        _ => None,
    };
    let special = if flags.contains('w') { Some(Special::Strings) } else { special(name) };
    Message {
        name: full_name(name),
        atomic: flags.contains('a'),
        special,
        root,
        json: Vec::new(),
        wire: Vec::new(),
    }
}

fn special(name: &str) -> Option<Special> {
    Some(match name {
        "apimachinery.pkg.api.resource.Quantity" => Special::Quantity,
        "apimachinery.pkg.util.intstr.IntOrString" => Special::IntOrString,
        "apimachinery.pkg.apis.meta.v1.Time" => Special::Time,
        "apimachinery.pkg.apis.meta.v1.MicroTime" => Special::MicroTime,
        "apimachinery.pkg.apis.meta.v1.FieldsV1" => Special::FieldsV1,
        "apimachinery.pkg.runtime.RawExtension" => Special::RawExtension,
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON" => Special::Json,
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray" => Special::SchemaOrArray,
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool" => Special::SchemaOrBool,
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray" => {
            Special::SchemaOrStrings
        }
        _ => return None,
    })
}

fn field(columns: &[&'static str; 6], by_name: &HashMap<String, MessageId>) -> Field {
    let [name, tag, kind, flags, markers, _] = *columns;
    let (cardinality, kind) = match kind.get(..2) {
        Some("[]") => (Cardinality::List, &kind[2..]),
        Some("{}") => (Cardinality::Map, &kind[2..]),
        _ => (Cardinality::One, kind),
    };
    let kind = match kind {
        "string" => FieldKind::String,
        "int32" => FieldKind::Int32,
        "int64" => FieldKind::Int64,
        "bool" => FieldKind::Bool,
        "double" => FieldKind::Double,
        "bytes" => FieldKind::Bytes,
        message => FieldKind::Message(*by_name.get(&full_name(message)).expect("every message has a row")),
    };
    let marker = |name: &str| {
        let mut all = markers.split(' ').filter_map(|marker| marker.split_once('='));
        all.find_map(|(key, value)| (key == name).then_some(value))
    };
    Field {
        name,
        tag: tag.parse().expect("a tag is a number"),
        kind,
        cardinality,
        inline: flags.contains('n'),
        required: flags.contains('r'),
        pointer: flags.contains('p'),
        written: match flags.chars().find(|flag| matches!(flag, 'v' | 'z')) {
            Some('v') => Some(Written::Value),
            Some(_) => Some(Written::Null),
            None => None,
        },
        list_type: match marker("list") {
            Some("map") => Some(ListType::Map),
            Some("set") => Some(ListType::Set),
            Some("atomic") => Some(ListType::Atomic),
            _ => None,
        },
        keys: marker("keys").unwrap_or_default(),
        merge_key: marker("merge"),
        strategy: marker("strategy").unwrap_or_default(),
        atomic: marker("map") == Some("atomic") || marker("struct") == Some("atomic"),
    }
}

/// The fields of the JSON object, those of inlined messages in place of the field that inlines them.
fn flatten(messages: &[Message], message: &Message) -> Vec<Field> {
    let mut fields = Vec::new();
    for field in &message.wire {
        match field.kind {
            FieldKind::Message(id) if field.inline => {
                fields.extend(flatten(messages, &messages[usize::from(id.0)]));
            }
            _ => fields.push(*field),
        }
    }
    fields.sort_by_key(|field| field.name);
    fields
}
