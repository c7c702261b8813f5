//! The client matrix: every released kubectl from 1.32 to 1.37, Helm 3 and Helm 4, unmodified, against one engine.
//!
//! A row is something that people do, a column is a client, a cell is a function that panics when the client does not get what
//! Kubernetes would give it. The table is printed whole; the test fails when one cell does. Cells of a column run in
//! order, in a namespace of their own, and may build on each other. Columns take turns, because some cells cordon the node.
//!
//! Needs the environment variable `KONZERT_CLIENTS`, a directory with `<minor>/kubectl` and `<minor>/helm`;
//! `cargo xtask test` fetches them and sets it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops at the first surprise, prints its table, and says what it skips"
)]

mod client;
mod helm;
mod kubectl;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::path::{Path, PathBuf};

use client::Client;
use support::engine::Engine;
use support::{fleet, have_root};
use table::{Column, Row, Table};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");

/// The directories of all clients, oldest first; `None` when they are not here, which was said.
fn clients(what: &str) -> Option<Vec<(String, PathBuf)>> {
    let Some(dir) = std::env::var_os("KONZERT_CLIENTS") else {
        eprintln!(
            "SKIPPED: {what}: set KONZERT_CLIENTS to a directory of clients, or run `cargo xtask test`"
        );
        return None;
    };
    let mut found: Vec<(String, PathBuf)> = std::fs::read_dir(&dir)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().join("kubectl").exists())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    found.sort();
    assert!(found.len() >= 6, "clients are missing in {}: {found:?}", dir.display());
    have_root(what).then_some(found)
}

fn engine_with_images() -> Engine {
    let engine = Engine::up(Path::new(PROGRAM));
    let images = fleet::images(&engine.data());
    let base = fleet::build_base(&images, "1.0", fleet::VULNERABLE);
    let built = fleet::build_apps(&images, &base, Path::new(PROGRAM), "serve", &["app"]);
    images.tag(&built[0].digest, &"test/app:2.0".parse().unwrap()).unwrap();
    engine
}

fn play(engine: &Engine, title: &str, rows: &[Row], columns: Vec<(String, PathBuf)>) {
    let mut table = Table::new(title, rows);
    for (name, program) in columns {
        let client = Client::new(engine, &program, &name);
        table.add(Column::play(&name, rows, &client));
    }
    println!("{table}");
    assert!(table.failures().is_empty(), "cells failed:\n{}", table.failures().join("\n"));
}

#[test]
fn every_kubectl() {
    let Some(clients) = clients("the client matrix of kubectl") else { return };
    let engine = engine_with_images();
    let columns = clients.into_iter().map(|(minor, dir)| (minor, dir.join("kubectl"))).collect();
    play(&engine, "kubectl", kubectl::ROWS, columns);
    engine.purge();
}

#[test]
fn every_helm() {
    let Some(clients) = clients("the client matrix of Helm") else { return };
    let engine = engine_with_images();
    let mut columns: Vec<(String, PathBuf)> = Vec::new();
    for (_, dir) in clients {
        let program = dir.join("helm");
        let version = helm::version(&program);
        if columns.iter().all(|(known, _)| *known != version) {
            columns.push((version, program));
        }
    }
    for major in ["3.", "4."] {
        assert!(
            columns.iter().any(|(version, _)| version.starts_with(major)),
            "no Helm {major}x: {columns:?}"
        );
    }
    play(&engine, "Helm", helm::ROWS, columns);
    engine.purge();
}
