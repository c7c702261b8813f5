//! Volumes of a pod: made when the sandbox is made, kept up to date while it lives, taken away with it.
//!
//! Supported: emptyDir, hostPath, configMap, secret, downwardAPI, and projections of the last three. Anything else
//! is refused by name. Service account tokens are not mounted.

pub(crate) mod content;
pub(crate) mod host;
pub(crate) mod payload;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, Volume};

use crate::config::{PodDirs, is_plain_name};
use crate::fault::ConfigFault;
use crate::sources::{SourceHub, SourceKey};
use crate::spec::downward::Situation;
use crate::spec::env::Fetched;
use crate::volumes::content::Computed;

/// Why a volume cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeFault {
    /// The pod asks for what cannot be.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// The host refused.
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The API could not be asked.
    #[error("objects of the volume cannot be read")]
    Api(#[source] kube::Error),
}

/// A volume that could not be made, by name.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\"")]
pub(crate) struct MountFault {
    pub(crate) volume: String,
    #[source]
    pub(crate) source: VolumeFault,
}

/// Reads all `keys` once.
pub(crate) async fn fetch(
    hub: &SourceHub,
    keys: impl IntoIterator<Item = SourceKey>,
) -> Result<Fetched, kube::Error> {
    let mut fetched = HashMap::new();
    for key in keys {
        if let Entry::Vacant(place) = fetched.entry(key) {
            let source = hub.fetch(place.key()).await?;
            place.insert(source);
        }
    }
    Ok(fetched)
}

/// The host path of a volume: its own directory, or what a hostPath names.
pub(crate) fn place(dirs: &PodDirs, volume: &Volume) -> PathBuf {
    match &volume.host_path {
        Some(of) => PathBuf::from(&of.path),
        None => dirs.volume(&volume.name),
    }
}

/// The group that owns the pod's volumes.
pub(crate) fn group(pod: &Pod) -> Result<Option<u32>, ConfigFault> {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    context.and_then(|context| context.fs_group).map(|gid| crate::spec::user::id("fsGroup", gid)).transpose()
}

/// Makes all volumes of `pod`.
pub(crate) async fn set_up(
    hub: &SourceHub,
    dirs: &PodDirs,
    pod: &Pod,
    situation: &Situation,
) -> Result<(), MountFault> {
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let fault = |source| MountFault { volume: volume.name.clone(), source };
        set_up_one(hub, dirs, pod, volume, situation).await.map_err(fault)?;
    }
    Ok(())
}

async fn set_up_one(
    hub: &SourceHub,
    dirs: &PodDirs,
    pod: &Pod,
    volume: &Volume,
    situation: &Situation,
) -> Result<(), VolumeFault> {
    if !is_plain_name(&volume.name) {
        let path = volume.name.clone();
        return Err(ConfigFault::Path { field: "volumes.name", path, problem: "is not a plain name" }.into());
    }
    let group = group(pod)?;
    let root = dirs.volume(&volume.name);
    if let Some(of) = &volume.host_path {
        host::host_path(of)?;
        return Ok(());
    }
    if let Some(of) = volume.empty_dir.clone() {
        return blocking(move || host::empty_dir(&root, &of, group)).await;
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let Some(computed) = Computed::of(namespace, volume)? else {
        let field = format!("volume {} of type {}", volume.name, kind(volume));
        let hint = "use emptyDir, hostPath, configMap, secret, downwardAPI or projected";
        return Err(ConfigFault::unsupported(field, hint).into());
    };
    let fetched = fetch(hub, computed.keys().cloned()).await.map_err(VolumeFault::Api)?;
    write_computed(root, &computed, pod, situation, &fetched).await
}

/// Writes the files of a computed volume.
pub(crate) async fn write_computed(
    root: PathBuf,
    computed: &Computed,
    pod: &Pod,
    situation: &Situation,
    fetched: &Fetched,
) -> Result<(), VolumeFault> {
    let files = computed.files(pod, situation, fetched)?;
    let group = group(pod)?;
    let secret = computed.secret;
    blocking(move || {
        let io = |source| VolumeFault::Io { path: root.clone(), source };
        std::fs::create_dir_all(&root).map_err(io)?;
        if secret {
            host::memory(&root, None).map_err(io)?;
        }
        payload::write(&root, &files, group).map_err(io).map(|_| ())
    })
    .await
}

async fn blocking(
    work: impl FnOnce() -> Result<(), VolumeFault> + Send + 'static,
) -> Result<(), VolumeFault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(VolumeFault::Io { path: PathBuf::new(), source: io::Error::other(error) }),
    }
}

/// The type of a volume as its field is called.
fn kind(volume: &Volume) -> String {
    let object = serde_json::to_value(volume).unwrap_or_default();
    let fields = object.as_object().into_iter().flatten().map(|(key, _)| key.clone());
    fields.into_iter().find(|key| key != "name").unwrap_or_else(|| "none".to_owned())
}

/// The pinned place of a sub-path mount.
pub(crate) fn pin(dirs: &PodDirs, container: &str, index: usize) -> PathBuf {
    dirs.root.join("subpaths").join(container).join(index.to_string())
}

/// Whether a path is below another; both as given.
pub(crate) fn is_absolute_plain(path: &str) -> bool {
    let path = Path::new(path);
    path.is_absolute() && !path.components().any(|part| part == std::path::Component::ParentDir)
}
