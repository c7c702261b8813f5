//! `konzert version`.

use serde::Serialize;

use crate::exit::{Exit, Outcome};
use crate::printer::Printer;

/// The Kubernetes API the engine speaks.
const KUBERNETES: &str = "1.37";

#[derive(Serialize)]
struct Version {
    konzert: &'static str,
    kubernetes: &'static str,
}

pub(crate) fn run(printer: &Printer) -> Outcome {
    let version = Version { konzert: env!("CARGO_PKG_VERSION"), kubernetes: KUBERNETES };
    printer.result(&version, |v| format!("konzert {} (Kubernetes API {})", v.konzert, v.kubernetes))?;
    Ok(Exit::Done)
}
