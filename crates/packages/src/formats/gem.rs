//! Ruby: gemspecs that `gem install` writes into `specifications`.
//!
//! A gemspec is Ruby code and is not run: `s.name` and `s.version` as `gem install` writes them are read off the lines, and
//! the file name (`name-version[-platform].gemspec`) stands in where they are computed.

use super::text::{field, file_name, licences, quoted};
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::{Package, PackageKind};

pub(super) fn owns(path: &str) -> bool {
    let path_dirs = path.strip_suffix(file_name(path)).unwrap_or_default();
    std::path::Path::new(path).extension().is_some_and(|e| e == "gemspec")
        && (path_dirs.contains("/specifications/") || path_dirs.starts_with("specifications/"))
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let text = String::from_utf8_lossy(content);
    let (mut name, mut version, mut licence) = (None, None, Vec::new());
    for line in text.lines() {
        let Some((left, right)) = line.split_once('=') else { continue };
        match left.trim().rsplit('.').next() {
            Some("name") if name.is_none() => name = quoted(right).and_then(field),
            Some("version") if version.is_none() => version = quoted(right).and_then(field),
            Some("license" | "licenses") => licence = licences(quoted(right)),
            _ => {}
        }
    }
    let (file_gem, file_version) = from_file_name(path);
    let name = name.or(file_gem);
    let version = version.filter(|v| v.starts_with(|c: char| c.is_ascii_digit())).or(file_version);
    let (Some(name), Some(version)) = (name, version) else {
        out.warn(format!("{path}: neither the file nor its name says name and version"));
        return out;
    };
    let mut package = Package::new(PackageKind::Gem, Format::Gem, name, version);
    package.licences = licence;
    path.clone_into(&mut package.evidence);
    out.add(package);
    out
}

/// `nokogiri-1.15.4-x86_64-linux.gemspec`.
fn from_file_name(path: &str) -> (Option<&str>, Option<&str>) {
    let stem = file_name(path).trim_end_matches(".gemspec");
    let dash = stem
        .match_indices('-')
        .map(|(at, _)| at)
        .find(|at| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    let Some(dash) = dash else { return (None, None) };
    (field(&stem[..dash]), stem[dash + 1..].split('-').next().and_then(field))
}
