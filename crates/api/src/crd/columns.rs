//! Paths of a definition into its objects: printer columns, the `scale` subresource, selectable fields.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cel::valid_path;
use super::definition::{list, text};
use super::printer::Printer;
use super::schema::{Node, Type};
use super::{ScalePaths, Structural};
use crate::status::FieldError;
use crate::table::{AGE, Column, NAME};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const COLUMNS_MAX: usize = 64;
const SELECTABLE_MAX: usize = 8;

/// The columns of a table of objects, and what fills them.
pub(super) fn columns(
    version: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) -> (Vec<Column>, Vec<Printer>) {
    let wished = list(version, "/additionalPrinterColumns");
    let (mut columns, mut printers) = (vec![NAME], Vec::new());
    if wished.len() > COLUMNS_MAX {
        errors.push(FieldError::too_many(path, wished.len(), COLUMNS_MAX));
        return (columns, printers);
    }
    if wished.is_empty() {
        columns.push(Column { kind: "date".into(), ..AGE });
        printers.push(Printer::new(".metadata.creationTimestamp", "date"));
    }
    for (index, column) in wished.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if let Some(printer) = column_path(column, &path, errors) {
            printers.push(printer);
        }
        let json_path = text(column, "/jsonPath");
        let priority = column.get("priority").and_then(Value::as_i64).unwrap_or(0);
        let description = match text(column, "/description") {
            "" => format!("Custom resource definition column (in JSONPath format): {json_path}"),
            given => given.to_owned(),
        };
        columns.push(Column {
            name: text(column, "/name").to_owned().into(),
            kind: text(column, "/type").to_owned().into(),
            format: text(column, "/format").to_owned().into(),
            description: description.into(),
            priority: i32::try_from(priority).unwrap_or(i32::MAX),
        });
    }
    (columns, printers)
}

fn column_path(column: &Value, path: &str, errors: &mut Vec<FieldError>) -> Option<Printer> {
    let (kind, format) = (text(column, "/type"), text(column, "/format"));
    if text(column, "/name").is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    if kind.is_empty() {
        errors.push(FieldError::required(format!("{path}.type"), types));
    } else if !COLUMN_TYPES.contains(&kind) {
        errors.push(FieldError::invalid(format!("{path}.type"), kind, types));
    }
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(FieldError::invalid(format!("{path}.format"), format, why));
    }
    let (at, json_path) = (format!("{path}.JSONPath"), text(column, "/jsonPath"));
    if json_path.is_empty() {
        errors.push(FieldError::required(at, ""));
        return None;
    }
    if !json_path.starts_with('.') {
        errors.push(FieldError::invalid(at, json_path, "must be a simple json path starting with ."));
        return None;
    }
    Some(Printer::new(json_path, kind))
}

/// A plain dotted path as a JSON pointer.
fn pointer(path: &str) -> Option<String> {
    let rest = path.strip_prefix('.')?;
    let plain = |key: &str| !key.is_empty() && !key.contains(['[', ']', '~', '/', '\'', '"', '*']);
    rest.split('.').all(plain).then(|| format!("/{}", rest.replace('.', "/")))
}

/// Where the `scale` subresource finds its numbers.
pub(super) fn scale(version: &Value, path: &str, errors: &mut Vec<FieldError>) -> Option<ScalePaths> {
    let scale = version.pointer("/subresources/scale").filter(|v| !v.is_null())?;
    let mut read = |key: &str, roots: &[&str], detail: &str| {
        let (path, value) = (format!("{path}.scale.{key}"), text(scale, &format!("/{key}")));
        let found = pointer(value).filter(|p| roots.iter().any(|root| p.starts_with(root)));
        if value.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if !value.starts_with('.') {
            errors.push(FieldError::invalid(path, value, "must be a simple json path starting with ."));
        } else if found.is_none() {
            errors.push(FieldError::invalid(path, value, detail));
        }
        found
    };
    let spec_replicas = read("specReplicasPath", &["/spec/"], "should be a json path under .spec");
    let status_replicas = read("statusReplicasPath", &["/status/"], "should be a json path under .status");
    let either = "should be a json path under either .spec or .status";
    let label_selector = if text(scale, "/labelSelectorPath").is_empty() {
        None
    } else {
        read("labelSelectorPath", &["/spec/", "/status/"], either)
    };
    Some(ScalePaths { spec_replicas: spec_replicas?, status_replicas: status_replicas?, label_selector })
}

/// Fields that a field selector may name, without the dot at their start.
pub(super) fn selectable(
    version: &Value,
    schema: &Structural,
    path: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<String> {
    let mut fields = BTreeSet::new();
    for (index, field) in list(version, "/selectableFields").iter().enumerate() {
        let (at, json_path) = (format!("{path}[{index}].jsonPath"), text(field, "/jsonPath"));
        if json_path.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let found: Result<(String, &Node), String> = valid_path(json_path, schema.root(), false);
        let node = match found {
            Ok((_, node)) => node,
            Err(why) => {
                errors.push(FieldError::invalid(at, json_path, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if json_path == ".metadata" || json_path.starts_with(".metadata.") {
            errors.push(FieldError::invalid(&at, json_path, "must not point to fields in metadata"));
        }
        if !matches!(node.kind, Some(Type::String | Type::Boolean | Type::Integer)) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                       formats are allowed.";
            errors.push(FieldError::invalid(&at, json_path, why));
        }
        if !fields.insert(json_path.trim_start_matches('.').to_owned()) {
            errors.push(FieldError::duplicate(at, json_path));
        }
    }
    if fields.len() > SELECTABLE_MAX {
        errors.push(FieldError::too_many(path, fields.len(), SELECTABLE_MAX));
    }
    fields.into_iter().collect()
}
