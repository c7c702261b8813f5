//! The Kubernetes libraries of the language (strings, lists, sets, quantities, addresses, URLs, versions, formats), as
//! `kube-cel` has them.
//!
//! Invariant: what a library function may read or make is bounded and paid for before it is called.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel;
use kube_cel::cel::common::ast::{CallExpr, Expr, IdedExpr};
use kube_cel::cel::objects::{Key as CelKey, Map as CelMap, OptionalValue};
use serde_json::Value;

use super::eval::{Evaluated, Fault, Machine};
use super::time;
use super::value::{Key, Val};
use crate::quantity::Quantity;

/// Largest argument, in bytes of text and values.
const INPUT_MAX: u64 = 512 << 10;
/// Longest list that `lists.range` makes.
const RANGE_MAX: i64 = 100_000;
/// Most digits after the point that `format` prints.
const PRECISION_DIGITS_MAX: usize = 2;
const ARGUMENTS: [&str; 4] = ["a0", "a1", "a2", "a3"];
/// Work of one call besides its arguments.
const CALL_WORK: u64 = 200;

thread_local! {
    static LIBRARY: cel::Context<'static> = cel::Context::default().with_all();
}

/// Calls a function of the libraries; a method's receiver is the first argument.
pub(super) fn call<'a>(
    machine: &mut Machine<'a, '_>,
    function: &str,
    member: bool,
    args: &[Val<'a>],
) -> Evaluated<'a> {
    machine.work(CALL_WORK)?;
    guard(machine, function, args)?;
    let mut budget = INPUT_MAX;
    let values = args.iter().map(|arg| to_cel(arg, &mut budget)).collect::<Result<Vec<_>, _>>()?;
    machine.work((INPUT_MAX - budget).saturating_mul(4))?;
    let result = LIBRARY.with(|library| {
        let mut scope = library.new_inner_scope();
        let mut names = Vec::with_capacity(values.len());
        for (name, value) in ARGUMENTS.iter().zip(values) {
            scope.add_variable_from_value(*name, value);
            names.push(IdedExpr { id: 0, expr: Expr::Ident((*name).to_owned()) });
        }
        let target = if member && !names.is_empty() { Some(Box::new(names.remove(0))) } else { None };
        let call = CallExpr { func_name: function.to_owned(), target, args: names };
        cel::Value::resolve(&IdedExpr { id: 0, expr: Expr::Call(call) }, &scope)
    });
    match result {
        Ok(value) if function == "format.named" => Ok(match from_cel(machine, value)? {
            Val::Null => Val::Optional(None),
            found => Val::some(found),
        }),
        Ok(value) => from_cel(machine, value),
        Err(cel::ExecutionError::FunctionError { message, .. }) => {
            Err(Fault::Error(worded(function, args).unwrap_or(message)))
        }
        Err(cel::ExecutionError::UndeclaredReference(_) | cel::ExecutionError::NoSuchOverload) => {
            Err(Fault::no_overload())
        }
        Err(other) => Err(Fault::Error(other.to_string())),
    }
}

