//! What changes for whom when the advisories change: from two databases to what must be matched again.
//!
//! [`Inverted`] is kept over anything that has packages: images, or single packages that images share.
//!
//! Invariant: what [`Inverted::touched`] does not name has the same findings with both databases. For this the delta
//! holds the packages of every advisory that changed, of all that share an alias group with one, and of notices that name one.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use konzert_packages::Package;

use crate::codec::Head;
use crate::{Database, lookups};

/// The difference between two databases, in terms of what an image may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Ecosystem and package.
    packages: BTreeSet<(String, String)>,
    /// Ecosystems that came to be covered, or ceased to be.
    ecosystems: BTreeSet<String>,
    /// Advisories that are new, changed or gone.
    advisories: usize,
}

impl Delta {
    /// Compares two databases; both have their records in the same order, so one walk does it.
    pub fn between(old: &Database, new: &Database) -> Self {
        Self::between_up_to(old, new, usize::MAX).unwrap_or_default()
    }

    /// As [`Self::between`]; `None` when more than `most` advisories differ, and matching everything again is cheaper than
    /// finding out what they touch.
    pub fn between_up_to(old: &Database, new: &Database, most: usize) -> Option<Self> {
        let mut delta = Self::default();
        let (mut changed_old, mut changed_new) = (BTreeSet::new(), BTreeSet::new());
        let (mut a, mut b) = (0, 0);
        while a < old.len() || b < new.len() {
            // A record holds its id and feed: equal bytes need not be parsed.
            if a < old.len() && b < new.len() && old.record(a) == new.record(b) {
                (a, b) = (a + 1, b + 1);
                continue;
            }
            let order = match (old.head(a), new.head(b)) {
                (Some(x), Some(y)) => (x.id, x.feed).cmp(&(y.id, y.feed)),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            if delta.advisories >= most {
                return None;
            }
            delta.advisories += 1;
            if order != Ordering::Greater {
                changed_old.insert(a);
                a += 1;
            }
            if order != Ordering::Less {
                changed_new.insert(b);
                b += 1;
            }
        }
        let urgent = priorities_changed(old, new);
        if urgent.len() > most {
            return None;
        }
        for id in urgent {
            changed_old.extend(old.naming(&id));
            changed_new.extend(new.naming(&id));
        }
        // The ids of a changed advisory may lead elsewhere in the other database.
        let ids: BTreeSet<String> = ids_of(old, &changed_old).chain(ids_of(new, &changed_new)).collect();
        for database in [old, new] {
            delta.reach(database, &ids);
        }
        let covered = |db: &Database| db.coverage().keys().cloned().collect::<BTreeSet<_>>();
        delta.ecosystems = covered(old).symmetric_difference(&covered(new)).cloned().collect();
        Some(delta)
    }

    /// What would differ without the advisories that these ids lead to: a question about one vulnerability concerns no image
    /// that this does not touch.
    pub fn about(database: &Database, ids: &BTreeSet<String>) -> Self {
        let mut delta = Self { advisories: ids.len(), ..Self::default() };
        delta.reach(database, ids);
        delta
    }

    /// Adds the packages of every record that one of these ids leads to.
    fn reach(&mut self, database: &Database, ids: &BTreeSet<String>) {
        let naming = ids.iter().flat_map(|id| database.naming(id));
        let groups: BTreeSet<u32> = naming.map(|record| database.group(record)).collect();
        let mut own = BTreeSet::new();
        for record in groups.iter().flat_map(|group| database.members(*group)) {
            own.insert(record);
            // A notice without a severity borrows that of what it covers.
            own.extend(database.head(record).into_iter().flat_map(|head| database.naming(head.id)));
        }
        for head in own.into_iter().filter_map(|record| database.head(record)) {
            let affected = head.affected().unwrap_or_default();
            self.packages.extend(
                affected
                    .iter()
                    .map(|(_, ecosystem, view)| ((*ecosystem).to_owned(), view.package.to_owned())),
            );
        }
    }

    /// Whether nothing changes for anybody.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.ecosystems.is_empty()
    }

    /// Advisories that are new, changed or gone.
    pub fn advisories(&self) -> usize {
        self.advisories
    }

    /// Ecosystem and package of everything that may match differently.
    pub fn packages(&self) -> &BTreeSet<(String, String)> {
        &self.packages
    }

    /// Ecosystems that came to be covered, or ceased to be.
    pub fn ecosystems(&self) -> &BTreeSet<String> {
        &self.ecosystems
    }
}

fn ids_of<'a>(database: &'a Database, records: &'a BTreeSet<usize>) -> impl Iterator<Item = String> + 'a {
    let all = |head: Head<'a>| -> Option<Vec<&'a str>> {
        let names = head.names()?;
        let lists = [names.aliases, names.upstream, names.related];
        Some(std::iter::once(head.id).chain(lists.into_iter().flatten()).collect())
    };
    let heads = records.iter().filter_map(|record| database.head(*record));
    heads.filter_map(all).flatten().map(str::to_owned)
}

