//! Ingresses in tables.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, or_none, text};

const HOSTS_SHOWN: usize = 3;
const ADDRESS_WIDTH: usize = 16;

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Class", "string", "Class whose controller serves the ingress."),
    Column::new("Hosts", "string", "Hosts that requests are matched against."),
    Column::new("Address", "string", "Addresses of the load balancer."),
    Column::new("Ports", "string", "Ports that are open."),
    AGE,
];

pub(crate) fn cells(ingress: &Value, now: Timestamp) -> Vec<Value> {
    let secured = items(ingress, "/spec/tls").len() > 0;
    vec![
        name(ingress),
        json!(or_none(text(ingress, "/spec/ingressClassName"))),
        json!(hosts(ingress)),
        json!(address(ingress)),
        json!(if secured { "80, 443" } else { "80" }),
        age(ingress, now),
    ]
}

fn hosts(ingress: &Value) -> String {
    let rules = items(ingress, "/spec/rules").len();
    let all: Vec<&str> = items(ingress, "/spec/rules")
        .map(|rule| text(rule, "/host"))
        .filter(|host| !host.is_empty())
        .collect();
    let shown = all[..all.len().min(HOSTS_SHOWN)].join(",");
    match all.len() {
        0 => "*".to_owned(),
        n if n >= HOSTS_SHOWN && rules > HOSTS_SHOWN => {
            format!("{shown} + {} more...", rules - HOSTS_SHOWN)
        }
        _ => shown,
    }
}

/// Addresses, cut as kubectl shows them.
fn address(ingress: &Value) -> String {
    let points = items(ingress, "/status/loadBalancer/ingress").map(|point| match text(point, "/ip") {
        "" => text(point, "/hostname"),
        ip => ip,
    });
    let all: BTreeSet<&str> = points.filter(|point| !point.is_empty()).collect();
    let joined = all.into_iter().collect::<Vec<_>>().join(",");
    if joined.chars().count() <= ADDRESS_WIDTH {
        return joined;
    }
    joined.chars().take(ADDRESS_WIDTH - 3).chain("...".chars()).collect()
}
