//! One copy of a package for all the images that have it, with what is wrong with it: images of a fleet are built on few bases.
//!
//! Invariants: a package is here as long as an image has it, and its number means nothing else in that time; a package is found by
//! everything that an advisory could name it by; findings are those of one database, which is the holder's business; findings
//! are bounded, and forgotten all at once when they become too many.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use konzert_advisories::{Delta, Inverted};
use konzert_images::ImageDigest;
use konzert_packages::Package;

use super::noted::{Noted, noted_bytes};

/// Findings of packages that are remembered.
const FINDINGS_BYTES: usize = 64 << 20;

/// A package and its number.
#[derive(Debug)]
pub(crate) struct Shared {
    number: u32,
    pub(crate) package: Package,
}

/// What is known of a package's findings.
#[derive(Clone, Debug, Default)]
pub(crate) enum Judged {
    /// It was not matched yet.
    #[default]
    Not,
    /// It has none.
    Clean,
    /// It has these.
    Found(Arc<[Noted]>),
}

#[derive(Debug)]
struct Slot {
    shared: Arc<Shared>,
    hash: u64,
    /// Numbers of the images that have it.
    images: Vec<u32>,
    judged: Judged,
}

/// Packages that some image has.
#[derive(Debug)]
pub(crate) struct Pool {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    known: HashMap<u64, Vec<u32>>,
    /// What advisories name → slots.
    keys: Inverted<u32>,
    images: Vec<Option<ImageDigest>>,
    free_images: Vec<u32>,
    numbers: HashMap<ImageDigest, u32>,
    /// Packages that were matched, and the memory that their findings take.
    judged: usize,
    findings_bytes: usize,
    most_bytes: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(FINDINGS_BYTES)
    }
}

