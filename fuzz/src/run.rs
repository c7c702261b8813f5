//! Runs one target for a time: in a process of its own, with limits, so that whatever goes wrong leaves the input behind.
//!
//! The child writes each input to a file before it runs it. When the child panics, overflows its stack, runs out of memory or
//! does not come back, the parent keeps that file. The seed that is printed makes the same inputs again.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::Target;
use crate::mutate::{Random, mutate};

/// The same as a worker thread of the engine has.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// Address space of a child; inputs are at most 64 KiB.
const MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// One input may take this long before it counts as one that does not come back.
const INPUT_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// How long, from which seed, and where failing inputs go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Time for one target.
    pub time: Duration,
    /// Start of the inputs.
    pub seed: u64,
    /// Directory for failing inputs.
    pub failures: PathBuf,
}

/// Runs `target` in a child of this program, which understands `--child`. Returns the path of a failing input.
pub fn parent(target: &Target, plan: &Plan) -> anyhow::Result<Option<PathBuf>> {
    std::fs::create_dir_all(&plan.failures)
        .with_context(|| format!("cannot make {}", plan.failures.display()))?;
    let current = plan.failures.join(format!("{}-{}.running", target.name, std::process::id()));
    let mut child = Command::new(std::env::current_exe()?)
        .args([target.name, "--child", "--seconds"])
        .arg(plan.time.as_secs().to_string())
        .args(["--seed", &plan.seed.to_string(), "--out"])
        .arg(&current)
        .spawn()?;
    let status = wait(&mut child, plan.time + INPUT_TIMEOUT)?;
    if status.is_some_and(|status| status.success()) {
        std::fs::remove_file(&current)?;
        return Ok(None);
    }
    let kept = plan.failures.join(format!("{}-seed-{}", target.name, plan.seed));
    std::fs::rename(&current, &kept).with_context(|| format!("no input in {}", current.display()))?;
    Ok(Some(kept))
}

/// `None`: it did not come back, and is gone now.
fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The child: inputs until the time is over. Returns how many.
pub fn child(target: &'static Target, time: Duration, seed: u64, current: &Path) -> anyhow::Result<u64> {
    let limit = Rlimit { current: Some(MEMORY_BYTES), maximum: Some(MEMORY_BYTES) };
    setrlimit(Resource::As, limit).context("cannot limit memory")?;
    let file = File::create(current).with_context(|| format!("cannot write {}", current.display()))?;
    let work = move || inputs(target, time, seed, file);
    match std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work)?.join() {
        Ok(count) => count,
        Err(_panic) => bail!("{} panicked", target.name),
    }
}

fn inputs(target: &Target, time: Duration, seed: u64, mut current: File) -> anyhow::Result<u64> {
    let seeds = (target.seeds)();
    let mut random = Random::new(seed);
    let end = Instant::now() + time;
    let mut count = 0;
    let mut run = |input: &[u8]| -> anyhow::Result<()> {
        current.rewind()?;
        current.write_all(input)?;
        current.set_len(input.len() as u64)?;
        (target.run)(input);
        count += 1;
        Ok(())
    };
    seeds.iter().try_for_each(|seed| run(seed))?;
    while Instant::now() < end {
        run(&mutate(&mut random, target.form, &seeds))?;
    }
    Ok(count)
}

/// Runs one kept input in this process, on a stack of the usual size.
pub fn replay(target: &'static Target, input: Vec<u8>) -> anyhow::Result<()> {
    let work = move || (target.run)(&input);
    match std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work)?.join() {
        Ok(()) => Ok(()),
        Err(_panic) => bail!("{} panicked", target.name),
    }
}
