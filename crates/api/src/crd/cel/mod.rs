//! Validation rules of custom kinds (`x-kubernetes-validations`) in the Common Expression Language.
//!
//! `compile` parses, checks and prices the rules of a schema when its definition is written; `run` evaluates them on
//! objects. Language and limits are those of Kubernetes 1.37. Strings, lists, sets, quantities, addresses, URLs, versions
//! and formats come from `kube-cel`; parsing, type checking and evaluation are here, because only an evaluator that counts
//! can promise to end.
//!
//! Invariants: whatever was compiled can be run on any object without panicking; one object costs at most
//! [`run::BUDGET`] units, one rule at most [`run::RULE_BUDGET`].

mod call;
mod check;
mod compile;
mod data;
mod estimate;
mod eval;
mod expr;
mod fieldpath;
mod lex;
mod library;
mod parse;
mod report;
mod run;
mod signature;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod types;
mod value;

pub(super) use compile::{Rule, RuleSpec, compile};
pub(super) use fieldpath::valid_path;
pub(super) use run::{Correlated, run, run_as};

/// Whether a text is a duration as schemas take it (`1h30m`, `2 days`).
pub(super) fn is_duration(text: &str) -> bool {
    time::parse_loose_duration(text).is_some()
}
