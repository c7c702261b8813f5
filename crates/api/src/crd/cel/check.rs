//! Types of all expressions of a rule, found before it ever runs.
//!
//! Values of type `dyn` are checked when the rule runs. Recursion is bounded by the depth of the tree.

use std::sync::Arc;

use regex::RegexBuilder;

use super::expr::{Call, Entry, Expr, Fold, FoldKind, Id, Literal, Node};
use super::parse::Tree;
use super::report::Issue;
use super::signature::{Signature, TYPE_NAMES, signatures};
use super::time;
use super::types::{Decl, Type};
use super::value::REGEX_BYTES_MAX;

/// More findings than this are not collected.
const ISSUES_MAX: usize = 10;

/// What was found about a rule.
pub(super) struct Checked {
    /// By id of the expression.
    pub(super) types: Vec<Type>,
    /// Signatures that may be meant, by id of the call.
    pub(super) overloads: Vec<Vec<&'static Signature>>,
    pub(super) uses_old_self: bool,
}

/// `self`, `oldSelf` and whether the latter is an optional value.
pub(super) struct Scope<'d> {
    pub(super) decl: &'d Arc<Decl>,
    pub(super) optional_old_self: bool,
}

struct Checker {
    types: Vec<Type>,
    overloads: Vec<Vec<&'static Signature>>,
    issues: Vec<Issue>,
    variables: Vec<(String, Type)>,
    uses_old_self: bool,
    /// Within arguments of `format`, items of a list may have several types.
    mixed: bool,
}

pub(super) fn check(tree: &Tree, scope: &Scope<'_>) -> Result<Checked, Vec<Issue>> {
    let own = scope.decl.ty();
    let old = if scope.optional_old_self { Type::Optional(Arc::new(own.clone())) } else { own.clone() };
    let mut checker = Checker {
        types: vec![Type::Dyn; tree.size],
        overloads: (0..tree.size).map(|_| Vec::new()).collect(),
        issues: Vec::new(),
        variables: vec![("self".to_owned(), own), ("oldSelf".to_owned(), old)],
        uses_old_self: false,
        mixed: false,
    };
    checker.expr(&tree.root);
    let Checker { types, overloads, issues, uses_old_self, .. } = checker;
    if issues.is_empty() { Ok(Checked { types, overloads, uses_old_self }) } else { Err(issues) }
}

/// Types that the parameters of one signature stand for.
type Bound = [Option<Type>; 2];

fn matches(param: &Type, arg: &Type, bound: &mut Bound) -> bool {
    match (param, arg) {
        (Type::Param(n), arg) => match &bound[*n] {
            Some(known) if !known.fits(arg) => false,
            Some(Type::Dyn | Type::Null) | None => {
                bound[*n] = Some(arg.clone());
                true
            }
            Some(_) => true,
        },
        (_, Type::Dyn) | (Type::Dyn, _) => true,
        (Type::List(param), Type::List(arg)) | (Type::Optional(param), Type::Optional(arg)) => {
            matches(param, arg, bound)
        }
        (Type::Map(pk, pv), Type::Map(ak, av)) => matches(pk, ak, bound) && matches(pv, av, bound),
        (param, arg) => param.fits(arg),
    }
}

fn substitute(ty: &Type, bound: &Bound) -> Type {
    match ty {
        Type::Param(n) => bound[*n].clone().unwrap_or(Type::Dyn),
        Type::List(inner) => Type::List(Arc::new(substitute(inner, bound))),
        Type::Optional(inner) => Type::Optional(Arc::new(substitute(inner, bound))),
        Type::Map(key, value) => {
            Type::Map(Arc::new(substitute(key, bound)), Arc::new(substitute(value, bound)))
        }
        other => other.clone(),
    }
}

fn same(a: &Type, b: &Type) -> bool {
    a.to_string() == b.to_string() && a.fits(b)
}

