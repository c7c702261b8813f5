//! Several handles and several processes on one store.

use std::io::Write;
use std::process::{Command, Stdio};

use super::archive::{RawTar, TestLayer, oci_files, pack};
use super::{TestStore, names_in, reference};
use crate::{ContentStore, Force};

const CHILD_ROOT: &str = "KONZERT_IMAGES_TEST_ROOT";
const CHILD_NUMBER: &str = "KONZERT_IMAGES_TEST_NUMBER";
const ROUNDS: usize = 8;

fn archive(number: usize, round: usize) -> Vec<u8> {
    let shared = TestLayer::gzip(&RawTar::new().file("shared", &vec![9; 100_000]).finish());
    let own = TestLayer::plain(RawTar::new().file("own", format!("{number} {round}").as_bytes()).finish());
    pack(&oci_files(&[shared, own], Some(&format!("app{number}:{round}"))))
}

fn work(store: &ContentStore, number: usize) {
    for round in 0..ROUNDS {
        let name = reference(&format!("app{number}:{round}"));
        let loaded = store.load_reader(&archive(number, round)[..], None, &|_| {}).expect("load");
        assert_eq!(store.get(&name).expect("get").map(|r| r.digest), Some(loaded[0].digest.clone()));
        store.retain(&loaded[0].digest, "me").expect("retain");
        store.release_lease(&loaded[0].digest, "me").expect("release");
        if round % 2 == 0 {
            store.remove(&name, Force::No).expect("remove");
        }
    }
}

fn check(store: &TestStore, workers: usize) {
    let fresh = ContentStore::open(&store.root()).expect("open");
    for handle in [&store.store, &fresh] {
        let names: Vec<String> = handle.list().expect("list").into_iter().flat_map(|r| r.names).collect();
        assert_eq!(names.len(), workers * ROUNDS / 2, "{names:?}");
    }
    for image in fresh.list().expect("list") {
        fresh.unpack_layers(&image).expect("every image is complete");
    }
    assert_eq!(names_in(&store.root().join("tmp")), Vec::<String>::new());
    // Manifest, configuration and own layer of each, and the shared layer.
    assert_eq!(names_in(&store.root().join("blobs/sha256")).len(), workers * ROUNDS / 2 * 3 + 1);
}

#[test]
fn threads_with_handles_of_their_own_lose_nothing() {
    if !super::can_mount("threads_with_handles_of_their_own_lose_nothing") {
        return;
    }
    let store = TestStore::new();
    std::thread::scope(|scope| {
        for number in 0..3 {
            let root = store.root();
            scope.spawn(move || work(&ContentStore::open(&root).expect("open"), number));
        }
    });
    check(&store, 3);
}

#[test]
fn processes_lose_nothing() {
    if !super::can_mount("processes_lose_nothing") {
        return;
    }
    let store = TestStore::new();
    let exe = std::env::current_exe().expect("this test");
    let children: Vec<_> = (1..3)
        .map(|number: usize| {
            Command::new(&exe)
                .args(["--exact", "tests::processes::helper_process", "--ignored", "--quiet"])
                .env(CHILD_ROOT, store.root())
                .env(CHILD_NUMBER, number.to_string())
                .stdout(Stdio::null())
                .spawn()
                .expect("spawn")
        })
        .collect();
    work(&store, 0);
    for mut child in children {
        assert!(child.wait().expect("wait").success(), "a process failed");
    }
    check(&store, 3);
}

#[test]
#[ignore = "the other process of processes_lose_nothing"]
fn helper_process() {
    let root = std::env::var_os(CHILD_ROOT).expect("started by processes_lose_nothing");
    let number = std::env::var_os(CHILD_NUMBER).expect("started by processes_lose_nothing");
    let number = number.to_str().and_then(|n| n.parse().ok()).expect("a number");
    work(&ContentStore::open(root.as_ref()).expect("open"), number);
}

#[test]
fn a_killed_load_leaves_nothing_after_the_next_open() {
    let store = TestStore::new();
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "tests::processes::helper_load", "--ignored", "--quiet"])
        .env(CHILD_ROOT, store.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("spawn");
    let mut pipe = child.stdin.take().expect("piped");
    let archive = RawTar::new().file("index.json", &vec![1; 4 << 20]).finish();
    pipe.write_all(&archive[..3 << 20]).expect("the child reads");
    // Most of what was sent is beyond the pipe's buffer by now, so the child has begun to stage it.
    assert_eq!(names_in(&store.root().join("tmp")).len(), 1);
    ContentStore::open(&store.root()).expect("open");
    assert_eq!(names_in(&store.root().join("tmp")).len(), 1, "the child is at work");
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert_eq!(names_in(&store.root().join("tmp")).len(), 1, "a kill cleans nothing");
    ContentStore::open(&store.root()).expect("open");
    assert_eq!(store.content(), Vec::<String>::new());
}

#[test]
#[ignore = "the other process of a_killed_load_leaves_nothing_after_the_next_open"]
fn helper_load() {
    let root = std::env::var_os(CHILD_ROOT).expect("started by another test");
    let store = ContentStore::open(root.as_ref()).expect("open");
    store.load_reader(std::io::stdin(), None, &|_| {}).expect("load");
}
