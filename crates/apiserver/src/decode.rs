//! Request bodies: from JSON, YAML or protobuf to an object of a known kind.
//!
//! Bounds: the body's size is limited before it gets here; YAML's aliases and depth, JSON's and protobuf's depth here and in
//! the decoders. Nothing is dropped in silence: unknown and duplicate fields are an error or a warning, as
//! `fieldValidation` says.

mod duplicates;
mod identity;

use bytes::Bytes;
use konzert_api::patch::{cannot_unmarshal, whole_numbers};
use konzert_api::{ApiError, FieldError, GroupKind, Gvk, Kind, meta, protobuf, schema};
use serde::de::DeserializeSeed as _;
use serde_json::Value;

use self::duplicates::Duplicates;
pub(crate) use self::identity::{expect_kind, not_registered};
use self::identity::{header, unrecognized};
use crate::options::FieldValidation;

/// So much of a document without a kind is shown.
const MISSING_KIND_SHOWN: usize = 30;
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Deeper documents are refused; no Kubernetes object comes near. Half of what JSON may have, because a level of YAML costs the
/// reader far more stack, and a worker has 2 MiB of it.
const YAML_DEPTH: usize = 64;
const YAML_NODES: usize = 200_000;
const YAML_EVENTS: usize = 1_000_000;

/// A request body and how it says it is encoded.
#[derive(Clone, Debug)]
pub(crate) struct RawBody {
    /// Media type, lower case, without parameters.
    pub(crate) content_type: String,
    pub(crate) bytes: Bytes,
}

/// A decoded document and what is odd about it (duplicate fields).
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    pub(crate) problems: Vec<String>,
}

/// The problems of a document as a strict reader reports them: those of YAML under one heading.
pub(crate) fn strict_problems(problems: &[String]) -> Vec<String> {
    let (yaml, mut other): (Vec<&String>, Vec<&String>) =
        problems.iter().partition(|p| p.starts_with("line "));
    let heading = (!yaml.is_empty()).then(|| {
        yaml.iter().fold("yaml: unmarshal errors:".to_owned(), |text, line| format!("{text}\n  {line}"))
    });
    heading.into_iter().chain(other.drain(..).cloned()).collect()
}

impl RawBody {
    /// Decodes by content type; 415 for one that is not known.
    pub(crate) fn document(&self) -> Result<Document, ApiError> {
        match self.content_type.as_str() {
            "" | JSON => json(&self.bytes),
            YAML => yaml(&self.bytes),
            PROTOBUF => protobuf_document(&self.bytes),
            _ => Err(ApiError::unsupported_media_type(&[JSON, YAML, PROTOBUF])),
        }
    }

    /// As [`Self::document`], for an object: what cannot be one is refused, naming the `kind` it should be.
    pub(crate) fn object(&self, kind: &str) -> Result<Document, ApiError> {
        let Document { value, problems } = match self.document() {
            Err(error) if error.code == 400 => return Err(unrecognized(kind, &error.message, &self.bytes)),
            other => other?,
        };
        let value = header(value).map_err(|why| unrecognized(kind, &why, &self.bytes))?;
        Ok(Document { value, problems })
    }

    /// Options that may come as a body: `None` for an empty one.
    pub(crate) fn options(&self) -> Result<Option<Value>, ApiError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        header(self.document()?.value).map(Some).map_err(ApiError::bad_request)
    }
}

/// JSON with duplicate fields reported.
pub(crate) fn json(bytes: &[u8]) -> Result<Document, ApiError> {
    match schema::parse_json_strict(bytes) {
        Ok((value, problems)) => Ok(Document { value, problems }),
        Err(error) if error.code == 400 => Err(match schema::syntax_error(bytes) {
            Some(why) => ApiError::bad_request(format!("couldn't get version/kind; json parse error: {why}")),
            // Valid, but too much.
            None => error,
        }),
        Err(error) => Err(error),
    }
}

/// One YAML document, with limits against bombs and duplicate keys reported in the words of Kubernetes.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Document, ApiError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: YAML_DEPTH,
            max_nodes: YAML_NODES,
            max_events: YAML_EVENTS,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    };
    let duplicates = Duplicates::default();
    let text = std::str::from_utf8(bytes)
        .map_err(|e| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {e}")))?;
    let value = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        duplicates.seed().deserialize(deserializer)
    })
    .map_err(|e| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {e}")))?;
    if schema::too_deep(&value) {
        return Err(ApiError::bad_request("error converting YAML to JSON: yaml: exceeded max depth"));
    }
    Ok(Document { value, problems: duplicates.into_problems() })
}

