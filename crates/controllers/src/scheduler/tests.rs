//! The scheduler between its decision and what the API shows of it.

use serde_json::{Value, json};

use super::*;
use crate::queue::Done;

struct Bench {
    pods: Arc<Cache<Pod>>,
    queue: Arc<Queue>,
    scheduler: Arc<Scheduler>,
}

impl Bench {
    /// One node with two cores.
    fn new() -> Self {
        let (pods, queue): (Arc<Cache<Pod>>, Arc<Queue>) = (Arc::default(), Arc::default());
        let scheduler =
            Arc::new(Scheduler::new(&pods, Arc::clone(&queue), 0, "default-scheduler".to_owned()));
        let listener = Arc::clone(&scheduler);
        pods.listen(move |change| listener.pod_changed(change));
        let bench = Self { pods, queue, scheduler };
        bench.set_node("2");
        bench
    }

    fn set_node(&self, cpu: &str) {
        let node = json!({"metadata": {"name": "n"}, "spec": {},
            "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "10"}}});
        let node: Arc<Node> = Arc::new(serde_json::from_value(node).unwrap());
        self.scheduler.node_changed(&Change { old: None, new: Some(&node) });
    }

    fn add(&self, name: &str, version: u64, spec: &Value) {
        let mut pod = json!({"metadata": {"namespace": "default", "name": name, "uid": name,
                "resourceVersion": version.to_string()},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]}});
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        self.pods.observe(serde_json::from_value(pod).unwrap());
    }

    async fn plan(&self, name: &str) -> Vec<String> {
        let attempt = Attempt { now: Timestamp::UNIX_EPOCH, seed: 1, failure: None };
        let plan = self.scheduler.plan("default", name, attempt).await.unwrap();
        let line = |action: &Action| match action {
            Action::Bind { pod, uid, node, .. } => format!("bind {pod} ({uid}) to {node}"),
            Action::UpdateStatus { object, .. } => {
                format!("status {}", object["status"]["conditions"][0]["message"])
            }
            Action::Event { note, .. } => format!("event {}: {}", note.reason, note.message),
            other => format!("{other:?}"),
        };
        plan.actions.iter().map(line).collect()
    }

    async fn woken(&self) -> Vec<String> {
        let mut names = Vec::new();
        let patience = std::time::Duration::from_secs(1);
        while let Ok(key) = tokio::time::timeout(patience, self.queue.next()).await {
            names.push(key.name.clone());
            self.queue.done(key, Done::Settled(None));
        }
        names
    }
}

#[tokio::test(start_paused = true)]
async fn room_is_taken_from_the_decision_on() {
    let bench = Bench::new();
    bench.add("a", 1, &json!({}));
    bench.add("b", 2, &json!({}));
    assert_eq!(bench.woken().await, ["a", "b"]);
    let bound = ["bind a (a) to n", "event Scheduled: Successfully assigned default/a to n"];
    assert_eq!(bench.plan("a").await, bound);
    assert_eq!(
        bench.plan("a").await,
        Vec::<String>::new(),
        "a decision stands until it is seen or has failed"
    );
    let words = "0/1 nodes are available: 1 Insufficient cpu.";
    let refused = [format!("status \"{words}\""), format!("event FailedScheduling: {words}")];
    assert_eq!(bench.plan("b").await, refused);
}

#[tokio::test(start_paused = true)]
async fn a_failed_binding_gives_the_room_back_and_wakes_those_who_wait() {
    let bench = Bench::new();
    bench.add("a", 1, &json!({}));
    bench.add("b", 2, &json!({}));
    bench.woken().await;
    bench.plan("a").await;
    bench.plan("b").await;
    bench.scheduler.ended("default", "a", Ending::Stopped);
    assert_eq!(bench.woken().await, ["b"]);
    assert_eq!(bench.plan("b").await[0], "bind b (b) to n");
}

#[tokio::test(start_paused = true)]
async fn room_that_appears_wakes_those_who_wait() {
    let bench = Bench::new();
    bench.add("a", 1, &json!({"nodeName": "n"}));
    bench.add("b", 2, &json!({}));
    bench.woken().await;
    bench.plan("b").await;
    assert_eq!(bench.woken().await, Vec::<String>::new());
    bench.pods.erase("default", "a", "a");
    assert_eq!(bench.woken().await, ["b"]);
    bench.add("c", 3, &json!({"nodeName": "n"}));
    bench.plan("b").await;
    bench.set_node("8");
    assert_eq!(bench.woken().await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn pods_of_others_gated_or_bound_are_left_alone() {
    let bench = Bench::new();
    let cases = [
        json!({"schedulerName": "other"}),
        json!({"schedulingGates": [{"name": "wait"}]}),
        json!({"nodeName": "n"}),
    ];
    for (index, spec) in cases.iter().enumerate() {
        bench.add(&format!("p{index}"), index as u64 + 1, spec);
    }
    assert_eq!(bench.woken().await, Vec::<String>::new());
    for index in 0..cases.len() {
        assert_eq!(bench.plan(&format!("p{index}")).await, Vec::<String>::new());
    }
}
