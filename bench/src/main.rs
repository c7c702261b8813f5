//! Measures the engine from outside, as its users meet it, and a peer beside it in the same run where one is named.
//!
//! Does not judge: it prints medians, what the peer needed for the same, and what the machine is. A figure that was not
//! measured in this run is marked as published. Peers come from the environment: `KONZERT_BENCH_ETCD` (path of an etcd),
//! `KONZERT_BENCH_KUBE_APISERVER` (path of a kube-apiserver), `KONZERT_BENCH_KUBECONFIG` (a Kubernetes) and `KONZERT_BENCH_IMAGE` (an image that this Kubernetes has),
//! `KONZERT_BENCH_TRIVY`, `KONZERT_BENCH_GRYPE` and `KONZERT_BENCH_SYFT` (paths of scanners).
#![forbid(unsafe_code)]

mod api;
mod etcd;
mod idle;
mod machine;
mod numbers;
mod pods;
mod proc;
mod report;
mod scan;
mod startup;
mod store;
#[path = "../../crates/konzert/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::report::Report;

/// Measures konzert, and peers beside it.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = "Example: cargo run --release -p bench -- engine -o json")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start-up, idle cost, pods, store
    Engine(Engine),
    /// The API under load, beside a kube-apiserver where the environment names one
    Api(Api),
    /// Cataloguing, matching, the advisory database, and reports after an import, beside other scanners where the environment
    /// names them
    Scan(Scan),
    /// One measurement in a process of its own
    #[command(hide = true)]
    ScanChild(scan::Job),
}

/// What of scanning is measured.
#[derive(Clone, Debug, Args)]
struct Scan {
    /// Output format
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The konzert to measure [default: built from this workspace, in the profile of the bench]
    #[arg(long, value_name = "FILE")]
    konzert: Option<PathBuf>,
    /// Directory with public advisories [default: ../shared/data/advisories beside the workspace]
    #[arg(long, value_name = "DIR")]
    advisories: Option<PathBuf>,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = scan::Part::ALL)]
    only: Vec<scan::Part>,
    /// Synthetic images
    #[arg(long, default_value_t = 1000)]
    images: usize,
    /// Advisories that change
    #[arg(long, default_value_t = 200)]
    changed: usize,
}

/// What of the API is measured.
#[derive(Clone, Debug, Args)]
struct Api {
    /// Output format
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The konzert to measure [default: built from this workspace, in the profile of the bench]
    #[arg(long, value_name = "FILE")]
    konzert: Option<PathBuf>,
    /// How many objects are created, listed and deleted
    #[arg(long, default_value_t = 5000)]
    objects: usize,
    /// How long gets, lists, patches and watches go on
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many watchers there are
    #[arg(long, default_value_t = 1000)]
    watchers: usize,
    /// How many updates a second they see
    #[arg(long, default_value_t = 100)]
    updates: u64,
}

/// What of the engine is measured, and how often.
#[derive(Clone, Debug, Args)]
struct Engine {
    /// Output format
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The konzert to measure [default: built from this workspace, in the profile of the bench]
    #[arg(long, value_name = "FILE")]
    konzert: Option<PathBuf>,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Startup, Part::Idle, Part::Pods, Part::Store])]
    only: Vec<Part>,
    /// How often the engine is started
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// How long the idle engine is watched
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// How many pods are created one after the other
    #[arg(long, default_value_t = 20)]
    pods: usize,
    /// Replicas of the Deployment
    #[arg(long, default_value_t = 100)]
    replicas: usize,
    /// How long each number of writers writes
    #[arg(long, default_value_t = 3)]
    store_seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for people
    Table,
    /// One JSON document
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Start until Ready
    Startup,
    /// Memory, CPU and disk writes of an engine that has nothing to do
    Idle,
    /// Pods and Deployments
    Pods,
    /// Durable writes
    Store,
}

fn main() -> ExitCode {
    let (output, measured) = match Cli::parse().what {
        What::Engine(args) => (args.output, engine(&args)),
        What::Api(args) => (args.output, api(&args)),
        What::Scan(args) => (args.output, scan(&args)),
        What::ScanChild(job) => return scan_child(&job),
    };
    match measured {
        Ok(report) => {
            print(&match output {
                Format::Table => report.table(),
                Format::Json => report.json(),
            });
            ExitCode::SUCCESS
        }
        Err(error) => {
            note(&format!("error: {error:#}"));
            note(
                "hint: run it as root, on a machine that can run `konzert up`; `bench engine --help`, `bench api --help` and `bench scan --help` list what can be set",
            );
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the one place that prints results")]
fn print(text: &str) {
    println!("{text}");
}

/// A line for people, beside the results.
#[expect(clippy::print_stderr, reason = "the one place that prints progress")]
fn note(line: &str) {
    eprintln!("{line}");
}

/// The program to measure.
fn program(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the bench needs root: it runs engines with real containers");
    }
    match named {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string()),
        None => build(),
    }
}

fn api(args: &Api) -> anyhow::Result<Report> {
    let program = program(args.konzert.as_ref())?;
    let mut report = Report::new(machine::describe(), &program);
    report.extend(api::measure(
        &program,
        api::Extent {
            objects: args.objects,
            lasting: std::time::Duration::from_secs(args.seconds),
            watchers: args.watchers,
            updates: args.updates,
        },
    )?);
    Ok(report)
}

fn scan(args: &Scan) -> anyhow::Result<Report> {
    let program = program(args.konzert.as_ref())?;
    let mut report = Report::new(machine::describe(), &program);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/advisories");
    report.extend(scan::measure(
        &program,
        &scan::Extent {
            advisories: args.advisories.clone().unwrap_or_else(beside),
            only: args.only.clone(),
            images: args.images,
            changed: args.changed,
        },
    )?);
    Ok(report)
}

fn scan_child(job: &scan::Job) -> ExitCode {
    match scan::child(job) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::from(3)
        }
    }
}

fn engine(args: &Engine) -> anyhow::Result<Report> {
    let program = program(args.konzert.as_ref())?;
    let mut report = Report::new(machine::describe(), &program);
    let wanted = |part| args.only.contains(&part);
    if wanted(Part::Startup) {
        note(&format!("starting {} engines", args.starts));
        report.extend(startup::measure(&program, args.starts)?);
    }
    if wanted(Part::Idle) {
        note(&format!("watching an idle engine for {} s", args.idle_seconds));
        report.extend(idle::measure(&program, args.idle_seconds)?);
    }
    if wanted(Part::Pods) {
        note(&format!("creating {} pods, then a Deployment of {}", args.pods, args.replicas));
        report.extend(pods::measure(&program, args.pods, args.replicas)?);
    }
    if wanted(Part::Store) {
        note(&format!("writing for {} s with 1, 16 and 64 writers", args.store_seconds));
        report.extend(store::measure(args.store_seconds)?);
    }
    Ok(report)
}

/// Builds the binary in the profile this program was built in; it lands beside this program.
fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).args(["build", "--quiet", "-p", "konzert"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = command.status().context("cargo build")?;
    if !built.success() {
        bail!("cargo build -p konzert ended with {built}; name a binary with --konzert");
    }
    let here = std::env::current_exe()?;
    let program = here.with_file_name("konzert");
    program.canonicalize().with_context(|| format!("{}: name a binary with --konzert", program.display()))
}
