//! The file format: round trips, damage, other versions, incremental imports, sources and their age.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::debian;
use crate::sources::FileFacts;
use crate::{
    Added, Advisory, Affected, Bound, Builder, Database, DatabaseError, Severity, Source, SourceKind, State,
    Trust, fuzz,
};

fn two() -> Database {
    Database::new([
        debian("DSA-2", "openssl", &json!([{"introduced": "0"}, {"last_affected": "2"}])),
        debian("DSA-1", "zlib", &json!([{"introduced": "0"}])),
    ])
}

#[test]
fn the_file_round_trips_and_damage_is_found() {
    let db = two();
    let bytes = db.bytes().clone();
    let read = Database::from_bytes(bytes.clone()).unwrap();
    assert_eq!((read.revision(), read.len()), (db.revision(), 2));
    assert_eq!(read.get("DSA-2"), db.get("DSA-2"));
    assert!(matches!(read.get("DSA-2").unwrap().affected[0].ranges[0][1], Bound::LastAffected(_)));
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1;
        // Four bytes of the header are spare, but its digest covers them.
        assert!(Database::from_bytes(damaged.into()).is_err(), "byte {at} may be changed unseen");
        assert!(Database::from_bytes(bytes.slice(..at)).is_err(), "cut at {at}");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(matches!(Database::from_bytes(longer.into()), Err(DatabaseError::Checksum)));
    assert!(matches!(Database::from_bytes(Bytes::from_static(b"PK\x03\x04")), Err(DatabaseError::Header)));
    assert!(matches!(Database::from_bytes(vec![7; 4096].into()), Err(DatabaseError::Header)));
}

#[test]
fn an_older_format_is_named_as_one() {
    let text = format!("konzert-advisories 1 {}\n{}", "0".repeat(64), "x".repeat(500));
    let error = Database::from_bytes(text.into_bytes().into()).unwrap_err();
    assert!(error.is_old_format() && error.to_string().contains("format 1"), "{error}");
    let mut newer = two().bytes().to_vec();
    newer[8] = 99;
    assert!(matches!(Database::from_bytes(newer.into()), Err(DatabaseError::Version { found: 99 })));
}

#[test]
fn an_empty_database_knows_nothing_and_has_no_revision() {
    let empty = Database::new([]);
    assert_eq!((empty.len(), empty.revision()), (0, ""));
    assert!(Database::from_bytes(empty.bytes().clone()).unwrap().is_empty());
    assert!(Database::default().get("X").is_none() && Database::default().ids("X").is_empty());
}

#[test]
fn unchanged_advisories_keep_their_bytes_and_the_latest_wins() {
    let old = two();
    let mut builder = Builder::new(&old);
    let mut changed = debian("DSA-1", "zlib", &json!([{"introduced": "0"}]));
    assert_eq!(builder.add(changed.clone()), Added::Unchanged);
    changed.modified = "2026-02-01T00:00:00Z".parse().unwrap();
    changed.summary = "new".into();
    assert_eq!(builder.add(changed), Added::Changed);
    assert_eq!(builder.add(debian("DSA-1", "zlib", &json!([{"introduced": "0"}]))), Added::Older);
    assert_eq!(builder.add(debian("DSA-3", "xz", &json!([{"introduced": "0"}]))), Added::New);
    let new = Database::from_bytes(builder.finish(&[]).into()).unwrap();
    assert_eq!((new.len(), new.get("DSA-1").unwrap().summary.as_str()), (3, "new"));
    let record = |db: &Database| db.record(db.find("DSA-2", "").unwrap()).to_vec();
    assert_eq!(record(&new), record(&old));
    assert_ne!(new.revision(), old.revision());
}

#[test]
fn the_order_and_the_time_of_imports_do_not_change_the_revision() {
    let (a, b) = (
        debian("DSA-1", "a", &json!([{"introduced": "0"}])),
        debian("DSA-2", "b", &json!([{"introduced": "0"}])),
    );
    let one = Database::new([a.clone(), b.clone()]);
    let other = Database::new([b, a]);
    assert_eq!(one.bytes(), other.bytes());
    let later = Database::open(Builder::new(&one).finish(&[source("x", 1, "2026-01-01")]).into()).unwrap();
    assert_eq!(later.revision(), one.revision());
    assert_eq!(later.sources().len(), 1);
}

#[test]
fn a_snapshot_forgets_what_it_does_not_name_any_more() {
    let of = |id: &str, feed: &str| Advisory {
        feed: feed.into(),
        ..debian(id, "a", &json!([{"introduced": "0"}]))
    };
    let old = Database::new([of("CVE-2026-1", "t"), of("CVE-2026-2", "t"), of("CVE-2026-1", "")]);
    assert_eq!(old.len(), 3, "the same id in two feeds is two advisories");
    let mut builder = Builder::new(&old);
    builder.add(of("CVE-2026-2", "t"));
    assert_eq!(builder.settle(&FileFacts { snapshot_of: vec!["t".into()] }), 1);
    let new = Database::open(builder.finish(&[]).into()).unwrap();
    let left: Vec<_> = new.advisories().map(|a| (a.id, a.feed)).collect();
    assert_eq!(left, [("CVE-2026-1".to_owned(), String::new()), ("CVE-2026-2".to_owned(), "t".to_owned())]);
}

fn source(location: &str, debian_12: u64, as_of: &str) -> Source {
    let at: Timestamp = format!("{as_of}T00:00:00Z").parse().unwrap();
    Source {
        location: location.into(),
        kinds: vec![SourceKind::Osv],
        etag: None,
        imported_at: at,
        as_of: at,
        newest: None,
        records: debian_12,
        ecosystems: [("Debian:12".to_owned(), debian_12)].into(),
    }
}

