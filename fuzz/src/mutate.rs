//! Mutation of inputs: bytes, words and the nodes of JSON documents.
//!
//! Deterministic: the same seed makes the same inputs. Inputs stay below [`MAX_BYTES`].

use serde_json::{Map, Value, json};

/// Longest input.
pub const MAX_BYTES: usize = 64 * 1024;
/// Deepest nesting that a mutation adds in one step; readers take less.
const DEEP: usize = 150;
const WORDS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "-1",
    "0",
    "9223372036854775808",
    "1e999",
    "0.0",
    "\\u0000",
    "\\ud800",
    "$patch",
    "$retainKeys",
    "$ref",
    "metadata",
    "spec",
    "name",
    "items",
    "apiVersion",
    "kind",
    "..",
    "%00",
    "%2f",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "\u{feff}",
    "\u{85}",
    "\u{202e}",
    "=",
    ",",
    "in (",
    ")",
    "Ki",
    "E18",
    "k8s\0",
    "\r\n",
];

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// No structure that we know of.
    Bytes,
    /// UTF-8, mostly.
    Text,
    /// A JSON document, mostly.
    Json,
}

/// A small generator of pseudo-random numbers (xorshift64*); no secrets depend on it.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 when there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from((self.number() >> 16) % end).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }
}

/// A new input from the seeds.
pub fn mutate(random: &mut Random, form: Form, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = random.pick(seeds).clone();
    let structured = form == Form::Json && random.below(4) > 0;
    if structured && let Ok(mut value) = serde_json::from_slice::<Value>(&input) {
        let other = serde_json::from_slice(random.pick::<Vec<u8>>(seeds)).unwrap_or(Value::Null);
        for _ in 0..=random.below(6) {
            change(random, &mut value, &other);
        }
        input = value.to_string().into_bytes();
    }
    if !structured || random.below(8) == 0 {
        for _ in 0..=random.below(8) {
            scramble(random, form, &mut input, seeds);
        }
    }
    input.truncate(MAX_BYTES);
    input
}

/// One change of bytes.
fn scramble(random: &mut Random, form: Form, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(16)).min(input.len());
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.byte(),
        2 => drop(input.drain(at..end)),
        3 => input.insert(at, random.byte()),
        4 => {
            let copy = input[at..end].to_vec();
            let times = 1 + random.below(if form == Form::Bytes { 4 } else { 64 });
            let many: Vec<u8> = copy.iter().copied().cycle().take(copy.len() * times).collect();
            drop(input.splice(at..at, many));
        }
        5 => drop(input.splice(at..end, random.pick(WORDS).bytes())),
        6 => {
            let other = random.pick(seeds);
            let from = random.below(other.len() + 1);
            let to = (from + random.below(64)).min(other.len());
            drop(input.splice(at..at, other[from..to].iter().copied()));
        }
        7 => input.truncate(at),
        // Lengths and numbers of protobuf: the largest that a varint can say.
        _ => {
            drop(input.splice(at..end, [0xff, 0xff, 0xff, 0xff, 0x0f].into_iter().take(1 + random.below(5))));
        }
    }
}

/// One change of a node somewhere in the document.
fn change(random: &mut Random, value: &mut Value, other: &Value) {
    let go_on = random.below(6) > 0;
    match value {
        Value::Object(map) if !map.is_empty() && go_on => {
            let at = random.below(map.len());
            if let Some(inner) = map.values_mut().nth(at) {
                change(random, inner, other);
            }
        }
        Value::Array(items) if !items.is_empty() && go_on => {
            let at = random.below(items.len());
            change(random, &mut items[at], other);
        }
        Value::Object(map) => change_object(random, map, other),
        Value::Array(items) => {
            let at = random.below(items.len() + 1);
            match random.below(4) {
                0 if at < items.len() => drop(items.remove(at)),
                1 if at < items.len() => items.push(items[at].clone()),
                2 => items.insert(at, strange(random)),
                _ => items.insert(at, node(random, other)),
            }
        }
        scalar => {
            *scalar = if random.below(3) == 0 { node(random, other) } else { strange(random) };
        }
    }
}

fn change_object(random: &mut Random, map: &mut Map<String, Value>, other: &Value) {
    let key = map.keys().nth(random.below(map.len())).cloned().unwrap_or_default();
    match random.below(5) {
        0 => drop(map.remove(&key)),
        1 => drop(map.insert(key, strange(random))),
        2 => drop(map.insert(key, node(random, other))),
        3 => drop(map.insert((*random.pick(WORDS)).to_owned(), strange(random))),
        _ => {
            let value = map.remove(&key).unwrap_or(Value::Null);
            map.insert(format!("{key}{}", random.pick(WORDS)), value);
        }
    }
}

/// A node of another document.
fn node(random: &mut Random, from: &Value) -> Value {
    let mut at = from;
    for _ in 0..random.below(6) {
        at = match at {
            Value::Object(map) if !map.is_empty() => map.values().nth(random.below(map.len())).unwrap_or(at),
            Value::Array(items) if !items.is_empty() => random.pick(items),
            _ => break,
        };
    }
    at.clone()
}

/// A value that nobody expects.
fn strange(random: &mut Random) -> Value {
    match random.below(14) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(i64::MAX),
        4 => json!(u64::MAX),
        5 => json!(1.5e300),
        6 => json!(""),
        7 => json!("x".repeat(random.below(300))),
        8 => json!((*random.pick(WORDS))),
        9 => json!([]),
        10 => json!({}),
        11 => json!([null, 1, "a", {}, []]),
        12 => (0..random.below(DEEP)).fold(json!(1), |inner, _| json!([inner])),
        _ => (0..random.below(DEEP)).fold(json!({}), |inner, _| json!({ "a": inner })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let seeds = vec![br#"{"a":[1,{"b":"c"}]}"#.to_vec(), b"[]".to_vec()];
        for form in [Form::Bytes, Form::Text, Form::Json] {
            let make = |seed| {
                let mut random = Random::new(seed);
                (0..200).map(|_| mutate(&mut random, form, &seeds)).collect::<Vec<_>>()
            };
            assert_eq!(make(7), make(7));
            assert_ne!(make(7), make(8));
            assert!(make(9).iter().all(|input| input.len() <= MAX_BYTES));
        }
    }
}
