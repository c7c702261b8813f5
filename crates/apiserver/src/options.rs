//! Query parameters, read once into typed options.
//!
//! Invariant: a parameter that changes meaning and is not supported is an error, never silence; so is a value that is not
//! understood. What a parameter means for a verb is decided in [`crate::registry`].

use std::collections::BTreeMap;
use std::num::{IntErrorKind, ParseIntError};
use std::time::Duration;

use http::HeaderMap;
use http::header::USER_AGENT;
use jiff::Timestamp;
use konzert_api::apply::{manager_of_user_agent, validate_manager_name};
use konzert_api::{ApiError, FieldError, GroupKind};

use crate::request::{PlusSign, percent_decode};

const MAX_QUERY_BYTES: usize = 64 * 1024;

/// Parameters of Kubernetes that change what is done, and that this server cannot do. Names that nobody knows are ignored,
/// as Kubernetes does: client libraries add their own.
const UNSUPPORTED: &[&str] = &["shardSelector"];

/// The decoded query string; the first value of a repeated parameter wins, except where lists are asked for.
#[derive(Debug, Default)]
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Decodes `raw`, the part after `?`.
    pub(crate) fn parse(raw: Option<&str>) -> Result<Self, ApiError> {
        let raw = raw.unwrap_or_default();
        if raw.len() > MAX_QUERY_BYTES {
            return Err(ApiError::bad_request("the query string is too long"));
        }
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| {
                percent_decode(text, PlusSign::Space).ok_or_else(|| {
                    ApiError::bad_request(format!(
                        "the query parameter {pair:?} is not valid percent-encoded UTF-8"
                    ))
                })
            };
            all.entry(decode(key)?).or_default().push(decode(value)?);
        }
        Ok(Self(all))
    }

    /// Refuses parameters that would change the meaning of the request.
    pub(crate) fn refuse_unsupported(&self) -> Result<(), ApiError> {
        match UNSUPPORTED.iter().find(|key| self.text(key).is_some()) {
            None => Ok(()),
            Some(key) => Err(ApiError::bad_request(format!(
                "the query parameter {key:?} is not supported by this server; it would have been ignored"
            ))),
        }
    }

    /// The first value, `None` when absent or empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|v| v.first()).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// All values.
    pub(crate) fn texts(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Present without a value counts as true, as Kubernetes reads it; so does everything but `0` and `false`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.optional_flag(key).unwrap_or(false)
    }

    /// `None` when absent.
    pub(crate) fn optional_flag(&self, key: &str) -> Option<bool> {
        let value = self.0.get(key)?.first()?;
        Some(!matches!(value.to_ascii_lowercase().as_str(), "0" | "false"))
    }

    /// A whole number, `None` when absent.
    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, ApiError> {
        self.text(key).map(|text| text.parse().map_err(|error| bad_number(text, &error))).transpose()
    }
}

fn bad_number(text: &str, error: &ParseIntError) -> ApiError {
    let what = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {what}"))
}

/// What happens to unknown and duplicate fields of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    /// Who owns what is written; empty when nobody said so.
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    pub(crate) field_validation: FieldValidation,
}

impl WriteOptions {
    /// From the query; `kind` is the options' name in error messages.
    pub(crate) fn parse(query: &Query, kind: &'static str) -> Result<Self, ApiError> {
        let field_validation = match query.text("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Strict") => FieldValidation::Strict,
            Some("Ignore") => FieldValidation::Ignore,
            Some(other) => {
                let error =
                    FieldError::not_supported("fieldValidation", other, &["", "Ignore", "Strict", "Warn"]);
                return Err(options_invalid(kind, error));
            }
        };
        let manager = query.text("fieldManager").unwrap_or_default().to_owned();
        let errors = validate_manager_name("fieldManager", &manager);
        if !errors.is_empty() {
            return Err(ApiError::invalid(&GroupKind::new("meta.k8s.io", kind), "", errors));
        }
        Ok(Self { manager, dry_run: dry_run(query.texts("dryRun"), kind)?, field_validation })
    }

    /// Without a `fieldManager` the user agent says who writes.
    pub(crate) fn or_agent(mut self, headers: &HeaderMap) -> Self {
        if self.manager.is_empty() {
            let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            self.manager = manager_of_user_agent(agent);
        }
        self
    }
}

