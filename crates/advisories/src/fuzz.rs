//! Entry points for fuzzing: every parser of bytes that somebody else wrote. None of them may panic, whatever the bytes are.

use bytes::Bytes;

use crate::sources::{self, Reading};
use crate::{Database, SourceKind, codec, ignore, openvex};

/// The database reader, past the checksums: every lookup over damaged bytes.
pub fn database(data: &[u8]) {
    let Ok(database) = Database::open(Bytes::copy_from_slice(data)) else { return };
    for advisory in database.advisories().take(100) {
        database.ids(&advisory.id);
        database.priority(&advisory.id);
        for affected in &advisory.affected {
            database.entries(&affected.ecosystem, &affected.package).take(100).count();
        }
    }
    crate::Delta::between(&Database::default(), &database);
}

/// One record of the database.
pub fn record(data: &[u8]) {
    if let Some(advisory) = codec::decode(data) {
        let advisory = advisory.normalised();
        assert_eq!(codec::decode(&codec::encode(&advisory)), Some(advisory), "records round trip");
    }
}

/// Whatever format it looks like.
pub fn any_source(data: &[u8]) {
    let mut sink = |_item| {};
    drop(sources::parse(data, &mut Reading { name: "fuzz", sink: &mut sink }));
}

/// One format, whatever it looks like.
pub fn source(kind: SourceKind, data: &[u8]) {
    let mut sink = |_item| {};
    drop((sources::row(kind).parse)(data, &mut Reading { name: "fuzz", sink: &mut sink }));
}

/// `OpenVEX` documents.
pub fn vex(data: &[u8]) {
    drop(openvex::Document::parse(data, "fuzz"));
}

/// Ignore files of every form.
pub fn ignores(data: &[u8]) {
    drop(ignore::Ignores::parse(data, "fuzz"));
}
