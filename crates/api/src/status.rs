//! Errors as the API speaks them: `ApiError` becomes a `Status` object, `FieldError` one of its causes.
//!
//! Does not know HTTP; the `code` is the one that the API server answers with. Messages use the words of Kubernetes,
//! because clients and people match on them.

use std::fmt;

use serde_json::{Map, Value, json};

/// Group and plural of a resource; prints `pods` or `deployments.apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// API group, empty for the core group.
    pub group: String,
    /// Plural, lower case.
    pub resource: String,
}

/// Group and kind; prints `Pod` or `Deployment.apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind, `CamelCase`.
    pub kind: String,
}

impl GroupResource {
    /// From group (empty for core) and plural.
    pub fn new(group: &str, resource: &str) -> Self {
        Self { group: group.to_owned(), resource: resource.to_owned() }
    }
}

impl GroupKind {
    /// From group (empty for core) and kind.
    pub fn new(group: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), kind: kind.to_owned() }
    }
}

fn qualified(f: &mut fmt::Formatter<'_>, name: &str, group: &str) -> fmt::Result {
    if group.is_empty() { f.write_str(name) } else { write!(f, "{name}.{group}") }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qualified(f, &self.resource, &self.group)
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qualified(f, &self.kind, &self.group)
    }
}

/// A refusal or failure of the API; prints its message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason (`metav1.StatusReason`).
    pub reason: &'static str,
    /// Sentence for people.
    pub message: String,
    /// `metav1.StatusDetails`: name, group, kind, causes, retryAfterSeconds.
    pub details: Option<Value>,
    /// What the client should know besides, in `Warning` headers.
    pub warnings: Box<[String]>,
}

