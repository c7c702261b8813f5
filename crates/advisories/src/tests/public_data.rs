//! Every fixed version of the public data is not affected, and one just below it is.

use std::collections::BTreeMap;

use konzert_packages::PackageKind;

use super::{catalogue, package};
use crate::ecosystem;
use crate::{Advisory, Affected, Bound, Database, KernelPackages, MatchOptions, find, parse_osv};

/// The records of one archive; `None`, said loudly, when it is not beside the project.
fn records(name: &str) -> Option<Vec<Advisory>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/advisories/");
    let Ok(file) = std::fs::File::open(format!("{dir}{name}")) else {
        eprintln!("SKIPPED: {name} is not beside the project");
        return None;
    };
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut all = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if path.rsplit('.').next().is_some_and(|e| matches!(e, "json" | "yaml")) {
            all.push(parse_osv(&bytes, &path).unwrap());
        }
    }
    Some(all)
}

struct Rules {
    kind: PackageKind,
    /// A version just below this one, or why there is none.
    below: fn(&str) -> Result<String, &'static str>,
}

#[derive(Debug, Default)]
struct Count {
    checked: usize,
    /// Reason → how many.
    left_out: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

fn check(records: &[Advisory], rules: &Rules) -> Count {
    let mut count = Count::default();
    for advisory in records {
        let advisory = advisory.clone().normalised();
        if advisory.withdrawn {
            *count.left_out.entry("withdrawn").or_default() += 1;
            continue;
        }
        let db = Database::new([advisory.clone()]);
        for affected in &advisory.affected {
            for bound in affected.ranges.iter().flatten() {
                let Bound::Fixed(fixed) = bound else { continue };
                check_one(&db, &advisory, (affected, fixed), rules, &mut count);
            }
        }
    }
    assert!(
        count.wrong.is_empty(),
        "{} wrong: {:#?}",
        count.wrong.len(),
        &count.wrong[..count.wrong.len().min(20)]
    );
    count
}

fn check_one(db: &Database, advisory: &Advisory, at: (&Affected, &str), rules: &Rules, count: &mut Count) {
    let (affected, fixed) = at;
    let same = |a: &&Affected| a.package == affected.package && a.ecosystem == affected.ecosystem;
    if advisory.affected.iter().filter(same).count() > 1 {
        // OSV takes the union of both, so only the higher one holds.
        *count.left_out.entry("the record names the package twice").or_default() += 1;
        return;
    }
    let below = match (rules.below)(fixed) {
        Ok(below) => below,
        Err(reason) => {
            *count.left_out.entry(reason).or_default() += 1;
            return;
        }
    };
    let found = |version: &str| {
        let one = package(rules.kind, &affected.ecosystem, &affected.package, version);
        let options = MatchOptions { kernel: KernelPackages::Keep, ..MatchOptions::default() };
        find(db, &catalogue(vec![one]), &options).findings.len()
    };
    if affected.versions.iter().any(|listed| listed == fixed) {
        *count.left_out.entry("the record lists the fixed version as affected").or_default() += 1;
        return;
    }
    let order = ecosystem::order(&affected.ecosystem);
    let again = |bound: &Bound| {
        let same = ecosystem::compare(order, bound.version(), fixed) == Some(std::cmp::Ordering::Equal);
        matches!(bound, Bound::Introduced(_)) && same
    };
    if affected.ranges.iter().flatten().any(again) {
        *count.left_out.entry("the record introduces it again in the fixed version").or_default() += 1;
        return;
    }
    let after_a_fix = |range: &Vec<Bound>| {
        let at = range.iter().position(|b| matches!(b, Bound::Fixed(v) if v == fixed));
        at.is_some_and(|at| at > 0 && matches!(range[at - 1], Bound::Fixed(_)))
    };
    if affected.ranges.iter().any(after_a_fix) {
        *count.left_out.entry("the range ended at an earlier fix").or_default() += 1;
        return;
    }
    match (found(fixed), found(&below)) {
        (0, 1) => count.checked += 1,
        (at, under) => count.wrong.push(format!(
            "{} {} {fixed}: {at}; {below}: {under}; {:?}",
            advisory.id, affected.package, affected.ranges
        )),
    }
}

#[test]
fn debian_elts() {
    let Some(all) = records("debian-elts.osv.tar.gz") else { return };
    // Debian policy 5.6.12: a tilde sorts before the end of a part.
    let count = check(&all, &Rules { kind: PackageKind::Deb, below: |fixed| Ok(format!("{fixed}~")) });
    assert!(count.checked > 2400, "{count:?}");
    assert_eq!(all.len(), 1712);
}

#[test]
fn almalinux() {
    let Some(all) = records("almalinux-9-10.osv.tar.gz") else { return };
    // rpm: as in Debian.
    let count = check(&all, &Rules { kind: PackageKind::Rpm, below: |fixed| Ok(format!("{fixed}~")) });
    assert!(count.checked > 30_000, "{count:?}");
    assert_eq!(all.len(), 2443);
}

/// A release below all pre-releases of this one.
fn lower_release(core: &str) -> Option<String> {
    let mut numbers: Vec<u64> = core.split('.').map(|n| n.parse().unwrap()).collect();
    let last = numbers.iter().rposition(|n| *n > 0)?;
    numbers[last] -= 1;
    numbers[last + 1..].fill(99_999);
    Some(numbers.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
}

#[test]
fn rustsec() {
    let Some(all) = records("rustsec.osv.tar.gz") else { return };
    // Semantic versions: a pre-release comes before its release, and `rc.1.z` between `rc.1` and `rc.2`.
    let below = |fixed: &str| {
        let plain = fixed.split('+').next().unwrap();
        let Some((core, pre)) = plain.split_once('-') else { return Ok(format!("{plain}-zzz")) };
        let (word, number) = pre.rsplit_once('.').unwrap_or(("", pre));
        match number.parse::<u64>() {
            Ok(0) if word.is_empty() => lower_release(core).ok_or("nothing lies below 0.0.0-0"),
            Ok(0) => Ok(format!("{core}-{word}")),
            Ok(number) => Ok(format!("{core}-{word}.{}.z", number - 1).replace("-.", "-")),
            Err(_) => Ok(format!("{core}-{}", &pre[..pre.len() - 1])),
        }
    };
    let count = check(&all, &Rules { kind: PackageKind::Cargo, below });
    assert!(count.checked > 970, "{count:?}");
    assert_eq!(all.len(), 1206);
}

#[test]
fn pypa() {
    let Some(all) = records("pypa.osv-yaml.tar.gz") else { return };
    // PEP 440: a release candidate comes before the release, a development release before anything of its version.
    let below = |fixed: &str| match fixed.split_once(".dev") {
        None if fixed.bytes().all(|b| b.is_ascii_digit() || b == b'.') => Ok(format!("{fixed}rc99999")),
        None => Ok(format!("{fixed}.dev0")),
        Some((_, "0")) => Err("nothing lies below the first development release"),
        Some((release, number)) => {
            let number: u64 = number.parse().map_err(|_not_a_number| "an odd development release")?;
            Ok(format!("{release}.dev{}", number - 1))
        }
    };
    let count = check(&all, &Rules { kind: PackageKind::Pypi, below });
    assert!(count.checked > 2000, "{count:?}");
    assert_eq!(all.len(), 2661);
}

/// Prints what the database costs: `cargo test --release -p konzert-advisories figures -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures, checks nothing that another test does not"]
fn figures() {
    use std::time::Instant;
    let names = ["almalinux-9-10.osv", "debian-elts.osv", "rustsec.osv"];
    let started = Instant::now();
    let mut all: Vec<Advisory> =
        names.iter().filter_map(|name| records(&format!("{name}.tar.gz"))).flatten().collect();
    all.extend(records("pypa.osv-yaml.tar.gz").into_iter().flatten());
    let parsed = started.elapsed();
    let started = Instant::now();
    let old = Database::new(all.clone());
    let built = started.elapsed();
    eprintln!("{} records: parse {parsed:?}, build {built:?}, {} bytes", old.len(), old.bytes().len());
    let names: Vec<&Affected> =
        all.iter().flat_map(|a| &a.affected).filter(|a| a.ecosystem == "AlmaLinux:9").collect();
    let mut highest: BTreeMap<String, String> = BTreeMap::new();
    for affected in &names {
        let fixed = affected.ranges[0].last().unwrap().version().to_owned();
        let top = highest.entry(affected.package.clone()).or_insert_with(|| fixed.clone());
        let order = ecosystem::order("AlmaLinux:9");
        if ecosystem::compare(order, &fixed, top) == Some(std::cmp::Ordering::Greater) {
            *top = fixed;
        }
    }
    let image = |number: usize| {
        let chosen = (0..400).map(|at| names[(number * 7919 + at * 61) % names.len()]);
        // An image that is kept well: one package in twenty lags behind.
        let version = |(at, a): (usize, &Affected)| {
            let own = || a.ranges[0].last().unwrap().version().to_owned();
            let version = if at % 20 == 0 { own() } else { highest[&a.package].clone() };
            package(PackageKind::Rpm, "AlmaLinux:9", &a.package, &version)
        };
        let packages = chosen.enumerate().map(version);
        catalogue(packages.collect())
    };
    let images: Vec<_> = (0..1000).map(image).collect();
    let mut inverted = crate::Inverted::default();
    for (number, image) in images.iter().enumerate() {
        inverted.insert(&number, &image.packages);
    }
    let started = Instant::now();
    let found = crate::findings(&old, &images[0]).len();
    eprintln!("one image of 400 packages: {found} findings in {:?}", started.elapsed());
    let mut changed = all;
    for advisory in changed.iter_mut().filter(|a| a.id.starts_with("ALSA-2025")).take(200) {
        advisory.modified = advisory.modified.max("2026-11-01T00:00:00Z".parse().unwrap());
    }
    let new = Database::new(changed);
    let started = Instant::now();
    let touched = inverted.touched(&crate::Delta::between(&old, &new));
    let delta = started.elapsed();
    let found: usize = touched.iter().map(|at| crate::findings(&new, &images[*at]).len()).sum();
    eprintln!("delta {delta:?}; {} images again: {found} findings in {:?}", touched.len(), started.elapsed());
}
