//! apk: `lib/apk/db/installed`, blocks of one-letter fields (Alpine wiki, "Apk spec").
//!
//! Does not read owned files (`F:`, `R:`). The version of the origin package is the version of the package.

use crate::{Package, PackageKind};
use crate::dpkg::believable;
use crate::formats::{Format, Parsed};

const PATHS: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

pub(crate) fn owns(path: &str) -> bool {
    PATHS.contains(&path)
}

pub(crate) fn parse(path: &str, content: &[u8]) -> Parsed {
    let mut out = Parsed::default();
    let text = String::from_utf8_lossy(content);
    let mut block = Block::default();
    for line in text.lines() {
        if line.is_empty() {
            std::mem::take(&mut block).finish(path, &mut out);
        } else {
            block.read(line);
        }
    }
    block.finish(path, &mut out);
    out
}

#[derive(Default)]
struct Block {
    name: String,
    version: String,
    arch: String,
    origin: String,
    seen: bool,
}

impl Block {
    fn read(&mut self, line: &str) {
        self.seen = true;
        let Some((key, value)) = line.split_once(':') else { return };
        let field = match key {
            "P" => &mut self.name,
            "V" => &mut self.version,
            "A" => &mut self.arch,
            "o" => &mut self.origin,
            _ => return,
        };
        value.trim().clone_into(field);
    }

    fn finish(self, path: &str, out: &mut Parsed) {
        if !self.seen {
            return;
        }
        if self.name.is_empty() || self.version.is_empty() {
            out.warn(format!("{path}: a block without P: or V:, or cut off"));
            return;
        }
        if [&self.name, &self.version, &self.arch, &self.origin].iter().any(|f| !believable(f)) {
            out.warn(format!("{path}: a block with an impossible name or version was left out"));
            return;
        }
        let source_name = if self.origin.is_empty() { self.name.clone() } else { self.origin };
        out.packages.push(Package {
            name: self.name,
            source_version: self.version.clone(),
            version: self.version,
            source_name,
            arch: self.arch,
            format: Format::Apk,
            kind: PackageKind::Apk,
            evidence: path.to_owned(),
            ..Package::default()
        });
    }
}
