//! The agent: one watch of the pods on this node, one stream of runtime events, one actor per pod.
//!
//! At the first complete list the runtime's containers are matched with the API's pods: known ones are adopted, the
//! rest is an orphan and is removed. Nothing is listed again unless the watch or the event stream lost something.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use konzert_lifecycle::{Found, FoundContainer, FoundState, PodState, Termination, TerminationReason};
use konzert_runtime::{ContainerState, Exit, RuntimeEvent, Status};
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use rustix::fs::inotify::WatchFlags;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::PodDirs;
use crate::notify::DirWatch;
use crate::pod::actor::{Actor, Ending, Input};
use crate::pod::context::{ExitNote, Instance, PodContext, Shared, now};
use crate::spec::{container_id, is_container_id, label};

const INBOX: usize = 256;

/// The agent's state.
pub(crate) struct Agent {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    actors: HashMap<String, mpsc::Sender<Input>>,
    /// Uids of actors that end.
    endings: JoinSet<(String, Ending)>,
    /// Pods that are done here while their object lingers.
    done: HashSet<String>,
    first: bool,
}

impl Agent {
    pub(crate) fn new(shared: Arc<Shared>, stop: watch::Receiver<bool>) -> Self {
        Self {
            shared,
            stop,
            actors: HashMap::new(),
            endings: JoinSet::new(),
            done: HashSet::new(),
            first: true,
        }
    }

    /// Runs until told to stop; then waits for the actors to come to rest.
    pub(crate) async fn run(mut self) {
        // Subscribed before the first list, so that no end falls between the two.
        let mut ends = self.shared.containers.events();
        let api = Api::<Pod>::all(self.shared.client.clone());
        let fields = format!("spec.nodeName={}", self.shared.config.name);
        let mut pods = watcher(api, watcher::Config::default().fields(&fields)).default_backoff().boxed();
        let mut images = image_changes(&self.shared.config.data_dir);
        let mut listed = Vec::new();
        loop {
            tokio::select! {
                event = pods.try_next() => match event {
                    Ok(Some(event)) => self.pod_event(event, &mut listed).await,
                    Ok(None) => break,
                    Err(error) => tracing::warn!(%error, "the watch of pods failed; it is repeated"),
                },
                event = ends.recv() => match event {
                    Ok(RuntimeEvent::Exited { id, exit }) => self.ended(&id, exit).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up().await,
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                Some(ended) = self.endings.join_next() => self.actor_ended(ended),
                () = changed(&mut images) => self.tell_all(|| Input::SourcesChanged).await,
                stopped = self.stop.changed() => if stopped.is_err() || *self.stop.borrow() { break },
            }
        }
        self.tell_all(|| Input::Stop).await;
        self.actors.clear();
        while self.endings.join_next().await.is_some() {}
    }

    async fn tell_all(&self, input: impl Fn() -> Input) {
        for actor in self.actors.values() {
            // An actor that just ended takes no more news.
            actor.send(input()).await.ok();
        }
    }

    async fn tell(&self, uid: &str, input: Input) {
        if let Some(actor) = self.actors.get(uid) {
            // As above.
            actor.send(input).await.ok();
        }
    }

    async fn pod_event(&mut self, event: watcher::Event<Pod>, listed: &mut Vec<Pod>) {
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(pod) => listed.push(pod),
            watcher::Event::InitDone => self.reconcile(std::mem::take(listed)).await,
            watcher::Event::Apply(pod) => self.applied(pod).await,
            watcher::Event::Delete(pod) => {
                let uid = pod.metadata.uid.unwrap_or_default();
                self.done.remove(&uid);
                self.tell(&uid, Input::Gone).await;
            }
        }
    }

    async fn applied(&mut self, pod: Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if self.actors.contains_key(&uid) {
            self.tell(&uid, Input::Pod(Arc::new(pod))).await;
        } else if !self.done.contains(&uid) {
            self.begin(pod, &Found::default());
        }
    }

    /// A complete list: everything in it lives, everything else does not.
    async fn reconcile(&mut self, listed: Vec<Pod>) {
        let uids: HashSet<_> = listed.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        let gone: Vec<_> = self.actors.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
        for uid in gone {
            self.tell(&uid, Input::Gone).await;
        }
        self.done.retain(|uid| uids.contains(uid));
        if !std::mem::take(&mut self.first) {
            for pod in listed {
                self.applied(pod).await;
            }
            return;
        }
        let containers = self.shared.containers.list().await;
        self.release_unused(&containers).await;
        let networks: HashMap<_, _> = self.shared.nets.pods().into_iter().collect();
        let kept: HashSet<_> =
            listed.iter().filter_map(dirs_of(&self.shared.config.data_dir)).map(|dirs| dirs.logs).collect();
        for pod in listed {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let marked = crate::config::host_network_mark(&self.shared.config.run_dir, &uid).exists();
            let ip = networks.get(&uid).copied().map(IpAddr::from);
            let found = found(&uid, &containers, ip, marked);
            self.begin(pod, &found);
        }
        let shared = self.shared.clone();
        tokio::spawn(async move { crate::orphans::sweep(&shared, &uids, &kept, containers).await });
    }

    /// Root file systems prepared by an earlier life for containers that were never made.
    async fn release_unused(&self, containers: &[ContainerState]) {
        let kept: HashSet<_> = containers.iter().map(|one| one.id.to_string()).collect();
        let images = self.shared.images.clone();
        let released =
            tokio::task::spawn_blocking(move || crate::orphans::release_unknown(&*images, &kept)).await;
        if let Err(error) = released {
            tracing::error!(%error, "the release of unused root file systems panicked");
        }
    }

