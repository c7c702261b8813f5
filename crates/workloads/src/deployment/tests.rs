//! Deployment and `ReplicaSet` together, with a node that does what it likes, in any order.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pods::{is_active, is_available, name};
use crate::replicaset;
use crate::sim::World;

fn world(replicas: i32, strategy: &Value) -> World {
    let mut world = World::new();
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "v1"}]}}}});
    world.create("deployments", deployment).unwrap();
    world
}

fn rolling(surge: &Value, unavailable: &Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn set_image(world: &mut World, image: &str) {
    world.edit("deployments", "web", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    });
}

fn deployment(world: &World) -> Deployment {
    world.get("deployments", "web").unwrap()
}

fn sets(world: &World) -> Vec<Arc<ReplicaSet>> {
    world.all("replicasets")
}

fn plan(world: &World) -> Plan {
    let observed = Observed {
        deployment: Arc::new(deployment(world)),
        replica_sets: sets(world),
        pods: world.pods(),
        failure: None,
    };
    decide(&observed, world.now)
}

fn step_deployment(world: &mut World) -> bool {
    let plan = plan(world);
    let busy = !plan.actions.is_empty();
    // A refusal only means that the next pass sees more.
    drop(world.run(plan, usize::MAX));
    busy
}

fn step_set(world: &mut World, index: usize, seed: u64) -> bool {
    let sets = sets(world);
    let Some(set) = sets.get(index % sets.len().max(1)) else { return false };
    let observed =
        replicaset::Observed { replica_set: Arc::clone(set), pods: world.pods(), failure: None, seed };
    let plan = replicaset::decide(&observed, world.now);
    let busy = !plan.actions.is_empty();
    drop(world.run(plan, usize::MAX));
    busy
}

/// Everybody does everything until nothing changes.
fn settle(world: &mut World) {
    for round in 0..400_u64 {
        let mut busy = step_deployment(world);
        for index in 0..sets(world).len() {
            busy |= step_set(world, index, round * 100 + index as u64);
        }
        for pod in world.pods() {
            if pod.metadata.deletion_timestamp.is_some() {
                world.finish_pod(name(&pod.metadata));
                busy = true;
            } else if !crate::pods::is_ready(&pod) {
                world.run_pod(name(&pod.metadata), true);
                busy = true;
            }
        }
        if !busy {
            return;
        }
    }
    panic!("the world does not come to rest: {:#?}", plan(world));
}

fn condition(world: &World, kind: &str) -> (String, String) {
    let conditions = deployment(world).status.unwrap().conditions.unwrap();
    let found = conditions.into_iter().find(|condition| condition.type_.as_deref() == Some(kind)).unwrap();
    (found.status.unwrap(), found.reason.unwrap())
}

fn revisions(world: &World) -> Vec<(String, i32, String)> {
    let mut found: Vec<_> = sets(world)
        .iter()
        .map(|set| {
            let image =
                set.spec.template.as_ref().unwrap().spec.as_ref().unwrap().containers[0].image.clone();
            (
                set.metadata.annotations.as_ref().unwrap()[REVISION].clone(),
                sets::replicas(set),
                image.unwrap(),
            )
        })
        .collect();
    found.sort();
    found
}

