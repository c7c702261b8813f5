//! Durable writes per second: our store through its crate, and etcd beside it with the same keys and values.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use konzert_store::{Change, Durability, Expect, Store, StoreConfig, Write};

use crate::etcd::Etcd;
use crate::numbers::{Samples, float};
use crate::report::{Peer, Row};

const WRITERS: [usize; 3] = [1, 16, 64];
/// Keys per writer; then they are written again.
const KEYS: u64 = 1000;
/// About the size of a small pod.
const VALUE_BYTES: usize = 1024;
const IDS: [&str; 3] = ["store_writes_1", "store_writes_16", "store_writes_64"];

/// One round of writers.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Milliseconds of each write, in no order.
    pub(crate) taken_ms: Vec<f64>,
    pub(crate) lasted: Duration,
}

impl Round {
    fn per_second(&self) -> f64 {
        float(self.taken_ms.len() as u64) / self.lasted.as_secs_f64()
    }

    fn p99_ms(&self) -> f64 {
        Samples::new(self.taken_ms.clone()).percentile(99)
    }
}

/// Measures our store, and the etcd that the environment names.
pub(crate) fn measure(seconds: u64) -> anyhow::Result<Vec<Row>> {
    let lasting = Duration::from_secs(seconds);
    let mut etcd =
        std::env::var_os("KONZERT_BENCH_ETCD").map(|program| Etcd::start(program.as_ref())).transpose()?;
    let mut rows = Vec::new();
    for (writers, id) in WRITERS.into_iter().zip(IDS) {
        let own = own(writers, lasting)?;
        let what = format!("durable writes, writers: {writers}");
        let mut row = Row::one(id, what, own.per_second(), "per s");
        let mut note = format!("p99 {:.1} ms", own.p99_ms());
        if let Some(etcd) = &mut etcd {
            let theirs = etcd.round(writers, lasting)?;
            row = row.peer(Peer::measured(&etcd.name, theirs.per_second()));
            note = format!("{note}; peer p99 {:.1} ms, through its JSON gateway", theirs.p99_ms());
        } else {
            // Measured through gRPC.
            let published = match writers {
                1 => "1 600",
                16 => "8 300",
                _ => "13 000",
            };
            row = row.peer(Peer::published("etcd 3.4", published));
        }
        rows.push(row.note(note));
    }
    Ok(rows)
}

fn own(writers: usize, lasting: Duration) -> anyhow::Result<Round> {
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open_sqlite(dir.path(), StoreConfig::default()).await?;
        let started = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| tokio::spawn(write(store.clone(), writer, started + lasting)))
            .collect();
        let mut round = Round::default();
        for task in tasks {
            round.taken_ms.extend(task.await??);
        }
        round.lasted = started.elapsed();
        store.close().await.context("closing the store")?;
        Ok(round)
    })
}

async fn write(store: Store, writer: usize, until: Instant) -> anyhow::Result<Vec<f64>> {
    let value = Bytes::from(value());
    let mut taken = Vec::new();
    while Instant::now() < until {
        let key = key(writer, taken.len() as u64);
        let change = Change::Put(value.clone());
        let started = Instant::now();
        store
            .write(Write { key: key.into(), expect: Expect::Any, change, durability: Durability::Durable })
            .await?;
        taken.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(taken)
}

/// The key of a write.
pub(crate) fn key(writer: usize, count: u64) -> String {
    format!("/registry/pods/bench-{writer}/pod-{:04}", count % KEYS)
}

/// The value of every write.
pub(crate) fn value() -> Vec<u8> {
    let mut text = br#"{"metadata":{"name":"bench","annotations":{"filler":""#.to_vec();
    text.resize(VALUE_BYTES - 4, b'x');
    text.extend(br#""}}}"#);
    text
}