/// Reads `dryRun`; the only value is `All`.
pub(crate) fn dry_run(values: &[String], kind: &'static str) -> Result<bool, ApiError> {
    let given: Vec<&String> = values.iter().collect();
    match dry_run_error(&given) {
        None => Ok(!given.is_empty()),
        Some(error) => Err(options_invalid(kind, error)),
    }
}

/// What is wrong with the values of `dryRun`; all of them are shown.
pub(crate) fn dry_run_error(given: &[&String]) -> Option<FieldError> {
    let wrong = given.iter().any(|value| *value != "All");
    wrong.then(|| FieldError::not_supported("dryRun", serde_json::json!(given), &["All"]))
}

pub(crate) fn options_invalid(kind: &'static str, error: FieldError) -> ApiError {
    options_errors(kind, vec![error])
}

/// 422 about options, which are an object of the group `meta.k8s.io`.
pub(crate) fn options_errors(kind: &'static str, errors: Vec<FieldError>) -> ApiError {
    ApiError::invalid(&GroupKind::new("meta.k8s.io", kind), "", errors)
}

/// How `resourceVersion` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    NotOlderThan,
    Exact,
}

/// A `resourceVersion` parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionAsked {
    /// Absent: the most recent state.
    Latest,
    /// `0`: any state will do.
    Any,
    /// A revision.
    At(u64),
}

/// Options of list, watch and deletecollection.
#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    pub(crate) label_selector: Option<String>,
    pub(crate) field_selector: Option<String>,
    pub(crate) version: VersionAsked,
    pub(crate) version_match: Option<VersionMatch>,
    pub(crate) limit: Option<usize>,
    pub(crate) continue_token: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads and cross-checks the parameters. `watch` selects the rules.
    pub(crate) fn parse(query: &Query, watch: bool) -> Result<Self, ApiError> {
        // Zero and less have always meant "no limit".
        let limit = query.number("limit")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let options = Self {
            label_selector: query.text("labelSelector").map(str::to_owned),
            field_selector: query.text("fieldSelector").map(str::to_owned),
            version: resource_version(query)?,
            version_match: version_match(query),
            limit,
            continue_token: query.text("continue").map(str::to_owned),
            timeout: query
                .number("timeoutSeconds")?
                .and_then(|s| u64::try_from(s).ok())
                .filter(|s| *s > 0)
                .map(Duration::from_secs),
            bookmarks: query.flag("allowWatchBookmarks"),
            send_initial_events: query.optional_flag("sendInitialEvents"),
        };
        let sent = query.text("resourceVersionMatch");
        let errors = if watch { options.watch_errors(sent) } else { options.list_errors(sent) };
        if !errors.is_empty() {
            return Err(options_errors("ListOptions", errors));
        }
        let at_revision = matches!(options.version, VersionAsked::At(_));
        if !watch && options.continue_token.is_some() && at_revision {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        Ok(options)
    }

    /// `sent` is `resourceVersionMatch` as the client wrote it.
    fn list_errors(&self, sent: Option<&str>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(sent) = sent {
            let mut forbid = |why: &str| errors.push(FieldError::forbidden(MATCH, why));
            if self.version == VersionAsked::Latest {
                forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if self.continue_token.is_some() {
                forbid("resourceVersionMatch is forbidden when continue is provided");
            }
            if self.version_match == Some(VersionMatch::Exact) && self.version == VersionAsked::Any {
                forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
            if self.version_match.is_none() {
                errors.push(FieldError::not_supported(MATCH, sent, &["Exact", "NotOlderThan", ""]));
            }
        }
        if self.send_initial_events.is_some() {
            let why = "sendInitialEvents is forbidden for list";
            errors.push(FieldError::forbidden("sendInitialEvents", why));
        }
        errors
    }

    fn watch_errors(&self, sent: Option<&str>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let newer = self.version_match == Some(VersionMatch::NotOlderThan);
        if self.send_initial_events.is_some() && !newer {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(MATCH, why));
        }
        if let Some(sent) = sent {
            if self.send_initial_events.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(FieldError::forbidden(MATCH, why));
            }
            if !newer {
                errors.push(FieldError::not_supported(MATCH, sent, &["NotOlderThan"]));
            }
        }
        if self.continue_token.is_some() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(MATCH, why));
        }
        errors
    }
}