#[test]
fn the_first_rollout_creates_one_set_with_its_annotations() {
    let mut world = world(3, &rolling(&json!("25%"), &json!("25%")));
    step_deployment(&mut world);
    let set = &sets(&world)[0];
    let hash = &set.metadata.labels.as_ref().unwrap()[POD_TEMPLATE_HASH];
    assert_eq!(name(&set.metadata), format!("web-{hash}"));
    assert_eq!(set.spec.selector.match_labels.as_ref().unwrap()[POD_TEMPLATE_HASH], *hash);
    insta::assert_json_snapshot!(set.metadata.annotations, @r#"
    {
      "deployment.kubernetes.io/desired-replicas": "3",
      "deployment.kubernetes.io/max-replicas": "4",
      "deployment.kubernetes.io/revision": "1"
    }
    "#);
    assert_eq!(condition(&world, "Progressing"), ("True".to_owned(), "NewReplicaSetCreated".to_owned()));
    assert_eq!(condition(&world, "Available"), ("False".to_owned(), "MinimumReplicasUnavailable".to_owned()));
    settle(&mut world);
    assert_eq!(condition(&world, "Progressing"), ("True".to_owned(), "NewReplicaSetAvailable".to_owned()));
    assert_eq!(condition(&world, "Available"), ("True".to_owned(), "MinimumReplicasAvailable".to_owned()));
    let status = deployment(&world).status.unwrap();
    assert_eq!(
        (status.replicas, status.updated_replicas, status.available_replicas),
        (Some(3), Some(3), Some(3))
    );
    assert_eq!(deployment(&world).metadata.annotations.unwrap()[REVISION], "1");
}

#[test]
fn going_back_takes_the_old_set_into_use_under_a_new_revision() {
    let mut world = world(2, &rolling(&json!(1), &json!(0)));
    settle(&mut world);
    set_image(&mut world, "v2");
    settle(&mut world);
    set_image(&mut world, "v1");
    settle(&mut world);
    insta::assert_debug_snapshot!(revisions(&world), @r#"
    [
        (
            "2",
            0,
            "v2",
        ),
        (
            "3",
            2,
            "v1",
        ),
    ]
    "#);
    let history =
        sets(&world).iter().find_map(|set| sets::annotation(set, REVISION_HISTORY).map(str::to_owned));
    assert_eq!(history.as_deref(), Some("1"));
}

#[test]
fn recreate_never_runs_two_templates_at_once() {
    let mut world = world(3, &json!({"type": "Recreate"}));
    settle(&mut world);
    set_image(&mut world, "v2");
    step_deployment(&mut world);
    for index in 0..sets(&world).len() {
        step_set(&mut world, index, 1);
    }
    // The old pods are on their way out but still there.
    for _ in 0..5 {
        step_deployment(&mut world);
        assert_eq!(sets(&world).len(), 1);
    }
    settle(&mut world);
    assert_eq!(revisions(&world).last().unwrap(), &("2".to_owned(), 3, "v2".to_owned()));
}

#[test]
fn a_rollout_without_progress_is_reported_and_recovers() {
    let mut world = world(2, &rolling(&json!(1), &json!(0)));
    settle(&mut world);
    set_image(&mut world, "broken");
    for round in 0..10 {
        step_deployment(&mut world);
        for index in 0..sets(&world).len() {
            step_set(&mut world, index, round);
        }
    }
    let due = plan(&world).requeue_at.expect("the deadline is waited for");
    assert!(due > world.now);
    world.now = due;
    step_deployment(&mut world);
    assert_eq!(condition(&world, "Progressing"), ("False".to_owned(), "ProgressDeadlineExceeded".to_owned()));
    assert_eq!(plan(&world), Plan::nothing(), "nothing is asked for again");
    set_image(&mut world, "v1");
    settle(&mut world);
    assert_eq!(condition(&world, "Progressing"), ("True".to_owned(), "NewReplicaSetAvailable".to_owned()));
}

#[test]
fn a_pause_holds_the_rollout_but_not_the_size() {
    let mut world = world(2, &rolling(&json!(1), &json!(0)));
    settle(&mut world);
    world.edit("deployments", "web", |deployment| deployment["spec"]["paused"] = json!(true));
    set_image(&mut world, "v2");
    settle(&mut world);
    assert_eq!(condition(&world, "Progressing"), ("Unknown".to_owned(), "DeploymentPaused".to_owned()));
    world.edit("deployments", "web", |deployment| deployment["spec"]["replicas"] = json!(4));
    settle(&mut world);
    assert_eq!(revisions(&world), [("1".to_owned(), 4, "v1".to_owned())]);
    world.edit("deployments", "web", |deployment| deployment["spec"]["paused"] = json!(false));
    settle(&mut world);
    assert_eq!(revisions(&world).last().unwrap(), &("2".to_owned(), 4, "v2".to_owned()));
}

#[test]
fn scaling_in_the_middle_of_a_rollout_keeps_the_proportions() {
    let mut world = world(10, &rolling(&json!(3), &json!(2)));
    settle(&mut world);
    set_image(&mut world, "v2");
    step_deployment(&mut world);
    step_deployment(&mut world);
    let before: i32 = revisions(&world).iter().map(|(_, replicas, _)| *replicas).sum();
    assert!(before <= 13);
    world.edit("deployments", "web", |deployment| deployment["spec"]["replicas"] = json!(15));
    step_deployment(&mut world);
    // Eleven may become eighteen: eight and three grow by their share, and the rest of the room goes to the larger.
    insta::assert_debug_snapshot!(revisions(&world).iter().map(|(_, size, _)| *size).collect::<Vec<_>>(), @r"
    [
        14,
        4,
    ]
    ");
    settle(&mut world);
    assert_eq!(revisions(&world).last().unwrap(), &("2".to_owned(), 15, "v2".to_owned()));
}

#[test]
fn old_sets_beyond_the_limit_go() {
    let mut world = world(1, &rolling(&json!(1), &json!(0)));
    world.edit("deployments", "web", |deployment| deployment["spec"]["revisionHistoryLimit"] = json!(2));
    for image in ["v2", "v3", "v4", "v5"] {
        settle(&mut world);
        set_image(&mut world, image);
    }
    settle(&mut world);
    let left: Vec<_> = revisions(&world).into_iter().map(|(revision, _, _)| revision).collect();
    assert_eq!(left, ["3", "4", "5"]);
}

#[test]
fn a_taken_name_moves_the_hash_on() {
    let mut world = world(1, &rolling(&json!(1), &json!(0)));
    let Some(Action::Create { object, .. }) = plan(&world).actions.into_iter().next() else { panic!() };
    let mut foreign = object.clone();
    foreign["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "x",
        "uid": "other", "controller": true}]);
    world.create("replicasets", foreign).unwrap();
    settle(&mut world);
    assert_eq!(sets(&world).len(), 2);
    assert_eq!(deployment(&world).status.unwrap().collision_count, Some(1));
}

#[test]
fn min_ready_seconds_delays_availability() {
    let mut world = world(1, &rolling(&json!(1), &json!(0)));
    world.edit("deployments", "web", |deployment| deployment["spec"]["minReadySeconds"] = json!(30));
    step_deployment(&mut world);
    step_set(&mut world, 0, 1);
    let pod = world.pods().remove(0);
    world.run_pod(name(&pod.metadata), true);
    let observed = replicaset::Observed {
        replica_set: Arc::clone(&sets(&world)[0]),
        pods: world.pods(),
        failure: None,
        seed: 1,
    };
    let plan = replicaset::decide(&observed, world.now);
    assert_eq!(plan.requeue_at, Some(crate::pods::after(world.now, 30)));
    settle(&mut world);
    assert_eq!(condition(&world, "Available").0, "False");
    world.pass_time(30);
    settle(&mut world);
    assert_eq!(condition(&world, "Available").0, "True");
}

/// What may happen next in the simulated world.
#[derive(Clone, Debug)]
enum Move {
    Deployment,
    Set(usize, u64),
    Ready(usize),
    Finish(usize),
    Image(u8),
    Time,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => Just(Move::Deployment),
        4 => (0_usize..4, any::<u64>()).prop_map(|(index, seed)| Move::Set(index, seed)),
        4 => (0_usize..40).prop_map(Move::Ready),
        3 => (0_usize..40).prop_map(Move::Finish),
        1 => (0_u8..3).prop_map(Move::Image),
        1 => Just(Move::Time),
    ];
    prop::collection::vec(one, 1..150)
}

