//! Defaults of `CronJobs`. Of the job only the pod template is filled in; the rest is filled in when a job is made.

use serde_json::Value;

use super::{object, podspec, set, spec_mut};

pub(crate) fn apply(cron_job: &mut Value) {
    let Some(spec) = spec_mut(cron_job) else { return };
    set(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
    if let Some(job) = object(spec, "jobTemplate") {
        super::object_or_new(job, "metadata");
        if let Some(spec) = object(job, "spec") {
            podspec::apply_template(spec);
        }
    }
}
