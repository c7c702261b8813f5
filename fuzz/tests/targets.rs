//! Every target reads its seeds and a fixed number of mutations of them, then whatever comes to mind for a short time; longer
//! runs are `cargo xtask fuzz`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use fuzz::mutate::{Random, mutate};
use fuzz::{TARGETS, run};

const INPUTS: usize = 300;
const SHORT_SECONDS: &str = "2";

#[test]
fn every_target_for_a_short_time() {
    let dir = tempfile::tempdir().expect("a directory for failing inputs");
    let out = dir.path().to_str().expect("text");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut command = Command::new(env!("CARGO_BIN_EXE_fuzz"));
            command.args([target.name, "--seconds", SHORT_SECONDS, "--out", out]);
            let ran = command.output().expect("the fuzzer starts");
            if !ran.status.success() {
                failed.push(
                    [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat(),
                );
            }
        }
        failed
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    // The inputs stay for a second look.
    let kept = if failed.is_empty() { PathBuf::new() } else { dir.keep() };
    assert!(failed.is_empty(), "inputs in {}:\n{}", kept.display(), failed.join("\n"));
}

#[test]
fn seeds_and_some_mutations_of_them() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        let mut random = Random::new(1);
        for seed in &seeds {
            (target.run)(seed);
        }
        for _ in 0..INPUTS {
            let input = mutate(&mut random, target.form, &seeds);
            run::replay(target, input.clone())
                .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&input)));
        }
    }
}

#[test]
fn seeds_are_understood() {
    let target = fuzz::target("json").expect("the target of JSON bodies");
    for seed in (target.seeds)() {
        let value: serde_json::Value = serde_json::from_slice(&seed).expect("JSON");
        let (api_version, kind) =
            (value["apiVersion"].as_str().unwrap_or(""), value["kind"].as_str().unwrap_or(""));
        let gvk = konzert_api::Gvk::from_api_version(api_version, kind);
        let known = konzert_api::Catalogue::builtin().by_kind(&gvk.group, &gvk.version, &gvk.kind);
        let known = known.unwrap_or_else(|| panic!("{api_version} {kind} is not served"));
        assert_eq!(konzert_api::schema::unknown_fields(known.gvk(), &value), Vec::<String>::new());
        known.decode(&value).unwrap_or_else(|error| panic!("{error}"));
    }
    for seed in (fuzz::target("protobuf").expect("the target of protobuf bodies").seeds)().iter().take(4) {
        konzert_api::protobuf::decode(seed).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn seeds_of_the_scanner_are_understood() {
    use konzert_packages::fuzz as packages;
    type Read = fn(&[u8]) -> usize;
    let seeds = |name: &str| (fuzz::target(name).expect("a target of the scanner").seeds)();
    let containers: [(&str, Read); 4] = [
        ("rpm-header", packages::rpm_header),
        ("rpm-sqlite", packages::rpm_sqlite),
        ("rpm-ndb", packages::rpm_ndb),
        ("rpm-bdb", packages::rpm_bdb),
    ];
    for (name, read) in containers {
        assert!(seeds(name).iter().all(|seed| read(seed) > 0), "{name}");
    }
    assert_eq!(
        packages::executable(&seeds("executable")[0]).packages.len(),
        2,
        "a module and the standard library"
    );
    for seed in seeds("package-file") {
        let at = seed.iter().position(|byte| *byte == b'\n').expect("a path");
        let path = String::from_utf8_lossy(&seed[..at]);
        let facts = packages::file(&path, &seed[at + 1..]).expect("memory has no read errors");
        let says = facts.files.values().any(|file| !file.packages.is_empty() || !file.text.is_empty());
        assert!(says, "{path}: {facts:?}");
    }
    for seed in seeds("advisory-db") {
        konzert_advisories::Database::from_bytes(seed.into()).unwrap_or_else(|error| panic!("{error}"));
    }
}
