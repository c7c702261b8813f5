//! Operators and functions: what each costs, and what it does.
//!
//! What is not here comes from the Kubernetes libraries of `kube-cel` ([`super::library`]).

use super::eval::{Evaluated, Fault, Machine, lookup};
use super::library;
use super::signature::TYPE_NAMES;
use super::text;
use super::time;
use super::value::{Key, Val, order};

/// The type of a name such as `string`.
pub(super) fn type_named<'a>(name: &str) -> Option<Val<'a>> {
    TYPE_NAMES.iter().find(|known| **known == name).map(|name| Val::Type(name))
}

/// A value in an error message.
pub(super) fn shown(value: &Val<'_>) -> String {
    match value {
        Val::Str(text) => text.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Uint(value) => value.to_string(),
        Val::Double(value) => value.to_string(),
        Val::Bool(value) => value.to_string(),
        other => other.type_name().to_owned(),
    }
}

/// A tenth of a unit for each element, rounded up.
fn walk(elements: usize) -> u64 {
    (elements as u64).div_ceil(10)
}

/// Cost of matching a text with a pattern.
fn matching(text: usize, pattern: usize) -> u64 {
    walk(text.saturating_add(1)).saturating_mul((pattern as u64).div_ceil(4))
}

/// Price of a call, by the sizes of its arguments.
fn price(function: &str, args: &[Val<'_>]) -> u64 {
    let size = |index: usize| args.get(index).map_or(1, Val::size);
    match function {
        "startsWith" | "endsWith" | "bytes" | "strings.quote" | "format" | "url" | "isURL" | "lowerAscii"
        | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR" | "ip" | "quantity"
        | "isQuantity" | "semver" | "isSemver" => walk(size(0)),
        "string" if matches!(args.first(), Some(Val::Bytes(_))) => walk(size(0)),
        "replace" | "split" | "ip.isCanonical" | "join" => walk(size(0).saturating_mul(2)),
        "isSorted" | "sum" | "min" | "max" | "indexOf" | "lastIndexOf" | "includes" => match args.first() {
            Some(Val::Str(text)) => walk(text.len()),
            _ => size(0) as u64,
        },
        "@in" if !matches!(args.get(1), Some(Val::Map(_))) => size(1) as u64,
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => walk(size(0).min(size(1))),
        "_+_" if matches!(args.first(), Some(Val::Str(_) | Val::Bytes(_))) => {
            walk(size(0).saturating_add(size(1)))
        }
        "matches" | "find" | "findAll" => matching(size(0), size(1)),
        "validate" => matching(size(1), 128),
        "contains" => walk(size(0)).saturating_mul(walk(size(1))),
        "containsIP" | "containsCIDR" => 6_u64.saturating_add(walk(size(1))),
        "sets.contains" | "sets.equivalent" | "sets.intersects" => {
            (size(0) as u64).saturating_mul(size(1) as u64).saturating_add(1)
        }
        "slice" | "reverse" | "sort" | "distinct" | "flatten" => (size(0) as u64).saturating_add(1),
        _ => 1,
    }
}

/// Calls a function with its receiver, if it is a method, as the first argument.
pub(super) fn call<'a>(
    machine: &mut Machine<'a, '_>,
    function: &str,
    member: bool,
    args: &[Val<'a>],
) -> Evaluated<'a> {
    // Sizes of texts are counted anew each time, which is work.
    let texts = args.iter().map(|arg| if let Val::Str(text) = arg { text.len() as u64 } else { 0 }).sum();
    machine.work(texts)?;
    machine.pay(price(function, args))?;
    match args {
        [a] => unary(machine, function, a),
        [a, b] => binary(machine, function, a, b),
        [a, b, c] => text::ternary(machine, function, a, b, c),
        [] => nullary(function),
        _ => None,
    }
    .unwrap_or_else(|| library::call(machine, function, member, args))
}

fn nullary<'a>(function: &str) -> Option<Evaluated<'a>> {
    (function == "optional.none").then_some(Ok(Val::Optional(None)))
}

