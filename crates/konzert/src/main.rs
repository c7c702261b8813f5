//! The binary: command line, one file per verb, assembly of the parts, the one Printer.
//!
//! Does not hold logic that another crate could hold. The same file is also the container shim and the sample program of
//! the quickstart; both are dispatched before anything else, because neither may start threads.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod engine;
mod exit;
mod lock;
mod printer;
mod quickstart;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Verb};
use crate::exit::{Exit, Outcome};
use crate::printer::Printer;

fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    match args.get(1).and_then(|a| a.to_str()) {
        Some("shim") => return konzert_runtime::shim_main(&args[2..]),
        Some(quickstart::SAMPLE_VERB) => return quickstart::sample::main(&args[2..]),
        Some(quickstart::INIT_VERB) => return quickstart::sandbox::init_main(&args[2..]),
        _ => {}
    }
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let printer = Printer::new(&cli.global);
    start_tracing(cli.global.verbose);
    let ended = run(cli, &printer);
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit.into()
        }
    }
}

/// clap prints help to stdout with code 0 and errors to stderr with code 2, which are our codes too.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody can be told that the output is gone.
    drop(error.print());
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

fn start_tracing(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info,kube=warn,hyper=warn",
        _ => "debug",
    };
    let filter = config::log_filter().unwrap_or_else(|| default.to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_target(verbose > 1)
        .init();
}

fn run(cli: Cli, printer: &Printer) -> Outcome {
    // The outer half of the quickstart makes namespaces, which needs a process with a single thread.
    if let Verb::Quickstart(args) = &cli.verb
        && args.inside.is_none()
    {
        return quickstart::sandbox::run(&cli.global, args, printer);
    }
    if matches!(cli.verb, Verb::Quickstart(_)) {
        quickstart::sandbox::receive_signals()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(verbs::run(cli, printer));
    // Blocking work that nobody waits for any more must not hold up the exit.
    runtime.shutdown_background();
    ended
}
