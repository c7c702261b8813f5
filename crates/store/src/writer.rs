//! The one writer: takes what waits, decides, commits it as one batch, shows it, answers.
//!
//! Order of things, per round, and why:
//! 1. Decide against the current state. A batch has one write per key; a second write of the same key waits
//!    for the next round, so no decision ever rests on something that is not durable yet.
//! 2. Commit: one transaction, one fsync. While it runs, the next batch gathers: that is the group commit.
//! 3. Show in revision order: memory first, then the watchers.
//! 4. Answer.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::backend::{Batch, Committed, ForeignChange, Op, OpChange, OpResult, Opened, Tenancy};
use crate::state::{Mutation, MutationChange, Slot};
use crate::store::Shared;
use crate::{
    Backend, BackendError, Certainty, Change, CommitError, Durability, Entry, Event, Expect, Revision,
    StoreError, Write, WriteError,
};

/// The most writes in one batch: enough to fill an fsync, small enough to keep its pause short.
const MAX_BATCH: usize = 512;
/// How far ahead revisions are reserved on disk. One extra small write per this many volatile writes.
const RESERVE_STEP: u64 = 16_384;
/// How often a write is decided again when another store of a shared back end was faster.
const MAX_ATTEMPTS: u8 = 16;

type Reply = oneshot::Sender<Result<Entry, WriteError>>;

/// A write that waits.
#[derive(Debug)]
pub(crate) struct Request {
    write: Write,
    attempts: u8,
    reply: Reply,
}

impl Request {
    pub(crate) fn new(write: Write, reply: Reply) -> Self {
        Self { write, attempts: 0, reply }
    }

    fn answer(self, result: Result<Entry, WriteError>) {
        // The caller may have gone; the write stands all the same.
        self.reply.send(result).ok();
    }
}

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Do this write.
    Write(Request),
    /// A shared back end has foreign changes.
    Wake,
    /// Finish and close.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A write that was decided.
struct Planned {
    request: Request,
    revision: Revision,
    durability: Durability,
    held: Option<Revision>,
    created: Revision,
}

impl Planned {
    fn op(&self) -> Op {
        let change = match &self.request.write.change {
            Change::Put(value) => OpChange::Put(value.clone()),
            Change::Delete => OpChange::Delete,
        };
        let key = Arc::clone(&self.request.write.key);
        Op { key, held: self.held, change, created: self.created, revision: self.revision }
    }

    fn mutation(&self, shared: &Shared) -> Mutation {
        let change = match &self.request.write.change {
            Change::Put(written) => MutationChange::Put {
                written: written.clone(),
                served: (shared.config.stamp)(written, self.revision),
                durability: self.durability,
            },
            Change::Delete => MutationChange::Delete,
        };
        Mutation { key: Arc::clone(&self.request.write.key), revision: self.revision, change }
    }
}

/// The state of the writer thread.
pub(crate) struct Writer<B> {
    backend: B,
    tenancy: Tenancy,
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Message>,
    backlog: VecDeque<Request>,
    /// Set by [`crate::Nudge`].
    pending: Arc<AtomicBool>,
    /// The last revision given out, shown or not.
    last: Revision,
    /// Revisions up to here may be given out without asking the disk.
    reserved: Revision,
    /// The state on disk is unknown.
    poisoned: bool,
}

impl<B: Backend> Writer<B> {
    pub(crate) fn new(
        backend: B,
        opened: Opened,
        shared: Arc<Shared>,
        messages: mpsc::Receiver<Message>,
        pending: Arc<AtomicBool>,
    ) -> Self {
        Self {
            backend,
            tenancy: opened.tenancy,
            shared,
            messages,
            backlog: VecDeque::new(),
            pending,
            last: opened.revision,
            reserved: opened.revision,
            poisoned: false,
        }
    }

