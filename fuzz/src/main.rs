//! The command line of the fuzzer; `cargo xtask fuzz` calls it.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Parser;
use fuzz::run::{self, Plan};
use fuzz::{TARGETS, Target};

/// Feeds mutated input to the functions that read what strangers send.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask fuzz")]
struct Cli {
    /// One target; all of them, one after the other, when left out
    target: Option<String>,
    /// Seconds per target
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Start of the inputs; the time of day when left out
    #[arg(long)]
    seed: Option<u64>,
    /// Directory for failing inputs
    #[arg(long, default_value = "target/fuzz")]
    out: PathBuf,
    /// Run one kept input and nothing else
    #[arg(long, conflicts_with = "seconds")]
    replay: Option<PathBuf>,
    /// List the targets
    #[arg(long)]
    list: bool,
    #[arg(long, hide = true)]
    child: bool,
}

#[expect(clippy::print_stdout, reason = "a command line program")]
fn say(line: &str) {
    println!("{line}");
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if cli.list {
        for target in TARGETS {
            say(target.name);
        }
        return Ok(());
    }
    let time = Duration::from_secs(cli.seconds);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = cli.seed.unwrap_or(since.as_secs());
    let chosen = cli.target.as_deref().map(find).transpose()?;
    if let Some(path) = &cli.replay {
        let target = chosen.context("--replay needs the name of the target")?;
        return run::replay(target, std::fs::read(path).with_context(|| path.display().to_string())?);
    }
    if cli.child {
        let target = chosen.context("a child needs a target")?;
        let count = run::child(target, time, seed, &cli.out)?;
        say(&format!("{}: {count} inputs, seed {seed}", target.name));
        return Ok(());
    }
    let plan = Plan { time, seed, failures: cli.out };
    let all: Vec<&Target> = chosen.map_or_else(|| TARGETS.iter().collect(), |target| vec![target]);
    let mut failed = 0;
    for target in all {
        if let Some(input) = run::parent(target, &plan)? {
            failed += 1;
            let (name, input) = (target.name, input.display());
            say(&format!("FAILED {name}: seed {seed}; again with: cargo xtask fuzz {name} --replay {input}"));
        }
    }
    if failed > 0 {
        bail!("{failed} targets failed");
    }
    Ok(())
}

fn find(name: &str) -> anyhow::Result<&'static Target> {
    let names = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    fuzz::target(name).with_context(|| format!("no target {name:?}; there are {}", names()))
}
