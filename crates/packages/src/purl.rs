//! Package URLs (ECMA-427, purl types): writing those of packages, and reading those in documents.
//!
//! Qualifiers written: `arch`, `distro`, `epoch` (rpm), `rpmmod`, sorted by key. A colon is not encoded, as the standard says.

use crate::formats::Format;
use crate::formats::{python_name, rpm};
use crate::{Package, PackageKind, limits};

/// Why a text is not a package URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurlError {
    /// Not `pkg:type/name`.
    #[error("{text:?} is not a package URL")]
    Malformed {
        /// The text, cut to a bounded length.
        text: String,
    },
}

/// The purl types of distributions, by the `ID` of os-release where it differs.
const VENDORS: [(&str, &str); 4] =
    [("rhel", "redhat"), ("ol", "oracle"), ("amzn", "amazon"), ("sles", "suse")];

impl Package {
    /// The package URL.
    pub fn purl(&self) -> String {
        let (namespace, name) = self.purl_name();
        let mut text = format!("pkg:{}/", self.kind.as_str());
        for segment in namespace.split('/').filter(|s| !s.is_empty()) {
            encode(segment, &mut text);
            text.push('/');
        }
        encode(name, &mut text);
        text.push('@');
        encode(self.purl_version(), &mut text);
        let epoch = self.epoch.filter(|e| *e > 0 && self.kind == PackageKind::Rpm).map(|e| e.to_string());
        let qualifiers = [
            ("arch", self.arch.as_str()),
            ("distro", self.distro.as_str()),
            ("epoch", epoch.as_deref().unwrap_or_default()),
            ("rpmmod", self.module.as_str()),
        ];
        let mut separator = '?';
        for (key, value) in qualifiers.into_iter().filter(|(_, value)| !value.is_empty()) {
            text.push(separator);
            text.push_str(key);
            text.push('=');
            encode(value, &mut text);
            separator = '&';
        }
        text
    }

    /// The package URL of a distribution package with the qualifier `upstream`, which names its source package where that
    /// differs: advisories speak of source packages.
    pub fn purl_with_source(&self) -> String {
        let mut text = self.purl();
        let same = self.source_name == self.name && self.source_version == self.version;
        if same || self.source_name.is_empty() || self.class() != crate::PackageClass::Os {
            return text;
        }
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str("upstream=");
        encode(&self.source_name, &mut text);
        if self.source_version != self.version && !self.source_version.is_empty() {
            text.push_str("%40");
            encode(&self.source_version, &mut text);
        }
        text
    }

    /// The package URLs that statements may name it by: its own, and that of its source package.
    pub fn purls(&self) -> Vec<String> {
        let mut all = vec![self.purl()];
        all.extend(self.also.iter().map(|name| Self { name: name.clone(), ..self.clone() }.purl()));
        if self.class() == crate::PackageClass::Os && self.source_name != self.name {
            let source =
                Self { name: self.source_name.clone(), version: self.source_version.clone(), ..self.clone() };
            all.push(source.purl());
        }
        all
    }

    fn purl_name(&self) -> (&str, &str) {
        match self.kind {
            PackageKind::Deb => (self.vendor_id("debian"), &self.name),
            PackageKind::Apk => (self.vendor_id("alpine"), &self.name),
            PackageKind::Rpm => (self.vendor_id(""), &self.name),
            PackageKind::Maven => self.name.split_once(':').unwrap_or(("", &self.name)),
            PackageKind::Npm | PackageKind::Golang | PackageKind::Composer => {
                self.name.rsplit_once('/').unwrap_or(("", &self.name))
            }
            _ => ("", &self.name),
        }
    }

    /// rpm's epoch is a qualifier; Debian's is part of the version.
    fn purl_version(&self) -> &str {
        match (self.kind, self.version.split_once(':')) {
            (PackageKind::Rpm, Some((_, rest))) => rest,
            _ => &self.version,
        }
    }

