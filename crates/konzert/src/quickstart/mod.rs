//! `konzert quickstart`: the whole loop on this machine, offline, as a story with times, or as one JSON object.
//!
//! Everything in it is real and goes through the same code as the verbs; nothing is prepared outside. `sandbox` says
//! where it plays, `images` what runs, `load` who calls it meanwhile.

mod cluster;
mod images;
mod load;
pub(crate) mod sample;
pub(crate) mod sandbox;

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use konzert_api::own::{CampaignPhase, PatchCampaign, ReapPolicySpec, ReapRecord};
use konzert_fleet::patch::{self, PatchRequest};
use konzert_fleet::reap;
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use self::images::Health;
use self::load::Load;
use crate::cli::{Format, Global, Quickstart};
use crate::config::{Create, Places};
use crate::engine::{self, Engine, EngineConfig};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};
use crate::verbs::{fleet_failure, image_failure, patch_headline};

/// First word of the sample program's command line.
pub(crate) const SAMPLE_VERB: &str = "sample";
/// First word of the sandbox init's command line.
pub(crate) const INIT_VERB: &str = "quickstart-init";

const NODE: &str = "konzert";
const ADVISORY: &str = "CVE-0000-0001";
const FIXED: &str = "1.4.2-1+deb12u1";

/// The result as `-o json` prints it.
#[derive(Clone, Debug, Default, Serialize)]
struct Report {
    ready_ms: u64,
    containers: u32,
    exposed_before: usize,
    exposed_after: usize,
    patched_workloads: u32,
    requests: u64,
    requests_failed: u64,
    rollback_checked: bool,
    reaped: Vec<String>,
    undone: bool,
    total_ms: u64,
}

/// Runs inside the sandbox.
pub(crate) async fn run(_global: &Global, args: &Quickstart, printer: &Printer) -> Outcome {
    let data =
        args.inside.as_deref().ok_or_else(|| Failure::usage("no sandbox", "run `konzert quickstart`"))?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = Box::pin(tell(data, printer)) => ended,
        // The sandbox takes every process, mount and rule away when this one ends.
        _ = interrupt.recv() => Err(Failure::failed(anyhow::anyhow!("interrupted; everything is cleaned up"))),
        _ = terminate.recv() => Err(Failure::failed(anyhow::anyhow!("terminated; everything is cleaned up"))),
    }
}

async fn tell(data: &Path, printer: &Printer) -> Outcome {
    let started = Instant::now();
    let places = Places::of(data, Create::Yes)?;
    let listener = engine::listen(([127, 0, 0, 1], 6443).into()).await?;
    let config = EngineConfig {
        places,
        node_name: NODE.into(),
        kubeconfig_copy: None,
        max_age: konzert_fleet::DEFAULT_MAX_AGE,
    };
    let engine = Engine::start(listener, config).await?;
    let client = engine.api.client("quickstart");
    cluster::node_ready(&client, NODE).await?;
    let mut story = Story { printer, started, engine, client, report: Report::default() };
    story.report.ready_ms = millis(started.elapsed());
    story.line("Kubernetes is ready on this machine: API server, scheduler, controllers, node and store in one process");
    let told = Box::pin(story.acts()).await;
    let Story { engine, mut report, .. } = story;
    let stopped = engine.stop().await;
    told?;
    stopped?;
    report.total_ms = millis(started.elapsed());
    printer.result(&report, table)?;
    Ok(Exit::Done)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

struct Story<'a> {
    printer: &'a Printer,
    started: Instant,
    engine: Engine,
    client: Client,
    report: Report,
}

