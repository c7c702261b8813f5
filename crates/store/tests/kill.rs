//! A real `kill -9`: this program runs itself as a writer, kills it at any moment, opens what is left, and
//! checks.
//!
//! The child prints a line for each acknowledged write. Each key counts up by one writer, so after the kill a
//! key must hold the last acknowledged count, or that plus one if the kill came between commit and
//! acknowledgement.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and says what it did"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use konzert_store::{Change, Durability, Expect, Revision, Store, StoreConfig, Write};

const WRITERS: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--child") => child(Path::new(&arguments[2])),
        Some("--list") => {}
        _ => parent(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn child(dir: &Path) {
    runtime().block_on(async {
        let store = Store::open_sqlite(dir, StoreConfig::default()).await.unwrap();
        futures::future::join_all((0..WRITERS).map(|writer| count_up(&store, writer))).await;
    });
}

async fn count_up(store: &Store, writer: usize) {
    // One of the writers never touches the disk: its revisions must not come again either.
    let durability = if writer == 0 { Durability::Volatile } else { Durability::Durable };
    let key = format!("/{writer}");
    let mut count: u64 =
        store.get(&key).map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
    loop {
        count += 1;
        let change = Change::Put(Bytes::from(count.to_string()));
        let write = Write { key: key.as_str().into(), expect: Expect::Any, change, durability };
        let entry = store.write(write).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{writer} {count} {}", entry.modified).unwrap();
        out.flush().unwrap();
    }
}

fn parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut newest = 0;
    let mut acknowledged: BTreeMap<usize, u64> = BTreeMap::new();
    for lines in [1, 3, 50, 400, 1500, 4000] {
        let before = newest;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--child")
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut seen = 0;
        for line in output.lines() {
            let line = line.unwrap();
            seen += 1;
            if seen == lines {
                child.kill().unwrap();
            }
            let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
            // The kill may cut the last line.
            let [writer, count, revision] = numbers[..] else { continue };
            assert!(revision > before, "revision {revision} was given out before the restart at {before}");
            newest = newest.max(revision);
            acknowledged.insert(usize::try_from(writer).unwrap(), count);
        }
        child.wait().unwrap();
        assert!(seen >= lines, "the child died by itself");
        check(dir.path(), &mut acknowledged, newest);
    }
    println!("kill -9: 6 lives, {newest} revisions, nothing lost");
}

fn check(dir: &Path, acknowledged: &mut BTreeMap<usize, u64>, newest: u64) {
    runtime().block_on(async {
        let store = Store::open_sqlite(dir, StoreConfig::default()).await.unwrap();
        assert!(store.revision() >= Revision(newest));
        assert_eq!(store.get("/0"), None, "volatile entries do not come back");
        for writer in 1..WRITERS {
            let count = acknowledged.get(&writer).copied().unwrap_or(0);
            let entry = store.get(&format!("/{writer}"));
            let found: u64 =
                entry.map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
            assert!(
                found == count || found == count + 1,
                "writer {writer}: acknowledged {count}, found {found}"
            );
            // The next life counts on from here.
            acknowledged.insert(writer, found);
        }
        store.close().await.unwrap();
    });
}
