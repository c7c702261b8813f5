//! What server-side apply needs to know of a type: object, list or scalar; which lists merge and by which keys.
//!
//! One view over the schema table of built-in kinds and the `OpenAPI` schema of custom ones. Where neither says anything,
//! types are deduced from values: objects merge by field, lists are atomic. Holds no values and judges none.

use serde_json::Value;

use crate::catalogue::Kind;
use crate::schema::{Cardinality, Field, FieldKind, ListType, Message, Special, schema};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Keys of list maps that have a default: message, field, value.
const KEY_DEFAULTS: &[(&str, &str, &str)] =
    &[("ContainerPort", "protocol", "TCP"), ("ServicePort", "protocol", "TCP")];

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum TypeRef<'a> {
    /// A message of the table, atomic by itself or where it is used.
    Message(&'static Message, bool),
    /// Value of a field of the table: one, list or map.
    Field(&'static Field),
    /// One value of a list or map field of the table.
    Item(&'static Field),
    /// An `OpenAPI` schema; the flag says that unknown fields are preserved from here on.
    Schema(&'a Value, bool),
    /// The schema of a whole custom object.
    Root(&'a Value),
    /// Not known: objects merge, lists are atomic.
    Deduced,
    /// Not known, below something atomic.
    Untyped,
}

/// What a scalar may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScalarType {
    Numeric,
    String,
    Boolean,
    Any,
}

/// An object type.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapType<'a> {
    pub(super) atomic: bool,
    of: TypeRef<'a>,
}

/// A list type.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListShape<'a> {
    pub(super) relation: Relation<'a>,
    pub(super) item: TypeRef<'a>,
}

/// How the items of a list belong together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Relation<'a> {
    Atomic,
    Set,
    Map(Keys<'a>),
}

/// Names of the keys of a list map.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keys<'a> {
    Table(&'static Field),
    Schema(&'a [Value]),
}

/// What a value of the type may be; several when the type is open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Atom<'a> {
    pub(super) map: Option<MapType<'a>>,
    pub(super) scalar: Option<ScalarType>,
    pub(super) list: Option<ListShape<'a>>,
}

/// One of the possibilities of an [`Atom`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    Map(MapType<'a>),
    Scalar(ScalarType),
    List(ListShape<'a>),
}

impl Shape<'_> {
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl<'a> Atom<'a> {
    fn scalar(scalar: ScalarType) -> Self {
        Self { scalar: Some(scalar), ..Self::default() }
    }

    fn map(atomic: bool, of: TypeRef<'a>) -> Self {
        Self { map: Some(MapType { atomic, of }), ..Self::default() }
    }

    fn list(relation: Relation<'a>, item: TypeRef<'a>) -> Self {
        Self { list: Some(ListShape { relation, item }), ..Self::default() }
    }

    fn open(atomic: bool, inner: TypeRef<'a>) -> Self {
        Self {
            map: Some(MapType { atomic, of: inner }),
            scalar: Some(ScalarType::Any),
            list: Some(ListShape { relation: Relation::Atomic, item: TypeRef::Untyped }),
        }
    }

    /// The first possibility: what an absent value is taken for.
    fn first(self) -> Shape<'a> {
        match (self.map, self.scalar, self.list) {
            (Some(map), _, _) => Shape::Map(map),
            (None, Some(scalar), _) => Shape::Scalar(scalar),
            (None, None, Some(list)) => Shape::List(list),
            (None, None, None) => Shape::Scalar(ScalarType::Any),
        }
    }

    /// The possibility that fits the value, or the first one when none does.
    pub(super) fn shape_of(self, value: Option<&Value>) -> Shape<'a> {
        let fitting = match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(_)) => self.map.map(Shape::Map),
            Some(Value::Array(_)) => self.list.map(Shape::List),
            Some(_) => self.scalar.map(Shape::Scalar),
        };
        fitting.unwrap_or_else(|| self.first())
    }
}

impl<'a> TypeRef<'a> {
    /// The type of whole objects of a kind.
    pub(super) fn of_kind(kind: &'a Kind) -> Self {
        match kind {
            Kind::Custom(custom) => Self::Root(&custom.raw_schema),
            Kind::Builtin(row) => Self::of_gvk(&row.gvk),
        }
    }

