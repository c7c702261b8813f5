//! Random operations against a model that is obviously right: a map per revision. `SQLite` on a real file,
//! reopened in between.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use bytes::Bytes;
use konzert_store::{
    Change, Durability, Entry, EventKind, Expect, Page, Revision, Store, StoreConfig, Write, WriteError,
};
use proptest::prelude::*;

const HISTORY: usize = 12;

#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, expect: u8, volatile: bool, len: u16 },
    Delete { key: u8, expect: u8 },
    ListAt { back: usize, limit: usize, after: u8 },
    WatchFrom { back: usize },
    Compact { back: usize },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6u8, 0..4u8, any::<bool>(), 0..3000u16)
            .prop_map(|(key, expect, volatile, len)| Step::Put { key, expect, volatile, len }),
        4 => (0..6u8, 0..4u8).prop_map(|(key, expect)| Step::Delete { key, expect }),
        3 => (0..20usize, 1..5usize, 0..7u8).prop_map(|(back, limit, after)| Step::ListAt { back, limit, after }),
        3 => (0..20usize).prop_map(|back| Step::WatchFrom { back }),
        1 => (0..20usize).prop_map(|back| Step::Compact { back }),
        1 => Just(Step::Reopen),
    ]
}

type Picture = BTreeMap<String, (Entry, bool)>;

/// Every state there was, oldest first.
struct Model {
    pictures: Vec<(Revision, Picture)>,
}

impl Model {
    fn now(&self) -> &Picture {
        &self.pictures.last().unwrap().1
    }

    fn at(&self, revision: Revision) -> &Picture {
        &self.pictures.iter().rev().find(|(at, _)| *at <= revision).unwrap().1
    }

    fn back(&self, steps: usize) -> Revision {
        self.pictures[self.pictures.len().saturating_sub(steps + 1)].0
    }

    fn fits(&self, write: &Write) -> bool {
        let current = self.now().get(&*write.key);
        match (&write.change, write.expect) {
            (Change::Put(_), Expect::Any) => true,
            (Change::Put(_), Expect::Absent) => current.is_none(),
            (Change::Delete, Expect::Absent) => false,
            (Change::Delete, Expect::Any) => current.is_some(),
            (_, Expect::At(revision)) => current.is_some_and(|(entry, _)| entry.modified == revision),
        }
    }

    fn apply(&mut self, write: &Write, written: &Entry) {
        let mut picture = self.now().clone();
        let previous = picture.remove(&*write.key);
        let was_volatile = previous.as_ref().is_none_or(|(_, volatile)| *volatile);
        if let Change::Put(value) = &write.change {
            let created = previous.map_or(written.modified, |(entry, _)| entry.created);
            let value = stamp(value, written.modified);
            let entry = Entry { key: write.key.clone(), value, created, modified: written.modified };
            assert_eq!(&entry, written);
            picture.insert(
                write.key.to_string(),
                (entry, was_volatile && write.durability == Durability::Volatile),
            );
        }
        self.pictures.push((written.modified, picture));
    }
}

/// Like the real one: inserts behind the opening bytes.
fn stamp(value: &Bytes, revision: Revision) -> Bytes {
    let cut = value.len().min(2);
    [&value[..cut], revision.to_string().as_bytes(), &value[cut..]].concat().into()
}

fn config() -> StoreConfig {
    StoreConfig { stamp, history_events: HISTORY, ..StoreConfig::default() }
}

fn expect_of(choice: u8, model: &Model, key: &str) -> Expect {
    let current = model.now().get(key).map(|(entry, _)| entry.modified);
    match (choice, current) {
        (0, _) => Expect::Any,
        (1, _) => Expect::Absent,
        (2, Some(revision)) => Expect::At(revision),
        _ => Expect::At(Revision(1)),
    }
}

