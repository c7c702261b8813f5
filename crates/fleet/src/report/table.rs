//! The report for people: findings grouped by package, worst first, and what to do next.
//!
//! Columns are lined up by whoever prints.

use std::collections::BTreeMap;

use konzert_advisories::{Finding, FindingState, Severity, ecosystem};
use konzert_api::own::ReportState;
use konzert_packages::Support;

use super::{Report, Target};

/// Part of a report: text, a table, text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Lines before the table.
    pub before: Vec<String>,
    /// Column names; empty without a table.
    pub header: Vec<&'static str>,
    /// Rows.
    pub rows: Vec<Vec<String>>,
    /// Lines after the table.
    pub after: Vec<String>,
}

const HEADER: [&str; 7] = ["PACKAGE", "INSTALLED", "FIXED IN", "SEVERITY", "ADVISORY", "PRIORITY", "FROM"];
/// Most packages that are named in the advice.
const MOST_NAMED: usize = 8;

/// One section per target.
pub fn sections(report: &Report) -> Vec<Section> {
    report.targets.iter().map(|target| section(target, report)).collect()
}

fn section(target: &Target, report: &Report) -> Section {
    let mut section = Section { before: vec![headline(target)], ..Section::default() };
    section.before.extend(target.reasons.iter().map(|reason| format!("  {reason}")));
    if let Some(Support::Extended { until }) = target.support {
        section.before.push(format!("  only long-term or paid support is left, until {until}"));
    }
    if let Some(distribution) = &target.catalogue.distribution
        && !distribution.feed_covers_unfixed()
        && target.state != ReportState::Unknown
    {
        section.before.push(format!("  the advisories of {distribution} name only what is fixed"));
    }
    let groups = groups(&target.findings);
    if !groups.is_empty() {
        section.header = HEADER.to_vec();
        section.rows = groups.iter().flat_map(|group| rows(target, group)).collect();
    }
    section.after = next(target, &groups, report);
    section
}

fn headline(target: &Target) -> String {
    let distribution = target.catalogue.distribution.as_ref();
    let distribution = distribution.map_or_else(|| "no distribution known".to_owned(), ToString::to_string);
    let mut by: BTreeMap<Severity, usize> = BTreeMap::new();
    for finding in &target.findings {
        *by.entry(finding.severity).or_default() += 1;
    }
    let by: Vec<String> = by.iter().rev().map(|(severity, count)| format!("{count} {severity}")).collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    let state = match target.state {
        ReportState::Complete => "complete",
        ReportState::Partial => "partial",
        ReportState::Unknown => "unknown",
    };
    let (packages, found) = (target.catalogue.packages.len(), target.findings.len());
    format!("{} ({distribution}): {state}, {packages} packages, {found} findings{by}", target.name)
}

/// The findings of one package in one version.
struct Group<'a> {
    findings: Vec<&'a Finding>,
}

/// In the order of the worst finding of each package.
fn groups(findings: &[Finding]) -> Vec<Group<'_>> {
    let mut place: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for finding in findings {
        let key = (finding.package.as_str(), finding.installed.as_str());
        let at = *place.entry(key).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.findings.push(finding),
            None => groups.push(Group { findings: vec![finding] }),
        }
    }
    groups
}

fn rows(target: &Target, group: &Group<'_>) -> Vec<Vec<String>> {
    let row = |(index, finding): (usize, &&Finding)| {
        let first = |text: &str| if index == 0 { text.to_owned() } else { String::new() };
        vec![
            first(&finding.package),
            first(&finding.installed),
            fix(finding),
            finding.severity.to_string(),
            finding.advisory.clone(),
            priority(finding),
            from(target, finding.layer),
        ]
    };
    group.findings.iter().enumerate().map(row).collect()
}

fn fix(finding: &Finding) -> String {
    match (&finding.fixed, finding.state) {
        (Some(fixed), _) => fixed.clone(),
        (None, FindingState::Affected) => "not fixed yet".to_owned(),
        (None, state) => state.as_str().to_owned(),
    }
}

