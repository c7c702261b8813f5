//! Alpine's secdb (and Wolfi's and Chainguard's, which have its form): package → fixed version → ids.
//!
//! "0" as fixed version means that the branch was never affected. A line of ids may hold several names of one vulnerability,
//! several vulnerabilities, and words for people.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AdvisoryError, FileFacts, Item, Reading, document, is_id, is_short};
use crate::{Advisory, Affected, Bound, SourceKind, State};

const KIND: SourceKind = SourceKind::AlpineSecdb;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    distroversion: String,
    #[serde(default)]
    reponame: String,
    #[serde(default)]
    urlprefix: String,
    #[serde(default)]
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    pkg: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    secfixes: BTreeMap<String, Option<Vec<String>>>,
}

pub(super) fn parse(bytes: &[u8], reading: &mut Reading<'_>) -> Result<FileFacts, AdvisoryError> {
    let file: File = document(bytes, reading.name, KIND)?;
    let refuse = |field: String, problem| AdvisoryError::Field {
        name: reading.name.to_owned(),
        kind: KIND,
        field,
        problem,
    };
    let ecosystem = ecosystem(&file).ok_or_else(|| {
        refuse("distroversion".to_owned(), "names no branch, and urlprefix no known distribution")
    })?;
    let feed = match (file.distroversion.as_str(), file.reponame.as_str()) {
        ("", repo) => format!("alpine-secdb:{ecosystem}/{repo}"),
        (branch, repo) => format!("alpine-secdb:{branch}/{repo}"),
    };
    if !is_short(&feed) {
        return Err(refuse("reponame".to_owned(), "must be short"));
    }
    let mut by_id: BTreeMap<String, Advisory> = BTreeMap::new();
    for (index, Entry { pkg }) in file.packages.into_iter().enumerate() {
        let field = || format!("packages[{index}].pkg");
        if !is_short(&pkg.name) {
            return Err(refuse(format!("{}.name", field()), "must be a short printable text"));
        }
        for (fixed, lines) in pkg.secfixes {
            if !is_short(&fixed) {
                return Err(refuse(format!("{}.secfixes", field()), "a version is empty or too long"));
            }
            for line in lines.unwrap_or_default() {
                if line.split_whitespace().any(|word| !is_id(word)) {
                    return Err(refuse(format!("{}.secfixes", field()), "an id is not printable ASCII"));
                }
                for (id, aliases) in vulnerabilities(&line) {
                    let advisory = by_id.entry(id.clone()).or_insert_with(|| Advisory::empty(&id, &feed));
                    advisory.aliases.extend(aliases);
                    advisory.affected.push(affected(&ecosystem, &pkg.name, &fixed));
                }
            }
        }
    }
    for advisory in by_id.into_values() {
        (reading.sink)(Item::Advisory(Box::new(advisory)));
    }
    Ok(FileFacts { snapshot_of: vec![feed] })
}

/// The vulnerabilities of a line, each with its other names: `CVE-2019-17349 XSA-295` is one, `CVE-2018-12126 CVE-2018-12127
/// XSA-297` are two, of `CVE-2017-2616 (+ regression fix)` only the first word is an id.
fn vulnerabilities(line: &str) -> Vec<(String, Vec<String>)> {
    let ids = line.split_whitespace().map(|word| word.replace("CVE_", "CVE-"));
    let (cves, others): (Vec<String>, Vec<String>) =
        ids.filter(|id| looks_like_id(id)).partition(|id| id.starts_with("CVE-"));
    match (cves.as_slice(), others.as_slice()) {
        // A number that nobody gave yet (`CVE-2019-????`) is a vulnerability too.
        ([], []) => {
            line.split_whitespace().next().map(|id| (id.to_owned(), Vec::new())).into_iter().collect()
        }
        ([], [id, aliases @ ..]) | ([id], aliases) => vec![(id.clone(), aliases.to_vec())],
        (several, _) => several.iter().map(|id| (id.clone(), Vec::new())).collect(),
    }
}

/// A word for a register, a dash, and a number somewhere.
fn looks_like_id(word: &str) -> bool {
    let upper = |c: char| c.is_ascii_uppercase();
    let shape = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    word.starts_with(upper)
        && word.contains('-')
        && word.chars().all(shape)
        && word.bytes().any(|b| b.is_ascii_digit())
}

fn ecosystem(file: &File) -> Option<String> {
    let prefix = file.urlprefix.as_str();
    if prefix.contains("wolfi") {
        return Some("Wolfi".to_owned());
    }
    if prefix.contains("cgr.dev") || prefix.contains("chainguard") {
        return Some("Chainguard".to_owned());
    }
    let branch = file.distroversion.as_str();
    is_short(branch).then(|| crate::ecosystem::canonical(&format!("Alpine:{branch}")))
}

fn affected(ecosystem: &str, package: &str, fixed: &str) -> Affected {
    let (state, ranges) = if fixed == "0" {
        (State::NotAffected, Vec::new())
    } else {
        let range = vec![Bound::Introduced("0".to_owned()), Bound::Fixed(fixed.to_owned())];
        (State::Affected, vec![range])
    };
    Affected {
        ecosystem: ecosystem.to_owned(),
        package: package.to_owned(),
        ranges,
        state,
        ..Affected::default()
    }
}
