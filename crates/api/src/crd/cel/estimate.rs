//! Worst cost of a rule by the sizes that the schema allows, in the units of Kubernetes.
//!
//! A definition whose rules are too dear is refused where a real server refuses it. The estimate promises nothing about
//! time; the limits while a rule runs do.

use std::collections::HashMap;
use std::sync::Arc;

use super::check::Checked;
use super::expr::{Call, Element, Entry, Expr, Fold, FoldKind, Id, Literal, Node};
use super::signature::Signature;
use super::types::{Decl, Type};

const CREATE_LIST: u64 = 10;
const CREATE_MAP: u64 = 30;
const TRAVERSAL: f64 = 0.1;
const REGEX: f64 = 0.25;
/// Assumed length of the pattern behind a named format.
const FORMAT_PATTERN: f64 = 128.0;

/// From the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) min: u64,
    pub(super) max: u64,
}

const UNKNOWN: Range = Range { min: 0, max: u64::MAX };

impl Range {
    const fn fixed(value: u64) -> Self {
        Self { min: value, max: value }
    }

    fn add(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    fn multiply(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    fn by(self, factor: f64) -> Self {
        Self { min: scale(self.min, factor), max: scale(self.max, factor) }
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "costs are estimates; the conversion saturates"
)]
fn scale(value: u64, factor: f64) -> u64 {
    (value as f64 * factor).ceil() as u64
}

/// A variable of a macro.
struct Local {
    name: String,
    decl: Option<Arc<Decl>>,
    size: Option<Range>,
}

struct Estimator<'c> {
    checked: &'c Checked,
    root: &'c Arc<Decl>,
    locals: Vec<Local>,
    /// Where the data of an expression is declared.
    decls: HashMap<Id, Arc<Decl>>,
    sizes: HashMap<Id, Range>,
    /// Sizes of the items of a list that the rule made.
    items: HashMap<Id, Range>,
}

/// The worst cost of one evaluation.
pub(super) fn cost(root: &Expr, checked: &Checked, decl: &Arc<Decl>) -> u64 {
    let mut estimator = Estimator {
        checked,
        root: decl,
        locals: Vec::new(),
        decls: HashMap::new(),
        sizes: HashMap::new(),
        items: HashMap::new(),
    };
    estimator.cost(root).max
}

impl Estimator<'_> {
    fn ty(&self, expr: &Expr) -> &Type {
        &self.checked.types[expr.id]
    }

    fn cost(&mut self, expr: &Expr) -> Range {
        match &expr.node {
            Node::Literal(_) => Range::fixed(0),
            Node::Ident(name) => {
                let local = self.locals.iter().rev().find(|l| l.name == *name);
                // Names of types count as large as `self`, as upstream.
                let decl = local.map_or_else(|| Some(self.root.clone()), |local| local.decl.clone());
                self.place(expr, decl);
                Range::fixed(1)
            }
            Node::Select { operand, field, .. } => self.select(expr, operand, field),
            Node::Has { operand, .. } => self.cost(operand),
            Node::Call(call) => self.call(expr, call),
            Node::And(terms) | Node::Or(terms) => {
                let costs: Vec<Range> = terms.iter().map(|term| self.cost(term)).collect();
                let max = costs.iter().fold(0_u64, |sum, c| sum.saturating_add(c.max));
                Range { min: costs.first().map_or(0, |c| c.min), max }
            }
            Node::Conditional(parts) => {
                let [condition, yes, no] = [&parts[0], &parts[1], &parts[2]].map(|part| self.cost(part));
                let size = self.size(&parts[1]).union(self.size(&parts[2]));
                self.sizes.insert(expr.id, size);
                condition.add(yes.union(no))
            }
            Node::List(items) => self.list(expr, items),
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(expr, fold),
            Node::Bind { name, init, body } => {
                // The macro is a loop over an empty list.
                let before = Range::fixed(CREATE_LIST).add(self.cost(init));
                self.bind(name, init);
                let sum = before.add(self.cost(body));
                self.locals.pop();
                self.inherit(expr, body);
                sum
            }
            Node::OptMap { target, name, body, .. } => {
                let before = self.cost(target).add(Range::fixed(CREATE_LIST + 3));
                let decl = self.decls.get(&target.id).cloned();
                self.locals.push(Local { name: name.clone(), decl, size: None });
                let sum = before.add(self.cost(body));
                self.locals.pop();
                sum
            }
        }
    }