async fn write(store: &Store, model: &mut Model, write: Write) {
    let fits = model.fits(&write);
    match store.write(write.clone()).await {
        Ok(entry) => {
            assert!(fits, "{write:?} should conflict");
            assert!(entry.modified > model.pictures.last().unwrap().0, "revisions grow");
            model.apply(&write, &entry);
        }
        Err(WriteError::Conflict { current }) => {
            assert!(!fits, "{write:?} should fit");
            assert_eq!(current.as_ref(), model.now().get(&*write.key).map(|(entry, _)| entry));
        }
        Err(error) => panic!("{write:?}: {error}"),
    }
    assert_eq!(store.get(&write.key).as_ref(), model.now().get(&*write.key).map(|(entry, _)| entry));
}

fn list(store: &Store, model: &Model, at: Revision, limit: usize, after: u8) {
    let after = format!("/k/{after}");
    let page = Page { at: Some(at), after: Some(after.clone()), limit: Some(limit) };
    let Ok(list) = store.list("/k/", page) else {
        assert!(at < store.stats().oldest, "{at} must be available");
        return;
    };
    let expected: Vec<&Entry> =
        model.at(at).iter().filter(|(key, _)| **key > after).map(|(_, (entry, _))| entry).collect();
    assert_eq!(list.entries.iter().collect::<Vec<_>>(), expected[..expected.len().min(limit)]);
    assert_eq!(list.remaining, expected.len().saturating_sub(limit));
}

/// Replaying the events on the past picture gives the present one.
async fn watch(store: &Store, model: &Model, from: Revision) {
    let Ok(mut watcher) = store.watch("/k/", from) else {
        assert!(from < store.stats().oldest, "{from} must be available");
        return;
    };
    let mut entries: BTreeMap<String, Entry> =
        model.at(from).iter().map(|(key, (entry, _))| (key.clone(), entry.clone())).collect();
    for (revision, _) in model.pictures.iter().filter(|(revision, _)| *revision > from) {
        let event = watcher.next_event().await.unwrap();
        assert_eq!(event.revision, *revision);
        let key = event.entry.key.to_string();
        let previous = match event.kind {
            EventKind::Put => entries.insert(key, event.entry),
            EventKind::Delete => entries.remove(&key),
        };
        assert_eq!(previous, event.previous);
    }
    assert!(
        entries.iter().eq(model
            .now()
            .iter()
            .map(|(key, (entry, _))| (key, entry))
            .collect::<BTreeMap<_, _>>())
    );
}

async fn reopen(store: Store, model: &mut Model, dir: &std::path::Path) -> Store {
    store.close().await.unwrap();
    let store = Store::open_sqlite(dir, config()).await.unwrap();
    assert!(store.revision() >= model.pictures.last().unwrap().0);
    let mut picture = model.now().clone();
    picture.retain(|_, (_, volatile)| !*volatile);
    model.pictures = vec![(store.revision(), picture)];
    let listed = store.list("", Page::default()).unwrap().entries;
    assert!(listed.iter().eq(model.now().values().map(|(entry, _)| entry)));
    store
}

async fn run(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open_sqlite(dir.path(), config()).await.unwrap();
    let mut model = Model { pictures: vec![(store.revision(), Picture::new())] };
    for step in steps {
        match step {
            Step::Put { key, expect, volatile, len } => {
                let key = format!("/k/{key}");
                let expect = expect_of(expect, &model, &key);
                let change = Change::Put(vec![b'x'; len.into()].into());
                let durability = if volatile { Durability::Volatile } else { Durability::Durable };
                write(&store, &mut model, Write { key: key.into(), expect, change, durability }).await;
            }
            Step::Delete { key, expect } => {
                let key = format!("/k/{key}");
                let expect = expect_of(expect, &model, &key);
                let durability = Durability::Durable;
                write(
                    &store,
                    &mut model,
                    Write { key: key.into(), expect, change: Change::Delete, durability },
                )
                .await;
            }
            Step::ListAt { back, limit, after } => list(&store, &model, model.back(back), limit, after),
            Step::WatchFrom { back } => watch(&store, &model, model.back(back)).await,
            Step::Compact { back } => store.compact(model.back(back)),
            Step::Reopen => store = reopen(store, &mut model, dir.path()).await,
        }
    }
    reopen(store, &mut model, dir.path()).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps));
    }
}
