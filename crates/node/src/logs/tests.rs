//! Logs on real files, with rotation as the shim does it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use proptest::prelude::*;
use tokio::sync::watch;

use super::line::Formatter;
use super::{Ending, LogQuery, files, open};

fn entry(second: u32, text: &str) -> String {
    format!("2030-01-01T00:00:{second:02}.5Z stdout F {text}\n")
}

fn append(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn rotate(path: &Path) {
    let old = |index: u32| path.with_file_name(format!("0.log.{index}"));
    for index in (1..5).rev() {
        if old(index).exists() {
            fs::rename(old(index), old(index + 1)).unwrap();
        }
    }
    fs::rename(path, old(1)).unwrap();
    append(path, "");
}

fn query() -> LogQuery {
    LogQuery { container: "app".into(), pod: "web".into(), ..LogQuery::default() }
}

fn over() -> Ending {
    Ending { tick: watch::channel(0).1, ended: Arc::new(|| true) }
}

async fn read(dir: &Path, query: &LogQuery) -> String {
    let mut stream = open(dir, query, |_| over()).await.unwrap();
    let mut text = Vec::new();
    while let Some(chunk) = stream.next().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn tails_and_times_across_rotated_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app/0.log");
    for second in 0..9 {
        if second % 3 == 0 && second > 0 {
            rotate(&path);
        }
        append(&path, &entry(second, &format!("line {second}")));
    }
    assert_eq!(read(dir.path(), &query()).await.lines().count(), 9);
    let last = |count: u32| (9 - count..9).map(|at| format!("line {at}\n")).collect::<Vec<_>>().concat();
    for count in 0..=9 {
        let tailed = LogQuery { tail_lines: Some(count.into()), ..query() };
        assert_eq!(read(dir.path(), &tailed).await, last(count), "tail {count}");
    }
    let table = [
        (LogQuery { tail_lines: Some(500), ..query() }, last(9)),
        (LogQuery { since: Some("2030-01-01T00:00:07Z".parse().unwrap()), ..query() }, last(2)),
        (LogQuery { limit_bytes: Some(10), ..query() }, "line 0\nlin".to_owned()),
        (
            LogQuery { tail_lines: Some(1), timestamps: true, ..query() },
            "2030-01-01T00:00:08.5Z line 8\n".to_owned(),
        ),
    ];
    for (query, expected) in table {
        assert_eq!(read(dir.path(), &query).await, expected);
    }
}

#[tokio::test]
async fn previous_and_missing() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path(), &query(), |_| over()).await.err().unwrap();
    assert_eq!(error.to_string(), "container \"app\" in pod \"web\" is waiting to start");
    append(&dir.path().join("app/0.log"), &entry(1, "old"));
    let previous = LogQuery { previous: true, ..query() };
    let error = open(dir.path(), &previous, |_| over()).await.err().unwrap();
    assert_eq!(error.to_string(), "previous terminated container \"app\" in pod \"web\" not found");
    append(&dir.path().join("app/10.log"), &entry(1, "new"));
    assert_eq!(read(dir.path(), &previous).await, "old\n");
    assert_eq!(read(dir.path(), &query()).await, "new\n");
}

#[tokio::test]
async fn following_sees_writes_rotation_and_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app/0.log");
    append(&path, &entry(0, "zero"));
    let over = Arc::new(AtomicBool::new(false));
    let (tick, ticks) = watch::channel(0);
    let flag = over.clone();
    let ending = Ending { tick: ticks, ended: Arc::new(move || flag.load(Ordering::SeqCst)) };
    let following = LogQuery { follow: true, ..query() };
    let mut stream = open(dir.path(), &following, |_| ending).await.unwrap();
    let mut got = String::new();
    let mut want = String::from("zero\n");
    for round in 1..6 {
        while got.len() < want.len() {
            got.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
        }
        assert_eq!(got, want);
        append(&path, &entry(round, "before"));
        rotate(&path);
        append(&path, &entry(round, "after"));
        want.push_str("before\nafter\n");
    }
    append(&path, &entry(9, "last"));
    over.store(true, Ordering::SeqCst);
    tick.send(1).unwrap();
    while let Some(chunk) = stream.next().await {
        got.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    assert_eq!(got, want + "last\n");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_task() {
    let dir = tempfile::tempdir().unwrap();
    append(&dir.path().join("app/0.log"), &entry(0, "zero"));
    let (tick, ticks) = watch::channel(0);
    let alive = Arc::new(());
    let held = alive.clone();
    let ended: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(move || Arc::strong_count(&held) == 0);
    let following = LogQuery { follow: true, ..query() };
    let stream = open(dir.path(), &following, |_| Ending { tick: ticks, ended }).await.unwrap();
    drop(stream);
    // The task drops its end of the tick channel when it ends.
    tick.closed().await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn partial_and_broken_lines() {
    let mut format = Formatter::new(None, true, None);
    let text = "2030-01-01T00:00:00Z stdout P one \n2030-01-01T00:00:00Z stderr F two\nnot cri\n2030-01-01T00:00:01Z stdout F \n";
    let shown = String::from_utf8(format.push(text.as_bytes())).unwrap();
    assert_eq!(shown, "2030-01-01T00:00:00Z one two\nnot cri\n2030-01-01T00:00:01Z \n");
}

#[test]
fn the_last_text_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    for second in 0..60 {
        append(&path, &entry(second, &format!("{second} {}", "x".repeat(100))));
    }
    let text = files::last_text(&path, 80, 250).unwrap();
    assert!(text.len() == 250 && text.ends_with("x\n"), "{text}");
    assert!(files::last_text(&path, 1, 4096).unwrap().starts_with("59 x"));
}

proptest! {
    /// However the file is cut into pieces, the text is the same.
    #[test]
    fn pieces_do_not_matter(texts in prop::collection::vec("[ -~]{0,40}", 0..20), cut in 1..50_usize) {
        let file: String = texts.iter().map(|text| entry(3, text)).collect();
        let mut whole = Formatter::new(None, false, None);
        let mut cut_up = Formatter::new(None, false, None);
        let expected = whole.push(file.as_bytes());
        let pieces: Vec<u8> = file.as_bytes().chunks(cut).flat_map(|piece| cut_up.push(piece)).collect();
        prop_assert_eq!(&pieces, &expected);
        let plain: String = texts.iter().map(|text| format!("{text}\n")).collect::<Vec<_>>().concat();
        prop_assert_eq!(expected, plain.into_bytes());
    }
}