/// A failure in the words of Kubernetes, where the library has others.
fn worded(function: &str, args: &[Val<'_>]) -> Option<String> {
    let outside = |index: i64| Some(format!("index out of range: {index}"));
    match (function, args) {
        ("quantity", [Val::Str(text)]) => Some(Quantity::parse(text).err()?.to_string()),
        ("ip", [Val::Str(text)]) => {
            let text = text.to_string();
            Some(format!(
                "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
            ))
        }
        ("url", [Val::Str(text)]) => {
            let text = text.to_string();
            let why = if text.is_empty() { "empty url" } else { "invalid URI for request" };
            Some(format!("URL parse error during conversion from string: parse {text:?}: {why}"))
        }
        ("min" | "max", [_]) => Some(format!("{function} called on empty list")),
        ("charAt" | "substring", [_, Val::Int(at)]) => outside(*at),
        ("substring", [_, Val::Int(start), Val::Int(end)]) if start > end => {
            Some(format!("invalid substring range. start: {start}, end: {end}"))
        }
        ("substring", [Val::Str(text), Val::Int(start), Val::Int(end)]) => {
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            outside(if *start < 0 || *start > length { *start } else { *end })
        }
        ("slice", [list, Val::Int(start), Val::Int(end)]) => Some(if *start < 0 || *end < 0 {
            format!("cannot slice({start}, {end}), negative indexes not supported")
        } else if start > end {
            format!("cannot slice({start}, {end}), start index must be less than or equal to end index")
        } else {
            format!("cannot slice({start}, {end}), list is length {}", list.size())
        }),
        _ => None,
    }
}

/// Refuses what would make too much out of little, and pays for what is dearer than its size.
fn guard(machine: &mut Machine<'_, '_>, function: &str, args: &[Val<'_>]) -> Result<(), Fault> {
    let size = |index: usize| args.get(index).map_or(0, |arg| arg.size() as u64);
    match (function, args) {
        ("lists.range", [Val::Int(count)]) => {
            if *count > RANGE_MAX {
                return Err(Fault::Limit);
            }
            machine.pay(u64::try_from(*count).unwrap_or(0))
        }
        ("join", [_, Val::Str(separator)]) => {
            let count = usize::try_from(size(0)).unwrap_or(usize::MAX);
            machine.makes(separator.len().saturating_mul(count))
        }
        ("replace", [Val::Str(text), Val::Str(from), Val::Str(to), ..]) => {
            let hits = if from.is_empty() { text.len() + 1 } else { text.len() / from.len() };
            machine.makes(text.len().saturating_add(hits.saturating_mul(to.len())))
        }
        ("format", [Val::Str(text), ..]) => {
            let digits =
                text.split('.').skip(1).map(|rest| rest.bytes().take_while(u8::is_ascii_digit).count());
            if digits.max().unwrap_or(0) > PRECISION_DIGITS_MAX {
                return Err(Fault::Error(
                    "could not parse formatting clause: precision is too large".to_owned(),
                ));
            }
            // One long argument may be printed once for each clause.
            let clauses = text.matches('%').count();
            machine.makes(clauses.saturating_mul(512))
        }
        ("sets.contains" | "sets.equivalent" | "sets.intersects", _) => {
            machine.work(size(0).saturating_mul(size(1)).saturating_mul(50))
        }
        ("distinct", _) => machine.work(size(0).saturating_mul(size(0)).saturating_mul(50)),
        ("sort" | "isSorted" | "min" | "max", _) => machine.work(size(0).saturating_mul(100)),
        _ => Ok(()),
    }
}

fn spend(budget: &mut u64, units: u64) -> Result<(), Fault> {
    *budget = budget.checked_sub(units).ok_or(Fault::Limit)?;
    Ok(())
}

fn to_cel(value: &Val<'_>, budget: &mut u64) -> Result<cel::Value, Fault> {
    spend(budget, 16)?;
    Ok(match value {
        Val::Null => cel::Value::Null,
        Val::Bool(value) => cel::Value::Bool(*value),
        Val::Int(value) => cel::Value::Int(*value),
        Val::Uint(value) => cel::Value::UInt(*value),
        Val::Double(value) => cel::Value::Float(*value),
        Val::Str(text) => {
            spend(budget, text.len() as u64)?;
            cel::Value::String(Arc::new(text.to_string()))
        }
        Val::Bytes(bytes) => {
            spend(budget, bytes.len() as u64)?;
            cel::Value::Bytes(Arc::new(bytes.to_vec()))
        }
        Val::Timestamp(at) => cel::Value::String(Arc::new(time::print_timestamp(*at))),
        Val::Duration(nanos) => cel::Value::String(Arc::new(time::print_duration(*nanos))),
        Val::Type(name) => cel::Value::String(Arc::new((*name).to_owned())),
        Val::List(items) => {
            let items = items.iter().map(|item| to_cel(item, budget)).collect::<Result<Vec<_>, _>>()?;
            cel::Value::List(Arc::new(items))
        }
        Val::Map(entries) => {
            let mut map = HashMap::new();
            for (key, value) in &**entries {
                map.insert(to_cel_key(key), to_cel(value, budget)?);
            }
            cel::Value::Map(CelMap { map: Arc::new(map) })
        }
        Val::Data(data) => match data.list() {
            Some(items) => {
                let items = (0..items.len()).filter_map(|at| data.item(at));
                let items = items.map(|item| to_cel(&item.map_err(Fault::Error)?, budget));
                cel::Value::List(Arc::new(items.collect::<Result<Vec<_>, _>>()?))
            }
            None => json(data.value, budget)?,
        },
        Val::Unknown(value) => json(value, budget)?,
        Val::Optional(None) => cel::Value::Opaque(Arc::new(OptionalValue::none())),
        Val::Optional(Some(inner)) => cel::Value::Opaque(Arc::new(OptionalValue::of(to_cel(inner, budget)?))),
        Val::Foreign(value) => value.clone(),
    })
}

fn to_cel_key(key: &Key) -> CelKey {
    match key {
        Key::Bool(value) => CelKey::Bool(*value),
        Key::Int(value) => CelKey::Int(*value),
        Key::Uint(value) => CelKey::Uint(*value),
        Key::Str(text) => CelKey::String(Arc::new(text.to_string())),
    }
}

fn json(value: &Value, budget: &mut u64) -> Result<cel::Value, Fault> {
    spend(budget, 16)?;
    Ok(match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => cel::Value::Int(value),
            None => cel::Value::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => {
            spend(budget, text.len() as u64)?;
            cel::Value::String(Arc::new(text.clone()))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| json(item, budget)).collect::<Result<Vec<_>, _>>()?;
            cel::Value::List(Arc::new(items))
        }
        Value::Object(entries) => {
            let mut map = HashMap::new();
            for (key, value) in entries {
                spend(budget, key.len() as u64)?;
                map.insert(CelKey::String(Arc::new(key.clone())), json(value, budget)?);
            }
            cel::Value::Map(CelMap { map: Arc::new(map) })
        }
    })
}

