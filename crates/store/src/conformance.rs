//! What every back end must let a store promise. One suite; each implementation runs it in its tests.
//!
//! The suite speaks to the [`Store`], because that is what the promises are made to. Crashes are not part of
//! it: they need the real medium of the back end.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;

use crate::{
    Backend, Change, Durability, Entry, EventKind, Expect, Page, Revision, Store, StoreConfig, Tenancy,
    Write, WriteError,
};

/// Runs the whole suite. `open` gives a back end over the space of that name: empty the first time, what was
/// kept after that. Panics on the first broken promise.
pub async fn suite<B: Backend>(tenancy: Tenancy, mut open: impl FnMut(&str) -> B) {
    compare_and_swap(start(open("swap")).await).await;
    entries_carry_their_history(start(open("entry")).await).await;
    lists_are_ranges(start(open("range")).await).await;
    lists_show_the_past(start(open("past")).await).await;
    watches_start_anywhere(start(open("watch")).await).await;
    history_is_bounded(start(open("bounded")).await).await;
    concurrent_writers_lose_nothing(start(open("crowd")).await).await;
    limits_hold(start(open("limits")).await).await;
    a_closed_store_refuses(start(open("closed")).await).await;
    restarts_keep_what_was_promised(tenancy, &mut open).await;
}

/// Appends the revision, so that a wrong or missing stamp shows.
fn stamp(value: &Bytes, revision: Revision) -> Bytes {
    [value, &b"@"[..], revision.to_string().as_bytes()].concat().into()
}

fn config() -> StoreConfig {
    StoreConfig {
        stamp,
        history_events: 64,
        max_value_bytes: 4096,
        max_key_bytes: 64,
        ..StoreConfig::default()
    }
}

async fn start(backend: impl Backend) -> Store {
    Store::open(backend, config()).await.expect("the back end opens")
}

fn put(key: &str, value: &str, expect: Expect) -> Write {
    let change = Change::Put(Bytes::copy_from_slice(value.as_bytes()));
    Write { key: key.into(), expect, change, durability: Durability::Durable }
}

fn delete(key: &str, expect: Expect) -> Write {
    Write { key: key.into(), expect, change: Change::Delete, durability: Durability::Durable }
}

async fn done(store: &Store, write: Write) -> Entry {
    let key = Arc::clone(&write.key);
    match store.write(write).await {
        Ok(entry) => entry,
        Err(error) => panic!("the write of {key} is refused: {error}"),
    }
}

/// Expects a conflict, and returns what is there instead.
async fn refused(store: &Store, write: Write) -> Option<Entry> {
    let key = Arc::clone(&write.key);
    match store.write(write).await {
        Err(WriteError::Conflict { current }) => current,
        other => panic!("the write of {key} is no conflict: {other:?}"),
    }
}

fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.key).collect()
}

async fn compare_and_swap(store: Store) {
    assert_eq!(
        refused(&store, put("/k", "x", Expect::At(Revision(1)))).await,
        None,
        "nothing is there to match"
    );
    assert_eq!(refused(&store, delete("/k", Expect::Any)).await, None, "nothing to delete");
    assert_eq!(refused(&store, delete("/k", Expect::Absent)).await, None, "nothing to delete");
    let first = done(&store, put("/k", "1", Expect::Absent)).await;
    assert_eq!(refused(&store, put("/k", "x", Expect::Absent)).await.as_ref(), Some(&first), "it exists");
    assert_eq!(refused(&store, delete("/k", Expect::Absent)).await.as_ref(), Some(&first), "it exists");
    let second = done(&store, put("/k", "2", Expect::At(first.modified))).await;
    let stale = refused(&store, put("/k", "x", Expect::At(first.modified))).await;
    assert_eq!(stale.as_ref(), Some(&second), "the old revision does not match any more");
    assert_eq!(refused(&store, delete("/k", Expect::At(first.modified))).await.as_ref(), Some(&second));
    assert_eq!(store.get("/k").as_ref(), Some(&second), "refused writes change nothing");
    let third = done(&store, put("/k", "3", Expect::Any)).await;
    done(&store, delete("/k", Expect::At(third.modified))).await;
    assert_eq!(store.get("/k"), None);
    done(&store, put("/k", "4", Expect::Absent)).await;
    store.close().await.expect("closes");
}

async fn entries_carry_their_history(store: Store) {
    let before = store.revision();
    let created = done(&store, put("/k", "1", Expect::Any)).await;
    assert!(created.modified > before, "a write has a new revision");
    assert_eq!(created.created, created.modified);
    assert_eq!(created.value, format!("1@{}", created.modified), "the value carries the stamp");
    let updated = done(&store, put("/k", "2", Expect::Any)).await;
    assert!(updated.modified > created.modified, "revisions grow");
    assert_eq!(updated.created, created.created, "an update keeps the creation revision");
    assert_eq!(store.get("/k").as_ref(), Some(&updated));
    let deleted = done(&store, delete("/k", Expect::Any)).await;
    assert!(deleted.modified > updated.modified, "a deletion has its own revision");
    assert_eq!(deleted.value, format!("2@{}", deleted.modified), "the last value, stamped with the deletion");
    assert_eq!(deleted.created, created.created);
    let again = done(&store, put("/k", "3", Expect::Any)).await;
    assert_eq!(again.created, again.modified, "a new life has a new creation revision");
    assert_eq!(store.revision(), again.modified, "the newest write is the revision of the store");
    store.close().await.expect("closes");
}

