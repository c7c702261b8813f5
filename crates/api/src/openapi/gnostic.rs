//! `OpenAPI` v2 in the protobuf of gnostic (`openapi.v2.Document`): a writer for the part of it that our documents use.
//!
//! Maps are lists of names and values there; extensions carry their value as YAML, for which JSON does. A message field that
//! occurs several times is merged by every protobuf reader, so paths and definitions are written in as many pieces as there are
//! group versions.
//!
//! Invariant: what the writer does not know it leaves out; it never writes a tag of another meaning.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// Where a JSON member goes.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    Integer,
    Double,
    Texts,
    /// One message.
    Message(Shape),
    /// One message per list member.
    Messages(Shape),
    /// A map as a message that holds a list of names and values.
    Named(u32, Shape),
    /// Any value as YAML.
    Any,
    /// A list of such.
    AnyList,
    /// `additionalProperties`: a schema or a boolean.
    SchemaOrFlag,
    /// `type`: a message around a list of strings.
    TypeItem,
    /// `items`: a message around a list of schemas.
    ItemsItem,
}

/// A message: which members it has and where its extensions go.
#[derive(Clone, Copy)]
enum Shape {
    Schema,
    Operation,
    PathItem,
    Parameter,
    Response,
    /// A response inside the oneof of the map of responses.
    ResponseValue,
    /// A schema inside the oneof of a response.
    SchemaItem,
}

type Rows = &'static [(&'static str, u32, Form)];

const SCHEMA: Rows = &[
    ("$ref", 1, Form::Text),
    ("format", 2, Form::Text),
    ("title", 3, Form::Text),
    ("description", 4, Form::Text),
    ("default", 5, Form::Any),
    ("multipleOf", 6, Form::Double),
    ("maximum", 7, Form::Double),
    ("exclusiveMaximum", 8, Form::Flag),
    ("minimum", 9, Form::Double),
    ("exclusiveMinimum", 10, Form::Flag),
    ("maxLength", 11, Form::Integer),
    ("minLength", 12, Form::Integer),
    ("pattern", 13, Form::Text),
    ("maxItems", 14, Form::Integer),
    ("minItems", 15, Form::Integer),
    ("uniqueItems", 16, Form::Flag),
    ("maxProperties", 17, Form::Integer),
    ("minProperties", 18, Form::Integer),
    ("required", 19, Form::Texts),
    ("enum", 20, Form::AnyList),
    ("additionalProperties", 21, Form::SchemaOrFlag),
    ("type", 22, Form::TypeItem),
    ("items", 23, Form::ItemsItem),
    ("allOf", 24, Form::Messages(Shape::Schema)),
    ("properties", 25, Form::Named(1, Shape::Schema)),
    ("example", 30, Form::Any),
];
const OPERATION: Rows = &[
    ("tags", 1, Form::Texts),
    ("description", 3, Form::Text),
    ("operationId", 5, Form::Text),
    ("produces", 6, Form::Texts),
    ("consumes", 7, Form::Texts),
    ("parameters", 8, Form::Messages(Shape::Parameter)),
    ("responses", 9, Form::Named(1, Shape::ResponseValue)),
];
const PATH_ITEM: Rows = &[
    ("get", 2, Form::Message(Shape::Operation)),
    ("put", 3, Form::Message(Shape::Operation)),
    ("post", 4, Form::Message(Shape::Operation)),
    ("delete", 5, Form::Message(Shape::Operation)),
    ("patch", 8, Form::Message(Shape::Operation)),
    ("parameters", 9, Form::Messages(Shape::Parameter)),
];
const BODY_PARAMETER: Rows = &[
    ("description", 1, Form::Text),
    ("name", 2, Form::Text),
    ("in", 3, Form::Text),
    ("required", 4, Form::Flag),
    ("schema", 5, Form::Message(Shape::Schema)),
];
const QUERY_PARAMETER: Rows = &[
    ("required", 1, Form::Flag),
    ("in", 2, Form::Text),
    ("description", 3, Form::Text),
    ("name", 4, Form::Text),
    ("type", 6, Form::Text),
    ("format", 7, Form::Text),
    ("uniqueItems", 20, Form::Flag),
];
const PATH_PARAMETER: Rows = &[
    ("required", 1, Form::Flag),
    ("in", 2, Form::Text),
    ("description", 3, Form::Text),
    ("name", 4, Form::Text),
    ("type", 5, Form::Text),
    ("format", 6, Form::Text),
    ("uniqueItems", 19, Form::Flag),
];
const RESPONSE: Rows = &[("description", 1, Form::Text), ("schema", 2, Form::Message(Shape::SchemaItem))];

/// Swagger version and information: fields 1 and 2 of the document.
pub(super) fn write_header(info: &Value, out: &mut dyn Write) -> io::Result<()> {
    let mut document = Message::default();
    document.bytes(1, b"2.0");
    let mut about = Message::default();
    for (key, tag) in [("title", 1), ("version", 2)] {
        about.bytes(tag, info[key].as_str().unwrap_or_default().as_bytes());
    }
    document.message(2, &about);
    out.write_all(&document.0)
}

/// A piece of the paths: field 8 of the document.
pub(super) fn write_paths(paths: &Map<String, Value>, out: &mut dyn Write) -> io::Result<()> {
    piece(8, 2, Shape::PathItem, paths, out)
}

