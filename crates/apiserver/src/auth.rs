//! Who asks, and whether they may: authentication by client certificate, authorization by group.
//!
//! Authorization is one function over user, verb and target ([`authorize`]), asked once per request by
//! [`crate::dispatch`] before anything is read. Today members of `system:masters` may do everything and other users may read
//! discovery and ask about themselves; role-based rules take the place of [`allowed`].

use konzert_api::{ApiError, GroupResource};

use crate::request::{ResourcePath, Verb};

/// Members may do everything.
pub(crate) const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
/// What anybody may ask.
const PUBLIC_PATHS: &[&str] = &["/healthz", "/livez", "/readyz", "/version"];
/// What every authenticated user may read.
const DISCOVERY_PATHS: &[&str] = &["/api", "/apis", "/openapi"];

/// Becomes true when watches and followed logs of this caller have to end.
pub(crate) type EndOfStreams = tokio::sync::watch::Receiver<bool>;

/// An authenticated user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    pub(crate) fn new(name: String, mut groups: Vec<String>) -> Self {
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { name, groups }
    }

    /// A part of this process.
    pub(crate) fn component(name: &str) -> Self {
        Self::new(format!("system:konzert:{name}"), vec![MASTERS.to_owned()])
    }
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// `None`: nobody we know.
    pub(crate) user: Option<User>,
    pub(crate) end_of_streams: EndOfStreams,
}

impl Caller {
    /// The user, or 401.
    pub(crate) fn user(&self) -> Result<&User, ApiError> {
        self.user.as_ref().ok_or_else(ApiError::unauthorized)
    }
}

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
    pub(crate) fn of(verb: Verb, path: &'a ResourcePath) -> Self {
        Self {
            verb: verb.as_str(),
            group: &path.group,
            resource: &path.resource,
            subresource: path.subresource.as_deref().unwrap_or_default(),
            namespace: path.namespace.as_deref().unwrap_or_default(),
            name: path.name.as_deref().unwrap_or_default(),
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

/// The policy for resources.
pub(crate) fn allowed(user: &User, asked: &Attributes<'_>) -> bool {
    if user.groups.iter().any(|g| g == MASTERS) {
        return true;
    }
    let about_oneself = match asked.group {
        "authentication.k8s.io" => asked.resource == "selfsubjectreviews",
        "authorization.k8s.io" => {
            matches!(asked.resource, "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
        }
        _ => false,
    };
    about_oneself && asked.verb == "create"
}

/// The policy for paths that are no resources.
pub(crate) fn allowed_path(user: &User, path: &str) -> bool {
    user.groups.iter().any(|g| g == MASTERS) || under(path, PUBLIC_PATHS) || under(path, DISCOVERY_PATHS)
}

/// 403 in the words of Kubernetes unless the user may.
pub(crate) fn authorize(user: &User, asked: &Attributes<'_>) -> Result<(), ApiError> {
    if allowed(user, asked) {
        return Ok(());
    }
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
    Err(ApiError::forbidden(&GroupResource::new(asked.group, asked.resource), asked.name, &why))
}

/// 401 for strangers, 403 for users who may not; public paths are open to all.
pub(crate) fn authorize_path(caller: &Caller, method: &str, path: &str) -> Result<(), ApiError> {
    if under(path, PUBLIC_PATHS) {
        return Ok(());
    }
    let user = caller.user()?;
    if allowed_path(user, path) {
        return Ok(());
    }
    let why = format!("User {:?} cannot {method} path {path:?}", user.name);
    Err(ApiError::forbidden(&GroupResource::default(), "", &why))
}

fn under(path: &str, roots: &[&str]) -> bool {
    roots
        .iter()
        .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(resource: &'a str, namespace: &'a str, name: &'a str) -> Attributes<'a> {
        Attributes { verb: "get", group: "apps", resource, subresource: "", namespace, name }
    }

    #[test]
    fn masters_may_all_and_others_are_told_what_they_may_not() {
        let admin = User::new("a".to_owned(), vec![MASTERS.to_owned()]);
        let alice = User::new("alice".to_owned(), vec!["dev".to_owned()]);
        assert!(authorize(&admin, &asked("deployments", "ns", "x")).is_ok());
        let error = authorize(&alice, &asked("deployments", "ns", "x")).unwrap_err();
        assert_eq!(
            error.message,
            "deployments.apps \"x\" is forbidden: User \"alice\" cannot get resource \"deployments\" in API group \
             \"apps\" in the namespace \"ns\""
        );
        let error = authorize(&alice, &asked("deployments", "", "")).unwrap_err();
        assert!(error.message.ends_with("at the cluster scope"), "{}", error.message);
        assert_eq!(error.code, 403);
    }

    #[test]
    fn paths() {
        let (_keep, end_of_streams) = tokio::sync::watch::channel(false);
        let caller = |user| Caller { user, end_of_streams: end_of_streams.clone() };
        let alice = || caller(Some(User::new("alice".to_owned(), Vec::new())));
        let code =
            |caller: &Caller, path| authorize_path(caller, "get", path).map_or_else(|e| e.code, |()| 200);
        for (path, stranger, user) in [
            ("/healthz", 200, 200),
            ("/readyz/ping", 200, 200),
            ("/version", 200, 200),
            ("/versions", 401, 403),
            ("/api", 401, 200),
            ("/apis/apps/v1", 401, 200),
            ("/metrics", 401, 403),
        ] {
            assert_eq!((code(&caller(None), path), code(&alice(), path)), (stranger, user), "{path}");
        }
    }
}