fn priority(finding: &Finding) -> String {
    let epss = finding.epss.map(|epss| {
        let millionths = epss.score.millionths();
        format!("EPSS {}.{} %", millionths / 10_000, millionths / 1000 % 10)
    });
    let known = finding.known_exploited.map(|known| {
        let due = known.due.map(|due| format!(", due {due}")).unwrap_or_default();
        let ransomware = if known.ransomware { ", ransomware" } else { "" };
        format!("exploited{due}{ransomware}")
    });
    let all: Vec<String> = known.into_iter().chain(epss).collect();
    if all.is_empty() { "-".to_owned() } else { all.join("; ") }
}

fn from(target: &Target, layer: usize) -> String {
    match (target.origin(layer), target.layers.len()) {
        ("", 0) => "-".to_owned(),
        ("", _) => format!("layer {}", layer + 1),
        (origin, _) => origin.to_owned(),
    }
}

fn next(target: &Target, groups: &[Group<'_>], report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let (fixable, unfixable): (Vec<_>, Vec<_>) =
        groups.iter().partition(|group| group.findings.iter().any(|f| f.fixed.is_some()));
    let upgrades: Vec<String> = fixable.iter().filter_map(|group| upgrade(group)).collect();
    for line in upgrades.iter().take(MOST_NAMED) {
        lines.push(format!("next: {line}"));
    }
    if upgrades.len() > MOST_NAMED {
        lines.push(format!("next: and {} more packages to upgrade", upgrades.len() - MOST_NAMED));
    }
    let in_base =
        target.findings.iter().filter(|f| f.fixed.is_some() && target.origin(f.layer) == "base").count();
    if in_base > 0 {
        lines.push(format!("next: {in_base} of them come from the base image: rebase on a fixed one with `konzert patch --plan`"));
    }
    if !unfixable.is_empty() {
        let names: Vec<&str> =
            unfixable.iter().take(MOST_NAMED).map(|g| g.findings[0].package.as_str()).collect();
        let more = if unfixable.len() > MOST_NAMED { ", …" } else { "" };
        lines.push(format!("nothing fixed yet: {}{more}", names.join(", ")));
    }
    if !target.set_aside.is_empty() {
        let by = |what| target.set_aside.iter().filter(|s| s.by == what).count();
        lines.push(format!("set aside: {} by VEX, {} by ignores", by("vex"), by("ignore")));
    }
    if target.kernel_dropped > 0
        || target.owned_by_distribution > 0
        || !target.catalogue.suppressed.is_empty()
    {
        lines.push(format!(
            "not counted: {} findings in kernel packages, {} language packages that the distribution answers for; `--all` shows them",
            target.kernel_dropped,
            target.owned_by_distribution + target.catalogue.suppressed.len()
        ));
    }
    if report.revision.is_empty() {
        lines.push("next: there are no advisories yet; import some with `konzert db import`".to_owned());
    }
    lines
}

/// `upgrade libssl3 to 3.0.14 (3 advisories, worst high)`: the highest fix has them all.
fn upgrade(group: &Group<'_>) -> Option<String> {
    let order = ecosystem::order(&group.findings[0].ecosystem);
    let higher = |a: &str, b: &str| ecosystem::compare(order, a, b) == Some(std::cmp::Ordering::Greater);
    let fixed: Vec<&&Finding> = group.findings.iter().filter(|f| f.fixed.is_some()).collect();
    let versions = fixed.iter().filter_map(|f| f.fixed.as_deref());
    let top = versions.reduce(|top, version| if higher(version, top) { version } else { top })?;
    let worst = fixed.iter().map(|f| f.severity).max()?;
    let exploited = fixed.iter().filter(|f| f.known_exploited.is_some()).count();
    let exploited = if exploited > 0 { format!(", {exploited} exploited") } else { String::new() };
    let advisories = if fixed.len() == 1 { "advisory" } else { "advisories" };
    let package = &group.findings[0].package;
    Some(format!("upgrade {package} to {top} ({} {advisories}, worst {worst}{exploited})", fixed.len()))
}
