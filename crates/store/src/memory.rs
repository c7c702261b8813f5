//! A back end in memory: for tests, for simulations, and as the model of a shared back end.
//!
//! It keeps the log of all changes and replays it, which is slow and obviously right. A [`MemoryDisk`]
//! outlives the stores that are opened over it; with [`Tenancy::Shared`] several stores may be open over one
//! disk at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::backend::{
    Backend, Batch, Committed, ForeignChange, Nudge, Op, OpChange, OpResult, Opened, Record, Tenancy,
};
use crate::{BackendError, CommitError, Revision};

#[derive(Debug)]
struct Logged {
    key: Arc<str>,
    value: Option<Bytes>,
    created: Revision,
    revision: Revision,
    writer: usize,
}

#[derive(Debug, Default)]
struct Log {
    changes: Vec<Logged>,
    reserved: Revision,
    nudges: Vec<Nudge>,
}

impl Log {
    fn at(&self, revision: Revision) -> BTreeMap<Arc<str>, Record> {
        let mut records: BTreeMap<Arc<str>, Record> = BTreeMap::new();
        for change in self.changes.iter().filter(|change| change.revision <= revision) {
            let Some(value) = &change.value else {
                records.remove(&change.key);
                continue;
            };
            let created = records.get(&change.key).map_or(change.created, |record| record.created);
            let key = Arc::clone(&change.key);
            let record = Record { key, value: value.clone(), created, modified: change.revision };
            records.insert(Arc::clone(&change.key), record);
        }
        records
    }

    fn held(&self, key: &str) -> Option<Revision> {
        let last = self.changes.iter().rev().find(|change| &*change.key == key)?;
        last.value.as_ref().map(|_| last.revision)
    }
}

/// What survives while stores over it come and go.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    log: Arc<Mutex<Log>>,
}

impl MemoryDisk {
    /// A back end over this disk.
    pub fn backend(&self, tenancy: Tenancy) -> MemoryBackend {
        MemoryBackend { disk: self.clone(), tenancy, writer: 0, seen: Revision(0) }
    }
}

/// A back end over a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryBackend {
    disk: MemoryDisk,
    tenancy: Tenancy,
    writer: usize,
    seen: Revision,
}

impl Default for MemoryBackend {
    fn default() -> Self {
        MemoryDisk::default().backend(Tenancy::Exclusive)
    }
}

impl MemoryBackend {
    fn foreign(&self, log: &Log) -> Vec<ForeignChange> {
        let news =
            log.changes.iter().filter(|change| change.revision > self.seen && change.writer != self.writer);
        news.map(|change| ForeignChange {
            key: Arc::clone(&change.key),
            value: change.value.clone(),
            revision: change.revision,
        })
        .collect()
    }

    fn swap(&self, log: &mut Log, op: &Op) -> OpResult {
        if log.held(&op.key) != op.held {
            return OpResult::Conflict;
        }
        let next = Revision(log.changes.last().map_or(0, |change| change.revision.0) + 1);
        let (created, revision) = match self.tenancy {
            Tenancy::Exclusive => (op.created, op.revision),
            Tenancy::Shared => (next, next),
        };
        let value = match &op.change {
            OpChange::Put(value) => Some(value.clone()),
            OpChange::Delete => None,
        };
        log.changes.push(Logged { key: Arc::clone(&op.key), value, created, revision, writer: self.writer });
        OpResult::Done(revision)
    }
}

impl Backend for MemoryBackend {
    fn open(&mut self, nudge: Nudge) -> Result<Opened, BackendError> {
        let mut log = self.disk.log.lock();
        log.nudges.push(nudge);
        self.writer = log.nudges.len();
        let newest = log.changes.last().map_or(Revision(0), |change| change.revision);
        self.seen = newest;
        Ok(Opened { revision: newest.max(log.reserved), tenancy: self.tenancy })
    }

    fn range(
        &mut self,
        after: Option<&str>,
        limit: usize,
        at: Revision,
    ) -> Result<Vec<Record>, BackendError> {
        let records = self.disk.log.lock().at(at);
        Ok(records
            .into_values()
            .filter(|record| after.is_none_or(|after| &*record.key > after))
            .take(limit)
            .collect())
    }

    fn commit(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        let disk = self.disk.clone();
        let mut log = disk.log.lock();
        let results: Vec<OpResult> = batch.ops.iter().map(|op| self.swap(&mut log, op)).collect();
        if let Some(reserve) = batch.reserve {
            log.reserved = log.reserved.max(reserve);
        }
        if self.tenancy == Tenancy::Exclusive {
            return Ok(Committed { results, foreign: Vec::new() });
        }
        let foreign = self.foreign(&log);
        self.seen = log.changes.last().map_or(self.seen, |change| change.revision);
        let others = log.nudges.iter().enumerate().filter(|(index, _)| index + 1 != self.writer);
        others.for_each(|(_, nudge)| nudge.changed());
        Ok(Committed { results, foreign })
    }

    fn changes(&mut self, _after: Revision) -> Result<Vec<ForeignChange>, BackendError> {
        let disk = self.disk.clone();
        let log = disk.log.lock();
        let foreign = self.foreign(&log);
        self.seen = log.changes.last().map_or(self.seen, |change| change.revision);
        Ok(foreign)
    }

    fn close(&mut self, revision: Revision) -> Result<(), BackendError> {
        if self.tenancy == Tenancy::Exclusive {
            self.disk.log.lock().reserved = revision;
        }
        Ok(())
    }
}
