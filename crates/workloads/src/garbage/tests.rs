//! Garbage collection: the table of verdicts, and a world of owners that nobody may outlive wrongly.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::action::{DEPLOYMENT, NODE, POD, REPLICA_SET};
use crate::sim::World;

fn meta(name: &str, uid: &str, owners: &[(&str, bool)], extra: &Value) -> ObjectMeta {
    let owners: Vec<Value> = owners
        .iter()
        .map(|(uid, block)| {
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("n-{uid}"), "uid": uid,
                "blockOwnerDeletion": block})
        })
        .collect();
    let mut value = json!({"name": name, "namespace": "default", "uid": uid, "resourceVersion": "7",
        "ownerReferences": owners});
    for (key, field) in extra.as_object().unwrap() {
        value[key] = field.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn graph(nodes: &[(&Resource, ObjectMeta)]) -> Graph {
    let mut graph = Graph::default();
    for (resource, meta) in nodes {
        graph.observe(&Arc::new((*resource).clone()), meta);
    }
    graph
}

fn lines(verdict: &Verdict) -> Vec<String> {
    let mut lines: Vec<String> = verdict
        .plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Delete { target, uid, resource_version, propagation, .. } => {
                format!("delete {} uid={uid} version={resource_version:?} {propagation:?}", target.name)
            }
            Action::Patch { target, operations } => {
                format!("patch {} {}", target.name, operations.last().unwrap())
            }
            other => format!("{other:?}"),
        })
        .collect();
    lines.extend(
        verdict.queries.iter().map(|query| format!("look up {} {} {}", query.kind, query.name, query.uid)),
    );
    lines.extend(verdict.examine.iter().map(|uid| format!("examine {uid}")));
    lines
}

fn answers(pairs: &[(&str, OwnerAnswer)]) -> BTreeMap<String, OwnerAnswer> {
    pairs.iter().map(|(uid, answer)| ((*uid).to_owned(), *answer)).collect()
}

