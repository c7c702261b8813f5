//! `cargo xtask fuzz`: builds the fuzzer and runs it. What it does is in the crate `fuzz`, whose tests
//! include a short run.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

/// Runs the fuzzer with these arguments.
pub(crate) fn run(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["run", "--quiet", "--package", "fuzz", "--"]).args(arguments);
    if !command.status()?.success() {
        bail!("the fuzzer found something, or could not run");
    }
    Ok(())
}
