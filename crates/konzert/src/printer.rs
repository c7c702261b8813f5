//! The one Printer: data to stdout, everything else to stderr.
//!
//! Invariants: control characters from images, advisories or the API never reach a terminal; a closed pipe ends the output
//! without an error; progress is a live line on a terminal and plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::cli::{Format, Global};

/// Progress lines come at most this often when stderr is not a terminal.
const PLAIN_PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Work shorter than this shows no progress at all.
const PROGRESS_AFTER: Duration = Duration::from_millis(700);

/// Writes results, notes, progress and errors.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    format: Format,
    quiet: bool,
    color: bool,
    live: bool,
}

impl Printer {
    /// A printer as the global options ask for.
    pub(crate) fn new(global: &Global) -> Self {
        let live = std::io::stderr().is_terminal();
        let color = !global.no_color && !crate::config::no_color() && std::io::stdout().is_terminal();
        Self { format: global.output, quiet: global.quiet, color, live }
    }

    /// The output format.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Prints a result: its JSON or YAML twin, or what `table` makes of it.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        table: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Table => table(value),
            Format::Json => serde_json::to_string_pretty(value)?,
            Format::Yaml => serde_saphyr::to_string(value)?,
        };
        self.data(&text);
        Ok(())
    }

    /// Raw data to stdout, with a final newline.
    pub(crate) fn data(&self, text: &str) {
        let text = if self.format == Format::Table { printable(text, self.color) } else { text.to_owned() };
        let mut out = std::io::stdout().lock();
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        // A reader that has seen enough (`| head`) is no failure of ours.
        drop(
            out.write_all(text.as_bytes())
                .and_then(|()| out.write_all(end.as_bytes()))
                .and_then(|()| out.flush()),
        );
    }

    /// A line for people on stderr, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// An error and its hint.
    pub(crate) fn failure(&self, failure: &crate::exit::Failure) {
        self.say(&format!("{} {}", self.paint("31;1", "error:"), failure.message()));
        if let Some(hint) = &failure.hint {
            self.say(&format!("{} {hint}", self.paint("36", "hint:")));
        }
    }

    fn say(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let clear = if self.live { "\r\u{1b}[K" } else { "" };
        // Nobody can be told that stderr is gone.
        drop(writeln!(err, "{clear}{}", printable(text, self.live)));
    }

    /// Paints text where the output is a terminal; `code` is an SGR parameter.
    pub(crate) fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Progress of something that may take longer than a second.
    pub(crate) fn progress(&self, what: &str) -> Progress {
        Progress {
            what: what.to_owned(),
            started: Instant::now(),
            last: None,
            live: self.live && !self.quiet,
            quiet: self.quiet,
        }
    }
}

/// A progress line; cleared when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    started: Instant,
    last: Option<Instant>,
    live: bool,
    quiet: bool,
}

impl Progress {
    /// Says how far it is.
    pub(crate) fn update(&mut self, detail: &str) {
        let now = Instant::now();
        let due = match (self.last, self.live) {
            _ if self.quiet || now - self.started < PROGRESS_AFTER => false,
            (None, _) => true,
            (Some(last), true) => now - last > Duration::from_millis(100),
            (Some(last), false) => now - last > PLAIN_PROGRESS_EVERY,
        };
        if !due {
            return;
        }
        self.last = Some(now);
        let mut err = std::io::stderr().lock();
        let line = printable(&format!("{}: {detail}", self.what), false);
        // As above.
        drop(if self.live {
            write!(err, "\r\u{1b}[K{line}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{line}")
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.live && self.last.is_some() {
            // As above.
            drop(write!(std::io::stderr().lock(), "\r\u{1b}[K"));
        }
    }
}

/// Text without control characters; our own colour codes pass when `keep_color`.
fn printable(text: &str, keep_color: bool) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{1b}' if keep_color => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Lines rows up in columns, as kubectl does: three spaces apart, no borders.
pub(crate) fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(visible_width(cell));
        }
    }
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let last = row.len().saturating_sub(1);
        for (index, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if index < last {
                let pad =
                    widths.get(index).copied().unwrap_or_default().saturating_sub(visible_width(cell)) + 3;
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        text.push('\n');
    }
    text
}

/// Width without our own colour codes.
fn visible_width(cell: &str) -> usize {
    cell.split('\u{1b}')
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once('m').map_or("", |p| p.1) })
        .map(UnicodeWidthStr::width)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_do_not_trail() {
        let rows = vec![vec!["a".into(), "long cell".into()], vec!["longer".into(), "b".into()]];
        insta::assert_snapshot!(columns(&["X", "Y"], &rows), @r"
        X        Y
        a        long cell
        longer   b
        ");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{7}\n", false), "a\u{fffd}[2Jb\u{fffd}\n");
    }
}
