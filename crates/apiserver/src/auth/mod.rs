//! Who asks, and whether they may.
//!
//! | step | module |
//! |---|---|
//! | certificates, tokens, nobody | `authenticate`, `token` |
//! | somebody in the name of somebody else | `impersonate` |
//! | roles and bindings, and what follows from them | [`rbac`], pure; `live` keeps it current |
//! | rights are not raised by writing roles | `escalation` |
//! | certificates for approved requests | `signer` |
//! | the words of a refusal | here |
//!
//! Authorization is one function over user and question ([`authorize`]), asked once per request by [`crate::dispatch`] before
//! anything is read. Members of `system:masters` may do everything; what others may is said by the stored roles and bindings.

mod authenticate;
pub(crate) mod escalation;
pub(crate) mod follow;
mod impersonate;
mod live;
pub(crate) mod rbac;
pub(crate) mod signer;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod user;

use std::future::Future;

use konzert_api::{ApiError, GroupResource};

pub(crate) use self::authenticate::{Caller, EndOfStreams, authenticate};
pub(crate) use self::impersonate::impersonate;
pub(crate) use self::live::LivePolicy;
use self::rbac::Decision;
pub(crate) use self::user::{MASTERS, User};
use crate::registry::Registry;
use crate::request::{ResourcePath, Verb};

/// What is asked for on a resource, in the words of authorization.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl<'a> Attributes<'a> {
    /// `selected` is the name that the field selector of a collection asks for.
    pub(crate) fn of(verb: Verb, path: &'a ResourcePath, selected: Option<&'a str>) -> Self {
        let name = path.name.as_deref().or(selected).unwrap_or_default();
        // A namespace lies in itself, so that its admin may read it.
        let itself = path.group.is_empty() && path.resource == "namespaces" && path.name.is_some();
        let namespace = if itself { name } else { path.namespace.as_deref().unwrap_or_default() };
        Self {
            verb: verb.as_str(),
            group: &path.group,
            resource: &path.resource,
            subresource: path.subresource.as_deref().unwrap_or_default(),
            namespace,
            name,
        }
    }

    fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// A question to authorization.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    Resource(Attributes<'a>),
    /// A path that is no resource; the verb is the method in lower case.
    Path {
        verb: &'a str,
        path: &'a str,
    },
}

impl Asked<'_> {
    /// Where it is asked; empty beside all namespaces.
    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::Resource(attributes) => attributes.namespace,
            Self::Path { .. } => "",
        }
    }

    /// 403 in the words of Kubernetes.
    fn refuse(&self, user: &User, reason: &str) -> ApiError {
        let (resource, name, mut why) = match self {
            Self::Path { verb, path } => {
                (GroupResource::default(), "", format!("User {:?} cannot {verb} path {path:?}", user.name))
            }
            Self::Resource(asked) => {
                let scope = if asked.namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {:?}", asked.namespace)
                };
                let why = format!(
                    "User {:?} cannot {} resource {:?} in API group {:?} {scope}",
                    user.name,
                    asked.verb,
                    asked.full_resource(),
                    asked.group
                );
                (GroupResource::new(asked.group, asked.resource), asked.name, why)
            }
        };
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        ApiError::forbidden(&resource, name, &why)
    }
}

/// The policy.
pub(crate) fn decide(registry: &Registry, user: &User, asked: &Asked<'_>) -> Decision {
    if user.is_in(MASTERS) {
        return Decision { allowed: true, reason: String::new() };
    }
    registry.policy.with(|policy| policy.decide(user, asked))
}

/// 403 unless the user may.
pub(crate) fn authorize(registry: &Registry, user: &User, asked: &Asked<'_>) -> Result<(), ApiError> {
    let decision = decide(registry, user, asked);
    if decision.allowed { Ok(()) } else { Err(asked.refuse(user, &decision.reason)) }
}

tokio::task_local! {
    static ACTING: User;
}

/// Does work in the name of a user, for rules that look at who writes ([`acting_user`]).
pub(crate) async fn acting_as<T>(user: User, work: impl Future<Output = T>) -> T {
    ACTING.scope(user, work).await
}

/// In whose name this task works; `None`: the server itself.
///
/// [`crate::dispatch`] sets it for every request on a resource. It does not reach tasks that a request spawns, so rules that
/// need it are asked in the request's own task.
pub(crate) fn acting_user() -> Option<User> {
    ACTING.try_with(User::clone).ok()
}