fn from_cel<'a>(machine: &mut Machine<'a, '_>, value: cel::Value) -> Evaluated<'a> {
    machine.work(16)?;
    Ok(match value {
        cel::Value::Null => Val::Null,
        cel::Value::Bool(value) => Val::Bool(value),
        cel::Value::Int(value) => Val::Int(value),
        cel::Value::UInt(value) => Val::Uint(value),
        cel::Value::Float(value) => Val::Double(value),
        cel::Value::String(text) => {
            machine.makes(text.len())?;
            Val::text(text.as_str())
        }
        cel::Value::Bytes(bytes) => Val::Bytes(bytes.as_slice().into()),
        cel::Value::List(items) => {
            let items = items.iter().map(|item| from_cel(machine, item.clone()));
            Val::list(items.collect::<Result<_, _>>()?)
        }
        cel::Value::Map(map) => {
            let entries = map.map.iter().map(|(key, value)| {
                let key = match key {
                    CelKey::Bool(value) => Key::Bool(*value),
                    CelKey::Int(value) => Key::Int(*value),
                    CelKey::Uint(value) => Key::Uint(*value),
                    CelKey::String(text) => Key::Str(Arc::from(text.as_str())),
                };
                Ok((key, from_cel(machine, value.clone())?))
            });
            Val::Map(Arc::new(entries.collect::<Result<_, Fault>>()?))
        }
        cel::Value::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => match optional.value() {
                Some(inner) => Val::some(from_cel(machine, inner.clone())?),
                None => Val::Optional(None),
            },
            None => Val::Foreign(cel::Value::Opaque(opaque)),
        },
        other => Val::Foreign(other),
    })
}

/// The name of the type of a library's value.
pub(super) fn type_name(value: &Val<'_>) -> &'static str {
    const NAMES: [&str; 6] = [
        "kubernetes.URL",
        "net.IP",
        "net.CIDR",
        "kubernetes.Quantity",
        "kubernetes.Semver",
        "kubernetes.NamedFormat",
    ];
    let Val::Foreign(cel::Value::Opaque(opaque)) = value else { return "opaque" };
    let name = opaque.runtime_type_name();
    let short = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    let found = NAMES.iter().find(|known| known.to_ascii_lowercase().ends_with(&short));
    found.copied().unwrap_or("opaque")
}