    fn bind(&mut self, name: &str, init: &Expr) {
        let decl = self.decls.get(&init.id).cloned();
        let size = self.known_size(init);
        self.locals.push(Local { name: name.to_owned(), decl, size });
    }

    fn inherit(&mut self, expr: &Expr, from: &Expr) {
        if let Some(size) = self.known_size(from) {
            self.sizes.insert(expr.id, size);
        }
        let decl = self.decls.get(&from.id).cloned();
        self.place(expr, decl);
    }

    fn place(&mut self, expr: &Expr, decl: Option<Arc<Decl>>) {
        if let Some(decl) = decl {
            self.decls.insert(expr.id, decl);
        }
    }

    fn known_size(&self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        let literal = match &expr.node {
            Node::Literal(Literal::Str(text)) => Some(text.chars().count()),
            Node::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Node::Literal(_) => Some(1),
            Node::List(items) => Some(items.len()),
            Node::Map(entries) => Some(entries.len()),
            _ => None,
        };
        if let Some(size) = literal {
            return Some(Range::fixed(size as u64));
        }
        if let Some(decl) = self.decls.get(&expr.id) {
            return Some(Range { min: 0, max: decl.elements_max });
        }
        if self.ty(expr).is_scalar() {
            return Some(Range::fixed(1));
        }
        let Node::Ident(name) = &expr.node else { return None };
        self.locals.iter().rev().find(|l| l.name == *name).and_then(|local| local.size)
    }

    fn size(&self, expr: &Expr) -> Range {
        self.known_size(expr).unwrap_or(UNKNOWN)
    }

    /// Size of the items of a list.
    fn item_size(&self, expr: &Expr) -> Range {
        if let Some(size) = self.items.get(&expr.id) {
            return *size;
        }
        let decl = self.decls.get(&expr.id).and_then(|d| d.element());
        decl.map_or(UNKNOWN, |d| Range { min: 0, max: d.elements_max })
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str) -> Range {
        let sum = self.cost(operand);
        let parent = self.decls.get(&operand.id).cloned();
        let decl = parent.and_then(|d| d.field(field).or_else(|| d.element()).cloned());
        self.place(expr, decl);
        if matches!(self.ty(operand), Type::Map(..) | Type::Object(_) | Type::Optional(_)) {
            return sum.add(Range::fixed(1));
        }
        sum
    }

    fn list(&mut self, expr: &Expr, items: &[Element]) -> Range {
        let mut sum = Range::fixed(CREATE_LIST);
        let mut size: Option<Range> = None;
        for item in items {
            sum = sum.add(self.cost(&item.value));
            let found = self.size(&item.value);
            size = Some(size.map_or(found, |known| known.union(found)));
        }
        self.items.insert(expr.id, size.unwrap_or(Range::fixed(0)));
        sum
    }

    fn map(&mut self, entries: &[Entry]) -> Range {
        let parts = entries.iter().flat_map(|e| [&e.key, &e.value]);
        parts.fold(Range::fixed(CREATE_MAP), |sum, part| sum.add(self.cost(part)))
    }

