//! Runs a rule, counting its cost in the units of Kubernetes and its work in units of this machine.
//!
//! Invariants: every step is paid for before it is done, loops pay for each round, and whatever a function may make or
//! walk is paid for by its size; so a rule ends when either account is empty, whatever it says. Recursion is bounded by
//! the depth of the tree.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::call;
use super::expr::{Call, Element, Entry, Expr, Fold, FoldKind, Node};
use super::value::{Data, Key, REGEX_BYTES_MAX, Val, order};

/// Distinct patterns of one evaluation that are kept compiled.
const PATTERNS_MAX: usize = 32;
/// Work of compiling a pattern.
const COMPILE_WORK: u64 = 1 << 20;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The cost or the work of one evaluation is used up.
    Limit,
    /// An error in the words of the language.
    Error(String),
}

pub(super) type Evaluated<'a> = Result<Val<'a>, Fault>;

impl Fault {
    pub(super) fn no_overload() -> Self {
        Self::Error("no such overload".to_owned())
    }
}

/// One evaluation.
pub(super) struct Machine<'a, 'w> {
    cost: u64,
    cost_max: u64,
    work_left: &'w mut u64,
    variables: Vec<(&'a str, Val<'a>)>,
    patterns: HashMap<String, Regex>,
}

impl<'a, 'w> Machine<'a, 'w> {
    /// `work_left` is shared by all rules of one object.
    pub(super) fn new(cost_max: u64, work_left: &'w mut u64, variables: Vec<(&'a str, Val<'a>)>) -> Self {
        Self { cost: 0, cost_max, work_left, variables, patterns: HashMap::new() }
    }

    /// The value, and what it cost.
    pub(super) fn run(mut self, expr: &'a Expr) -> (Evaluated<'a>, u64) {
        let value = self.eval(expr);
        (value, self.cost)
    }