/// The parameter that most of the rules are about.
const MATCH: &str = "resourceVersionMatch";

/// Reads `resourceVersion`; 400 when it is no number.
pub(crate) fn resource_version(query: &Query) -> Result<VersionAsked, ApiError> {
    match query.text("resourceVersion") {
        None => Ok(VersionAsked::Latest),
        Some("0") => Ok(VersionAsked::Any),
        Some(text) => text.parse().map(VersionAsked::At).map_err(|_e| {
            ApiError::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing \
                 {text:?}: invalid syntax"
            ))
        }),
    }
}

/// `None` for absent, and for what is reported later.
fn version_match(query: &Query) -> Option<VersionMatch> {
    match query.text(MATCH)? {
        "NotOlderThan" => Some(VersionMatch::NotOlderThan),
        "Exact" => Some(VersionMatch::Exact),
        _ => None,
    }
}

/// What of a container's log is wanted, as the query says it.
#[derive(Debug)]
pub(crate) struct LogOptions {
    pub(crate) container: Option<String>,
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) timestamps: bool,
    pub(crate) tail_lines: Option<u64>,
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) since: Option<Timestamp>,
}

impl LogOptions {
    /// `now` turns `sinceSeconds` into an instant.
    pub(crate) fn parse(query: &Query, now: Timestamp) -> Result<Self, ApiError> {
        if query.text("stream").is_some_and(|s| s != "All") {
            return Err(ApiError::bad_request("only stream=All is supported: both streams share one log"));
        }
        Ok(Self {
            container: query.text("container").map(str::to_owned),
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            tail_lines: not_negative(query, "tailLines")?,
            limit_bytes: not_negative(query, "limitBytes")?,
            since: log_since(query, now)?,
        })
    }
}

fn log_since(query: &Query, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    match (query.text("sinceTime"), not_negative(query, "sinceSeconds")?) {
        (Some(_), Some(_)) => {
            Err(ApiError::bad_request("at most one of sinceTime or sinceSeconds may be specified"))
        }
        (Some(text), None) => text.parse().map(Some).map_err(|_error| {
            let why = format!("unable to decode query parameter sinceTime: invalid value {text:?}");
            ApiError::bad_request(why)
        }),
        (None, Some(seconds)) => {
            let span = i64::try_from(seconds).ok().map(jiff::SignedDuration::from_secs);
            Ok(Some(span.and_then(|s| now.checked_sub(s).ok()).unwrap_or(Timestamp::UNIX_EPOCH)))
        }
        (None, None) => Ok(None),
    }
}