    /// Starts the actor of a pod.
    fn begin(&mut self, pod: Pod, found: &Found) {
        let Some(dirs) = dirs_of(&self.shared.config.data_dir)(&pod) else {
            tracing::error!(
                name = pod.metadata.name,
                "a pod with a name or uid that is no file name is not run"
            );
            return;
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        for container in found.containers.iter().filter(|one| matches!(one.state, FoundState::Running { .. }))
        {
            let instance =
                Instance { uid: uid.clone(), name: container.name.clone(), attempt: container.attempt };
            self.shared.alive.lock().insert(container.id.clone(), instance);
        }
        let (inbox, receiver) = mpsc::channel(INBOX);
        let state = PodState::adopt(&pod, found, now());
        let (sender, pod) = watch::channel(Arc::new(pod));
        let meta = pod.borrow().metadata.clone();
        let context = PodContext {
            shared: self.shared.clone(),
            uid: uid.clone(),
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            dirs,
            pod,
            poke: Arc::new(tokio::sync::Notify::new()),
            attachment: Mutex::new(None),
            adopted_ip: found.sandbox_ips.as_ref().and_then(|ips| ips.first()?.parse().ok()),
            prepared: Mutex::new(HashMap::new()),
            refresh: Mutex::new(None),
            waiting: Mutex::new(None),
        };
        let actor = Actor {
            context: Arc::new(context),
            state,
            pod: sender,
            inbox: receiver,
            effects: JoinSet::new(),
            early: Vec::new(),
        };
        self.actors.insert(uid.clone(), inbox);
        self.endings.spawn(async move { (uid, actor.run().await) });
    }

    async fn ended(&mut self, id: &konzert_runtime::ContainerId, exit: Exit) {
        if let Some(Instance { uid, name, attempt }) = self.shared.note_end(id) {
            self.tell(&uid, Input::Exit(ExitNote { name, attempt, exit })).await;
        }
    }

    /// Events were lost: every end is looked up once.
    async fn catch_up(&mut self) {
        for container in self.shared.containers.list().await {
            if let Status::Exited(exit) = container.status {
                self.ended(&container.id, exit).await;
            }
        }
    }

    fn actor_ended(&mut self, ended: Result<(String, Ending), tokio::task::JoinError>) {
        match ended {
            Ok((uid, _)) => {
                self.actors.remove(&uid);
                self.done.insert(uid);
            }
            Err(error) => tracing::error!(%error, "the actor of a pod panicked"),
        }
    }
}

fn dirs_of(data_dir: &Path) -> impl Fn(&Pod) -> Option<PodDirs> {
    move |pod| {
        let meta = &pod.metadata;
        PodDirs::new(data_dir, meta.namespace.as_deref()?, meta.name.as_deref()?, meta.uid.as_deref()?)
    }
}

/// What the runtime and the network have of one pod. `marked` is a sandbox on the host's network.
fn found(uid: &str, containers: &[ContainerState], ip: Option<IpAddr>, marked: bool) -> Found {
    let own = containers.iter().filter(|one| one.labels.get(label::UID).is_some_and(|of| of == uid));
    let containers: Vec<_> = own.filter_map(found_container).collect();
    let sandbox_ips = ip.map(|ip| vec![ip.to_string()]).or_else(|| marked.then(Vec::new));
    Found { sandbox_ips, containers }
}

fn found_container(one: &ContainerState) -> Option<FoundContainer> {
    let text = |key: &str| one.labels.get(key).cloned();
    let uid = text(label::UID)?;
    let (name, attempt) = (text(label::CONTAINER)?, text(label::ATTEMPT)?.parse().ok()?);
    if one.id != container_id(&uid, &name, attempt) {
        return None;
    }
    let state = match &one.status {
        Status::Running => FoundState::Running { started_at: one.started_at },
        Status::Exited(exit) => FoundState::Exited(Termination {
            attempt,
            id: one.id.to_string(),
            exit_code: exit.code,
            signal: exit.signal,
            reason: match (exit.oom_killed, exit.code) {
                (true, _) => TerminationReason::OomKilled,
                (false, 0) => TerminationReason::Completed,
                (false, _) => TerminationReason::Error,
            },
            message: None,
            started_at: Some(one.started_at),
            finished_at: exit.finished_at,
        }),
    };
    let id = one.id.to_string();
    debug_assert!(is_container_id(&id), "ids are made by container_id");
    Some(FoundContainer {
        name,
        attempt,
        id,
        image: text(label::IMAGE).unwrap_or_default(),
        image_id: text(label::IMAGE_ID).unwrap_or_default(),
        state,
    })
}

/// The image store replaces its index by rename whenever an image comes or goes, in whatever process.
fn image_changes(data_dir: &Path) -> Option<DirWatch> {
    match DirWatch::new(&data_dir.join("images"), WatchFlags::MOVED_TO) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::debug!(%error, "loaded images are noticed at the next look only");
            None
        }
    }
}

async fn changed(watch: &mut Option<DirWatch>) {
    let Some(own) = watch else { return std::future::pending().await };
    let seen = match own.wait().await {
        Ok(()) => own.drain(),
        Err(error) => Err(error),
    };
    if seen.is_err() {
        *watch = None;
    }
}
