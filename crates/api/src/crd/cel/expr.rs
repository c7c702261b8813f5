//! The syntax tree of a rule. Macros are nodes of their own instead of folds with accumulators: that keeps the checker, the
//! estimate and the evaluation short, and their costs are those of the expanded form.

use std::sync::Arc;

/// Number of an expression within its rule; results of the checker are kept by it.
pub(super) type Id = usize;

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// One expression; `at` is the byte where an error about it points to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub(super) id: Id,
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) node: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Literal(Literal),
    Ident(String),
    /// `a.b`, or `a.?b`.
    Select {
        operand: Box<Expr>,
        field: String,
        optional: bool,
    },
    /// `has(a.b)`.
    Has {
        operand: Box<Expr>,
        field: String,
    },
    Call(Call),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Conditional(Box<[Expr; 3]>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Fold(Box<Fold>),
    /// `cel.bind(name, init, body)`.
    Bind {
        name: String,
        init: Box<Expr>,
        body: Box<Expr>,
    },
    /// `target.optMap(name, body)` and `optFlatMap`.
    OptMap {
        target: Box<Expr>,
        name: String,
        body: Box<Expr>,
        flat: bool,
    },
}

/// A function or operator (`_+_`, `_[_]`, `@in`).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) function: String,
    pub(super) target: Option<Box<Expr>>,
    pub(super) args: Vec<Expr>,
}

/// An item of a list; an optional one is left out when it has no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element {
    pub(super) value: Expr,
    pub(super) optional: bool,
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Expr,
    pub(super) value: Expr,
    pub(super) optional: bool,
}

/// Comprehension macros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformList,
    TransformMap,
    TransformMapEntry,
    SortBy,
}

/// `range.kind(first, second, filter, body)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fold {
    pub(super) kind: FoldKind,
    pub(super) range: Expr,
    pub(super) first: String,
    pub(super) second: Option<String>,
    pub(super) filter: Option<Expr>,
    pub(super) body: Expr,
}

impl Expr {
    /// The direct parts.
    pub(super) fn children(&self) -> Vec<&Expr> {
        match &self.node {
            Node::Literal(_) | Node::Ident(_) => Vec::new(),
            Node::Select { operand, .. } | Node::Has { operand, .. } => vec![operand],
            Node::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
            Node::And(terms) | Node::Or(terms) => terms.iter().collect(),
            Node::Conditional(parts) => parts.iter().collect(),
            Node::List(items) => items.iter().map(|i| &i.value).collect(),
            Node::Map(entries) => entries.iter().flat_map(|e| [&e.key, &e.value]).collect(),
            Node::Fold(fold) => {
                std::iter::once(&fold.range).chain(&fold.filter).chain(std::iter::once(&fold.body)).collect()
            }
            Node::Bind { init, body, .. } => vec![init, body],
            Node::OptMap { target, body, .. } => vec![target, body],
        }
    }
}
