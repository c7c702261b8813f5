//! Functions on text, patterns and conversions that must be bounded here rather than in a library.

use super::eval::{Evaluated, Fault, Machine};
use super::time;
use super::value::{Val, whole};

#[allow(clippy::unnecessary_wraps, reason = "it ends functions that may also have no answer")]
fn error<'a>(why: impl Into<String>) -> Option<Evaluated<'a>> {
    Some(Err(Fault::Error(why.into())))
}

pub(super) fn unary<'a>(machine: &mut Machine<'a, '_>, function: &str, a: &Val<'a>) -> Option<Evaluated<'a>> {
    if let Val::Bytes(bytes) = a {
        machine.work(bytes.len() as u64).err().map_or(Some(()), |_| None)?;
    }
    match (function, a) {
        ("int", a) => to_int(a),
        ("uint", a) => to_uint(a),
        ("double", a) => to_double(a),
        ("bool", Val::Bool(_)) | ("string", Val::Str(_)) | ("bytes", Val::Bytes(_)) => Some(Ok(a.clone())),
        ("bool", Val::Str(text)) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Ok(Val::Bool(true))),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Ok(Val::Bool(false))),
            other => error(format!("type conversion error from 'string' to 'bool': {other}")),
        },
        ("bytes", Val::Str(text)) => Some(Ok(Val::Bytes(text.as_bytes().into()))),
        ("string", Val::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Some(Ok(Val::text(text))),
            Err(_) => error("invalid UTF-8 in bytes, cannot convert to string"),
        },
        ("string", Val::Int(value)) => Some(Ok(Val::text(value.to_string()))),
        ("string", Val::Uint(value)) => Some(Ok(Val::text(value.to_string()))),
        ("string", Val::Double(value)) => Some(Ok(Val::text(value.to_string()))),
        ("string", Val::Bool(value)) => Some(Ok(Val::text(value.to_string()))),
        ("string", Val::Timestamp(at)) => Some(Ok(Val::text(time::print_timestamp(*at)))),
        ("string", Val::Duration(nanos)) => Some(Ok(Val::text(time::print_duration(*nanos)))),
        ("sum", list @ (Val::List(_) | Val::Data(_))) => Some(sum(machine, list)),
        _ => None,
    }
}

fn sum<'a>(machine: &mut Machine<'a, '_>, list: &Val<'a>) -> Evaluated<'a> {
    let mut items = machine.items(list)?.into_iter();
    let first = items.next().unwrap_or(Val::Int(0));
    items.try_fold(first, |sum, item| machine.add(&sum, &item))
}

fn to_int<'a>(a: &Val<'a>) -> Option<Evaluated<'a>> {
    let range = || error("integer overflow");
    match a {
        Val::Int(_) => Some(Ok(a.clone())),
        Val::Uint(value) => i64::try_from(*value).map_or_else(|_| range(), |v| Some(Ok(Val::Int(v)))),
        Val::Double(value) => whole(value.trunc()).map_or_else(range, |v| Some(Ok(Val::Int(v)))),
        Val::Str(text) => match text.parse() {
            Ok(value) => Some(Ok(Val::Int(value))),
            Err(_) => error("type conversion error from 'string' to 'int'"),
        },
        Val::Timestamp(at) => Some(Ok(Val::Int(at.as_second()))),
        Val::Duration(nanos) => Some(Ok(Val::Int(*nanos))),
        _ => None,
    }
}

fn to_uint<'a>(a: &Val<'a>) -> Option<Evaluated<'a>> {
    let range = || error("unsigned integer overflow");
    match a {
        Val::Uint(_) => Some(Ok(a.clone())),
        Val::Int(value) => u64::try_from(*value).map_or_else(|_| range(), |v| Some(Ok(Val::Uint(v)))),
        Val::Double(value) => {
            let value = whole(value.trunc()).and_then(|v| u64::try_from(v).ok());
            value.map_or_else(range, |v| Some(Ok(Val::Uint(v))))
        }
        Val::Str(text) => match text.parse() {
            Ok(value) => Some(Ok(Val::Uint(value))),
            Err(_) => error("type conversion error from 'string' to 'uint'"),
        },
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss, reason = "the language converts to the nearest double")]
fn to_double<'a>(a: &Val<'a>) -> Option<Evaluated<'a>> {
    match a {
        Val::Double(_) => Some(Ok(a.clone())),
        Val::Int(value) => Some(Ok(Val::Double(*value as f64))),
        Val::Uint(value) => Some(Ok(Val::Double(*value as f64))),
        Val::Str(text) => match text.parse() {
            Ok(value) => Some(Ok(Val::Double(value))),
            Err(_) => error("type conversion error from 'string' to 'double'"),
        },
        _ => None,
    }
}