async fn lists_are_ranges(store: Store) {
    for key in ["/b/2", "/a/1", "/b", "/b/1", "/b/3", "/b0", "/c/1", "/b/"] {
        done(&store, put(key, "v", Expect::Absent)).await;
    }
    let all = store.list("/b/", Page::default()).expect("now is available");
    assert_eq!(
        keys(&all.entries),
        ["/b/", "/b/1", "/b/2", "/b/3"],
        "the prefix, in key order, and no neighbour"
    );
    assert_eq!((all.more, all.remaining, all.revision), (false, 0, store.revision()));
    assert_eq!(store.count("/b/"), 4);
    assert_eq!(store.count(""), 8);
    let mut page = Page { limit: Some(2), ..Page::default() };
    let first = store.list("/b/", page.clone()).expect("available");
    assert_eq!(keys(&first.entries), ["/b/", "/b/1"]);
    assert_eq!((first.more, first.remaining), (true, 2));
    // A page after a write still shows the list as it was.
    done(&store, put("/b/11", "late", Expect::Absent)).await;
    done(&store, delete("/b/3", Expect::Any)).await;
    page.at = Some(first.revision);
    page.after = Some("/b/1".into());
    let second = store.list("/b/", page).expect("available");
    assert_eq!(keys(&second.entries), ["/b/2", "/b/3"]);
    assert_eq!((second.more, second.remaining, second.revision), (false, 0, first.revision));
    store.close().await.expect("closes");
}

async fn lists_show_the_past(store: Store) {
    let mut pictures = vec![(store.revision(), Vec::new())];
    for step in 0..20 {
        let key = format!("/k/{}", step % 3);
        match store.get(&key) {
            Some(_) if step % 4 == 3 => done(&store, delete(&key, Expect::Any)).await,
            _ => done(&store, put(&key, &step.to_string(), Expect::Any)).await,
        };
        let now = store.list("/k/", Page::default()).expect("now is available");
        pictures.push((now.revision, now.entries));
    }
    for (at, entries) in pictures {
        let past = store.list("/k/", Page { at: Some(at), ..Page::default() }).expect("in the history");
        assert_eq!(past.entries, entries, "as of {at}");
    }
    let future = Revision(store.revision().0 + 1);
    let error =
        store.list("/k/", Page { at: Some(future), ..Page::default() }).expect_err("has not happened");
    assert!(error.is_future());
    store.close().await.expect("closes");
}

async fn watches_start_anywhere(store: Store) {
    let start = store.revision();
    let first = done(&store, put("/w/1", "a", Expect::Any)).await;
    done(&store, put("/other", "a", Expect::Any)).await;
    let mut from_start = store.watch("/w/", start).expect("in the history");
    let mut from_first = store.watch("/w/", first.modified).expect("in the history");
    let mut from_now = store.watch("/w/", store.revision()).expect("now");
    let second = done(&store, put("/w/1", "b", Expect::Any)).await;
    let deleted = done(&store, delete("/w/1", Expect::Any)).await;

    let event = from_start.next_event().await.expect("an event");
    assert_eq!((event.kind, &event.entry, &event.previous), (EventKind::Put, &first, &None));
    for watcher in [&mut from_start, &mut from_first, &mut from_now] {
        let event = watcher.next_event().await.expect("an event");
        assert_eq!(
            (event.kind, &event.entry, event.previous.as_ref()),
            (EventKind::Put, &second, Some(&first))
        );
        let event = watcher.next_event().await.expect("an event");
        assert_eq!(
            (event.kind, event.revision, &event.entry, event.previous.as_ref()),
            (EventKind::Delete, deleted.modified, &deleted, Some(&second))
        );
        assert_eq!(watcher.progress(), store.revision(), "everything was yielded");
    }
    done(&store, put("/other", "b", Expect::Any)).await;
    assert_eq!(from_now.progress(), store.revision(), "a quiet watcher makes progress");
    assert!(store.watch("/w/", Revision(store.revision().0 + 1)).expect_err("not yet").is_future());
    store.close().await.expect("closes");
    assert_eq!(from_now.next_event().await, None, "closing ends the stream");
    assert!(!from_now.lagged());
}

