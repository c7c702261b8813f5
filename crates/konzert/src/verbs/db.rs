//! `konzert db`: the advisory database, offline first.

use std::path::Path;

use jiff::SignedDuration;
use konzert_fleet::{
    AdvisoryStore, DEFAULT_MAX_AGE, DatabaseStatus, FleetError, ImportReport, feed_addresses,
};

use crate::cli::{Db, Global};
use crate::config::{Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};

pub(crate) async fn run(global: &Global, command: Db, printer: &Printer) -> Outcome {
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let max_age = if let Db::Status { max_age } = &command { *max_age } else { None };
    let store = open(&places, max_age)?;
    match command {
        Db::Import { sources } => {
            for source in sources {
                for report in import(&store, &source, printer).await? {
                    printer.result(&report, imported)?;
                }
            }
        }
        Db::Update => {
            let addresses = store.addresses().map_err(fleet_failure)?;
            if addresses.is_empty() {
                return Err(Failure::usage(
                    "nothing was imported from an address yet",
                    "name one once: `konzert db import osv:Debian`",
                ));
            }
            for address in addresses {
                printer.result(&fetch(&store, &address, printer).await?, imported)?;
            }
        }
        Db::Status { .. } => {
            let status = store.status().map_err(fleet_failure)?;
            printer.result(&status, status_table)?;
        }
    }
    Ok(Exit::Done)
}

/// The advisory database; sources older than `max_age` make results unknown.
pub(crate) fn open(places: &Places, max_age: Option<SignedDuration>) -> Result<AdvisoryStore, Failure> {
    let max_age = max_age.unwrap_or(DEFAULT_MAX_AGE);
    AdvisoryStore::with_max_age(&places.advisories(), max_age).map_err(fleet_failure)
}

/// A file wins over a feed of the same name.
async fn import(
    store: &AdvisoryStore,
    source: &str,
    printer: &Printer,
) -> Result<Vec<ImportReport>, Failure> {
    let address = source.starts_with("https://") || source.starts_with("http://");
    let path = Path::new(source).to_owned();
    let addresses = if address { Some(vec![source.to_owned()]) } else { feed_addresses(source) };
    if let Some(addresses) = addresses.filter(|_| address || !path.exists()) {
        let mut reports = Vec::new();
        for address in addresses {
            reports.push(fetch(store, &address, printer).await?);
        }
        return Ok(reports);
    }
    let (store, mut progress) = (store.clone(), printer.progress("importing advisories"));
    let work = move || store.import(&path, &mut |read| progress.update(&format!("{read} read")));
    Ok(vec![tokio::task::spawn_blocking(work).await?.map_err(fleet_failure)?])
}

async fn fetch(store: &AdvisoryStore, address: &str, printer: &Printer) -> Result<ImportReport, Failure> {
    let mut progress = printer.progress(&format!("fetching {address}"));
    store.import_url(address, move |detail| progress.update(&detail)).await.map_err(fleet_failure)
}

fn imported(report: &ImportReport) -> String {
    if report.not_modified {
        return format!("{}: nothing new, {} in all", report.source, report.total);
    }
    format!(
        "{}: {} advisories read, {} new or changed, {} in all",
        report.source, report.read, report.changed, report.total
    )
}

fn status_table(status: &DatabaseStatus) -> String {
    if status.advisories == 0 && status.sources.is_empty() {
        return "no advisories: every scan says `unknown` until `konzert db import` was run".to_owned();
    }
    let word = |stale: bool| if stale { "stale" } else { "current" }.to_owned();
    let rows: Vec<Vec<String>> = status
        .ecosystems
        .iter()
        .map(|e| vec![e.name.clone(), e.advisories.to_string(), e.newest.clone(), word(e.stale)])
        .collect();
    let mut text = columns(&["ECOSYSTEM", "ADVISORIES", "NEWEST CHANGE", "STATE"], &rows);
    let rows: Vec<Vec<String>> = status
        .sources
        .iter()
        .map(|s| {
            let age = format!("{} h", s.age_hours);
            vec![s.source.location.clone(), s.source.records.to_string(), age, word(s.stale)]
        })
        .collect();
    text.push('\n');
    text.push_str(&columns(&["SOURCE", "RECORDS", "AGE", "STATE"], &rows));
    if status.sources.iter().any(|s| s.stale) {
        text.push_str(
            "next: `konzert db update` asks the publishers again; scans of what is stale say `unknown`\n",
        );
    }
    text
}

/// A fleet error with its own hint and exit code.
pub(crate) fn fleet_failure(error: FleetError) -> Failure {
    let (hint, user) = (error.hint(), error.is_user_error());
    let mut failure = Failure::failed(error);
    failure.hint = hint;
    if user { failure.into_usage() } else { failure }
}
