//! `cargo xtask test`: every test of the workspace, with what the whole-system ones need.
//!
//! Invariant: what was skipped is printed at the end with its reason; nothing is skipped in silence.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::{clients, schemas};

/// Runs the tests.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut skipped = Vec::new();
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["test", "--workspace", "--no-fail-fast"]);
    match clients::all(root) {
        Ok(clients) => {
            command.env("KONZERT_KUBECTL", clients::newest_kubectl(&clients));
            command.env("KONZERT_CLIENTS", clients);
        }
        Err(error) => skipped.push(format!("tests with the real kubectl and Helm: {error:#}")),
    }
    let (dir, missing) = schemas::all(root);
    command.env("KONZERT_SCHEMAS", dir);
    skipped.extend(missing.into_iter().map(|what| format!("validation against {what}")));
    if !is_root() {
        skipped.push("tests with real containers, networks and mounts: they need root".to_owned());
    }
    if !root.join("../shared/data/versions").is_dir() {
        skipped.push("public version vectors and advisories: they are not beside the project".to_owned());
    }
    let status = command.status()?;
    for what in &skipped {
        say(&format!("SKIPPED: {what}"));
    }
    if skipped.is_empty() {
        say("nothing was skipped");
    }
    if !status.success() {
        bail!("tests failed");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the one place where this task prints")]
fn say(line: &str) {
    println!("{line}");
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}
