//! Runs the rules of a schema on an object.
//!
//! Rules that look at `oldSelf` run only where there is an old value to compare with. Rules that fail where nothing
//! changed are let pass, so that a definition can be tightened while old objects live on.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::schema::{Additional, ListKind, Node, Type as JsonType, join};
use super::compile::Rule;
use super::eval::{Fault, Machine};
use super::expr::Expr;
use super::value::{Data, Val, typed};
use crate::status::{FieldError, FieldErrorKind};

/// Cost of all rules of one object.
pub(super) const BUDGET: u64 = 10_000_000;
/// Cost of one rule.
pub(super) const RULE_BUDGET: u64 = 1_000_000;
/// Work of all rules of one object, in values and bytes looked at.
const WORK_MAX: u64 = 1 << 28;
const MESSAGE_BYTES_MAX: usize = 5 << 10;
/// More wrong places than this are not collected.
const ERRORS_MAX: usize = 50;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// Pairs of new and old value, for telling whether anything changed.
#[derive(Clone, Copy, Default)]
struct Ratchet<'a> {
    here: Option<(&'a Value, &'a Value)>,
    /// Of the nearest parent that has one.
    above: Option<(&'a Value, &'a Value)>,
}

impl<'a> Ratchet<'a> {
    fn unchanged(&self) -> bool {
        self.here.or(self.above).is_some_and(|(new, old)| new == old)
    }

    fn key(&self, name: &str, child: Option<(&'a Value, &'a Value)>) -> Self {
        match (self.here, self.above) {
            (None, _) => *self,
            // A change of version is not visible: both objects are read in the same one.
            (Some(_), None) if name == "apiVersion" || name == "kind" => Self::default(),
            (here, _) => Self { here: child, above: here },
        }
    }
}

/// A place in the object.
#[derive(Clone, Copy)]
struct Spot<'a> {
    node: &'a Node,
    value: &'a Value,
    old: Option<&'a Value>,
    ratchet: Ratchet<'a>,
    resource: bool,
}

struct Runner {
    errors: Vec<FieldError>,
    left: u64,
    work: u64,
    halted: bool,
}

/// What the rules of a schema have against an object, given the one before for an update.
pub(in crate::crd) fn run(root: &Node, value: &Value, old: Option<&Value>, path: &str) -> Vec<FieldError> {
    run_as(root, value, old, path, true)
}

/// As [`run`], for a value that need not be a whole object.
pub(in crate::crd) fn run_as(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &str,
    resource: bool,
) -> Vec<FieldError> {
    let mut runner = Runner { errors: Vec::new(), left: BUDGET, work: WORK_MAX, halted: false };
    let ratchet = Ratchet { here: old.map(|old| (value, old)), above: None };
    runner.spot(Spot { node, value, old, ratchet, resource }, path);
    runner.errors
}

impl Runner {
    fn spot(&mut self, spot: Spot<'_>, path: &str) {
        if !spot.node.rules_below || spot.value.is_null() || self.halted || self.errors.len() >= ERRORS_MAX {
            return;
        }
        for rule in &spot.node.rules {
            self.rule(rule, &spot, path);
            if self.halted {
                return;
            }
        }
        match spot.value {
            Value::Object(map) => self.map(&spot, map, path),
            Value::Array(list) => self.list(&spot, list, path),
            _ => {}
        }
    }

