//! Types of expressions, and what a schema declares: the type of `self` with its fields and largest sizes.
//!
//! Values whose schema says nothing (`x-kubernetes-preserve-unknown-fields` without a type) are not declared, so that no
//! rule can reach them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::super::schema::{Additional, Node, Type as JsonType};

/// Largest request, from which the sizes of unbounded values follow.
const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// Longest name of an object.
const NAME_CHARS_MAX: u64 = 253;
/// Words that a field name is wrapped for: `self.__namespace__`.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
const ESCAPES: &[(&str, &str)] =
    &[("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];

/// The type of an expression. `Dyn` is left to the evaluation.
#[derive(Clone, Debug)]
pub(super) enum Type {
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    /// A type as a value, as `type(x)` gives it.
    Meta,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Optional(Arc<Type>),
    Object(Arc<Decl>),
    /// Types of the Kubernetes libraries.
    Opaque(&'static str),
    /// A type parameter of a function.
    Param(usize),
}

impl Type {
    /// Whether values of one type may stand where the other is wanted.
    pub(super) fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn | Self::Param(_), _) | (_, Self::Dyn | Self::Param(_)) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.fits(b),
            (Self::Map(ak, av), Self::Map(bk, bv)) => ak.fits(bk) && av.fits(bv),
            (Self::Object(a), Self::Object(b)) => Arc::ptr_eq(a, b),
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (Self::Null, other) | (other, Self::Null) => matches!(
                other,
                Self::Null
                    | Self::Duration
                    | Self::Timestamp
                    | Self::Object(_)
                    | Self::Opaque(_)
                    | Self::Optional(_)
            ),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }

    /// Whether values have a size that is known.
    pub(super) fn is_scalar(&self) -> bool {
        match self {
            Self::Optional(inner) => inner.is_scalar(),
            Self::Bool | Self::Int | Self::Uint | Self::Double | Self::Duration | Self::Timestamp => true,
            _ => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Meta => f.write_str("type"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Object(_) => f.write_str("object"),
            Self::Opaque(name) => f.write_str(name),
            Self::Param(_) => f.write_str("_"),
        }
    }
}

/// What a schema declares about a value.
#[derive(Debug)]
pub(super) struct Decl {
    pub(super) kind: DeclKind,
    /// Most elements, entries or characters.
    pub(super) elements_max: u64,
    /// Fewest bytes as JSON.
    pub(super) bytes_min: u64,
}

#[derive(Debug)]
pub(super) enum DeclKind {
    Scalar(Type),
    List(Arc<Decl>),
    Map(Arc<Decl>),
    /// By escaped name.
    Object(BTreeMap<String, Arc<Decl>>),
}

impl Decl {
    fn scalar(ty: Type, elements_max: u64, bytes_min: u64) -> Arc<Self> {
        Arc::new(Self { kind: DeclKind::Scalar(ty), elements_max, bytes_min })
    }

    /// The declaration of a value with a schema; `None` when rules cannot see it.
    pub(super) fn of(node: &Node, resource: bool) -> Option<Arc<Self>> {
        if node.int_or_string {
            let max = node.bounds.max_length.map_or(REQUEST_BYTES_MAX - 2, |n| n.saturating_mul(4));
            return Some(Self::scalar(Type::Dyn, max, 1));
        }
        match node.kind? {
            JsonType::Object => Self::object(node, resource),
            JsonType::Array => {
                let item = node.items.as_deref()?;
                let item = Self::of(item, item.embedded)?;
                let fitting = (REQUEST_BYTES_MAX - 2) / (item.bytes_min + 1);
                let elements_max = node.bounds.max_items.unwrap_or(fitting);
                Some(Arc::new(Self { kind: DeclKind::List(item), elements_max, bytes_min: 2 }))
            }
            JsonType::String => Some(Self::string(node)),
            JsonType::Integer => Some(Self::scalar(Type::Int, 0, 1)),
            JsonType::Number => Some(Self::scalar(Type::Double, 0, 1)),
            JsonType::Boolean => Some(Self::scalar(Type::Bool, 0, 4)),
        }
    }

    fn string(node: &Node) -> Arc<Self> {
        let bounded = node.bounds.max_length;
        match node.format.as_deref() {
            Some("byte") => Self::scalar(Type::Bytes, bounded.unwrap_or(REQUEST_BYTES_MAX - 2), 2),
            Some("duration") => Self::scalar(Type::Duration, 32, 3),
            Some("date") => Self::scalar(Type::Timestamp, 12, 12),
            Some("date-time") => Self::scalar(Type::Timestamp, 32, 21),
            _ => {
                let longest = node.enumeration.as_ref().map(|values| {
                    let lengths = values.iter().filter_map(|v| v.as_str()).map(str::len);
                    lengths.max().unwrap_or(0) as u64
                });
                let max = bounded.map(|n| n.saturating_mul(4)).or(longest).unwrap_or(REQUEST_BYTES_MAX - 2);
                Self::scalar(Type::String, max, 2)
            }
        }
    }

    fn object(node: &Node, resource: bool) -> Option<Arc<Self>> {
        if let (Additional::Values(value), false) = (&node.additional, resource) {
            let value = Self::of(value, value.embedded)?;
            let elements_max =
                node.bounds.max_properties.unwrap_or((REQUEST_BYTES_MAX - 2) / (value.bytes_min + 6));
            return Some(Arc::new(Self { kind: DeclKind::Map(value), elements_max, bytes_min: 2 }));
        }
        let mut fields = BTreeMap::new();
        let mut bytes_min = 2;
        for (name, property) in &node.properties {
            if resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let Some(decl) = Self::of(property, property.embedded) else { continue };
            if property.default.is_none() && node.required.contains(name) {
                bytes_min += name.len() as u64 + decl.bytes_min + 4;
            }
            if let Some(escaped) = escape(name) {
                fields.insert(escaped, decl);
            }
        }
        if resource {
            let text = Self::scalar(Type::String, REQUEST_BYTES_MAX - 2, 2);
            let name = Self::scalar(Type::String, NAME_CHARS_MAX * 4, 2);
            let names = ["name", "generateName"].map(|key| (key.to_owned(), name.clone()));
            let metadata = DeclKind::Object(names.into_iter().collect());
            fields.insert(
                "metadata".to_owned(),
                Arc::new(Self { kind: metadata, elements_max: 0, bytes_min: 2 }),
            );
            fields.insert("apiVersion".to_owned(), text.clone());
            fields.insert("kind".to_owned(), text);
        }
        Some(Arc::new(Self { kind: DeclKind::Object(fields), elements_max: 0, bytes_min }))
    }

    /// The type of such a value.
    pub(super) fn ty(self: &Arc<Self>) -> Type {
        match &self.kind {
            DeclKind::Scalar(ty) => ty.clone(),
            DeclKind::List(item) => Type::List(Arc::new(item.ty())),
            DeclKind::Map(value) => Type::Map(Arc::new(Type::String), Arc::new(value.ty())),
            DeclKind::Object(_) => Type::Object(self.clone()),
        }
    }

    /// The declaration of a field of an object, by escaped name.
    pub(super) fn field(&self, name: &str) -> Option<&Arc<Self>> {
        match &self.kind {
            DeclKind::Object(fields) => fields.get(name),
            _ => None,
        }
    }

    /// The declaration of items of a list or values of a map.
    pub(super) fn element(&self) -> Option<&Arc<Self>> {
        match &self.kind {
            DeclKind::List(inner) | DeclKind::Map(inner) => Some(inner),
            _ => None,
        }
    }

    /// How often such a value can stand in one request.
    pub(super) fn cardinality_max(&self) -> u64 {
        REQUEST_BYTES_MAX / (self.bytes_min + 1)
    }
}

/// A field name as an identifier; `None` when it cannot be one.
pub(super) fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b)) {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let found = ESCAPES.iter().find(|(_, plain)| rest.starts_with(plain));
        let length = found.map_or(first.len_utf8(), |(_, plain)| plain.len());
        match found {
            Some((escaped, _)) => out.push_str(escaped),
            None => out.push(first),
        }
        rest = &rest[length..];
    }
    Some(out)
}

/// The field name behind an identifier.
pub(super) fn unescape(name: &str) -> String {
    if let Some(word) = name.strip_prefix("__").and_then(|n| n.strip_suffix("__"))
        && RESERVED.contains(&word)
    {
        return word.to_owned();
    }
    if !name.contains("__") {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let found = ESCAPES.iter().find(|(escaped, _)| rest.starts_with(escaped));
        if let Some((escaped, plain)) = found {
            out.push_str(plain);
            rest = &rest[escaped.len()..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_back() {
        for (name, escaped) in [
            ("plain", Some("plain")),
            ("foo-bar", Some("foo__dash__bar")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("a__b", Some("a__underscores__b")),
            ("namespace", Some("__namespace__")),
            ("my_field", Some("my_field")),
            ("9lives", None),
            ("tab\t", None),
            ("", None),
        ] {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
            if let Some(escaped) = escaped {
                assert_eq!(unescape(escaped), name);
            }
        }
    }
}