    pub(super) fn pay(&mut self, cost: u64) -> Result<(), Fault> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.cost_max {
            return Err(Fault::Limit);
        }
        self.work(cost)
    }

    pub(super) fn work(&mut self, units: u64) -> Result<(), Fault> {
        match self.work_left.checked_sub(units) {
            Some(left) => {
                *self.work_left = left;
                Ok(())
            }
            None => Err(Fault::Limit),
        }
    }

    fn eval(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        match &expr.node {
            Node::Literal(literal) => Ok(Val::of(literal)),
            Node::Ident(name) => {
                self.pay(1)?;
                self.ident(name)
            }
            Node::Select { operand, field, optional } => {
                let operand = self.eval(operand)?;
                self.pay(1)?;
                select(&operand, field, *optional)
            }
            Node::Has { operand, field } => {
                let operand = self.eval(operand)?;
                self.work(1)?;
                has(&operand, field)
            }
            Node::Call(call) => self.call(call),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Conditional(parts) => match self.eval(&parts[0])? {
                Val::Bool(true) => self.eval(&parts[1]),
                Val::Bool(false) => self.eval(&parts[2]),
                _ => Err(Fault::no_overload()),
            },
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(fold),
            Node::Bind { name, init, body } => {
                self.pay(10)?;
                let value = self.eval(init)?;
                self.within(name, value, body)
            }
            Node::OptMap { target, name, body, flat } => match self.eval(target)? {
                Val::Optional(None) => Ok(Val::Optional(None)),
                Val::Optional(Some(inner)) => {
                    let value = self.within(name, (*inner).clone(), body)?;
                    Ok(if *flat { value } else { Val::some(value) })
                }
                _ => Err(Fault::no_overload()),
            },
        }
    }

    fn within(&mut self, name: &'a str, value: Val<'a>, body: &'a Expr) -> Evaluated<'a> {
        self.variables.push((name, value));
        let result = self.eval(body);
        self.variables.pop();
        result
    }

    fn ident(&self, name: &str) -> Evaluated<'a> {
        if let Some((_, value)) = self.variables.iter().rev().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        call::type_named(name).ok_or_else(|| Fault::Error(format!("no such attribute(s): {name}")))
    }

    /// `&&` and `||`: an error counts only when no term decides.
    fn logic(&mut self, terms: &'a [Expr], decides: bool) -> Evaluated<'a> {
        let mut fault = None;
        for term in terms {
            match self.eval(term) {
                Ok(Val::Bool(value)) if value == decides => return Ok(Val::Bool(decides)),
                Ok(Val::Bool(_)) => {}
                Ok(_) => fault = fault.or(Some(Fault::no_overload())),
                Err(Fault::Limit) => return Err(Fault::Limit),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        fault.map_or(Ok(Val::Bool(!decides)), Err)
    }

    fn list(&mut self, items: &'a [Element]) -> Evaluated<'a> {
        self.pay(10)?;
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(&item.value)?;
            match (item.optional, value) {
                (false, value) => out.push(value),
                (true, Val::Optional(inner)) => out.extend(inner.map(|v| (*v).clone())),
                (true, _) => return Err(Fault::no_overload()),
            }
        }
        Ok(Val::list(out))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Evaluated<'a> {
        self.pay(30)?;
        let mut out = BTreeMap::new();
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let key = key.key().ok_or_else(|| Fault::Error("unsupported key type".to_owned()))?;
            let value = self.eval(&entry.value)?;
            let value = match (entry.optional, value) {
                (false, value) => value,
                (true, Val::Optional(Some(inner))) => (*inner).clone(),
                (true, Val::Optional(None)) => continue,
                (true, _) => return Err(Fault::no_overload()),
            };
            if out.insert(key, value).is_some() {
                return Err(Fault::Error("failed with repeated key".to_owned()));
            }
        }
        Ok(Val::Map(Arc::new(out)))
    }

    fn call(&mut self, call: &'a Call) -> Evaluated<'a> {
        let mut args = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = &call.target {
            args.push(self.eval(target)?);
        }
        for arg in &call.args {
            args.push(self.eval(arg)?);
        }
        call::call(self, &call.function, call.target.is_some(), &args)
    }

    /// What a macro goes through: pairs of key or index, and value.
    fn rounds(&mut self, range: &Val<'a>) -> Result<Rounds<'a>, Fault> {
        self.work(range.size() as u64)?;
        Ok(match range {
            Val::List(items) => Rounds::List(items.clone()),
            Val::Map(entries) => Rounds::Keys(entries.keys().map(Key::value).collect()),
            Val::Data(data) if data.list().is_some() => Rounds::Data(*data),
            Val::Data(data) => Rounds::Keys(data.keys()),
            _ => return Err(Fault::no_overload()),
        })
    }

    fn fold(&mut self, fold: &'a Fold) -> Evaluated<'a> {
        let range = self.eval(&fold.range)?;
        let rounds = self.rounds(&range)?;
        let mut state = Folded::new(fold.kind);
        self.pay(state.price_before())?;
        for index in 0..rounds.len() {
            self.pay(state.price_of_round())?;
            let item = rounds.item(index)?;
            let outer = self.variables.len();
            let key = if rounds.is_list() {
                Val::Int(i64::try_from(index).unwrap_or(i64::MAX))
            } else {
                item.clone()
            };
            match &fold.second {
                Some(second) => {
                    let value = if rounds.is_list() { item.clone() } else { lookup(&range, &item)? };
                    self.variables.push((&fold.first, key.clone()));
                    self.variables.push((second, value));
                }
                None => self.variables.push((&fold.first, item.clone())),
            }
            let done = self.round(fold, &mut state, &key, item);
            self.variables.truncate(outer);
            if done? {
                break;
            }
        }
        state.finish()
    }

    /// One round; `true` when the rest does not matter.
    fn round(
        &mut self,
        fold: &'a Fold,
        state: &mut Folded<'a>,
        key: &Val<'a>,
        item: Val<'a>,
    ) -> Result<bool, Fault> {
        if let Some(filter) = &fold.filter {
            match self.eval(filter)? {
                Val::Bool(true) => {}
                Val::Bool(false) => return Ok(false),
                _ => return Err(Fault::no_overload()),
            }
        }
        let body = match self.eval(&fold.body) {
            Err(Fault::Limit) => return Err(Fault::Limit),
            other => other,
        };
        state.take(body, key, item)
    }

    /// A compiled pattern, kept for the next time.
    pub(super) fn pattern(&mut self, pattern: &str) -> Result<Regex, Fault> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.clone());
        }
        self.work(COMPILE_WORK)?;
        let regex = RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|e| Fault::Error(format!("error parsing regexp: {e}")))?;
        if self.patterns.len() >= PATTERNS_MAX {
            self.patterns.clear();
        }
        self.patterns.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }
}