impl Story<'_> {
    fn line(&self, text: &str) {
        let time = self.printer.paint("2", &format!("{:7.2} s", self.started.elapsed().as_secs_f64()));
        if self.printer.format() == Format::Table {
            self.printer.data(&format!("{time}  {text}"));
        } else {
            self.printer.note(&format!("{time}  {text}"));
        }
    }

    async fn acts(&mut self) -> Result<(), Failure> {
        self.build().await?;
        Box::pin(self.start_fleet()).await?;
        self.announce().await?;
        let load = Load::start(cluster::service_address(&self.client, "web").await?);
        let patched = async {
            self.bad_patch().await?;
            self.good_patch().await
        }
        .await;
        let counted = load.finish().await;
        self.report.requests = counted.requests;
        self.report.requests_failed = counted.failed;
        let failure = counted.first_failure.map(|f| format!(" (first: {f})")).unwrap_or_default();
        self.line(&format!(
            "a client called the Service {} times meanwhile: {} failed{failure}",
            counted.requests, counted.failed
        ));
        patched?;
        self.reap().await
    }

    async fn build(&mut self) -> Result<(), Failure> {
        let store = self.engine.images.clone();
        let program = std::env::current_exe()?;
        let built = tokio::task::spawn_blocking(move || images::build_fleet(&store, &program)).await?;
        let names: Vec<String> = built.map_err(image_failure)?.iter().flat_map(|i| i.names.clone()).collect();
        self.line(&format!("built {} images: {}", names.len(), names.join(", ")));
        Ok(())
    }

    async fn start_fleet(&mut self) -> Result<(), Failure> {
        self.report.containers = cluster::apply(&self.client).await?;
        Box::pin(cluster::fleet_ready(&self.client)).await?;
        self.line(&format!(
            "{} containers run: four Deployments, a bare pod and a Job that is done already",
            self.report.containers
        ));
        Ok(())
    }

    /// The vulnerability becomes known.
    async fn announce(&mut self) -> Result<(), Failure> {
        let file = tempfile::Builder::new().suffix(".json").tempfile()?;
        std::io::Write::write_all(
            &mut file.as_file(),
            include_bytes!("../../../../examples/quickstart/advisory.json"),
        )?;
        let before = Instant::now();
        self.engine.advisories.import(file.path(), &mut |_| {}).map_err(fleet_failure)?;
        let exposed = self.engine.scanner.exposed(&[ADVISORY.into()]).await.map_err(fleet_failure)?;
        self.report.exposed_before = exposed.len();
        self.line(&format!(
            "{ADVISORY} is announced: {} running containers have it, known after {} ms",
            exposed.len(),
            millis(before.elapsed())
        ));
        let mut workloads: Vec<String> = exposed
            .iter()
            .map(|e| format!("{}/{}", e.container.workload.kind.to_lowercase(), e.container.workload.name))
            .collect();
        workloads.sort();
        workloads.dedup();
        self.line(&format!("exposed: {}", workloads.join(", ")));
        Ok(())
    }

    async fn publish_base(&self, tag: &'static str, health: Health) -> Result<(), Failure> {
        let store = self.engine.images.clone();
        let built =
            tokio::task::spawn_blocking(move || images::build_base(&store, tag, FIXED, health)).await?;
        built.map_err(image_failure)?;
        self.line(&format!("a fixed base is published: {}:{tag}", images::BASE));
        Ok(())
    }

    async fn campaign(&self, ready_seconds: u32) -> Result<PatchCampaign, Failure> {
        let request = PatchRequest {
            advisories: vec![ADVISORY.into()],
            severity: None,
            namespaces: vec![cluster::NAMESPACE.into()],
            selector: String::new(),
            waves: ["1", "50%", "100%"].map(String::from).to_vec(),
            soak_seconds: 1,
            ready_seconds,
            max_workloads: 50,
        };
        let plan =
            patch::plan(&self.engine.scanner, &self.engine.images, &request).await.map_err(fleet_failure)?;
        if let Some(refusal) = plan.refusal {
            return Err(Failure::failed(anyhow::anyhow!("the plan was refused: {refusal}")));
        }
        let campaign = patch::create(self.client.clone(), &self.engine.scanner, &request)
            .await
            .map_err(fleet_failure)?;
        let mut last = String::new();
        let mut on_change = |campaign: &PatchCampaign| {
            let line = patch_headline(campaign);
            if line != last {
                self.line(&format!("  {line}"));
                last = line;
            }
        };
        patch::follow(self.client.clone(), &campaign.name_any(), &mut on_change).await.map_err(fleet_failure)
    }

    /// A patch that does not work must not get far, and must leave no trace.
    async fn bad_patch(&mut self) -> Result<(), Failure> {
        let mut before = Vec::new();
        for name in ["web", "api", "worker"] {
            before.push((name, cluster::template_images(&self.client, name).await?));
        }
        self.publish_base("1.1", Health::NeverReady).await?;
        let ended = self.campaign(3).await?;
        let phase = ended.status.as_ref().map(|s| s.phase).unwrap_or_default();
        if phase != CampaignPhase::RolledBack {
            return Err(Failure::failed(anyhow::anyhow!(
                "the bad patch ended as {phase:?} instead of RolledBack"
            )));
        }
        for (name, images) in before {
            cluster::available(&self.client, name).await?;
            if cluster::template_images(&self.client, name).await? != images {
                return Err(Failure::failed(anyhow::anyhow!("deployment {name} is not back on {images:?}")));
            }
        }
        self.report.rollback_checked = true;
        self.line("nothing on that base became ready: the wave was rolled back, everything serves as before");
        Ok(())
    }

    async fn good_patch(&mut self) -> Result<(), Failure> {
        self.publish_base("1.2", Health::Good).await?;
        let ended = self.campaign(30).await?;
        let status = ended.status.unwrap_or_default();
        if status.phase != CampaignPhase::Completed {
            return Err(Failure::failed(anyhow::anyhow!(
                "the campaign ended as {:?}: {}",
                status.phase,
                status.message
            )));
        }
        self.report.patched_workloads = status.patched;
        let exposed = self.engine.scanner.exposed(&[ADVISORY.into()]).await.map_err(fleet_failure)?;
        self.report.exposed_after = exposed.len();
        self.line(&format!(
            "{} workloads patched; a scan of what runs now finds {} exposed containers",
            status.patched,
            exposed.len()
        ));
        Ok(())
    }

    async fn reap(&mut self) -> Result<(), Failure> {
        let policy = ReapPolicySpec {
            finished_jobs_after_seconds: Some(0),
            finished_pods_after_seconds: Some(0),
            unused_images_after_seconds: Some(0),
            ..ReapPolicySpec::default()
        };
        let images = Some(&*self.engine.images);
        let records = reap::execute(self.client.clone(), images, &policy, Timestamp::now())
            .await
            .map_err(fleet_failure)?;
        for record in &records {
            self.line(&format!("reaped {} {}: {}", record.spec.kind, record.spec.name, record.spec.reason));
        }
        self.report.reaped = records.iter().map(describe).collect();
        let Some(preview) = records.iter().find(|r| r.spec.name == "preview") else {
            return Err(Failure::failed(anyhow::anyhow!("the expired preview was not reaped")));
        };
        reap::undo(self.client.clone(), images, &preview.name_any()).await.map_err(fleet_failure)?;
        self.report.undone = cluster::deployment_exists(&self.client, "preview").await?;
        self.line("undone: the preview is back, because somebody still wanted it");
        Ok(())
    }
}

fn describe(record: &ReapRecord) -> String {
    format!("{}/{}: {}", record.spec.kind.to_lowercase(), record.spec.name, record.spec.rule)
}

fn table(report: &Report) -> String {
    let rows = [
        ("engine ready", format!("{} ms", report.ready_ms)),
        ("containers", report.containers.to_string()),
        ("exposed before", report.exposed_before.to_string()),
        ("exposed after", report.exposed_after.to_string()),
        ("workloads patched", report.patched_workloads.to_string()),
        ("requests meanwhile", format!("{}, {} failed", report.requests, report.requests_failed)),
        ("bad patch rolled back", yes(report.rollback_checked)),
        ("reaped", report.reaped.len().to_string()),
        ("undone", yes(report.undone)),
        ("time in all", format!("{:.1} s", Duration::from_millis(report.total_ms).as_secs_f64())),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(what, text)| vec![what.to_owned(), text]).collect();
    format!("\n{}", columns(&["WHAT", "RESULT"], &rows))
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}
