//! The control loops of the engine: one driver that runs the pure decisions of `konzert-workloads` and `konzert-scheduling`
//! through a `kube::Client`.
//!
//! How a change travels: a watch (`feed`) or the answer to a write of ours enters a `cache`; the listener of that cache
//! (`wiring`) puts keys into the `queue`; the `driver` takes a key, its `controller` gathers what the decision looks at, and
//! the `executor` carries out the plan. There is one watch per kind for all controllers together, and nothing polls.
//!
//! Deliberately absent: leader election (there is one of us), and any decision.
#![forbid(unsafe_code)]

mod cache;
mod controller;
mod deployment;
mod driver;
mod endpointslice;
mod events;
mod executor;
mod feed;
mod garbage;
mod job;
mod kinds;
mod namespace;
mod queue;
mod replicaset;
mod scheduler;
mod serviceaccount;
mod wiring;
mod world;

use std::fmt::Debug;
use std::sync::Arc;

use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use cache::Cache;
use controller::Controller;
use driver::{Driver, Seeds};
use executor::Executor;
use feed::{Gate, Guarding};
use garbage::{Collector, GarbageCollector};
use kinds::Kinds;
use queue::{Key, Queue};
use scheduler::Scheduler;
use wiring::{Wiring, place};
use world::World;

/// What the controllers need to know besides the API.
#[derive(Clone, Debug)]
pub struct ControllersConfig {
    /// How many keys may be worked on at the same time.
    pub concurrency: usize,
    /// How many writes of one plan may be on their way at the same time.
    pub write_concurrency: usize,
    /// Pods that name another scheduler are left alone.
    pub scheduler_name: String,
}

impl Default for ControllersConfig {
    fn default() -> Self {
        Self { concurrency: 32, write_concurrency: 64, scheduler_name: "default-scheduler".to_owned() }
    }
}

/// Why the controllers stopped before they were asked to.
#[derive(Debug, thiserror::Error)]
pub enum ControllersError {
    /// A task ended by a panic; the engine must not go on half-controlled.
    #[error("the {task} task of the controllers died")]
    TaskDied {
        /// Which task.
        task: &'static str,
        /// The join error.
        #[source]
        source: tokio::task::JoinError,
    },
    /// A task that never ends came to its end.
    #[error("a watch of the controllers ended")]
    WatchEnded,
}

/// Runs every controller until `shutdown` turns true (or its sender is dropped), then finishes the plans under way.
///
/// # Errors
/// Only when a task of the driver died. Whatever the API does is met with back-off.
pub async fn run(
    client: Client,
    config: ControllersConfig,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), ControllersError> {
    let world = Arc::new(World::default());
    let queue = Arc::new(Queue::default());
    let kinds = Arc::new(Kinds::new(client.clone()));
    let collector =
        Arc::new(Collector::new(Arc::clone(&queue), place::GARBAGE, namespace_waker(&world, &queue)));
    let scheduler = Arc::new(Scheduler::new(
        &world.pods,
        Arc::clone(&queue),
        place::SCHEDULER,
        config.scheduler_name.clone(),
    ));
    let wiring = Wiring {
        queue: Arc::clone(&queue),
        collector: Arc::clone(&collector),
        scheduler: Arc::clone(&scheduler),
    };
    wiring.connect(&world);

    let gate = Gate::default();
    let mut background = JoinSet::new();
    let filled = watch_all(&client, &world, &gate, &mut background);
    background.spawn(Arc::clone(&kinds).run(Arc::clone(&collector)));
    let (recorder, writer) = events::channel(client.clone());
    background.spawn(writer.run());

    let driver = Arc::new(Driver {
        table: table(&client, &world, &kinds, collector, scheduler),
        queue,
        executor: Executor { client, world, recorder, write_concurrency: config.write_concurrency },
        gate,
        failures: Mutex::default(),
        seeds: Seeds::new(),
    });
    let outcome = tokio::select! {
        outcome = start(driver, filled, config.concurrency, &mut shutdown) => outcome,
        Some(ended) = background.join_next() => Err(match ended {
            Ok(()) => ControllersError::WatchEnded,
            Err(source) => ControllersError::TaskDied { task: "watch", source },
        }),
    };
    background.shutdown().await;
    outcome
}

