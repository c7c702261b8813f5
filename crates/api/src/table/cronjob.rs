//! `CronJobs` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, containers_at, items, name, or_none, selector_at, since, text, time};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Schedule", "string", "When jobs are made."),
    Column::new("Timezone", "string", "Time zone of the schedule."),
    Column::new("Suspend", "boolean", "Whether no jobs are made for now."),
    Column::new("Active", "integer", "Jobs that run."),
    Column::new("Last Schedule", "string", "Time since a job was made last."),
    AGE,
    Column::wide("Containers", "string", "Names of the containers in the template."),
    Column::wide("Images", "string", "Images of the containers in the template."),
    Column::wide("Selector", "string", "Label selector of the pods."),
];

pub(crate) fn cells(cron_job: &Value, now: Timestamp) -> Vec<Value> {
    let suspended = match cron_job.pointer("/spec/suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = time(cron_job, "/status/lastScheduleTime");
    let [names, images] = containers_at(cron_job, "/spec/jobTemplate/spec/template/spec/containers");
    vec![
        name(cron_job),
        json!(text(cron_job, "/spec/schedule")),
        json!(or_none(text(cron_job, "/spec/timeZone"))),
        json!(suspended),
        json!(items(cron_job, "/status/active").len()),
        json!(last.map_or_else(|| "<none>".to_owned(), |time| since(Some(time), now))),
        age(cron_job, now),
        names,
        images,
        selector_at(cron_job, "/spec/jobTemplate/spec/selector"),
    ]
}
