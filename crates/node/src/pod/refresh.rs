//! The sandbox and what keeps it fresh: network, volumes, managed files; rewriting volumes when their objects change;
//! waiting for objects that are missing.

use std::sync::Arc;

use futures::future::select_all;
use k8s_openapi::api::core::v1::Pod;
use konzert_lifecycle::Event;

use crate::config::{PodDirs, host_network_mark};
use crate::pod::context::{Background, PodContext};
use crate::ports::chain;
use crate::recorder::Severity;
use crate::sources::{SourceHub, SourceKey, Subscription};
use crate::spec::downward::Situation;
use crate::spec::env::Fetched;
use crate::volumes::content::{Computed, Part};
use crate::volumes::{self, MountFault, VolumeFault};

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
enum SandboxFault {
    #[error("pod network")]
    Network(#[source] crate::ports::PortError),
    #[error(transparent)]
    Mount(#[from] MountFault),
    #[error("managed files")]
    Files(#[source] std::io::Error),
}

/// Makes network and volumes together, then the files that need the address.
pub(crate) async fn make_sandbox(context: &PodContext) -> Event {
    match try_sandbox(context).await {
        Ok(ips) => {
            keep_fresh(context);
            Event::SandboxReady { ips }
        }
        Err(fault) => {
            let message = chain(&fault);
            let reason = match &fault {
                SandboxFault::Mount(_) => "FailedMount",
                SandboxFault::Network(_) | SandboxFault::Files(_) => "FailedCreatePodSandBox",
            };
            context.tell(None, Severity::Warning, reason, message.clone());
            if let SandboxFault::Mount(MountFault { source: VolumeFault::Config(fault), .. }) = &fault
                && fault.is_missing()
            {
                let (pod, situation) = (context.pod(), context.situation());
                let volumes = computed(&pod);
                wait_for_sources(context, volume_keys(&pod), move |fetched| {
                    volumes.iter().all(|(_, of)| of.files(&pod, &situation, fetched).is_ok())
                });
            }
            Event::SandboxFailed { message }
        }
    }
}

async fn try_sandbox(context: &PodContext) -> Result<Vec<String>, SandboxFault> {
    let pod = context.pod();
    let spec = pod.spec.clone().unwrap_or_default();
    // A downward volume may show the address, so the network comes first for those pods; others do both at once.
    let needs_address = spec
        .volumes
        .iter()
        .flatten()
        .any(|volume| volume.downward_api.is_some() || volume.projected.is_some());
    let attach = async { context.attach().await.map_err(SandboxFault::Network) };
    let mount = async |situation: Situation| {
        volumes::set_up(&context.shared.sources, &context.dirs, &pod, &situation)
            .await
            .map_err(SandboxFault::from)
    };
    if needs_address {
        attach.await?;
        mount(context.situation()).await?;
    } else {
        tokio::try_join!(attach, mount(context.situation()))?;
    }
    let ips: Vec<_> = context.ip().iter().map(ToString::to_string).collect();
    let (dirs, node, shown) = (context.dirs.clone(), context.shared.config.name.clone(), ips.clone());
    let mark =
        context.on_host_network().then(|| host_network_mark(&context.shared.config.run_dir, &context.uid));
    let write = move || {
        crate::files::write_managed(&dirs, &pod, &shown, &node)?;
        let Some(mark) = mark else { return Ok(()) };
        std::fs::create_dir_all(mark.parent().unwrap_or(&mark))?;
        std::fs::File::create(&mark).map(drop)
    };
    let written = tokio::task::spawn_blocking(write).await;
    written.map_err(std::io::Error::other).and_then(|done| done).map_err(SandboxFault::Files)?;
    Ok(if context.on_host_network() { Vec::new() } else { ips })
}

/// An adopted pod: its sandbox is there; only what keeps it fresh begins again.
pub(crate) async fn resume(context: &PodContext) {
    if let Err(fault) = try_sandbox(context).await {
        // What runs goes on with what it has; the next change of an object tries again.
        tracing::debug!(
            error = chain(&fault),
            pod = context.name,
            "sandbox of an adopted pod is not up to date"
        );
    }
    keep_fresh(context);
}

fn computed(pod: &Pod) -> Vec<(String, Computed)> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    all.filter_map(|volume| Some((volume.name.clone(), Computed::of(namespace, volume).ok()??))).collect()
}

fn volume_keys(pod: &Pod) -> Vec<SourceKey> {
    let mut keys: Vec<_> =
        computed(pod).iter().flat_map(|(_, of)| of.keys().cloned().collect::<Vec<_>>()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Begins to rewrite volumes when what they show changes.
fn keep_fresh(context: &PodContext) {
    let pod = context.pod();
    let volumes = computed(&pod);
    if volumes.is_empty() {
        return;
    }
    let downward =
        volumes.iter().any(|(_, of)| of.parts.iter().any(|part| matches!(part, Part::Downward { .. })));
    let fresh = Fresh {
        subscriptions: subscribe(&context.shared.sources, volume_keys(&pod)),
        volumes,
        dirs: context.dirs.clone(),
        pod: context.pod.clone(),
        downward,
        situation: context.situation(),
        name: context.name.clone(),
    };
    *context.refresh.lock() = Some(Background(tokio::spawn(fresh.run())));
}

fn subscribe(hub: &SourceHub, keys: Vec<SourceKey>) -> Vec<(SourceKey, Subscription)> {
    keys.into_iter().map(|key| (key.clone(), hub.subscribe(&key))).collect()
}

struct Fresh {
    volumes: Vec<(String, Computed)>,
    subscriptions: Vec<(SourceKey, Subscription)>,
    dirs: PodDirs,
    pod: tokio::sync::watch::Receiver<Arc<Pod>>,
    downward: bool,
    situation: Situation,
    name: String,
}

impl Fresh {
    async fn run(mut self) {
        loop {
            if !self.changed().await {
                return;
            }
            let fetched = present(&mut self.subscriptions).await;
            let pod = self.pod.borrow_and_update().clone();
            for (name, of) in &self.volumes {
                let root = self.dirs.volume(name);
                let written = volumes::write_computed(root, of, &pod, &self.situation, &fetched).await;
                if let Err(fault) = written {
                    // A mounted object that was deleted stays mounted as it was.
                    tracing::debug!(
                        error = chain(&fault),
                        volume = name,
                        pod = self.name,
                        "volume is not rewritten"
                    );
                }
            }
        }
    }

    /// Waits for a change of an object, or of the pod when it is shown. False when there is nothing to wait for.
    async fn changed(&mut self) -> bool {
        let objects =
            self.subscriptions.iter_mut().map(|(_, subscription)| Box::pin(subscription.slot.changed()));
        let objects: Vec<_> = objects.collect();
        let object = async {
            if objects.is_empty() {
                return std::future::pending().await;
            }
            select_all(objects).await.0.is_ok()
        };
        let pod = async {
            if self.downward { self.pod.changed().await.is_ok() } else { std::future::pending().await }
        };
        tokio::select! { changed = object => changed, changed = pod => changed }
    }
}

/// Pokes the pod as soon as `works` holds for the objects as they then are.
pub(crate) fn wait_for_sources(
    context: &PodContext,
    keys: Vec<SourceKey>,
    works: impl Fn(&Fetched) -> bool + Send + 'static,
) {
    if keys.is_empty() {
        return;
    }
    let mut subscriptions = subscribe(&context.shared.sources, keys);
    let poke = context.poke.clone();
    let task = tokio::spawn(async move {
        loop {
            let now = present(&mut subscriptions).await;
            if works(&now) {
                poke.notify_one();
                return;
            }
            let waits =
                subscriptions.iter_mut().map(|(_, subscription)| Box::pin(subscription.slot.changed()));
            if select_all(waits).await.0.is_err() {
                return;
            }
        }
    });
    *context.waiting.lock() = Some(Background(task));
}

/// The objects as they are now; later changes are news.
async fn present(subscriptions: &mut [(SourceKey, Subscription)]) -> Fetched {
    let mut fetched = Fetched::new();
    for (key, subscription) in subscriptions {
        subscription.slot.mark_unchanged();
        let source = subscription.value().await.map(|source| (*source).clone());
        fetched.insert(key.clone(), source);
    }
    fetched
}
