//! Version orders against the public vectors. The vectors stand beside the project on some machines; without them the test
//! says so.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::version::VersionOrder;

/// Vectors that do not hold, each with the reason.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    ("packagist.txt", "1.0.0 > 1.0", "PHP's order; composer pads both to four numbers before it asks PHP"),
    ("alpine.txt", "1 > 1-ruff", "not a version; by the file's own comment apk 3 orders it the other way"),
    (
        "alpine.txt",
        "1-ruff2 = 1--ruff1",
        "not versions; by the file's own comment apk 3 orders them the other way",
    ),
];

fn vectors(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/versions").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("SKIPPED: {name}: public version vectors are not beside the project");
        return None;
    };
    if Path::new(name).extension().is_none_or(|e| e != "gz") {
        return Some(String::from_utf8(bytes).unwrap());
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    Some(text)
}

fn failures(order: VersionOrder, name: &str, text: &str) -> (usize, Vec<String>) {
    let comment = |l: &&str| !l.trim().is_empty() && !l.starts_with('#') && !l.starts_with("//");
    let mut failed = Vec::new();
    let mut total = 0;
    for line in text.lines().filter(comment) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [a, sign, b] = words[..] else { panic!("not a vector: {line}") };
        let want = match sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            _ => Ordering::Greater,
        };
        total += 1;
        let excepted = EXCEPTIONS.iter().any(|(file, vector, _)| *file == name && *vector == line.trim());
        let holds = order.compare(a, b) == Ok(want) && order.compare(b, a) == Ok(want.reverse());
        // An exception that holds is stale.
        if holds == excepted {
            failed.push(format!("{line} [{:?}]", order.compare(a, b)));
        }
    }
    (total, failed)
}

#[test]
fn public_vectors() {
    let rows = [
        (VersionOrder::Dpkg, "debian.txt"),
        (VersionOrder::Dpkg, "debian-generated.txt.gz"),
        (VersionOrder::Apk, "alpine.txt"),
        (VersionOrder::Apk, "alpine-generated.txt.gz"),
        (VersionOrder::Rpm, "redhat.txt"),
        (VersionOrder::Pypi, "pypi.txt"),
        (VersionOrder::Pypi, "pypi-generated.txt.gz"),
        (VersionOrder::Npm, "semver.txt"),
        (VersionOrder::Go, "semver.txt"),
        (VersionOrder::Cargo, "semver.txt"),
        (VersionOrder::Maven, "maven.txt"),
        (VersionOrder::RubyGems, "rubygems.txt"),
        (VersionOrder::NuGet, "nuget.txt"),
        (VersionOrder::Packagist, "packagist.txt"),
        (VersionOrder::Pub, "pub.txt"),
    ];
    let mut report = String::new();
    for (order, name) in rows {
        let Some(text) = vectors(name) else { continue };
        let (total, failed) = failures(order, name, &text);
        if total < 10 || !failed.is_empty() {
            write!(report, "{name} ({order:?}): {} of {total}:\n{}\n", failed.len(), failed.join("\n"))
                .unwrap();
        }
    }
    assert!(report.is_empty(), "{report}");
}
