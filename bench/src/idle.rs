//! What an engine costs that has nothing to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::numbers::float;
use crate::proc;
use crate::report::{KUBERNETES, Peer, Row};
use crate::support::engine::Engine;
use crate::support::leftovers;

/// What is left from the start is over by then.
const SETTLE: Duration = Duration::from_secs(5);

/// Watches an engine for `seconds`.
pub(crate) fn measure(program: &Path, seconds: u64) -> anyhow::Result<Vec<Row>> {
    let engine = Engine::up(program);
    let (pid, data) = (engine.pid(), engine.data());
    std::thread::sleep(SETTLE);
    let files = Files::of(&data);
    let spent = || Some((proc::cpu_time(pid)?, proc::written_bytes(pid)?));
    let before = spent().context("the engine has ended")?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = spent().context("the engine has ended")?;
    let (cpu, written) = (after.0.saturating_sub(before.0), after.1 - before.1);
    let (rss, pss) = proc::memory_mib(pid).context("the engine has ended")?;
    let changed = files.changed(&Files::of(&data));
    engine.purge();
    let share = cpu.as_secs_f64() / Duration::from_secs(seconds).as_secs_f64() * 100.0;
    Ok(vec![
        Row::one("idle_rss_mib", "idle memory, resident", rss, "MiB")
            .peer(Peer::published(KUBERNETES, "589 (618 MB)")),
        Row::one("idle_pss_mib", "idle memory, proportional", pss, "MiB"),
        Row::one("idle_cpu_percent", format!("idle CPU over {seconds} s"), share, "% of a core")
            .peer(Peer::published(KUBERNETES, "10.9"))
            .note(format!("{} ticks of 10 ms", cpu.as_millis() / 10)),
        Row::one("idle_written_bytes", format!("written to disk in {seconds} s"), float(written), "bytes"),
        Row::one(
            "idle_changed_files",
            format!("files changed in {seconds} s"),
            float(changed.len() as u64),
            "files",
        )
        .note(changed.join(", ")),
    ])
}

/// Size and time of the last change of every file in the data directory.
struct Files(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Files {
    fn of(data: &Path) -> Self {
        let described = leftovers::files(data).into_iter().filter_map(|name| {
            let found = std::fs::symlink_metadata(data.join(&name)).ok()?;
            Some((PathBuf::from(name), (found.len(), found.modified().ok())))
        });
        Self(described.collect())
    }

    fn changed(&self, later: &Self) -> Vec<String> {
        let differs = |path: &&PathBuf| self.0.get(*path) != later.0.get(*path);
        let mut names: Vec<String> = self
            .0
            .keys()
            .chain(later.0.keys())
            .filter(differs)
            .map(|path| path.display().to_string())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}
