//! What the child processes do: one job each, and one line of JSON about it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use konzert_fleet::{AdvisoryStore, Scanner};
use konzert_images::{ContentStore, ImageBuilder, LayerBuilder, Reference};
use konzert_packages::{LayerCataloguer, LayerFacts, Precision, catalogue};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;

use super::Said;
use crate::numbers::float;
use crate::proc;

/// Packages of a synthetic image: most are the base's.
const BASE_PACKAGES: usize = 300;
const OWN_PACKAGES: usize = 100;
/// Different packages from which the images' own come.
const KINDS: usize = 3000;

/// One job.
#[derive(Clone, Debug, Args)]
pub(crate) struct Job {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Clone, Debug, Subcommand)]
enum Kind {
    /// Catalogues and matches a directory
    Root { root: PathBuf, database: PathBuf },
    /// Imports a directory
    Database { source: PathBuf, target: PathBuf },
    /// Makes images and advisories
    Images { images: PathBuf, database: PathBuf, count: usize },
    /// Scans all images, changes advisories, scans them again
    Delta { images: PathBuf, database: PathBuf, changed: usize, round: usize },
    /// Runs another program
    Peer {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// Does a job.
pub(crate) fn run(job: &Job) -> anyhow::Result<String> {
    let said = match &job.kind {
        Kind::Root { root, database } => scan_root(root, database)?,
        Kind::Database { source, target } => import(source, target)?,
        Kind::Images { images, database, count } => make_images(images, database, *count)?,
        Kind::Delta { images, database, changed, round } => delta(images, database, *changed, *round)?,
        Kind::Peer { command } => peer(command)?,
    };
    Ok(serde_json::to_string(&said)?)
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn peak() -> f64 {
    proc::own_peak_mib().unwrap_or_default()
}

/// A directory as a layer.
fn tree(root: &Path) -> anyhow::Result<(LayerFacts, u64)> {
    let mut cataloguer = LayerCataloguer::new(&format!("sha256:{}", "0".repeat(64)));
    let (mut pending, mut bytes) = (vec![root.to_owned()], 0);
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_symlink() {
                cataloguer.symlink(&name, &std::fs::read_link(&path)?.to_string_lossy());
            } else if kind.is_file() {
                let size = entry.metadata()?.len();
                bytes += size;
                cataloguer.file(&name, size, &mut std::fs::File::open(&path)?)?;
            } else {
                cataloguer.special(&name);
            }
        }
    }
    Ok((cataloguer.finish(), bytes))
}

fn scan_root(root: &Path, database: &Path) -> anyhow::Result<Said> {
    let begun = Instant::now();
    let (facts, bytes) = tree(root)?;
    let found = catalogue(&[facts], Precision::Precise);
    let catalogued = ms(begun);
    let database = AdvisoryStore::open(database)?.database()?;
    let findings = konzert_advisories::findings(&database, &found);
    let what = format!(
        "{} MB, {} packages, {} findings, {} warnings",
        bytes / 1_000_000,
        found.packages.len(),
        findings.len(),
        found.warnings.len()
    );
    Ok(Said { ms: ms(begun), more_ms: catalogued, mib: peak(), what })
}

fn import(source: &Path, target: &Path) -> anyhow::Result<Said> {
    let begun = Instant::now();
    let store = AdvisoryStore::open(target)?;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(source)?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut total = 0;
    for file in files {
        total = store.import(&file, &mut |_| {})?.total;
    }
    let took = ms(begun);
    let size = std::fs::metadata(target.join("advisories.db"))?.len();
    let what = format!("{total} advisories, {} KiB", size / 1024);
    Ok(Said { ms: took, mib: peak(), what, ..Said::default() })
}

fn status(packages: impl Iterator<Item = (String, usize)>) -> String {
    let stanza = |(name, version): (String, usize)| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nSource: {name}-src\n\
             Maintainer: Some Maintainers <some@example.com>\nVersion: {version}.0-1\n\n"
        )
    };
    packages.map(stanza).collect()
}

fn base_packages() -> impl Iterator<Item = (String, usize)> {
    (0..BASE_PACKAGES).map(|n| (format!("base-{n}"), 1))
}

