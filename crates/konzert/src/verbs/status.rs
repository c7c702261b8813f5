//! `konzert status`: engine, node and fleet in one screen.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use konzert_api::own::{ImageReport, PatchCampaign};
use kube::api::{Api, ListParams};
use serde::Serialize;

use crate::cli::{Global, Status};
use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};

#[derive(Debug, Serialize)]
struct Screen {
    ready: bool,
    version: String,
    nodes: Vec<NodeLine>,
    pods: Pods,
    /// Images in use, those with findings, and those of which nothing is known.
    images: usize,
    images_affected: usize,
    images_unknown: usize,
    campaigns_running: usize,
}

#[derive(Debug, Serialize)]
struct NodeLine {
    name: String,
    ready: bool,
}

#[derive(Debug, Default, Serialize)]
struct Pods {
    total: usize,
    running: usize,
    pending: usize,
    failed: usize,
}

pub(crate) async fn run(global: &Global, args: &Status, printer: &Printer) -> Outcome {
    let deadline = Instant::now() + args.timeout;
    let mut progress = printer.progress("waiting for the engine");
    loop {
        let looked = look(global).await;
        match looked {
            Ok(screen) if screen.ready || !args.wait => {
                drop(progress);
                printer.result(&screen, table)?;
                return Ok(if screen.ready { Exit::Done } else { Exit::Findings });
            }
            Err(failure) if !args.wait => return Err(failure),
            Ok(_) | Err(_) if Instant::now() < deadline => progress.update("not ready yet"),
            Ok(_) => return Err(late(args)),
            Err(failure) => return Err(failure.hint(late(args).message())),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn late(args: &Status) -> Failure {
    Failure::failed(anyhow::anyhow!("not ready after {} s", args.timeout.as_secs()))
        .hint("is an engine running? `konzert up`")
}

/// Whether the API answers and a node is ready.
pub(crate) async fn ready(global: &Global) -> bool {
    look(global).await.is_ok_and(|screen| screen.ready)
}

async fn look(global: &Global) -> Result<Screen, Failure> {
    let client = config::client(global).await?;
    let asked = tokio::time::timeout(Duration::from_secs(5), client.apiserver_version()).await;
    let version = match asked {
        Ok(Ok(version)) => version.git_version,
        Ok(Err(error)) => return Err(Failure::failed(error).hint("is an engine running? `konzert up`")),
        Err(_elapsed) => return Err(Failure::failed(anyhow::anyhow!("the API does not answer within 5 s"))),
    };
    let all = ListParams::default();
    let nodes: Vec<NodeLine> =
        Api::<Node>::all(client.clone()).list(&all).await?.items.iter().map(node_line).collect();
    let pods = Api::<Pod>::all(client.clone()).list(&all).await?.items;
    // Another cluster need not have our resources.
    let reports =
        Api::<ImageReport>::all(client.clone()).list(&all).await.map(|l| l.items).unwrap_or_default();
    let campaigns = Api::<PatchCampaign>::all(client).list(&all).await.map(|l| l.items).unwrap_or_default();
    let status = |r: &ImageReport| r.status.clone().unwrap_or_default();
    Ok(Screen {
        ready: !nodes.is_empty() && nodes.iter().all(|n| n.ready),
        version,
        nodes,
        pods: count(&pods),
        images: reports.len(),
        images_affected: reports.iter().filter(|r| status(r).affected > 0).count(),
        images_unknown: reports
            .iter()
            .filter(|r| status(r).state == konzert_api::own::ReportState::Unknown)
            .count(),
        campaigns_running: campaigns
            .iter()
            .filter(|c| c.status.as_ref().is_none_or(|s| s.finished_at.is_none()))
            .count(),
    })
}

fn node_line(node: &Node) -> NodeLine {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    NodeLine {
        name: node.metadata.name.clone().unwrap_or_default(),
        ready: conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"),
    }
}

fn count(pods: &[Pod]) -> Pods {
    let mut counted = Pods { total: pods.len(), ..Pods::default() };
    for pod in pods {
        match pod.status.as_ref().and_then(|s| s.phase.as_deref()) {
            Some("Running") => counted.running += 1,
            Some("Failed") => counted.failed += 1,
            Some("Succeeded") => {}
            _ => counted.pending += 1,
        }
    }
    counted
}

fn table(screen: &Screen) -> String {
    let ready = |yes| if yes { "ready" } else { "not ready" };
    let nodes: Vec<String> = screen.nodes.iter().map(|n| format!("{} {}", n.name, ready(n.ready))).collect();
    let pods = &screen.pods;
    let rows = [
        ("engine", format!("{} ({})", ready(screen.ready), screen.version)),
        ("nodes", nodes.join(", ")),
        (
            "pods",
            format!(
                "{} ({} running, {} pending, {} failed)",
                pods.total, pods.running, pods.pending, pods.failed
            ),
        ),
        (
            "images",
            format!(
                "{} in use, {} with findings, {} unknown",
                screen.images, screen.images_affected, screen.images_unknown
            ),
        ),
        ("campaigns", format!("{} under way", screen.campaigns_running)),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect();
    columns(&["WHAT", "STATE"], &rows)
}