/// What a macro goes through.
enum Rounds<'a> {
    List(Arc<Vec<Val<'a>>>),
    Keys(Vec<Val<'a>>),
    Data(Data<'a>),
}

impl<'a> Rounds<'a> {
    fn len(&self) -> usize {
        match self {
            Self::List(items) => items.len(),
            Self::Keys(keys) => keys.len(),
            Self::Data(data) => data.list().map_or(0, <[_]>::len),
        }
    }

    fn is_list(&self) -> bool {
        !matches!(self, Self::Keys(_))
    }

    fn item(&self, index: usize) -> Evaluated<'a> {
        let item = match self {
            Self::List(items) => items.get(index).cloned().map(Ok),
            Self::Keys(keys) => keys.get(index).cloned().map(Ok),
            Self::Data(data) => data.item(index).map(|item| item.map_err(Fault::Error)),
        };
        item.unwrap_or_else(|| Err(Fault::Error(format!("index out of bounds: {index}"))))
    }
}

/// What a macro has so far.
struct Folded<'a> {
    kind: FoldKind,
    list: Vec<Val<'a>>,
    keys: Vec<Val<'a>>,
    map: BTreeMap<Key, Val<'a>>,
    hits: u64,
    decided: Option<bool>,
    fault: Option<Fault>,
}

impl<'a> Folded<'a> {
    fn new(kind: FoldKind) -> Self {
        let (list, keys, map) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { kind, list, keys, map, hits: 0, decided: None, fault: None }
    }

    fn price_before(&self) -> u64 {
        match self.kind {
            FoldKind::All | FoldKind::Exists => 1,
            FoldKind::ExistsOne => 2,
            FoldKind::Map | FoldKind::Filter | FoldKind::TransformList | FoldKind::SortBy => 11,
            FoldKind::TransformMap | FoldKind::TransformMapEntry => 31,
        }
    }

    fn price_of_round(&self) -> u64 {
        match self.kind {
            FoldKind::All | FoldKind::TransformMap | FoldKind::TransformMapEntry => 3,
            FoldKind::Exists => 4,
            FoldKind::ExistsOne => 2,
            FoldKind::Map | FoldKind::Filter | FoldKind::TransformList | FoldKind::SortBy => 12,
        }
    }

    fn take(&mut self, body: Evaluated<'a>, key: &Val<'a>, item: Val<'a>) -> Result<bool, Fault> {
        if let FoldKind::All | FoldKind::Exists = self.kind {
            let decides = self.kind == FoldKind::Exists;
            match body {
                Ok(Val::Bool(value)) if value == decides => {
                    self.decided = Some(decides);
                    return Ok(true);
                }
                Ok(Val::Bool(_)) => {}
                Ok(_) => self.fault = Some(Fault::no_overload()),
                Err(fault) => self.fault = Some(fault),
            }
            return Ok(false);
        }
        let body = body?;
        match (self.kind, body) {
            (FoldKind::ExistsOne, Val::Bool(hit)) => self.hits += u64::from(hit),
            (FoldKind::Filter, Val::Bool(true)) => self.list.push(item),
            (FoldKind::Filter, Val::Bool(false)) => {}
            (FoldKind::SortBy, body) => {
                self.keys.push(body);
                self.list.push(item);
            }
            (FoldKind::TransformMap, body) => {
                let key = key.key().ok_or_else(Fault::no_overload)?;
                self.map.insert(key, body);
            }
            (FoldKind::TransformMapEntry, Val::Map(entries)) => {
                for (key, value) in &*entries {
                    if self.map.insert(key.clone(), value.clone()).is_some() {
                        return Err(Fault::Error("insert failed: key already exists".to_owned()));
                    }
                }
            }
            (FoldKind::Filter | FoldKind::ExistsOne | FoldKind::TransformMapEntry, _) => {
                return Err(Fault::no_overload());
            }
            (_, body) => self.list.push(body),
        }
        Ok(false)
    }

