//! What happens when the disk does not do as told: failing commits, a full file system, damaged and foreign
//! files.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise and says what it skips"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use konzert_store::{
    Backend, BackendError, Batch, Certainty, Change, CommitError, Committed, DATABASE_FILE, Durability,
    Entry, Expect, ForeignChange, Nudge, Opened, Page, Record, Revision, SqliteBackend, Store, StoreConfig,
    StoreError, Write, WriteError,
};
use proptest::prelude::*;

/// How the n-th commit fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Nothing is kept, and the back end knows.
    Refused,
    /// Nothing is kept, but the back end cannot tell.
    LostAndUnknown,
    /// All is kept, but the back end cannot tell.
    KeptAndUnknown,
}

struct Faulty {
    inner: SqliteBackend,
    commits: usize,
    at: usize,
    fault: Fault,
}

impl Backend for Faulty {
    fn open(&mut self, nudge: Nudge) -> Result<Opened, BackendError> {
        self.inner.open(nudge)
    }

    fn range(
        &mut self,
        after: Option<&str>,
        limit: usize,
        at: Revision,
    ) -> Result<Vec<Record>, BackendError> {
        self.inner.range(after, limit, at)
    }

    fn commit(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        self.commits += 1;
        if self.commits != self.at {
            return self.inner.commit(batch);
        }
        let certainty = match self.fault {
            Fault::Refused => Certainty::NothingKept,
            Fault::LostAndUnknown => Certainty::Unknown,
            Fault::KeptAndUnknown => {
                self.inner.commit(batch)?;
                Certainty::Unknown
            }
        };
        Err(CommitError { certainty, cause: BackendError::Unavailable { detail: "injected".into() } })
    }

    fn changes(&mut self, after: Revision) -> Result<Vec<ForeignChange>, BackendError> {
        self.inner.changes(after)
    }

    fn close(&mut self, revision: Revision) -> Result<(), BackendError> {
        self.inner.close(revision)
    }
}

#[derive(Clone, Debug)]
struct Step {
    key: u8,
    delete: bool,
    volatile: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (0..4u8, prop::bool::weighted(0.3), prop::bool::weighted(0.2)).prop_map(|(key, delete, volatile)| Step {
        key,
        delete,
        volatile,
    })
}

fn put(key: &str, value: impl Into<Bytes>) -> Write {
    Write {
        key: key.into(),
        expect: Expect::Any,
        change: Change::Put(value.into()),
        durability: Durability::Durable,
    }
}

fn entries(store: &Store) -> BTreeMap<Arc<str>, Entry> {
    let list = store.list("", Page::default()).unwrap().entries;
    list.into_iter().map(|entry| (entry.key.clone(), entry)).collect()
}

/// Two promises: what was acknowledged is there after the restart; what was not is there completely or not at
/// all.
async fn run(steps: Vec<Step>, at: usize, fault: Fault) {
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty { inner: SqliteBackend::new(dir.path()), commits: 0, at, fault };
    let store = Store::open(faulty, StoreConfig::default()).await.unwrap();
    let mut acknowledged: BTreeMap<Arc<str>, Entry> = BTreeMap::new();
    let mut uncertain: Option<(Arc<str>, Option<Bytes>)> = None;
    let mut last = Revision(0);
    for (index, step) in steps.into_iter().enumerate() {
        let key: Arc<str> = format!("/{}/{}", if step.volatile { "v" } else { "d" }, step.key).into();
        let value = Bytes::from(format!("{index}").repeat(50));
        let change = if step.delete { Change::Delete } else { Change::Put(value.clone()) };
        let durability = if step.volatile { Durability::Volatile } else { Durability::Durable };
        let before = entries(&store);
        let write = Write { key: key.clone(), expect: Expect::Any, change: change.clone(), durability };
        match store.write(write).await {
            Ok(entry) => {
                assert!(entry.modified > last);
                last = entry.modified;
                match change {
                    Change::Put(_) => acknowledged.insert(key, entry),
                    Change::Delete => acknowledged.remove(&key),
                };
            }
            Err(WriteError::Conflict { .. }) => assert!(step.delete && !before.contains_key(&key)),
            Err(WriteError::Backend(cause)) => {
                assert_eq!(entries(&store), before, "a failed write changes nothing in memory");
                match *cause {
                    BackendError::OutcomeUnknown => assert!(!matches!(fault, Fault::Refused)),
                    _ => uncertain = Some((key, (!step.delete).then_some(value))),
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(entries(&store), acknowledged);
    store.close().await.unwrap();

    let store = Store::open_sqlite(dir.path(), StoreConfig::default()).await.unwrap();
    assert!(store.revision() >= last, "revisions do not go back");
    acknowledged.retain(|key, _| key.starts_with("/d/"));
    let mut found = entries(&store);
    if let (Some((key, value)), Fault::KeptAndUnknown) = (uncertain, fault)
        && key.starts_with("/d/")
    {
        let kept = found.remove(&key).map(|entry| entry.value);
        assert_eq!(kept, value, "the unacknowledged write is there completely");
        acknowledged.remove(&key);
    }
    assert_eq!(found, acknowledged, "no acknowledged write is lost, nothing else appears");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_acknowledged_write_is_lost(
        steps in prop::collection::vec(step(), 1..40),
        at in 1..20usize,
        fault in prop::sample::select(vec![Fault::Refused, Fault::LostAndUnknown, Fault::KeptAndUnknown]),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps, at, fault));
    }
}

#[tokio::test]
async fn an_unknown_outcome_refuses_durable_writes_and_keeps_serving() {
    let dir = tempfile::tempdir().unwrap();
    let faulty =
        Faulty { inner: SqliteBackend::new(dir.path()), commits: 0, at: 2, fault: Fault::LostAndUnknown };
    let store = Store::open(faulty, StoreConfig::default()).await.unwrap();
    let first = store.write(put("/a", "1")).await.unwrap();
    store.write(put("/a", "2")).await.unwrap_err();
    let refused = store.write(put("/b", "1")).await;
    let Err(WriteError::Backend(cause)) = refused else { panic!("{refused:?}") };
    assert!(matches!(*cause, BackendError::OutcomeUnknown));
    assert_eq!(store.get("/a"), Some(first), "reads go on");
    let volatile = Write { durability: Durability::Volatile, ..put("/lease", "x") };
    store.write(volatile).await.expect("what never needs the disk goes on");
}

#[test]
fn a_full_disk_fails_the_write_and_heals() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED a_full_disk_fails_the_write_and_heals: needs root to mount a small tmpfs");
        return;
    }
    // The mount lives in a mount namespace of this thread, and goes with it.
    let body = || {
        use nix::mount::{MsFlags, mount};
        let dir = tempfile::tempdir().unwrap();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some("size=1m")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fill_the_disk(dir.path()));
        nix::mount::umount(dir.path()).unwrap();
    };
    std::thread::spawn(body).join().unwrap();
}