async fn history_is_bounded(store: Store) {
    let mut revisions = Vec::new();
    for step in 0..100 {
        revisions.push(done(&store, put("/k", &step.to_string(), Expect::Any)).await.modified);
    }
    let oldest = store.stats().oldest;
    assert_eq!(store.stats().history_events, 64);
    assert_eq!(oldest, revisions[35], "the events behind the oldest revision are there");
    let error = store.watch("/k", revisions[34]).expect_err("dropped");
    assert_eq!((error.oldest, error.is_future()), (oldest, false));
    store.list("/k", Page { at: Some(revisions[34]), ..Page::default() }).expect_err("dropped");
    let mut watcher = store.watch("/k", oldest).expect("the oldest is available");
    for revision in &revisions[36..] {
        assert_eq!(watcher.next_event().await.expect("an event").revision, *revision);
    }
    store.compact(revisions[90]);
    store.watch("/k", revisions[89]).expect_err("compacted");
    store.watch("/k", revisions[90]).expect("available");
    store.close().await.expect("closes");
}

async fn concurrent_writers_lose_nothing(store: Store) {
    const WRITERS: usize = 20;
    const ROUNDS: usize = 10;
    let start = store.revision();
    let watcher = store.watch("/", start).expect("now");
    let increment = async |writer: usize| {
        for round in 0..ROUNDS {
            done(&store, put(&format!("/own/{writer}"), &round.to_string(), Expect::Any)).await;
            loop {
                let (expect, count) = match store.get("/shared") {
                    None => (Expect::Absent, 0),
                    Some(entry) => (Expect::At(entry.modified), number(&entry)),
                };
                match store.write(put("/shared", &(count + 1).to_string(), expect)).await {
                    Ok(_) => break,
                    Err(WriteError::Conflict { .. }) => {}
                    Err(error) => panic!("a concurrent write failed: {error}"),
                }
            }
        }
    };
    join_all((0..WRITERS).map(increment)).await;
    assert_eq!(number(&store.get("/shared").expect("written")), WRITERS * ROUNDS, "no increment is lost");
    let mut watcher = watcher;
    let mut last = start;
    for _ in 0..2 * WRITERS * ROUNDS {
        let event = watcher.next_event().await.expect("one event for each write");
        assert!(event.revision >= last, "events come in revision order");
        last = event.revision;
    }
    assert_eq!(last, store.revision(), "no event is missing");
    store.close().await.expect("closes");
}

fn number(entry: &Entry) -> usize {
    let text = std::str::from_utf8(&entry.value).expect("text");
    text.split('@').next().and_then(|count| count.parse().ok()).expect("a number before the stamp")
}

async fn limits_hold(store: Store) {
    let before = store.revision();
    done(&store, put("/k", &"x".repeat(4096), Expect::Any)).await;
    let large = store.write(put("/k", &"x".repeat(4097), Expect::Any)).await;
    assert!(
        matches!(large, Err(WriteError::TooLarge { what: "value", size: 4097, limit: 4096 })),
        "{large:?}"
    );
    let long = store.write(put(&"k".repeat(65), "x", Expect::Any)).await;
    assert!(matches!(long, Err(WriteError::TooLarge { what: "key", size: 65, limit: 64 })), "{long:?}");
    assert_eq!(store.count(""), 1);
    assert!(store.revision() > before);
    store.close().await.expect("closes");
}

async fn a_closed_store_refuses(store: Store) {
    done(&store, put("/k", "1", Expect::Any)).await;
    let other = store.clone();
    store.close().await.expect("closes");
    let refused = other.write(put("/k", "2", Expect::Any)).await;
    assert!(matches!(refused, Err(WriteError::Closed)), "{refused:?}");
    assert!(other.get("/k").is_some(), "reads go on");
    other.close().await.expect("closing twice is fine");
}

async fn restarts_keep_what_was_promised<B: Backend>(tenancy: Tenancy, open: &mut impl FnMut(&str) -> B) {
    let store = start(open("restart")).await;
    for index in 0..2500 {
        let mut write = put(&format!("/durable/{index:04}"), &index.to_string(), Expect::Absent);
        if index % 100 == 0 {
            write.key = format!("/volatile/{index:04}").into();
            write.durability = Durability::Volatile;
        }
        done(&store, write).await;
    }
    done(&store, put("/durable/0001", "new", Expect::Any)).await;
    done(&store, delete("/durable/0002", Expect::Any)).await;
    let kept = store.list("/durable/", Page::default()).expect("now").entries;
    let mut volatile = put("/volatile/last", "x", Expect::Any);
    volatile.durability = Durability::Volatile;
    let last = done(&store, volatile).await.modified;
    store.close().await.expect("closes");

    let store = start(open("restart")).await;
    assert!(store.revision() >= last, "revisions do not go back");
    assert_eq!(
        store.list("/durable/", Page::default()).expect("now").entries,
        kept,
        "durable entries come back unchanged"
    );
    let expected = if tenancy == Tenancy::Shared { 26 } else { 0 };
    assert_eq!(store.count("/volatile/"), expected, "volatile entries live as long as their memory");
    let next = done(&store, put("/durable/0003", "next", Expect::At(kept[1].modified))).await;
    assert!(next.modified > last, "revisions grow over a restart");
    assert_eq!(next.created, kept[1].created, "the creation revision stays");
    store.close().await.expect("closes");
}
