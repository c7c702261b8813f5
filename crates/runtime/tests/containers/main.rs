//! Real containers. This executable is test driver, shim and container program at once, told apart by its first argument:
//! it is linked statically, so a hard link of it is a complete root filesystem.
//!
//! Needs root and cgroups; says so loudly where it has to skip. Takes a name filter like every test executable.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test with a main of its own: the exceptions for tests do not reach it, and printing is its report"
)]

mod bed;
mod cases;
mod payload;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use bed::Bed;

fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|first| first.to_str()) {
        Some("shim") => konzert_runtime::shim_main(&args[1..]),
        Some("payload") => payload::run(&args[1..]),
        Some("engine") => cases::restart::engine(&args[1..]),
        _ => drive(&args),
    }
}

fn drive(args: &[std::ffi::OsString]) -> ExitCode {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let cases = cases::all();
    if words.contains(&"--list") {
        for (name, _) in cases {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let exact = words.contains(&"--exact");
    let filters: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| if exact { *filter == name } else { name.contains(filter) })
    };
    let chosen: Vec<_> = cases.into_iter().filter(|(name, _)| wanted(name)).collect();
    println!("\nrunning {} tests", chosen.len());
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: every test here starts containers and needs root; run as root to test anything");
        println!(
            "\ntest result: ok. 0 passed; 0 failed; {} ignored; 0 measured; 0 filtered out\n",
            chosen.len()
        );
        return ExitCode::SUCCESS;
    }
    let _program = bed::copy_program();
    let mut failed = Vec::new();
    for (name, case) in &chosen {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(name, *case)));
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        bed::remove_cgroups();
    }
    let passed = chosen.len() - failed.len();
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    for name in &failed {
        println!("failed: {name}");
    }
    println!(
        "\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out\n",
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn run(name: &str, case: cases::Case) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let mut bed = Bed::new(name);
        case(&mut bed).await;
        bed.clean().await;
    });
}