impl ApiError {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, warnings: Box::default() }
    }

    fn about(code: u16, reason: &'static str, gr: &GroupResource, name: &str, message: String) -> Self {
        let details = details(&gr.group, &gr.resource, name);
        Self { details: Some(Value::Object(details)), ..Self::plain(code, reason, message) }
    }

    /// The refusal with what the client should know besides, behind what it was told already.
    #[must_use]
    pub fn with_warnings(mut self, warnings: &[String]) -> Self {
        self.warnings = self.warnings.iter().chain(warnings).cloned().collect();
        self
    }

    /// 409 for an apply that others stand against.
    pub(crate) fn apply_conflict(message: String, causes: &[Value]) -> Self {
        Self { details: Some(json!({ "causes": causes })), ..Self::plain(409, "Conflict", message) }
    }

    /// 404 for a named object.
    pub fn not_found(gr: &GroupResource, name: &str) -> Self {
        Self::about(404, "NotFound", gr, name, format!("{gr} {name:?} not found"))
    }

    /// 404 for a path that leads to no resource.
    pub fn no_such_resource() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::plain(404, "NotFound", "the server could not find the requested resource")
        }
    }

    /// 404 for a path that no group answers for: plain text and no `Status`, see [`Self::is_plain_text`].
    pub fn no_such_page() -> Self {
        Self::plain(404, "", "404 page not found")
    }

    /// Whether the answer is the message alone, without a `Status` around it.
    pub fn is_plain_text(&self) -> bool {
        self.code == 404 && self.reason.is_empty()
    }

    /// 405 in the words Kubernetes uses where no handler exists.
    pub fn method_not_allowed() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::plain(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
        }
    }

    /// 409: create of a name that is taken.
    pub fn already_exists(gr: &GroupResource, name: &str) -> Self {
        Self::about(409, "AlreadyExists", gr, name, format!("{gr} {name:?} already exists"))
    }

    /// 409: the resourceVersion sent is not the current one.
    pub fn conflict(gr: &GroupResource, name: &str) -> Self {
        Self::conflict_because(
            gr,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 with another reason, for example a failed precondition.
    pub fn conflict_because(gr: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {gr} {name:?}: {why}");
        Self::about(409, "Conflict", gr, name, message)
    }

    /// 422 with one cause per field error.
    #[allow(clippy::needless_pass_by_value, reason = "callers hand over the errors they collected")]
    pub fn invalid(kind: &GroupKind, name: &str, errors: Vec<FieldError>) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for error in &errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let message = match texts.as_slice() {
            [] => format!("{kind} {name:?} is invalid"),
            [one] => format!("{kind} {name:?} is invalid: {one}"),
            many => format!("{kind} {name:?} is invalid: [{}]", many.join(", ")),
        };
        let mut details = details(&kind.group, &kind.kind, name);
        if !errors.is_empty() {
            let causes = errors.iter().map(FieldError::to_cause).collect();
            details.insert("causes".to_owned(), Value::Array(causes));
        }
        Self { details: Some(Value::Object(details)), ..Self::plain(422, "Invalid", message) }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 410: the revision or the continue token is older than what is kept.
    pub fn gone_expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    /// 405; `action` is a verb such as `delete`.
    pub fn method_not_supported(gr: &GroupResource, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{gr}\"");
        Self::about(405, "MethodNotAllowed", gr, "", message)
    }

    /// 415; names what would have been accepted.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        let text = "the body of the request was in an unknown format - accepted media types include";
        Self::plain(415, "UnsupportedMediaType", format!("{text}: {list}"))
    }

    /// 415 where no handler exists for the encoding of the body.
    pub fn no_such_encoding() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::plain(415, "UnsupportedMediaType", "415: Unsupported Media Type")
        }
    }

    /// 406 where no handler exists for what is accepted; names what could have been answered.
    pub fn no_such_representation(offered: &[&str]) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", offered.join(", "));
        Self { details: Some(json!({})), ..Self::plain(406, "NotAcceptable", message) }
    }

    /// 422 without a cause: the request was understood and cannot be carried out.
    pub fn unprocessable() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::plain(422, "Invalid", "the server rejected our request due to an error in our request")
        }
    }

    /// 500 that has no name for programs.
    pub fn unnamed(message: impl Into<String>) -> Self {
        Self::plain(500, "", message)
    }

    /// 406; names what could have been answered.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let list = offered.join(", ");
        Self::plain(406, "NotAcceptable", format!("only the following media types are accepted: {list}"))
    }

    /// 403.
    pub fn forbidden(gr: &GroupResource, name: &str, why: &str) -> Self {
        let message = match (gr.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{gr} is forbidden: {why}"),
            (false, false) => format!("{gr} {name:?} is forbidden: {why}"),
        };
        Self::about(403, "Forbidden", gr, name, message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized")
    }

    /// 413: body or object over its limit.
    pub fn too_large(message: impl fmt::Display) -> Self {
        Self::plain(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
    }

    /// 500: our fault.
    pub fn internal(error: impl fmt::Display) -> Self {
        let text = error.to_string();
        Self {
            details: Some(json!({ "causes": [{ "message": text }] })),
            ..Self::plain(500, "InternalError", format!("Internal error occurred: {text}"))
        }
    }

    /// 504: the request took longer than it was allowed to.
    pub fn timeout(message: impl fmt::Display) -> Self {
        Self::plain(504, "Timeout", format!("Timeout: {message}"))
    }

    /// 429 that clients obey by coming back after the given time.
    pub fn too_many_requests(message: impl Into<String>, retry_after_s: u32) -> Self {
        Self {
            details: Some(json!({ "retryAfterSeconds": retry_after_s })),
            ..Self::plain(429, "TooManyRequests", message)
        }
    }

    /// 503: not ready yet or shutting down.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::plain(503, "ServiceUnavailable", message)
    }

    /// The `Status` object that goes over the wire.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        // Failures without a name for programs leave the reason out.
        if self.reason.is_empty()
            && let Some(map) = status.as_object_mut()
        {
            map.remove("reason");
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}

fn details(group: &str, kind: &str, name: &str) -> Map<String, Value> {
    [("name", name), ("group", group), ("kind", kind)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| (key.to_owned(), Value::from(text)))
        .collect()
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// Missing.
    Required,
    /// Has a value that is not allowed.
    Invalid,
    /// Has the wrong JSON type.
    TypeInvalid,
    /// Not one of an enumeration.
    NotSupported,
    /// Twice in a list or map.
    Duplicate,
    /// May not be set, here or at all.
    Forbidden,
    /// String too long.
    TooLong,
    /// List too long.
    TooMany,
    /// Refers to something that is not there.
    NotFound,
    /// Changed although it may not; reported as an invalid value.
    Immutable,
}

impl FieldErrorKind {
    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid | Self::Immutable => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
        }
    }

    fn cause(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid | Self::Immutable => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong)
    }
}

