//! Role-based access control as pure functions: rules, what binds them to whom, and the decision.
//!
//! Nothing here reads the store, a clock or a socket: [`Policy`] is a value, and [`Policy::decide`] a function of it. Follows
//! `rbac.authorization.k8s.io/v1`.
//!
//! Invariant: what no rule allows is denied; a rule that cannot be read allows nothing.

pub(crate) mod aggregate;
mod cover;
pub(crate) mod defaults;
mod policy;
mod rule;
#[cfg(test)]
mod tests;

pub(crate) use self::cover::{missing_rights, quoted};
pub(crate) use self::policy::{Decision, Grants, Policy, RoleRef};
pub(crate) use self::rule::Rule;

/// The API group of roles and bindings.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";
