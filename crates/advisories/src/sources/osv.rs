//! One advisory in the OSV schema (ossf.github.io/osv-schema, 1.7), JSON or YAML.
//!
//! Fields konzert does not use are ignored; a wrong type in a field it uses is an error that names the advisory. Ranges of git commits
//! are left out: no package has a commit for a version.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{AdvisoryError, FileFacts, Item, MAX_LIST, Reading, document, is_id, is_short, row};
use crate::{Advisory, Affected, BaseScore, Bound, Range, Severity, SourceKind, State, cvss, model};

const KIND: SourceKind = SourceKind::Osv;
/// Where publishers hide their own word.
const SEVERITY_KEYS: [&str; 4] = ["severity", "urgency", "ubuntu_priority", "priority"];
const STATE_KEYS: [&str; 4] = ["fix_state", "fix_status", "urgency", "status"];
const ARCH_KEYS: [&str; 3] = ["arch", "arches", "architectures"];
const MODULE_KEYS: [&str; 2] = ["module", "modularity"];

#[derive(Deserialize)]
struct Raw {
    id: Option<String>,
    modified: Option<Timestamp>,
    published: Option<Timestamp>,
    withdrawn: Option<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    upstream: Vec<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    related: Vec<String>,
    summary: Option<String>,
    details: Option<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    references: Vec<RawReference>,
    #[serde(default, deserialize_with = "absent_or_null")]
    severity: Vec<RawSeverity>,
    #[serde(default, deserialize_with = "absent_or_null")]
    affected: Vec<RawAffected>,
    database_specific: Option<Value>,
}

#[derive(Deserialize)]
struct RawReference {
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
struct RawSeverity {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    score: String,
}

#[derive(Deserialize)]
struct RawAffected {
    package: Option<RawPackage>,
    #[serde(default, deserialize_with = "one_or_many")]
    ranges: Vec<RawRange>,
    #[serde(default, deserialize_with = "absent_or_null")]
    versions: Vec<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    severity: Vec<RawSeverity>,
    ecosystem_specific: Option<Value>,
    database_specific: Option<Value>,
}

#[derive(Deserialize)]
struct RawPackage {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct RawRange {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    events: Vec<RawEvent>,
}

#[derive(Deserialize)]
struct RawEvent {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

/// Publishers write `null` for an empty list.
fn absent_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(input)?.unwrap_or_default())
}

/// Debian's ELTS feed writes a list of one range without the list.
fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<RawRange>, D::Error> {
    match Value::deserialize(input)? {
        Value::Null => Ok(Vec::new()),
        one @ Value::Object(_) => serde_json::from_value(one).map(|range| vec![range]),
        other => serde_json::from_value(other),
    }
    .map_err(serde::de::Error::custom)
}

pub(super) fn parse(bytes: &[u8], reading: &mut Reading<'_>) -> Result<FileFacts, AdvisoryError> {
    let advisory = parse_osv(bytes, reading.name)?;
    (reading.sink)(Item::Advisory(Box::new(advisory)));
    Ok(FileFacts::default())
}

/// Reads one OSV record; `name` is the file it came from, for errors.
pub fn parse_osv(bytes: &[u8], name: &str) -> Result<Advisory, AdvisoryError> {
    let limit = row(KIND).max_bytes;
    if bytes.len() > limit {
        return Err(AdvisoryError::TooLarge { name: name.to_owned(), kind: KIND, limit });
    }
    let raw: Raw = document(bytes, name, KIND)?;
    let reject = |field: &str, problem| AdvisoryError::Field {
        name: name.to_owned(),
        kind: KIND,
        field: field.to_owned(),
        problem,
    };
    let id = raw.id.ok_or_else(|| reject("id", "missing"))?;
    if !is_id(&id) {
        return Err(reject("id", "must be printable ASCII without spaces"));
    }
    let mut advisory = Advisory::empty(&id, "");
    advisory.modified = raw.modified.ok_or_else(|| reject("modified", "missing"))?;
    for (field, ids) in [("aliases", &raw.aliases), ("upstream", &raw.upstream), ("related", &raw.related)] {
        if ids.len() > MAX_LIST || ids.iter().any(|alias| !is_id(alias)) {
            return Err(reject(field, "must be a list of ids"));
        }
    }
    (advisory.aliases, advisory.upstream, advisory.related) = (raw.aliases, raw.upstream, raw.related);
    advisory.published = raw.published;
    advisory.withdrawn = raw.withdrawn.is_some();
    advisory.summary = raw.summary.unwrap_or_default();
    advisory.details = raw.details.unwrap_or_default();
    let addresses = raw.references.into_iter().map(|r| r.url).filter(|url| is_short(url));
    advisory.references = addresses.take(model::MAX_REFERENCES).collect();
    if raw.affected.len() > MAX_LIST {
        return Err(reject("affected", "too many entries"));
    }
    for (index, entry) in raw.affected.into_iter().enumerate() {
        let one = read_affected(entry)
            .map_err(|(field, problem)| reject(&format!("affected[{index}]{field}"), problem))?;
        advisory.affected.extend(one);
    }
    let (vector, score) = best_vector(&raw.severity).unwrap_or_default();
    (advisory.vector, advisory.score) = (vector, score);
    advisory.severity = word(raw.database_specific.as_ref())
        .or_else(|| spoken(&raw.severity))
        .or_else(|| announced(&advisory))
        .or_else(|| advisory.score.map(BaseScore::severity))
        .unwrap_or_default();
    Ok(advisory)
}

type FieldProblem = (&'static str, &'static str);

/// `None` for entries without a package, which name git commits only.
fn read_affected(raw: RawAffected) -> Result<Option<Affected>, FieldProblem> {
    let Some(package) = raw.package else { return Ok(None) };
    if !is_short(&package.ecosystem) || !is_short(&package.name) {
        return Err((".package", "ecosystem and name must be short printable text"));
    }
    if raw.versions.len() > MAX_LIST || raw.versions.iter().any(|v| !is_short(v)) {
        return Err((".versions", "must be a list of versions"));
    }
    if raw.ranges.len() > MAX_LIST {
        return Err((".ranges", "too many ranges"));
    }
    // Only git commits and no version list: nothing that a package's version could be held against.
    if !raw.ranges.is_empty() && raw.versions.is_empty() && raw.ranges.iter().all(|r| r.kind == "GIT") {
        return Ok(None);
    }
    let mut ranges = Vec::new();
    for range in raw.ranges.into_iter().filter(|r| r.kind != "GIT") {
        ranges.push(read_range(range)?);
    }
    let specific = [raw.ecosystem_specific.as_ref(), raw.database_specific.as_ref()];
    let informational = text(raw.database_specific.as_ref(), &["informational"]);
    let severity = word(specific[0])
        .or_else(|| word(specific[1]))
        .or_else(|| spoken(&raw.severity))
        // RustSec: nothing is wrong with the code of these.
        .or_else(|| matches!(informational, Some("unmaintained" | "notice")).then_some(Severity::Negligible))
        .or_else(|| best_vector(&raw.severity).and_then(|(_, score)| score).map(BaseScore::severity));
    let state = specific.iter().find_map(|s| State::parse(text(*s, &STATE_KEYS)?)).unwrap_or_default();
    Ok(Some(Affected {
        ecosystem: package.ecosystem,
        package: package.name,
        ranges,
        versions: raw.versions,
        state,
        severity,
        arches: specific.iter().find_map(|s| texts(*s, &ARCH_KEYS)).unwrap_or_default(),
        module: specific.iter().find_map(|s| text(*s, &MODULE_KEYS)).unwrap_or_default().to_owned(),
    }))
}

fn read_range(range: RawRange) -> Result<Range, FieldProblem> {
    if range.events.len() > MAX_LIST {
        return Err((".ranges", "too many events"));
    }
    let mut bounds = Vec::with_capacity(range.events.len());
    for event in range.events {
        let events = [
            event.introduced.map(Bound::Introduced),
            event.fixed.map(Bound::Fixed),
            event.last_affected.map(Bound::LastAffected),
            event.limit.map(Bound::Limit),
        ];
        bounds.extend(events.into_iter().flatten());
    }
    if bounds.iter().any(|b| !is_short(b.version())) {
        return Err((".ranges", "a version is empty or too long"));
    }
    if !bounds.iter().any(|b| matches!(b, Bound::Introduced(_))) {
        return Err((".ranges", "a range has no introduced event"));
    }
    Ok(bounds)
}

fn text<'a>(specific: Option<&'a Value>, keys: &[&str]) -> Option<&'a str> {
    let specific = specific?;
    keys.iter().find_map(|key| specific.get(key)?.as_str()).filter(|text| is_short(text))
}