    fn fold(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let range = self.cost(&fold.range);
        let decl = self.decls.get(&fold.range.id).cloned();
        let element = decl.as_ref().and_then(|d| d.element()).cloned();
        let is_map = matches!(self.ty(&fold.range), Type::Map(..));
        let item = self.item_size(&fold.range);
        let outer = self.locals.len();
        let value = |name: &str| Local { name: name.to_owned(), decl: element.clone(), size: Some(item) };
        let key = |name: &str| Local { name: name.to_owned(), decl: None, size: Some(UNKNOWN) };
        match &fold.second {
            Some(second) => self.locals.extend([key(&fold.first), value(second)]),
            None if is_map => self.locals.push(key(&fold.first)),
            None => self.locals.push(value(&fold.first)),
        }
        let body = self.cost(&fold.body);
        let filter = fold.filter.as_ref().map(|filter| self.cost(filter));
        let body_size = self.size(&fold.body);
        self.locals.truncate(outer);
        let ident = Range::fixed(1);
        // What the expanded macro costs before, in each round, and after.
        let (before, step, after) = match fold.kind {
            FoldKind::All => (0, Range::fixed(2).add(Range { min: 1, max: body.max.saturating_add(1) }), 1),
            FoldKind::Exists => {
                (0, Range::fixed(3).add(Range { min: 1, max: body.max.saturating_add(1) }), 1)
            }
            FoldKind::ExistsOne => (0, body.add(Range { min: 1, max: 2 }), 2),
            FoldKind::Filter => (CREATE_LIST, body.add(Range { min: 1, max: CREATE_LIST + 3 }), 1),
            FoldKind::Map | FoldKind::TransformList | FoldKind::SortBy => {
                (CREATE_LIST, body.add(Range::fixed(CREATE_LIST + 2)), 1)
            }
            FoldKind::TransformMap | FoldKind::TransformMapEntry => {
                (CREATE_MAP, body.add(Range::fixed(3)), 1)
            }
        };
        let step = filter.map_or(step, |filter| filter.add(step.union(ident)));
        let count = self.size(&fold.range);
        match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => {
                self.sizes.insert(expr.id, Range::fixed(1));
            }
            kind => {
                self.sizes.insert(expr.id, count);
                let size = if matches!(kind, FoldKind::Filter | FoldKind::SortBy) { item } else { body_size };
                self.items.insert(expr.id, size);
            }
        }
        range.add(Range::fixed(before + after)).add(count.multiply(step))
    }

    fn call(&mut self, expr: &Expr, call: &Call) -> Range {
        let parts: Vec<&Expr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let spent = parts.iter().fold(Range::fixed(0), |sum, part| sum.add(self.cost(part)));
        if call.function == "dyn" {
            self.inherit(expr, parts[0]);
            return spent.add(Range::fixed(1));
        }
        let overloads = &self.checked.overloads[expr.id];
        let mut own: Option<Range> = None;
        let mut size: Option<Range> = None;
        for overload in overloads {
            let (cost, result) = self.overload(&call.function, overload, &parts);
            own = Some(own.map_or(cost, |known| known.union(cost)));
            if let Some(result) = result {
                size = Some(size.map_or(result, |known| known.union(result)));
            }
        }
        if matches!(call.function.as_str(), "_[_]" | "_[?_]") {
            let decl = self.decls.get(&parts[0].id).and_then(|d| d.element()).cloned();
            if decl.is_none() {
                size = Some(self.item_size(parts[0]));
            }
            self.place(expr, decl);
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        if matches!(call.function.as_str(), "_+_" | "reverse" | "sort" | "distinct" | "slice") {
            let items = parts.iter().filter(|p| matches!(self.ty(p), Type::List(_)));
            let items = items.map(|p| self.item_size(p)).reduce(Range::union);
            if let Some(items) = items {
                self.items.insert(expr.id, items);
            }
        }
        spent.add(own.unwrap_or(Range::fixed(0)))
    }

    /// Cost of one overload itself and the size of its result.
    fn overload(&self, function: &str, overload: &Signature, parts: &[&Expr]) -> (Range, Option<Range>) {
        let one = Range::fixed(1);
        let size = |index: usize| parts.get(index).map_or(UNKNOWN, |part| self.size(part));
        let walk = |index: usize, factor: f64| size(index).by(factor * TRAVERSAL);
        let pattern =
            |text: usize, regex: usize| size(text).add(one).by(TRAVERSAL).multiply(size(regex).by(REGEX));
        let first = overload.params.first();
        match function {
            "isSorted" | "sum" | "min" | "max" | "indexOf" | "lastIndexOf" | "includes" => {
                let is_text = matches!(first, Some(Type::String));
                let texts =
                    matches!(self.ty(parts[0]), Type::List(i) if matches!(**i, Type::String | Type::Bytes));
                let each = if texts { one.add(self.item_size(parts[0]).by(TRAVERSAL)) } else { one };
                (if is_text { walk(0, 1.0) } else { size(0).multiply(each) }, None)
            }
            "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" => (walk(0, 1.0), Some(size(0))),
            "replace" => (walk(0, 2.0), Some(replaced(size(0), size(1), size(2)))),
            "split" => (walk(0, 2.0), Some(Range { min: 0, max: size(0).max })),
            "join" => {
                let separators =
                    Range { min: size(0).min.saturating_sub(1), max: size(0).max.saturating_sub(1) };
                let between = if parts.len() > 1 { size(1).multiply(separators) } else { Range::fixed(0) };
                let result = size(0).multiply(self.item_size(parts[0])).add(between);
                (result.by(TRAVERSAL), Some(result))
            }
            "find" | "findAll" => (pattern(0, 1), Some(Range { min: 0, max: size(0).max })),
            "matches" => (pattern(0, 1), None),
            "contains" => (walk(0, 1.0).multiply(walk(1, 1.0)), None),
            "startsWith" | "endsWith" => (walk(1, 1.0), None),
            "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" | "format" => {
                (walk(0, 1.0), None)
            }
            "ip" if !overload.member => (walk(0, 1.0), None),
            "ip.isCanonical" => (walk(0, 2.0), None),
            "containsIP" | "containsCIDR" => {
                let parsed = matches!(overload.params[1], Type::String);
                let parsing = if parsed { walk(1, 1.0) } else { Range::fixed(0) };
                (Range { min: 2, max: 6 }.add(parsing), None)
            }
            "validate" => (walk(1, 1.0).by(FORMAT_PATTERN * REGEX), None),
            "bytes" if matches!(first, Some(Type::String)) => {
                let text = size(0);
                (walk(0, 1.0), Some(Range { min: text.min, max: text.max.saturating_mul(4) }))
            }
            "string" if matches!(first, Some(Type::Bytes)) => {
                (walk(0, 1.0), Some(Range { min: size(0).min / 4, max: size(0).max }))
            }
            // Kubernetes takes them for texts of any length and refuses to add them to one.
            "string" if !matches!(first, Some(Type::String)) => (one, Some(UNKNOWN)),
            "strings.quote" => {
                let text = size(0);
                let max = text.max.saturating_mul(2).saturating_add(2);
                (walk(0, 1.0), Some(Range { min: text.min.saturating_add(2), max }))
            }
            _ => self.operator(function, overload, parts),
        }
    }

    /// As [`Self::overload`], for operators, sets and lists.
    fn operator(&self, function: &str, overload: &Signature, parts: &[&Expr]) -> (Range, Option<Range>) {
        let one = Range::fixed(1);
        let size = |index: usize| parts.get(index).map_or(UNKNOWN, |part| self.size(part));
        let first = overload.params.first();
        match function {
            "@in" if matches!(overload.params[1], Type::List(_)) => (size(1), None),
            "_+_" => match first {
                Some(Type::List(_)) => (one, Some(size(0).add(size(1)))),
                Some(Type::String | Type::Bytes) => {
                    let sum = size(0).add(size(1));
                    (sum.by(TRAVERSAL), Some(sum))
                }
                _ => (one, None),
            },
            "_<_" | "_<=_" | "_>_" | "_>=_" if !matches!(first, Some(Type::String | Type::Bytes)) => {
                (one, None)
            }
            "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => {
                if matches!(self.ty(parts[0]), Type::Opaque(_)) {
                    return (one, None);
                }
                let max = size(0).max.min(size(1).max);
                (Range { min: u64::from(max > 0), max }.by(TRAVERSAL), None)
            }
            "sets.contains" | "sets.equivalent" | "sets.intersects" => {
                (size(0).multiply(size(1)).add(one), None)
            }
            "slice" | "reverse" | "sort" | "distinct" => {
                (size(0).add(one), Some(Range { min: 0, max: size(0).max }))
            }
            "lists.range" => match parts.first().map(|p| &p.node) {
                Some(Node::Literal(Literal::Int(n))) => {
                    let count = Range::fixed(u64::try_from(*n).unwrap_or(0));
                    (count.add(one), Some(count))
                }
                _ => (one, Some(UNKNOWN)),
            },
            _ => (one, None),
        }
    }
}

/// Size of a text in which every `from` becomes `to`.
fn replaced(text: Range, from: Range, to: Range) -> Range {
    let max = if from.min == 0 {
        text.max.saturating_add(1).saturating_mul(to.max).saturating_add(text.max)
    } else if to.max <= from.min {
        text.max
    } else {
        text.max.div_ceil(from.min).saturating_mul(to.max)
    };
    Range { min: 0, max }
}
