//! `HorizontalPodAutoscalers` in tables, in both versions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, number, text};

const SHOWN: usize = 2;

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Reference", "string", "What is scaled."),
    Column::new("Targets", "string", "What is measured, and what is aimed at."),
    Column::new("MinPods", "string", "Fewest pods."),
    Column::new("MaxPods", "string", "Most pods."),
    Column::new("Replicas", "string", "Pods that are there."),
    AGE,
];

pub(crate) fn cells(autoscaler: &Value, now: Timestamp) -> Vec<Value> {
    let target = |key: &str| text(autoscaler, &format!("/spec/scaleTargetRef/{key}")).to_owned();
    let min = autoscaler.pointer("/spec/minReplicas").and_then(Value::as_i64);
    vec![
        name(autoscaler),
        json!(format!("{}/{}", target("kind"), target("name"))),
        json!(metrics(autoscaler)),
        json!(min.map_or_else(|| "<unset>".to_owned(), |min| min.to_string())),
        json!(number(autoscaler, "/spec/maxReplicas")),
        json!(number(autoscaler, "/status/currentReplicas")),
        age(autoscaler, now),
    ]
}

pub(crate) fn cells_v1(autoscaler: &Value, now: Timestamp) -> Vec<Value> {
    let mut whole = autoscaler.clone();
    crate::convert::horizontalpodautoscaler::to_v2(&mut whole);
    cells(&whole, now)
}

fn metrics(autoscaler: &Value) -> String {
    let statuses = items(autoscaler, "/status/currentMetrics").as_slice();
    let specs = items(autoscaler, "/spec/metrics");
    let all: Vec<String> = specs.enumerate().map(|(index, spec)| metric(spec, statuses.get(index))).collect();
    match all.len() {
        0 => "<none>".to_owned(),
        n if n > SHOWN => format!("{} + {} more...", all[..SHOWN].join(", "), n - SHOWN),
        _ => all.join(", "),
    }
}

/// An amount as text, whether it is a string or a number.
fn shown(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let kind = text(spec, "/type");
    let field = match kind {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let target = |key: &str| shown(spec.pointer(&format!("/{field}/target/{key}")));
    let current = |key: &str| {
        let found = status.and_then(|status| status.pointer(&format!("/{field}/current/{key}")));
        shown(found)
    };
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "<unknown>".to_owned());
    let average = target("averageValue");
    match kind {
        "External" | "Object" => match average {
            Some(average) => format!("{}/{average} (avg)", or_unknown(current("averageValue"))),
            None => format!("{}/{}", or_unknown(current("value")), target("value").unwrap_or_default()),
        },
        "Pods" => format!("{}/{}", or_unknown(current("averageValue")), average.unwrap_or_default()),
        _ => {
            let resource = text(spec, &format!("/{field}/name"));
            if let Some(average) = average {
                return format!("{resource}: {}/{average}", or_unknown(current("averageValue")));
            }
            let percent = |value: Option<String>| value.map(|share| format!("{share}%"));
            let wished = percent(target("averageUtilization")).unwrap_or_else(|| "<auto>".to_owned());
            let found = or_unknown(percent(current("averageUtilization")));
            format!("{resource}: {found}/{wished}")
        }
    }
}
