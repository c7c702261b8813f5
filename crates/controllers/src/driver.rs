//! The one loop: takes keys from the queue, asks the controller for a plan, has it carried out.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use konzert_workloads::Failure;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ControllersError;
use crate::controller::{Attempt, Controller, Ending};
use crate::executor::Executor;
use crate::feed::Gate;
use crate::queue::{Done, Key, Queue};

pub(crate) struct Driver {
    pub(crate) table: Vec<Arc<dyn Controller>>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) executor: Executor,
    pub(crate) gate: Gate,
    /// What went wrong last time, per key.
    pub(crate) failures: Mutex<HashMap<Key, Failure>>,
    pub(crate) seeds: Seeds,
}

/// Draws the seeds from which names are made. Names need not be hard to guess, only
/// different, so a hashed counter will do.
pub(crate) struct Seeds {
    state: RandomState,
    drawn: AtomicU64,
}

impl Seeds {
    pub(crate) fn new() -> Self {
        Self { state: RandomState::new(), drawn: AtomicU64::new(0) }
    }

    fn draw(&self) -> u64 {
        self.state.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
    }
}

impl Driver {
    /// Works until told to stop, then finishes what is under way.
    pub(crate) async fn run(
        self: Arc<Self>,
        concurrency: usize,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<(), ControllersError> {
        let mut tasks: JoinSet<()> = JoinSet::new();
        let died = |source| ControllersError::TaskDied { task: "worker", source };
        let outcome = loop {
            tokio::select! {
                // Dropped and true both mean stop.
                _ = shutdown.wait_for(|stop| *stop) => break Ok(()),
                key = self.queue.next(), if tasks.len() < concurrency.max(1) => {
                    let driver = Arc::clone(&self);
                    tasks.spawn(async move { driver.work(key).await });
                }
                Some(ended) = tasks.join_next() => {
                    if let Err(source) = ended {
                        break Err(died(source));
                    }
                }
            }
        };
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(died)?;
        }
        outcome
    }

    async fn work(&self, key: Key) {
        let done = {
            let _open = self.gate.read().await;
            self.pass(&key).await
        };
        self.queue.done(key, done);
    }

    async fn pass(&self, key: &Key) -> Done {
        let controller = &self.table[key.controller];
        let attempt = Attempt {
            now: Timestamp::now(),
            seed: self.seeds.draw(),
            failure: self.failures.lock().get(key).cloned(),
        };
        let had_failed = attempt.failure.is_some();
        let plan = match controller.plan(&key.namespace, &key.name, attempt).await {
            Ok(plan) => plan,
            Err(error) => {
                tracing::warn!(controller = controller.name(), ?key, %error, "a look-up failed; trying again");
                return Done::Failed;
            }
        };
        let result = self.executor.run(controller.name(), plan).await;
        let ending = if result.is_ok() { Ending::Carried } else { Ending::Stopped };
        controller.ended(&key.namespace, &key.name, ending);
        match result {
            Ok(requeue_at) => {
                if had_failed {
                    self.failures.lock().remove(key);
                }
                // What was published about the failure has to be taken back.
                let again = if had_failed { Some(Timestamp::now()) } else { requeue_at };
                Done::Settled(again.map(pause_until))
            }
            Err(error) => {
                if error.is_race() {
                    tracing::debug!(controller = controller.name(), ?key, %error, "trying again");
                } else {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(controller = controller.name(), ?key, %error, cause, "trying again");
                }
                if let Some(failure) = error.as_failure() {
                    self.failures.lock().insert(key.clone(), failure);
                }
                Done::Failed
            }
        }
    }
}

fn pause_until(at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
}