/// Nothing is decided before every cache is filled once.
async fn start(
    driver: Arc<Driver>,
    filled: Vec<oneshot::Receiver<()>>,
    concurrency: usize,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), ControllersError> {
    tokio::select! {
        _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
        _ = futures::future::join_all(filled) => {}
    }
    driver.run(concurrency, shutdown).await
}

/// One row per controller, in the order of [`place`].
fn table(
    client: &Client,
    world: &Arc<World>,
    kinds: &Arc<Kinds>,
    collector: Arc<Collector>,
    scheduler: Arc<Scheduler>,
) -> Vec<Arc<dyn Controller>> {
    let (client, world, kinds) = (|| client.clone(), || Arc::clone(world), || Arc::clone(kinds));
    let mut rows: Vec<(usize, Arc<dyn Controller>)> = vec![
        (place::DEPLOYMENTS, Arc::new(deployment::Deployments(world()))),
        (place::REPLICA_SETS, Arc::new(replicaset::ReplicaSets(world()))),
        (place::JOBS, Arc::new(job::Jobs(world()))),
        (place::ENDPOINT_SLICES, Arc::new(endpointslice::EndpointSlices(world()))),
        (
            place::NAMESPACES,
            Arc::new(namespace::Namespaces { client: client(), world: world(), kinds: kinds() }),
        ),
        (place::DEFAULT_ACCOUNTS, Arc::new(serviceaccount::DefaultAccounts(world()))),
        (place::SCHEDULER, scheduler),
        (place::GARBAGE, Arc::new(GarbageCollector { client: client(), collector, kinds: kinds() })),
    ];
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, controller)| controller).collect()
}

/// Wakes the deletion of a namespace when an object in it has gone.
fn namespace_waker(world: &Arc<World>, queue: &Arc<Queue>) -> Box<dyn Fn(&str) + Send + Sync> {
    // Weak, because the listener of this cache holds the collector, which holds us.
    let (namespaces, queue) = (Arc::downgrade(&world.namespaces), Arc::clone(queue));
    Box::new(move |name| {
        let found = namespaces.upgrade().and_then(|namespaces| namespaces.get("", name));
        let deleting = found.is_some_and(|found| found.metadata.deletion_timestamp.is_some());
        if deleting {
            queue.wake(Key {
                controller: place::NAMESPACES,
                namespace: String::new(),
                name: name.to_owned(),
            });
        }
    })
}

/// Starts one watch per typed kind; gives back what tells that their caches are filled.
fn watch_all(
    client: &Client,
    world: &World,
    gate: &Gate,
    tasks: &mut JoinSet<()>,
) -> Vec<oneshot::Receiver<()>> {
    vec![
        watch_kind(client, &world.pods, gate, tasks),
        watch_kind(client, &world.replica_sets, gate, tasks),
        watch_kind(client, &world.deployments, gate, tasks),
        watch_kind(client, &world.jobs, gate, tasks),
        watch_kind(client, &world.services, gate, tasks),
        watch_kind(client, &world.slices, gate, tasks),
        watch_kind(client, &world.namespaces, gate, tasks),
        watch_kind(client, &world.nodes, gate, tasks),
        watch_kind(client, &world.accounts, gate, tasks),
    ]
}

fn watch_kind<K>(
    client: &Client,
    cache: &Arc<Cache<K>>,
    gate: &Gate,
    tasks: &mut JoinSet<()>,
) -> oneshot::Receiver<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let stream = watcher::watcher(Api::<K>::all(client.clone()), watcher::Config::default());
    tasks.spawn(feed::feed(stream, Arc::clone(cache), Guarding::Gate(Arc::clone(gate)), sender));
    receiver
}
