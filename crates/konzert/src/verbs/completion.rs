//! `konzert completion SHELL`.

use clap::CommandFactory as _;

use crate::cli::{Cli, Completion};
use crate::exit::Exit;
use crate::printer::Printer;

pub(crate) fn run(args: &Completion, printer: &Printer) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "konzert", &mut script);
    printer.data(&String::from_utf8_lossy(&script));
    Exit::Done
}
