//! Containers, images and network of a host that exists only in memory; root file systems are real directories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use konzert_runtime::{
    ContainerId, ContainerSpec, ContainerState, ExecExit, ExecOutcome, ExecRequest, Exit, RuntimeEvent,
    Started, Status,
};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use crate::ports::{
    Containers, FoundImage, ImageFault, Images, Nets, PodAttachment, PortError, PullFault, PullSecret,
    StartFault,
};
use crate::services::ServiceRule;
use crate::spec::label;

#[derive(Default)]
struct State {
    containers: BTreeMap<ContainerId, (ContainerSpec, Status)>,
    created: Vec<ContainerSpec>,
    removed: Vec<ContainerId>,
    missing: BTreeSet<String>,
    refused: BTreeSet<String>,
    snapshots: BTreeSet<String>,
    pods: BTreeMap<String, Ipv4Addr>,
    rules: Vec<Vec<ServiceRule>>,
    registry: BTreeMap<String, RegistrySays>,
    pulled: Vec<(String, Vec<PullSecret>)>,
    hold: Option<Arc<Mutex<()>>>,
    execs: Vec<Vec<String>>,
    exec_code: i32,
}

/// What the registry of an image does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegistrySays {
    /// It is not there.
    Nothing,
    No,
    Yes,
}

/// The host.
pub(crate) struct FakeHost {
    root: PathBuf,
    state: Mutex<State>,
    events: broadcast::Sender<RuntimeEvent>,
    changed: watch::Sender<u64>,
}

impl FakeHost {
    pub(crate) fn new(root: &Path) -> Self {
        let (events, changed) = (broadcast::channel(64).0, watch::channel(0).0);
        Self { root: root.to_owned(), state: Mutex::default(), events, changed }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let done = work(&mut self.state.lock());
        self.changed.send_modify(|count| *count += 1);
        done
    }

