//! What no pod of the API owns: containers, networks, snapshots and directories of pods that went while the engine
//! was away. Everything is recognised by labels, ids and places of this instance; nothing else is touched.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use konzert_runtime::ContainerState;

use crate::cleanup::{remove_cgroup, remove_place};
use crate::pod::context::Shared;
use crate::ports::{Containers, Images, chain};
use crate::spec::{is_container_id, label};

/// Removes everything whose pod is not in `uids`. `logs` are the log directories that stay.
pub(crate) async fn sweep(
    shared: &Shared,
    uids: &HashSet<String>,
    logs: &HashSet<PathBuf>,
    containers: Vec<ContainerState>,
) {
    let mut gone = Vec::new();
    for one in containers {
        match one.labels.get(label::UID) {
            Some(uid) if !uids.contains(uid) => {
                tracing::info!(id = %one.id, uid, "removing a container whose pod is gone");
                remove_container(&*shared.containers, &one).await;
                gone.push(one.id.to_string());
            }
            _ => {}
        }
    }
    for (uid, _) in shared.nets.pods() {
        if !uids.contains(&uid)
            && let Err(error) = shared.nets.remove_pod(&uid).await
        {
            tracing::warn!(error = chain(&*error), uid, "network of a pod that is gone stays");
        }
    }
    let images = shared.images.clone();
    let (data_dir, instance) = (shared.config.data_dir.clone(), shared.config.instance.clone());
    let (uids, logs) = (uids.clone(), logs.clone());
    let swept = tokio::task::spawn_blocking(move || {
        for key in gone {
            release(&*images, &key);
        }
        for (uid, place) in entries(&data_dir.join("pods")) {
            if !uids.contains(&uid) {
                remove(&place);
                remove_cgroup(&instance, &uid);
            }
        }
        for (_, place) in entries(&data_dir.join("logs/pods")) {
            if !logs.contains(&place) {
                remove(&place);
            }
        }
    });
    if let Err(error) = swept.await {
        tracing::error!(%error, "the sweep of orphans panicked");
    }
}

/// Removes one container, killing it if it runs.
pub(crate) async fn remove_container(containers: &dyn Containers, one: &ContainerState) {
    if let Err(error) = containers.remove(&one.id).await {
        tracing::warn!(error = chain(&*error), id = %one.id, "a container without a pod stays");
    }
}

/// Releases root file systems that no container uses. Must end before actors begin: they prepare new ones under the
/// same keys.
pub(crate) fn release_unknown(images: &dyn Images, kept: &HashSet<String>) {
    for key in images.snapshots() {
        if is_container_id(&key) && !kept.contains(&key) {
            release(images, &key);
        }
    }
}

fn release(images: &dyn Images, key: &str) {
    if let Err(error) = images.release(key) {
        tracing::warn!(error = chain(&*error), key, "a root file system without a container stays");
    }
}

pub(crate) fn entries(dir: &Path) -> Vec<(String, PathBuf)> {
    let found = std::fs::read_dir(dir).into_iter().flatten().flatten();
    found.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
}

pub(crate) fn remove(place: &Path) {
    if let Err(error) = remove_place(place) {
        tracing::warn!(%error, place = %place.display(), "a place without a pod stays");
    }
}