#[test]
fn an_unknown_owner_is_looked_up_before_anything_is_deleted() {
    let graph = graph(&[(&POD, meta("child", "c", &[("gone", false)], &json!({})))]);
    assert_eq!(lines(&graph.decide("c", &BTreeMap::new())), ["look up ReplicaSet n-gone gone"]);
    let absent = answers(&[("gone", OwnerAnswer::Absent)]);
    assert_eq!(
        lines(&graph.decide("c", &absent)),
        [r#"delete child uid=c version=Some("7") Some(Background)"#]
    );
    for spared in [OwnerAnswer::Present, OwnerAnswer::Unknown] {
        assert_eq!(lines(&graph.decide("c", &answers(&[("gone", spared)]))), Vec::<String>::new());
    }
}

#[test]
fn a_deletion_that_was_seen_needs_no_look_up() {
    let mut graph = graph(&[
        (&REPLICA_SET, meta("owner", "o", &[], &json!({}))),
        (&POD, meta("child", "c", &[("o", false)], &json!({}))),
    ]);
    assert_eq!(lines(&graph.decide("c", &BTreeMap::new())), Vec::<String>::new());
    assert_eq!(graph.forget("o"), [Uid::from("c")]);
    assert_eq!(
        lines(&graph.decide("c", &BTreeMap::new())),
        [r#"delete child uid=c version=Some("7") Some(Background)"#]
    );
}

#[test]
fn one_owner_that_is_left_keeps_the_object_and_the_lost_one_is_struck_off() {
    let mut graph = graph(&[
        (&REPLICA_SET, meta("one", "o1", &[], &json!({}))),
        (&REPLICA_SET, meta("two", "o2", &[], &json!({}))),
        (&POD, meta("child", "c", &[("o1", false), ("o2", false)], &json!({}))),
    ]);
    graph.forget("o1");
    let lines = lines(&graph.decide("c", &BTreeMap::new()));
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with("patch child") && !lines[0].contains("\"o1\"") && lines[0].contains("\"o2\"")
    );
}

#[test]
fn a_foreground_owner_waits_for_those_that_block_it_only() {
    let waiting = json!({"deletionTimestamp": "2023-01-01T00:00:00Z", "finalizers": [FOREGROUND]});
    let mut graph = graph(&[
        (&REPLICA_SET, meta("owner", "o", &[], &waiting)),
        (&POD, meta("blocks", "c1", &[("o", true)], &json!({}))),
        (&POD, meta("does-not", "c2", &[("o", false)], &json!({}))),
    ]);
    assert_eq!(lines(&graph.decide("o", &BTreeMap::new())), ["examine c1", "examine c2"]);
    assert_eq!(
        lines(&graph.decide("c1", &BTreeMap::new())),
        [r#"delete blocks uid=c1 version=Some("7") Some(Background)"#]
    );
    assert_eq!(graph.forget("c1"), [Uid::from("o")]);
    assert_eq!(
        lines(&graph.decide("o", &BTreeMap::new())),
        [r#"patch owner {"op":"remove","path":"/metadata/finalizers/0"}"#]
    );
}

#[test]
fn orphans_are_set_free_before_their_owner_goes() {
    let orphaning = json!({"deletionTimestamp": "2023-01-01T00:00:00Z", "finalizers": ["x.y/z", ORPHAN]});
    let mut graph = graph(&[
        (&REPLICA_SET, meta("owner", "o", &[], &orphaning)),
        (&POD, meta("child", "c", &[("o", true)], &json!({}))),
    ]);
    assert_eq!(
        lines(&graph.decide("o", &BTreeMap::new())),
        [r#"patch child {"op":"replace","path":"/metadata/ownerReferences","value":[]}"#]
    );
    let woken = graph.observe(&Arc::new(POD), &meta("child", "c", &[], &json!({"resourceVersion": "8"})));
    assert_eq!(woken, [Uid::from("o")]);
    assert_eq!(
        lines(&graph.decide("o", &BTreeMap::new())),
        [r#"patch owner {"op":"remove","path":"/metadata/finalizers/1"}"#]
    );
}

#[test]
fn an_owner_in_another_namespace_is_looked_up_and_never_trusted() {
    let elsewhere = meta("owner", "o", &[], &json!({"namespace": "other"}));
    let graph = graph(&[(&REPLICA_SET, elsewhere), (&POD, meta("child", "c", &[("o", false)], &json!({})))]);
    assert_eq!(lines(&graph.decide("c", &BTreeMap::new())), ["look up ReplicaSet n-o o"]);
}

#[test]
fn a_cluster_scoped_owner_reaches_every_namespace() {
    let node = ObjectMeta { namespace: None, ..meta("node", "o", &[], &json!({})) };
    let graph = graph(&[(&NODE, node), (&POD, meta("child", "c", &[("o", false)], &json!({})))]);
    assert_eq!(lines(&graph.decide("c", &BTreeMap::new())), Vec::<String>::new());
}

#[test]
fn a_circle_of_foreground_deletions_is_broken() {
    let waiting = json!({"deletionTimestamp": "2023-01-01T00:00:00Z", "finalizers": [FOREGROUND]});
    let graph = graph(&[
        (&REPLICA_SET, meta("a", "a", &[("b", true)], &waiting)),
        (&REPLICA_SET, meta("b", "b", &[("a", true)], &json!({}))),
    ]);
    let lines = lines(&graph.decide("b", &BTreeMap::new()));
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(r#""blockOwnerDeletion":false"#), "{lines:?}");
    assert!(lines[1].starts_with("delete b") && lines[1].contains("Foreground"), "{lines:?}");
}

/// Objects of the simulated world: each may be owned by earlier ones, so there are no circles.
fn forest() -> impl Strategy<Value = Vec<Vec<(usize, bool)>>> {
    prop::collection::vec(prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..3), 2..14)
        .prop_map(|picks| {
            picks
                .into_iter()
                .enumerate()
                .map(|(child, owners)| {
                    let mut owners: Vec<(usize, bool)> = owners
                        .into_iter()
                        .filter(|_| child > 0)
                        .map(|(index, block)| (index.index(child.max(1)), block))
                        .collect();
                    owners.sort_unstable();
                    owners.dedup_by_key(|(owner, _)| *owner);
                    owners
                })
                .collect()
        })
}

fn object_uid(world: &World, name: &str) -> Option<String> {
    world.objects.get(&("deployments".to_owned(), name.to_owned()))?["metadata"]["uid"]
        .as_str()
        .map(str::to_owned)
}

/// Tells the graph what the world looks like now; returns what wants to be examined.
fn feed(graph: &mut Graph, world: &World, known: &mut BTreeSet<String>) -> Vec<Uid> {
    let resource = Arc::new(DEPLOYMENT);
    let mut examine = Vec::new();
    let mut present = BTreeSet::new();
    for object in world.objects.values() {
        let meta: ObjectMeta = serde_json::from_value(object["metadata"].clone()).unwrap();
        present.insert(meta.uid.clone().unwrap());
        examine.extend(graph.observe(&resource, &meta));
    }
    for uid in known.difference(&present) {
        examine.extend(graph.forget(uid));
    }
    *known = present;
    examine
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nobody_outlives_all_owners_and_nobody_with_an_owner_dies(
        forest in forest(),
        deletions in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..3), 1..5),
    ) {
        let mut world = World::new();
        for (child, owners) in forest.iter().enumerate() {
            let owners: Vec<Value> = owners.iter().map(|(owner, block)| {
                let name = format!("n{owner}");
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": object_uid(&world, &name).unwrap(),
                    "blockOwnerDeletion": block})
            }).collect();
            world.create("deployments", json!({"metadata": {"name": format!("n{child}"), "ownerReferences": owners}})).unwrap();
        }
        let mut graph = Graph::default();
        let mut known = BTreeSet::new();
        feed(&mut graph, &world, &mut known);
        let mut condemned: BTreeSet<String> = BTreeSet::new();
        for (index, propagation) in deletions {
            let name = format!("n{}", index.index(forest.len()));
            let propagation = [Propagation::Background, Propagation::Foreground, Propagation::Orphan][usize::from(propagation)];
            condemned.insert(name.clone());
            let target = Target { resource: DEPLOYMENT, namespace: Some("default".to_owned()), name };
            world.delete(&target, None, Some(propagation));
            let mut queue: VecDeque<Uid> = feed(&mut graph, &world, &mut known).into();
            let mut rounds = 0;
            while let Some(uid) = queue.pop_front() {
                rounds += 1;
                prop_assert!(rounds < 5000, "the collector does not come to rest");
                let verdict = graph.decide(&uid, &BTreeMap::new());
                prop_assert!(verdict.queries.is_empty(), "the graph has seen everything: {:?}", verdict.queries);
                for action in &verdict.plan.actions {
                    if let Action::Delete { target, .. } = action {
                        let object = &world.objects[&("deployments".to_owned(), target.name.clone())];
                        for owner in object["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
                            let held = world.objects.values().find(|other| other["metadata"]["uid"] == owner["uid"]);
                            let alive = held.is_some_and(|other| !other["metadata"]["deletionTimestamp"].is_string());
                            prop_assert!(!alive, "{} was deleted under a living owner", target.name);
                        }
                    }
                }
                let worked = !verdict.plan.actions.is_empty();
                drop(world.run(verdict.plan, usize::MAX));
                queue.extend(verdict.examine);
                queue.extend(feed(&mut graph, &world, &mut known));
                if worked && graph.nodes.contains_key(&uid) {
                    queue.push_back(uid);
                }
            }
        }
        for object in world.objects.values() {
            let name = object["metadata"]["name"].as_str().unwrap();
            prop_assert!(!condemned.contains(name), "{name} was deleted and is still there: {object}");
            let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            let alive = |owner: &Value| world.objects.values().any(|other| other["metadata"]["uid"] == owner["uid"]);
            prop_assert!(owners.is_empty() || owners.iter().any(alive), "{name} has outlived its owners");
        }
    }
}
