//! Lines of a CRI log: `<RFC 3339 time> stdout|stderr F|P <text>`. A `P` line goes on in the next one.

use jiff::Timestamp;

/// A line longer than this is passed on in pieces.
const MAX_LINE: usize = 1 << 20;

struct CriLine<'a> {
    time: &'a str,
    partial: bool,
    text: &'a [u8],
}

fn parse(line: &[u8]) -> Option<CriLine<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = parts.next()?;
    let tag = parts.next()?;
    let text = parts.next()?;
    let known = matches!(stream, b"stdout" | b"stderr") && matches!(tag.first(), Some(b'F' | b'P'));
    known.then(|| CriLine { time, partial: tag.first() == Some(&b'P'), text })
}

/// Turns file contents into what the reader of a log gets.
pub(crate) struct Formatter {
    since: Option<Timestamp>,
    timestamps: bool,
    left: Option<u64>,
    pending: Vec<u8>,
    in_line: bool,
}

impl Formatter {
    pub(crate) fn new(since: Option<Timestamp>, timestamps: bool, limit_bytes: Option<u64>) -> Self {
        Self { since, timestamps, left: limit_bytes, pending: Vec::new(), in_line: false }
    }

    /// Whether the byte limit was reached.
    pub(crate) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Takes a piece of the file; answers the text of the lines that are complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, tail) = rest.split_at(at);
            rest = &tail[1..];
            if self.pending.is_empty() {
                self.line(line, &mut out);
            } else {
                let mut whole = std::mem::take(&mut self.pending);
                whole.extend_from_slice(line);
                self.line(&whole, &mut out);
            }
        }
        self.pending.extend_from_slice(rest);
        if self.pending.len() > MAX_LINE {
            let piece = std::mem::take(&mut self.pending);
            out.extend_from_slice(&piece);
        }
        self.limit(out)
    }

    /// A file ended: what has no newline yet never gets one.
    pub(crate) fn end_of_file(&mut self) {
        self.pending.clear();
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(parsed) = parse(line) else {
            out.extend_from_slice(line);
            out.push(b'\n');
            return;
        };
        if let Some(since) = self.since {
            match parsed.time.parse::<Timestamp>() {
                Ok(at) if at < since => return,
                // Times only grow: from here on everything is wanted.
                _ => self.since = None,
            }
        }
        if self.timestamps && !self.in_line {
            out.extend_from_slice(parsed.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(parsed.text);
        if !parsed.partial {
            out.push(b'\n');
        }
        self.in_line = parsed.partial;
    }

    fn limit(&mut self, mut out: Vec<u8>) -> Vec<u8> {
        if let Some(left) = &mut self.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            out.truncate(most);
            *left -= out.len() as u64;
        }
        out
    }
}