fn apply(world: &mut World, step: &Move) {
    let pods = world.pods();
    let pick = |index: usize| pods.get(index % pods.len().max(1)).map(|pod| name(&pod.metadata).to_owned());
    match step {
        Move::Deployment => drop(step_deployment(world)),
        Move::Set(index, seed) => drop(step_set(world, *index, *seed)),
        Move::Ready(index) => {
            if let Some(pod) = pick(*index) {
                world.run_pod(&pod, true);
            }
        }
        Move::Finish(index) => {
            if let Some(pod) = pick(*index) {
                world.finish_pod(&pod);
            }
        }
        Move::Image(version) => set_image(world, &format!("v{version}")),
        Move::Time => world.pass_time(7),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_rolling_update_keeps_its_promises_in_any_order(
        replicas in 1_i32..9,
        surge in 0_i32..4,
        unavailable in 0_i32..4,
        percent in any::<bool>(),
        steps in moves(),
    ) {
        let value = |number: i32| if percent { json!(format!("{}%", number * 20)) } else { json!(number) };
        let mut world = world(replicas, &rolling(&value(surge), &value(unavailable)));
        settle(&mut world);
        let observed = Observed { deployment: Arc::new(deployment(&world)), replica_sets: sets(&world), pods: Vec::new(), failure: None };
        let target = deployment(&world);
        let pass = Pass::new(&target, Sets { new: None, old: Vec::new() }, &observed, world.now);
        let (most, least) = (pass.max_total(), replicas - pass.max_unavailable());
        for step in &steps {
            apply(&mut world, step);
            let total: i32 = sets(&world).iter().map(|set| sets::replicas(set)).sum();
            prop_assert!(total <= most, "{total} replicas after {step:?}, at most {most}");
            let pods = world.pods();
            let available = pods.iter().filter(|pod| is_active(pod) && is_available(pod, 0, world.now)).count();
            prop_assert!(i32::try_from(available).unwrap() >= least, "{available} available after {step:?}, at least {least}");
        }
        settle(&mut world);
        let image = deployment(&world).spec.template.spec.unwrap().containers[0].image.clone();
        let pods = world.pods();
        prop_assert_eq!(i32::try_from(pods.len()).unwrap(), replicas);
        prop_assert!(pods.iter().all(|pod| pod.spec.as_ref().unwrap().containers[0].image == image));
        prop_assert_eq!(condition(&world, "Progressing").1, "NewReplicaSetAvailable");
    }
}
