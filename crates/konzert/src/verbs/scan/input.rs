//! The files that decide about findings: VEX documents and ignore files. Read and checked before anything else happens.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use konzert_advisories::ignore::Ignores;
use konzert_advisories::openvex::Document;
use konzert_fleet::{Decisions, Scope};

use crate::cli::Scan;
use crate::exit::Failure;
use crate::printer::Printer;

/// Longest input file.
const MAX_BYTES: u64 = 64 << 20;
/// Ignore files that are taken from the current directory when none is named: ours, and Trivy's, whose users expect it.
const USUAL: [&str; 3] = [".konzertignore.yaml", ".trivyignore", ".trivyignore.yaml"];

/// Reads what the options name. A file in the current directory says nothing about a fleet.
pub(super) fn decisions(args: &Scan, fleet: bool, printer: &Printer) -> Result<Decisions, Failure> {
    let mut ignores = Vec::new();
    for file in &args.ignore_file {
        ignores.push(ignore(file)?);
    }
    if args.ignore_file.is_empty() && !args.no_ignore && !fleet {
        for file in USUAL.map(PathBuf::from) {
            if file.is_file() {
                let (name, read) = ignore(&file)?;
                printer.note(&format!(
                    "{name}: {} ignores are applied (--no-ignore leaves them out)",
                    read.rules.len()
                ));
                ignores.push((name, read));
            }
        }
    }
    let vex = args.vex.iter().map(|file| vex(file)).collect::<Result<Vec<_>, _>>()?;
    Ok(Decisions {
        scope: if args.all { Scope::All } else { Scope::Usual },
        vex,
        ignores,
        only_fixed: args.only_fixed,
        advisories: args.advisory.clone(),
    })
}

fn ignore(file: &Path) -> Result<(String, Ignores), Failure> {
    let name = file.display().to_string();
    let bytes = read(file, "name an ignore file that is there and readable")?;
    let read = Ignores::parse(&bytes, &name).map_err(|error| {
        Failure::failed(error)
            .into_usage()
            .hint("write `ignores:` with id, reason and expires for each, or lines as in .trivyignore; see docs/scan-report.md")
    })?;
    Ok((name, read))
}

fn vex(file: &Path) -> Result<Document, Failure> {
    let bytes = read(file, "name a VEX document that is there and readable")?;
    Document::parse(&bytes, &file.display().to_string())
        .map_err(|error| Failure::failed(error).into_usage().hint("give an OpenVEX 0.2.0 document in JSON"))
}

/// What a path must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    File,
    Directory,
}

/// Says what is wrong with a path before anything is read or made. A pipe would hang; process substitution is the only loss.
pub(super) fn check(path: &Path, sort: Sort, hint: &str) -> Result<(), Failure> {
    let shown = path.display();
    let fault = |error: std::io::Error| Failure::usage(format!("cannot read {shown}: {error}"), hint);
    let meta = std::fs::metadata(path).map_err(fault)?;
    match sort {
        Sort::Directory if !meta.is_dir() => Err(Failure::usage(format!("{shown}: not a directory"), hint)),
        Sort::File if meta.is_dir() => Err(Failure::usage(format!("{shown}: a directory, not a file"), hint)),
        Sort::File if !meta.is_file() => Err(Failure::usage(format!("{shown}: not a file"), hint)),
        Sort::Directory => std::fs::read_dir(path).map(drop).map_err(fault),
        Sort::File => File::open(path).map(drop).map_err(fault),
    }
}

/// A regular file, up to a bound.
pub(super) fn read(file: &Path, hint: &str) -> Result<Vec<u8>, Failure> {
    check(file, Sort::File, hint)?;
    let shown = file.display();
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|f| f.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}"), hint))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(format!("{shown}: longer than {MAX_BYTES} bytes"), hint));
    }
    Ok(bytes)
}
