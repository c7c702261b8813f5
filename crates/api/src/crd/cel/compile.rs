//! Rules of a schema, compiled when the definition is written.

use std::sync::Arc;

use serde_json::Value;

use super::super::schema::{Additional, ListKind, Node, Type as JsonType};
use super::check::{Scope, check};
use super::estimate;
use super::expr::Expr;
use super::fieldpath::valid_path;
use super::parse::parse;
use super::report::{Issue, print};
use super::types::{Decl, Type};
use crate::status::FieldError;

/// Highest estimated cost of one rule.
const RULE_COST_MAX: u64 = 10_000_000;
/// Highest estimated cost of all rules of a schema.
const SCHEMA_COST_MAX: u64 = 100_000_000;
/// How many of the dearest rules are named.
const DEAREST_NAMED: usize = 4;
/// More findings than this are not collected.
const ERRORS_MAX: usize = 50;

/// A rule as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::crd) struct RuleSpec {
    pub(in crate::crd) rule: String,
    pub(in crate::crd) message: String,
    pub(in crate::crd) message_expression: String,
    pub(in crate::crd) reason: Option<String>,
    pub(in crate::crd) field_path: String,
    pub(in crate::crd) optional_old_self: Option<bool>,
}

/// A rule that can be run.
#[derive(Clone, Debug)]
pub(in crate::crd) struct Rule {
    pub(super) spec: Arc<RuleSpec>,
    pub(super) expr: Arc<Expr>,
    pub(super) message: Option<Arc<Expr>>,
    /// Where failures are reported, below the schema of the rule.
    pub(super) field_path: String,
    pub(super) uses_old_self: bool,
}

impl RuleSpec {
    /// From JSON; whatever has the wrong type counts as not there.
    pub(in crate::crd) fn of(raw: &Value) -> Self {
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: raw.get("reason").and_then(Value::as_str).map(str::to_owned),
            field_path: text("fieldPath"),
            optional_old_self: raw.get("optionalOldSelf").and_then(Value::as_bool),
        }
    }

    /// As error messages show it.
    fn shown(&self) -> String {
        let quoted = |text: &str| escaped(&Value::from(text).to_string());
        let optional = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
        format!(
            "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\
             \"OptionalOldSelf\":{}}}",
            quoted(&self.rule),
            quoted(&self.message),
            quoted(&self.message_expression),
            optional(self.reason.as_deref().map(quoted)),
            quoted(&self.field_path),
            optional(self.optional_old_self.map(|set| set.to_string())),
        )
    }
}

/// JSON that could stand in a page, as messages have it.
fn escaped(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// Something was wrong, and was noted.
struct Refused;

struct Compiler {
    errors: Vec<FieldError>,
    total: u64,
    dearest: Vec<(u64, String)>,
}

/// Where a schema stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p str,
    root: bool,
    /// How often it can occur; `None` without a bound.
    cardinality: Option<u64>,
    /// The list whose items cannot be told apart between two versions of an object.
    uncorrelated: Option<&'p str>,
}