    /// The type of whole objects of a built-in kind.
    pub(super) fn of_gvk(gvk: &crate::Gvk) -> Self {
        let message = schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind);
        message.map_or(Self::Deduced, |message| Self::Message(message, false))
    }

    /// What a value may be.
    pub(super) fn atom(self) -> Atom<'a> {
        match self {
            Self::Message(message, atomic) => message_atom(message, atomic),
            Self::Field(field) => field_atom(field),
            Self::Item(field) => item_atom(field, false),
            Self::Schema(schema, preserve) => schema_atom(schema, preserve),
            Self::Root(_) => Atom::map(false, self),
            Self::Deduced => Atom::open(false, Self::Deduced),
            Self::Untyped => Atom::open(true, Self::Untyped),
        }
    }

    /// The possibility that fits the value.
    pub(super) fn shape_of(self, value: Option<&Value>) -> Shape<'a> {
        self.atom().shape_of(value)
    }
}

fn message_atom(message: &'static Message, atomic: bool) -> Atom<'static> {
    match message.special {
        Some(Special::Quantity | Special::IntOrString | Special::Time | Special::MicroTime) => {
            Atom::scalar(ScalarType::Any)
        }
        Some(Special::FieldsV1 | Special::RawExtension) => Atom::map(false, TypeRef::Deduced),
        Some(Special::Strings) => Atom::list(Relation::Atomic, TypeRef::Untyped),
        Some(Special::Json | Special::SchemaOrArray | Special::SchemaOrBool | Special::SchemaOrStrings) => {
            TypeRef::Deduced.atom()
        }
        None => Atom::map(atomic || message.atomic, TypeRef::Message(message, atomic)),
    }
}

fn field_atom(field: &'static Field) -> Atom<'static> {
    match field.cardinality {
        Cardinality::One => item_atom(field, field.atomic),
        Cardinality::Map => Atom::map(field.atomic, TypeRef::Item(field)),
        Cardinality::List => Atom::list(list_relation(field), TypeRef::Item(field)),
    }
}

/// Without a `listType` the strategy of strategic merge patch decides, as for Kubernetes.
fn list_relation(field: &'static Field) -> Relation<'static> {
    match field.list_type {
        Some(ListType::Set) => Relation::Set,
        Some(ListType::Map) => Relation::Map(Keys::Table(field)),
        None if field.has_strategy("merge") && field.merge_key.is_some() => Relation::Map(Keys::Table(field)),
        None if field.has_strategy("merge") => Relation::Set,
        Some(ListType::Atomic) | None => Relation::Atomic,
    }
}

fn item_atom(field: &'static Field, atomic: bool) -> Atom<'static> {
    match field.kind {
        FieldKind::String | FieldKind::Bytes => Atom::scalar(ScalarType::String),
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Double => Atom::scalar(ScalarType::Numeric),
        FieldKind::Bool => Atom::scalar(ScalarType::Boolean),
        FieldKind::Message(id) => message_atom(schema().get(id), atomic),
    }
}

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn schema_atom(schema: &Value, preserve: bool) -> Atom<'_> {
    let preserve = preserve || flag(schema, "x-kubernetes-preserve-unknown-fields");
    let map =
        || Atom::map(text(schema, "x-kubernetes-map-type") == "atomic", TypeRef::Schema(schema, preserve));
    let list = || {
        let item = schema.get("items").map_or(TypeRef::Untyped, |items| TypeRef::Schema(items, preserve));
        Atom::list(schema_relation(schema), item)
    };
    match text(schema, "type") {
        "object" => map(),
        "array" => list(),
        "integer" | "number" => Atom::scalar(ScalarType::Numeric),
        "boolean" => Atom::scalar(ScalarType::Boolean),
        "string" if matches!(text(schema, "format"), "" | "byte") => Atom::scalar(ScalarType::String),
        "string" => Atom::scalar(ScalarType::Any),
        _ => Atom { map: map().map, scalar: Some(ScalarType::Any), list: list().list },
    }
}

fn schema_relation(schema: &Value) -> Relation<'_> {
    match text(schema, "x-kubernetes-list-type") {
        "set" => Relation::Set,
        "map" => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            keys.map_or(Relation::Atomic, |keys| Relation::Map(Keys::Schema(keys)))
        }
        _ => Relation::Atomic,
    }
}

impl<'a> MapType<'a> {
    /// The type of a member that the type declares.
    pub(super) fn declared(&self, name: &str) -> Option<TypeRef<'a>> {
        match self.of {
            TypeRef::Message(message, _) => declared_in(message, name),
            TypeRef::Schema(schema, preserve) => {
                if flag(schema, "x-kubernetes-embedded-resource")
                    && let Some(found) = envelope(name)
                {
                    return Some(found);
                }
                schema.get("properties")?.get(name).map(|member| TypeRef::Schema(member, preserve))
            }
            TypeRef::Root(schema) => envelope(name).or_else(|| {
                let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
                schema.get("properties")?.get(name).map(|member| TypeRef::Schema(member, preserve))
            }),
            TypeRef::Field(_) | TypeRef::Item(_) | TypeRef::Deduced | TypeRef::Untyped => None,
        }
    }

    /// The type of members that are not declared; `None` when there may be none.
    pub(super) fn undeclared(&self) -> Option<TypeRef<'a>> {
        match self.of {
            TypeRef::Message(..) | TypeRef::Field(_) => None,
            TypeRef::Item(_) | TypeRef::Deduced | TypeRef::Untyped => Some(self.of),
            TypeRef::Schema(schema, preserve) => undeclared_in(schema, preserve),
            TypeRef::Root(schema) => {
                undeclared_in(schema, flag(schema, "x-kubernetes-preserve-unknown-fields"))
            }
        }
    }

    /// The type of a member; deduced when it should not be there.
    pub(super) fn member(&self, name: &str) -> TypeRef<'a> {
        self.declared(name).or_else(|| self.undeclared()).unwrap_or(TypeRef::Deduced)
    }

    /// Whether nothing is known of the members.
    pub(super) fn is_deduced(&self) -> bool {
        match self.of {
            TypeRef::Deduced => true,
            TypeRef::Schema(schema, _) => {
                schema.get("properties").is_none() && matches!(self.undeclared(), Some(TypeRef::Deduced))
            }
            _ => false,
        }
    }

    /// What a declared member is when it is left out, where Kubernetes always writes it.
    pub(super) fn zero(&self, name: &str) -> Option<&'static Value> {
        let TypeRef::Message(message, _) = self.of else { return None };
        message.field(name)?.zero()
    }

    /// The default of a key field, for items that leave it out.
    pub(super) fn key_default(&self, key: &str) -> Option<Value> {
        match self.of {
            TypeRef::Message(message, _) => KEY_DEFAULTS
                .iter()
                .find(|(owner, field, _)| *owner == message.short_name() && *field == key)
                .map(|(_, _, value)| Value::from(*value))
                // A scalar that is always there is zero when nobody set it.
                .or_else(|| message.field(key)?.zero().filter(|zero| !zero.is_null()).cloned()),
            TypeRef::Schema(schema, _) => {
                schema.get("properties")?.get(key)?.get("default").filter(|d| !d.is_null()).cloned()
            }
            _ => None,
        }
    }
}

