//! Every back end runs the one suite; then what is particular to a shared one.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use konzert_store::{
    Change, Durability, Expect, MemoryDisk, SqliteBackend, Store, StoreConfig, Tenancy, Write, WriteError,
    conformance,
};
use std::collections::BTreeMap;

#[tokio::test]
async fn sqlite_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance::suite(Tenancy::Exclusive, |name| SqliteBackend::new(&dir.path().join(name))).await;
}

#[tokio::test]
async fn memory_conforms() {
    for tenancy in [Tenancy::Exclusive, Tenancy::Shared] {
        let mut disks: BTreeMap<String, MemoryDisk> = BTreeMap::new();
        conformance::suite(tenancy, |name| disks.entry(name.to_owned()).or_default().backend(tenancy)).await;
    }
}

fn put(key: &str, value: &'static str, expect: Expect) -> Write {
    let change = Change::Put(Bytes::from_static(value.as_bytes()));
    Write { key: key.into(), expect, change, durability: Durability::Durable }
}

#[tokio::test]
async fn two_stores_over_one_shared_back_end_see_each_other() {
    let disk = MemoryDisk::default();
    let one = Store::open(disk.backend(Tenancy::Shared), StoreConfig::default()).await.unwrap();
    let two = Store::open(disk.backend(Tenancy::Shared), StoreConfig::default()).await.unwrap();
    let mut watcher = two.watch("/", two.revision()).unwrap();

    let first = one.write(put("/k", "1", Expect::Absent)).await.unwrap();
    assert_eq!(watcher.next_event().await.unwrap().entry, first, "a watch shows what the other store wrote");
    let second = two.write(put("/k", "2", Expect::At(first.modified))).await.unwrap();
    assert!(second.modified > first.modified);

    // The first store may not know of the second write yet; the back end does.
    let stale = one.write(put("/k", "3", Expect::At(first.modified))).await;
    let Err(WriteError::Conflict { current }) = stale else { panic!("a stale write was taken: {stale:?}") };
    assert_eq!(current, Some(second.clone()), "the conflict shows what is there");
    let third = one.write(put("/k", "3", Expect::Any)).await.unwrap();
    assert_eq!(third.created, first.created);
    assert_eq!(watcher.next_event().await.unwrap().entry, second);
    assert_eq!(watcher.next_event().await.unwrap().entry, third);
    assert_eq!(two.get("/k"), Some(third));
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_dropped_and_told() {
    let config = StoreConfig { watch_buffer: 4, ..StoreConfig::default() };
    let store = Store::in_memory(config).await.unwrap();
    let mut slow = store.watch("/", store.revision()).unwrap();
    let mut fast = store.watch("/", store.revision()).unwrap();
    for _ in 0..10 {
        let entry = store.write(put("/k", "v", Expect::Any)).await.unwrap();
        assert_eq!(fast.next_event().await.unwrap().entry, entry);
    }
    let mut seen = 0;
    while slow.next_event().await.is_some() {
        seen += 1;
    }
    assert_eq!((seen, slow.lagged()), (4, true));
    assert!(!fast.lagged());
    assert_eq!(store.stats().watchers, 1, "the slow one holds nothing any more");
}

#[tokio::test]
async fn volatile_writes_leave_the_disk_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_sqlite(dir.path(), StoreConfig::default()).await.unwrap();
    let wal = dir.path().join("konzert.db-wal");
    let write = |count: usize| {
        let store = store.clone();
        async move {
            for _ in 0..count {
                let mut write = put("/lease", "x", Expect::Any);
                write.durability = Durability::Volatile;
                store.write(write).await.unwrap();
            }
        }
    };
    write(1).await;
    let after_first = std::fs::metadata(&wal).unwrap().len();
    write(5000).await;
    assert_eq!(
        std::fs::metadata(&wal).unwrap().len(),
        after_first,
        "one reservation serves thousands of writes"
    );
    write(20_000).await;
    assert!(std::fs::metadata(&wal).unwrap().len() > after_first, "and is renewed before it runs out");
}
