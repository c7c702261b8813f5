//! Stable names: hashes of templates and suffixes of generated names.
//!
//! Nothing here is random. Suffixes come from a seed that the caller draws, so that a decision can name what it creates and a
//! repeated write of the same plan cannot create twice.

use serde_json::Value;

/// Consonants and digits that cannot spell a word or be misread.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Longest base of a generated name: 63 less the five characters of the suffix.
const MAX_BASE: usize = 58;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a over 64 bits.
struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// Walks the value with the keys in order, so that field order never matters.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Array(items) => {
                self.bytes(b"[");
                for item in items {
                    self.value(item);
                    self.bytes(b",");
                }
                self.bytes(b"]");
            }
            Value::Object(map) => {
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort_unstable();
                self.bytes(b"{");
                for key in keys {
                    self.bytes(key.as_bytes());
                    self.bytes(b":");
                    self.value(&map[key]);
                    self.bytes(b",");
                }
                self.bytes(b"}");
            }
            scalar => self.bytes(scalar.to_string().as_bytes()),
        }
    }
}

/// A short stable hash of a JSON value (ten characters, safe in names and labels). `collisions` moves
/// it to another value.
pub(crate) fn template_hash(value: &Value, collisions: i32) -> String {
    let mut hash = Fnv(FNV_OFFSET);
    hash.value(value);
    if collisions != 0 {
        hash.bytes(&collisions.to_le_bytes());
    }
    encode(mix(hash.0), 10)
}

/// A name that starts with `base` and ends in five characters drawn from `seed` and `index`.
pub(crate) fn generated(base: &str, seed: u64, index: usize) -> String {
    let mut end = base.len().min(MAX_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let draw = mix(seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    format!("{}{}", &base[..end], encode(draw, 5))
}

/// The finisher of `SplitMix64`: near seeds give far values.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn encode(mut value: u64, length: usize) -> String {
    let base = ALPHABET.len() as u64;
    let mut text = String::with_capacity(length);
    for _ in 0..length {
        let digit = usize::try_from(value % base).expect("a remainder below 27 fits");
        text.push(char::from(ALPHABET[digit]));
        value /= base;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hash_is_stable_across_releases() {
        // Deployments would roll out again if this changed.
        let hash = template_hash(&json!({"b": [1, {"z": null}], "a": "x"}), 0);
        insta::assert_snapshot!(hash, @"swsbmgtcpp");
        assert_eq!(hash, template_hash(&json!({"a": "x", "b": [1, {"z": null}]}), 0));
        assert_ne!(hash, template_hash(&json!({"a": "x", "b": [1, {"z": null}]}), 1));
    }

    #[test]
    fn generated_names_stay_in_bounds_and_differ() {
        let long = "x".repeat(80);
        let names: std::collections::BTreeSet<_> =
            (0..1000).map(|index| generated(&long, 7, index)).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == 63));
    }
}
