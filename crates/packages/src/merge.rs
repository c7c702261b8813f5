//! Layers laid over each other: what the top of the stack shows, which layer brought each package (base or application),
//! whose package it is, and which of several descriptions counts.
//!
//! Pure: facts in, catalogue out. Rules: a database is taken from the top layer that has it; a database wins over a document
//! that describes the same; a language package whose evidence belongs to a package of the distribution is the
//! distribution's business where its feed names unfixed issues too.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::facts::{CATALOGUER_VERSION, FileFacts, LayerFacts, hash, owned_hash};
use crate::formats::format_of;
use crate::vendors::is_foreign;
use crate::{Catalogue, Distribution, Package, PackageClass, PackageKind, Precision, distribution, limits};

/// Reads the catalogue of an image off the facts of its layers, lowest first.
pub fn catalogue<L: Borrow<LayerFacts>>(layers: &[L], precision: Precision) -> Catalogue {
    let layers: Vec<&LayerFacts> = layers.iter().map(Borrow::borrow).collect();
    let view = View::of(&layers);
    let distribution = view.distribution();
    let mut out =
        Catalogue { warnings: view.warnings(&layers, distribution.as_ref()), ..Catalogue::default() };
    let mut packages: Vec<Package> = view.files.values().flat_map(|f| f.packages.iter().cloned()).collect();
    drop_described_twice(&mut packages);
    if packages.len() > limits::MAX_PACKAGES {
        out.warnings.push(format!("more than {} packages: the rest was left out", limits::MAX_PACKAGES));
        packages.truncate(limits::MAX_PACKAGES);
    }
    name_ecosystems(&mut packages, distribution.as_ref());
    view.name_owners(&mut packages);
    name_layers(&layers, &mut packages);
    let covered = distribution.as_ref().is_some_and(Distribution::feed_covers_unfixed);
    if covered && precision == Precision::Precise {
        let own: HashSet<String> = own_packages(&packages);
        let (suppressed, kept) =
            packages.into_iter().partition(|p| p.owned_by.as_ref().is_some_and(|owner| own.contains(owner)));
        (out.suppressed, packages) = (suppressed, kept);
    }
    sort(&mut packages);
    sort(&mut out.suppressed);
    out.packages = packages;
    out.complete = out.warnings.is_empty();
    out.distribution = distribution;
    out
}

/// The distribution's own packages: its feed speaks of them.
fn own_packages(packages: &[Package]) -> HashSet<String> {
    let own = packages.iter().filter(|p| p.format.is_database() && !p.third_party);
    own.map(|p| p.name.clone()).collect()
}

/// What the top of the stack shows.
struct View<'a> {
    files: BTreeMap<&'a str, &'a FileFacts>,
    links: BTreeMap<&'a str, &'a str>,
}

impl<'a> View<'a> {
    fn of(layers: &[&'a LayerFacts]) -> Self {
        let mut view = Self { files: BTreeMap::new(), links: BTreeMap::new() };
        for layer in layers {
            // OCI image spec, layer.md: whiteouts hide only what lies in lower layers, so they come first.
            let hides = Hides::of(layer);
            view.files.retain(|path, _| !hides.hides(path));
            view.links.retain(|path, _| !hides.hides(path));
            view.files.extend(layer.files.iter().map(|(path, facts)| (path.as_str(), facts)));
            view.links.extend(layer.links.iter().map(|(path, to)| (path.as_str(), to.as_str())));
        }
        view
    }

    fn distribution(&self) -> Option<Distribution> {
        let texts = self.files.iter().filter(|(_, facts)| !facts.text.is_empty());
        let texts = texts.map(|(path, facts)| (*path, facts.text.as_str()));
        distribution::detect(&texts.collect())
    }

    fn warnings(&self, layers: &[&LayerFacts], found: Option<&Distribution>) -> Vec<String> {
        let stale = layers.iter().filter(|l| l.cataloguer != CATALOGUER_VERSION).map(|l| {
            let (diff_id, version) = (&l.diff_id, l.cataloguer);
            format!(
                "the facts of layer {diff_id} are of cataloguer {version} instead of {CATALOGUER_VERSION}"
            )
        });
        let own = layers.iter().flat_map(|l| l.warnings.iter().cloned());
        let of_files = self.files.values().flat_map(|facts| facts.warnings.iter().cloned());
        let of_links = self.links.iter().filter(|(path, to)| {
            // The target is read by its own path when it is wanted; a distribution file may have a second chance.
            let unread = !resolve(path, to).is_some_and(|target| self.files.contains_key(target.as_str()));
            unread && (format_of(path).is_some() || found.is_none())
        });
        let of_links =
            of_links.map(|(path, to)| format!("{path} was not read: it is a symbolic link to {to}"));
        stale.chain(own).chain(of_files).chain(of_links).collect()
    }

    fn name_owners(&self, packages: &mut [Package]) {
        let outer =
            |package: &Package| owned_hash(package.evidence.split("!/").next().unwrap_or(&package.evidence));
        let language = |package: &&mut Package| package.class() == PackageClass::Language;
        let evidence: HashSet<u64> =
            packages.iter().filter(|p| p.class() == PackageClass::Language).map(outer).collect();
        if evidence.is_empty() {
            return;
        }
        let installed = own_packages(packages);
        let mut owners: HashMap<u64, &str> = HashMap::new();
        // A list of files outlives its package when only that was removed.
        let lists =
            self.files.values().flat_map(|facts| &facts.owned).filter(|o| installed.contains(&o.package));
        for list in lists {
            for path in list.paths.hashes().iter().filter(|path| evidence.contains(path)) {
                owners.insert(*path, &list.package);
            }
        }
        for package in packages.iter_mut().filter(language) {
            package.owned_by = owners.get(&outer(package)).map(|owner| (*owner).to_owned());
        }
    }
}

/// What a layer hides of lower ones.
struct Hides<'a> {
    removed: HashSet<&'a str>,
    opaque: HashSet<&'a str>,
    layer: &'a LayerFacts,
}

