//! `cargo xtask fuzz`: builds the fuzzer and runs it. What it does is in the crate `fuzz`.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

/// Seconds per target in `cargo xtask test`.
const SHORT_SECONDS: &str = "3";

/// Runs the fuzzer with these arguments.
pub(crate) fn run(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["run", "--quiet", "--package", "fuzz", "--"]).args(arguments);
    if !command.status()?.success() {
        bail!("the fuzzer found something, or could not run");
    }
    Ok(())
}

/// A few seconds of every target.
pub(crate) fn short(root: &Path) -> anyhow::Result<()> {
    run(root, &["--seconds".to_owned(), SHORT_SECONDS.to_owned()])
}