    fn vendor_id<'a>(&'a self, otherwise: &'a str) -> &'a str {
        let id = match self.distro.rsplit_once('-') {
            Some((id, release)) if release.starts_with(|c: char| c.is_ascii_digit()) => id,
            _ => &self.distro,
        };
        let id = if id.starts_with("opensuse") { "opensuse" } else { id };
        match VENDORS.iter().find(|(name, _)| *name == id) {
            Some((_, vendor)) => vendor,
            None if id.is_empty() => otherwise,
            None => id,
        }
    }
}

fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().filter(|t| t.chars().all(|c| c.is_ascii_graphic() || c == ' '))
}

/// The value of a qualifier, decoded.
pub(crate) fn qualifier(text: &str, key: &str) -> Option<String> {
    let (_, qualifiers) = text.split('#').next()?.split_once('?')?;
    let pair = qualifiers.split('&').filter_map(|q| q.split_once('=')).find(|(k, _)| *k == key)?;
    decode(pair.1).filter(|value| !value.is_empty())
}

/// The package a URL names, its evidence unset. `Ok(None)` for a URL without version, which names no installed package, and
/// for types konzert does not know.
pub(crate) fn parse(text: &str, format: Format) -> Result<Option<Package>, PurlError> {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    let malformed = || PurlError::Malformed { text: shown.clone() };
    let rest =
        text.strip_prefix("pkg:").filter(|_| text.len() <= limits::MAX_PATH_BYTES).ok_or_else(malformed)?;
    let rest = rest.trim_start_matches('/').split('#').next().unwrap_or_default();
    let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    let (kind, path) = path.split_once('/').ok_or_else(malformed)?;
    // An unencoded `@` of an npm scope stands before the last slash and starts no version.
    let slash = path.rfind('/').map_or(0, |at| at + 1);
    let Some(at) = path[slash..].rfind('@').map(|at| at + slash).filter(|at| *at > 0) else {
        return Ok(None);
    };
    let (full, version) = (path[..at].trim_matches('/'), decode(&path[at + 1..]).ok_or_else(malformed)?);
    let (namespace, name) = full.rsplit_once('/').unwrap_or(("", full));
    let (namespace, name) = (decode(namespace).ok_or_else(malformed)?, decode(name).ok_or_else(malformed)?);
    if name.is_empty() || version.is_empty() {
        return Err(malformed());
    }
    let bitnami = kind == "bitnami";
    let kind = if bitnami { Some(PackageKind::Generic) } else { PackageKind::from_purl_type(kind) };
    let Some(kind) = kind else { return Ok(None) };
    let mut package = Package::new(kind, format, &installed_name(kind, &namespace, name), &version);
    if bitnami {
        "Bitnami".clone_into(&mut package.ecosystem);
    }
    for (key, value) in qualifiers.split('&').filter_map(|q| q.split_once('=')) {
        qualify(&mut package, key, &decode(value).ok_or_else(malformed)?);
    }
    Ok(Some(package))
}

/// The name in the form of the ecosystem's advisories.
fn installed_name(kind: PackageKind, namespace: &str, name: String) -> String {
    match kind {
        PackageKind::Pypi => python_name(&name),
        PackageKind::Maven if !namespace.is_empty() => format!("{namespace}:{name}"),
        PackageKind::Npm | PackageKind::Golang | PackageKind::Composer if !namespace.is_empty() => {
            format!("{namespace}/{name}")
        }
        _ => name,
    }
}

fn qualify(package: &mut Package, key: &str, value: &str) {
    match key {
        "arch" => value.clone_into(&mut package.arch),
        "rpmmod" => value.clone_into(&mut package.module),
        "epoch" if package.kind == PackageKind::Rpm => {
            package.epoch = value.parse().ok();
            if package.epoch.is_some_and(|e| e > 0) && !package.version.contains(':') {
                package.version = format!("{value}:{}", package.version);
                package.source_version.clone_from(&package.version);
            }
        }
        "upstream" if package.class() == crate::PackageClass::Os => source(package, value),
        _ => {}
    }
}

