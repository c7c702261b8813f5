//! `konzert scan`: tests the fleet, an image here or in a registry, an archive, a directory tree or a document against advisories.
//!
//! Input is read and checked before anything is made: wrong input leaves nothing behind.

mod fleet;
mod input;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use konzert_advisories::Severity;
use konzert_fleet::report::{Report, ReportFormat, Section, TargetKind, sections};
use konzert_fleet::{Decisions, Looked, Scope, scan_report};
use konzert_images::{ContentStore, Reference, RegistryOptions};

use super::db::{self, fleet_failure};
use super::image::{find, image_failure, load_progress};
use super::registry;
use crate::cli::{Format, Global, RegistryArgs, Scan, ScanFormat, Threshold};
use crate::config::{Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};
use input::Sort;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is to be scanned.
enum Target {
    Fleet,
    Image(String),
    Registry(Reference, Box<RegistryOptions>),
    Oci(PathBuf),
    Archive(PathBuf),
    Rootfs(PathBuf),
    Sbom(PathBuf),
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Table, JSON or YAML of our own, as the global options say.
    Ours(Format),
    /// Somebody else's.
    Foreign(ReportFormat),
}

pub(crate) async fn run(global: &Global, args: &Scan, printer: &Printer) -> Outcome {
    let target = Target::parse(&args.target, &args.registry)?;
    let shape = shape(global, args)?;
    let decisions = input::decisions(args, matches!(target, Target::Fleet), printer)?;
    if let Target::Fleet = target {
        return fleet::run(global, args, &decisions, shape, printer).await;
    }
    let scope = decisions.scope;
    let (data_dir, shown) = (global.data_dir.clone(), printer.clone());
    let work = move || look(&target, &data_dir, scope, &shown);
    let looked = tokio::task::spawn_blocking(work).await??;
    let report = judge(global, args, looked, &decisions)?;
    print(args, &report, shape, printer)
}

impl Target {
    fn parse(text: &str, args: &RegistryArgs) -> Result<Self, Failure> {
        let hint = "the target is `fleet`, `image:NAME:TAG`, `registry:NAME:TAG`, `oci:DIR`, `archive:FILE`, `rootfs:DIR` or \
                    `sbom:FILE`";
        if !text.starts_with("registry:") && (args.platform.is_some() || args.plain_http) {
            return Err(Failure::usage(
                format!("--platform and --plain-http mean nothing for {text:?}"),
                "they are about registries: scan `registry:NAME:TAG`, or leave them away",
            ));
        }
        let unknown = || Failure::usage(format!("cannot scan {text:?}"), hint);
        let (kind, rest) = match text.split_once(':') {
            None if text == "fleet" => return Ok(Self::Fleet),
            None => return Err(unknown()),
            Some(parts) => parts,
        };
        let target =
            match kind {
                "image" => Self::Image(rest.to_owned()),
                "registry" => {
                    let reference = Reference::parse(rest).map_err(image_failure)?;
                    Self::Registry(reference, Box::new(registry::options(args)?))
                }
                "oci" => Self::Oci(rest.into()),
                "archive" => Self::Archive(rest.into()),
                "rootfs" => Self::Rootfs(rest.into()),
                "sbom" => Self::Sbom(rest.into()),
                _ => return Err(unknown().hint(format!(
                    "{hint}; an image of this machine is `image:{text}`, one of a registry `registry:{text}`"
                ))),
            };
        if rest.is_empty() { Err(unknown()) } else { Ok(target) }
    }
}

/// `--format` is the word of this verb, `-o` that of all verbs; they may not contradict each other.
fn shape(global: &Global, args: &Scan) -> Result<Shape, Failure> {
    let asked = match args.format {
        None => return Ok(Shape::Ours(global.output)),
        Some(ScanFormat::Table) => Shape::Ours(Format::Table),
        Some(ScanFormat::Json) => Shape::Ours(Format::Json),
        Some(ScanFormat::Sarif) => Shape::Foreign(ReportFormat::Sarif),
        Some(ScanFormat::Cyclonedx) => Shape::Foreign(ReportFormat::CycloneDx),
        Some(ScanFormat::Spdx) => Shape::Foreign(ReportFormat::Spdx),
        Some(ScanFormat::Openvex) => Shape::Foreign(ReportFormat::OpenVex),
    };
    if global.output != Format::Table && asked != Shape::Ours(global.output) {
        return Err(Failure::usage(
            "--format and --output ask for different formats",
            "leave one of them away",
        ));
    }
    Ok(asked)
}