#[test]
fn an_old_source_is_stale_whatever_was_added_by_hand() {
    let now = "2026-06-10T00:00:00Z".parse().unwrap();
    let week = SignedDuration::from_hours(7 * 24);
    let trust = |sources: Vec<Source>, ecosystem: &str| {
        let db = Database::open(Builder::new(&two()).finish(&sources).into()).unwrap();
        db.trust(ecosystem, now, week)
    };
    assert_eq!(trust(Vec::new(), "Debian:12"), Trust::Fresh);
    assert_eq!(trust(Vec::new(), "Debian:11"), Trust::NotCovered);
    assert_eq!(trust(vec![source("feed", 500, "2026-06-09")], "Debian:bookworm"), Trust::Fresh);
    let old = source("feed", 500, "2026-05-01");
    assert!(matches!(trust(vec![old.clone()], "Debian:12"), Trust::Stale { .. }));
    let by_hand = source("mine.json", 1, "2026-06-09");
    assert!(
        matches!(trust(vec![old.clone(), by_hand], "Debian:12"), Trust::Stale { location, .. } if location == "feed")
    );
    assert_eq!(trust(vec![old, source("newer", 490, "2026-06-09")], "Debian:12"), Trust::Fresh);
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9:.+~é_-]{1,12}"
}

fn affected() -> impl Strategy<Value = Affected> {
    let ecosystem = prop::sample::select(vec![
        "Debian:12",
        "Debian:bookworm",
        "PyPI",
        "AlmaLinux:9",
        "Alpine:v3.20",
        "odd",
    ]);
    let bound = (0..4u8, "[0-9.]{1,4}").prop_map(|(kind, v)| match kind {
        0 => Bound::Introduced(v),
        1 => Bound::Fixed(v),
        2 => Bound::LastAffected(v),
        _ => Bound::Limit(v),
    });
    let ranges = prop::collection::vec(prop::collection::vec(bound, 0..4), 0..3);
    let state = prop::sample::select(vec![State::Affected, State::Deferred, State::NotAffected]);
    (
        ecosystem,
        text(),
        ranges,
        prop::collection::vec(text(), 0..3),
        state,
        prop::collection::vec(text(), 0..2),
    )
        .prop_map(|(ecosystem, package, ranges, versions, state, arches)| Affected {
            ecosystem: ecosystem.into(),
            package,
            ranges,
            versions,
            state,
            severity: (arches.len() == 1).then_some(Severity::High),
            arches,
            module: String::new(),
        })
}

pub(super) fn advisory() -> impl Strategy<Value = Advisory> {
    let id = || "[A-D]-[0-9]";
    let lists = (
        prop::collection::vec(id(), 0..3),
        prop::collection::vec(id(), 0..2),
        prop::collection::vec(id(), 0..2),
    );
    (id(), lists, 0..2_000_000_000i64, any::<bool>(), text(), prop::collection::vec(affected(), 0..4))
        .prop_map(|(id, (aliases, upstream, related), seconds, withdrawn, summary, affected)| Advisory {
            aliases,
            upstream,
            related,
            modified: Timestamp::from_second(seconds).unwrap(),
            withdrawn,
            details: summary.repeat(3),
            summary,
            references: vec!["https://example.org/é".into()],
            severity: Severity::Low,
            affected,
            ..Advisory::empty(&id, "")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_built_is_what_is_read(all in prop::collection::vec(advisory(), 0..12)) {
        let db = Database::new(all.clone());
        let read = Database::from_bytes(db.bytes().clone()).unwrap();
        let mut want: std::collections::BTreeMap<String, Advisory> = std::collections::BTreeMap::default();
        for advisory in all {
            let advisory = advisory.normalised();
            match want.get(&advisory.id) {
                Some(known) if known.modified > advisory.modified => {}
                _ => { want.insert(advisory.id.clone(), advisory); }
            }
        }
        prop_assert_eq!(read.advisories().collect::<Vec<_>>(), want.values().cloned().collect::<Vec<_>>());
        for advisory in want.values() {
            prop_assert_eq!(read.get(&advisory.id), Some(advisory.clone()));
            prop_assert_eq!(advisory.clone().normalised(), advisory.clone(), "normalised is a fixed point");
            for affected in advisory.affected.iter().filter(|_| !advisory.withdrawn) {
                let speak = read.entries(&affected.ecosystem, &affected.package).map(|(record, _)| read.head(record).unwrap().id).collect::<Vec<_>>();
                prop_assert!(speak.contains(&advisory.id.as_str()));
                prop_assert!(read.covers(&affected.ecosystem).is_some());
            }
            for id in advisory.ids().filter(|_| !advisory.withdrawn) {
                prop_assert!(read.ids(&id.to_lowercase()).contains(&advisory.id));
            }
        }
    }

    #[test]
    fn damaged_bytes_never_panic(all in prop::collection::vec(advisory(), 1..6), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Database::new(all).bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        fuzz::database(&bytes);
        fuzz::database(&bytes[..at]);
        fuzz::record(&bytes[at..]);
    }

    #[test]
    fn arbitrary_input_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::record(&bytes);
        fuzz::any_source(&bytes);
        fuzz::vex(&bytes);
        fuzz::ignores(&bytes);
        for row in crate::sources::SOURCES {
            fuzz::source(row.kind, &bytes);
        }
    }
}
