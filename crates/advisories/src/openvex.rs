//! `OpenVEX` 0.2.0 documents: read as a filter over findings, and written.
//!
//! Pure: the image's own names are arguments. A statement applies to a finding when it names the vulnerability (or an alias), and names
//! the image as product with the package (or nothing) as subcomponent, or the package itself as product. Of several
//! statements that apply, the one with the latest time holds (specification, "Statement Precedence").

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Finding, FindingState};

/// Largest document.
const MAX_BYTES: usize = 32 << 20;
/// Most statements of a document.
const MAX_STATEMENTS: usize = 100_000;
/// The context this program writes.
pub const CONTEXT: &str = "https://openvex.dev/ns/v0.2.0";

/// Why a document is not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VexError {
    /// Not JSON, or a field of the wrong type.
    #[error("{name}: not an OpenVEX document")]
    Syntax {
        /// The file.
        name: String,
        /// What the parser met, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A field is missing or impossible.
    #[error("{name}: not an OpenVEX document: field {field}: {problem}")]
    Field {
        /// The file.
        name: String,
        /// Path of the field.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The context, with version.
    #[serde(rename = "@context")]
    pub context: String,
    /// IRI of the document.
    #[serde(rename = "@id")]
    pub id: String,
    /// Who says it.
    pub author: String,
    /// When.
    pub timestamp: Timestamp,
    /// Counted up with every change.
    pub version: u64,
    /// The program that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tooling: Option<String>,
    /// What it says.
    pub statements: Vec<Statement>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// About which vulnerability.
    pub vulnerability: Vulnerability,
    /// About which products.
    #[serde(default)]
    pub products: Vec<Product>,
    /// What holds.
    pub status: Status,
    /// Why it is not affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<Justification>,
    /// Why it is not affected, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact_statement: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_statement: Option<String>,
    /// When, if not at the document's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// A vulnerability by its names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vulnerability {
    /// IRI.
    #[serde(rename = "@id", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `CVE-2026-1`.
    pub name: String,
    /// Other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// A product or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// IRI, mostly a purl.
    #[serde(rename = "@id", default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// `purl`, `cpe22`, `cpe23`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identifiers: BTreeMap<String, String>,
    /// `sha-256` and others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<String, String>,
    /// The parts that the statement is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subcomponents: Vec<Product>,
}

/// What holds of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing has to be done.
    NotAffected,
    /// Something should be done.
    Affected,
    /// The product has the fix.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

/// Why a product is not affected (specification, "Status Justifications").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Justification {
    /// The part is not in the product.
    ComponentNotPresent,
    /// The code is not in the part.
    VulnerableCodeNotPresent,
    /// The code never runs.
    VulnerableCodeNotInExecutePath,
    /// No attacker reaches the code.
    VulnerableCodeCannotBeControlledByAdversary,
    /// Something else stops it.
    InlineMitigationsAlreadyExist,
}

impl Document {
    /// Reads a document; `name` is the file, for errors.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, VexError> {
        let field = |field: String, problem| VexError::Field { name: name.to_owned(), field, problem };
        if bytes.len() > MAX_BYTES {
            return Err(field("document".to_owned(), "too large"));
        }
        let document: Self = serde_json::from_slice(bytes)
            .map_err(|source| VexError::Syntax { name: name.to_owned(), source })?;
        if !document.context.starts_with("https://openvex.dev/ns") {
            return Err(field("@context".to_owned(), "must be an OpenVEX context"));
        }
        if document.statements.len() > MAX_STATEMENTS {
            return Err(field("statements".to_owned(), "too many"));
        }
        for (index, statement) in document.statements.iter().enumerate() {
            if statement.vulnerability.name.is_empty() {
                return Err(field(format!("statements[{index}].vulnerability.name"), "missing"));
            }
            let reasoned = statement.justification.is_some() || statement.impact_statement.is_some();
            if statement.status == Status::NotAffected && !reasoned {
                let problem = "not_affected needs a justification or an impact_statement";
                return Err(field(format!("statements[{index}].justification"), problem));
            }
        }
        Ok(document)
    }
}

/// What was looked at, by every name it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Names of the image: reference, digest, `pkg:oci/…`; empty when something else was scanned.
    pub image: &'a [String],
    /// purls of a finding's package, binary and source.
    pub package: &'a [String],
}

/// What VEX statements made of findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// What is left, with the state that statements gave.
    pub findings: Vec<Finding>,
    /// What statements took away, and the reason each gave.
    pub suppressed: Vec<(Finding, String)>,
}

