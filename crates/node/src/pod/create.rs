//! Creating a container: environment, files, the request to the runtime.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use konzert_lifecycle::{Event, Failure, WaitReason, find};
use konzert_runtime::{ContainerSpec, Started};

use crate::fault::ConfigFault;
use crate::pod::context::{Instance, PodContext, Prepared};
use crate::pod::refresh;
use crate::ports::{PortError, StartFault, chain};
use crate::recorder::Severity;
use crate::spec::env::{self, EnvInputs, Fetched};
use crate::spec::user::Accounts;
use crate::spec::{self, Built, SpecInputs, SubPath};
use crate::volumes::{self, VolumeFault, host};

/// Services are read within milliseconds of the start; longer means that the API does not answer.
const SERVICES_PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no container.
#[derive(Debug, thiserror::Error)]
enum CreateFault {
    #[error(transparent)]
    Config(ConfigFault),
    #[error("objects of the environment cannot be read")]
    Api(#[source] kube::Error),
    #[error("services cannot be read")]
    Services,
    #[error("the root file system cannot be prepared")]
    Rootfs(#[source] PortError),
    #[error("pod network")]
    Network(#[source] PortError),
    #[error("sub-path mount")]
    SubPath(#[source] VolumeFault),
    #[error("files of the container")]
    Files(#[source] io::Error),
    #[error(transparent)]
    Start(StartFault),
    #[error("container {0} is not in the spec")]
    Gone(String),
}

impl CreateFault {
    fn failure(&self) -> Failure {
        match self {
            Self::Start(StartFault::Program(message)) => Failure::Start(message.clone()),
            Self::Config(_) => Failure::Hold(WaitReason::CreateContainerConfigError, chain(self)),
            _ => Failure::Hold(WaitReason::CreateContainerError, chain(self)),
        }
    }
}

/// Creates and starts instance `attempt` of container `name`.
pub(crate) async fn create(context: &PodContext, name: String, attempt: u32, image_id: &str) -> Event {
    match try_create(context, &name, attempt, image_id).await {
        Ok(started) => {
            context.tell(Some(&name), Severity::Normal, "Created", format!("Created container: {name}"));
            context.tell(Some(&name), Severity::Normal, "Started", format!("Started container {name}"));
            let id = context.id(&name, attempt).to_string();
            Event::Started { name, attempt, id, started_at: started.started_at }
        }
        Err(fault) => {
            context.tell(Some(&name), Severity::Warning, "Failed", format!("Error: {}", chain(&fault)));
            let failure = fault.failure();
            if matches!(failure, Failure::Start(_)) {
                clear(context, &name, attempt).await;
            }
            Event::Failed { name, attempt, failure }
        }
    }
}

async fn try_create(
    context: &PodContext,
    name: &str,
    attempt: u32,
    image_id: &str,
) -> Result<Started, CreateFault> {
    let pod = context.pod();
    let of = find(&pod, name).ok_or_else(|| CreateFault::Gone(name.to_owned()))?;
    let prepared = prepared(context, name, attempt, image_id).await?;
    let attachment = context.attach().await.map_err(CreateFault::Network)?;
    let situation = context.situation();
    let keys = env::references(&context.namespace, of.spec);
    let sources = volumes::fetch(&context.shared.sources, keys.clone()).await.map_err(CreateFault::Api)?;
    let services = services(context, &pod).await?;
    let inputs = EnvInputs {
        pod: &pod,
        container: of.spec,
        image: &prepared.image,
        situation: &situation,
        sources: &sources,
        services: &services,
    };
    let env = env::build(&inputs).map_err(|fault| {
        if fault.is_missing() {
            let found = sources.clone();
            refresh::wait_for_sources(context, keys, move |now: &Fetched| *now != found);
        }
        CreateFault::Config(fault)
    })?;
    let built = spec::build(&SpecInputs {
        config: &context.shared.config,
        pod: &pod,
        container: of.spec,
        attempt,
        image: &prepared.image,
        rootfs: &prepared.rootfs,
        accounts: &prepared.accounts,
        env,
        netns: attachment.map(|own| own.netns),
        dirs: &context.dirs,
        memory_capacity: context.shared.capacity.memory_bytes(),
    })
    .map_err(CreateFault::Config)?;
    start(context, name, attempt, built).await
}

async fn start(context: &PodContext, name: &str, attempt: u32, built: Built) -> Result<Started, CreateFault> {
    let Built { spec, sub_paths } = built;
    let log = spec.log.path.clone();
    let place = context.dirs.attempt(name, attempt);
    let ready = tokio::task::spawn_blocking(move || files(&log, &place, &sub_paths)).await;
    ready.map_err(|error| CreateFault::Files(io::Error::other(error)))??;
    let instance = Instance { uid: context.uid.clone(), name: name.to_owned(), attempt };
    context.shared.alive.lock().insert(spec.id.to_string(), instance);
    let started = run(context, &spec).await;
    if started.is_err() {
        context.shared.alive.lock().remove(spec.id.as_str());
    } else {
        context.prepared.lock().remove(&(name.to_owned(), attempt));
    }
    started.map_err(CreateFault::Start)
}

/// Starts the container; one of the same id left by an attempt that was cut off is removed first.
async fn run(context: &PodContext, spec: &ContainerSpec) -> Result<Started, StartFault> {
    let containers = &context.shared.containers;
    match containers.create_and_start(spec).await {
        Err(StartFault::Exists) => {
            containers.remove(&spec.id).await.map_err(StartFault::Host)?;
            containers.create_and_start(spec).await
        }
        other => other,
    }
}

/// Takes away what a start that failed left.
async fn clear(context: &PodContext, name: &str, attempt: u32) {
    let id = context.id(name, attempt);
    if let Err(error) = context.shared.containers.remove(&id).await {
        tracing::debug!(error = chain(&*error), %id, "nothing to remove after a failed start");
    }
    context.prepared.lock().remove(&(name.to_owned(), attempt));
    let images = context.shared.images.clone();
    let released = tokio::task::spawn_blocking(move || images.release(id.as_str())).await;
    if let Ok(Err(error)) = released {
        tracing::debug!(error = chain(&*error), "snapshot of a failed start stays until the pod goes");
    }
}

/// The root file system made by the image check; made again when that was in another life.
async fn prepared(
    context: &PodContext,
    name: &str,
    attempt: u32,
    image_id: &str,
) -> Result<Arc<Prepared>, CreateFault> {
    let key = (name.to_owned(), attempt);
    if let Some(prepared) = context.prepared.lock().get(&key) {
        return Ok(prepared.clone());
    }
    let images = context.shared.images.clone();
    let (id, digest) = (context.id(name, attempt).to_string(), image_id.to_owned());
    let looked = tokio::task::spawn_blocking(move || -> Result<Prepared, PortError> {
        let image = images.by_digest(&digest)?.ok_or_else(|| format!("image {digest} is gone"))?;
        let rootfs = images.prepare(&id, &digest)?;
        let accounts = Accounts::read(&rootfs);
        Ok(Prepared { image, rootfs, accounts })
    })
    .await;
    match looked {
        Ok(Ok(prepared)) => Ok(Arc::new(prepared)),
        Ok(Err(error)) => Err(CreateFault::Rootfs(error)),
        Err(error) => Err(CreateFault::Rootfs(Box::new(error))),
    }
}

async fn services(context: &PodContext, pod: &Pod) -> Result<BTreeMap<String, String>, CreateFault> {
    if pod.spec.as_ref().and_then(|spec| spec.enable_service_links) == Some(false) {
        return Ok(BTreeMap::new());
    }
    let read = tokio::time::timeout(SERVICES_PATIENCE, context.shared.services.read()).await;
    read.ok().ok_or(CreateFault::Services)?;
    Ok(context.shared.services.variables(&context.namespace))
}

/// Directories and files that are mounted into the container or written by its shim.
fn files(log: &Path, place: &Path, sub_paths: &[SubPath]) -> Result<(), CreateFault> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).map_err(CreateFault::Files)?;
    }
    fs::create_dir_all(place).map_err(CreateFault::Files)?;
    let message = place.join("termination-log");
    let file = fs::OpenOptions::new().create(true).append(true).open(&message).map_err(CreateFault::Files)?;
    // Any user of the container may leave its last words.
    file.set_permissions(fs::Permissions::from_mode(0o666)).map_err(CreateFault::Files)?;
    for SubPath { volume, sub, pin } in sub_paths {
        host::pin_sub_path(volume, sub, pin).map_err(CreateFault::SubPath)?;
    }
    Ok(())
}