/// The source package: its file, as Syft writes it for rpm, else `name` or `name@version`.
fn source(package: &mut Package, value: &str) {
    if let Some((name, version)) = rpm::split_source(value).filter(|_| package.kind == PackageKind::Rpm) {
        name.clone_into(&mut package.source_name);
        let epoch = package.epoch.filter(|e| *e > 0).map(|e| format!("{e}:")).unwrap_or_default();
        package.source_version = format!("{epoch}{version}");
        return;
    }
    let (name, version) = value.split_once('@').unwrap_or((value, ""));
    name.clone_into(&mut package.source_name);
    if !version.is_empty() {
        version.clone_into(&mut package.source_version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purls_of_packages() {
        let with = |kind, name: &str, version: &str, distro: &str, arch: &str| {
            let mut package = Package::new(kind, Format::Dpkg, name, version);
            distro.clone_into(&mut package.distro);
            arch.clone_into(&mut package.arch);
            package
        };
        let mut epoch = with(PackageKind::Rpm, "bind-libs", "32:9.16-1.el9", "rhel-9.3", "x86_64");
        epoch.epoch = Some(32);
        let rows = [
            (
                with(PackageKind::Deb, "libstdc++6", "1:12.2.0-14+b1", "debian-12", "amd64"),
                "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bb1?arch=amd64&distro=debian-12",
            ),
            (
                with(PackageKind::Apk, "musl", "1.2.5-r0", "alpine-3.20.3", "x86_64"),
                "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.3",
            ),
            (epoch, "pkg:rpm/redhat/bind-libs@9.16-1.el9?arch=x86_64&distro=rhel-9.3&epoch=32"),
            (with(PackageKind::Npm, "@babel/core", "7.0.0", "", ""), "pkg:npm/%40babel/core@7.0.0"),
            (with(PackageKind::Maven, "org.a:b", "1", "", ""), "pkg:maven/org.a/b@1"),
            (
                with(PackageKind::Golang, "github.com/x/y/v2", "v2.0.0+incompatible", "", ""),
                "pkg:golang/github.com/x/y/v2@v2.0.0%2Bincompatible",
            ),
            (with(PackageKind::Golang, "stdlib", "1.22.1", "", ""), "pkg:golang/stdlib@1.22.1"),
            (with(PackageKind::Composer, "a/b", "1", "", ""), "pkg:composer/a/b@1"),
        ];
        for (package, want) in rows {
            assert_eq!(package.purl(), want);
        }
    }

    #[test]
    fn purls_in_documents() {
        let named =
            |text: &str| parse(text, Format::Spdx).map(|p| p.map(|p| (p.name, p.version, p.source_name)));
        let row = |a: &str, b: &str, c: &str| Ok(Some((a.to_owned(), b.to_owned(), c.to_owned())));
        assert_eq!(named("pkg:npm/%40babel/core@7.0.0"), row("@babel/core", "7.0.0", "@babel/core"));
        assert_eq!(named("pkg:npm/@babel/core@7.0.0"), row("@babel/core", "7.0.0", "@babel/core"));
        assert_eq!(named("pkg:pypi/Foo_Bar@1.0"), row("foo-bar", "1.0", "foo-bar"));
        assert_eq!(named("pkg:rpm/rhel/a@1-2?epoch=3&upstream=b@4"), row("a", "3:1-2", "b"));
        let syft = "pkg:rpm/sles/libssl3@3.0.8-1.2?arch=x86_64&epoch=1&upstream=openssl-3-3.0.8-1.2.src.rpm";
        assert_eq!(named(syft), row("libssl3", "1:3.0.8-1.2", "openssl-3"));
        assert_eq!(parse(syft, Format::Spdx).unwrap().unwrap().source_version, "1:3.0.8-1.2");
        assert_eq!(named("pkg:maven/g/a@1"), row("g:a", "1", "g:a"));
        assert_eq!(named("pkg:oci/image@sha256:00"), Ok(None));
        assert_eq!(named("pkg:npm/core"), Ok(None));
        assert!(named("npm/core@1").is_err() && named("pkg:npm/%zz@1").is_err());
    }
}
