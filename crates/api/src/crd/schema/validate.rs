//! What is wrong with a custom object, by its schema, in the sentences of Kubernetes.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Additional, ListKind, Logic, Node, Type, join};
use crate::status::{FieldError, FieldErrorKind};

/// More wrong places than this are not collected.
const ERRORS_MAX: usize = 50;

struct Checker {
    errors: Vec<FieldError>,
}

/// Checks a whole object; its metadata is not the schema's business.
pub(super) fn object(root: &Node, object: &Value) -> Vec<FieldError> {
    let mut checker = Checker { errors: Vec::new() };
    checker.value(root, object, "", true);
    checker.errors
}

/// Checks a value on its own.
pub(super) fn value(node: &Node, value: &Value) -> Vec<FieldError> {
    let mut checker = Checker { errors: Vec::new() };
    checker.value(node, value, "", false);
    checker.errors
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl Checker {
    fn refuse(&mut self, error: FieldError) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    fn invalid(&mut self, path: &str, value: &Value, what: &str) {
        self.refuse(FieldError::invalid(path, value.clone(), format!("{path} in body {what}")));
    }

    fn value(&mut self, node: &Node, value: &Value, path: &str, resource: bool) {
        if self.errors.len() >= ERRORS_MAX || (value.is_null() && node.nullable) {
            return;
        }
        if !self.has_type(node, value, path) {
            return;
        }
        self.enumeration(node, value, path);
        if let Some(format) = &node.format
            && !super::format::fits(format, value)
        {
            self.invalid(path, value, &format!("must be of type {format}: {value}"));
        }
        match value {
            Value::Number(_) => self.number(node, value, path),
            Value::String(text) => self.string(node, text, path),
            Value::Array(list) => self.array(node, list, path),
            Value::Object(map) => self.object(node, map, path, resource || node.embedded),
            _ => {}
        }
        if let Some(logic) = &node.logic {
            self.logic(logic, value, path, resource);
        }
    }

    fn has_type(&mut self, node: &Node, value: &Value, path: &str) -> bool {
        let (fits, wanted) = match (node.int_or_string, node.kind) {
            (true, _) => (Type::Integer.fits(value) || value.is_string(), "integer or string"),
            (false, Some(kind)) => (kind.fits(value), kind.name()),
            (false, None) => (true, ""),
        };
        if !fits {
            let found = type_name(value);
            let detail = format!("{path} in body must be of type {wanted}: {found:?}");
            self.refuse(FieldError::type_invalid(path, found, detail));
        }
        fits
    }

    fn enumeration(&mut self, node: &Node, value: &Value, path: &str) {
        let Some(allowed) = &node.enumeration else { return };
        if !allowed.contains(value) {
            let texts: Vec<String> =
                allowed.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            self.refuse(FieldError::not_supported(path, value.clone(), &texts));
        }
    }

    fn number(&mut self, node: &Node, value: &Value, path: &str) {
        let bounds = &node.bounds;
        let number = value.as_f64().unwrap_or_default();
        if let Some(min) = bounds.minimum {
            if bounds.exclusive_minimum && number <= min {
                self.invalid(path, value, &format!("should be greater than {min}"));
            } else if number < min {
                self.invalid(path, value, &format!("should be greater than or equal to {min}"));
            }
        }
        if let Some(max) = bounds.maximum {
            if bounds.exclusive_maximum && number >= max {
                self.invalid(path, value, &format!("should be less than {max}"));
            } else if number > max {
                self.invalid(path, value, &format!("should be less than or equal to {max}"));
            }
        }
        if let Some(step) = bounds.multiple_of {
            let times = number / step;
            if (times - times.round()).abs() > 1e-9 {
                self.invalid(path, value, &format!("should be a multiple of {step}"));
            }
        }
    }

    fn string(&mut self, node: &Node, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(max) = node.bounds.max_length.filter(|max| length > *max) {
            self.refuse(FieldError::too_long(path, usize::try_from(max).unwrap_or(usize::MAX)));
        }
        if let Some(min) = node.bounds.min_length.filter(|min| length < *min) {
            self.invalid(path, &Value::from(text), &format!("should be at least {min} chars long"));
        }
        if let Some(pattern) = node.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            self.invalid(path, &Value::from(text), &format!("should match '{pattern}'"));
        }
    }

    fn array(&mut self, node: &Node, list: &[Value], path: &str) {
        let length = list.len() as u64;
        if let Some(max) = node.bounds.max_items.filter(|max| length > *max) {
            self.refuse(FieldError::too_many(path, list.len(), usize::try_from(max).unwrap_or(usize::MAX)));
        }
        if let Some(min) = node.bounds.min_items.filter(|min| length < *min) {
            let value = Value::from(length);
            self.invalid(path, &value, &format!("should have at least {min} items"));
        }
        self.unique(node, list, path);
        if let Some(items) = &node.items {
            for (index, item) in list.iter().enumerate() {
                self.value(items, item, &format!("{path}[{index}]"), false);
            }
        }
    }

    fn unique(&mut self, node: &Node, list: &[Value], path: &str) {
        let key_of: Box<dyn Fn(&Value) -> Value> = match &node.list {
            ListKind::Map(keys) => {
                let keys = keys.clone();
                Box::new(move |item| {
                    let pairs = keys.iter().filter_map(|k| Some((k.clone(), item.get(k)?.clone())));
                    Value::Object(pairs.collect())
                })
            }
            ListKind::Set => Box::new(Value::clone),
            ListKind::Atomic if node.bounds.unique_items => Box::new(Value::clone),
            ListKind::Atomic => return,
        };
        let mut seen = HashSet::new();
        for (index, item) in list.iter().enumerate() {
            let key = key_of(item);
            if !seen.insert(key.to_string()) {
                self.refuse(FieldError::duplicate(format!("{path}[{index}]"), key));
            }
        }
    }

    fn object(&mut self, node: &Node, map: &Map<String, Value>, path: &str, resource: bool) {
        for name in node.required.iter().filter(|name| !map.contains_key(*name)) {
            self.refuse(FieldError::required(join(path, name), ""));
        }
        let length = map.len() as u64;
        if let Some(max) = node.bounds.max_properties.filter(|max| length > *max) {
            self.refuse(FieldError::too_many(path, map.len(), usize::try_from(max).unwrap_or(usize::MAX)));
        }
        if let Some(min) = node.bounds.min_properties.filter(|min| length < *min) {
            let value = Value::from(length);
            self.invalid(path, &value, &format!("should have at least {min} properties"));
        }
        if node.embedded {
            for name in ["apiVersion", "kind"] {
                if map.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
                    self.refuse(FieldError::required(join(path, name), "must not be empty"));
                }
            }
        }
        for (name, value) in map {
            let child = match (node.properties.get(name), &node.additional) {
                (Some(child), _) => child,
                (None, Additional::Values(child)) => child,
                _ => continue,
            };
            // The server checks the metadata of a resource itself; a schema may say more of the name only.
            if !(resource && name == "metadata") {
                self.value(child, value, &join(path, name), false);
            }
        }
    }

    fn logic(&mut self, logic: &Logic, value: &Value, path: &str, resource: bool) {
        for branch in &logic.all_of {
            self.value(branch, value, path, resource);
        }
        let fits = |branch: &Node| {
            let mut probe = Checker { errors: Vec::new() };
            probe.value(branch, value, path, resource);
            probe.errors.is_empty()
        };
        if !logic.any_of.is_empty() && !logic.any_of.iter().any(fits) {
            self.branch(path, "must validate at least one schema (anyOf)");
        }
        if !logic.one_of.is_empty() {
            match logic.one_of.iter().filter(|branch| fits(branch)).count() {
                1 => {}
                0 => self.branch(path, "must validate one and only one schema (oneOf). Found none valid"),
                n => {
                    let what = format!(
                        "must validate one and only one schema (oneOf). Found {n} valid alternatives"
                    );
                    self.branch(path, &what);
                }
            }
        }
        if logic.not.as_ref().is_some_and(|not| fits(not)) {
            self.branch(path, "must not validate the schema (not)");
        }
    }

    fn branch(&mut self, path: &str, what: &str) {
        let (path, detail) = if path.is_empty() {
            ("<nil>", what.to_owned())
        } else {
            (path, format!("{path} in body {what}"))
        };
        let bad_value = Some(Value::from(""));
        self.refuse(FieldError { path: path.to_owned(), kind: FieldErrorKind::Invalid, bad_value, detail });
    }
}
