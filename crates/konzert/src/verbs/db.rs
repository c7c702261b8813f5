//! `konzert db`: the advisory database, offline first.

use konzert_fleet::{AdvisoryStore, FleetError};

use crate::cli::{Db, Global};
use crate::config::{Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};

pub(crate) async fn run(global: &Global, command: Db, printer: &Printer) -> Outcome {
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let store = AdvisoryStore::open(&places.advisories())?;
    match command {
        Db::Import { paths } => {
            for path in paths {
                let (store, mut progress) = (store.clone(), printer.progress("importing advisories"));
                let work = move || store.import(&path, &mut |read| progress.update(&format!("{read} read")));
                let report = tokio::task::spawn_blocking(work).await?.map_err(fleet_failure)?;
                printer.result(&report, |r| {
                    format!(
                        "{}: {} advisories read, {} new or changed, {} in all",
                        r.source, r.read, r.changed, r.total
                    )
                })?;
            }
        }
        Db::Status => {
            let status = store.status().map_err(fleet_failure)?;
            printer.result(&status, |s| {
                if s.advisories == 0 {
                    return "no advisories: every scan says `unknown` until `konzert db import` was run"
                        .to_owned();
                }
                let rows: Vec<Vec<String>> = s
                    .ecosystems
                    .iter()
                    .map(|e| vec![e.name.clone(), e.advisories.to_string(), e.newest.clone()])
                    .collect();
                columns(&["ECOSYSTEM", "ADVISORIES", "NEWEST CHANGE"], &rows)
            })?;
        }
    }
    Ok(Exit::Done)
}

/// A fleet error with its own hint and exit code.
pub(crate) fn fleet_failure(error: FleetError) -> Failure {
    let (hint, user) = (error.hint(), error.is_user_error());
    let mut failure = Failure::failed(error);
    failure.hint = hint;
    if user { failure.into_usage() } else { failure }
}
