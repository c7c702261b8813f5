//! Nodes in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, or_none, text};
use crate::meta;

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Status", "string", "Whether the node is ready and takes new pods."),
    Column::new("Roles", "string", "Roles from the labels of the node."),
    AGE,
    Column::new("Version", "string", "Version of the node agent."),
    Column::wide("Internal-IP", "string", "Address inside the cluster."),
    Column::wide("External-IP", "string", "Address from outside the cluster."),
    Column::wide("OS-Image", "string", "Operating system of the node."),
    Column::wide("Kernel-Version", "string", "Kernel of the node."),
    Column::wide("Container-Runtime", "string", "Container runtime of the node."),
];

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

pub(crate) fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    let info = |key: &str| {
        let found = text(node, &format!("/status/nodeInfo/{key}"));
        json!(if found.is_empty() { "<unknown>" } else { found })
    };
    vec![
        name(node),
        json!(status(node)),
        json!(or_none(&roles(node).join(","))),
        age(node, now),
        json!(text(node, "/status/nodeInfo/kubeletVersion")),
        json!(or_none(address(node, "InternalIP"))),
        json!(or_none(address(node, "ExternalIP"))),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn status(node: &Value) -> String {
    let ready = items(node, "/status/conditions").find(|c| text(c, "/type") == "Ready");
    let word = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let closed = node.pointer("/spec/unschedulable") == Some(&json!(true));
    if closed { format!("{word},SchedulingDisabled") } else { word.to_owned() }
}

fn roles(node: &Value) -> Vec<&str> {
    let mut roles: Vec<&str> = meta::labels(node)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None if key == ROLE_LABEL => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    roles
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    items(node, "/status/addresses").find(|a| text(a, "/type") == kind).map_or("", |a| text(a, "/address"))
}