    /// Serves until a close message, or until the last handle is gone.
    pub(crate) fn run(mut self) {
        let closer = loop {
            if self.backlog.is_empty() {
                match self.messages.blocking_recv() {
                    None => break None,
                    Some(Message::Close(reply)) => break Some(reply),
                    Some(Message::Write(request)) => self.backlog.push_back(request),
                    Some(Message::Wake) => {}
                }
            }
            if let Some(reply) = self.gather() {
                break Some(reply);
            }
            self.round();
        };
        while !self.backlog.is_empty() {
            self.round();
        }
        let result = self.finish();
        match closer {
            // The closer may have stopped waiting.
            Some(reply) => drop(reply.send(result)),
            None => {
                if let Err(error) = result {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "closing the state store failed"
                    );
                }
            }
        }
    }

    /// Takes what waits without blocking; a close message ends the service.
    fn gather(&mut self) -> Option<oneshot::Sender<Result<(), StoreError>>> {
        while self.backlog.len() < MAX_BATCH {
            match self.messages.try_recv() {
                Ok(Message::Write(request)) => self.backlog.push_back(request),
                Ok(Message::Wake) => {}
                Ok(Message::Close(reply)) => return Some(reply),
                Err(_) => break,
            }
        }
        None
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.messages.close();
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Write(request) => request.answer(Err(WriteError::Closed)),
                Message::Close(reply) => drop(reply.send(Ok(()))),
                Message::Wake => {}
            }
        }
        self.shared.watchers.close();
        self.backend.close(self.last).map_err(StoreError::from)
    }

    fn round(&mut self) {
        if self.tenancy == Tenancy::Shared && self.pending.swap(false, Ordering::AcqRel) {
            self.catch_up();
        }
        let planned = self.plan();
        if planned.is_empty() {
            return;
        }
        let (kept, foreign) = self.keep(planned);
        let (events, replies) = self.show(kept, foreign);
        self.shared.watchers.publish(&events, self.shared.state.read().revision());
        for (request, entry) in replies {
            request.answer(Ok(entry));
        }
    }

    /// Decides the waiting writes against the current state, answers those that do not fit, and gives out
    /// revisions.
    fn plan(&mut self) -> Vec<Planned> {
        let shared = Arc::clone(&self.shared);
        let state = shared.state.read();
        let mut planned: Vec<Planned> = Vec::with_capacity(self.backlog.len());
        let mut taken: HashSet<Arc<str>> = HashSet::with_capacity(self.backlog.len());
        let mut later = VecDeque::new();
        for request in std::mem::take(&mut self.backlog) {
            let key = Arc::clone(&request.write.key);
            if taken.contains(&key) {
                later.push_back(request);
                continue;
            }
            let slot = state.slot(&key);
            if !fits(&request.write, slot) {
                let current = slot.map(|slot| slot.entry.clone());
                request.answer(Err(WriteError::Conflict { current }));
                continue;
            }
            let durability = self.durability(&request.write, slot);
            if self.poisoned && durability == Durability::Durable {
                request.answer(Err(WriteError::Backend(Arc::new(BackendError::OutcomeUnknown))));
                continue;
            }
            taken.insert(key);
            self.last.0 += 1;
            let held = slot
                .filter(|slot| slot.durability == Durability::Durable || self.tenancy == Tenancy::Shared)
                .map(|slot| slot.entry.modified);
            let created = slot.map_or(self.last, |slot| slot.entry.created);
            planned.push(Planned { request, revision: self.last, durability, held, created });
        }
        self.backlog = later;
        planned
    }

    fn durability(&self, write: &Write, slot: Option<&Slot>) -> Durability {
        if self.tenancy == Tenancy::Shared {
            return Durability::Durable;
        }
        match (&write.change, slot.map(|slot| slot.durability)) {
            (_, Some(Durability::Durable)) => Durability::Durable,
            (Change::Delete, Some(Durability::Volatile)) => Durability::Volatile,
            _ => write.durability,
        }
    }

    /// Commits what must be durable. Returns what may be shown.
    fn keep(&mut self, mut planned: Vec<Planned>) -> (Vec<Planned>, Vec<ForeignChange>) {
        let ops: Vec<Op> =
            planned.iter().filter(|plan| plan.durability == Durability::Durable).map(Planned::op).collect();
        let exclusive = self.tenancy == Tenancy::Exclusive;
        let reserve = (exclusive && self.last > self.reserved).then(|| Revision(self.last.0 + RESERVE_STEP));
        if ops.is_empty() && reserve.is_none() {
            return (planned, Vec::new());
        }
        let batch = Batch { ops, reserve };
        let outcome = if self.poisoned {
            Err(CommitError { certainty: Certainty::NothingKept, cause: BackendError::OutcomeUnknown })
        } else {
            self.backend.commit(&batch)
        };
        match outcome {
            Ok(committed) => {
                self.reserved = reserve.unwrap_or(self.reserved);
                self.settle(planned, committed)
            }
            Err(error) => {
                self.fail(&mut planned, error);
                (planned, Vec::new())
            }
        }
    }

    /// Puts the revisions of a commit onto the planned writes; what lost against another store is decided
    /// again.
    fn settle(&mut self, planned: Vec<Planned>, committed: Committed) -> (Vec<Planned>, Vec<ForeignChange>) {
        let mut results = committed.results.into_iter();
        let mut kept = Vec::with_capacity(planned.len());
        for mut plan in planned {
            if plan.durability == Durability::Volatile {
                kept.push(plan);
                continue;
            }
            match results.next() {
                Some(OpResult::Done(revision)) => {
                    plan.revision = revision;
                    self.last = self.last.max(revision);
                    kept.push(plan);
                }
                Some(OpResult::Conflict) if plan.request.attempts < MAX_ATTEMPTS => {
                    plan.request.attempts += 1;
                    self.backlog.push_front(plan.request);
                }
                Some(OpResult::Conflict) | None => {
                    plan.request.answer(Err(WriteError::Conflict { current: None }));
                }
            }
        }
        (kept, committed.foreign)
    }

    /// Answers the writes that a failed commit takes with it, and leaves those that never needed the disk.
    fn fail(&mut self, planned: &mut Vec<Planned>, error: CommitError) {
        tracing::error!(error = &error as &dyn std::error::Error, "a commit of the state store failed");
        if error.certainty == Certainty::Unknown {
            match self.tenancy {
                Tenancy::Exclusive => self.poisoned = true,
                // A shared back end can tell what it kept.
                Tenancy::Shared => self.pending.store(true, Ordering::Release),
            }
        }
        let cause = Arc::new(error.cause);
        let reserved = self.reserved;
        let (fine, lost): (Vec<_>, Vec<_>) = std::mem::take(planned)
            .into_iter()
            .partition(|plan| plan.durability == Durability::Volatile && plan.revision <= reserved);
        *planned = fine;
        for plan in lost {
            plan.request.answer(Err(WriteError::Backend(Arc::clone(&cause))));
        }
    }

    /// Applies changes to memory, in revision order.
    fn show(&self, kept: Vec<Planned>, foreign: Vec<ForeignChange>) -> (Vec<Event>, Vec<(Request, Entry)>) {
        let mut changes: Vec<(Mutation, Option<Request>)> =
            foreign.into_iter().map(|change| (self.foreign_mutation(change), None)).collect();
        changes.extend(kept.into_iter().map(|plan| (plan.mutation(&self.shared), Some(plan.request))));
        changes.sort_by_key(|(mutation, _)| mutation.revision);
        let mut events = Vec::with_capacity(changes.len());
        let mut replies = Vec::with_capacity(changes.len());
        let mut state = self.shared.state.write();
        for (mutation, request) in changes {
            let Some(event) = state.apply(mutation) else { continue };
            if let Some(request) = request {
                replies.push((request, event.entry.clone()));
            }
            events.push(event);
        }
        drop(state);
        (events, replies)
    }

    fn foreign_mutation(&self, change: ForeignChange) -> Mutation {
        let ForeignChange { key, value, revision } = change;
        let change = match value {
            Some(written) => {
                let served = (self.shared.config.stamp)(&written, revision);
                MutationChange::Put { written, served, durability: Durability::Durable }
            }
            None => MutationChange::Delete,
        };
        Mutation { key, revision, change }
    }

    /// Shared only: shows what other stores changed.
    fn catch_up(&mut self) {
        let after = self.shared.state.read().revision();
        match self.backend.changes(after) {
            Ok(foreign) => {
                let (events, _) = self.show(Vec::new(), foreign);
                let revision = self.shared.state.read().revision();
                self.last = self.last.max(revision);
                self.shared.watchers.publish(&events, revision);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot read foreign changes");
                self.poisoned = true;
            }
        }
    }
}

/// Whether the key is in the state that the write expects.
fn fits(write: &Write, slot: Option<&Slot>) -> bool {
    match (&write.change, write.expect, slot) {
        (Change::Put(_), Expect::Absent, None)
        | (Change::Put(_), Expect::Any, _)
        | (Change::Delete, Expect::Any, Some(_)) => true,
        (_, Expect::At(revision), Some(slot)) => slot.entry.modified == revision,
        _ => false,
    }
}
