//! From a pod's container to what the runtime is asked for.

pub(crate) mod downward;
pub(crate) mod env;
pub(crate) mod limits;
pub(crate) mod security;
pub(crate) mod user;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use konzert_runtime::{ContainerId, ContainerSpec, LogSpec, Mount, MountKind, parse_signal};
use sha2::{Digest, Sha256};

use crate::config::{NodeConfig, PodDirs};
use crate::fault::ConfigFault;
use crate::ports::FoundImage;
use crate::spec::user::Accounts;
use crate::volumes::{is_absolute_plain, pin, place};

/// Labels that bring a container back to its pod after a restart of the main process.
pub(crate) mod label {
    pub(crate) const UID: &str = "konzert.dev/pod-uid";
    pub(crate) const NAMESPACE: &str = "konzert.dev/pod-namespace";
    pub(crate) const POD: &str = "konzert.dev/pod-name";
    pub(crate) const CONTAINER: &str = "konzert.dev/container";
    pub(crate) const ATTEMPT: &str = "konzert.dev/attempt";
    pub(crate) const IMAGE: &str = "konzert.dev/image";
    pub(crate) const IMAGE_ID: &str = "konzert.dev/image-id";
}

/// The runtime id of an instance: the same pod, name and attempt always give the same one.
pub(crate) fn container_id(uid: &str, name: &str, attempt: u32) -> ContainerId {
    let hash = Sha256::digest(format!("{uid}/{name}/{attempt}"));
    let text = hash.iter().take(16).fold(String::with_capacity(32), |text, byte| format!("{text}{byte:02x}"));
    ContainerId::new(text).expect("32 hex digits are a container id")
}

/// Whether a key looks like one of [`container_id`]'s.
pub(crate) fn is_container_id(key: &str) -> bool {
    key.len() == 32 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Everything a container spec is made from.
pub(crate) struct SpecInputs<'a> {
    pub(crate) config: &'a NodeConfig,
    pub(crate) pod: &'a Pod,
    pub(crate) container: &'a Container,
    pub(crate) attempt: u32,
    pub(crate) image: &'a FoundImage,
    pub(crate) rootfs: &'a Path,
    pub(crate) accounts: &'a Accounts,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) netns: Option<PathBuf>,
    pub(crate) dirs: &'a PodDirs,
    pub(crate) memory_capacity: i64,
}

/// A sub-path that must be pinned before the container starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubPath {
    pub(crate) volume: PathBuf,
    pub(crate) sub: String,
    pub(crate) pin: PathBuf,
}

/// The request to the runtime and what must be done before it.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) spec: ContainerSpec,
    pub(crate) sub_paths: Vec<SubPath>,
}

/// Builds the request.
pub(crate) fn build(inputs: &SpecInputs<'_>) -> Result<Built, ConfigFault> {
    let empty = PodSpec::default();
    let pod_spec = inputs.pod.spec.as_ref().unwrap_or(&empty);
    security::refuse_unsupported(pod_spec, inputs.container)?;
    let uid = inputs.pod.metadata.uid.as_deref().unwrap_or_default();
    let id = container_id(uid, &inputs.container.name, inputs.attempt);
    let hostname = crate::files::hostname(inputs.pod, &inputs.config.name);
    let mut env = inputs.env.clone();
    if !env.iter().any(|(name, _)| name == "HOSTNAME") {
        env.push(("HOSTNAME".to_owned(), hostname.clone()));
    }
    let args = env::command(inputs.container, inputs.image, &env)?;
    let (mounts, sub_paths) = inputs.mounts(&env)?;
    let on_host = |asked: Option<bool>, kind: &str| {
        (asked == Some(true)).then(|| PathBuf::from(format!("/proc/1/ns/{kind}")))
    };
    let spec = ContainerSpec {
        rootfs: inputs.rootfs.to_owned(),
        args,
        cwd: inputs.cwd()?,
        user: user::resolve(pod_spec, inputs.container, &inputs.image.user, inputs.accounts)?,
        hostname,
        mounts,
        netns: inputs.netns.clone(),
        share_ipc: on_host(pod_spec.host_ipc, "ipc"),
        share_uts: None,
        share_pid: on_host(pod_spec.host_pid, "pid"),
        cgroup_path: format!("/konzert/{}/pod{uid}/{id}", inputs.config.instance),
        resources: limits::resources(inputs.container)?,
        security: security::security(pod_spec, inputs.container)?,
        log: LogSpec {
            path: inputs.dirs.log(&inputs.container.name, inputs.attempt),
            max_bytes: inputs.config.log_max_bytes,
            max_files: inputs.config.log_max_files,
        },
        stop_signal: inputs.stop_signal()?,
        oom_score_adj: Some(limits::oom_score_adj(inputs.pod, inputs.container, inputs.memory_capacity)),
        labels: inputs.labels(uid),
        env: env.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        id,
    };
    Ok(Built { spec, sub_paths })
}