    fn finish(self) -> Evaluated<'a> {
        match self.kind {
            FoldKind::All | FoldKind::Exists => match (self.decided, self.fault) {
                (Some(value), _) => Ok(Val::Bool(value)),
                (None, Some(fault)) => Err(fault),
                (None, None) => Ok(Val::Bool(self.kind == FoldKind::All)),
            },
            FoldKind::ExistsOne => Ok(Val::Bool(self.hits == 1)),
            FoldKind::TransformMap | FoldKind::TransformMapEntry => Ok(Val::Map(Arc::new(self.map))),
            FoldKind::SortBy => sorted_by(self.keys, self.list),
            FoldKind::Map | FoldKind::Filter | FoldKind::TransformList => Ok(Val::list(self.list)),
        }
    }
}

fn sorted_by<'a>(keys: Vec<Val<'a>>, items: Vec<Val<'a>>) -> Evaluated<'a> {
    let mut pairs: Vec<(Val<'a>, Val<'a>)> = keys.into_iter().zip(items).collect();
    let comparable = pairs.windows(2).all(|pair| order(&pair[0].0, &pair[1].0).is_some());
    if !comparable {
        return Err(Fault::no_overload());
    }
    pairs.sort_by(|a, b| order(&a.0, &b.0).unwrap_or(std::cmp::Ordering::Equal));
    Ok(Val::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

/// A member of an object or map, by identifier.
pub(super) fn member<'a>(operand: &Val<'a>, field: &str) -> Result<Option<Val<'a>>, Fault> {
    match operand {
        Val::Data(data) if data.map().is_some() => data.get(field).transpose().map_err(Fault::Error),
        Val::Map(entries) => Ok(entries.get(&Key::Str(Arc::from(field))).cloned()),
        _ => Err(Fault::no_overload()),
    }
}

fn select<'a>(operand: &Val<'a>, field: &str, optional: bool) -> Evaluated<'a> {
    if let Val::Optional(inner) = operand {
        return inner.as_deref().map_or(Ok(Val::Optional(None)), |inner| select(inner, field, true));
    }
    match (member(operand, field)?, optional) {
        (Some(value), true) => Ok(Val::some(value)),
        (None, true) => Ok(Val::Optional(None)),
        (Some(value), false) => Ok(value),
        (None, false) => Err(Fault::Error(format!("no such key: {field}"))),
    }
}

fn has<'a>(operand: &Val<'a>, field: &str) -> Evaluated<'a> {
    if let Val::Optional(inner) = operand {
        return inner.as_deref().map_or(Ok(Val::Bool(false)), |inner| has(inner, field));
    }
    Ok(Val::Bool(member(operand, field)?.is_some()))
}

/// The value of a key of a map.
pub(super) fn lookup<'a>(map: &Val<'a>, key: &Val<'a>) -> Evaluated<'a> {
    let found = match (map, key) {
        (Val::Data(_), Val::Str(name)) => member(map, name)?,
        (Val::Map(entries), key) => key.key().and_then(|key| entries.get(&key).cloned()),
        _ => return Err(Fault::no_overload()),
    };
    found.ok_or_else(|| Fault::Error(format!("no such key: {}", call::shown(key))))
}