fn error<'a>(why: impl Into<String>) -> Evaluated<'a> {
    Err(Fault::Error(why.into()))
}

fn unary<'a>(machine: &mut Machine<'a, '_>, function: &str, a: &Val<'a>) -> Option<Evaluated<'a>> {
    Some(match (function, a) {
        ("!_", Val::Bool(value)) => Ok(Val::Bool(!value)),
        ("-_", Val::Int(value)) => value.checked_neg().map(Val::Int).map_or_else(overflow, Ok),
        ("-_", Val::Double(value)) => Ok(Val::Double(-value)),
        ("size", Val::Str(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_) | Val::Data(_)) => {
            Ok(Val::Int(i64::try_from(a.size()).unwrap_or(i64::MAX)))
        }
        ("type", Val::Foreign(_)) => Ok(Val::Type(library::type_name(a))),
        ("type", value) => Ok(Val::Type(value.type_name())),
        ("dyn", value) => Ok(value.clone()),
        ("optional.of", value) => Ok(Val::some(value.clone())),
        ("optional.ofNonZeroValue", value) => {
            Ok(if value.is_zero() { Val::Optional(None) } else { Val::some(value.clone()) })
        }
        ("hasValue", Val::Optional(inner)) => Ok(Val::Bool(inner.is_some())),
        ("value", Val::Optional(Some(inner))) => Ok((**inner).clone()),
        ("value", Val::Optional(None)) => error("optional.none() dereference"),
        ("timestamp", Val::Str(text)) => match time::parse_timestamp(text) {
            Some(time) => Ok(Val::Timestamp(time)),
            None => error("invalid timestamp"),
        },
        ("timestamp", Val::Timestamp(_)) | ("duration", Val::Duration(_)) => Ok(a.clone()),
        ("timestamp", Val::Int(seconds)) => match jiff::Timestamp::from_second(*seconds) {
            Ok(time) => Ok(Val::Timestamp(time)),
            Err(_) => error("timestamp overflow"),
        },
        ("duration", Val::Str(text)) => match time::parse_duration(text) {
            Some(nanos) => Ok(Val::Duration(nanos)),
            None => error(format!("time: invalid duration {:?}", &**text)),
        },
        ("duration", Val::Int(nanos)) => Ok(Val::Duration(*nanos)),
        (name, Val::Timestamp(time)) if name.starts_with("get") => {
            time::calendar(name, *time, None).map(Val::Int).map_err(Fault::Error)
        }
        (name, Val::Duration(nanos)) if name.starts_with("get") => Ok(Val::Int(time::span(name, *nanos))),
        _ => return text::unary(machine, function, a),
    })
}

fn overflow<'a>() -> Evaluated<'a> {
    error("integer overflow")
}

fn binary<'a>(
    machine: &mut Machine<'a, '_>,
    function: &str,
    a: &Val<'a>,
    b: &Val<'a>,
) -> Option<Evaluated<'a>> {
    Some(match function {
        "_==_" => machine.equal(a, b).map(Val::Bool),
        "_!=_" => machine.equal(a, b).map(|equal| Val::Bool(!equal)),
        "_<_" => compare(a, b, std::cmp::Ordering::is_lt),
        "_<=_" => compare(a, b, std::cmp::Ordering::is_le),
        "_>_" => compare(a, b, std::cmp::Ordering::is_gt),
        "_>=_" => compare(a, b, std::cmp::Ordering::is_ge),
        "_+_" => machine.add(a, b),
        "_-_" | "_*_" | "_/_" | "_%_" => arithmetic(function, a, b),
        "_[_]" => index(a, b),
        "_[?_]" => optional_index(a, b),
        "@in" => machine.contains(b, a),
        "includes" => machine.contains(a, b),
        "or" => match a {
            Val::Optional(Some(_)) => Ok(a.clone()),
            Val::Optional(None) => Ok(b.clone()),
            _ => Err(Fault::no_overload()),
        },
        "orValue" => match a {
            Val::Optional(Some(inner)) => Ok((**inner).clone()),
            Val::Optional(None) => Ok(b.clone()),
            _ => Err(Fault::no_overload()),
        },
        "indexOf" | "lastIndexOf" if !matches!(a, Val::Str(_)) => machine.position(function, a, b),
        name => match (a, b) {
            (Val::Timestamp(time), Val::Str(zone)) if name.starts_with("get") => {
                time::calendar(name, *time, Some(zone)).map(Val::Int).map_err(Fault::Error)
            }
            _ => return text::binary(machine, function, a, b),
        },
    })
}

