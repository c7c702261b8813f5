//! The Debian security tracker's `data/json`: package → vulnerability → release.
//!
//! One advisory per vulnerability. Code names become release numbers. `fixed_version` "0" means that the release was never
//! affected; an open issue without it is unfixed, and the tracker's `nodsa_reason` says whether it stays so.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AdvisoryError, FileFacts, Item, MAX_FIELD, Reading, document, is_id, is_short};
use crate::{Advisory, Affected, Bound, Severity, SourceKind, State, ecosystem};

const KIND: SourceKind = SourceKind::DebianTracker;
/// The feed's name in the database.
const FEED: &str = "debian-tracker";

type Packages = BTreeMap<String, BTreeMap<String, Issue>>;

#[derive(Deserialize)]
struct Issue {
    #[serde(default)]
    description: String,
    releases: BTreeMap<String, Release>,
}

#[derive(Deserialize)]
struct Release {
    status: String,
    fixed_version: Option<String>,
    urgency: Option<String>,
    nodsa: Option<String>,
    nodsa_reason: Option<String>,
}

pub(super) fn parse(bytes: &[u8], reading: &mut Reading<'_>) -> Result<FileFacts, AdvisoryError> {
    let packages: Packages = document(bytes, reading.name, KIND)?;
    let mut by_id: BTreeMap<String, Advisory> = BTreeMap::new();
    for (package, issues) in packages {
        for (id, issue) in issues {
            let refuse = |problem| AdvisoryError::Field {
                name: reading.name.to_owned(),
                kind: KIND,
                field: format!("{}.{}", shown(&package), shown(&id)),
                problem,
            };
            if !is_short(&package) || !is_id(&id) {
                return Err(refuse("must be a package and an id"));
            }
            let advisory = by_id.entry(id.clone()).or_insert_with(|| started(&id, &issue.description));
            for (release, said) in issue.releases {
                let affected = affected(&package, &release, &said).map_err(refuse)?;
                advisory.affected.push(affected);
            }
        }
    }
    for advisory in by_id.into_values() {
        (reading.sink)(Item::Advisory(Box::new(advisory)));
    }
    Ok(FileFacts { snapshot_of: vec![FEED.to_owned()] })
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn started(id: &str, description: &str) -> Advisory {
    let mut advisory = Advisory::empty(id, FEED);
    description.clone_into(&mut advisory.summary);
    advisory.references = vec![format!("https://security-tracker.debian.org/tracker/{id}")];
    advisory
}

fn affected(package: &str, release: &str, said: &Release) -> Result<Affected, &'static str> {
    let urgency = said.urgency.as_deref().unwrap_or_default();
    let fixed = said.fixed_version.as_deref().filter(|v| !v.is_empty());
    if fixed.is_some_and(|v| v.len() > MAX_FIELD || v.chars().any(char::is_control)) {
        return Err("a fixed_version is too long");
    }
    let state = match (said.status.as_str(), fixed) {
        (_, Some("0")) => State::NotAffected,
        ("undetermined", _) => State::UnderInvestigation,
        ("open" | "resolved", _) => open_state(urgency, said),
        _ => return Err("a status is none of open, resolved, undetermined"),
    };
    let mut range = vec![Bound::Introduced("0".to_owned())];
    range.extend(fixed.filter(|v| *v != "0").map(|v| Bound::Fixed(v.to_owned())));
    Ok(Affected {
        ecosystem: format!("Debian:{}", ecosystem::debian_release(release)),
        package: package.to_owned(),
        ranges: if state == State::NotAffected { Vec::new() } else { vec![range] },
        state,
        severity: Severity::parse(urgency),
        ..Affected::default()
    })
}

fn open_state(urgency: &str, said: &Release) -> State {
    if urgency.trim_end_matches('*') == "end-of-life" {
        return State::EndOfLife;
    }
    match said.nodsa_reason.as_deref() {
        Some("ignored") => State::WillNotFix,
        Some("postponed") => State::Deferred,
        _ if said.nodsa.as_deref().is_some_and(|why| why.to_ascii_lowercase().contains("end of life")) => {
            State::EndOfLife
        }
        _ => State::Affected,
    }
}