impl SpecInputs<'_> {
    fn cwd(&self) -> Result<String, ConfigFault> {
        let own = self.container.working_dir.as_deref().filter(|dir| !dir.is_empty());
        let cwd = own.unwrap_or(&self.image.working_dir);
        let cwd = if cwd.is_empty() { "/" } else { cwd };
        if is_absolute_plain(cwd) {
            return Ok(cwd.to_owned());
        }
        Err(ConfigFault::Path { field: "workingDir", path: cwd.to_owned(), problem: "must be absolute" })
    }

    fn stop_signal(&self) -> Result<i32, ConfigFault> {
        let own = self.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
        let Some(name) = own.or(self.image.stop_signal.as_deref()).filter(|name| !name.is_empty()) else {
            return Ok(15);
        };
        parse_signal(name).ok_or_else(|| ConfigFault::Signal { field: "stopSignal", name: name.to_owned() })
    }

    fn labels(&self, uid: &str) -> BTreeMap<String, String> {
        let meta = &self.pod.metadata;
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let labels = [
            (label::UID, uid.to_owned()),
            (label::NAMESPACE, text(meta.namespace.as_ref())),
            (label::POD, text(meta.name.as_ref())),
            (label::CONTAINER, self.container.name.clone()),
            (label::ATTEMPT, self.attempt.to_string()),
            (label::IMAGE, text(self.container.image.as_ref())),
            (label::IMAGE_ID, self.image.digest.clone()),
        ];
        labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn mounts(&self, env: &[(String, String)]) -> Result<(Vec<Mount>, Vec<SubPath>), ConfigFault> {
        let mut mounts = Vec::new();
        let mut sub_paths = Vec::new();
        for (index, mount) in self.container.volume_mounts.iter().flatten().enumerate() {
            let volumes = self.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
            let volume = volumes.into_iter().find(|volume| volume.name == mount.name);
            let Some(volume) = volume else {
                return Err(ConfigFault::MountWithoutVolume { volume: mount.name.clone() });
            };
            let destination = absolute("volumeMounts.mountPath", &mount.mount_path)?;
            let root = place(self.dirs, volume);
            let sub = sub_path(mount.sub_path.as_deref(), mount.sub_path_expr.as_deref(), env)?;
            let source = match sub {
                Some(sub) => {
                    let pin = pin(self.dirs, &self.container.name, index);
                    sub_paths.push(SubPath { volume: root, sub, pin: pin.clone() });
                    pin
                }
                None => root,
            };
            let computed = volume.empty_dir.is_none() && volume.host_path.is_none();
            let read_only = mount.read_only == Some(true) || computed;
            mounts.push(Mount { source, destination, kind: MountKind::Bind, read_only });
        }
        self.managed(&mut mounts)?;
        Ok((mounts, sub_paths))
    }

    /// The node's own files, unless the pod mounts something there itself.
    fn managed(&self, mounts: &mut Vec<Mount>) -> Result<(), ConfigFault> {
        let message = self.container.termination_message_path.as_deref().filter(|path| !path.is_empty());
        let message = absolute("terminationMessagePath", message.unwrap_or("/dev/termination-log"))?;
        let log = self.dirs.attempt(&self.container.name, self.attempt).join("termination-log");
        let mut wanted = vec![(log, message)];
        for name in ["hosts", "hostname", "resolv.conf"] {
            wanted.push((self.dirs.file(name), Path::new("/etc").join(name)));
        }
        for (source, destination) in wanted {
            if !mounts.iter().any(|mount| mount.destination == destination) {
                mounts.push(Mount { source, destination, kind: MountKind::Bind, read_only: false });
            }
        }
        Ok(())
    }
}

fn absolute(field: &'static str, path: &str) -> Result<PathBuf, ConfigFault> {
    if is_absolute_plain(path) && path != "/" {
        return Ok(PathBuf::from(path));
    }
    Err(ConfigFault::Path { field, path: path.to_owned(), problem: "must be absolute and without `..`" })
}

fn sub_path(
    plain: Option<&str>,
    expr: Option<&str>,
    env: &[(String, String)],
) -> Result<Option<String>, ConfigFault> {
    let lookup = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let sub = match expr.filter(|expr| !expr.is_empty()) {
        Some(expr) => env::expand(expr, lookup),
        None => plain.unwrap_or_default().to_owned(),
    };
    if sub.is_empty() {
        return Ok(None);
    }
    if crate::config::is_plain_path(&sub) {
        return Ok(Some(sub));
    }
    Err(ConfigFault::Path {
        field: "volumeMounts.subPath",
        path: sub,
        problem: "must be relative and without `..`",
    })
}
