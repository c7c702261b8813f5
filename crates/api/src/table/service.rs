//! Services in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, label_map, name, number, or_none, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Type", "string", "How the service is reached."),
    Column::new("Cluster-IP", "string", "Address inside the cluster."),
    Column::new("External-IP", "string", "Addresses from outside the cluster."),
    Column::new("Port(s)", "string", "Ports, with node ports and protocols."),
    AGE,
    Column::wide("Selector", "string", "Labels of the pods behind the service."),
];

pub(crate) fn cells(service: &Value, now: Timestamp) -> Vec<Value> {
    let cluster_ip = text(service, "/spec/clusterIPs/0");
    let cluster_ip = if cluster_ip.is_empty() { text(service, "/spec/clusterIP") } else { cluster_ip };
    vec![
        name(service),
        json!(text(service, "/spec/type")),
        json!(or_none(cluster_ip)),
        json!(external(service)),
        json!(ports(service)),
        age(service, now),
        json!(label_map(service.pointer("/spec/selector").and_then(Value::as_object))),
    ]
}

fn external(service: &Value) -> String {
    let addresses = items(service, "/spec/externalIPs").filter_map(Value::as_str);
    match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = items(service, "/status/loadBalancer/ingress").map(|i| match text(i, "/ip") {
                "" => text(i, "/hostname"),
                ip => ip,
            });
            let all = ingress.chain(addresses).collect::<Vec<_>>().join(",");
            if all.is_empty() { "<pending>".to_owned() } else { all }
        }
        _ => or_none(&addresses.collect::<Vec<_>>().join(",")).to_owned(),
    }
}

fn ports(service: &Value) -> String {
    let one = |port: &Value| {
        let (number_, protocol) = (number(port, "/port"), text(port, "/protocol"));
        match number(port, "/nodePort") {
            0 => format!("{number_}/{protocol}"),
            node_port => format!("{number_}:{node_port}/{protocol}"),
        }
    };
    or_none(&items(service, "/spec/ports").map(one).collect::<Vec<_>>().join(",")).to_owned()
}