impl Checker {
    fn issue(&mut self, at: usize, why: String) -> Type {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(Issue { at, why });
        }
        Type::Dyn
    }

    fn expr(&mut self, expr: &Expr) -> Type {
        let ty = match &expr.node {
            Node::Literal(literal) => literal_type(literal),
            Node::Ident(name) => self.ident(expr.at, name),
            Node::Select { operand, field, optional } => {
                let operand = self.expr(operand);
                let found = self.field(expr.at, &operand, field);
                if *optional && !matches!(found, Type::Optional(_)) {
                    Type::Optional(Arc::new(found))
                } else {
                    found
                }
            }
            Node::Has { operand, field } => {
                let operand = self.expr(operand);
                self.field(expr.at, &operand, field);
                Type::Bool
            }
            Node::Call(call) => self.call(expr.id, expr.at, call),
            Node::And(terms) | Node::Or(terms) => self.logic(terms),
            Node::Conditional(parts) => self.conditional(expr.at, parts),
            Node::List(items) => {
                let mut item = Type::Dyn;
                for element in items {
                    let found = self.expr(&element.value);
                    let found =
                        if element.optional { self.unwrapped(element.value.at, found) } else { found };
                    item = self.alike(element.value.at, item, found);
                }
                Type::List(Arc::new(item))
            }
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(expr.at, fold),
            Node::Bind { name, init, body } => {
                let init = self.expr(init);
                self.within(vec![(name.clone(), init)], body)
            }
            Node::OptMap { target, name, body, flat } => {
                let inner = self.expr(target);
                let inner = self.unwrapped(target.at, inner);
                let result = self.within(vec![(name.clone(), inner)], body);
                if *flat { result } else { Type::Optional(Arc::new(result)) }
            }
        };
        self.types[expr.id] = ty.clone();
        ty
    }

    fn within(&mut self, variables: Vec<(String, Type)>, body: &Expr) -> Type {
        let outer = self.variables.len();
        self.variables.extend(variables);
        let ty = self.expr(body);
        self.variables.truncate(outer);
        ty
    }

    fn ident(&mut self, at: usize, name: &str) -> Type {
        if let Some(index) = self.variables.iter().rposition(|(known, _)| known == name) {
            self.uses_old_self |= index == 1;
            return self.variables[index].1.clone();
        }
        if TYPE_NAMES.contains(&name) {
            return Type::Meta;
        }
        self.issue(at, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn field(&mut self, at: usize, operand: &Type, field: &str) -> Type {
        match operand {
            Type::Object(decl) => match decl.field(field) {
                Some(found) => found.ty(),
                None => self.issue(at, format!("undefined field '{field}'")),
            },
            Type::Map(_, value) => (**value).clone(),
            Type::Optional(inner) => match self.field(at, &inner.clone(), field) {
                found @ Type::Optional(_) => found,
                found => Type::Optional(Arc::new(found)),
            },
            Type::Dyn => Type::Dyn,
            other => self.issue(at, format!("type '{other}' does not support field selection")),
        }
    }

    fn unwrapped(&mut self, at: usize, ty: Type) -> Type {
        match ty {
            Type::Optional(inner) => (*inner).clone(),
            Type::Dyn => Type::Dyn,
            other => self.issue(at, format!("expected type 'optional_type(dyn)' but found '{other}'")),
        }
    }

    /// Items of one literal have one type.
    fn alike(&mut self, at: usize, known: Type, found: Type) -> Type {
        match (&known, &found) {
            (Type::Dyn | Type::Null, _) if known.fits(&found) => found,
            _ if known.fits(&found) => known,
            _ if self.mixed => Type::Dyn,
            _ => self.issue(at, format!("expected type '{known}' but found '{found}'")),
        }
    }

    fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut key, mut value) = (Type::Dyn, Type::Dyn);
        for entry in entries {
            let found = self.expr(&entry.key);
            if !matches!(found, Type::Bool | Type::Int | Type::Uint | Type::String | Type::Dyn) {
                self.issue(entry.key.at, format!("unsupported key type: {found}"));
            }
            key = self.alike(entry.key.at, key, found);
            let found = self.expr(&entry.value);
            let found = if entry.optional { self.unwrapped(entry.value.at, found) } else { found };
            value = self.alike(entry.value.at, value, found);
        }
        Type::Map(Arc::new(key), Arc::new(value))
    }

    fn no_overload(&mut self, at: usize, function: &str, receiver: Option<&Type>, args: &[Type]) -> Type {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let receiver = receiver.map(|r| format!("{r}.")).unwrap_or_default();
        let applied = format!("{receiver}({})", args.join(", "));
        self.issue(at, format!("found no matching overload for '{function}' applied to '{applied}'"))
    }

    fn logic(&mut self, terms: &[Expr]) -> Type {
        for term in terms {
            let ty = self.expr(term);
            if !ty.fits(&Type::Bool) {
                self.issue(term.at, format!("expected type 'bool' but found '{ty}'"));
            }
        }
        Type::Bool
    }

    fn conditional(&mut self, at: usize, parts: &[Expr; 3]) -> Type {
        let types = [self.expr(&parts[0]), self.expr(&parts[1]), self.expr(&parts[2])];
        if !types[0].fits(&Type::Bool) || !types[1].fits(&types[2]) {
            return self.no_overload(at, "_?_:_", None, &types);
        }
        let [_, yes, no] = types;
        match yes {
            Type::Null => no,
            yes if same(&yes, &no) || matches!(no, Type::Null) => yes,
            _ => Type::Dyn,
        }
    }

    fn call(&mut self, id: Id, at: usize, call: &Call) -> Type {
        let mut args = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = &call.target {
            args.push(self.expr(target));
        }
        let outside = self.mixed;
        self.mixed |= call.function == "format";
        for arg in &call.args {
            args.push(self.expr(arg));
        }
        self.mixed = outside;
        self.literals(call);
        let member = call.target.is_some();
        let all = signatures(&call.function);
        if all.is_empty() {
            return self.issue(at, format!("undeclared reference to '{}' (in container '')", call.function));
        }
        let mut result: Option<Type> = None;
        for signature in all {
            if signature.member != member || signature.params.len() != args.len() {
                continue;
            }
            let mut bound = Bound::default();
            if !signature.params.iter().zip(&args).all(|(param, arg)| matches(param, arg, &mut bound)) {
                continue;
            }
            let found = substitute(&signature.result, &bound);
            result = Some(match result {
                Some(known) if !same(&known, &found) => Type::Dyn,
                _ => found,
            });
            self.overloads[id].push(signature);
        }
        result.unwrap_or_else(|| {
            let (receiver, rest) = if member { (args.first(), &args[1..]) } else { (None, &args[..]) };
            self.no_overload(at, &call.function, receiver, rest)
        })
    }

    /// Constants that could only fail later: patterns, times, durations.
    fn literals(&mut self, call: &Call) {
        let position = usize::from(call.function == "matches" && call.target.is_none());
        let Some(arg) = call.args.get(position) else { return };
        let Node::Literal(Literal::Str(text)) = &arg.node else { return };
        match call.function.as_str() {
            "matches" | "find" | "findAll"
                if RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build().is_err() =>
            {
                self.issue(arg.at, "invalid matches argument".to_owned());
            }
            "timestamp" if time::parse_timestamp(text).is_none() => {
                self.issue(arg.at, "invalid timestamp argument".to_owned());
            }
            "duration" if time::parse_duration(text).is_none() => {
                self.issue(arg.at, "invalid duration argument".to_owned());
            }
            _ => {}
        }
    }

    fn fold(&mut self, at: usize, fold: &Fold) -> Type {
        let range = self.expr(&fold.range);
        let (key, value, is_list) = match &range {
            Type::List(item) => (Type::Int, (**item).clone(), true),
            Type::Map(key, value) => ((**key).clone(), (**value).clone(), false),
            Type::Dyn => (Type::Dyn, Type::Dyn, true),
            other => {
                let why = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issue(fold.range.at, why);
                (Type::Dyn, Type::Dyn, true)
            }
        };
        let mut variables = Vec::new();
        match &fold.second {
            Some(second) => variables.extend([(fold.first.clone(), key.clone()), (second.clone(), value)]),
            None if is_list => variables.push((fold.first.clone(), value)),
            None => variables.push((fold.first.clone(), key.clone())),
        }
        if let Some(filter) = &fold.filter {
            let ty = self.within(variables.clone(), filter);
            if !ty.fits(&Type::Bool) {
                self.no_overload(at, "_?_:_", None, &[ty, Type::Dyn, Type::Dyn]);
            }
        }
        let item = variables[0].1.clone();
        let body = self.within(variables, &fold.body);
        let bool_with = match fold.kind {
            FoldKind::All => Some("_&&_"),
            FoldKind::Exists => Some("_||_"),
            FoldKind::ExistsOne | FoldKind::Filter => Some("_?_:_"),
            _ => None,
        };
        if let Some(function) = bool_with.filter(|_| !body.fits(&Type::Bool)) {
            self.no_overload(at, function, None, &[Type::Bool, body.clone()]);
        }
        match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => Type::Bool,
            FoldKind::Map | FoldKind::TransformList => Type::List(Arc::new(body)),
            FoldKind::Filter => Type::List(Arc::new(item)),
            FoldKind::SortBy => range,
            FoldKind::TransformMap => Type::Map(Arc::new(key), Arc::new(body)),
            FoldKind::TransformMapEntry => body,
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::Str(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
