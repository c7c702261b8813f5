//! From tokens to the tree, with the macros of the language.
//!
//! Invariants: recursion is bounded by [`DEPTH_MAX`], in the parser and in every tree that it returns; the length of the
//! source by [`SOURCE_MAX`].

use super::expr::{Call, Element, Entry, Expr, Fold, FoldKind, Id, Literal, Node};
use super::lex::{Spanned, Token, is_reserved, tokens};
use super::report::Issue;
use super::signature::{TYPE_NAMES, is_namespaced};

/// Longer rules are refused, as upstream.
const SOURCE_MAX: usize = 100_000;
/// Deeper nesting is refused. Chains of `&&` and `||` are flat and do not count.
pub(super) const DEPTH_MAX: usize = 100;
const EXPECTED: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, \
                        STRING, BYTES, IDENTIFIER}";

type Parsed = Result<Expr, Issue>;

/// A parsed rule and how many expressions it has.
pub(super) struct Tree {
    pub(super) root: Expr,
    pub(super) size: usize,
}

pub(super) fn parse(source: &str) -> Result<Tree, Issue> {
    let length = source.chars().count();
    if length > SOURCE_MAX {
        let why = format!("expression code point size exceeds limit: size: {length}, limit {SOURCE_MAX}");
        return Err(Issue { at: 0, why });
    }
    let tokens = tokens(source).map_err(|e| Issue { at: e.at, why: e.why })?;
    let mut parser = Parser { source, tokens, at: 0, next: 0, depth: 0 };
    let root = parser.expression()?;
    if *parser.peek() != Token::End {
        let why = format!("Syntax error: extraneous input {} expecting <EOF>", parser.shown());
        return Err(parser.issue(why));
    }
    Ok(Tree { root, size: parser.next })
}

struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Spanned>,
    at: usize,
    next: Id,
    depth: usize,
}

