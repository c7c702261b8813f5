//! One copy of a package for all the images that have it: images of a fleet are built on few bases.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Weak};

use konzert_packages::Package;

/// Packages that some image has.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    known: HashMap<u64, Vec<Weak<Package>>>,
    /// Additions since those without an image were looked for.
    added: usize,
}

impl Pool {
    /// The one copy of a package, and whether it is new.
    pub(crate) fn share(&mut self, package: Package) -> (Arc<Package>, bool) {
        let bucket = self.known.entry(hash(&package)).or_default();
        if let Some(known) = bucket.iter().filter_map(Weak::upgrade).find(|known| **known == package) {
            return (known, false);
        }
        let package = Arc::new(package);
        bucket.push(Arc::downgrade(&package));
        self.added += 1;
        if self.added > self.known.len() / 2 + 1024 {
            self.sweep();
        }
        (package, true)
    }

    fn sweep(&mut self) {
        self.added = 0;
        self.known.retain(|_, bucket| {
            bucket.retain(|one| one.strong_count() > 0);
            !bucket.is_empty()
        });
    }
}

/// Roughly how much memory a package takes.
pub(crate) fn package_bytes(package: &Package) -> usize {
    let texts = [&package.name, &package.version, &package.vendor, &package.evidence, &package.ecosystem];
    size_of::<Package>() + 160 + texts.iter().map(|text| text.len()).sum::<usize>()
}

fn hash(package: &Package) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&package.name, &package.version, &package.arch, &package.evidence, package.layer).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use konzert_packages::{Format, PackageKind};

    use super::*;

    #[test]
    fn equal_packages_are_one_and_go_with_their_last_image() {
        let mut pool = Pool::default();
        let package = |version: &str| Package::new(PackageKind::Deb, Format::Dpkg, "a", version);
        let (first, new) = pool.share(package("1"));
        assert!(new);
        let (second, new) = pool.share(package("1"));
        assert!(!new && Arc::ptr_eq(&first, &second));
        let other_owner = Package { owned_by: Some("x".into()), ..package("1") };
        assert!(pool.share(other_owner).1, "equal means equal in every field");
        drop((first, second));
        pool.sweep();
        assert!(pool.known.is_empty());
    }
}
