//! Validation of `CronJobs`: the schedule, the time zone, and the jobs that are made.

use serde_json::Value;

use super::check::{Errors, choice, invalid, required, unsupported};
use super::{Path, job, non_negative, text};
use crate::cron::{self, Schedule};
use crate::meta;
use crate::status::FieldError;

const POLICIES: &[&str] = &["Allow", "Forbid", "Replace"];
/// Jobs are named after their `CronJob` and the minute.
const NAME_MAX: usize = 52;

pub(crate) fn validate(cron_job: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&cron_job["spec"], Path::new("spec"));
    schedule(text(spec, "schedule"), &path.child("schedule"), &mut errors);
    non_negative(spec, &["startingDeadlineSeconds"], &path, &mut errors);
    if let Some(zone) = spec.get("timeZone").and_then(Value::as_str) {
        time_zone(zone, &path.child("timeZone"), &mut errors);
    }
    choice(spec, "concurrencyPolicy", POLICIES, &path, &mut errors);
    let (template, at) = (&spec["jobTemplate"]["spec"], path.child("jobTemplate").child("spec"));
    job::validate_spec(template, &at, &mut errors);
    if let Some(selector) = template.get("selector") {
        let detail = "`selector` will be auto-generated";
        invalid(&at.child("selector"), selector.clone(), detail, &mut errors);
    }
    if template.get("manualSelector") == Some(&Value::Bool(true)) {
        unsupported(&at.child("manualSelector"), true, &["nil", "false"], &mut errors);
    }
    non_negative(spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"], &path, &mut errors);
    if text(spec, "schedule").is_empty() {
        required(&path.child("schedule"), "", &mut errors);
    }
    errors
}

pub(crate) fn validate_create(cron_job: &Value) -> Vec<FieldError> {
    let name = meta::name(cron_job);
    if name.len() <= NAME_MAX {
        return Vec::new();
    }
    vec![FieldError::invalid("metadata.name", name, "must be no more than 52 characters")]
}

fn schedule(schedule: &str, path: &Path, errors: &mut Errors) {
    if schedule.is_empty() {
        return;
    }
    if schedule.contains("TZ") {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        return invalid(path, schedule, detail, errors);
    }
    if let Err(error) = Schedule::parse(schedule) {
        invalid(path, schedule, error.to_string(), errors);
    }
}

fn time_zone(zone: &str, path: &Path, errors: &mut Errors) {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
    let odd = |part: &str| {
        let shaped = (1..=14).contains(&part.len()) && part.bytes().all(allowed);
        part == "." || part == ".." || part.starts_with('-') || !shaped
    };
    if zone.is_empty() {
        return invalid(path, zone, "timeZone must be nil or non-empty string", errors);
    }
    if zone.split('/').any(odd) {
        return invalid(path, zone, format!("unknown time zone {zone}"), errors);
    }
    if zone.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        return invalid(path, zone, detail, errors);
    }
    if cron::time_zone(zone).is_none() {
        invalid(path, zone, format!("unknown time zone {zone}"), errors);
    }
}