impl Pool {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            known: HashMap::new(),
            keys: Inverted::default(),
            images: Vec::new(),
            free_images: Vec::new(),
            numbers: HashMap::new(),
            judged: 0,
            findings_bytes: 0,
            most_bytes,
        }
    }

    /// Takes in an image that is not here; returns its packages and what those of them weigh that are new.
    pub(crate) fn insert(
        &mut self,
        image: &ImageDigest,
        packages: Vec<Package>,
    ) -> (Vec<Arc<Shared>>, usize) {
        let number = self.free_images.pop().unwrap_or_else(|| {
            self.images.push(None);
            u32::try_from(self.images.len() - 1).expect("images do not come by the billion")
        });
        self.images[number as usize] = Some(image.clone());
        self.numbers.insert(image.clone(), number);
        let mut bytes = 0;
        let share = |package: Package| {
            let own = package_bytes(&package);
            let (slot, is_new) = self.share(package);
            bytes += if is_new { own } else { 0 };
            // An image that lists a package twice has it once.
            if slot.images.last() != Some(&number) {
                slot.images.push(number);
            }
            slot.shared.clone()
        };
        (packages.into_iter().map(share).collect(), bytes)
    }

    /// The one copy of a package, and whether it is new.
    fn share(&mut self, package: Package) -> (&mut Slot, bool) {
        let hash = hash(&package);
        let equal = |number: &&u32| self.slot(**number).is_some_and(|slot| slot.shared.package == package);
        let known = self.known.get(&hash).and_then(|bucket| bucket.iter().find(equal).copied());
        let number = known.unwrap_or_else(|| {
            self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).expect("packages do not come by the billion")
            })
        });
        if known.is_none() {
            self.keys.insert(&number, [&package]);
            self.known.entry(hash).or_default().push(number);
        }
        let slot = &mut self.slots[number as usize];
        let new = || Slot {
            shared: Arc::new(Shared { number, package }),
            hash,
            images: Vec::new(),
            judged: Judged::Not,
        };
        (slot.get_or_insert_with(new), known.is_none())
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// Forgets an image, and the packages that no other image has.
    pub(crate) fn remove(&mut self, image: &ImageDigest, packages: &[Arc<Shared>]) {
        let Some(number) = self.numbers.remove(image) else { return };
        self.images[number as usize] = None;
        self.free_images.push(number);
        for shared in packages {
            let Some(slot) = self.slots.get_mut(shared.number as usize).and_then(Option::as_mut) else {
                continue;
            };
            if let Some(at) = slot.images.iter().position(|other| *other == number) {
                slot.images.swap_remove(at);
            }
            if slot.images.is_empty() {
                self.drop_package(shared.number);
            }
        }
    }

    fn drop_package(&mut self, number: u32) {
        self.forget(number);
        let Some(slot) = self.slots.get_mut(number as usize).and_then(Option::take) else { return };
        self.keys.remove(&number);
        self.free.push(number);
        if let Some(bucket) = self.known.get_mut(&slot.hash) {
            bucket.retain(|other| *other != number);
            if bucket.is_empty() {
                self.known.remove(&slot.hash);
            }
        }
    }

    /// What is known of a package; nothing when it is not here any more.
    pub(crate) fn judged(&self, shared: &Arc<Shared>) -> Judged {
        let slot = self.slot(shared.number).filter(|slot| Arc::ptr_eq(&slot.shared, shared));
        slot.map(|slot| slot.judged.clone()).unwrap_or_default()
    }

    /// Remembers what was found in a package, if it is still here. False when everything else had to be forgotten for it.
    #[must_use]
    pub(crate) fn judge(&mut self, shared: &Arc<Shared>, judged: Judged) -> bool {
        let is_here = self.slot(shared.number).is_some_and(|slot| Arc::ptr_eq(&slot.shared, shared));
        if !is_here {
            return true;
        }
        self.forget(shared.number);
        let bytes = judged_bytes(&judged);
        let fits = self.findings_bytes + bytes <= self.most_bytes;
        if !fits {
            self.forget_all();
        }
        if let Some(slot) = self.slots.get_mut(shared.number as usize).and_then(Option::as_mut) {
            self.findings_bytes += bytes;
            self.judged += 1;
            slot.judged = judged;
        }
        fits
    }

    fn forget(&mut self, number: u32) {
        let Some(slot) = self.slots.get_mut(number as usize).and_then(Option::as_mut) else { return };
        let judged = std::mem::take(&mut slot.judged);
        self.findings_bytes -= judged_bytes(&judged);
        self.judged -= usize::from(!matches!(judged, Judged::Not));
    }

    /// Forgets the findings of every package.
    pub(crate) fn forget_all(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.judged = Judged::Not;
        }
        (self.judged, self.findings_bytes) = (0, 0);
    }

    /// Whether no package was matched.
    pub(crate) fn is_blank(&self) -> bool {
        self.judged == 0
    }

    /// Forgets the findings of the packages that a change of the advisories is about; returns the images that have one of them.
    pub(crate) fn follow(&mut self, delta: &Delta) -> BTreeSet<ImageDigest> {
        let touched = self.keys.touched(delta);
        for number in &touched {
            self.forget(*number);
        }
        self.images_with(&touched)
    }

    /// The images that may have what a change of the advisories is about.
    pub(crate) fn touched(&self, delta: &Delta) -> BTreeSet<ImageDigest> {
        self.images_with(&self.keys.touched(delta))
    }

    fn images_with(&self, packages: &BTreeSet<u32>) -> BTreeSet<ImageDigest> {
        let slots = packages.iter().filter_map(|number| self.slot(*number));
        let mut numbers: Vec<u32> = slots.flat_map(|slot| slot.images.iter().copied()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| self.images[number as usize].clone()).collect()
    }
}

fn judged_bytes(judged: &Judged) -> usize {
    match judged {
        Judged::Not | Judged::Clean => 0,
        Judged::Found(noted) => noted.iter().map(noted_bytes).sum(),
    }
}

/// Roughly how much memory a package takes, its place in the indexes included.
fn package_bytes(package: &Package) -> usize {
    let texts = [&package.name, &package.version, &package.vendor, &package.evidence, &package.ecosystem];
    size_of::<Package>() + size_of::<Slot>() + 320 + texts.iter().map(|text| text.len()).sum::<usize>()
}

fn hash(package: &Package) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&package.name, &package.version, &package.arch, &package.evidence, package.layer).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "pool/tests.rs"]
mod tests;