async fn fill_the_disk(dir: &Path) {
    let store = Store::open_sqlite(dir, StoreConfig::default()).await.unwrap();
    let mut kept = BTreeMap::new();
    let cause = loop {
        let key = format!("/{}", kept.len());
        let before = store.revision();
        match store.write(put(&key, vec![b'x'; 50_000])).await {
            Ok(entry) => drop(kept.insert(entry.key.clone(), entry)),
            Err(WriteError::Backend(cause)) => {
                assert_eq!(store.revision(), before);
                break cause;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(kept.len() < 100, "the disk is too large for this test");
    };
    assert!(matches!(&*cause, BackendError::Full { path } if *path == dir.join(DATABASE_FILE)), "{cause:?}");
    assert_eq!(entries(&store), kept);
    assert!(kept.len() > 3, "there was room for some: {}", kept.len());
    // The failed write left nothing, so what is there can still be changed once there is room.
    let room =
        std::process::Command::new("mount").args(["-o", "remount,size=16m"]).arg(dir).status().unwrap();
    assert!(room.success());
    let healed = store.write(put("/healed", "x")).await.expect("there is room again");
    kept.insert(healed.key.clone(), healed);
    store.close().await.unwrap();
    let store = Store::open_sqlite(dir, StoreConfig::default()).await.unwrap();
    assert_eq!(entries(&store), kept);
    store.close().await.unwrap();
}

async fn open_error(dir: &Path) -> BackendError {
    match Store::open_sqlite(dir, StoreConfig::default()).await {
        Err(StoreError::Backend(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn made_store(dir: &Path) -> PathBuf {
    let store = Store::open_sqlite(dir, StoreConfig::default()).await.unwrap();
    for index in 0..200 {
        store.write(put(&format!("/{index}"), vec![b'x'; 1000])).await.unwrap();
    }
    store.close().await.unwrap();
    dir.join(DATABASE_FILE)
}

/// Changes a file in place: a damaged disk does not rename.
fn damage(path: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

#[tokio::test]
async fn files_that_are_not_ours_are_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = made_store(dir.path()).await;
    assert!(!dir.path().join("konzert.db-wal").exists(), "closing removes the log");
    let pristine = std::fs::read(&path).unwrap();

    damage(&path, 0, b"this is not a database at all, but some text");
    assert!(
        matches!(open_error(dir.path()).await, BackendError::NotADatabase { path: found } if found == path)
    );
    damage(&path, 0, &pristine);

    // user_version and application_id sit at fixed offsets of the SQLite header.
    damage(&path, 60, &99u32.to_be_bytes());
    let error = open_error(dir.path()).await;
    assert!(matches!(error, BackendError::NewerSchema { found: 99, supported: 1, .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    damage(&path, 0, &pristine);

    damage(&path, 68, &7u32.to_be_bytes());
    assert!(matches!(open_error(dir.path()).await, BackendError::Foreign { application_id: 7, .. }));
    damage(&path, 0, &pristine);

    for page in 2..40u64 {
        damage(&path, page * 4096, &[0xff; 64]);
    }
    let error = open_error(dir.path()).await;
    assert!(matches!(error, BackendError::Corrupt { .. }), "{error:?}");
    damage(&path, 0, &pristine);
    assert_eq!(Store::open_sqlite(dir.path(), StoreConfig::default()).await.unwrap().count(""), 200);
}

#[tokio::test]
async fn one_database_has_one_owner_and_private_files() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = Store::open_sqlite(&dir, StoreConfig::default()).await.unwrap();
    store.write(put("/a", "1")).await.unwrap();
    assert!(matches!(open_error(&dir).await, BackendError::InUse { .. }));
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let mut names = Vec::new();
    for file in std::fs::read_dir(&dir).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["konzert.db", "konzert.db-wal"], "no shared memory file is needed");
    store.close().await.unwrap();
    Store::open_sqlite(&dir, StoreConfig::default()).await.unwrap();
}

#[tokio::test]
async fn the_log_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_sqlite(dir.path(), StoreConfig::default()).await.unwrap();
    for index in 0..400 {
        store.write(put(&format!("/{}", index % 10), vec![b'x'; 100_000])).await.unwrap();
    }
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len();
    assert!(size("konzert.db-wal") < 16 << 20, "40 MB went through a log of {}", size("konzert.db-wal"));
    assert!(size("konzert.db") < 8 << 20, "1 MB is alive in a file of {}", size("konzert.db"));
}
