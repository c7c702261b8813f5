//! Required affinity between pods, and hard topology spread.
//!
//! Namespaces are chosen by name or by the empty selector (all of them); a selector on namespace labels is refused in words,
//! because the labels of namespaces are not in the snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::affinity;
use crate::snapshot::{NodeState, Snapshot};

const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING_ANTI_AFFINITY: &str = "node(s) didn't satisfy existing pods anti-affinity rules";
const SPREAD: &str = "node(s) didn't match pod topology spread constraints";
const SPREAD_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";
const UNREADABLE: &str = "node(s) cannot be compared: namespaceSelector on labels is not supported";

/// Topology domain: label key and value.
type Domain = (String, String);

/// What the rules between pods say, worked out once per pod.
pub(crate) struct Neighbours<'a> {
    unreadable: bool,
    /// Per required term: the domains with a match; `None` when the pod satisfies the term by itself and nobody else does.
    wanted: Vec<(&'a str, Option<HashSet<String>>)>,
    shunned: HashSet<Domain>,
    shunned_by_others: HashSet<Domain>,
    spread: Vec<(&'a TopologySpreadConstraint, BTreeMap<String, i64>)>,
}

impl<'a> Neighbours<'a> {
    pub(crate) fn of(pod: &'a Pod, snapshot: &Snapshot) -> Self {
        let (wanted_terms, shunned_terms) = (affinity_terms(pod), anti_affinity_terms(pod));
        let wanted =
            wanted_terms.iter().map(|term| (term.topology_key.as_str(), self::wanted(term, pod, snapshot)));
        let constraints = pod.spec.as_ref().and_then(|spec| spec.topology_spread_constraints.as_deref());
        let hard = constraints.unwrap_or_default().iter().filter(|c| c.when_unsatisfiable == "DoNotSchedule");
        Self {
            unreadable: wanted_terms.iter().chain(&shunned_terms).any(|term| !is_readable(term)),
            wanted: wanted.collect(),
            shunned: shunned_terms.iter().flat_map(|term| domains(term, pod, snapshot)).collect(),
            shunned_by_others: shunned_by_others(pod, snapshot),
            spread: hard.map(|constraint| (constraint, spread_counts(constraint, pod, snapshot))).collect(),
        }
    }

    pub(crate) fn refuse(&self, node: &NodeState) -> Option<&'static str> {
        if self.unreadable {
            return Some(UNREADABLE);
        }
        for (constraint, counts) in &self.spread {
            let Some(domain) = node.labels.get(&constraint.topology_key) else { return Some(SPREAD_LABEL) };
            let least = counts.values().min().copied().unwrap_or_default();
            let here = counts.get(domain).copied().unwrap_or_default();
            if here + 1 - least > i64::from(constraint.max_skew) {
                return Some(SPREAD);
            }
        }
        let in_domain = |(key, value): &Domain| node.labels.get(key) == Some(value);
        if self.shunned_by_others.iter().any(in_domain) {
            return Some(EXISTING_ANTI_AFFINITY);
        }
        let content =
            |(key, domains): &(&str, Option<HashSet<String>>)| match (node.labels.get(*key), domains) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(value), Some(domains)) => domains.contains(value),
            };
        if !self.wanted.iter().all(content) {
            return Some(AFFINITY);
        }
        self.shunned.iter().any(in_domain).then_some(ANTI_AFFINITY)
    }
}

fn affinity_terms(pod: &Pod) -> Vec<&PodAffinityTerm> {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.pod_affinity.as_ref());
    affinity
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref())
        .map(|terms| terms.iter().collect())
        .unwrap_or_default()
}

fn anti_affinity_terms(pod: &Pod) -> Vec<&PodAffinityTerm> {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.pod_anti_affinity.as_ref());
    affinity
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref())
        .map(|terms| terms.iter().collect())
        .unwrap_or_default()
}

fn is_readable(term: &PodAffinityTerm) -> bool {
    term.namespace_selector.as_ref().is_none_or(is_empty)
}

fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether `other` is meant by the term of `owner`.
fn means(term: &PodAffinityTerm, owner: &Pod, other: &Pod) -> bool {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let everywhere = term.namespace_selector.is_some();
    let here = if named.is_empty() {
        other.metadata.namespace == owner.metadata.namespace
    } else {
        other.metadata.namespace.as_ref().is_some_and(|namespace| named.contains(namespace))
    };
    let labels = |key: &String| {
        let value = |pod: &Pod| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key).cloned());
        (value(owner), value(other))
    };
    let same = term
        .match_label_keys
        .iter()
        .flatten()
        .map(labels)
        .all(|(ours, theirs)| ours.is_none() || ours == theirs);
    let differs = term
        .mismatch_label_keys
        .iter()
        .flatten()
        .map(labels)
        .all(|(ours, theirs)| ours.is_none() || ours != theirs);
    (here || everywhere) && same && differs && selects(term.label_selector.as_ref(), other)
}

/// No selector chooses no pod; an empty one chooses every pod.
fn selects(selector: Option<&LabelSelector>, pod: &Pod) -> bool {
    let Some(selector) = selector else { return false };
    let empty = BTreeMap::new();
    let labels = pod.metadata.labels.as_ref().unwrap_or(&empty);
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let found = labels.get(&requirement.key);
            let listed = |found: &String| requirement.values.iter().flatten().any(|value| value == found);
            match requirement.operator.as_str() {
                "In" => found.is_some_and(listed),
                "NotIn" => !found.is_some_and(listed),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

fn domains(term: &PodAffinityTerm, pod: &Pod, snapshot: &Snapshot) -> HashSet<Domain> {
    snapshot
        .nodes()
        .filter(|node| node.pods.values().any(|placed| means(term, pod, &placed.pod)))
        .filter_map(|node| Some((term.topology_key.clone(), node.labels.get(&term.topology_key)?.clone())))
        .collect()
}

/// The first pod of a group that wants its own kind near may start anywhere.
fn wanted(term: &PodAffinityTerm, pod: &Pod, snapshot: &Snapshot) -> Option<HashSet<String>> {
    let found: HashSet<String> = domains(term, pod, snapshot).into_iter().map(|(_, value)| value).collect();
    if found.is_empty() && means(term, pod, pod) { None } else { Some(found) }
}

fn shunned_by_others(pod: &Pod, snapshot: &Snapshot) -> HashSet<Domain> {
    let mut shunned = HashSet::new();
    for node in snapshot.nodes() {
        for placed in node.pods.values() {
            for term in
                anti_affinity_terms(&placed.pod).into_iter().filter(|term| means(term, &placed.pod, pod))
            {
                if let Some(value) = node.labels.get(&term.topology_key) {
                    shunned.insert((term.topology_key.clone(), value.clone()));
                }
            }
        }
    }
    shunned
}

/// Matching pods per domain, over the nodes the pod could be on by its node affinity.
fn spread_counts(
    constraint: &TopologySpreadConstraint,
    pod: &Pod,
    snapshot: &Snapshot,
) -> BTreeMap<String, i64> {
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for node in snapshot.nodes().filter(|node| affinity::admits(pod, node)) {
        let Some(value) = node.labels.get(&constraint.topology_key) else { continue };
        let same = |other: &Pod| {
            other.metadata.namespace == pod.metadata.namespace
                && selects(constraint.label_selector.as_ref(), other)
        };
        let matching = node.pods.values().filter(|placed| same(&placed.pod)).count();
        *counts.entry(value).or_default() += i64::try_from(matching).unwrap_or(i64::MAX);
    }
    let needed = usize::try_from(constraint.min_domains.unwrap_or(1)).unwrap_or(1);
    let mut counts: BTreeMap<String, i64> =
        counts.into_iter().map(|(value, count)| (value.to_owned(), count)).collect();
    if counts.len() < needed {
        // Too few domains: the missing ones count as empty.
        counts.insert(String::new(), 0);
    }
    counts
}