    async fn until<T>(&self, what: &str, wanted: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let work = async {
            loop {
                if let Some(found) = wanted(&self.state.lock()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        super::soon(what, work).await
    }

    pub(crate) fn missing(&self, image: &str) {
        self.with(|state| state.missing.insert(image.to_owned()));
    }

    pub(crate) fn registry(&self, image: &str, says: RegistrySays) {
        self.with(|state| state.registry.insert(image.to_owned(), says));
    }

    /// Pulls take as long as the lock is held.
    pub(crate) fn hold_pulls(&self, hold: Arc<Mutex<()>>) {
        self.with(|state| state.hold = Some(hold));
    }

    /// Waits for that many pulls, and gives them.
    pub(crate) async fn pulls(&self, count: usize) -> Vec<(String, Vec<PullSecret>)> {
        self.until("images are pulled", |state| (state.pulled.len() >= count).then(|| state.pulled.clone()))
            .await
    }

    pub(crate) fn load(&self, image: &str) {
        self.with(|state| state.missing.remove(image));
    }

    pub(crate) fn refuse(&self, container: &str) {
        self.with(|state| state.refused.insert(container.to_owned()));
    }

    pub(crate) fn fail_execs(&self, code: i32) {
        self.with(|state| state.exec_code = code);
    }

    pub(crate) fn execs(&self) -> Vec<Vec<String>> {
        self.state.lock().execs.clone()
    }

    /// All requests to create so far, `name#attempt`.
    pub(crate) fn created(&self) -> Vec<String> {
        let shown = |spec: &ContainerSpec| {
            format!("{}#{}", spec.labels[label::CONTAINER], spec.labels[label::ATTEMPT])
        };
        self.state.lock().created.iter().map(shown).collect()
    }

    pub(crate) async fn spec(&self, instance: &str) -> ContainerSpec {
        self.until(&format!("{instance} is created"), |state| {
            let named = |spec: &&ContainerSpec| {
                format!("{}#{}", spec.labels[label::CONTAINER], spec.labels[label::ATTEMPT]) == instance
            };
            state.created.iter().find(named).cloned()
        })
        .await
    }

    /// Ends a running container.
    pub(crate) fn exit(&self, id: &ContainerId, code: i32) {
        let exit = Exit { code, signal: None, oom_killed: false, finished_at: Timestamp::now() };
        let ended = self.with(|state| match state.containers.get_mut(id) {
            Some((_, status @ Status::Running)) => {
                *status = Status::Exited(exit.clone());
                true
            }
            _ => false,
        });
        if ended {
            self.events.send(RuntimeEvent::Exited { id: id.clone(), exit }).ok();
        }
    }

    pub(crate) fn alive(&self) -> Vec<ContainerId> {
        let state = self.state.lock();
        let running = state.containers.iter().filter(|(_, (_, status))| *status == Status::Running);
        running.map(|(id, _)| id.clone()).collect()
    }

    /// Waits until nothing of any pod is left.
    pub(crate) async fn empty(&self) {
        self.until("nothing is left on the host", |state| {
            (state.containers.is_empty() && state.snapshots.is_empty() && state.pods.is_empty()).then_some(())
        })
        .await;
    }

    pub(crate) async fn removed(&self, id: &ContainerId) {
        self.until("the container is removed", |state| state.removed.contains(id).then_some(())).await;
    }

    pub(crate) async fn rules(&self, count: usize) -> Vec<ServiceRule> {
        self.until("rules are applied", |state| {
            state.rules.last().filter(|rules| rules.len() == count).cloned()
        })
        .await
    }
}

#[async_trait]
impl Containers for FakeHost {
    async fn create_and_start(&self, spec: &ContainerSpec) -> Result<Started, StartFault> {
        spec.check().map_err(|error| StartFault::Host(Box::new(error)))?;
        let name = &spec.labels[label::CONTAINER];
        let uid = &spec.labels[label::UID];
        self.with(|state| {
            if state.refused.contains(name) {
                return Err(StartFault::Program("exec: \"/nope\": no such file".to_owned()));
            }
            let same = state.containers.values().any(|(other, status)| {
                *status == Status::Running
                    && other.labels[label::CONTAINER] == *name
                    && other.labels[label::UID] == *uid
            });
            assert!(!same, "two instances of {name} are alive");
            state.created.push(spec.clone());
            state.containers.insert(spec.id.clone(), (spec.clone(), Status::Running));
            Ok(Started { pid: 1, started_at: Timestamp::now() })
        })
    }

    async fn stop(&self, id: &ContainerId) -> Result<(), PortError> {
        self.exit(id, 143);
        Ok(())
    }

    async fn kill_all(&self, id: &ContainerId) -> Result<(), PortError> {
        self.exit(id, 137);
        Ok(())
    }

    async fn exec(&self, _id: &ContainerId, request: ExecRequest) -> Result<ExecOutcome, PortError> {
        let code = self.with(|state| {
            state.execs.push(request.args);
            state.exec_code
        });
        Ok(ExecOutcome { exit: ExecExit::Code(code), output: b"said so".to_vec(), truncated: false })
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        self.exit(id, 137);
        self.with(|state| {
            state.containers.remove(id);
            state.removed.push(id.clone());
        });
        Ok(())
    }

    async fn list(&self) -> Vec<ContainerState> {
        let state = self.state.lock();
        let shown = state.containers.iter().map(|(id, (spec, status))| ContainerState {
            id: id.clone(),
            pid: 1,
            status: status.clone(),
            started_at: Timestamp::from_second(1_900_000_000).unwrap(),
            labels: spec.labels.clone(),
        });
        shown.collect()
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }
}

impl Images for FakeHost {
    fn find(&self, reference: &str) -> Result<Option<FoundImage>, ImageFault> {
        let found = FoundImage {
            digest: format!("sha256:{reference}"),
            entrypoint: vec!["/app".to_owned()],
            ..FoundImage::default()
        };
        Ok(Some(found).filter(|_| !self.state.lock().missing.contains(reference)))
    }

    fn pull(&self, reference: &str, secrets: &[PullSecret]) -> Result<FoundImage, PullFault> {
        let (answer, hold) = self.with(|state| {
            state.pulled.push((reference.to_owned(), secrets.to_vec()));
            (state.registry.get(reference).copied().unwrap_or(RegistrySays::Nothing), state.hold.clone())
        });
        if let Some(hold) = hold {
            // The test decides when it goes on.
            drop(hold.lock());
        }
        let fault = |unreachable, text: &str| PullFault { unreachable, cause: text.into() };
        match answer {
            RegistrySays::Nothing => Err(fault(true, "cannot connect")),
            RegistrySays::No => Err(fault(false, "denied")),
            RegistrySays::Yes => {
                self.load(reference);
                Ok(self.find(reference).ok().flatten().unwrap())
            }
        }
    }

    fn by_digest(&self, digest: &str) -> Result<Option<FoundImage>, ImageFault> {
        self.find(digest.trim_start_matches("sha256:"))
    }

    fn prepare(&self, key: &str, _digest: &str) -> Result<PathBuf, PortError> {
        let rootfs = self.root.join(key);
        fs::create_dir_all(rootfs.join("etc"))?;
        self.with(|state| state.snapshots.insert(key.to_owned()));
        Ok(rootfs)
    }

    fn release(&self, key: &str) -> Result<(), PortError> {
        self.with(|state| state.snapshots.remove(key));
        Ok(())
    }

    fn snapshots(&self) -> Vec<String> {
        self.state.lock().snapshots.iter().cloned().collect()
    }
}

#[async_trait]
impl Nets for FakeHost {
    async fn add_pod(&self, uid: &str) -> Result<PodAttachment, PortError> {
        let ip = self.with(|state| {
            let next = u8::try_from(state.pods.len()).unwrap() + 5;
            *state.pods.entry(uid.to_owned()).or_insert(Ipv4Addr::new(127, 0, 0, next))
        });
        Ok(PodAttachment { netns: PathBuf::from(format!("/run/netns/{uid}")), ip })
    }

    async fn remove_pod(&self, uid: &str) -> Result<(), PortError> {
        self.with(|state| state.pods.remove(uid));
        Ok(())
    }

    fn pods(&self) -> Vec<(String, Ipv4Addr)> {
        self.state.lock().pods.iter().map(|(uid, ip)| (uid.clone(), *ip)).collect()
    }

    async fn apply_services(&self, services: &[ServiceRule]) -> Result<(), PortError> {
        self.with(|state| state.rules.push(services.to_vec()));
        Ok(())
    }
}
