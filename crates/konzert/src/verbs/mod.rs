//! One file per verb; a new one is a new file and one line here.

mod completion;
mod db;
mod down;
mod image;
mod patch;
mod reap;
mod registry;
mod scan;
mod status;
mod up;
mod version;

pub(crate) use db::fleet_failure;
pub(crate) use image::image_failure;
pub(crate) use patch::headline as patch_headline;

use crate::cli::{Cli, Verb};
use crate::exit::Outcome;
use crate::printer::Printer;

/// Runs the verb of the command line.
pub(crate) async fn run(cli: Cli, printer: &Printer) -> Outcome {
    let global = &cli.global;
    match cli.verb {
        Verb::Up(args) => Box::pin(up::run(global, &args, printer)).await,
        Verb::Status(args) => status::run(global, &args, printer).await,
        Verb::Down(args) => down::run(global, &args, printer).await,
        Verb::Image(command) => image::run(global, command, printer).await,
        Verb::Db(command) => db::run(global, command, printer).await,
        Verb::Scan(args) => scan::run(global, &args, printer).await,
        Verb::Patch(args) => patch::run(global, args, printer).await,
        Verb::Reap(args) => reap::run(global, args, printer).await,
        // The story is a large future, and the other verbs need not carry it.
        Verb::Quickstart(args) => Box::pin(crate::quickstart::run(global, &args, printer)).await,
        Verb::Completion(args) => Ok(completion::run(&args, printer)),
        Verb::Version => version::run(printer),
    }
}