fn declared_in(message: &'static Message, name: &str) -> Option<TypeRef<'static>> {
    message.field(name).map(TypeRef::Field)
}

/// What every object has.
fn envelope(name: &str) -> Option<TypeRef<'static>> {
    match name {
        "apiVersion" | "kind" => {
            static STRING: std::sync::LazyLock<Value> =
                std::sync::LazyLock::new(|| serde_json::json!({ "type": "string" }));
            Some(TypeRef::Schema(&STRING, false))
        }
        "metadata" => schema().message(OBJECT_META).map(|message| TypeRef::Message(message, false)),
        _ => None,
    }
}

fn undeclared_in(schema: &Value, preserve: bool) -> Option<TypeRef<'_>> {
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => None,
        Some(Value::Bool(true)) => Some(TypeRef::Deduced),
        Some(inner) => Some(TypeRef::Schema(inner, preserve)),
        None => {
            let declares = schema
                .get("properties")
                .and_then(Value::as_object)
                .is_some_and(|members| !members.is_empty());
            (preserve || !declares).then_some(TypeRef::Deduced)
        }
    }
}

impl Keys<'_> {
    /// The names, as the schema lists them.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Schema(keys) => keys.iter().filter_map(Value::as_str).collect(),
            Self::Table(field) => {
                let keys: Vec<&str> = field.list_keys().collect();
                if keys.is_empty() { field.merge_key.into_iter().collect() } else { keys }
            }
        }
    }
}
