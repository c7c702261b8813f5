//! Events do not stay: they go after an hour, and the oldest ones earlier when there are too many.
//!
//! Events live in memory only, so this costs no disk write; what is due is decided by [`sweep`], a pure function. It sleeps
//! until the oldest event is due and never spins.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use konzert_api::meta;
use konzert_store::Page;
use serde_json::Value;

use crate::registry::{DeleteOptions, Place, Registry, now};

const TIME_TO_LIVE: SignedDuration = SignedDuration::from_hours(1);
const MAX_EVENTS: usize = 10_000;
const SHORTEST_SLEEP: Duration = Duration::from_mins(1);
const LONGEST_SLEEP: Duration = Duration::from_mins(15);

/// Sweeps until it is dropped.
pub(crate) async fn run(registry: Arc<Registry>) {
    loop {
        let Some(place) = registry.served().place("", "v1", "events", None) else { return };
        let (due, next) = sweep(observed(&registry, &place), now());
        for key in due {
            let name = key.rsplit('/').next().unwrap_or_default();
            match registry.delete(&place.narrowed(&key), name, &DeleteOptions::default()).await {
                Ok(_) => {}
                Err(error) if error.code == 404 => {}
                Err(error) => tracing::warn!(key, %error, "an old event could not be removed"),
            }
        }
        tokio::time::sleep(next).await;
    }
}

/// Key and last occurrence of every event.
fn observed(registry: &Registry, place: &Place) -> Vec<(String, Timestamp)> {
    let entries =
        registry.store.list(&place.prefix(), Page::default()).map(|l| l.entries).unwrap_or_default();
    let read = |entry: konzert_store::Entry| {
        let object = place.read(&entry.value).ok()?;
        Some((entry.key.to_string(), last_seen(&object)))
    };
    entries.into_iter().filter_map(read).collect()
}

fn last_seen(event: &Value) -> Timestamp {
    let time = |pointer: &str| event.pointer(pointer)?.as_str()?.parse().ok();
    [
        time("/lastTimestamp"),
        time("/series/lastObservedTime"),
        time("/eventTime"),
        meta::creation_timestamp(event),
    ]
    .into_iter()
    .flatten()
    .max()
    .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The keys that are due, and how long to sleep after that.
fn sweep(mut events: Vec<(String, Timestamp)>, now: Timestamp) -> (Vec<String>, Duration) {
    events.sort_by_key(|(_, seen)| *seen);
    let too_many = events.len().saturating_sub(MAX_EVENTS);
    let old = events.partition_point(|(_, seen)| now.duration_since(*seen) >= TIME_TO_LIVE);
    let kept = events.split_off(too_many.max(old));
    let next = kept.first().map_or(LONGEST_SLEEP, |(_, seen)| {
        Duration::try_from(TIME_TO_LIVE - now.duration_since(*seen)).unwrap_or(SHORTEST_SLEEP)
    });
    (events.into_iter().map(|(key, _)| key).collect(), next.clamp(SHORTEST_SLEEP, LONGEST_SLEEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(minutes * 60).unwrap()
    }

    #[test]
    fn old_ones_go_and_the_next_is_waited_for() {
        let events = vec![("new".to_owned(), at(95)), ("old".to_owned(), at(10)), ("due".to_owned(), at(40))];
        let (due, next) = sweep(events, at(100));
        assert_eq!(due, ["old", "due"]);
        assert_eq!(next, LONGEST_SLEEP);
        let (due, next) = sweep(vec![("a".to_owned(), at(45))], at(100));
        assert_eq!((due.len(), next), (0, Duration::from_mins(5)));
        assert_eq!(sweep(Vec::new(), at(0)).1, LONGEST_SLEEP);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let count = i64::try_from(MAX_EVENTS).unwrap();
        let events =
            (0..count + 3).map(|n| (n.to_string(), Timestamp::from_second(1_000_000 + n % 7).unwrap()));
        let (due, _) = sweep(events.collect(), Timestamp::from_second(1_000_010).unwrap());
        assert_eq!(due, ["0", "7", "14"]);
    }
}