fn texts(specific: Option<&Value>, keys: &[&str]) -> Option<Vec<String>> {
    let specific = specific?;
    keys.iter().find_map(|key| {
        let list = match specific.get(key)? {
            Value::String(one) => vec![one.clone()],
            Value::Array(many) => many.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            _ => return None,
        };
        list.iter().all(|arch| is_short(arch)).then_some(list)
    })
}

fn word(specific: Option<&Value>) -> Option<Severity> {
    let specific = specific?;
    SEVERITY_KEYS.iter().find_map(|key| Severity::parse(specific.get(key)?.as_str()?))
}

/// Ubuntu writes its word where others write a vector.
fn spoken(all: &[RawSeverity]) -> Option<Severity> {
    all.iter().filter(|s| !s.kind.starts_with("CVSS")).find_map(|s| Severity::parse(&s.score))
}

/// Notices of the Red Hat family have it in the title: `Important: libsoup3 security update`.
fn announced(advisory: &Advisory) -> Option<Severity> {
    let family = ["ALSA-", "RHSA-", "RLSA-", "RXSA-", "ELSA-"];
    if !family.iter().any(|prefix| advisory.id.starts_with(prefix)) {
        return None;
    }
    Severity::parse(advisory.summary.split_once(':')?.0)
}

/// The first v3 vector that can be scored, else the first v4 one.
fn best_vector(all: &[RawSeverity]) -> Option<(String, Option<BaseScore>)> {
    let of = |version: &str| {
        let vectors = all.iter().map(|s| s.score.trim()).filter(|v| v.starts_with(version));
        vectors.map(str::to_owned).find_map(|v| cvss::score(&v).map(|score| (v, Some(score))))
    };
    of("CVSS:3").or_else(|| of("CVSS:4"))
}
