//! FIRST's exploit prediction scores (EPSS) as CSV: `cve,epss,percentile`, after an optional comment line.

use super::{AdvisoryError, FileFacts, Item, Reading};
use crate::SourceKind;
use crate::priority::{CveKey, Epss, Probability};

const KIND: SourceKind = SourceKind::Epss;
/// The feed's name in the database.
pub(crate) const FEED: &str = "epss";

pub(super) fn parse(bytes: &[u8], reading: &mut Reading<'_>) -> Result<FileFacts, AdvisoryError> {
    let mut header_seen = false;
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let refuse = |problem| AdvisoryError::Line {
            name: reading.name.to_owned(),
            kind: KIND,
            line: index + 1,
            problem,
        };
        let line = std::str::from_utf8(line).map_err(|_not_text| refuse("not text"))?.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if !header_seen {
            if line != "cve,epss,percentile" {
                return Err(refuse("the header must be cve,epss,percentile"));
            }
            header_seen = true;
            continue;
        }
        let mut fields = line.split(',');
        let (Some(cve), Some(score), Some(percentile), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(refuse("must have three fields"));
        };
        let key = CveKey::parse(cve).ok_or_else(|| refuse("the first field must be a CVE id"))?;
        let number =
            |text: &str| Probability::parse(text).ok_or_else(|| refuse("a score must lie between 0 and 1"));
        let epss = Epss { score: number(score)?, percentile: number(percentile)? };
        (reading.sink)(Item::Likely(key, epss));
    }
    Ok(FileFacts { snapshot_of: vec![FEED.to_owned()] })
}
