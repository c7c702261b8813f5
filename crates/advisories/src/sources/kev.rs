//! CISA's catalogue of vulnerabilities that are known to be exploited, as JSON.

use jiff::civil::Date;
use serde::Deserialize;

use super::{AdvisoryError, FileFacts, Item, Reading, document};
use crate::SourceKind;
use crate::priority::{CveKey, KnownExploited};

const KIND: SourceKind = SourceKind::Kev;
/// The feed's name in the database.
pub(crate) const FEED: &str = "kev";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    vulnerabilities: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "cveID")]
    cve_id: String,
    date_added: String,
    #[serde(default)]
    due_date: Option<String>,
    #[serde(default)]
    known_ransomware_campaign_use: String,
}

pub(super) fn parse(bytes: &[u8], reading: &mut Reading<'_>) -> Result<FileFacts, AdvisoryError> {
    let file: File = document(bytes, reading.name, KIND)?;
    for (index, entry) in file.vulnerabilities.into_iter().enumerate() {
        let refuse = |field: &str, problem| AdvisoryError::Field {
            name: reading.name.to_owned(),
            kind: KIND,
            field: format!("vulnerabilities[{index}].{field}"),
            problem,
        };
        let key = CveKey::parse(&entry.cve_id).ok_or_else(|| refuse("cveID", "must be a CVE id"))?;
        let date =
            |field, text: &str| text.parse::<Date>().map_err(|_not_a_date| refuse(field, "must be a date"));
        let due = entry.due_date.as_deref().filter(|text| !text.is_empty());
        let known = KnownExploited {
            added: date("dateAdded", &entry.date_added)?,
            due: due.map(|text| date("dueDate", text)).transpose()?,
            ransomware: entry.known_ransomware_campaign_use.eq_ignore_ascii_case("known"),
        };
        (reading.sink)(Item::Exploited(key, known));
    }
    Ok(FileFacts { snapshot_of: vec![FEED.to_owned()] })
}