/// Compiles all rules of a schema in place.
///
/// # Errors
/// Everything that is wrong with them.
pub(in crate::crd) fn compile(root: &mut Node, path: &str) -> Result<(), Vec<FieldError>> {
    let mut compiler = Compiler { errors: Vec::new(), total: 0, dearest: Vec::new() };
    compiler.node(root, Place { path, root: true, cardinality: Some(1), uncorrelated: None });
    if compiler.total > SCHEMA_COST_MAX {
        compiler.dearest.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (_, path) in compiler.dearest.iter().take(DEAREST_NAMED) {
            let why =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            compiler.errors.push(FieldError::forbidden(path, why));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let why = too_dear(what, compiler.total, SCHEMA_COST_MAX);
        compiler.errors.push(FieldError::forbidden(path, why));
    }
    if compiler.errors.is_empty() { Ok(()) } else { Err(compiler.errors) }
}

#[allow(clippy::cast_precision_loss, reason = "a factor for people")]
fn too_dear(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

impl Compiler {
    fn refuse(&mut self, error: FieldError) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    fn node(&mut self, node: &mut Node, place: Place<'_>) {
        let below = place.cardinality.and_then(|n| elements_max(node).map(|max| n.saturating_mul(max)));
        let inner = Place { root: false, cardinality: below, ..place };
        let mut rules_below = false;
        for (name, child) in &mut node.properties {
            let path = format!("{}.properties[{name}]", place.path);
            self.node(child, Place { path: &path, ..inner });
            rules_below |= child.rules_below;
        }
        if let Additional::Values(child) = &mut node.additional {
            let path = format!("{}.additionalProperties", place.path);
            self.node(child, Place { path: &path, ..inner });
            rules_below |= child.rules_below;
        }
        if let Some(child) = &mut node.items {
            let path = format!("{}.items", place.path);
            let correlated = matches!(node.list, ListKind::Map(_));
            let uncorrelated = place.uncorrelated.or((!correlated).then_some(place.path));
            self.node(child, Place { path: &path, uncorrelated, ..inner });
            rules_below |= child.rules_below;
        }
        node.rules_below = rules_below || !node.specs.is_empty();
        if !node.specs.is_empty() {
            self.rules(node, place);
        }
    }

    fn rules(&mut self, node: &mut Node, place: Place<'_>) {
        let path = format!("{}.x-kubernetes-validations", place.path);
        let Some(decl) = Decl::of(node, place.root || node.embedded) else {
            let why = "failed to convert to declType for CEL validation rules";
            self.refuse(FieldError::invalid(path, "", why));
            return;
        };
        let mut rules = Vec::with_capacity(node.specs.len());
        for (index, spec) in node.specs.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(rule) = self.rule(spec, node, &decl, &path, place) {
                rules.push(rule);
            }
        }
        node.rules = rules;
    }

    fn rule(
        &mut self,
        spec: &RuleSpec,
        node: &Node,
        decl: &Arc<Decl>,
        path: &str,
        place: Place<'_>,
    ) -> Option<Rule> {
        let wrong = |field: &str, why: String| FieldError {
            bad_value: None,
            ..FieldError::invalid(format!("{path}.{field}"), "", format!("{}: {why}", spec.shown()))
        };
        let optional = spec.optional_old_self == Some(true);
        let compiled = match compile_one(&spec.rule, decl, optional) {
            Ok(compiled) if matches!(compiled.ty, Type::Bool | Type::Dyn) => compiled,
            Ok(_) => {
                self.refuse(wrong("rule", "cel expression must evaluate to a bool".to_owned()));
                return None;
            }
            Err(why) => {
                self.refuse(wrong("rule", format!("compilation failed: {why}")));
                return None;
            }
        };
        let times = place.cardinality.unwrap_or_else(|| decl.cardinality_max());
        self.price("estimated rule cost", compiled.cost.saturating_mul(times), format!("{path}.rule"));
        let message = self.message(spec, decl, optional, &wrong, path).ok()?;
        if compiled.uses_old_self {
            if let Some(list) = place.uncorrelated {
                let why = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
                );
                self.refuse(FieldError::invalid(format!("{path}.rule"), spec.rule.as_str(), why));
            }
        } else if let Some(value) = spec.optional_old_self {
            let why = "may not be set if oldSelf is not used in rule";
            self.refuse(FieldError::invalid(format!("{path}.optionalOldSelf"), value, why));
        }
        let field_path = valid_path(&spec.field_path, node, true).map(|(path, _)| path).unwrap_or_default();
        Some(Rule {
            spec: Arc::new(spec.clone()),
            expr: Arc::new(compiled.expr),
            message,
            field_path,
            uses_old_self: compiled.uses_old_self,
        })
    }

    /// The expression of the message, if the rule has one.
    ///
    /// # Errors
    /// It is wrong, and that was noted.
    fn message(
        &mut self,
        spec: &RuleSpec,
        decl: &Arc<Decl>,
        optional: bool,
        wrong: &dyn Fn(&str, String) -> FieldError,
        path: &str,
    ) -> Result<Option<Arc<Expr>>, Refused> {
        if spec.message_expression.is_empty() {
            return Ok(None);
        }
        match compile_one(&spec.message_expression, decl, optional) {
            Ok(compiled) if matches!(compiled.ty, Type::String) => {
                let path = format!("{path}.messageExpression");
                self.price("estimated messageExpression cost", compiled.cost, path);
                Ok(Some(Arc::new(compiled.expr)))
            }
            Ok(_) => {
                self.refuse(wrong(
                    "messageExpression",
                    "messageExpression must evaluate to a string".to_owned(),
                ));
                Err(Refused)
            }
            Err(why) => {
                self.refuse(wrong(
                    "messageExpression",
                    format!("messageExpression compilation failed: {why}"),
                ));
                Err(Refused)
            }
        }
    }

    fn price(&mut self, what: &str, cost: u64, path: String) {
        if cost > RULE_COST_MAX {
            self.refuse(FieldError::forbidden(&path, too_dear(what, cost, RULE_COST_MAX)));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_COST_MAX / 100 {
            self.dearest.push((cost, path));
        }
    }
}

/// How many children of a kind a value can have; `None` without a bound.
fn elements_max(node: &Node) -> Option<u64> {
    match node.kind {
        Some(JsonType::Object) if !matches!(node.additional, Additional::Unknown) => {
            node.bounds.max_properties
        }
        Some(JsonType::Array) => node.bounds.max_items,
        _ => Some(1),
    }
}

/// A compiled expression.
pub(super) struct Compiled {
    pub(super) expr: Expr,
    pub(super) ty: Type,
    pub(super) cost: u64,
    pub(super) uses_old_self: bool,
}

/// Compiles one expression; the error is what the compiler prints.
pub(super) fn compile_one(
    source: &str,
    decl: &Arc<Decl>,
    optional_old_self: bool,
) -> Result<Compiled, String> {
    let tree = parse(source).map_err(|issue: Issue| print(source, &[issue]))?;
    let checked =
        check(&tree, &Scope { decl, optional_old_self }).map_err(|issues| print(source, &issues))?;
    let cost = estimate::cost(&tree.root, &checked, decl);
    let ty = checked.types[tree.root.id].clone();
    Ok(Compiled { expr: tree.root, ty, cost, uses_old_self: checked.uses_old_self })
}
