//! Carrying out one action. An effect has no choices: it does what it was told and says what came of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::LifecycleHandler;
use konzert_lifecycle::{Action, Event, KillReason, ProbeOutcome, Termination, TerminationReason, find};
use konzert_runtime::ContainerId;

use crate::pod::context::{PodContext, now};
use crate::pod::{create, image, refresh, report};
use crate::ports::{PortError, chain};
use crate::probes::{self, Reach};
use crate::recorder::Severity;

/// Does what `action` says; answers what came of it.
pub(crate) async fn carry_out(context: Arc<PodContext>, action: Action) -> Option<Event> {
    let context = &*context;
    match action {
        Action::EnsureSandbox => Some(refresh::make_sandbox(context).await),
        Action::CheckImage { name, attempt, image: reference } => {
            Some(image::check(context, name, attempt, reference).await)
        }
        Action::CreateContainer { name, attempt, image_id } => {
            Some(create::create(context, name, attempt, &image_id).await)
        }
        Action::PostStart { name, attempt } => {
            let result = post_start(context, &name, attempt).await;
            if let Err(why) = &result {
                let message = format!("PostStartHook failed: {why}");
                context.tell(Some(&name), Severity::Warning, "FailedPostStartHook", message);
            }
            Some(Event::PostStartDone { name, attempt, result })
        }
        Action::RunProbe { name, attempt, kind } => {
            let pod = context.pod();
            let outcome = match find(&pod, &name).and_then(|of| Some((of.spec, kind.of(of.spec)?))) {
                Some((spec, probe)) => {
                    let id = context.id(&name, attempt);
                    probes::run(&reach(context, &id, spec), probe).await
                }
                None => ProbeOutcome::Failure("the probe is gone from the spec".to_owned()),
            };
            Some(Event::Probed { name, attempt, kind, outcome })
        }
        Action::Kill { name, attempt, grace, reason } => {
            let grace = Duration::try_from(grace).unwrap_or_default();
            kill(context, &name, attempt, grace, &reason).await;
            None
        }
        Action::ForceKill { name, attempt } => force(context, name, attempt).await,
        Action::RemoveContainer { name, attempt, id } => Some(remove(context, name, attempt, id).await),
        Action::TeardownSandbox => Some(Event::SandboxGone { clean: teardown(context).await }),
        Action::ReportStatus(status) => Some(report::write_status(context, &status).await),
        Action::DeletePodObject => report::delete_object(context).await,
        // Carried out by the state itself.
        Action::FailPod { .. } => None,
    }
}

fn reach<'a>(
    context: &'a PodContext,
    id: &'a ContainerId,
    container: &'a k8s_openapi::api::core::v1::Container,
) -> Reach<'a> {
    Reach { containers: &*context.shared.containers, id, container, pod_ip: context.ip() }
}

async fn post_start(context: &PodContext, name: &str, attempt: u32) -> Result<(), String> {
    let pod = context.pod();
    let Some(of) = find(&pod, name) else { return Ok(()) };
    let hook = of.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
    let Some(hook) = hook else { return Ok(()) };
    let id = context.id(name, attempt);
    // Kubernetes sets no limit; the container's own end and the liveness probe bound it, and an hour bounds us.
    run_hook(&reach(context, &id, of.spec), hook, Duration::from_hours(1)).await
}

async fn run_hook(reach: &Reach<'_>, hook: &LifecycleHandler, limit: Duration) -> Result<(), String> {
    if let Some(of) = &hook.exec {
        return reach.exec(of, limit).await;
    }
    if let Some(of) = &hook.http_get {
        return reach.http(of, limit).await;
    }
    if let Some(of) = &hook.sleep {
        let wanted = Duration::from_secs(of.seconds.max(0).unsigned_abs());
        tokio::time::sleep(wanted.min(limit)).await;
        return Ok(());
    }
    Err("tcpSocket hooks are not supported: use exec, httpGet or sleep".to_owned())
}

async fn kill(context: &PodContext, name: &str, attempt: u32, grace: Duration, reason: &KillReason) {
    context.tell(Some(name), Severity::Normal, "Killing", reason.message(name));
    let pod = context.pod();
    let id = context.id(name, attempt);
    let hook = find(&pod, name).and_then(|of| {
        let hook = of.spec.lifecycle.as_ref()?.pre_stop.as_ref()?;
        Some((of.spec, hook))
    });
    if let Some((spec, hook)) = hook.filter(|_| !grace.is_zero()) {
        let run = run_hook_bounded(context, &id, spec, hook, grace);
        if let Err(why) = run.await {
            let message = format!("PreStopHook failed: {why}");
            context.tell(Some(name), Severity::Warning, "FailedPreStopHook", message);
        }
    }
    if let Err(error) = context.shared.containers.stop(&id).await {
        tracing::debug!(error = chain(&*error), container = name, "stop signal was not taken");
    }
}

