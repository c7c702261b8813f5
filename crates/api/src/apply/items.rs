//! The name of a list item: its path element, from the keys or the value.

use serde_json::Value;

use super::element::{PathElement, Scalar};
use super::typing::{Keys, ListShape, Relation};

/// An object that does not fit its type, in the words of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TypedError(pub(super) Vec<String>);

impl TypedError {
    pub(super) fn one(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// Puts the path of the parent in front of every message.
    pub(super) fn under(mut self, element: &PathElement) -> Self {
        for text in &mut self.0 {
            let glue = if text.starts_with(['.', '[']) { "" } else { ": " };
            *text = format!("{element}{glue}{text}");
        }
        self
    }
}

impl std::fmt::Display for TypedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            many => {
                f.write_str("errors:")?;
                many.iter().try_for_each(|text| write!(f, "\n  {text}"))
            }
        }
    }
}

impl<'a> ListShape<'a> {
    pub(super) fn is_atomic(&self) -> bool {
        matches!(self.relation, Relation::Atomic)
    }

    /// The element of one item.
    pub(super) fn element(&self, item: &Value) -> Result<PathElement, String> {
        match self.relation {
            Relation::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            Relation::Set => set_element(item),
            Relation::Map(keys) => self.keyed_element(keys, item),
        }
    }

    /// The elements of all items.
    pub(super) fn elements(&self, items: &[Value]) -> Result<Vec<PathElement>, TypedError> {
        let mut found = Vec::with_capacity(items.len());
        let mut wrong = TypedError::default();
        for (index, item) in items.iter().enumerate() {
            match self.element(item) {
                Ok(element) => found.push(element),
                Err(why) => wrong.0.push(format!("element {index}: {why}")),
            }
        }
        if wrong.0.is_empty() { Ok(found) } else { Err(wrong) }
    }

    fn keyed_element(&self, keys: Keys<'a>, item: &Value) -> Result<PathElement, String> {
        let members = match item {
            Value::Object(members) => members,
            Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        };
        let names = keys.names();
        let object = self.item.atom().map;
        let mut found = Vec::with_capacity(names.len());
        for name in &names {
            let default = || object.and_then(|object| object.key_default(name));
            let Some(value) = members.get(*name).cloned().or_else(default) else { continue };
            let value = Scalar::of(&value).ok_or_else(|| format!("the key {name:?} is not a scalar"))?;
            found.push(((*name).to_owned(), value));
        }
        if found.is_empty() {
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
                 values for any key fields)",
                names.join(" ")
            ));
        }
        found.sort();
        Ok(PathElement::Key(found))
    }
}

fn set_element(item: &Value) -> Result<PathElement, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        scalar => Scalar::of(scalar)
            .map(PathElement::Value)
            .ok_or_else(|| "associative list without keys has an element that's a map type".to_owned()),
    }
}
