//! The result: one row per figure, with its peer, as columns or as JSON.

use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::numbers::{Samples, shown};

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    program: String,
    /// Figures of a debug build say nothing about the product.
    profile: &'static str,
    rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Stable name for programs.
    id: String,
    what: String,
    unit: &'static str,
    value: f64,
    /// Where there are several measurements: `value` is their median.
    #[serde(skip_serializing_if = "Option::is_none")]
    p95: Option<f64>,
    samples: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Peer>,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

/// The peer of the published figures: its components with etcd 3.4 and containerd 1.6, client limits raised.
pub(crate) const KUBERNETES: &str = "Kubernetes 1.20";

/// What somebody else needs for the same.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Peer {
    name: String,
    /// As text: published figures are ranges.
    value: String,
    /// In this run, on this machine; otherwise published.
    measured: bool,
}

impl Peer {
    /// Measured in this run.
    pub(crate) fn measured(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value: shown(value), measured: true }
    }

    /// Measured once on two cores, and written down; not measured in this run.
    pub(crate) fn published(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), measured: false }
    }
}

impl Row {
    pub(crate) fn one(
        id: impl Into<String>,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            id: id.into(),
            what: what.into(),
            unit,
            value,
            p95: None,
            samples: 1,
            peer: None,
            note: String::new(),
        }
    }

    pub(crate) fn of(
        id: impl Into<String>,
        what: impl Into<String>,
        samples: &Samples,
        unit: &'static str,
    ) -> Self {
        let row = Self::one(id, what, samples.median(), unit);
        Self { p95: Some(samples.percentile(95)), samples: samples.len(), ..row }
    }

    pub(crate) fn peer(self, peer: Peer) -> Self {
        Self { peer: Some(peer), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    fn cells(&self) -> [String; 5] {
        let p95 = self.p95.map(|p95| format!(" (p95 {})", shown(p95))).unwrap_or_default();
        let peer = self.peer.as_ref().map_or_else(String::new, |peer| {
            let source = if peer.measured { "measured" } else { "published" };
            format!("{} ({}, {source})", peer.value, peer.name)
        });
        [
            self.what.clone(),
            format!("{}{p95}", shown(self.value)),
            self.unit.to_owned(),
            peer,
            self.note.clone(),
        ]
    }
}

impl Report {
    pub(crate) fn new(machine: Machine, program: &Path) -> Self {
        let profile =
            if program.components().any(|part| part.as_os_str() == "debug") { "debug" } else { "release" };
        Self { machine, program: program.display().to_string(), profile, rows: Vec::new() }
    }

    pub(crate) fn extend(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub(crate) fn table(&self) -> String {
        let header = ["WHAT", "KONZERT", "UNIT", "PEER", "NOTE"].map(String::from);
        let rows: Vec<[String; 5]> =
            std::iter::once(header).chain(self.rows.iter().map(Row::cells)).collect();
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 5] = std::array::from_fn(width);
        let mut text = format!("{}\n{} ({} build)\n\n", self.machine, self.program, self.profile);
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 3));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}
