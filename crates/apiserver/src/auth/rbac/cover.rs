//! Whether some rules hold all that others would grant, which is what keeps people from raising their own rights.

use std::collections::BTreeMap;
use std::fmt;

use super::rule::{Rule, url_matches};

const ALL: &str = "*";
/// Combinations of verbs, groups, resources and names that are looked at one by one. Lists of a few kilobytes make billions,
/// and no role that people write comes near.
const MAX_ATOMS: usize = 50_000;

/// What `wanted` would grant beyond `held`: one line per resource, in order, as Kubernetes prints it. Empty: nothing.
pub(crate) fn missing_rights(held: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let split: Vec<&Rule> =
        wanted.iter().filter(|rule| !held.iter().any(|held| covers(held, rule))).collect();
    if split.iter().fold(0, |sum: usize, rule| sum.saturating_add(size(rule))) > MAX_ATOMS {
        return vec![format!(
            "{{the rules have more than {MAX_ATOMS} combinations, too many to be compared}}"
        )];
    }
    let missing: Vec<Rule> = split
        .into_iter()
        .flat_map(atoms)
        .filter(|atom| !held.iter().any(|rule| covers(rule, atom)))
        .collect();
    let mut lines: Vec<String> = compact(missing).iter().map(|rule| Compact(rule).to_string()).collect();
    lines.sort();
    lines.dedup();
    lines
}

/// How many [`atoms`] a rule has.
fn size(rule: &Rule) -> usize {
    let resources = [rule.resources.len(), rule.resource_names.len().max(1)];
    let resources = resources.into_iter().fold(rule.api_groups.len(), usize::saturating_mul);
    resources.saturating_add(rule.non_resource_urls.len()).saturating_mul(rule.verbs.len())
}

/// A rule as rules with one verb and one resource or path each.
fn atoms(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut all = Vec::new();
    for verb in &rule.verbs {
        for url in &rule.non_resource_urls {
            all.push(Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() });
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let base = Rule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                if rule.resource_names.is_empty() {
                    all.push(base.clone());
                }
                let named =
                    rule.resource_names.iter().map(|name| Rule { resource_names: one(name), ..base.clone() });
                all.extend(named);
            }
        }
    }
    all
}

/// Whether a rule holds everything an atom would grant.
fn covers(rule: &Rule, atom: &Rule) -> bool {
    let all_in = |held: &[String], wanted: &[String]| {
        held.iter().any(|h| h == ALL) || wanted.iter().all(|w| held.contains(w))
    };
    let urls = atom.non_resource_urls.iter();
    all_in(&rule.verbs, &atom.verbs)
        && all_in(&rule.api_groups, &atom.api_groups)
        && atom.resources.iter().all(|resource| covers_resource(&rule.resources, resource))
        && urls.into_iter().all(|url| rule.non_resource_urls.iter().any(|held| url_matches(held, url)))
        && names_cover(&rule.resource_names, &atom.resource_names)
}

fn covers_resource(held: &[String], wanted: &str) -> bool {
    held.iter().any(|entry| {
        let of_any = || {
            let subresource = wanted.split_once('/').map(|(_, subresource)| subresource);
            subresource.is_some() && entry.strip_prefix("*/") == subresource
        };
        entry == ALL || entry == wanted || of_any()
    })
}

fn names_cover(held: &[String], wanted: &[String]) -> bool {
    held.is_empty() || (!wanted.is_empty() && wanted.iter().all(|name| held.contains(name)))
}

/// Joins atoms that differ in their verb only.
fn compact(atoms: Vec<Rule>) -> Vec<Rule> {
    let mut joined: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for mut atom in atoms {
        let verbs = std::mem::take(&mut atom.verbs);
        let known = joined.entry(atom).or_default();
        known.extend(verbs.into_iter().filter(|v| !known.contains(v)).collect::<Vec<_>>());
    }
    joined.into_iter().map(|(rule, verbs)| Rule { verbs, ..rule }).collect()
}

/// A rule in the words of the refusal.
struct Compact<'a>(&'a Rule);

impl fmt::Display for Compact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        let parts: Vec<String> = [
            ("APIGroups", &rule.api_groups),
            ("Resources", &rule.resources),
            ("NonResourceURLs", &rule.non_resource_urls),
            ("ResourceNames", &rule.resource_names),
            ("Verbs", &rule.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quoted(list)))
        .collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

/// `["a" "b"]`.
pub(crate) fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
