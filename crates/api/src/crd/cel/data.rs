//! Equality, membership and concatenation, with the rules of Kubernetes for lists that are sets or maps.
//!
//! Invariant: every value that is looked at is paid for as work first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::super::schema::ListKind;
use super::eval::{Evaluated, Fault, Machine, member};
use super::time;
use super::value::{Data, Key, Val, order};

/// The largest text or byte string that a rule may make.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// Rough size of JSON, in values and bytes of text; stops counting at `max`.
fn weight(value: &Value, max: u64) -> u64 {
    let mut sum = 1_u64;
    match value {
        Value::String(text) => sum += text.len() as u64,
        Value::Array(items) => {
            for item in items {
                if sum > max {
                    break;
                }
                sum = sum.saturating_add(weight(item, max - sum.min(max)));
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                if sum > max {
                    break;
                }
                sum = sum.saturating_add(key.len() as u64 + weight(item, max - sum.min(max)));
            }
        }
        _ => {}
    }
    sum
}

impl<'a> Machine<'a, '_> {
    /// Pays for walking through JSON.
    pub(super) fn work_on(&mut self, value: &Value) -> Result<(), Fault> {
        self.work(weight(value, u64::MAX / 2))
    }

    /// Items of a list.
    pub(super) fn items(&mut self, list: &Val<'a>) -> Result<Vec<Val<'a>>, Fault> {
        self.work(list.size() as u64)?;
        match list {
            Val::List(items) => Ok(items.to_vec()),
            Val::Data(data) => {
                let count = data.list().ok_or_else(Fault::no_overload)?.len();
                let all = (0..count).filter_map(|index| data.item(index));
                all.collect::<Result<_, _>>().map_err(Fault::Error)
            }
            _ => Err(Fault::no_overload()),
        }
    }

    pub(super) fn equal(&mut self, a: &Val<'a>, b: &Val<'a>) -> Result<bool, Fault> {
        self.work(1)?;
        if let Some(order) = order(a, b) {
            if let Val::Str(text) = a {
                self.work(text.len() as u64)?;
            }
            return Ok(order.is_eq());
        }
        match (a, b) {
            (Val::Null, Val::Null) => Ok(true),
            (Val::Type(a), Val::Type(b)) => Ok(a == b),
            (Val::Unknown(a), Val::Unknown(b)) => {
                self.work_on(a)?;
                Ok(a == b)
            }
            (Val::Optional(a), Val::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => self.equal(a, b),
                (a, b) => Ok(a.is_none() && b.is_none()),
            },
            (Val::Foreign(a), Val::Foreign(b)) => Ok(a == b),
            (Val::Data(a), Val::Data(b)) => self.equal_data(*a, *b),
            (Val::List(_) | Val::Data(_), Val::List(_) | Val::Data(_)) => self.equal_lists(a, b),
            (Val::Map(_) | Val::Data(_), Val::Map(_)) | (Val::Map(_), Val::Data(_)) => self.equal_maps(a, b),
            _ => Ok(false),
        }
    }

    fn equal_lists(&mut self, a: &Val<'a>, b: &Val<'a>) -> Result<bool, Fault> {
        if a.size() != b.size() {
            return Ok(false);
        }
        let (a, b) = (self.items(a)?, self.items(b)?);
        for (a, b) in a.iter().zip(&b) {
            if !self.equal(a, b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entries(&mut self, map: &Val<'a>) -> Result<BTreeMap<Key, Val<'a>>, Fault> {
        self.work(map.size() as u64)?;
        match map {
            Val::Map(entries) => Ok((**entries).clone()),
            Val::Data(data) => {
                let mut entries = BTreeMap::new();
                for key in data.keys() {
                    let Val::Str(name) = &key else { continue };
                    if let (Some(value), Some(key)) = (member(map, name)?, key.key()) {
                        entries.insert(key, value);
                    }
                }
                Ok(entries)
            }
            _ => Err(Fault::no_overload()),
        }
    }

    fn equal_maps(&mut self, a: &Val<'a>, b: &Val<'a>) -> Result<bool, Fault> {
        let (a, b) = (self.entries(a)?, self.entries(b)?);
        if a.len() != b.len() {
            return Ok(false);
        }
        for (key, value) in &a {
            let Some(other) = b.get(key) else { return Ok(false) };
            if !self.equal(value, other)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_data(&mut self, a: Data<'a>, b: Data<'a>) -> Result<bool, Fault> {
        match (a.list(), b.list()) {
            (Some(left), Some(right)) if left.len() != right.len() => return Ok(false),
            (Some(left), Some(right)) => match a.list_kind() {
                ListKind::Atomic => return self.equal_lists(&Val::Data(a), &Val::Data(b)),
                ListKind::Set => {
                    self.work_on(a.value)?;
                    self.work_on(b.value)?;
                    let known: HashSet<String> = left.iter().map(Value::to_string).collect();
                    return Ok(right.iter().all(|item| known.contains(&item.to_string())));
                }
                ListKind::Map(keys) => return self.equal_keyed(keys, a, b),
            },
            (None, None) => {}
            _ => return Ok(false),
        }
        let (Some(left), Some(right)) = (a.map(), b.map()) else { return Ok(false) };
        if left.len() != right.len() {
            return Ok(false);
        }
        for (name, value) in left {
            self.work(1)?;
            let Some(other) = right.get(name) else { return Ok(false) };
            let equal = match (a.member(name), b.member(name)) {
                (Some(mine), Some(theirs)) if !value.is_null() && !other.is_null() => {
                    let mine = super::value::typed(value, mine).map_err(Fault::Error)?;
                    let theirs = super::value::typed(other, theirs).map_err(Fault::Error)?;
                    self.equal(&mine, &theirs)?
                }
                _ => {
                    self.work_on(value)?;
                    value == other
                }
            };
            if !equal {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lists whose items are told apart by keys are equal in any order.
    fn equal_keyed(&mut self, keys: &[String], a: Data<'a>, b: Data<'a>) -> Result<bool, Fault> {
        self.work_on(a.value)?;
        self.work_on(b.value)?;
        let by_key = index_by(keys, a.list().unwrap_or_default());
        for (at, item) in b.list().unwrap_or_default().iter().enumerate() {
            let Some(other) = by_key.get(&key_of(keys, item)) else { return Ok(false) };
            let (Some(mine), Some(theirs)) = (a.item(*other), b.item(at)) else { return Ok(false) };
            let (mine, theirs) = (mine.map_err(Fault::Error)?, theirs.map_err(Fault::Error)?);
            if !self.equal(&mine, &theirs)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn contains(&mut self, container: &Val<'a>, wanted: &Val<'a>) -> Evaluated<'a> {
        match container {
            Val::Map(entries) => Ok(Val::Bool(wanted.key().is_some_and(|key| entries.contains_key(&key)))),
            Val::Data(data) if data.list().is_none() => match wanted {
                Val::Str(name) => Ok(Val::Bool(member(container, name)?.is_some())),
                _ => Ok(Val::Bool(false)),
            },
            Val::List(_) | Val::Data(_) => {
                for item in self.items(container)? {
                    if self.equal(&item, wanted)? {
                        return Ok(Val::Bool(true));
                    }
                }
                Ok(Val::Bool(false))
            }
            _ => Err(Fault::no_overload()),
        }
    }

    /// `indexOf` and `lastIndexOf` of a list.
    pub(super) fn position(&mut self, function: &str, list: &Val<'a>, wanted: &Val<'a>) -> Evaluated<'a> {
        let mut found = -1;
        for (index, item) in self.items(list)?.iter().enumerate() {
            if self.equal(item, wanted)? {
                found = i64::try_from(index).unwrap_or(i64::MAX);
                if function == "indexOf" {
                    break;
                }
            }
        }
        Ok(Val::Int(found))
    }

    pub(super) fn add(&mut self, a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
        let overflow = |why: &str| Fault::Error(format!("{why} overflow"));
        match (a, b) {
            (Val::Int(a), Val::Int(b)) => a.checked_add(*b).map(Val::Int).ok_or_else(|| overflow("integer")),
            (Val::Uint(a), Val::Uint(b)) => {
                a.checked_add(*b).map(Val::Uint).ok_or_else(|| overflow("unsigned integer"))
            }
            (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
            (Val::Str(a), Val::Str(b)) => {
                self.makes(a.len() + b.len())?;
                Ok(Val::text(format!("{}{}", &**a, &**b)))
            }
            (Val::Bytes(a), Val::Bytes(b)) => {
                self.makes(a.len() + b.len())?;
                Ok(Val::Bytes([&**a, &**b].concat().into()))
            }
            (Val::Timestamp(at), Val::Duration(nanos)) | (Val::Duration(nanos), Val::Timestamp(at)) => {
                time::add(*at, *nanos).map(Val::Timestamp).ok_or_else(|| overflow("timestamp"))
            }
            (Val::Duration(a), Val::Duration(b)) => {
                a.checked_add(*b).map(Val::Duration).ok_or_else(|| overflow("duration"))
            }
            (Val::List(_) | Val::Data(_), Val::List(_) | Val::Data(_)) => self.concatenated(a, b),
            _ => Err(Fault::no_overload()),
        }
    }

    /// Pays for a new text of that many bytes.
    pub(super) fn makes(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > TEXT_BYTES_MAX {
            return Err(Fault::Limit);
        }
        self.work(bytes as u64)
    }

    fn concatenated(&mut self, a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
        let (mut all, more) = (self.items(a)?, self.items(b)?);
        let kind = if let Val::Data(data) = a { data.list_kind() } else { &ListKind::Atomic };
        match kind {
            ListKind::Atomic => all.extend(more),
            ListKind::Set => {
                for item in more {
                    let mut known = false;
                    for other in &all {
                        known = known || self.equal(other, &item)?;
                    }
                    if !known {
                        all.push(item);
                    }
                }
            }
            ListKind::Map(keys) => {
                for item in more {
                    match self.place_of(keys, &all, &item)? {
                        Some(at) => all[at] = item,
                        None => all.push(item),
                    }
                }
            }
        }
        Ok(Val::List(Arc::new(all)))
    }

    /// Where a list has an item with the same keys.
    fn place_of(&mut self, keys: &[String], all: &[Val<'a>], item: &Val<'a>) -> Result<Option<usize>, Fault> {
        for (at, other) in all.iter().enumerate() {
            let mut same = true;
            for key in keys {
                let name = super::types::escape(key).unwrap_or_else(|| key.clone());
                let pair = (member(other, &name)?, member(item, &name)?);
                same = same
                    && match pair {
                        (Some(mine), Some(theirs)) => self.equal(&mine, &theirs)?,
                        (mine, theirs) => mine.is_none() && theirs.is_none(),
                    };
            }
            if same {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

fn key_of(keys: &[String], item: &Value) -> String {
    let parts: Vec<String> =
        keys.iter().map(|key| item.get(key).map(Value::to_string).unwrap_or_default()).collect();
    parts.join("\0")
}

fn index_by(keys: &[String], items: &[Value]) -> HashMap<String, usize> {
    items.iter().enumerate().map(|(at, item)| (key_of(keys, item), at)).collect()
}