fn binary_operator(token: &Token) -> Option<(u8, &'static str)> {
    let Token::Mark(mark) = token else {
        return matches!(token, Token::Ident(word) if word == "in").then_some((1, "@in"));
    };
    Some(match *mark {
        "==" => (1, "_==_"),
        "!=" => (1, "_!=_"),
        "<" => (1, "_<_"),
        "<=" => (1, "_<=_"),
        ">" => (1, "_>_"),
        ">=" => (1, "_>=_"),
        "+" => (2, "_+_"),
        "-" => (2, "_-_"),
        "*" => (3, "_*_"),
        "/" => (3, "_/_"),
        "%" => (3, "_%_"),
        _ => return None,
    })
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn here(&self) -> usize {
        self.tokens[self.at].at
    }

    fn shown(&self) -> String {
        let Spanned { token, at, end } = &self.tokens[self.at];
        if *token == Token::End { "'<EOF>'".to_owned() } else { format!("'{}'", &self.source[*at..*end]) }
    }

    fn issue(&self, why: impl Into<String>) -> Issue {
        Issue { at: self.here(), why: why.into() }
    }

    fn advance(&mut self) -> Spanned {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.peek(), Token::Mark(m) if *m == mark)
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = self.is(mark);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, mark: &str) -> Result<(), Issue> {
        if self.take(mark) {
            return Ok(());
        }
        Err(self.issue(format!("Syntax error: missing '{mark}' at {}", self.shown())))
    }

    fn make(&mut self, at: usize, node: Node) -> Parsed {
        let mut expr = Expr { id: self.next, at, depth: 0, node };
        self.next += 1;
        expr.depth = 1 + expr.children().into_iter().map(|c| c.depth).max().unwrap_or(0);
        if expr.depth > DEPTH_MAX {
            return Err(Issue { at, why: too_deep() });
        }
        Ok(expr)
    }

    fn call(&mut self, at: usize, function: &str, args: Vec<Expr>) -> Parsed {
        self.make(at, Node::Call(Call { function: function.to_owned(), target: None, args }))
    }

    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.issue(too_deep()));
        }
        let condition = self.logic(true)?;
        let result = if self.is("?") {
            let at = self.advance().at;
            let yes = self.logic(true)?;
            self.expect(":")?;
            let no = self.expression()?;
            self.make(at, Node::Conditional(Box::new([condition, yes, no])))
        } else {
            Ok(condition)
        };
        self.depth -= 1;
        result
    }

    /// Chains of `||` and `&&` are one node each.
    fn logic(&mut self, or: bool) -> Parsed {
        let mark = if or { "||" } else { "&&" };
        let term = |parser: &mut Self| if or { parser.logic(false) } else { parser.binary(1) };
        let first = term(self)?;
        if !self.is(mark) {
            return Ok(first);
        }
        let at = self.here();
        let mut terms = vec![first];
        while self.take(mark) {
            terms.push(term(self)?);
        }
        self.make(at, if or { Node::Or(terms) } else { Node::And(terms) })
    }

    fn binary(&mut self, lowest: u8) -> Parsed {
        let mut left = self.unary()?;
        while let Some((binds, function)) = binary_operator(self.peek()).filter(|(b, _)| *b >= lowest) {
            let at = self.advance().at;
            let right = self.binary(binds + 1)?;
            left = self.call(at, function, vec![left, right])?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        for (mark, function) in [("!", "!_"), ("-", "-_")] {
            if !self.is(mark) {
                continue;
            }
            let at = self.here();
            let mut times = 0_usize;
            while self.take(mark) {
                times += 1;
            }
            // An odd number of signs is one, an even number none.
            if mark == "-"
                && times % 2 == 1
                && matches!(self.peek(), Token::Number(_) | Token::Literal(Literal::Double(_)))
            {
                return self.member(true);
            }
            let operand = self.member(false)?;
            return if times % 2 == 1 { self.call(at, function, vec![operand]) } else { Ok(operand) };
        }
        self.member(false)
    }

    fn member(&mut self, negative: bool) -> Parsed {
        let mut expr = self.primary(negative)?;
        loop {
            let at = self.here();
            if self.take(".") {
                let optional = self.take("?");
                let name = self.name()?;
                let open = self.here();
                expr = if !optional && self.take("(") {
                    let args = self.arguments(")")?;
                    self.method(open, expr, &name, args)?
                } else if let Some(ty) = qualified(&expr).and_then(|space| type_name(&space, &name)) {
                    let at = expr.at;
                    self.make(at, Node::Ident(ty.to_owned()))?
                } else {
                    self.make(at, Node::Select { operand: Box::new(expr), field: name, optional })?
                };
            } else if self.take("[") {
                let function = if self.take("?") { "_[?_]" } else { "_[_]" };
                let index = self.expression()?;
                self.expect("]")?;
                expr = self.call(at, function, vec![expr, index])?;
            } else if self.is("{") && matches!(expr.node, Node::Ident(_) | Node::Select { .. }) {
                return Err(self.issue("messages cannot be constructed in rules"));
            } else {
                return Ok(expr);
            }
        }
    }

    fn name(&mut self) -> Result<String, Issue> {
        match self.peek().clone() {
            Token::Ident(name) if name != "in" => {
                self.advance();
                Ok(name)
            }
            _ => Err(self.issue(format!("Syntax error: no viable alternative at input {}", self.shown()))),
        }
    }

    fn primary(&mut self, negative: bool) -> Parsed {
        let at = self.here();
        match self.peek().clone() {
            Token::Number(value) => {
                self.advance();
                let signed =
                    if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() };
                let Some(value) = signed else {
                    return Err(Issue { at, why: "invalid int literal".to_owned() });
                };
                self.make(at, Node::Literal(Literal::Int(value)))
            }
            Token::Literal(literal) => {
                self.advance();
                let literal = match literal {
                    Literal::Double(value) if negative => Literal::Double(-value),
                    other => other,
                };
                self.make(at, Node::Literal(literal))
            }
            Token::Mark("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Mark("[") => self.list(),
            Token::Mark("{") => self.map(),
            Token::Mark(".") => {
                self.advance();
                self.ident()
            }
            Token::Ident(word) if word != "in" => self.ident(),
            _ => {
                Err(self
                    .issue(format!("Syntax error: mismatched input {} expecting {EXPECTED}", self.shown())))
            }
        }
    }

    fn ident(&mut self) -> Parsed {
        let at = self.here();
        let name = self.name()?;
        let open = self.here();
        if self.take("(") {
            let args = self.arguments(")")?;
            return self.function(open, &name, args);
        }
        if is_reserved(&name) {
            return Err(Issue { at, why: format!("reserved identifier: {name}") });
        }
        self.make(at, Node::Ident(name))
    }

    fn arguments(&mut self, close: &str) -> Result<Vec<Expr>, Issue> {
        let mut args = Vec::new();
        while !self.take(close) {
            if !args.is_empty() {
                self.expect(",")?;
            }
            args.push(self.expression()?);
        }
        Ok(args)
    }

    fn list(&mut self) -> Parsed {
        let at = self.advance().at;
        let mut items: Vec<Element> = Vec::new();
        while !self.take("]") {
            if !items.is_empty() {
                self.expect(",")?;
                if self.take("]") {
                    break;
                }
            }
            let optional = self.take("?");
            items.push(Element { value: self.expression()?, optional });
        }
        self.make(at, Node::List(items))
    }

    fn map(&mut self) -> Parsed {
        let at = self.advance().at;
        let mut entries: Vec<Entry> = Vec::new();
        while !self.take("}") {
            if !entries.is_empty() {
                self.expect(",")?;
                if self.take("}") {
                    break;
                }
            }
            let optional = self.take("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expression()?, optional });
        }
        self.make(at, Node::Map(entries))
    }

    fn function(&mut self, at: usize, name: &str, mut args: Vec<Expr>) -> Parsed {
        if name != "has" || args.len() != 1 {
            return self.call(at, name, args);
        }
        match args.remove(0).node {
            Node::Select { operand, field, optional: false } => self.make(at, Node::Has { operand, field }),
            _ => Err(Issue { at, why: "invalid argument to has() macro".to_owned() }),
        }
    }

    fn method(&mut self, at: usize, target: Expr, name: &str, mut args: Vec<Expr>) -> Parsed {
        if let Node::Ident(space) = &target.node {
            if space == "cel" && name == "bind" && args.len() == 3 {
                let (body, init) = (args.remove(2), args.remove(1));
                let name = simple_name(&args[0], "cel.bind() variable names must be simple identifiers")?;
                return self.make(at, Node::Bind { name, init: Box::new(init), body: Box::new(body) });
            }
            let qualified = format!("{space}.{name}");
            if is_namespaced(&qualified) {
                return self.call(at, &qualified, args);
            }
        }
        if matches!(name, "optMap" | "optFlatMap") && args.len() == 2 {
            let body = Box::new(args.remove(1));
            let flat = name == "optFlatMap";
            let why = format!("{name}() variable name must be a simple identifier");
            let name = simple_name(&args[0], &why)?;
            return self.make(at, Node::OptMap { target: Box::new(target), name, body, flat });
        }
        if let Some(shape) = fold_kind(name, args.len()) {
            return self.fold(at, target, shape, args);
        }
        self.make(at, Node::Call(Call { function: name.to_owned(), target: Some(Box::new(target)), args }))
    }

    fn fold(
        &mut self,
        at: usize,
        range: Expr,
        shape: (FoldKind, usize, bool),
        mut args: Vec<Expr>,
    ) -> Parsed {
        let (kind, variables, filtered) = shape;
        let body = args.remove(args.len() - 1);
        let filter = if filtered { Some(args.remove(args.len() - 1)) } else { None };
        let why = "argument must be a simple name";
        let first = simple_name(&args[0], why)?;
        let second = if variables == 2 { Some(simple_name(&args[1], why)?) } else { None };
        self.make(at, Node::Fold(Box::new(Fold { kind, range, first, second, filter, body })))
    }
}

/// A dotted name.
fn qualified(expr: &Expr) -> Option<String> {
    match &expr.node {
        Node::Ident(name) => Some(name.clone()),
        Node::Select { operand, field, optional: false } => match &operand.node {
            Node::Ident(name) => Some(format!("{name}.{field}")),
            _ => None,
        },
        _ => None,
    }
}

/// The type of a dotted name.
fn type_name(space: &str, name: &str) -> Option<&'static str> {
    TYPE_NAMES.iter().find(|known| known.rsplit_once('.') == Some((space, name))).copied()
}

fn too_deep() -> String {
    format!("expression recursion limit exceeded: {DEPTH_MAX}")
}

fn simple_name(expr: &Expr, why: &str) -> Result<String, Issue> {
    match &expr.node {
        Node::Ident(name) => Ok(name.clone()),
        _ => Err(Issue { at: expr.at, why: why.to_owned() }),
    }
}

/// Macro, number of variables, and whether there is a filter, by name and number of arguments.
fn fold_kind(name: &str, args: usize) -> Option<(FoldKind, usize, bool)> {
    Some(match (name, args) {
        ("all", 2) => (FoldKind::All, 1, false),
        ("all", 3) => (FoldKind::All, 2, false),
        ("exists", 2) => (FoldKind::Exists, 1, false),
        ("exists", 3) => (FoldKind::Exists, 2, false),
        ("exists_one" | "existsOne", 2) => (FoldKind::ExistsOne, 1, false),
        ("exists_one" | "existsOne", 3) => (FoldKind::ExistsOne, 2, false),
        ("map", 2) => (FoldKind::Map, 1, false),
        ("map", 3) => (FoldKind::Map, 1, true),
        ("filter", 2) => (FoldKind::Filter, 1, false),
        ("sortBy", 2) => (FoldKind::SortBy, 1, false),
        ("transformList", 3) => (FoldKind::TransformList, 2, false),
        ("transformList", 4) => (FoldKind::TransformList, 2, true),
        ("transformMap", 3) => (FoldKind::TransformMap, 2, false),
        ("transformMap", 4) => (FoldKind::TransformMap, 2, true),
        ("transformMapEntry", 3) => (FoldKind::TransformMapEntry, 2, false),
        ("transformMapEntry", 4) => (FoldKind::TransformMapEntry, 2, true),
        _ => return None,
    })
}