    fn map<'a>(&mut self, spot: &Spot<'a>, map: &'a Map<String, Value>, path: &str) {
        let old = spot.old.and_then(Value::as_object);
        for (name, value) in map {
            let (node, path) = match (spot.node.properties.get(name), &spot.node.additional) {
                (Some(node), _) => (node, join(path, name)),
                (None, Additional::Values(node)) => (&**node, format!("{path}[{name}]")),
                _ => continue,
            };
            let old = old.and_then(|old| old.get(name));
            let pair =
                spot.ratchet.here.and_then(|(_, before)| before.get(name)).map(|before| (value, before));
            let ratchet = spot.ratchet.key(name, pair);
            self.spot(Spot { node, value, old, ratchet, resource: node.embedded }, &path);
        }
    }

    fn list<'a>(&mut self, spot: &Spot<'a>, list: &'a [Value], path: &str) {
        let Some(node) = spot.node.items.as_deref().filter(|node| node.rules_below) else { return };
        let correlate = |old: Option<&'a Value>| Correlated::new(&spot.node.list, old);
        let (old, before) = (correlate(spot.old), correlate(spot.ratchet.here.map(|(_, before)| before)));
        for (index, value) in list.iter().enumerate() {
            let pair = before.find(value).map(|before| (value, before));
            let ratchet = spot.ratchet.key("", pair);
            let spot = Spot { node, value, old: old.find(value), ratchet, resource: node.embedded };
            self.spot(spot, &format!("{path}[{index}]"));
        }
    }

    fn refuse(&mut self, spot: &Spot<'_>, path: &str, why: String) {
        let kind = spot.node.kind.map_or("", JsonType::name);
        self.errors.push(FieldError::invalid(shown(path), kind, why));
    }

    fn rule(&mut self, rule: &Rule, spot: &Spot<'_>, path: &str) {
        let optional = rule.spec.optional_old_self == Some(true);
        if rule.uses_old_self && spot.old.is_none_or(Value::is_null) && !optional {
            return;
        }
        let name = rule.name();
        let (outcome, cost) = self.evaluate(&rule.expr, spot, optional);
        if cost > self.left {
            self.halted = true;
            return self.refuse(spot, path, OUT_OF_BUDGET.to_owned());
        }
        self.left -= cost;
        match outcome {
            Ok(Val::Bool(true)) => {}
            Ok(_) => self.failed(rule, spot, path),
            Err(Fault::Limit) => {
                self.halted = true;
                let why = format!(
                    "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to \
                     call cost exceeds limit for rule: {name}"
                );
                self.refuse(spot, path, why);
            }
            Err(Fault::Error(error)) if error.starts_with("no such overload") => {
                let why = format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
                );
                self.refuse(spot, path, why);
            }
            Err(Fault::Error(error)) => self.refuse(spot, path, format!("{error} evaluating rule: {name}")),
        }
    }

    /// The value of an expression at a place, and its cost.
    fn evaluate<'a>(
        &mut self,
        expr: &'a Expr,
        spot: &Spot<'a>,
        optional: bool,
    ) -> (Result<Val<'a>, Fault>, u64) {
        if self.left == 0 {
            return (Err(Fault::Limit), 1);
        }
        let read = |value: &'a Value| match value {
            Value::Object(_) if spot.resource => {
                Ok(Val::Data(Data { value, node: spot.node, resource: true }))
            }
            value => typed(value, spot.node),
        };
        let own = match read(spot.value) {
            Ok(own) => own,
            Err(error) => return (Err(Fault::Error(error)), 0),
        };
        let mut variables = vec![("self", own)];
        match spot.old.filter(|old| !old.is_null()).map(read) {
            Some(Ok(old)) => variables.push(("oldSelf", if optional { Val::some(old) } else { old })),
            Some(Err(error)) => return (Err(Fault::Error(error)), 0),
            None if optional => variables.push(("oldSelf", Val::Optional(None))),
            None => {}
        }
        Machine::new(RULE_BUDGET, &mut self.work, variables).run(expr)
    }

    fn failed(&mut self, rule: &Rule, spot: &Spot<'_>, path: &str) {
        if !rule.uses_old_self && spot.ratchet.unchanged() {
            return;
        }
        let detail = match self.message(rule, spot, path) {
            Some(detail) => detail,
            None if self.halted => return,
            None if rule.spec.message.is_empty() => format!("failed rule: {}", rule.name()),
            None => rule.spec.message.trim().to_owned(),
        };
        let path = if rule.field_path.is_empty() {
            shown(path).to_owned()
        } else if rule.field_path.starts_with('[') {
            format!("{path}{}", rule.field_path)
        } else {
            join(path, &rule.field_path)
        };
        let composite = matches!(spot.node.kind, Some(JsonType::Object | JsonType::Array));
        let bad_value = if composite { None } else { Some(spot.value.clone()) };
        let (kind, bad_value) = match rule.spec.reason.as_deref() {
            Some("FieldValueForbidden") => (FieldErrorKind::Forbidden, None),
            Some("FieldValueRequired") => (FieldErrorKind::Required, None),
            Some("FieldValueDuplicate") => (FieldErrorKind::Duplicate, bad_value),
            _ => (FieldErrorKind::Invalid, bad_value),
        };
        let detail = if kind == FieldErrorKind::Duplicate { String::new() } else { detail };
        self.errors.push(FieldError { path, kind, bad_value, detail });
    }

    /// The message that the rule computes; `None` when it has none or fails at it.
    fn message(&mut self, rule: &Rule, spot: &Spot<'_>, path: &str) -> Option<String> {
        let expr = rule.message.as_deref()?;
        let optional = rule.spec.optional_old_self == Some(true);
        let (outcome, cost) = self.evaluate(expr, spot, optional);
        let spent = cost > self.left;
        self.left = self.left.saturating_sub(cost);
        match outcome {
            Err(Fault::Limit) => {
                self.halted = true;
                let source = &rule.spec.message_expression;
                let why = format!(
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression: {source:?}"
                );
                self.refuse(spot, path, why);
                None
            }
            _ if spent => {
                self.halted = true;
                let why = "messageExpression evaluation failed due to running out of cost budget, no further validation \
                           rules will be run";
                self.refuse(spot, path, why.to_owned());
                None
            }
            Ok(Val::Str(text)) => {
                let text = text.trim();
                let fine = !text.is_empty() && !text.contains('\n') && text.len() <= MESSAGE_BYTES_MAX;
                fine.then(|| text.to_owned())
            }
            _ => None,
        }
    }
}

impl Rule {
    /// What stands for the rule in messages.
    fn name(&self) -> &str {
        let text = if self.spec.message.is_empty() { &self.spec.rule } else { &self.spec.message };
        text.trim()
    }
}

/// The root has no path.
fn shown(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

/// Old items of a list by their keys.
pub(in crate::crd) struct Correlated<'a> {
    keys: &'a [String],
    items: HashMap<String, &'a Value>,
}

impl<'a> Correlated<'a> {
    pub(in crate::crd) fn new(list: &'a ListKind, old: Option<&'a Value>) -> Self {
        let (ListKind::Map(keys), Some(Value::Array(items))) = (list, old) else {
            return Self { keys: &[], items: HashMap::new() };
        };
        let mut by_key = HashMap::new();
        for item in items {
            if let Some(key) = composite_key(keys, item) {
                by_key.entry(key).or_insert(item);
            }
        }
        Self { keys, items: by_key }
    }

    /// The old item with the keys of this one.
    pub(in crate::crd) fn find(&self, item: &Value) -> Option<&'a Value> {
        if self.items.is_empty() {
            return None;
        }
        self.items.get(&composite_key(self.keys, item)?).copied()
    }
}

fn composite_key(keys: &[String], item: &Value) -> Option<String> {
    let mut out = String::new();
    for key in keys {
        let value = item.get(key).filter(|v| !v.is_object() && !v.is_array())?;
        out.push_str(&value.to_string());
        out.push('\0');
    }
    Some(out)
}