/// One wrong field. Prints `spec.containers[0].image: Required value`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Path from the root of the object, `spec.containers[0].image`.
    pub path: String,
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// The value found, where it is shown.
    pub bad_value: Option<Value>,
    /// The rest of the sentence; may be empty.
    pub detail: String,
}

impl FieldError {
    /// A missing field.
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), kind: FieldErrorKind::Required, bad_value: None, detail: detail.into() }
    }

    /// A value that is not allowed.
    pub fn invalid(path: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        let bad_value = Some(value.into());
        Self { path: path.into(), kind: FieldErrorKind::Invalid, bad_value, detail: detail.into() }
    }

    /// A field that may not change.
    pub fn immutable(path: impl Into<String>, value: &Value) -> Self {
        Self { kind: FieldErrorKind::Immutable, ..Self::invalid(path, value.clone(), "field is immutable") }
    }

    /// A value of the wrong JSON type.
    pub fn type_invalid(path: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { kind: FieldErrorKind::TypeInvalid, ..Self::invalid(path, value, detail) }
    }

    /// A value outside an enumeration.
    pub fn not_supported(path: impl Into<String>, value: impl Into<Value>, allowed: &[&str]) -> Self {
        let list: Vec<String> = allowed.iter().map(|a| format!("{a:?}")).collect();
        let detail =
            if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        Self { kind: FieldErrorKind::NotSupported, ..Self::invalid(path, value, detail) }
    }

    /// A value that occurs twice.
    pub fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { kind: FieldErrorKind::Duplicate, ..Self::invalid(path, value, "") }
    }

    /// A field that may not be set.
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind: FieldErrorKind::Forbidden, ..Self::required(path, detail) }
    }

    /// A string of more than `max` bytes.
    pub fn too_long(path: impl Into<String>, max: usize) -> Self {
        Self {
            kind: FieldErrorKind::TooLong,
            ..Self::required(path, format!("may not be more than {max} bytes"))
        }
    }

    /// A list of `actual` items where `max` are allowed.
    pub fn too_many(path: impl Into<String>, actual: usize, max: usize) -> Self {
        let detail = format!("must have at most {max} items");
        Self { kind: FieldErrorKind::TooMany, ..Self::invalid(path, actual, detail) }
    }

    /// A reference to something that is not there.
    pub fn not_found(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { kind: FieldErrorKind::NotFound, ..Self::invalid(path, value, "") }
    }

    /// The same about a list or map that nobody made: it is shown as a bare `null`, a missing pointer is quoted.
    #[must_use]
    pub fn of_nil(self) -> Self {
        let detail =
            if self.detail.is_empty() { "null".to_owned() } else { format!("null: {}", self.detail) };
        Self { bad_value: None, detail, ..self }
    }

    /// Everything but the path, `Invalid value: "x": must be ...`.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if self.kind.shows_value() {
            let shown = match &self.bad_value {
                None => String::new(),
                Some(Value::String(string)) => format!(": {}", quote(string)),
                Some(other) => format!(": {other}"),
            };
            text.push_str(&shown);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    fn to_cause(&self) -> Value {
        json!({ "reason": self.kind.cause(), "message": self.body(), "field": self.path })
    }
}

/// The code of a character in hexadecimal digits.
fn hex(c: char, digits: u32) -> impl Iterator<Item = char> {
    let digit = move |at: u32| char::from_digit((u32::from(c) >> (4 * at)) & 0xf, 16);
    (0..digits).rev().filter_map(digit)
}

/// A text in quotes as Kubernetes prints it, which writes unprintable characters as `\x00` or `\u0085`.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c.is_ascii_control() => quoted.extend("\\x".chars().chain(hex(c, 2))),
            c if c.is_control() => quoted.extend("\\u".chars().chain(hex(c, 4))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

#[cfg(test)]
mod tests;
