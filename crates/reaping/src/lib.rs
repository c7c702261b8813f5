//! What is no longer needed, and why: a policy, a snapshot and a time in, destroys out.
//!
//! Does no I/O and takes no clock. Who carries a destroy out, records it first and can undo it: `konzert-fleet`.
//!
//! Invariants: every destroy names the UID it was decided for and a reason with the facts it rests on; a protected
//! namespace or a keep annotation always wins; an annotation that cannot be read is reported and destroys nothing; never
//! more than the cap.
#![forbid(unsafe_code)]

mod annotation;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use konzert_api::own::ReapPolicySpec;

pub use annotation::{EXPIRES, KEEP, TTL};

/// What exists, as far as the rules need to know.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Objects of the API.
    pub objects: Vec<Candidate>,
    /// Images of the content store.
    pub images: Vec<ImageCandidate>,
}

/// An object of the API.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `apps/v1`, `v1`, …
    pub api_version: String,
    /// `Deployment`, …
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID; a destroy is refused for any other.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether a controller owns it: then its owner decides, and would make it anew.
    pub owned: bool,
    /// What the rules for its kind look at.
    pub state: CandidateState,
}

/// Facts that depend on the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CandidateState {
    /// Only annotations count.
    Plain,
    /// A Job.
    Job {
        /// When it completed or failed; `None` while it runs.
        finished_at: Option<Timestamp>,
    },
    /// A pod.
    Pod {
        /// When its last container ended; `None` while it runs.
        finished_at: Option<Timestamp>,
    },
    /// A `ReplicaSet`.
    ReplicaSet {
        /// Pods it has or wants.
        replicas: u32,
        /// What becomes of it when nothing is done.
        owner: Ownership,
    },
}

/// Whether an owner still cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It never had one.
    None,
    /// The owner exists.
    Living,
    /// An owner is named that does not exist any more.
    Gone,
}

/// An image of the content store.
#[derive(Clone, Debug)]
pub struct ImageCandidate {
    /// A name, or the digest when it has none.
    pub name: String,
    /// Manifest digest.
    pub digest: String,
    /// When it was loaded or built.
    pub loaded_at: Timestamp,
    /// Whether a workload names it, a container runs it, or such an image stands on it.
    pub needed: bool,
}

/// A decision to destroy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destroy {
    /// API version; empty for an image.
    pub api_version: String,
    /// Kind; `Image` for an image.
    pub kind: String,
    /// Namespace; empty for cluster-scoped things and images.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, or the image's digest.
    pub uid: String,
    /// The rule that decided.
    pub rule: &'static str,
    /// A sentence with the facts.
    pub reason: String,
    /// Since when it is due.
    pub due: Timestamp,
}

/// What a run does, and what it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Due now, longest due first, at most the cap.
    pub destroys: Vec<Destroy>,
    /// Due now but over the cap.
    pub over_cap: usize,
    /// When something becomes due that is not yet.
    pub next: Option<Timestamp>,
    /// Annotations that could not be read: `kind namespace/name: why`.
    pub problems: Vec<String>,
}

/// Decides what is due at `now`.
pub fn plan(policy: &ReapPolicySpec, snapshot: &Snapshot, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut all = Vec::new();
    for candidate in &snapshot.objects {
        if protected(policy, candidate) {
            continue;
        }
        match rules::object(policy, candidate) {
            Ok(found) => all.extend(found),
            Err(problem) => plan.problems.push(format!(
                "{} {}: {problem}",
                candidate.kind.to_lowercase(),
                path(&candidate.namespace, &candidate.name)
            )),
        }
    }
    all.extend(snapshot.images.iter().filter_map(|image| rules::image(policy, image)));
    plan.next = all.iter().map(|d| d.due).filter(|due| *due > now).min();
    all.retain(|destroy| destroy.due <= now);
    // A namespace takes its objects along: destroying them one by one as well would only spend the cap.
    let namespaces: BTreeSet<String> =
        all.iter().filter(|d| d.kind == "Namespace").map(|d| d.name.clone()).collect();
    all.retain(|destroy| destroy.namespace.is_empty() || !namespaces.contains(&destroy.namespace));
    all.sort_by(|a, b| (a.due, &a.kind, &a.namespace, &a.name).cmp(&(b.due, &b.kind, &b.namespace, &b.name)));
    let cap = usize::try_from(policy.cap).unwrap_or(usize::MAX);
    plan.over_cap = all.len().saturating_sub(cap);
    all.truncate(cap);
    plan.destroys = all;
    plan
}

fn protected(policy: &ReapPolicySpec, candidate: &Candidate) -> bool {
    let namespace = if candidate.kind == "Namespace" { &candidate.name } else { &candidate.namespace };
    policy.protected_namespaces.contains(namespace)
        || candidate.annotations.get(KEEP).is_some_and(|v| v != "false")
}

fn path(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

#[cfg(test)]
mod tests;
