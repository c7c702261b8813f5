//! `konzert reap`: destroys what is no longer needed, with a reason, a record and an undo.

use std::path::Path;

use jiff::Timestamp;
use konzert_api::own::{ReapPolicy, ReapPolicySpec, ReapRecord};
use konzert_fleet::reap::{self, ReapPlan};
use konzert_images::ContentStore;
use kube::ResourceExt as _;

use super::db::fleet_failure;
use super::image::image_failure;
use crate::cli::{Global, Reap, ReapCommand};
use crate::config::{self, Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};

pub(crate) async fn run(global: &Global, args: Reap, printer: &Printer) -> Outcome {
    let client = config::client(global).await?;
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let images = ContentStore::open(&places.images()).map_err(image_failure)?;
    match args.command {
        Some(ReapCommand::Log) => {
            let records = reap::log(client).await.map_err(fleet_failure)?;
            printer.result(&records, |r| records_table(r))?;
        }
        Some(ReapCommand::Undo { id }) => {
            let record = reap::undo(client, Some(&images), &id).await.map_err(fleet_failure)?;
            printer.result(&record, |r| format!("{} {} is back", r.spec.kind, r.spec.name))?;
        }
        None => {
            let policy = policy(args.policy.as_deref(), args.now)?;
            let now = Timestamp::now();
            if args.plan || policy.dry_run {
                let plan = reap::plan(client, Some(&images), &policy, now).await.map_err(fleet_failure)?;
                printer.result(&plan, plan_table)?;
            } else {
                let records =
                    reap::execute(client, Some(&images), &policy, now).await.map_err(fleet_failure)?;
                printer.result(&records, |r| records_table(r))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The built-in policy, or one from a manifest; `--now` forgets the ages.
fn policy(file: Option<&Path>, now: bool) -> Result<ReapPolicySpec, Failure> {
    let mut policy = match file {
        None => ReapPolicySpec::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| {
                Failure::usage(format!("{}: {e}", path.display()), "name a ReapPolicy manifest")
            })?;
            let manifest: ReapPolicy = serde_saphyr::from_str(&text).map_err(|e| {
                Failure::usage(format!("{}: {e}", path.display()), "see `kubectl explain reappolicy.spec`")
            })?;
            manifest.spec
        }
    };
    if now {
        for age in [
            &mut policy.finished_jobs_after_seconds,
            &mut policy.finished_pods_after_seconds,
            &mut policy.unused_images_after_seconds,
        ] {
            if age.is_some() {
                *age = Some(0);
            }
        }
    }
    Ok(policy)
}

fn plan_table(plan: &ReapPlan) -> String {
    let rows: Vec<Vec<String>> = plan
        .destroys
        .iter()
        .map(|d| vec![d.kind.clone(), d.namespace.clone(), d.name.clone(), d.rule.clone(), d.reason.clone()])
        .collect();
    let mut text = columns(&["KIND", "NAMESPACE", "NAME", "RULE", "REASON"], &rows);
    if plan.over_cap > 0 {
        let line = format!("\n{} more wait for the next run: the policy's cap is reached\n", plan.over_cap);
        text.push_str(&line);
    }
    text
}

fn records_table(records: &[ReapRecord]) -> String {
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|r| {
            let state = r.status.as_ref().map(|s| s.state.clone()).unwrap_or_default();
            vec![
                r.name_any(),
                r.spec.kind.clone(),
                r.spec.namespace.clone(),
                r.spec.name.clone(),
                state,
                r.spec.at.clone(),
                r.spec.reason.clone(),
            ]
        })
        .collect();
    columns(&["ID", "KIND", "NAMESPACE", "NAME", "STATE", "AT", "REASON"], &rows)
}
