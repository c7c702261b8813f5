//! `FieldSet`: a set of paths as a tree, with the operations of sets, and its JSON form `fieldsV1`.
//!
//! Invariants: no node is neither a member nor has members below it, so equality is equality of sets; the depth of a
//! decoded set is bounded by [`MAX_DEPTH`].

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::{PathElement, PathElementError};

/// Deeper field sets are refused: no object that the server reads is as deep.
const MAX_DEPTH: usize = 128;

/// A path from the root of an object.
pub type Path = Vec<PathElement>;

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    nodes: BTreeMap<PathElement, Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: FieldSet,
}

/// Why `fieldsV1` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSetError {
    /// A key that is no path element.
    #[error(transparent)]
    Element(#[from] PathElementError),
    /// Something else than an object where an object is expected.
    #[error("fieldsV1 holds something else than objects")]
    NotAnObject,
    /// Deeper than any object.
    #[error("fieldsV1 is nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

impl FieldSet {
    /// Whether there is no path.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a path; the empty path is the object itself and never a member.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.nodes.entry(first.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// Adds `element` with what is below it; nothing when there is nothing to add.
    pub(super) fn attach(&mut self, element: PathElement, member: bool, below: Self) {
        if !member && below.is_empty() {
            return;
        }
        match self.nodes.get_mut(&element) {
            None => {
                self.nodes.insert(element, Node { member, below });
            }
            Some(node) => {
                node.member |= member;
                node.below = node.below.union(&below);
            }
        }
    }

    /// Whether the path is a member.
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.contains(rest)),
        }
    }

    /// Whether the element itself is a member.
    pub(super) fn has(&self, element: &PathElement) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// The members below an element; `None` when there are none.
    pub(super) fn below(&self, element: &PathElement) -> Option<&Self> {
        self.nodes.get(element).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// Elements of the first level: element, whether it is a member, what is below it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PathElement, bool, &Self)> {
        self.nodes.iter().map(|(element, node)| (element, node.member, &node.below))
    }

    /// Paths of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (element, node) in &other.nodes {
            match all.nodes.get_mut(element) {
                None => {
                    all.nodes.insert(element.clone(), node.clone());
                }
                Some(mine) => {
                    mine.member |= node.member;
                    if !node.below.is_empty() {
                        mine.below = mine.below.union(&node.below);
                    }
                }
            }
        }
        all
    }

    /// Paths of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (element, node) in &self.nodes {
            if let Some(theirs) = other.nodes.get(element) {
                let below = node.below.intersection(&theirs.below);
                both.attach(element.clone(), node.member && theirs.member, below);
            }
        }
        both
    }

    /// Paths that `other` does not have; what is below a path of `other` stays.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (element, node) in &self.nodes {
            let theirs = other.nodes.get(element);
            let below = theirs.map_or_else(|| node.below.clone(), |t| node.below.difference(&t.below));
            rest.attach(element.clone(), node.member && !theirs.is_some_and(|t| t.member), below);
        }
        rest
    }

    /// Paths that neither are in `other` nor lie below one that is.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (element, node) in &self.nodes {
            match other.nodes.get(element) {
                None => rest.attach(element.clone(), node.member, node.below.clone()),
                Some(theirs) if theirs.member => {}
                Some(theirs) => {
                    let below = node.below.recursive_difference(&theirs.below);
                    rest.attach(element.clone(), node.member, below);
                }
            }
        }
        rest
    }

    /// Members that have no members below them.
    #[must_use]
    pub fn leaves(&self) -> Self {
        let mut leaves = Self::default();
        for (element, node) in &self.nodes {
            leaves.attach(element.clone(), node.member && node.below.is_empty(), node.below.leaves());
        }
        leaves
    }

    /// All paths: on every level first the members, then what is below.
    pub fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut found);
        found
    }

    fn collect_paths(&self, prefix: &mut Path, found: &mut Vec<Path>) {
        for (element, node) in &self.nodes {
            if node.member {
                found.push(prefix.iter().chain([element]).cloned().collect());
            }
        }
        for (element, node) in &self.nodes {
            prefix.push(element.clone());
            node.below.collect_paths(prefix, found);
            prefix.pop();
        }
    }

    /// As `fieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        self.encode(false)
    }

    fn encode(&self, is_member: bool) -> Value {
        let mut map = Map::new();
        if is_member && !self.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, node) in &self.nodes {
            map.insert(element.encode(), node.below.encode(node.member));
        }
        Value::Object(map)
    }

    /// From `fieldsV1`.
    ///
    /// # Errors
    /// When it is not what [`Self::to_fields_v1`] could have written, but for elements of unknown kinds, which are left out.
    pub fn from_fields_v1(fields: &Value) -> Result<Self, FieldSetError> {
        let map = fields.as_object().ok_or(FieldSetError::NotAnObject)?;
        Self::decode(map, 0)
    }

    fn decode(map: &Map<String, Value>, depth: usize) -> Result<Self, FieldSetError> {
        if depth > MAX_DEPTH {
            return Err(FieldSetError::TooDeep);
        }
        let mut set = Self::default();
        for (key, value) in map.iter().filter(|(key, _)| key.as_str() != ".") {
            let Some(element) = PathElement::decode(key)? else { continue };
            let inner = value.as_object().ok_or(FieldSetError::NotAnObject)?;
            let below = Self::decode(inner, depth + 1)?;
            set.attach(element, below.is_empty() || inner.contains_key("."), below);
        }
        Ok(set)
    }

    /// Whether `fields`, a `fieldsV1`, has a path of this set. Reads only what both have.
    pub(super) fn meets(&self, fields: &Value) -> bool {
        self.nodes.iter().any(|(element, node)| match fields.get(element.encode()) {
            None => false,
            Some(theirs) => (node.member && is_member(theirs)) || node.below.meets(theirs),
        })
    }

    /// Whether `fields`, a `fieldsV1`, has every path of this set. Reads only what both have.
    pub(super) fn is_within(&self, fields: &Value) -> bool {
        self.nodes.iter().all(|(element, node)| {
            let theirs = fields.get(element.encode());
            theirs.is_some_and(|t| (!node.member || is_member(t)) && node.below.is_within(t))
        })
    }
}

/// Whether a node of `fieldsV1` is a member itself.
fn is_member(node: &Value) -> bool {
    node.as_object().is_some_and(|map| map.is_empty() || map.contains_key("."))
}

impl FromIterator<Path> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(&path);
        }
        set
    }
}
