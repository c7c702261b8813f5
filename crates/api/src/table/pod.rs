//! Pods in tables. The status column folds phase, reasons and init containers into one word.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, condition_is, items, name, number, or_none, since, text, time};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Ready", "string", "Containers that are ready, of all that should be."),
    Column::new("Status", "string", "Phase of the pod, or why it is not simply running."),
    Column::new("Restarts", "string", "Restarts of the containers, and when the last one was."),
    AGE,
    Column::wide("IP", "string", "Address of the pod."),
    Column::wide("Node", "string", "Node on which the pod runs."),
    Column::wide("Nominated Node", "string", "Node on which room is being made for the pod."),
    Column::wide("Readiness Gates", "string", "Readiness gates that are true, of all there are."),
];

/// What the containers add up to.
#[derive(Default)]
struct Tally {
    reason: String,
    total: usize,
    ready: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl Tally {
    fn count_restarts(&mut self, status: &Value) {
        self.restarts += number(status, "/restartCount");
        self.last_restart = self.last_restart.max(time(status, "/lastState/terminated/finishedAt"));
    }
}

pub(crate) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let tally = tally(pod);
    let restarts = match tally.last_restart {
        Some(_) if tally.restarts > 0 => {
            format!("{} ({} ago)", tally.restarts, since(tally.last_restart, now))
        }
        _ => tally.restarts.to_string(),
    };
    vec![
        name(pod),
        json!(format!("{}/{}", tally.ready, tally.total)),
        json!(tally.reason),
        json!(restarts),
        age(pod, now),
        json!(or_none(ip(pod))),
        json!(or_none(text(pod, "/spec/nodeName"))),
        json!(or_none(text(pod, "/status/nominatedNodeName"))),
        json!(readiness_gates(pod)),
    ]
}

/// Finished pods are marked, so that clients can tell them apart.
pub(crate) fn row_conditions(pod: &Value) -> Vec<Value> {
    let (reason, message) = match text(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({ "type": "Completed", "status": "True", "reason": reason, "message": message })]
}

fn ip(pod: &Value) -> &str {
    items(pod, "/status/podIPs").next().map_or_else(|| text(pod, "/status/podIP"), |ip| text(ip, "/ip"))
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(pod, "/spec/readinessGates");
    if gates.len() == 0 {
        return "<none>".to_owned();
    }
    let total = gates.len();
    let open = gates.filter(|gate| condition_is(pod, text(gate, "/conditionType"), "True")).count();
    format!("{open}/{total}")
}

fn is_sidecar(pod: &Value, container: &str) -> bool {
    items(pod, "/spec/initContainers")
        .any(|c| text(c, "/name") == container && text(c, "/restartPolicy") == "Always")
}

fn tally(pod: &Value) -> Tally {
    let status_reason = text(pod, "/status/reason");
    let phase = text(pod, "/status/phase");
    let reason = if status_reason.is_empty() { phase } else { status_reason };
    let sidecars =
        items(pod, "/spec/initContainers").filter(|c| text(c, "/restartPolicy") == "Always").count();
    let mut tally = Tally {
        reason: reason.to_owned(),
        total: items(pod, "/spec/containers").len() + sidecars,
        ..Tally::default()
    };
    let gated = items(pod, "/status/conditions")
        .any(|c| text(c, "/type") == "PodScheduled" && text(c, "/reason") == "SchedulingGated");
    if gated {
        "SchedulingGated".clone_into(&mut tally.reason);
    }
    let mut of_sidecars = Tally::default();
    let initializing = init_containers(pod, &mut tally, &mut of_sidecars);
    if !initializing || condition_is(pod, "Initialized", "True") {
        tally.restarts = of_sidecars.restarts;
        tally.last_restart = of_sidecars.last_restart;
        main_containers(pod, &mut tally);
    }
    deletion(pod, &mut tally);
    tally
}

/// Returns whether an init container holds the pod back, and says in the tally which.
fn init_containers(pod: &Value, tally: &mut Tally, of_sidecars: &mut Tally) -> bool {
    let wanted = items(pod, "/spec/initContainers").len();
    for (index, status) in items(pod, "/status/initContainerStatuses").enumerate() {
        tally.count_restarts(status);
        let sidecar = is_sidecar(pod, text(status, "/name"));
        if sidecar {
            of_sidecars.count_restarts(status);
        }
        let terminated = status.pointer("/state/terminated");
        if terminated.is_some_and(|t| number(t, "/exitCode") == 0) {
            continue;
        }
        if sidecar && status.get("started") == Some(&json!(true)) {
            tally.ready += usize::from(status.get("ready") == Some(&json!(true)));
            continue;
        }
        let waiting = text(status, "/state/waiting/reason");
        tally.reason = match terminated {
            Some(terminated) => format!("Init:{}", why_terminated(terminated)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{index}/{wanted}"),
        };
        return true;
    }
    false
}

fn main_containers(pod: &Value, tally: &mut Tally) {
    let mut running = false;
    for status in items(pod, "/status/containerStatuses").rev() {
        tally.count_restarts(status);
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut tally.reason);
        } else if let Some(terminated) = status.pointer("/state/terminated") {
            tally.reason = why_terminated(terminated);
        } else if status.get("ready") == Some(&json!(true)) && status.pointer("/state/running").is_some() {
            running = true;
            tally.ready += 1;
        }
    }
    // One container may have finished while another still runs.
    if tally.reason == "Completed" && running {
        let ready = condition_is(pod, "Ready", "True");
        (if ready { "Running" } else { "NotReady" }).clone_into(&mut tally.reason);
    }
}

fn why_terminated(terminated: &Value) -> String {
    let reason = text(terminated, "/reason");
    let signal = number(terminated, "/signal");
    match (reason.is_empty(), signal) {
        (false, _) => reason.to_owned(),
        (true, 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        (true, _) => format!("Signal:{signal}"),
    }
}

fn deletion(pod: &Value, tally: &mut Tally) {
    let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    if !crate::meta::is_being_deleted(pod) {
        return;
    }
    if text(pod, "/status/reason") == "NodeLost" {
        "Unknown".clone_into(&mut tally.reason);
    } else if !finished {
        "Terminating".clone_into(&mut tally.reason);
    }
}
