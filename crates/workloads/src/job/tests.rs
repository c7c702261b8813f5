//! Jobs in a world where nodes, users and crashes do as they like.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pods::{is_active, is_terminal, name};
use crate::sim::World;

fn world(spec: &Value) -> World {
    let mut world = World::new();
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
        "spec": {"selector": {"matchLabels": {"job": "sum"}}, "parallelism": 1, "completions": 1, "backoffLimit": 6,
            "template": {"metadata": {"labels": {"job": "sum"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    for (key, value) in spec.as_object().unwrap() {
        if value.is_null() {
            job["spec"].as_object_mut().unwrap().remove(key);
        } else {
            job["spec"][key] = value.clone();
        }
    }
    world.create("jobs", job).unwrap();
    world
}

fn job(world: &World) -> Job {
    world.get("jobs", "sum").unwrap()
}

fn plan(world: &World, seed: u64) -> Plan {
    let observed = Observed { job: Arc::new(job(world)), pods: world.pods(), failure: None, seed };
    decide(&observed, world.now)
}

fn step(world: &mut World, seed: u64, limit: usize) -> bool {
    let plan = plan(world, seed);
    let busy = !plan.actions.is_empty();
    drop(world.run(plan, limit));
    busy
}

/// Passes until nothing is asked for; time runs on to whatever is waited for. The node ends pods with `phase`.
fn settle(world: &mut World, phase: &str) {
    for round in 0..500 {
        let mut busy = step(world, 10_000 + round, usize::MAX);
        for pod in world.pods() {
            if is_active(&pod) {
                world.end_pod(name(&pod.metadata), phase);
                busy = true;
            } else if crate::pods::is_deleting(&pod.metadata) {
                world.finish_pod(name(&pod.metadata));
            }
        }
        if busy {
            continue;
        }
        match plan(world, 1).requeue_at {
            Some(at) if outcome::finished_at(&job(world)).is_none() => world.now = at,
            _ => return,
        }
    }
    panic!("the job does not come to rest: {:#?}", plan(world, 1));
}

fn conditions(world: &World) -> Vec<String> {
    let conditions = job(world).status.and_then(|status| status.conditions).unwrap_or_default();
    let show = |condition: &k8s_openapi::api::batch::v1::JobCondition| {
        format!(
            "{}={} {}",
            condition.type_,
            condition.status,
            condition.reason.as_deref().unwrap_or_default()
        )
    };
    conditions.iter().map(show).collect()
}

fn counts(world: &World) -> (i32, i32, i32) {
    let status = job(world).status.unwrap();
    (status.active.unwrap_or(0), status.succeeded.unwrap_or(0), status.failed.unwrap_or(0))
}

#[test]
fn a_job_completes_in_two_steps_and_frees_its_pods() {
    let mut world = world(&json!({"completions": 3, "parallelism": 2}));
    step(&mut world, 1, usize::MAX);
    assert_eq!(world.pods().len(), 2);
    assert!(world.pods().iter().all(|pod| is_tracked(pod)));
    settle(&mut world, "Succeeded");
    assert_eq!(counts(&world), (0, 3, 0));
    assert_eq!(
        conditions(&world),
        ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"]
    );
    assert!(job(&world).status.unwrap().completion_time.is_some());
    assert!(world.pods().iter().all(|pod| !is_tracked(pod)));
    assert!(world.events.contains(&"Completed Job completed".to_owned()));
}

#[test]
fn failures_back_off_and_then_fail_the_job() {
    let mut world = world(&json!({"backoffLimit": 2}));
    let start = world.now;
    settle(&mut world, "Failed");
    assert_eq!(counts(&world), (0, 0, 3));
    assert_eq!(
        conditions(&world),
        ["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"]
    );
    // Ten seconds after the first failure, twenty after the second.
    assert_eq!(world.now.duration_since(start).as_secs(), 30);
}

#[test]
fn restarts_in_place_count_against_the_limit() {
    let mut world = world(&json!({"backoffLimit": 2}));
    world.edit("jobs", "sum", |job| job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure"));
    step(&mut world, 1, usize::MAX);
    let pod = name(&world.pods()[0].metadata).to_owned();
    world.run_pod(&pod, true);
    world.edit("pods", &pod, |pod| {
        pod["status"]["containerStatuses"] =
            json!([{"name": "c", "image": "i", "imageID": "i", "ready": true, "restartCount": 2}]);
    });
    step(&mut world, 2, usize::MAX);
    assert_eq!(conditions(&world), ["FailureTarget=True BackoffLimitExceeded"]);
    settle(&mut world, "Failed");
    assert_eq!(conditions(&world).last().unwrap(), "Failed=True BackoffLimitExceeded");
}

#[test]
fn the_deadline_ends_the_job_and_its_pods() {
    let mut world = world(&json!({"activeDeadlineSeconds": 60}));
    step(&mut world, 1, usize::MAX);
    let pod = name(&world.pods()[0].metadata).to_owned();
    world.run_pod(&pod, true);
    let due = plan(&world, 2).requeue_at.unwrap();
    world.now = due;
    step(&mut world, 2, usize::MAX);
    assert_eq!(conditions(&world), ["FailureTarget=True DeadlineExceeded"]);
    assert!(world.pods().iter().all(|pod| crate::pods::is_deleting(&pod.metadata)));
    settle(&mut world, "Failed");
    assert_eq!(conditions(&world).last().unwrap(), "Failed=True DeadlineExceeded");
}

#[test]
fn suspension_takes_pods_back_without_counting_them() {
    let mut world = world(&json!({"parallelism": 2, "completions": 2}));
    step(&mut world, 1, usize::MAX);
    for pod in world.pods() {
        world.run_pod(name(&pod.metadata), true);
    }
    world.edit("jobs", "sum", |job| job["spec"]["suspend"] = json!(true));
    step(&mut world, 2, usize::MAX);
    for pod in world.pods() {
        world.finish_pod(name(&pod.metadata));
    }
    step(&mut world, 3, usize::MAX);
    assert_eq!(counts(&world), (0, 0, 0));
    assert_eq!(conditions(&world), ["Suspended=True JobSuspended"]);
    assert!(job(&world).status.unwrap().start_time.is_none());
    world.edit("jobs", "sum", |job| job["spec"]["suspend"] = json!(false));
    settle(&mut world, "Succeeded");
    assert_eq!(counts(&world), (0, 2, 0));
}

#[test]
fn indexed_jobs_run_every_index_once() {
    let mut world = world(&json!({"completions": 4, "parallelism": 3, "completionMode": "Indexed"}));
    step(&mut world, 1, usize::MAX);
    let pod = world.pods().remove(0);
    insta::assert_json_snapshot!(pod.spec.as_ref().unwrap().containers[0].env, @r#"
    [
      {
        "name": "JOB_COMPLETION_INDEX",
        "value": "0"
      }
    ]
    "#);
    assert_eq!(pod.spec.as_ref().unwrap().hostname.as_deref(), Some("sum-0"));
    world.end_pod(name(&pod.metadata), "Failed");
    world.pass_time(3600);
    settle(&mut world, "Succeeded");
    assert_eq!(job(&world).status.unwrap().completed_indexes.as_deref(), Some("0-3"));
    assert_eq!(counts(&world), (0, 4, 1));
}

#[test]
fn a_work_queue_job_ends_when_one_succeeded_and_all_have_ended() {
    let mut world = world(&json!({"completions": null, "parallelism": 2}));
    step(&mut world, 1, usize::MAX);
    let pods = world.pods();
    world.end_pod(name(&pods[0].metadata), "Succeeded");
    step(&mut world, 2, usize::MAX);
    step(&mut world, 3, usize::MAX);
    assert_eq!(conditions(&world), Vec::<String>::new());
    assert_eq!(world.pods().len(), 2, "nobody is replaced after the first success");
    world.end_pod(name(&pods[1].metadata), "Succeeded");
    settle(&mut world, "Succeeded");
    assert_eq!(counts(&world), (0, 2, 0));
}

#[test]
fn a_finished_job_goes_after_its_time() {
    let mut world = world(&json!({"ttlSecondsAfterFinished": 100}));
    settle(&mut world, "Succeeded");
    let due = plan(&world, 1).requeue_at.unwrap();
    assert_eq!(due.duration_since(outcome::finished_at(&job(&world)).unwrap()).as_secs(), 100);
    world.now = due;
    let plan = plan(&world, 1);
    assert!(matches!(&plan.actions[..], [Action::Delete { propagation: Some(Propagation::Foreground), .. }]));
}

#[test]
fn jobs_of_other_managers_are_left_alone() {
    let world = world(&json!({"managedBy": "example.com/other"}));
    assert_eq!(plan(&world, 1), Plan::nothing());
}

#[test]
fn what_is_not_supported_fails_in_words_and_without_pods() {
    let mut world = world(&json!({"backoffLimitPerIndex": 1, "completionMode": "Indexed"}));
    settle(&mut world, "Succeeded");
    assert_eq!(conditions(&world).last().unwrap(), "Failed=True UnsupportedField");
    assert!(world.pods().is_empty());
}

/// What may happen next.
#[derive(Clone, Debug)]
enum Move {
    /// A pass of which only so many actions are carried out.
    Pass(u64, usize),
    End(usize, bool),
    Delete(usize),
    Finish(usize),
    Parallelism(i32),
    Time,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (any::<u64>(), prop_oneof![Just(usize::MAX), 0_usize..4]).prop_map(|(seed, limit)| Move::Pass(seed, limit)),
        4 => (0_usize..20, any::<bool>()).prop_map(|(index, good)| Move::End(index, good)),
        1 => (0_usize..20).prop_map(Move::Delete),
        3 => (0_usize..20).prop_map(Move::Finish),
        1 => (0_i32..5).prop_map(Move::Parallelism),
        1 => Just(Move::Time),
    ];
    prop::collection::vec(one, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_pod_is_counted_exactly_once_whatever_happens(
        completions in 1_i32..6,
        parallelism in 1_i32..5,
        indexed in any::<bool>(),
        steps in moves(),
    ) {
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let mut world = world(&json!({"completions": completions, "parallelism": parallelism,
            "backoffLimit": 1000, "completionMode": mode}));
        // Pods that may count, by UID: they have ended, or were told to go, while they were held for counting.
        let (mut ended, mut good_ones) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for step_ in &steps {
            let pods = world.pods();
            let pick = |index: usize| pods.get(index % pods.len().max(1)).cloned();
            match step_ {
                Move::Pass(seed, limit) => {
                    step(&mut world, *seed, *limit);
                }
                Move::End(index, good) => {
                    if let Some(pod) = pick(*index).filter(|pod| !is_terminal(pod)) {
                        world.end_pod(name(&pod.metadata), if *good { "Succeeded" } else { "Failed" });
                        if is_tracked(&pod) {
                            ended.insert(pod_uid(&pod));
                        }
                        if is_tracked(&pod) && *good {
                            good_ones.insert(pod_uid(&pod));
                        }
                    }
                }
                Move::Delete(index) => {
                    if let Some(pod) = pick(*index) {
                        ended.insert(pod_uid(&pod));
                        world.delete(&crate::action::Target::of(&POD, &pod.metadata), None, None);
                    }
                }
                Move::Finish(index) => {
                    if let Some(pod) = pick(*index) {
                        world.finish_pod(name(&pod.metadata));
                    }
                }
                Move::Parallelism(number) => {
                    world.edit("jobs", "sum", |job| job["spec"]["parallelism"] = json!(number));
                }
                Move::Time => world.pass_time(900),
            }
            let status = job(&world).status.unwrap_or_default();
            let uncounted = status.uncounted_terminated_pods.unwrap_or_default();
            let waiting = uncounted.failed.map_or(0, |ids| ids.len());
            let succeeded = usize::try_from(status.succeeded.unwrap_or_default()).unwrap();
            let failed = usize::try_from(status.failed.unwrap_or_default()).unwrap();
            prop_assert!(succeeded <= good_ones.len(), "{succeeded} successes of {}", good_ones.len());
            prop_assert!(succeeded + failed + waiting <= ended.len(), "{succeeded}, {failed}, {waiting} of {}", ended.len());
        }
        world.edit("jobs", "sum", |job| job["spec"]["parallelism"] = json!(3));
        world.pass_time(100_000);
        settle(&mut world, "Succeeded");
        let (active, succeeded, _) = counts(&world);
        prop_assert_eq!(active, 0);
        prop_assert!(succeeded >= completions, "{} of {}", succeeded, completions);
        prop_assert!(!indexed || succeeded == completions);
        let last = conditions(&world).pop().unwrap_or_default();
        prop_assert_eq!(last, "Complete=True CompletionsReached");
        prop_assert!(world.pods().iter().all(|pod| !is_tracked(pod)));
    }
}
