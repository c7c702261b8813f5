//! Tests of placement: words, rules, and that no node is ever given more than it has.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::demand::{CPU, MEMORY};

fn node(name: &str, cpu: &str, pods: &str, extra: &Value) -> Node {
    let mut value = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": pods}}});
    if let Some(spec) = extra.get("spec") {
        value["spec"] = spec.clone();
    }
    if let Some(labels) = extra.get("labels") {
        value["metadata"]["labels"] = labels.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn pod(uid: &str, cpu: &str, spec: Value) -> Arc<Pod> {
    let mut value = json!({"metadata": {"name": uid, "namespace": "default", "uid": uid, "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    if let (Some(target), Value::Object(fields)) = (value["spec"].as_object_mut(), spec) {
        target.extend(fields);
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn snapshot(nodes: &[Node]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for node in nodes {
        snapshot.set_node(node);
    }
    snapshot
}

fn refusal(snapshot: &Snapshot, pod: &Pod) -> String {
    match place(snapshot, pod) {
        Placement::Node(name) => format!("placed on {name}"),
        Placement::Unschedulable(refusals) => refusals.to_string(),
    }
}

#[test]
fn refusals_are_worded_as_kubernetes_words_them() {
    let empty = snapshot(&[]);
    insta::assert_snapshot!(refusal(&empty, &pod("p", "1", json!({}))), @"no nodes available to schedule pods");
    let small = snapshot(&[node("a", "500m", "0", &json!({}))]);
    insta::assert_snapshot!(refusal(&small, &pod("p", "1", json!({}))), @"0/1 nodes are available: 1 Insufficient cpu, 1 Too many pods.");
    let mixed = snapshot(&[
        node("a", "500m", "10", &json!({})),
        node("b", "500m", "10", &json!({})),
        node(
            "c",
            "8",
            "10",
            &json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}),
        ),
        node("d", "8", "10", &json!({"spec": {"unschedulable": true}})),
    ]);
    insta::assert_snapshot!(refusal(&mixed, &pod("p", "1", json!({}))), @"0/4 nodes are available: 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable, 2 Insufficient cpu.");
    let picky = pod("p", "1", json!({"nodeSelector": {"disk": "ssd"}}));
    insta::assert_snapshot!(refusal(&snapshot(&[node("a", "8", "10", &json!({}))]), &picky), @"0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.");
}

#[test]
fn the_least_allocated_node_wins_and_ties_go_to_the_name() {
    let mut world = snapshot(&[node("a", "4", "10", &json!({})), node("b", "4", "10", &json!({}))]);
    assert_eq!(place(&world, &pod("p", "1", json!({}))), Placement::Node("a".to_owned()));
    world.set_pod("a", &pod("busy", "2", json!({})));
    assert_eq!(place(&world, &pod("p", "1", json!({}))), Placement::Node("b".to_owned()));
    world.remove_pod("busy");
    assert_eq!(place(&world, &pod("p", "1", json!({}))), Placement::Node("a".to_owned()));
}

#[test]
fn preferred_affinity_beats_free_space() {
    let mut world = snapshot(&[
        node("a", "4", "10", &json!({"labels": {"disk": "ssd"}})),
        node("b", "4", "10", &json!({})),
    ]);
    world.set_pod("a", &pod("busy", "2", json!({})));
    let wish = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]}}});
    assert_eq!(place(&world, &pod("p", "1", wish)), Placement::Node("a".to_owned()));
}

#[test]
fn host_ports_are_exclusive() {
    let ports = json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    let mut world = snapshot(&[node("a", "4", "10", &json!({}))]);
    world.set_pod("a", &pod("one", "1", ports.clone()));
    insta::assert_snapshot!(refusal(&world, &pod("two", "1", ports)), @"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
}

#[test]
fn pods_may_shun_and_want_each_other() {
    let term =
        json!({"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"});
    let shun =
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let want =
        json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let mut world = snapshot(&[node("a", "4", "10", &json!({})), node("b", "4", "10", &json!({}))]);
    assert_eq!(place(&world, &pod("first", "1", want.clone())), Placement::Node("a".to_owned()));
    world.set_pod("b", &pod("first", "1", json!({})));
    assert_eq!(place(&world, &pod("p", "1", want)), Placement::Node("b".to_owned()));
    assert_eq!(place(&world, &pod("p", "1", shun.clone())), Placement::Node("a".to_owned()));
    world.set_pod("a", &pod("second", "1", shun.clone()));
    insta::assert_snapshot!(refusal(&world, &pod("p", "1", shun)), @"0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) didn't satisfy existing pods anti-affinity rules.");
    insta::assert_snapshot!(refusal(&world, &pod("p", "9", json!({}))), @"0/2 nodes are available: 2 Insufficient cpu.");
}

#[test]
fn hard_spread_holds_the_skew() {
    let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}]});
    let mut world = snapshot(&[node("a", "8", "10", &json!({})), node("b", "1", "10", &json!({}))]);
    world.set_pod("a", &pod("one", "1", json!({})));
    assert_eq!(place(&world, &pod("p", "1", spread.clone())), Placement::Node("b".to_owned()));
    world.set_pod("b", &pod("two", "1", json!({})));
    assert_eq!(place(&world, &pod("p", "1", spread)), Placement::Node("a".to_owned()));
}

#[test]
fn pods_on_a_node_that_comes_later_count() {
    let mut world = Snapshot::default();
    world.set_pod("a", &pod("early", "3", json!({})));
    world.set_node(&node("a", "4", "10", &json!({})));
    assert_eq!(world.node("a").unwrap().used().get(CPU), 3000);
    world.remove_node("a");
    world.set_node(&node("a", "4", "10", &json!({})));
    assert_eq!(world.node("a").unwrap().used().get(CPU), 3000);
    assert!(world.remove_pod("early"));
    assert_eq!(world.node("a").unwrap().used().get(CPU), 0);
}

proptest! {
    #[test]
    fn no_node_is_over_committed(
        capacities in prop::collection::vec((1_i64..5000, 0_usize..6), 1..5),
        requests in prop::collection::vec((0_i64..3000, 0_i64..2, any::<bool>()), 1..40),
    ) {
        let nodes: Vec<Node> = capacities
            .iter()
            .enumerate()
            .map(|(index, (cpu, pods))| node(&format!("n{index}"), &format!("{cpu}m"), &pods.to_string(), &json!({})))
            .collect();
        let mut world = snapshot(&nodes);
        for (index, (cpu, gib, leaves)) in requests.iter().enumerate() {
            let spec = json!({"containers": [{"name": "c", "resources": {"requests":
                {"cpu": format!("{cpu}m"), "memory": format!("{gib}Gi")}}}]});
            let uid = format!("p{index}");
            let candidate = pod(&uid, "0", spec);
            match place(&world, &candidate) {
                Placement::Node(name) => world.set_pod(&name, &candidate),
                Placement::Unschedulable(refusals) => {
                    // Nobody is turned away without a reason for every node.
                    prop_assert!(refusals.reasons.values().sum::<usize>() >= nodes.len());
                }
            }
            if *leaves && index > 0 {
                world.remove_pod(&format!("p{}", index - 1));
            }
            for state in world.nodes() {
                prop_assert!(state.used().get(CPU) <= state.allocatable.get(CPU));
                prop_assert!(state.used().get(MEMORY) <= state.allocatable.get(MEMORY));
                prop_assert!(state.pod_count() <= usize::try_from(state.allocatable.get("pods")).unwrap());
            }
        }
    }
}
