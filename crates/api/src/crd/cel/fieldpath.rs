//! Paths such as `.spec.replicas` or `.labels['a.b']` that must lead somewhere in a schema.

use super::super::schema::{Additional, Node};

/// The path as error messages print it, and the schema it leads to.
pub(in crate::crd) fn valid_path<'n>(
    path: &str,
    node: &'n Node,
    brackets: bool,
) -> Result<(String, &'n Node), String> {
    let (mut out, mut at, mut rest) = (String::new(), node, path);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[', ']']).unwrap_or(after.len());
            if end == 0 {
                return Err("unexpected end of JSON path".to_owned());
            }
            at = step(&after[..end], at, &mut out)?;
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            if !brackets {
                return Err("array notation is not allowed".to_owned());
            }
            let (name, after) = quoted(after)?;
            at = step(&name, at, &mut out)?;
            rest = after.strip_prefix(']').ok_or_else(|| format!("expected ] but got {after}"))?;
        } else {
            let end = rest.find(['.', '[', ']']).unwrap_or(rest.len()).max(1);
            return Err(format!("expected [ or . but got: {}", rest.get(..end).unwrap_or(rest)));
        }
    }
    Ok((out, at))
}

fn step<'n>(name: &str, node: &'n Node, out: &mut String) -> Result<&'n Node, String> {
    let unknown = || "does not refer to a valid field".to_owned();
    if node.properties.is_empty() {
        let Additional::Values(child) = &node.additional else { return Err(unknown()) };
        out.extend(["[", name, "]"]);
        return Ok(child);
    }
    let child = node.properties.get(name).ok_or_else(unknown)?;
    if !out.is_empty() {
        out.push('.');
    }
    out.push_str(name);
    Ok(child)
}

/// A text in single quotes, and what comes after it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let Some(inner) = text.strip_prefix('\'') else {
        let end = text.find(']').unwrap_or(text.len());
        return Err(format!("expected single quoted string but got {}", &text[..end]));
    };
    let mut out = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((out, &inner[at + 1..])),
            '\\' => out.push(match chars.next() {
                Some((_, 'a')) => '\u{7}',
                Some((_, 'b')) => '\u{8}',
                Some((_, 'f')) => '\u{c}',
                Some((_, 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, 't')) => '\t',
                Some((_, 'v')) => '\u{b}',
                Some((_, c @ ('\'' | '\\'))) => c,
                Some((_, c)) => return Err(format!("invalid string literal: invalid escape char \\{c}")),
                None => break,
            }),
            c => out.push(c),
        }
    }
    Err("unexpected end of JSON path".to_owned())
}