/// A configuration to apply: YAML, of which JSON is a part.
pub(crate) fn apply_document(bytes: &[u8]) -> Result<Document, ApiError> {
    let undecodable = |why: &str| ApiError::bad_request(format!("error decoding patch: {why}"));
    let document = match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        None => Ok(Document { value: Value::Null, problems: Vec::new() }),
        // Flow style without quotes is YAML and not JSON, and the lines of duplicate keys are known to YAML only.
        Some(b'{') => match json(bytes) {
            Ok(document) if document.problems.is_empty() => Ok(document),
            Ok(document) => yaml(bytes).or(Ok(document)),
            Err(_not_json) => yaml(bytes),
        },
        Some(_) => yaml(bytes),
    };
    let mut document = document.map_err(|error| undecodable(&error.message))?;
    whole_numbers(&mut document.value);
    match document.value {
        Value::Object(_) => Ok(document),
        Value::Null => Ok(Document { value: serde_json::json!({}), problems: document.problems }),
        other => {
            let why = cannot_unmarshal(&other, "map[string]interface {}");
            Err(undecodable(&format!("error unmarshaling JSON: while decoding JSON: {why}")))
        }
    }
}

fn protobuf_document(bytes: &[u8]) -> Result<Document, ApiError> {
    let decoded = protobuf::decode(bytes)?;
    let problems = match decoded.unknown_fields {
        0 => Vec::new(),
        n => vec![format!("{n} protobuf fields are unknown to this server")],
    };
    let mut value = decoded.value;
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), decoded.api_version.into());
        map.insert("kind".to_owned(), decoded.kind.into());
    }
    Ok(Document { value, problems })
}

/// Custom objects say what they are.
fn expect_custom(object: &Value, kind: &Kind) -> Result<(), ApiError> {
    let given = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    if given("kind").is_empty() {
        let body = object.to_string();
        let start: String = body.chars().take(MISSING_KIND_SHOWN).collect();
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{body}' ({start} ...)",
            kind.kind()
        )));
    }
    if given("apiVersion") != kind.api_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            given("apiVersion"),
            kind.api_version()
        )));
    }
    if given("kind") != kind.kind() {
        let error = FieldError::invalid("kind", given("kind"), format!("must be {}", kind.kind()));
        let found = GroupKind::new(kind.group(), given("kind"));
        return Err(ApiError::invalid(&found, meta::name(object), vec![error]));
    }
    Ok(())
}

/// Brings a decoded object into the shape of its kind: kind checked, unknown fields reported and dropped, types checked,
/// defaults filled in. Returns the warnings.
pub(crate) fn shape(
    kind: &Kind,
    object: &mut Value,
    mut problems: Vec<String>,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    if kind.is_custom() {
        expect_custom(object, kind)?;
    }
    expect_kind(object, &kind.api_version(), kind.kind())?;
    let unknown = if kind.is_custom() {
        kind.prune(object)
    } else {
        let unknown = schema::unknown_fields(kind.gvk(), object);
        schema::prune_unknown(kind.gvk(), object);
        unknown
    };
    if validation == FieldValidation::Strict && !(problems.is_empty() && unknown.is_empty()) {
        return Err(schema::strict_decoding_error(kind.gvk(), &unknown, &strict_problems(&problems)));
    }
    problems.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    kind.decode(object)?;
    if let Some(metadata) = meta::metadata_mut(object) {
        metadata.remove("selfLink");
    }
    kind.default(object);
    Ok(if validation == FieldValidation::Warn { problems } else { Vec::new() })
}

