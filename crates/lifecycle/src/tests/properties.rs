//! What holds for every pod and every history.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::World;
use crate::{BackOff, Event, ProbeKind};

#[derive(Debug, Clone)]
enum Step {
    Exit(usize, i32),
    Pass(i64),
    Image(u8),
    Lose(bool),
    Fail(usize, u8),
    Heal,
    Stubborn(usize),
    Sources,
}

const NAMES: [&str; 5] = ["init", "side", "late", "app", "other"];

fn spec(policy: &str, deadline: Option<i64>) -> Value {
    let probe = |period: i32| json!({"tcpSocket": {"port": 1}, "periodSeconds": period});
    let mut spec = json!({"restartPolicy": policy, "terminationGracePeriodSeconds": 3,
        "initContainers": [
            {"name": "init", "image": "a:0"},
            {"name": "side", "image": "a:0", "restartPolicy": "Always", "startupProbe": probe(1)},
            {"name": "late", "image": "a:0"}],
        "containers": [
            {"name": "app", "image": "a:0", "livenessProbe": probe(2), "startupProbe": probe(1),
             "lifecycle": {"postStart": {"exec": {"command": ["x"]}}}},
            {"name": "other", "image": "a:0", "readinessProbe": probe(3)}]});
    if let Some(deadline) = deadline {
        spec["activeDeadlineSeconds"] = json!(deadline);
    }
    spec
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5_usize, prop_oneof![Just(0), Just(1), Just(137)]).prop_map(|(of, code)| Step::Exit(of, code)),
        4 => (0..40_i64).prop_map(Step::Pass),
        1 => (0..3_u8).prop_map(Step::Image),
        1 => any::<bool>().prop_map(Step::Lose),
        1 => (0..5_usize, 0..3_u8).prop_map(|(of, kind)| Step::Fail(of, kind)),
        1 => Just(Step::Heal),
        1 => (0..5_usize).prop_map(Step::Stubborn),
        1 => Just(Step::Sources),
    ];
    prop::collection::vec(step, 0..30)
}

fn play(world: &mut World, step: &Step) {
    match step {
        Step::Exit(of, code) => world.exit(NAMES[*of], *code),
        Step::Pass(seconds) => world.pass(*seconds),
        Step::Image(of) => {
            let image = Some(format!("a:{of}"));
            world.pod.spec.as_mut().unwrap().containers[0].image = image;
        }
        Step::Lose(gone) => {
            world.missing = if *gone { (0..3).map(|of| format!("a:{of}")).collect() } else { Vec::new() };
        }
        Step::Fail(of, kind) => world.failing.push((NAMES[*of].into(), ProbeKind::ALL[usize::from(*kind)])),
        Step::Heal => world.failing.clear(),
        Step::Stubborn(of) => world.stubborn.push(NAMES[*of].into()),
        Step::Sources => world.event(Event::SourcesChanged),
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The world itself asserts: never two instances of a name, no removal or teardown under a live container, and
    /// every plan becomes empty.
    #[test]
    fn every_history_ends_when_the_pod_is_deleted(
        policy in prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")],
        deadline in prop_oneof![3 => Just(None), 1 => (1..200_i64).prop_map(Some)],
        before in steps(),
        grace in 0..10_i64,
    ) {
        let mut world = World::new(&spec(policy, deadline));
        world.settle();
        for step in &before {
            play(&mut world, step);
        }
        let images_changed = before.iter().any(|step| matches!(step, Step::Image(_)));
        if policy == "Never" && !images_changed {
            for name in ["init", "late", "app", "other"] {
                prop_assert_eq!(world.container(name).restart_count, 0, "{} restarted", name);
            }
        }
        world.delete(grace);
        world.pass(60);
        prop_assert!(world.done && world.deleted && world.alive.is_empty(), "{:?}", world.story);
        prop_assert!(world.settle().is_none(), "a pod that is done wants nothing more");
    }

    /// Taking over at any moment restarts nothing that runs.
    #[test]
    fn adoption_restarts_nothing(before in steps()) {
        let mut world = World::new(&spec("Always", None));
        world.settle();
        for step in &before {
            play(&mut world, step);
        }
        world.failing.clear();
        world.missing.clear();
        let alive = world.alive.clone();
        let images: Vec<_> = crate::declared(&world.pod)
            .into_iter()
            .map(|of| (of.spec.name.clone(), of.spec.image.clone().unwrap_or_default()))
            .collect();
        let containers = alive.iter().map(|((name, attempt), at)| crate::FoundContainer {
            name: name.clone(),
            attempt: *attempt,
            id: format!("{name}-{attempt}"),
            image: images.iter().find(|(other, _)| other == name).map(|(_, image)| image.clone()).unwrap_or_default(),
            image_id: "sha256:aa".into(),
            state: crate::FoundState::Running { started_at: *at },
        });
        let found = crate::Found { sandbox_ips: Some(vec!["10.244.0.7".into()]), containers: containers.collect() };
        world.state = crate::PodState::adopt(&world.pod, &found, world.now);
        world.settle();
        for key in alive.keys() {
            prop_assert!(world.alive.contains_key(key), "{key:?} was restarted: {:?}", world.story);
        }
    }

    /// Delays never shrink before a long run, and stay in their bounds.
    #[test]
    fn back_off_is_monotone(steps in 1..20_usize) {
        for (mut back_off, max) in [(BackOff::crash(), 300), (BackOff::image(), 300), (BackOff::sandbox(), 120)] {
            let mut last = -1;
            for _ in 0..steps {
                let delay = back_off.step().as_secs();
                prop_assert!(delay >= last && delay <= max);
                last = delay;
            }
            back_off.reset();
            prop_assert!(back_off.step().as_secs() <= 10);
        }
    }
}