/// A piece of the definitions: field 9 of the document.
pub(super) fn write_definitions(definitions: &Map<String, Value>, out: &mut dyn Write) -> io::Result<()> {
    piece(9, 1, Shape::Schema, definitions, out)
}

fn piece(
    tag: u32,
    inner: u32,
    shape: Shape,
    entries: &Map<String, Value>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut document = Message::default();
    document.message(tag, &Message::named(inner, shape, entries));
    out.write_all(&document.0)
}

/// A message that grows.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7f).expect("seven bits");
            value >>= 7;
            if value == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    fn number(&mut self, tag: u32, value: u64) {
        self.varint(u64::from(tag) << 3);
        self.varint(value);
    }

    fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        self.varint(u64::from(tag) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, tag: u32, message: &Self) {
        self.bytes(tag, &message.0);
    }

    /// `repeated {string name = 1; … value = 2}` under `tag`.
    fn named(tag: u32, shape: Shape, entries: &Map<String, Value>) -> Self {
        let mut all = Self::default();
        for (name, value) in entries {
            let mut entry = Self::default();
            entry.bytes(1, name.as_bytes());
            entry.message(2, &Self::of(shape, value));
            all.message(tag, &entry);
        }
        all
    }

    fn any(value: &Value) -> Self {
        let mut any = Self::default();
        any.bytes(2, format!("{value}\n").as_bytes());
        any
    }

    fn of(shape: Shape, value: &Value) -> Self {
        match shape {
            Shape::Schema => Self::object(SCHEMA, 31, value),
            Shape::Operation => Self::object(OPERATION, 13, value),
            Shape::PathItem => Self::object(PATH_ITEM, 10, value),
            Shape::Response => Self::object(RESPONSE, 5, value),
            Shape::ResponseValue => Self::wrapped(1, &Self::of(Shape::Response, value)),
            Shape::SchemaItem => Self::wrapped(1, &Self::of(Shape::Schema, value)),
            // ParametersItem{parameter = 1} around Parameter{body = 1, other = 2} around one of four.
            Shape::Parameter => {
                let parameter = match value["in"].as_str() {
                    Some("body") => Self::wrapped(1, &Self::object(BODY_PARAMETER, 6, value)),
                    Some("path") => {
                        Self::wrapped(2, &Self::wrapped(4, &Self::object(PATH_PARAMETER, 22, value)))
                    }
                    _ => Self::wrapped(2, &Self::wrapped(3, &Self::object(QUERY_PARAMETER, 23, value))),
                };
                Self::wrapped(1, &parameter)
            }
        }
    }

    fn wrapped(tag: u32, inner: &Self) -> Self {
        let mut outer = Self::default();
        outer.message(tag, inner);
        outer
    }

    fn object(rows: Rows, extensions: u32, value: &Value) -> Self {
        let mut message = Self::default();
        let Value::Object(object) = value else { return message };
        for (name, tag, form) in rows {
            if let Some(value) = object.get(*name) {
                message.member(*tag, *form, value);
            }
        }
        for (name, value) in object.iter().filter(|(name, _)| name.starts_with("x-")) {
            let mut entry = Self::default();
            entry.bytes(1, name.as_bytes());
            entry.message(2, &Self::any(value));
            message.message(extensions, &entry);
        }
        message
    }

    fn member(&mut self, tag: u32, form: Form, value: &Value) {
        match (form, value) {
            (Form::Text, Value::String(text)) => self.bytes(tag, text.as_bytes()),
            (Form::Flag, Value::Bool(true)) => self.number(tag, 1),
            (Form::Integer, Value::Number(number)) => {
                if let Some(number) = number.as_i64() {
                    self.number(tag, number.cast_unsigned());
                }
            }
            (Form::Double, Value::Number(number)) => {
                self.varint(u64::from(tag) << 3 | 1);
                self.0.extend_from_slice(&number.as_f64().unwrap_or_default().to_le_bytes());
            }
            (Form::Texts, Value::Array(items)) => {
                items.iter().filter_map(Value::as_str).for_each(|text| self.bytes(tag, text.as_bytes()));
            }
            (Form::Message(shape), value) => self.message(tag, &Self::of(shape, value)),
            (Form::Messages(shape), Value::Array(items)) => {
                for item in items {
                    self.message(tag, &Self::of(shape, item));
                }
            }
            (Form::Named(inner, shape), Value::Object(entries)) => {
                self.message(tag, &Self::named(inner, shape, entries));
            }
            (Form::Any, value) => self.message(tag, &Self::any(value)),
            (Form::AnyList, Value::Array(items)) => {
                for item in items {
                    self.message(tag, &Self::any(item));
                }
            }
            (Form::SchemaOrFlag, Value::Bool(flag)) => {
                let mut choice = Self::default();
                choice.number(2, u64::from(*flag));
                self.message(tag, &choice);
            }
            (Form::TypeItem, Value::String(text)) => {
                let mut item = Self::default();
                item.bytes(1, text.as_bytes());
                self.message(tag, &item);
            }
            (Form::SchemaOrFlag | Form::ItemsItem, schema @ Value::Object(_)) => {
                self.message(tag, &Self::wrapped(1, &Self::of(Shape::Schema, schema)));
            }
            _ => {}
        }
    }
}
