//! Scanning: root file systems of 100 MB and 1 GB, a thousand images after new advisories, the advisory database, and how soon
//! reports of running pods say what an import brought.
//!
//! Every measurement of the library runs in a child process of its own, so that its peak memory is its own. Cold means that
//! the content of the files is not in the page cache; their names and sizes may be. Other scanners run on the same
//! directories, without network. What cannot be measured here is said, and left out.

mod pods;
mod work;
mod world;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Deserialize;
use serde::Serialize;

use crate::note;
use crate::numbers::shown;
use crate::report::{Peer, Row};
pub(crate) use work::{Job, run as child};

/// How much is done.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// Directory of public advisories.
    pub(crate) advisories: PathBuf,
    pub(crate) only: Vec<Part>,
    /// Synthetic images.
    pub(crate) images: usize,
    /// Advisories that change.
    pub(crate) changed: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Root file systems
    Roots,
    /// Many images after a change of the advisories
    Delta,
    /// Building the advisory database
    Database,
    /// Import until the reports of fifty pods are right
    Pods,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Roots, Self::Delta, Self::Database, Self::Pods];
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Roots => "roots",
            Self::Delta => "delta",
            Self::Database => "database",
            Self::Pods => "pods",
        })
    }
}

/// What a child says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Said {
    /// The whole of it.
    ms: f64,
    /// A part of it, or a second figure.
    more_ms: f64,
    /// Peak of resident memory.
    mib: f64,
    /// For people.
    what: String,
}

/// Measures what is asked for.
pub(crate) fn measure(program: &Path, extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let dir = tempfile::tempdir()?;
    let wanted = |part| extent.only.contains(&part);
    let has_advisories = extent.advisories.is_dir();
    if !has_advisories {
        let shown = extent.advisories.display();
        note(&format!(
            "SKIPPED: the database of public advisories: {shown} is not there; name it with --advisories"
        ));
    }
    let database = dir.path().join("advisories");
    if has_advisories && (wanted(Part::Database) || wanted(Part::Roots)) {
        note("building the advisory database");
        rows.extend(build_database(&extent.advisories, &database)?);
    }
    if wanted(Part::Roots) {
        for root in world::roots()? {
            rows.extend(measure_root(&root, &database)?);
        }
    }
    if wanted(Part::Delta) {
        rows.extend(delta(extent, dir.path())?);
    }
    if wanted(Part::Pods) {
        note("an engine with fifty pods");
        rows.extend(pods::measure(program)?);
    }
    Ok(rows)
}

/// Runs a job in a process of its own.
fn ask<I: Into<OsString>>(job: &str, args: impl IntoIterator<Item = I>) -> anyhow::Result<Said> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("scan-child").arg(job).args(args.into_iter().map(Into::into));
    let output = command.stderr(Stdio::inherit()).output().with_context(|| job.to_owned())?;
    if !output.status.success() {
        bail!("{job} ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {job} said"))
}

fn build_database(source: &Path, target: &Path) -> anyhow::Result<Vec<Row>> {
    let first = ask("database", [source, target])?;
    let again = ask("database", [source, target])?;
    Ok(vec![
        Row::one("scan_db_build_ms", "database of the public advisories", first.ms, "ms").note(format!(
            "{}; peak {} MiB",
            first.what,
            shown(first.mib)
        )),
        Row::one("scan_db_again_ms", "the same import again", again.ms, "ms")
            .note(format!("peak {} MiB", shown(again.mib))),
    ])
}

fn measure_root(root: &world::Root, database: &Path) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let target = if root.id == "small" { "target <= 1000 ms" } else { "no target" };
    for cache in ["cold", "warm"] {
        note(&format!("{}, {cache}", root.what));
        let prepare = || if cache == "cold" { world::forget(&root.path) } else { Ok(()) };
        prepare()?;
        let own = ask("root", [root.path.as_path(), database])?;
        let id = format!("scan_{}_{cache}_ms", root.id);
        let said = format!("{target}; {}; peak {} MiB", own.what, shown(own.mib));
        rows.push(Row::one(id, format!("{}, {cache}", root.what), own.ms, "ms").note(said));
        for peer in world::peers(&root.path) {
            prepare()?;
            let id = format!("scan_{}_{cache}_{}_ms", root.id, peer.name);
            let theirs = match ask("peer", peer.command) {
                Ok(theirs) => theirs,
                Err(error) => {
                    note(&format!("SKIPPED: {}: {error:#}", peer.name));
                    continue;
                }
            };
            let what = format!("{}, {cache}, beside {}", root.what, peer.name);
            rows.push(
                Row::one(id, what, own.ms, "ms").peer(Peer::measured(peer.name, theirs.ms)).note(format!(
                    "peak {} MiB, peer {} MiB",
                    shown(own.mib),
                    shown(theirs.mib)
                )),
            );
        }
    }
    Ok(rows)
}

fn delta(extent: &Extent, dir: &Path) -> anyhow::Result<Vec<Row>> {
    note(&format!("making {} images", extent.images));
    let (images, database) = (dir.join("images"), dir.join("synthetic"));
    let count = extent.images.to_string();
    let changed = extent.changed.to_string();
    let args = |more: &[&str]| -> Vec<OsString> {
        let places = [images.as_os_str(), database.as_os_str()].map(OsString::from);
        places.into_iter().chain(more.iter().map(OsString::from)).collect()
    };
    ask("images", args(&[&count]))?;
    let cold = ask("delta", args(&[&changed, "0"]))?;
    let warm = ask("delta", args(&[&changed, "1"]))?;
    let what = |text: &str| format!("{text}, {} images of 400 packages", extent.images);
    Ok(vec![
        Row::one("scan_images_first_ms", what("first scan"), cold.more_ms, "ms")
            .note("every layer is read once".to_owned()),
        Row::one("scan_images_restart_ms", what("scan after a restart"), warm.more_ms, "ms")
            .note("from kept facts: no layer is read".to_owned()),
        Row::one("scan_delta_ms", what(&format!("{} advisories changed", extent.changed)), warm.ms, "ms")
            .note(format!("target <= 200 ms; {}; peak {} MiB", warm.what, shown(warm.mib))),
    ])
}