fn compare<'a>(a: &Val<'a>, b: &Val<'a>, wanted: fn(std::cmp::Ordering) -> bool) -> Evaluated<'a> {
    match (order(a, b), a, b) {
        (Some(order), _, _) => Ok(Val::Bool(wanted(order))),
        // NaN is neither less nor more than anything.
        (None, Val::Double(_), Val::Double(_) | Val::Int(_) | Val::Uint(_))
        | (None, Val::Int(_) | Val::Uint(_), Val::Double(_)) => error("NaN values cannot be ordered"),
        _ => Err(Fault::no_overload()),
    }
}

fn arithmetic<'a>(function: &str, a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
    let zero = || error(if function == "_%_" { "modulus by zero" } else { "division by zero" });
    match (function, a, b) {
        ("_/_" | "_%_", Val::Int(_), Val::Int(0)) | ("_/_" | "_%_", Val::Uint(_), Val::Uint(0)) => zero(),
        (_, Val::Int(a), Val::Int(b)) => {
            let result = match function {
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Val::Int).map_or_else(overflow, Ok)
        }
        (_, Val::Uint(a), Val::Uint(b)) => {
            let result = match function {
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Val::Uint).map_or_else(|| error("unsigned integer overflow"), Ok)
        }
        ("_-_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a - b)),
        ("_*_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a * b)),
        ("_/_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a / b)),
        ("_-_", Val::Timestamp(a), Val::Timestamp(b)) => {
            time::difference(*a, *b).map(Val::Duration).map_or_else(|| error("duration overflow"), Ok)
        }
        ("_-_", Val::Timestamp(time), Val::Duration(nanos)) => {
            let moved = nanos.checked_neg().and_then(|nanos| time::add(*time, nanos));
            moved.map(Val::Timestamp).map_or_else(|| error("timestamp overflow"), Ok)
        }
        ("_-_", Val::Duration(a), Val::Duration(b)) => {
            a.checked_sub(*b).map(Val::Duration).map_or_else(|| error("duration overflow"), Ok)
        }
        _ => Err(Fault::no_overload()),
    }
}

fn index<'a>(container: &Val<'a>, key: &Val<'a>) -> Evaluated<'a> {
    if let Val::Optional(_) = container {
        return optional_index(container, key);
    }
    let is_list = match container {
        Val::List(_) => true,
        Val::Data(data) => data.list().is_some(),
        _ => false,
    };
    if !is_list {
        return lookup(container, key);
    }
    let Some(Key::Int(wanted)) = key.key() else {
        return error(format!("unsupported index type '{}' in list", key.type_name()));
    };
    let at = usize::try_from(wanted).ok();
    let found = match (container, at) {
        (Val::List(items), Some(at)) => items.get(at).cloned().map(Ok),
        (Val::Data(data), Some(at)) => data.item(at).map(|item| item.map_err(Fault::Error)),
        _ => None,
    };
    found.unwrap_or_else(|| error(format!("index out of bounds: {wanted}")))
}

fn optional_index<'a>(container: &Val<'a>, key: &Val<'a>) -> Evaluated<'a> {
    let container = match container {
        Val::Optional(None) => return Ok(Val::Optional(None)),
        Val::Optional(Some(inner)) => (**inner).clone(),
        other => other.clone(),
    };
    match index(&container, key) {
        Ok(value) => Ok(Val::some(value)),
        Err(Fault::Error(why)) if why.starts_with("no such key") || why.starts_with("index out") => {
            Ok(Val::Optional(None))
        }
        Err(fault) => Err(fault),
    }
}