fn look(target: &Target, data_dir: &Path, scope: Scope, printer: &Printer) -> Result<Vec<Looked>, Failure> {
    let images = |kind, path: &Path| {
        let progress = RefCell::new(printer.progress(&format!("reading {}", path.display())));
        let told = |at| progress.borrow_mut().update(&load_progress(&at));
        Looked::images(kind, path, scope, &told).map_err(image_failure)
    };
    match target {
        Target::Fleet => Ok(Vec::new()),
        Target::Image(name) => {
            let places = Places::of(data_dir, Create::Yes)?;
            let store = ContentStore::open(&places.images()).map_err(image_failure)?;
            let record = find(&store, name)?;
            Ok(vec![Looked::stored(&store, &record, scope).map_err(image_failure)?])
        }
        Target::Registry(reference, options) => {
            let places = Places::of(data_dir, Create::Yes)?;
            let store = Arc::new(ContentStore::open(&places.images()).map_err(image_failure)?);
            let progress = RefCell::new(printer.progress(&format!("reading {reference}")));
            let told = |at| progress.borrow_mut().update(&load_progress(&at));
            let looked = Looked::registry(&store, reference, options, scope, &told);
            Ok(vec![looked.map_err(registry::pull_failure)?])
        }
        Target::Oci(dir) => {
            input::check(dir, Sort::Directory, "`oci:DIR` is an OCI layout; a file is `archive:FILE`")?;
            images(TargetKind::Oci, dir)
        }
        Target::Archive(file) => {
            let hint = "`archive:FILE` is an image in a file; a directory is `oci:DIR` or `rootfs:DIR`";
            input::check(file, Sort::File, hint)?;
            images(TargetKind::Archive, file)
        }
        Target::Rootfs(dir) => {
            let hint = "`rootfs:DIR` is a directory with the files of a system; an image in a file is `archive:FILE`";
            input::check(dir, Sort::Directory, hint)?;
            let progress = RefCell::new(printer.progress(&format!("reading {}", dir.display())));
            let told = |entries| progress.borrow_mut().update(&format!("{entries} entries"));
            let looked = Looked::rootfs(dir, scope, &told).map_err(image_failure);
            Ok(vec![looked.map_err(|failure| match failure.hint {
                Some(_) => failure,
                None => failure.hint(hint),
            })?])
        }
        Target::Sbom(file) => {
            let name = file.display().to_string();
            let hint = "`sbom:FILE` is a CycloneDX or SPDX document in JSON; a directory is `rootfs:DIR` or `oci:DIR`";
            let bytes = input::read(file, hint)?;
            let looked = Looked::sbom(&bytes, &name).map_err(|error| {
                Failure::failed(error)
                    .into_usage()
                    .hint("give CycloneDX 1.x or SPDX 2.x in JSON, as `konzert image sbom` writes them")
            })?;
            Ok(vec![looked])
        }
    }
}

fn judge(
    global: &Global,
    args: &Scan,
    looked: Vec<Looked>,
    decisions: &Decisions,
) -> Result<Report, Failure> {
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let advisories = db::open(&places, args.max_age)?;
    scan_report(looked, &advisories, decisions, VERSION, Timestamp::now()).map_err(fleet_failure)
}

/// Prints a report and says how the run ends.
fn print(args: &Scan, report: &Report, shape: Shape, printer: &Printer) -> Outcome {
    match shape {
        Shape::Ours(Format::Table) => {
            let text: Vec<String> = sections(report).iter().map(lined_up).collect();
            printer.data(&text.join("\n"));
        }
        Shape::Ours(Format::Json) => print_foreign(report, ReportFormat::Json, printer),
        Shape::Ours(Format::Yaml) => printer.data(&serde_saphyr::to_string(&report.to_value())?),
        Shape::Foreign(format) => print_foreign(report, format, printer),
    }
    Ok(end(args, report, printer))
}

fn print_foreign(report: &Report, format: ReportFormat, printer: &Printer) {
    match report.write(format) {
        Some(text) => printer.data(&text),
        None => printer
            .note("nothing printed: an OpenVEX document needs a statement, and there is nothing to state"),
    }
}

fn lined_up(section: &Section) -> String {
    let mut text = section.before.join("\n");
    text.push('\n');
    if !section.rows.is_empty() {
        text.push_str(&columns(&section.header, &section.rows));
    }
    for line in &section.after {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Ignores that do nothing, on stderr.
fn tell_idle(report: &Report, printer: &Printer) {
    for row in &report.expired {
        let day = row.rule.expires.map(|day| day.to_string()).unwrap_or_default();
        printer.note(&format!(
            "{}:{}: the ignore of {} expired on {day}: it does nothing any more",
            row.file, row.rule.line, row.rule.id
        ));
    }
    for row in &report.unused {
        printer.note(&format!(
            "{}:{}: the ignore of {} matched nothing: remove it",
            row.file, row.rule.line, row.rule.id
        ));
    }
}

/// Notes on stderr, and the exit code. With a threshold, what is unknown never passes as clean.
fn end(args: &Scan, report: &Report, printer: &Printer) -> Exit {
    tell_idle(report, printer);
    let Some(threshold) = args.fail_on else { return Exit::Done };
    if report.reaches(severity(threshold)) {
        return Exit::Findings;
    }
    if !report.is_unknown() {
        return Exit::Done;
    }
    for target in &report.targets {
        for reason in &target.reasons {
            printer.note(&format!("{}: not known to be clean: {reason}", target.name));
        }
    }
    Exit::Findings
}

/// The severity a threshold stands for.
pub(crate) fn severity(threshold: Threshold) -> Severity {
    match threshold {
        Threshold::Unknown => Severity::Unknown,
        Threshold::Low => Severity::Low,
        Threshold::Medium => Severity::Medium,
        Threshold::High => Severity::High,
        Threshold::Critical => Severity::Critical,
    }
}