/// Applies documents to findings; `purls` tells the purls of a finding's package.
pub fn apply(
    documents: &[Document],
    findings: Vec<Finding>,
    image: &[String],
    purls: impl Fn(&Finding) -> Vec<String>,
) -> Filtered {
    let mut out = Filtered::default();
    for mut finding in findings {
        let package = purls(&finding);
        let subject = Subject { image, package: &package };
        let Some(statement) = verdict(documents, &finding, &subject) else {
            out.findings.push(finding);
            continue;
        };
        match statement.status {
            Status::NotAffected => finding.state = FindingState::NotAffected,
            Status::Fixed => finding.state = FindingState::Fixed,
            Status::Affected => finding.state = FindingState::Affected,
            Status::UnderInvestigation => finding.state = FindingState::UnderInvestigation,
        }
        if matches!(statement.status, Status::NotAffected | Status::Fixed) {
            out.suppressed.push((finding, reason(statement)));
        } else {
            out.findings.push(finding);
        }
    }
    out
}

fn reason(statement: &Statement) -> String {
    let word = statement.justification.and_then(|j| serde_json::to_value(j).ok());
    let word = word.as_ref().and_then(|j| j.as_str()).map(str::to_owned);
    let words = statement.impact_statement.clone().or(word);
    words.unwrap_or_else(|| "the product has the fix".to_owned())
}

/// The latest statement about a finding; of equal times the later in the documents.
fn verdict<'a>(documents: &'a [Document], finding: &Finding, subject: &Subject<'_>) -> Option<&'a Statement> {
    let all = documents
        .iter()
        .flat_map(|d| d.statements.iter().map(move |s| (s.timestamp.unwrap_or(d.timestamp), s)));
    let about = all.filter(|(_, s)| names(&s.vulnerability, finding) && concerns(s, subject));
    about.max_by_key(|(at, _)| *at).map(|(_, statement)| statement)
}

fn names(vulnerability: &Vulnerability, finding: &Finding) -> bool {
    std::iter::once(&vulnerability.name).chain(&vulnerability.aliases).any(|id| finding.is_named(id))
}

fn concerns(statement: &Statement, subject: &Subject<'_>) -> bool {
    statement.products.iter().any(|product| {
        let image = subject.image.iter().any(|name| is_product(product, name));
        let parts = &product.subcomponents;
        let part = || parts.iter().any(|part| subject.package.iter().any(|purl| is_product(part, purl)));
        if image {
            return parts.is_empty() || part();
        }
        parts.is_empty() && subject.package.iter().any(|purl| is_product(product, purl))
    })
}

/// Whether a product is this name: the same text, one of its identifiers or hashes, or a purl that says less.
fn is_product(product: &Product, name: &str) -> bool {
    let digest = name.rsplit_once("sha256:").map(|(_, hex)| hex);
    let hashed =
        || product.hashes.iter().any(|(kind, hex)| kind == "sha-256" && Some(hex.as_str()) == digest);
    let ids = std::iter::once(&product.id).chain(product.identifiers.values());
    ids.filter(|id| !id.is_empty()).any(|id| id == name || purl_covers(id, name)) || hashed()
}

/// A purl without version or qualifiers stands for all of them; qualifiers that are named must be the same.
pub(crate) fn purl_covers(general: &str, special: &str) -> bool {
    let (Some((path_a, version_a, all_a)), Some((path_b, version_b, all_b))) =
        (split_purl(general), split_purl(special))
    else {
        return false;
    };
    path_a.eq_ignore_ascii_case(path_b)
        && (version_a.is_none() || version_a == version_b)
        && all_a.iter().all(|pair| all_b.contains(pair))
}

type PurlParts<'a> = (&'a str, Option<String>, Vec<&'a str>);

fn split_purl(purl: &str) -> Option<PurlParts<'_>> {
    let rest = purl.strip_prefix("pkg:")?;
    let rest = rest.split('#').next().unwrap_or(rest);
    let (path, qualifiers) = rest.split_once('?').map_or((rest, ""), |(path, q)| (path, q));
    // npm scopes begin with an @ too, which is not the version's.
    let (path, version) = match path.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() && !name.ends_with('/') => (name, Some(version)),
        _ => (path, None),
    };
    let version =
        version.map(|v| v.replace("%2B", "+").replace("%2b", "+").replace("%3A", ":").replace("%3a", ":"));
    Some((path, version, qualifiers.split('&').filter(|q| !q.is_empty()).collect()))
}

#[cfg(test)]
#[path = "tests/openvex.rs"]
mod tests;