impl<'a> Hides<'a> {
    fn of(layer: &'a LayerFacts) -> Self {
        Self {
            removed: layer.removed.iter().map(|p| p.trim_end_matches('/')).collect(),
            opaque: layer.opaque.iter().map(|p| p.trim_end_matches('/')).collect(),
            layer,
        }
    }

    fn hides(&self, path: &str) -> bool {
        let gone = |path: &str| self.removed.contains(path) || self.layer.touched.has(hash(path));
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        gone(path)
            || self.opaque.contains("")
            || self.removed.contains("")
            || above.into_iter().any(|dir| self.opaque.contains(dir) || gone(dir))
    }
}

/// Where a symbolic link leads, by its text alone.
fn resolve(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => path.rsplit_once('/').map(|(dir, _)| dir.split('/').collect()).unwrap_or_default(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Documents say nothing of kinds that have a database, and nothing new of packages found by their own evidence.
fn drop_described_twice(packages: &mut Vec<Package>) {
    let databases: HashSet<PackageKind> =
        packages.iter().filter(|p| p.format.is_database()).map(|p| p.kind).collect();
    let proven: HashSet<(PackageKind, String, String)> = packages
        .iter()
        .filter(|p| !p.format.is_document())
        .map(|p| (p.kind, p.name.clone(), p.version.clone()))
        .collect();
    packages.retain(|p| {
        !p.format.is_document()
            || !(databases.contains(&p.kind) || proven.contains(&(p.kind, p.name.clone(), p.version.clone())))
    });
}

fn name_ecosystems(packages: &mut [Package], distribution: Option<&Distribution>) {
    let ecosystem = distribution.map(Distribution::ecosystem).unwrap_or_default();
    let distro = distribution.map(Distribution::purl_qualifier).unwrap_or_default();
    for package in packages.iter_mut().filter(|p| p.class() == PackageClass::Os) {
        package.ecosystem.clone_from(&ecosystem);
        package.distro.clone_from(&distro);
        let id = distribution.map(|d| d.id.as_str()).unwrap_or_default();
        package.third_party |=
            package.kind == PackageKind::Rpm && !id.is_empty() && is_foreign(&package.vendor, id);
    }
}

/// Sets each package's layer to the lowest one whose own files already prove that name and version.
fn name_layers(layers: &[&LayerFacts], packages: &mut [Package]) {
    let mut first: HashMap<(PackageKind, &str, &str, &str), usize> = HashMap::new();
    for (index, layer) in layers.iter().enumerate() {
        for package in layer.files.values().flat_map(|facts| &facts.packages) {
            first.entry((package.kind, &package.name, &package.version, &package.arch)).or_insert(index);
        }
    }
    for package in packages {
        let key = (package.kind, package.name.as_str(), package.version.as_str(), package.arch.as_str());
        package.layer = first.get(&key).copied().unwrap_or_default();
    }
}

pub(crate) fn sort(packages: &mut Vec<Package>) {
    fn key(p: &Package) -> (&str, &str, &str, PackageKind) {
        (&p.name, &p.version, &p.arch, p.kind)
    }
    // Of copies the one stays that no package of the distribution owns: it is nobody else's business.
    packages.sort_by(|a, b| {
        let owned = || a.owned_by.is_some().cmp(&b.owned_by.is_some());
        key(a).cmp(&key(b)).then_with(owned).then_with(|| a.evidence.cmp(&b.evidence))
    });
    packages.dedup_by(|a, b| key(a) == key(b));
}