async fn run_hook_bounded(
    context: &PodContext,
    id: &ContainerId,
    spec: &k8s_openapi::api::core::v1::Container,
    hook: &LifecycleHandler,
    grace: Duration,
) -> Result<(), String> {
    match tokio::time::timeout(grace, run_hook(&reach(context, id, spec), hook, grace)).await {
        Ok(result) => result,
        Err(_) => Err("did not end within the grace period".to_owned()),
    }
}

async fn force(context: &PodContext, name: String, attempt: u32) -> Option<Event> {
    let id = context.id(&name, attempt);
    let Err(error) = context.shared.containers.kill_all(&id).await else { return None };
    tracing::debug!(error = chain(&*error), container = name, "kill was not taken");
    let listed = context.shared.containers.list().await;
    if listed.iter().any(|container| container.id == id) {
        return None;
    }
    // The runtime does not know it: it is gone and nobody saw it go.
    context.shared.note_end(&id);
    let end = Termination {
        attempt,
        id: id.to_string(),
        exit_code: 137,
        signal: None,
        reason: TerminationReason::ContainerStatusUnknown,
        message: Some("The container could not be located when it was stopped".to_owned()),
        started_at: None,
        finished_at: now(),
    };
    Some(Event::Exited { name, end })
}

async fn remove(context: &PodContext, name: String, attempt: u32, id: String) -> Event {
    let clean = match ContainerId::new(id.clone()) {
        Ok(id) => remove_instance(context, &id).await,
        // Not an id of ours, so nothing of ours to remove.
        Err(_) => true,
    };
    if clean && attempt >= 1 {
        let old = attempt - 1;
        let (log, place) = (context.dirs.log(&name, old), context.dirs.attempt(&name, attempt));
        let gone = tokio::task::spawn_blocking(move || forget_attempt(&log, &place)).await;
        if let Ok(Err(error)) = gone {
            tracing::debug!(%error, container = name, "files of an old instance stay");
        }
    }
    Event::Removed { name, attempt, clean }
}

async fn remove_instance(context: &PodContext, id: &ContainerId) -> bool {
    if let Err(error) = context.shared.containers.remove(id).await {
        tracing::warn!(error = chain(&*error), %id, "container is not removed yet");
        return false;
    }
    context.shared.alive.lock().remove(id.as_str());
    let images = context.shared.images.clone();
    let key = id.to_string();
    match tokio::task::spawn_blocking(move || images.release(&key)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&*error), %id, "snapshot is not released yet");
            false
        }
        Err(_) => false,
    }
}

/// Two instances keep their log: the present one and the one before it.
fn forget_attempt(log: &std::path::Path, place: &std::path::Path) -> std::io::Result<()> {
    let Some((dir, name)) = log.parent().zip(log.file_name()) else { return Ok(()) };
    let prefix = name.to_string_lossy();
    for entry in std::fs::read_dir(dir)?.flatten() {
        let found = entry.file_name();
        let rest = found.to_string_lossy().strip_prefix(&*prefix).map(str::to_owned);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
            std::fs::remove_file(entry.path())?;
        }
    }
    crate::cleanup::remove_place(place)
}

/// Removes everything the pod has on this host but its logs. Answers whether all is gone.
async fn teardown(context: &PodContext) -> bool {
    drop(context.refresh.lock().take());
    drop(context.waiting.lock().take());
    let mut clean = true;
    if let Err(error) = context.shared.nets.remove_pod(&context.uid).await {
        tracing::warn!(error = chain(&*error), pod = context.name, "pod network is not removed yet");
        clean = false;
    }
    let waiting: Vec<_> =
        context.prepared.lock().drain().map(|((name, attempt), _)| (name, attempt)).collect();
    let keys: Vec<_> = waiting.iter().map(|(name, attempt)| context.id(name, *attempt).to_string()).collect();
    let images = context.shared.images.clone();
    let root: PathBuf = context.dirs.root.clone();
    let mark = crate::config::host_network_mark(&context.shared.config.run_dir, &context.uid);
    let (instance, uid) = (context.shared.config.instance.clone(), context.uid.clone());
    let removed = tokio::task::spawn_blocking(move || -> Result<(), PortError> {
        for key in keys {
            images.release(&key)?;
        }
        crate::cleanup::remove_place(&root)?;
        remove_mark(&mark)?;
        crate::cleanup::remove_cgroup(&instance, &uid);
        Ok(())
    })
    .await;
    match removed {
        Ok(Ok(())) => clean,
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&*error), pod = context.name, "places of a pod are not removed yet");
            false
        }
        Err(_) => false,
    }
}

fn remove_mark(mark: &std::path::Path) -> std::io::Result<()> {
    match std::fs::remove_file(mark) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
