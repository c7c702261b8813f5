//! Tasks of the house that are not part of the product: `cargo xtask <task>`.
#![forbid(unsafe_code)]

mod clients;
mod fuzz;
mod schema;
mod schemas;
mod test;
mod tidy;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Tasks of the house.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check the rules that no lint knows: import direction, head comments, file sizes, inherited lints
    Tidy,
    /// Run every test; fetches the clients it needs, and says what it skipped and why
    Test,
    /// Feed mutated input to the functions that read what strangers send; `--help` after `--` says more
    Fuzz {
        /// One target (all when left out), `--seconds N`, `--seed N`, `--replay FILE`, `--list`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Write the schema table of the API crate from its sources
    Schema {
        /// Only compare, do not write
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Tidy => tidy::run(&root()),
        Task::Test => test::run(&root()),
        Task::Fuzz { arguments } => fuzz::run(&root(), &arguments),
        Task::Schema { check } => schema::run(if check { schema::Mode::Check } else { schema::Mode::Write }),
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the workspace").to_owned()
}
