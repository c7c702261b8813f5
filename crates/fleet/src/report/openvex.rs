//! `OpenVEX` 0.2.0: what holds of each vulnerability in each target, findings and those that were set aside.
//!
//! An ignore is somebody's patience and no statement about the product: such findings are stated as affected. The schema wants at least one
//! statement, so that a scan without any has no document.

use std::collections::BTreeMap;

use konzert_advisories::openvex::{CONTEXT, Document, Product, Statement, Status, Vulnerability};
use konzert_advisories::{Finding, FindingState};
use serde_json::Value;

use super::{Report, Target, uuid_of};

/// Everything that makes statements the same.
type Key = (String, u8, String);

pub(super) fn value(report: &Report) -> Option<Value> {
    let mut statements: BTreeMap<Key, Statement> = BTreeMap::new();
    for target in &report.targets {
        for finding in &target.findings {
            add(&mut statements, target, finding, None);
        }
        for aside in &target.set_aside {
            let reason = (aside.by == "vex").then_some(aside.reason.as_str());
            add(&mut statements, target, &aside.finding, reason);
        }
    }
    if statements.is_empty() {
        return None;
    }
    let mut document = Document {
        context: CONTEXT.to_owned(),
        id: String::new(),
        author: "konzert".to_owned(),
        timestamp: report.scanned_at,
        version: 1,
        tooling: Some(format!("konzert/{}", report.version)),
        statements: statements.into_values().collect(),
    };
    let content = serde_json::to_string(&document).expect("strings, numbers and lists are always JSON");
    document.id = format!("https://konzert.dev/vex/{}", uuid_of(&content));
    Some(serde_json::to_value(&document).expect("strings, numbers and lists are always JSON"))
}

fn add(statements: &mut BTreeMap<Key, Statement>, target: &Target, finding: &Finding, decided: Option<&str>) {
    let (rank, status) = match (finding.state, decided) {
        (FindingState::NotAffected, Some(_)) => (0, Status::NotAffected),
        (FindingState::Fixed, Some(_)) => (1, Status::Fixed),
        (FindingState::UnderInvestigation | FindingState::Unknown, _) => (2, Status::UnderInvestigation),
        _ => (3, Status::Affected),
    };
    let action = (status == Status::Affected).then(|| action(finding));
    let impact = (status == Status::NotAffected).then(|| decided.unwrap_or_default().to_owned());
    let words = action.clone().or_else(|| impact.clone()).unwrap_or_default();
    let statement = statements.entry((finding.advisory.clone(), rank, words)).or_insert_with(|| Statement {
        vulnerability: Vulnerability {
            id: None,
            name: finding.advisory.clone(),
            aliases: finding.aliases.clone(),
        },
        products: Vec::new(),
        status,
        justification: None,
        impact_statement: impact,
        action_statement: action,
        timestamp: None,
    });
    let purl = target.purl();
    let at = statement.products.iter().position(|product| product.id == purl);
    let at = at.unwrap_or_else(|| {
        let hash = target.digest.strip_prefix("sha256:").map(|hex| ("sha-256".to_owned(), hex.to_owned()));
        statement.products.push(Product {
            id: purl,
            hashes: hash.into_iter().collect(),
            ..Product::default()
        });
        statement.products.len() - 1
    });
    let Some(package) = target.package_of(finding) else { return };
    let part = Product { id: package.purl(), ..Product::default() };
    let parts = &mut statement.products[at].subcomponents;
    if !parts.contains(&part) {
        parts.push(part);
    }
}

fn action(finding: &Finding) -> String {
    match (&finding.fixed, finding.state) {
        (Some(fixed), _) => format!("Upgrade {} to {fixed}.", finding.package),
        (None, FindingState::WillNotFix) => {
            "The publisher decided against a fix: replace or remove the package.".to_owned()
        }
        (None, FindingState::EndOfLife) => {
            "The release gets no fixes any more: move to a newer one.".to_owned()
        }
        (None, _) => "No fix is published yet: watch the advisory.".to_owned(),
    }
}
