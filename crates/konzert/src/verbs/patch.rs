//! `konzert patch`: one vulnerability, all containers.

use std::sync::Arc;

use konzert_api::own::{CampaignPhase, PatchCampaign, WorkloadState};
use konzert_fleet::patch::{self, Command, PatchPlan, PatchRequest};
use konzert_fleet::{AdvisoryStore, Scanner};
use konzert_images::ContentStore;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::db::fleet_failure;
use super::image::image_failure;
use super::scan::severity;
use crate::cli::{Global, Patch, PatchCommand};
use crate::config::{self, Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};

pub(crate) async fn run(global: &Global, args: Patch, printer: &Printer) -> Outcome {
    if let Some(command) = args.command {
        return steer(config::client(global).await?, command, printer).await;
    }
    if args.advisories.is_empty() && args.severity.is_none() {
        return Err(Failure::usage(
            "nothing to patch",
            "name an advisory, or a --severity: `konzert patch CVE-2026-1234 --plan`",
        ));
    }
    let client = config::client(global).await?;
    let request = PatchRequest {
        advisories: args.advisories,
        severity: args.severity.map(severity),
        namespaces: args.namespace,
        selector: args.selector,
        waves: args.waves,
        soak_seconds: seconds(args.soak),
        ready_seconds: seconds(args.ready_timeout),
        max_workloads: args.max_workloads,
    };
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let images = Arc::new(ContentStore::open(&places.images()).map_err(image_failure)?);
    let advisories = AdvisoryStore::open(&places.advisories()).map_err(fleet_failure)?;
    let scanner = Scanner::new(client.clone(), Some(images.clone()), advisories);
    let plan = patch::plan(&scanner, &images, &request).await.map_err(fleet_failure)?;
    if args.plan || plan.refusal.is_some() || plan.exposed == 0 {
        printer.result(&plan, plan_table)?;
        return Ok(if plan.refusal.is_some() { Exit::Findings } else { Exit::Done });
    }
    let campaign = patch::create(client.clone(), &scanner, &request).await.map_err(fleet_failure)?;
    let name = campaign.name_any();
    printer.note(&format!("campaign {name}: {} containers exposed", plan.exposed));
    let mut last = String::new();
    let mut on_change = |campaign: &PatchCampaign| {
        let line = headline(campaign);
        if line != last {
            printer.note(&line);
            last = line;
        }
    };
    let ended = patch::follow(client, &name, &mut on_change).await.map_err(fleet_failure)?;
    printer.result(&ended, campaign_table)?;
    let clean =
        ended.status.as_ref().is_some_and(|s| s.phase == CampaignPhase::Completed && s.exposed_after == 0);
    Ok(if clean { Exit::Done } else { Exit::Findings })
}

fn seconds(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

async fn steer(client: kube::Client, command: PatchCommand, printer: &Printer) -> Outcome {
    let (name, order) = match command {
        PatchCommand::Status { campaign: None } => {
            let list = Api::<PatchCampaign>::all(client).list(&ListParams::default()).await?;
            printer.result(&list.items, |all| {
                let rows: Vec<Vec<String>> = all.iter().map(|c| vec![c.name_any(), headline(c)]).collect();
                columns(&["CAMPAIGN", "STATE"], &rows)
            })?;
            return Ok(Exit::Done);
        }
        PatchCommand::Status { campaign: Some(name) } => {
            let campaign =
                Api::<PatchCampaign>::all(client).get(&name).await.map_err(|e| unknown(&name, e))?;
            printer.result(&campaign, campaign_table)?;
            return Ok(Exit::Done);
        }
        PatchCommand::Pause { campaign } => (campaign, Command::Pause),
        PatchCommand::Resume { campaign } => (campaign, Command::Resume),
        PatchCommand::Abort { campaign } => (campaign, Command::Abort),
        PatchCommand::Undo { campaign } => (campaign, Command::Undo),
    };
    let campaign = patch::command(client, &name, order).await.map_err(fleet_failure)?;
    printer.result(&campaign, campaign_table)?;
    Ok(Exit::Done)
}

fn unknown(name: &str, error: kube::Error) -> Failure {
    Failure::failed(error)
        .into_usage()
        .hint(format!("is there a campaign {name}? see `konzert patch status`"))
}

/// One line on where a campaign is.
pub(crate) fn headline(campaign: &PatchCampaign) -> String {
    let Some(status) = &campaign.status else { return "waiting to be planned".to_owned() };
    let wave =
        if status.waves > 0 { format!(" wave {}/{}", status.wave, status.waves) } else { String::new() };
    let message = if status.message.is_empty() { String::new() } else { format!(": {}", status.message) };
    format!("{:?}{wave}, {} patched{message}", status.phase, status.patched)
}

fn plan_table(plan: &PatchPlan) -> String {
    let mut rows = Vec::new();
    for (index, wave) in plan.waves.iter().enumerate() {
        for planned in wave {
            for change in &planned.changes {
                rows.push(vec![
                    (index + 1).to_string(),
                    format!("{}/{}", planned.workload.kind.to_lowercase(), planned.workload.name),
                    planned.workload.namespace.clone(),
                    change.container.clone(),
                    change.before.clone(),
                    change.remedy.clone(),
                    change.after.clone(),
                ]);
            }
        }
    }
    let mut text = format!("{} containers have {}\n", plan.exposed, plan.advisories.join(", "));
    if !rows.is_empty() {
        text.push_str(&columns(
            &["WAVE", "WORKLOAD", "NAMESPACE", "CONTAINER", "IMAGE", "REMEDY", "BECOMES"],
            &rows,
        ));
    }
    for left in &plan.not_patchable {
        let line = format!(
            "not patched: {}/{} in {}: {}\n",
            left.workload.kind.to_lowercase(),
            left.workload.name,
            left.workload.namespace,
            left.reason
        );
        text.push_str(&line);
    }
    if let Some(refusal) = &plan.refusal {
        let line = format!("refused: {refusal}\n");
        text.push_str(&line);
    }
    text
}

fn campaign_table(campaign: &PatchCampaign) -> String {
    let Some(status) = &campaign.status else { return headline(campaign) };
    let rows: Vec<Vec<String>> = status
        .workloads
        .iter()
        .map(|w| {
            let note = match w.state {
                WorkloadState::Patched => {
                    w.changes.iter().map(|c| c.evidence.clone()).collect::<Vec<_>>().join("; ")
                }
                _ => w.message.clone(),
            };
            vec![
                w.wave.to_string(),
                format!("{}/{}", w.kind.to_lowercase(), w.name),
                w.namespace.clone(),
                format!("{:?}", w.state),
                note,
            ]
        })
        .collect();
    format!(
        "{}: {}\nexposed containers: {} before, {} after\n{}",
        campaign.name_any(),
        headline(campaign),
        status.exposed_before,
        status.exposed_after,
        columns(&["WAVE", "WORKLOAD", "NAMESPACE", "STATE", "EVIDENCE"], &rows)
    )
}
