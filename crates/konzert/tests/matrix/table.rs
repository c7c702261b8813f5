//! The table of results: played column by column, printed row by row.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::client::Client;

/// Something that people do: its name, and how it is done. Panics when it does not work.
pub(crate) type Row = (&'static str, fn(&Client<'_>));

/// What became of every row with one client.
pub(crate) struct Column {
    name: String,
    /// `None`: it works; else what went wrong.
    cells: Vec<Option<String>>,
}

impl Column {
    pub(crate) fn play(name: &str, rows: &[Row], client: &Client<'_>) -> Self {
        let cell = |(_, act): &Row| {
            let ended = catch_unwind(AssertUnwindSafe(|| act(client)));
            ended.err().map(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
            })
        };
        Self { name: name.to_owned(), cells: rows.iter().map(cell).collect() }
    }
}

/// All of it.
pub(crate) struct Table<'a> {
    title: &'a str,
    rows: &'a [Row],
    columns: Vec<Column>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(title: &'a str, rows: &'a [Row]) -> Self {
        Self { title, rows, columns: Vec::new() }
    }

    pub(crate) fn add(&mut self, column: Column) {
        self.columns.push(column);
    }

    /// One text per failed cell.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (index, (row, _)) in self.rows.iter().enumerate() {
            for column in &self.columns {
                if let Some(why) = &column.cells[index] {
                    all.push(format!("== {row} with {} {}:\n{why}", self.title, column.name));
                }
            }
        }
        all
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        write!(f, "\n{:width$}", self.title)?;
        for column in &self.columns {
            write!(f, "  {:>6}", column.name)?;
        }
        for (index, (row, _)) in self.rows.iter().enumerate() {
            write!(f, "\n{row:width$}")?;
            for column in &self.columns {
                write!(f, "  {:>6}", if column.cells[index].is_none() { "ok" } else { "FAILED" })?;
            }
        }
        writeln!(f)
    }
}
