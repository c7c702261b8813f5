//! apk: `lib/apk/db/installed`, blocks of one-letter fields (Alpine wiki, "Apk spec").
//!
//! The version of the origin package is the version of the package. `F:` names a directory, `R:` a file in it.

use super::text::{believable, licences, line};
use crate::facts::{FileFacts, own, owned_hash};
use crate::formats::Format;
use crate::{Package, PackageKind};

const PATHS: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

pub(super) fn owns(path: &str) -> bool {
    PATHS.contains(&path)
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let text = String::from_utf8_lossy(content);
    let mut block = Block::default();
    let mut owned = 0;
    for line in text.lines() {
        if line.is_empty() {
            std::mem::take(&mut block).finish(path, &mut out, &mut owned);
        } else {
            block.read(line);
        }
    }
    block.finish(path, &mut out, &mut owned);
    out
}

#[derive(Default)]
struct Block {
    name: String,
    version: String,
    arch: String,
    origin: String,
    licence: String,
    maintainer: String,
    directory: String,
    files: Vec<u64>,
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
            "L" => &mut self.licence,
            "m" => &mut self.maintainer,
            "F" => &mut self.directory,
            "R" => {
                self.files.push(owned_hash(&format!("{}/{value}", self.directory)));
                return;
            }
            _ => return,
        };
        value.trim().clone_into(field);
    }

    fn finish(self, path: &str, out: &mut FileFacts, owned: &mut usize) {
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
        own(out, &self.name, self.files, owned);
        let mut package = Package::new(PackageKind::Apk, Format::Apk, &self.name, &self.version);
        if !self.origin.is_empty() {
            package.source_name = self.origin;
        }
        package.arch = self.arch;
        package.licences = licences([self.licence.as_str()]);
        package.vendor = line(&self.maintainer);
        path.clone_into(&mut package.evidence);
        out.add(package);
    }
}