pub(super) fn binary<'a>(
    machine: &mut Machine<'a, '_>,
    function: &str,
    a: &Val<'a>,
    b: &Val<'a>,
) -> Option<Evaluated<'a>> {
    let (Val::Str(text), Val::Str(other)) = (a, b) else { return None };
    let int = |at: Option<usize>| Val::Int(at.map_or(-1, |at| characters(&text[..at])));
    Some(match function {
        "contains" => Ok(Val::Bool(text.contains(&**other))),
        "startsWith" => Ok(Val::Bool(text.starts_with(&**other))),
        "endsWith" => Ok(Val::Bool(text.ends_with(&**other))),
        "indexOf" => Ok(int(text.find(&**other))),
        "lastIndexOf" => Ok(int(text.rfind(&**other))),
        "matches" => matched(machine, text, other, |regex, text| Val::Bool(regex.is_match(text))),
        "find" => matched(machine, text, other, |regex, text| {
            Val::text(regex.find(text).map_or("", |found| found.as_str()))
        }),
        "findAll" => find_all(machine, text, other, -1),
        _ => return None,
    })
}

fn characters(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

fn matched<'a>(
    machine: &mut Machine<'a, '_>,
    text: &str,
    pattern: &str,
    result: impl FnOnce(&regex::Regex, &str) -> Val<'a>,
) -> Evaluated<'a> {
    let regex = machine.pattern(pattern)?;
    machine.work((text.len() as u64).saturating_mul(16))?;
    Ok(result(&regex, text))
}

fn find_all<'a>(machine: &mut Machine<'a, '_>, text: &str, pattern: &str, most: i64) -> Evaluated<'a> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    // Each hit may look through the rest again.
    machine.work((text.len() as u64).saturating_mul(16))?;
    let regex = machine.pattern(pattern)?;
    let mut hits = Vec::new();
    for found in regex.find_iter(text).take(most) {
        machine.work(64 + (text.len() - found.start()) as u64 / 16)?;
        hits.push(Val::text(found.as_str()));
    }
    Ok(Val::list(hits))
}

pub(super) fn ternary<'a>(
    machine: &mut Machine<'a, '_>,
    function: &str,
    a: &Val<'a>,
    b: &Val<'a>,
    c: &Val<'a>,
) -> Option<Evaluated<'a>> {
    let (Val::Str(text), Val::Str(other)) = (a, b) else { return None };
    match (function, c) {
        ("findAll", Val::Int(most)) => Some(find_all(machine, text, other, *most)),
        ("indexOf" | "lastIndexOf", Val::Int(from)) => Some(index_from(function, text, other, *from)),
        ("replace", Val::Str(with)) => {
            let hits = if other.is_empty() { text.len() + 1 } else { text.len() / other.len() };
            let bytes = text.len().saturating_add(hits.saturating_mul(with.len()));
            Some(machine.makes(bytes).map(|()| Val::text(text.replace(&**other, with))))
        }
        _ => None,
    }
}

/// From a character on, or up to it, as the function says.
fn index_from<'a>(function: &str, text: &str, wanted: &str, from: i64) -> Evaluated<'a> {
    let length = characters(text);
    let Ok(from_usize) = usize::try_from(from) else {
        return Err(Fault::Error(format!("index out of range: {from}")));
    };
    if from >= length {
        return Ok(Val::Int(if wanted.is_empty() { length } else { -1 }));
    }
    let at = text.char_indices().nth(from_usize).map_or(text.len(), |(at, _)| at);
    let found = if function == "indexOf" {
        text[at..].find(wanted).map(|found| at + found)
    } else {
        let end = (at + wanted.len()).min(text.len());
        let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
        text[..end].rfind(wanted).filter(|found| *found <= at)
    };
    Ok(Val::Int(found.map_or(-1, |at| characters(&text[..at]))))
}