/// As [`shape`], for what is sent to a subresource and is no resource of its own.
pub(crate) fn shape_part(
    gvk: &Gvk,
    object: &mut Value,
    mut problems: Vec<String>,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    expect_kind(object, &gvk.api_version(), &gvk.kind)?;
    let unknown = schema::unknown_fields(gvk, object);
    schema::prune_unknown(gvk, object);
    if validation == FieldValidation::Strict && !(problems.is_empty() && unknown.is_empty()) {
        return Err(schema::strict_decoding_error(gvk, &unknown, &strict_problems(&problems)));
    }
    meta::strip_nulls(object);
    schema::check_types(gvk, object)?;
    problems.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    Ok(if validation == FieldValidation::Warn { problems } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use konzert_api::Catalogue;
    use serde_json::json;

    use super::*;

    fn body(content_type: &str, text: &str) -> RawBody {
        RawBody { content_type: content_type.to_owned(), bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn encodings() {
        assert_eq!(body(JSON, r#"{"a":1}"#).document().unwrap().value, json!({"a": 1}));
        assert_eq!(body(YAML, "a: 1\nb: [x]\n").document().unwrap().value, json!({"a": 1, "b": ["x"]}));
        assert_eq!(body("text/html", "x").document().unwrap_err().code, 415);
        assert_eq!(body(JSON, "{").document().unwrap_err().code, 400);
        assert_eq!(body(YAML, "a: [").document().unwrap_err().code, 400);
        assert_eq!(body(PROTOBUF, "k8s\0rubbish").document().unwrap_err().code, 400);
    }

    #[test]
    fn a_yaml_bomb_is_refused() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let alias = format!("*a{},", n - 1).repeat(10);
            text = format!("{text}a{n}: &a{n} [{}]\n", alias.trim_end_matches(','));
        }
        assert_eq!(body(YAML, &text).document().unwrap_err().code, 400);
        let deep = "[".repeat(100_000);
        assert_eq!(body(YAML, &deep).document().unwrap_err().code, 400);
        assert_eq!(body(JSON, &deep).document().unwrap_err().code, 400);
    }

    /// Found by the fuzzer: maps with integer keys inside lists, on the stack of a worker.
    #[test]
    fn nesting_does_not_exhaust_the_stack() {
        let text = format!("a: {}", "[=z\\n\"ql 0xa: ".repeat(90));
        assert_eq!(body(YAML, &text).document().unwrap_err().code, 400);
        let pairs = format!("a: {}1{}", "[0xa: ".repeat(200), "]".repeat(200));
        assert_eq!(body(YAML, &pairs).document().unwrap_err().code, 400);
    }

    #[test]
    fn duplicate_keys_of_yaml() {
        let text = "kind: ConfigMap\nmetadata:\n  name: a\n  name: b\ndata:\n  k: v\n  k: w\nodd: 1\n";
        let document = body(YAML, text).document().unwrap();
        assert_eq!(document.value["data"], json!({ "k": "w" }));
        let lines = ["line 4: key \"name\" already set in map", "line 7: key \"k\" already set in map"];
        assert_eq!(document.problems, lines);
        let kind = Catalogue::builtin().by_resource("", "v1", "configmaps").unwrap();
        let shaped =
            |validation| shape(&kind, &mut document.value.clone(), document.problems.clone(), validation);
        let strict = shaped(FieldValidation::Strict).unwrap_err();
        assert_eq!(
            strict.message,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:\n  \
             line 4: key \"name\" already set in map\n  line 7: key \"k\" already set in map, unknown field \"odd\""
        );
        let warned = shaped(FieldValidation::Warn).unwrap();
        assert_eq!(warned, [lines[0], lines[1], "unknown field \"odd\""]);
    }

    #[test]
    fn field_validation() {
        let kind = Catalogue::builtin().by_resource("", "v1", "configmaps").unwrap();
        let object = || json!({"metadata": {"name": "a"}, "data": {"k": "v"}, "odd": 1});
        let mut warned = object();
        let warnings = shape(&kind, &mut warned, Vec::new(), FieldValidation::Warn).unwrap();
        assert_eq!(warnings, ["unknown field \"odd\""]);
        assert!(warned.get("odd").is_none());
        let error = shape(&kind, &mut object(), Vec::new(), FieldValidation::Strict).unwrap_err();
        assert_eq!(error.code, 400);
        assert!(error.message.contains("strict decoding error: unknown field \"odd\""), "{}", error.message);
        assert!(shape(&kind, &mut object(), Vec::new(), FieldValidation::Ignore).unwrap().is_empty());
    }

    #[test]
    fn the_wrong_kind_is_refused() {
        let kind = Catalogue::builtin().by_resource("", "v1", "configmaps").unwrap();
        let check =
            |mut value| shape(&kind, &mut value, Vec::new(), FieldValidation::Ignore).unwrap_err().code;
        assert_eq!(check(json!({"apiVersion": "v1", "kind": "Secret"})), 400);
        assert_eq!(check(json!({"apiVersion": "v2", "kind": "ConfigMap"})), 400);
        assert_eq!(check(json!([])), 400);
    }
}