fn make_images(images: &Path, database: &Path, count: usize) -> anyhow::Result<Said> {
    let begun = Instant::now();
    let store = ContentStore::open(images)?;
    let layer = LayerBuilder::new().file("etc/os-release", 0o644, "ID=debian\nVERSION_ID=12\n").file(
        "var/lib/dpkg/status",
        0o644,
        status(base_packages()),
    );
    let base = ImageBuilder::from_scratch().add_layer(layer).commit(&store, &Reference::parse("base:1")?)?;
    for image in 0..count {
        // Strides that are prime to the number of kinds spread the packages evenly.
        let own = (0..OWN_PACKAGES)
            .map(|n| (image * 37 + n * 7) % KINDS)
            .map(|kind| (format!("own-{kind}"), kind % 5));
        let layer =
            LayerBuilder::new().file("var/lib/dpkg/status", 0o644, status(base_packages().chain(own)));
        let name = Reference::parse(&format!("app-{image}:1"))?;
        ImageBuilder::from_image(&base).add_layer(layer).commit(&store, &name)?;
    }
    // An advisory about each kind that some image may have.
    let records = tempfile::tempdir()?;
    write_advisories(records.path(), 0..KINDS, 2)?;
    AdvisoryStore::open(database)?.import(records.path(), &mut |_| {})?;
    Ok(Said { ms: ms(begun), mib: peak(), ..Said::default() })
}

/// A file for each kind.
fn write_advisories(dir: &Path, kinds: impl Iterator<Item = usize>, fixed: usize) -> anyhow::Result<()> {
    for kind in kinds {
        let record = json!({"id": format!("DSA-{kind}"), "modified": format!("2026-01-0{fixed}T00:00:00Z"),
            "aliases": [format!("CVE-2026-{kind}")], "affected": [{
            "package": {"ecosystem": "Debian:12", "name": format!("own-{kind}-src")},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": format!("{fixed}.0-1")}]}]}]});
        let mut file = std::fs::File::create(dir.join(format!("{kind}.json")))?;
        file.write_all(record.to_string().as_bytes())?;
    }
    Ok(())
}

fn delta(images: &Path, database: &Path, changed: usize, round: usize) -> anyhow::Result<Said> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = Arc::new(ContentStore::open(images)?);
    let advisories = AdvisoryStore::open(database)?;
    let records = store.list()?;
    let scanner = Scanner::offline(store, advisories.clone());
    let begun = Instant::now();
    runtime.block_on(scanner.scan_images(&records))?;
    let first = ms(begun);
    let (reads, matches) = (scanner.reads(), scanner.matches());
    let changes = tempfile::tempdir()?;
    write_advisories(changes.path(), (0..changed).map(|n| n * (KINDS / changed.max(1))), 3 + round)?;
    advisories.import(changes.path(), &mut |_| {})?;
    let begun = Instant::now();
    let scans = runtime.block_on(scanner.scan_images(&records))?;
    let took = ms(begun);
    if scanner.reads() != reads {
        bail!("{} layers were read again", scanner.reads() - reads);
    }
    let findings: usize = scans.iter().map(|scan| scan.findings.len()).sum();
    let what = format!("{} images matched again, {findings} findings", scanner.matches() - matches);
    Ok(Said { ms: took, more_ms: first, mib: peak(), what })
}

fn peer(command: &[String]) -> anyhow::Result<Said> {
    let Some((program, args)) = command.split_first() else { bail!("no program") };
    let begun = Instant::now();
    let mut child = Command::new(program);
    child.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Neither looks for a newer version of itself nor for newer advisories.
    for name in ["GRYPE_CHECK_FOR_APP_UPDATE", "GRYPE_DB_AUTO_UPDATE", "SYFT_CHECK_FOR_APP_UPDATE"] {
        child.env(name, "false");
    }
    let ended = child.status().with_context(|| program.clone())?;
    let took = ms(begun);
    if !ended.success() {
        bail!("{program} ended with {ended}; without network it needs its database beforehand");
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let kib = u64::try_from(usage.max_rss()).unwrap_or_default();
    Ok(Said { ms: took, mib: float(kib) / 1024.0, ..Said::default() })
}