fn not_negative(query: &Query, key: &str) -> Result<Option<u64>, ApiError> {
    query
        .number(key)?
        .map(|n| u64::try_from(n).map_err(|_e| ApiError::bad_request(format!("{key} must not be negative"))))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(raw: &str, watch: bool) -> Result<ListOptions, ApiError> {
        let query = Query::parse(Some(raw))?;
        query.refuse_unsupported()?;
        ListOptions::parse(&query, watch)
    }

    #[test]
    fn reject_rules_of_list_and_watch() {
        let list_table = [
            ("limit=500", 0),
            ("resourceVersion=0&resourceVersionMatch=NotOlderThan", 0),
            ("resourceVersion=7&resourceVersionMatch=Exact", 0),
            ("sendInitialEvents=true", 422),
            ("resourceVersionMatch=Exact", 422),
            ("resourceVersion=0&resourceVersionMatch=Exact", 422),
            ("resourceVersion=7&resourceVersionMatch=Odd", 422),
            ("continue=x&resourceVersion=7", 400),
            ("continue=x&resourceVersion=0&resourceVersionMatch=NotOlderThan", 422),
            ("limit=-1", 0),
            ("limit=x", 400),
            ("resourceVersion=x", 400),
            ("shardSelector=x", 400),
            ("timeout=32s&somebodys=own", 0),
        ];
        for (raw, code) in list_table {
            assert_eq!(list(raw, false).map_or_else(|e| e.code, |_| 0), code, "{raw}");
        }
        let watch_table = [
            ("resourceVersion=7&allowWatchBookmarks=true&timeoutSeconds=5", 0),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 0),
            ("sendInitialEvents=true", 422),
            ("sendInitialEvents=true&resourceVersionMatch=Exact", 422),
            ("resourceVersion=7&resourceVersionMatch=NotOlderThan", 422),
            ("continue=x", 422),
            ("resourceVersion=x", 400),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x", 422),
        ];
        for (raw, code) in watch_table {
            assert_eq!(list(raw, true).map_or_else(|e| e.code, |_| 0), code, "{raw}");
        }
    }

    #[test]
    fn every_broken_rule_is_named() {
        let message = |raw, watch| list(raw, watch).unwrap_err().message;
        assert_eq!(
            message("resourceVersionMatch=Exact", false),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden \
             unless resourceVersion is provided"
        );
        assert_eq!(
            message("sendInitialEvents=true&resourceVersionMatch=Exact", true),
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting \
             resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \
             \"NotOlderThan\"]"
        );
        assert_eq!(
            message("resourceVersion=0&resourceVersionMatch=Exact&sendInitialEvents=1", false),
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is \
             forbidden for resourceVersion \"0\", sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list]"
        );
    }

    #[test]
    fn write_options() {
        let parse = |raw: &str| WriteOptions::parse(&Query::parse(Some(raw)).unwrap(), "CreateOptions");
        assert!(parse("dryRun=All").unwrap().dry_run);
        assert_eq!(parse("dryRun=").unwrap_err().code, 422);
        assert_eq!(parse("dryRun=Server").unwrap_err().code, 422);
        assert_eq!(parse("fieldValidation=Strict").unwrap().field_validation, FieldValidation::Strict);
        assert_eq!(parse("").unwrap().field_validation, FieldValidation::Warn);
        assert_eq!(parse("fieldValidation=x").unwrap_err().code, 422);
        assert_eq!(parse("fieldManager=me").unwrap().manager, "me");
        assert_eq!(parse(&format!("fieldManager={}", "x".repeat(129))).unwrap_err().code, 422);
        assert_eq!(parse("fieldManager=a%07").unwrap_err().code, 422);
        let agent = |agent: &str| HeaderMap::from_iter([(USER_AGENT, agent.parse().unwrap())]);
        assert_eq!(parse("").unwrap().or_agent(&agent("kubectl/v1 (x)")).manager, "kubectl");
        assert_eq!(parse("fieldManager=me").unwrap().or_agent(&agent("kubectl/v1")).manager, "me");
    }

    #[test]
    fn log_options() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let parse = |raw| LogOptions::parse(&Query::parse(Some(raw)).unwrap(), now);
        let options = parse("follow=true&tailLines=5&sinceSeconds=60&container=a").unwrap();
        assert!(options.follow);
        assert_eq!(options.tail_lines, Some(5));
        assert_eq!(options.since.unwrap().to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(parse("tailLines=-1").unwrap_err().code, 400);
        assert_eq!(parse("stream=Stdout").unwrap_err().code, 400);
        assert_eq!(parse("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z").unwrap_err().code, 400);
    }

    #[test]
    fn query_decoding() {
        let query = Query::parse(Some("labelSelector=a%3Db%2Cc+in+(d)&watch")).unwrap();
        assert_eq!(query.text("labelSelector"), Some("a=b,c in (d)"));
        assert!(query.flag("watch"));
        assert!(Query::parse(Some("a=%ff")).is_err());
    }
}
