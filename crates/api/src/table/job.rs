//! Jobs in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, condition_is, containers, human_duration, name, number, selector, time};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Status", "string", "Whether the job runs, is complete, failed or is suspended."),
    Column::new("Completions", "string", "Pods that succeeded, of all that must."),
    Column::new("Duration", "string", "Time from start to completion, or until now."),
    AGE,
    Column::wide("Containers", "string", "Names of the containers in the template."),
    Column::wide("Images", "string", "Images of the containers in the template."),
    Column::wide("Selector", "string", "Label selector of the pods."),
];

pub(crate) fn cells(job: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(job);
    vec![
        name(job),
        json!(status(job)),
        json!(completions(job)),
        json!(duration(job, now)),
        age(job, now),
        names,
        images,
        selector(job),
    ]
}

fn status(job: &Value) -> &'static str {
    let has = |kind: &str| condition_is(job, kind, "True");
    let ended = [("Complete", "Complete"), ("Failed", "Failed")];
    let open = [
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ];
    let first =
        |list: &[(&str, &'static str)]| list.iter().find(|(kind, _)| has(kind)).map(|(_, word)| *word);
    first(&ended)
        .or_else(|| crate::meta::is_being_deleted(job).then_some("Terminating"))
        .or_else(|| first(&open))
        .unwrap_or("Running")
}

fn completions(job: &Value) -> String {
    let succeeded = number(job, "/status/succeeded");
    match job.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match number(job, "/spec/parallelism") {
            parallel if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
            _ => format!("{succeeded}/1"),
        },
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let Some(start) = time(job, "/status/startTime") else { return String::new() };
    let end = time(job, "/status/completionTime").unwrap_or(now);
    human_duration(end.as_second() - start.as_second())
}
