//! Root file systems to scan, and the other scanners.
//!
//! Roots are made once and stay in the directory for temporary files: a Debian of some 100 MB by debootstrap, and one of 1 GB,
//! which is the first with jars, executables, many small files and large ones beside it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::note;

const SMALL: &str = "konzert-debian-root";
const LARGE: &str = "konzert-debian-root-1g";
/// In the large root: it is complete.
const COMPLETE: &str = ".konzert-complete";
const JARS: usize = 200;
const EXECUTABLES: usize = 20;
const SMALL_FILES: usize = 20_000;
const LARGE_FILES: usize = 12;
const LARGE_FILE_BYTES: usize = 48 << 20;

/// A root file system.
pub(crate) struct Root {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
}

/// Another scanner on a directory.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) command: Vec<String>,
}

/// The roots that can be had here.
pub(crate) fn roots() -> anyhow::Result<Vec<Root>> {
    let small = std::env::temp_dir().join(SMALL);
    if !small.join("var/lib/dpkg/status").exists() {
        note(&format!("making {} with debootstrap", small.display()));
        let mut debootstrap = Command::new("debootstrap");
        let made = debootstrap.args(["--variant=minbase", "bookworm"]).arg(&small).output();
        if !made.as_ref().is_ok_and(|output| output.status.success()) {
            let shown = small.display();
            note(&format!("SKIPPED: no Debian root: debootstrap --variant=minbase bookworm {shown}"));
            return Ok(Vec::new());
        }
    }
    let large = std::env::temp_dir().join(LARGE);
    if !large.join(COMPLETE).exists() {
        note(&format!("making {}", large.display()));
        make_large(&small, &large).with_context(|| large.display().to_string())?;
    }
    Ok(vec![
        Root { id: "small", what: "Debian root of 100 MB", path: small },
        Root { id: "large", what: "Debian root of 1 GB", path: large },
    ])
}

fn make_large(small: &Path, large: &Path) -> anyhow::Result<()> {
    if large.exists() {
        std::fs::remove_dir_all(large)?;
    }
    let copied = Command::new("cp").arg("-a").arg(small).arg(large).status().context("cp")?;
    if !copied.success() {
        bail!("cp ended with {copied}");
    }
    let opt = large.join("opt/bench");
    for dir in ["lib", "bin", "data"] {
        std::fs::create_dir_all(opt.join(dir))?;
    }
    for number in 0..JARS {
        write_jar(&opt.join(format!("lib/library-{number}.jar")), number)?;
    }
    let executable = std::env::current_exe()?;
    for number in 0..EXECUTABLES {
        std::fs::copy(&executable, opt.join(format!("bin/program-{number}")))?;
    }
    for number in 0..SMALL_FILES {
        let dir = opt.join(format!("data/{}", number / 500));
        std::fs::create_dir_all(&dir)?;
        let mut file = File::create(dir.join(format!("{number}.txt")))?;
        file.write_all(number.to_string().repeat(200).as_bytes())?;
    }
    for number in 0..LARGE_FILES {
        let mut file = BufWriter::new(File::create(opt.join(format!("data/large-{number}")))?);
        for block in 0..LARGE_FILE_BYTES / 64 {
            writeln!(file, "{:063x}", block.wrapping_mul(0x9e37_79b9_7f4a_7c15))?;
        }
        file.flush()?;
    }
    File::create(large.join(COMPLETE))?.sync_all()?;
    Ok(())
}

fn write_jar(path: &Path, number: usize) -> anyhow::Result<()> {
    let options = SimpleFileOptions::default();
    let mut jar = ZipWriter::new(BufWriter::new(File::create(path)?));
    jar.start_file(format!("META-INF/maven/org.example/library-{number}/pom.properties"), options)?;
    write!(jar, "groupId=org.example\nartifactId=library-{number}\nversion=1.{number}\n")?;
    for class in 0..50 {
        jar.start_file(format!("org/example/Class{class}.class"), options)?;
        jar.write_all(format!("{number} {class} ").repeat(800).as_bytes())?;
    }
    jar.finish()?.flush()?;
    Ok(())
}

/// Takes the content of all files out of the page cache.
pub(crate) fn forget(root: &Path) -> anyhow::Result<()> {
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                let file = File::open(entry.path())?;
                // Only what is written can be forgotten.
                file.sync_data()?;
                posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
            }
        }
    }
    Ok(())
}

/// The scanners that the environment names.
pub(crate) fn peers(root: &Path) -> Vec<Peer> {
    let dir = root.display().to_string();
    let of = |name: &'static str, variable: &str, args: &[&str]| match std::env::var_os(variable) {
        None => {
            note(&format!("SKIPPED: {name}: {variable} names no binary"));
            None
        }
        Some(program) => {
            let program = program.to_string_lossy().into_owned();
            let args = args.iter().map(|arg| (*arg).to_owned());
            Some(Peer { name, command: std::iter::once(program).chain(args).collect() })
        }
    };
    let trivy = [
        "rootfs",
        "--quiet",
        "--offline-scan",
        "--skip-db-update",
        "--skip-java-db-update",
        "--scanners",
        "vuln",
        "--format",
        "json",
        &dir,
    ];
    let source = format!("dir:{dir}");
    [
        of("trivy", "KONZERT_BENCH_TRIVY", &trivy),
        of("grype", "KONZERT_BENCH_GRYPE", &["--quiet", "--output", "json", &source]),
        of("syft", "KONZERT_BENCH_SYFT", &["scan", "--quiet", "--output", "json", &source]),
    ]
    .into_iter()
    .flatten()
    .collect()
}