/// CVEs whose urgency differs.
fn priorities_changed(old: &Database, new: &Database) -> Vec<String> {
    let (mut before, mut after) = (old.priority_rows().peekable(), new.priority_rows().peekable());
    let mut changed = Vec::new();
    loop {
        let order = match (before.peek(), after.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return changed,
        };
        let left = if order == Ordering::Greater { None } else { before.next() };
        let right = if order == Ordering::Less { None } else { after.next() };
        if left != right {
            changed.extend(left.or(right).map(|(key, _)| key.to_string()));
        }
    }
}

/// From packages to what has them: images, or a holder's own numbers of packages.
#[derive(Clone, Debug)]
pub struct Inverted<I> {
    images: Vec<Option<I>>,
    numbers: HashMap<I, u32>,
    free: Vec<u32>,
    /// Ecosystem → package → key number; the package `""` stands for the whole ecosystem.
    keys: HashMap<String, HashMap<String, u32>>,
    free_keys: Vec<u32>,
    /// Keys that nothing has any more; they are looked for when there are many.
    empty_keys: usize,
    /// Key number → image numbers.
    postings: Vec<Vec<u32>>,
    /// Image number → key numbers.
    owned: Vec<Vec<u32>>,
}

impl<I> Default for Inverted<I> {
    fn default() -> Self {
        Self {
            images: Vec::new(),
            numbers: HashMap::new(),
            free: Vec::new(),
            keys: HashMap::new(),
            free_keys: Vec::new(),
            empty_keys: 0,
            postings: Vec::new(),
            owned: Vec::new(),
        }
    }
}

impl<I: Clone + Eq + Hash + Ord> Inverted<I> {
    /// Remembers the packages of an image in place of those it had before.
    pub fn insert<'a>(&mut self, image: &I, packages: impl IntoIterator<Item = &'a Package>) {
        self.remove(image);
        let number = self.free.pop().unwrap_or_else(|| {
            self.images.push(None);
            self.owned.push(Vec::new());
            u32::try_from(self.images.len() - 1).expect("images do not come by the billion")
        });
        self.images[number as usize] = Some(image.clone());
        self.numbers.insert(image.clone(), number);
        let mut own: Vec<u32> = Vec::new();
        for package in packages {
            for (ecosystem, package) in lookups(package) {
                // The whole ecosystem, for when its coverage changes.
                own.push(self.key(&ecosystem, String::new()));
                own.push(self.key(&ecosystem, package));
            }
        }
        own.sort_unstable();
        own.dedup();
        for key in &own {
            self.postings[*key as usize].push(number);
        }
        self.owned[number as usize] = own;
    }

    fn key(&mut self, ecosystem: &str, package: String) -> u32 {
        if !self.keys.contains_key(ecosystem) {
            self.keys.insert(ecosystem.to_owned(), HashMap::new());
        }
        let packages = self.keys.get_mut(ecosystem).expect("it was put there if it was missing");
        *packages.entry(package).or_insert_with(|| {
            self.free_keys.pop().unwrap_or_else(|| {
                self.postings.push(Vec::new());
                u32::try_from(self.postings.len() - 1).expect("packages do not come by the billion")
            })
        })
    }

    /// Forgets an image.
    pub fn remove(&mut self, image: &I) {
        let Some(number) = self.numbers.remove(image) else { return };
        for key in std::mem::take(&mut self.owned[number as usize]) {
            let posting = &mut self.postings[key as usize];
            if let Some(at) = posting.iter().position(|other| *other == number) {
                posting.swap_remove(at);
            }
            self.empty_keys += usize::from(posting.is_empty());
        }
        self.images[number as usize] = None;
        self.free.push(number);
        if self.empty_keys > self.postings.len() / 2 + 1024 {
            self.sweep();
        }
    }

    /// Takes the keys away that nothing has.
    fn sweep(&mut self) {
        self.empty_keys = 0;
        let (postings, free) = (&mut self.postings, &mut self.free_keys);
        self.keys.retain(|_, packages| {
            packages.retain(|_, key| {
                let posting = &mut postings[*key as usize];
                if posting.is_empty() {
                    *posting = Vec::new();
                    free.push(*key);
                    return false;
                }
                true
            });
            !packages.is_empty()
        });
    }

    /// How many images it knows.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The images that have one of these packages, or any package of one of these ecosystems.
    pub fn touched(&self, delta: &Delta) -> BTreeSet<I> {
        let whole = delta.ecosystems.iter().map(|ecosystem| (ecosystem.as_str(), ""));
        let packages =
            delta.packages.iter().map(|(ecosystem, package)| (ecosystem.as_str(), package.as_str()));
        let keys = packages.chain(whole);
        let numbers = keys
            .filter_map(|(ecosystem, package)| self.keys.get(ecosystem)?.get(package))
            .flat_map(|key| &self.postings[*key as usize]);
        let numbers: BTreeSet<u32> = numbers.copied().collect();
        numbers.into_iter().filter_map(|number| self.images[number as usize].clone()).collect()
    }
}
