//! Events in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, name, number, since, text, time};

pub(crate) const COLUMNS: &[Column] = &[
    Column::new("Last Seen", "string", "Time since the event happened last."),
    Column::new("Type", "string", "Normal or Warning."),
    Column::new("Reason", "string", "Short reason."),
    Column::new("Object", "string", "What the event is about."),
    Column::wide("Subobject", "string", "Part of the object that the event is about."),
    Column::wide("Source", "string", "Who reported the event."),
    Column::new("Message", "string", "What happened."),
    Column::wide("First Seen", "string", "Time since the event happened first."),
    Column::wide("Count", "string", "How often the event happened."),
    Column::wide("Name", "string", "Name of the event."),
];

pub(crate) fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let event_time = time(event, "/eventTime");
    let first = time(event, "/firstTimestamp").or(event_time);
    let series = time(event, "/series/lastObservedTime");
    let last = series.or_else(|| time(event, "/lastTimestamp")).or(event_time);
    let count = match (number(event, "/series/count"), number(event, "/count")) {
        (0, 0) => 1,
        (0, count) | (count, _) => count,
    };
    let about = object(event);
    vec![
        json!(since(last, now)),
        json!(text(event, "/type")),
        json!(text(event, "/reason")),
        json!(about),
        json!(text(event, "/involvedObject/fieldPath")),
        json!(source(event)),
        json!(text(event, "/message").trim()),
        json!(since(first, now)),
        json!(count),
        name(event),
    ]
}

fn object(event: &Value) -> String {
    let (kind, name) =
        (text(event, "/involvedObject/kind").to_lowercase(), text(event, "/involvedObject/name"));
    if name.is_empty() { kind } else { format!("{kind}/{name}") }
}

fn source(event: &Value) -> String {
    let pick = |a: &'static str, b: &'static str| match text(event, a) {
        "" => text(event, b),
        found => found,
    };
    let component = pick("/source/component", "/reportingComponent");
    let host = pick("/source/host", "/reportingInstance");
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}

/// Events of `events.k8s.io/v1` look the same.
pub(crate) fn cells_v1(event: &Value, now: Timestamp) -> Vec<Value> {
    let mut core = event.clone();
    crate::convert::event::to_core(&mut core);
    cells(&core, now)
}
